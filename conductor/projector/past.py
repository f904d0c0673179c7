"""The read side as it was at any position: the same fold, with every row in memory. Pure."""

from collections.abc import Collection, Iterable, Iterator

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
        self._changed = self._projection.unchanged()
        self._said = Said()
        self._poison = frozenset(poison)

    @property
    def position(self) -> int:
        return self._projection.position

    def fold(self, items: Iterable[Recorded | Skipped]) -> Changes:
        """Takes in what comes next in the log; what changed. Raises Poisoned for what the models cannot take."""
        self.read(items)
        return self.changes()

    def read(self, items: Iterable[Recorded | Skipped]) -> None:
        """The same, for who reads on before anybody looks at the tables. Raises Poisoned."""
        self._projection.read(self._steps(items), self.tables, self._changed)

    def changes(self) -> Changes:
        """Brings the tables to where it has read; what changed since it was asked last."""
        changed, self._changed = self._changed, self._projection.unchanged()
        self._projection.finish(changed)
        self.tables.apply(changed)
        return changed

    def _steps(self, items: Iterable[Recorded | Skipped]) -> Iterator[tuple[int, Recorded | None, bool]]:
        for item in items:
            said = item if isinstance(item, Recorded) and item.position not in self._poison else None
            yield item.position, said, said is not None and self._said.is_news(said)

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
