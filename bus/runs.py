"""Output of agent runs: what a person watches live, kept out of the log."""

from bus.connection import Connection, raise_refusal
from schemas import Actor, escape


class Runs:
    """Output of the runs of one role."""

    def __init__(self, connection: Connection, actor: Actor) -> None:
        self._connection = connection
        self._actor = actor

    async def write(self, run: str, chunk: bytes) -> None:
        """Appends to what a run has printed. Raises Unavailable or ServerRefused."""
        subject = f"run.{escape(self._actor)}.{escape(run)}"
        raise_refusal(f"output of {run}", await self._connection.request(subject, chunk))
