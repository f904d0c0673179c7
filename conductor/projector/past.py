"""The read side as it was at any position: the same fold, with every row in memory. Pure."""

from collections.abc import Collection, Iterable

import msgspec

from bus import Skipped
from conductor.projector.projection import Changes, Projection, Said, Tables
from schemas import Recorded


class Past:
    """All tables at a position, folded on as the log is read."""

    def __init__(self, poison: Collection[int] = ()) -> None:
        """`poison`: positions that the read side has left out."""
        self.tables = Tables()
        self._projection = Projection()
        self._said = Said()
        self._poison = frozenset(poison)

    @property
    def position(self) -> int:
        return self._projection.position

    def fold(self, items: Iterable[Recorded | Skipped]) -> Changes:
        """Takes in what comes next in the log; what changed. Raises Poisoned for what the models cannot take."""
        batch: list[tuple[int, Recorded | None, bool]] = []
        for item in items:
            said = item if isinstance(item, Recorded) and item.position not in self._poison else None
            batch.append((item.position, said, said is not None and self._said.is_news(said)))
        changes = self._projection.fold(batch, self.tables)
        self.tables.apply(changes)
        return changes

    def dump(self) -> dict[str, dict[str, object]]:
        """Every table, by key, in plain values as JSON has them."""
        return {
            table: {key: plain(msgspec.json.encode(row)) for key, row in rows.items()}
            for table, rows in self.tables.rows.items()
            if rows
        }


def plain(row: bytes | str) -> object:
    """A row's JSON → plain values."""
    return msgspec.json.decode(row)
