"""Recall before work and learning after it: steps of the runtime, so that nobody has to think of them.

    found = await recall(bus, scopes=…, query=…, key=run)        nothing, where nobody answers in time
    prompt += told(found)                                        fenced; HOW_TO_SAY tells how to name what was of use
    learned = learned_from(its last words, found)                or `reflect`, which asks a model
    await learn(bus, learned, found, scope=…, key=run)           MemoryUsed, MemoryWritten, MemoryEmbedded

Words that were learned are somebody's words: they are kept and shown as a quotation, and decide nothing. Postgres is
never on the work path: recalling takes its time-out at most, and neither step fails for want of a bus or a model.

saying      what is said of memories, and where they lie
recalling   before work
lessons     what somebody, or a model, says that was learned
learning    after work
"""

from agents.remember.learning import learn, write
from agents.remember.lessons import HOW_TO_SAY, Learned, Lesson, learned_from, reflect
from agents.remember.recalling import MemoryConfig, Recalled, recall, repository_scopes, told
from agents.remember.saying import Embed

__all__ = [
    "HOW_TO_SAY",
    "Embed",
    "Learned",
    "Lesson",
    "MemoryConfig",
    "Recalled",
    "learn",
    "learned_from",
    "recall",
    "reflect",
    "repository_scopes",
    "told",
    "write",
]
