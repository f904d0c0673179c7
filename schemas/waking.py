"""What wakes an agent, as a word that is said once, whoever says it: its run and its id follow from what woke it.

A schedule's timer is heard by any replica of any agent, and by two of them when one dies over it; an event is found by
whoever reads the log next. None of them must ask another before it speaks.
"""

from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from schemas.actors import Actor
from schemas.agent import AgentWoken, WokenBy
from schemas.ids import event_id


def woken(agent: str, by: WokenBy, key: str, *, due: datetime | None = None, text: str = "") -> tuple[AgentWoken, str]:
    """The word, and the id to say it under. Equal causes make an equal run; `text` must follow from them too."""
    at = None if due is None else due.astimezone(UTC)
    what = msgspec.json.encode((agent, by, key, at))  # as JSON: no two make one text
    run = f"w-{sha256(what).hexdigest()[:24]}"
    return AgentWoken(run=run, by=by, key=key, due=at, text=text), event_id(Actor.AGENT, agent, "woken", run)
