"""The dead letters as people handle them: which are open, what stands in one, once more, or never again.

Nothing is ever erased: a letter is open until a person has decided about it, or until its message was buried anew.
What the server says of consumers that count deliveries themselves is a letter too, without a copy of the message.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct, structs

from bus.connection import Connection
from bus.errors import NoLetter
from bus.letters import ADVISORIES, COPY_BYTES, Letter, Verdict, own_headers, read_letter, write
from bus.replay import replay
from bus.stored import Stored, get
from bus.topology import DEAD, DURABLES, STREAMS, Durable
from schemas import MALFORMED

FILTERS: Final = (
    "dead.letter.*.*",
    "dead.retry.*.*",
    "dead.dropped.*.*",
    *(f"$JS.EVENT.ADVISORY.CONSUMER.{kind}.*.*" for kind in ADVISORIES),
)


class LetterState(StrEnum):
    """What became of a letter."""

    OPEN = "open"
    RETRIED = "retried"
    DROPPED = "dropped"
    REPLACED = "replaced"
    """The same message was buried again: there is a newer letter about it."""


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A letter, and what became of it."""

    id: int
    """Its position in RIG_DEAD."""
    state: LetterState
    letter: Letter
    """In a list without body and headers: there may be gigabytes of them."""
    verdict: Verdict | None = None


class _Letters:
    """Every letter by its id, in order, without what it holds of its message."""

    def __init__(self) -> None:
        self.letters: dict[int, DeadLetter] = {}
        self._newest: dict[tuple[str, str, int], int] = {}

    def fold(self, message: Stored) -> None:
        """Takes in what stands next on RIG_DEAD. What is none of ours is passed over."""
        if (letter := read_letter(message)) is not None:
            about = letter.stream, letter.consumer, letter.position
            self._close(self._newest.get(about), LetterState.REPLACED)
            letter = structs.replace(letter, body=b"", headers={})
            self.letters[message.position] = DeadLetter(id=message.position, state=LetterState.OPEN, letter=letter)
            self._newest[about] = message.position
        elif (verdict := _verdict(message)) is not None:
            state, verdict, durable = verdict
            decided = self.letters.get(verdict.letter)
            if decided is not None and (decided.letter.stream, decided.letter.consumer) == durable:
                self._close(verdict.letter, state, verdict)

    def _close(self, which: int | None, state: LetterState, verdict: Verdict | None = None) -> None:
        if which is not None and self.letters[which].state is LetterState.OPEN:
            self.letters[which] = structs.replace(self.letters[which], state=state, verdict=verdict)


def _verdict(message: Stored) -> tuple[LetterState, Verdict, tuple[str, str]] | None:
    match message.subject.split("."):
        case ["dead", ("retry" | "dropped") as said, stream, consumer]:
            try:
                verdict = msgspec.json.decode(message.body, type=Verdict)
            except MALFORMED:
                return None
            return LetterState.RETRIED if said == "retry" else LetterState.DROPPED, verdict, (stream, consumer)
        case _:
            return None


class DeadLetters:
    """The dead letters of the rig."""

    def __init__(self, connection: Connection, durables: Sequence[Durable] = DURABLES) -> None:
        self._connection = connection
        self._taken = {(durable.stream.name, durable.name) for durable in durables}

    async def all(self) -> list[DeadLetter]:
        """Every letter, the oldest first, without bodies and headers. Raises BusError."""
        return list((await self._read()).values())

    async def _read(self) -> dict[int, DeadLetter]:
        known = _Letters()
        async for batch in replay(self._connection, FILTERS, stream=DEAD):
            for message in batch:
                known.fold(message)
        return known.letters

    async def _one(self, number: int) -> DeadLetter:
        found = (await self._read()).get(number)
        if found is None:
            raise NoLetter(f"there is no dead letter {number}")
        return found

    async def show(self, number: int) -> DeadLetter:
        """One letter, whole where that is still possible: the original is looked up when the letter has no copy.

        Raises NoLetter, or BusError.
        """
        found = await self._one(number)
        stored = await get(self._connection, DEAD, {"seq": number})
        letter = (None if stored is None else read_letter(stored)) or found.letter
        found = structs.replace(found, letter=letter)
        stream = next((stream for stream in STREAMS if stream.name == letter.stream), None)
        if stream is None or letter.subject:
            return found
        original = await get(self._connection, stream, {"seq": letter.position})
        if original is None:
            return found
        letter = structs.replace(
            letter,
            subject=original.subject,
            size=len(original.body),
            body=original.body[:COPY_BYTES],
            headers=own_headers(original),
        )
        return structs.replace(found, letter=letter)

    async def retry(self, number: int, *, by: str, reason: str) -> int:
        """Asks for the message once more, and returns the position of that. Raises NoLetter, or BusError."""
        found = await self._open(number)
        if (found.letter.stream, found.letter.consumer) not in self._taken:
            raise NoLetter(
                f"dead letter {number} is about {found.letter.stream} {found.letter.consumer}: nobody in the rig takes"
                " that up again; it can be dropped"
            )
        return await self._decide("retry", found, by, reason)

    async def drop(self, number: int, *, by: str, reason: str) -> int:
        """Records that it is not worth another try. Raises NoLetter, or BusError."""
        return await self._decide("dropped", await self._open(number), by, reason)

    async def _open(self, number: int) -> DeadLetter:
        found = await self._one(number)
        if found.state is LetterState.OPEN:
            return found
        by = "" if found.verdict is None else f" by {found.verdict.by}"
        raise NoLetter(f"dead letter {number} is not open: it was {found.state.value}{by}")

    async def _decide(self, what: str, found: DeadLetter, by: str, reason: str) -> int:
        """Of two people who decide at once, one does."""
        verdict = Verdict(letter=found.id, by=by, reason=reason, time=self._connection.now())

        def is_ours(stored: Stored) -> bool:
            decided = _verdict(stored)
            return decided is not None and decided[1].letter == found.id

        position, decided = await write(
            self._connection,
            f"dead.{what}.{found.letter.stream}.{found.letter.consumer}",
            msgspec.json.encode(verdict),
            id=f"verdict:{found.id}",
            is_ours=is_ours,
        )
        if decided:
            raise NoLetter(f"dead letter {found.id} was decided about a moment ago")
        return position
