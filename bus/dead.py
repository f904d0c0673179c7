"""The dead letters as people handle them: which are open, what stands in one, once more, or never again.

Nothing is ever erased: a letter is open until a person has decided about it, or until its message was buried anew.
What the server says of consumers that count deliveries themselves is a letter too, without a copy of the message.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct, structs

from bus.connection import Connection
from bus.errors import NoLetter
from bus.letters import ADVISORIES, COPY_BYTES, Letter, Verdict, bury_stored, own_headers, read_letter, write
from bus.look import Look
from bus.replay import Replay, replay
from bus.stored import Stored, get
from bus.topology import DEAD, DURABLES, PROJECTED, STREAMS, Durable
from schemas import MALFORMED, LetterState

FILTERS: Final = (
    "dead.letter.*.*",
    "dead.retry.*.*",
    "dead.dropped.*.*",
    *(f"$JS.EVENT.ADVISORY.CONSUMER.{kind}.*.*" for kind in ADVISORIES),
)


QUIET_SECONDS: Final = 1.0
"""How often who follows the letters looks whether there is more: the server says none of them again."""


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A letter, and what became of it."""

    id: int
    """Its position in RIG_DEAD."""
    state: LetterState
    letter: Letter
    """In a list without body and headers: there may be gigabytes of them."""
    verdict: Verdict | None = None
    decided: int | None = None
    """Position of the verdict in RIG_DEAD."""


class Letters(Struct, frozen=True):
    """Dead letters, all or those that have become another, and how far RIG_DEAD was read for that."""

    position: int
    letters: tuple[DeadLetter, ...]
    """Without bodies and headers."""
    first: int = 1
    """Where the stream begins: what stood before that is forgotten."""


class _Letters:
    """Every letter by its id, in order, without what it holds of its message."""

    def __init__(self) -> None:
        self.letters: dict[int, DeadLetter] = {}
        self._changed: dict[int, None] = {}
        self._newest: dict[tuple[str, str, int], int] = {}

    def fold(self, message: Stored) -> None:
        """Takes in what stands next on RIG_DEAD. What is none of ours is passed over."""
        if (letter := read_letter(message)) is not None:
            about = letter.stream, letter.consumer, letter.position
            self._close(self._newest.get(about), LetterState.REPLACED)
            letter = structs.replace(letter, body=b"", headers={})
            self.letters[message.position] = DeadLetter(id=message.position, state=LetterState.OPEN, letter=letter)
            self._changed[message.position] = None
            self._newest[about] = message.position
        elif (verdict := _verdict(message)) is not None:
            state, verdict, durable = verdict
            decided = self.letters.get(verdict.letter)
            if decided is not None and (decided.letter.stream, decided.letter.consumer) == durable:
                self._close(verdict.letter, state, verdict, message.position)

    def take_changed(self) -> tuple[DeadLetter, ...]:
        """Those that are new or another since this was last asked."""
        changed, self._changed = self._changed, {}
        return tuple(self.letters[which] for which in changed)

    def _close(
        self, which: int | None, state: LetterState, verdict: Verdict | None = None, decided: int | None = None
    ) -> None:
        if which is not None and self.letters[which].state is LetterState.OPEN:
            self.letters[which] = structs.replace(self.letters[which], state=state, verdict=verdict, decided=decided)
            self._changed[which] = None


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

    def __init__(self, connection: Connection, durables: Sequence[Durable] = (*DURABLES, PROJECTED)) -> None:
        self._connection = connection
        self._taken = {(durable.stream.name, durable.name) for durable in durables}

    async def all(self) -> list[DeadLetter]:
        """Every letter, the oldest first, without bodies and headers. Raises BusError."""
        return list((await self.read()).letters)

    async def read(self, until: int | None = None) -> "Letters":
        """The same, as it was at a position of RIG_DEAD; what that has forgotten since is not in it."""
        known, first, position = _Letters(), None, 0
        async for batch in replay(self._connection, FILTERS, stream=DEAD, until=until):
            for message in batch:
                known.fold(message)
                first, position = first or message.position, message.position
        return Letters(position, tuple(known.letters.values()), first or (until or 0) + 1)

    async def follow(self, wake: asyncio.Event) -> AsyncGenerator[Letters]:
        """All letters, then what changes among them, for ever; also nothing, each time that `wake` is set.

        Close it when you stop (`contextlib.aclosing`). Raises BusError, and LogChanged for a stream that was made anew.
        """
        look, known, position = Look(self._connection, DEAD), _Letters(), 0
        awake = True
        while True:
            wake.clear()
            end = await look.end(position)
            if end > position:
                async with Replay(self._connection, FILTERS, look, after=position, until=end) as reading:
                    while batch := await reading.batch():
                        for message in batch:
                            known.fold(message)
                position = end
            changed = known.take_changed()
            if awake or changed:
                yield Letters(position, changed)
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_SECONDS):
                    await wake.wait()
            awake = wake.is_set()

    async def bury(self, reader: Durable, message: Stored, reason: str, *, cause: str | None = None) -> int:
        """Writes a letter about what was read of a stream and cannot be taken; its position.

        Once, however often it is said while the server remembers the id; `cause` is the retry that failed again.
        Raises BusError.
        """
        return await bury_stored(self._connection, reader, message, reason, cause=cause)

    async def _one(self, number: int) -> DeadLetter:
        found = next((letter for letter in await self.all() if letter.id == number), None)
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
