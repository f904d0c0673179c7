"""Ways to break the server in memory on purpose, to see that the suite notices. For test_mutations.py alone."""

from collections.abc import Callable, Sequence

from bus.testing.checks import Checks
from bus.testing.consumer import Consumer
from bus.testing.grants import Grants
from bus.testing.message import Packet
from bus.testing.store import Stored

VARIABLE = "RIG_TEST_MUTATION"
"""Names the mutation for a run of the suite."""


def nothing_is_compared() -> None:
    def expected(self: Checks, packet: Packet, before: Sequence[Packet] = ()) -> None: ...

    Checks.expected = expected


def nothing_is_a_duplicate() -> None:
    def duplicate_of(self: Checks, message_id: str) -> int | None: ...

    Checks.duplicate_of = duplicate_of


def the_newest_comes_first() -> None:
    handed: dict[int, set[int]] = {}

    def next_new(self: Consumer) -> Stored | None:
        done = handed.setdefault(id(self), set())
        wanted = [m for m in self.stream.store.since(1) if self._wants(m.subject) and m.seq not in done]
        if not wanted:
            return None
        done.add(wanted[-1].seq)
        self.cursor = self.stream.store.last + 1
        self._unsent -= 1
        return wanted[-1]

    Consumer._next_new = next_new


def everybody_may_everything() -> None:
    def refused(self: Grants, subject: str, reply: str, now: float) -> str | None: ...

    Grants.refused = refused
    Grants.may_subscribe = lambda self, pattern: True


MUTATIONS: dict[str, Callable[[], None]] = {
    mutation.__name__: mutation
    for mutation in (nothing_is_compared, nothing_is_a_duplicate, the_newest_comes_first, everybody_may_everything)
}
