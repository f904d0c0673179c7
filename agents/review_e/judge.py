"""Asking a model for a verdict: again where it may yet come, once more where the answer was none, and not for ever."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from agents.llm.messages import ErrorKind, Finish, Message, Model, ModelError, Reply, TaskKind
from agents.review_e.answer import SCHEMA, Judgement, Unusable, judgement
from agents.review_e.change import Change
from agents.review_e.prompt import Matter, again, messages

__all__ = ["PAUSES", "judge"]

log = logging.getLogger(__name__)

PAUSES: Final = (2.0, 15.0)
"""Before a model is asked again that could not answer. The gateway has tried every other of its chain by then."""
PATIENCE_SECONDS: Final = 60.0
"""What a model says it needs until then; another reviewer is there sooner."""
ANSWERS: Final = 2
"""How often an answer is asked for that can be read."""
_MAY_PASS: Final = frozenset({ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED, ErrorKind.NETWORK})


async def judge(
    model: Model, matter: Matter, change: Change, *, persona: str = "", pauses: Sequence[float] = PAUSES
) -> Judgement:
    """What the model says of a change. Raises ModelError where it says nothing, Unusable where that is no verdict."""
    conversation = messages(matter, change, persona=persona)
    for left in reversed(range(ANSWERS)):
        reply = await _answer(model, conversation, pauses)
        said = reply.message.text
        try:
            if reply.finish is Finish.REFUSED:
                raise ModelError(ErrorKind.REFUSED, f"{reply.model} does not want to")
            if reply.finish is not Finish.STOP:
                raise Unusable([f"it was cut off, or is no answer ({reply.finish.value})"])
            return judgement(said, change)
        except Unusable as unusable:
            log.warning("%s: %s has given no verdict: %s", matter.about, reply.model, unusable)
            if not left:
                raise
            conversation += again(said, unusable.problems)
    raise AssertionError("the last answer raises or returns")


async def _answer(model: Model, conversation: Sequence[Message], pauses: Sequence[float]) -> Reply:
    for pause in (*pauses, None):
        try:
            return await model.chat(conversation, task=TaskKind.REVIEW, schema=SCHEMA)
        except ModelError as error:
            wait = None if pause is None or error.kind not in _MAY_PASS else _until(error, pause)
            if wait is None:
                raise
            log.warning("no model has answered (%s), again in %g s: %s", error.kind.value, wait, error)
            await asyncio.sleep(wait)
    raise AssertionError("the last try raises or returns")


def _until(error: ModelError, pause: float) -> float | None:
    """Seconds to wait; None: it is not worth it."""
    if error.retry_at is None:
        return pause
    wait = max(pause, (error.retry_at - datetime.now(UTC)).total_seconds())
    return wait if wait <= PATIENCE_SECONDS else None
