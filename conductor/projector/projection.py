"""The whole read side as a fold: events → rows of every table. Pure, and the same wherever the rows are kept.

The conductor's own fold says where things stand; row models keep what is told besides; overviews show the fold. An
event that only repeats what was said already goes into the conductor's fold, which knows it, and nowhere else.

The projector keeps rows in Postgres and loads those that a batch changes; who looks at another time keeps all of them
in memory (Tables). Both come to the same: that is what `rig verify` checks.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

import msgspec
from msgspec import Struct, field

from conductor.decide import RULES
from conductor.evolve import evolve
from conductor.projector.issues import issues
from conductor.projector.judgements import GATES, REVIEWS
from conductor.projector.memory import EMBEDDINGS, MEMORIES
from conductor.projector.merges import MERGES
from conductor.projector.model import Model, Overview
from conductor.projector.overviews import OVERVIEWS
from conductor.projector.roster import REPOSITORIES, agents
from conductor.projector.runs import RUNS, SPEND
from conductor.projector.talk import CHAT, EFFECTS
from conductor.state import State
from schemas import EVENTS, Envelope, Event, Recorded

Row: TypeAlias = Struct
Changes: TypeAlias = dict[str, dict[str, Row | None]]
"""By table, then by key: the row as it is now; None: it is gone."""

_AnyModel: TypeAlias = Model[Any]  # a table's rows are of one type; which, only the table knows
_AnyOverview: TypeAlias = Overview[Any]


class Poisoned(Exception):
    """The read side cannot take an event: `position` says which, the message why."""

    def __init__(self, position: int, why: str) -> None:
        super().__init__(f"position {position}: {why}")
        self.position = position
        self.why = why


class Rows(Protocol):
    """Where the rows are: those that a batch may ask for."""

    def get(self, table: str, key: str) -> Row | None:
        """The row as it stands before the batch."""
        ...


class Projection:
    """The fold at a position, and what has changed since the changes were last taken."""

    def __init__(self) -> None:
        self.state = State()
        self.models: Final[Sequence[_AnyModel]] = (
            issues(self.state),
            agents(self.state),
            REPOSITORIES,
            RUNS,
            SPEND,
            MERGES,
            REVIEWS,
            GATES,
            CHAT,
            EFFECTS,
            MEMORIES,
            EMBEDDINGS,
        )
        self.overviews: Final[Sequence[_AnyOverview]] = OVERVIEWS
        self._of_event: Mapping[type[Event], Sequence[_AnyModel]] = {
            event: [model for model in self.models if issubclass(event, model.events)] for event in EVENTS
        }
        self._shown: dict[str, Mapping[str, Row]] = {overview.table: {} for overview in self.overviews}

    @property
    def position(self) -> int:
        return self.state.position

    @property
    def tables(self) -> list[str]:
        """Of every read model, by name."""
        return [of.table for of in (*self.models, *self.overviews)]

    @property
    def versions(self) -> dict[str, tuple[int, int]]:
        """By table, by which fold its rows are made: the conductor's rules, and the model's own version."""
        return {of.table: (RULES, of.version) for of in (*self.models, *self.overviews)}

    def catch_up(self, said: Recorded | None, position: int) -> None:
        """Folds what the tables hold already; None: a position that nothing is read from."""
        evolve(self.state, None if said is None else said.event, position)

    def caught_up(self) -> None:
        """The tables are as this fold has them."""
        self._shown = {overview.table: overview.rows(self.state) for overview in self.overviews}

    def wanted(self, batch: Iterable[Recorded]) -> dict[str, set[str]]:
        """The keys of the rows that a batch may change, by table. Ask before it is folded, and again for repositories
        whose issues are approved in it: those are new, and nowhere else yet."""
        found: dict[str, set[str]] = {model.table: set() for model in self.models}
        for said in batch:
            for model in self._of_event[type(said.event.data)]:
                found[model.table].update(model.keys(said))
        for model in self.models:
            if model.part_of is not None:
                found[model.part_of] |= found[model.table]
        return found

    def fold(self, batch: Iterable[tuple[int, Recorded | None, bool]], rows: Rows) -> Changes:
        """Folds (position, event, whether it is news) in order; returns every row that may be another now.

        Raises Poisoned: begin anew without that event, since the fold is ahead of the rows then.
        """
        changed = self.unchanged()
        self.read(batch, rows, changed)
        self.finish(changed)
        return changed

    def unchanged(self) -> Changes:
        """Of no table anything yet."""
        return {model.table: {} for model in self.models}

    def read(self, batch: Iterable[tuple[int, Recorded | None, bool]], rows: Rows, changed: Changes) -> None:
        """The first half of `fold`, for who reads on before anybody looks: adds to what has changed. Raises as it."""
        for position, said, news in batch:
            try:
                evolve(self.state, None if said is None else said.event, position)
                if said is not None and news:
                    self._fold(said, rows, changed)
            except Exception as error:
                raise Poisoned(position, f"{type(error).__name__}: {error}") from error

    def finish(self, changed: Changes) -> None:
        """The second half: the rows as they are to be seen."""
        for model in self.models:
            if model.finish is not None:
                of_table = changed[model.table]
                of_table.update({k: model.finish(k, row) for k, row in of_table.items() if row is not None})
        for table, now in self._overviews():
            changed[table] = now

    def _fold(self, said: Recorded, rows: Rows, changed: Changes) -> None:
        for model in self._of_event[type(said.event.data)]:
            of_table = changed[model.table]
            if model.together is not None:
                found = {key: _row(model.table, key, rows, changed) for key in model.keys(said)}
                if found:
                    after = model.together(said, found)
                    of_table.update(after or {key: model.fold(key, row, said) for key, row in found.items()})
                continue
            for key in model.keys(said):
                row = model.fold(key, _row(model.table, key, rows, changed), said)
                gone = row is not None and model.part_of and _row(model.part_of, key, rows, changed) is None
                of_table[key] = None if gone else row

    def _overviews(self) -> Iterator[tuple[str, dict[str, Row | None]]]:
        """What is shown differently from before."""
        for overview in self.overviews:
            before, now = self._shown[overview.table], overview.rows(self.state)
            differs: dict[str, Row | None] = {key: row for key, row in now.items() if before.get(key) != row}
            differs.update({key: None for key in before if key not in now})
            self._shown[overview.table] = now
            yield overview.table, differs


def _row(table: str, key: str, rows: Rows, changed: Changes) -> Row | None:
    """As it stands, in the middle of a batch."""
    of_table = changed[table]
    return of_table[key] if key in of_table else rows.get(table, key)


class Tables(Struct):
    """Every row, in memory."""

    rows: dict[str, dict[str, Row]] = field(default_factory=dict[str, dict[str, Row]])

    def get(self, table: str, key: str) -> Row | None:
        return self.rows.get(table, {}).get(key)

    def apply(self, changes: Changes) -> None:
        for table, of_table in changes.items():
            rows = self.rows.setdefault(table, {})
            for key, row in of_table.items():
                if row is not None:
                    rows[key] = row
                else:
                    rows.pop(key, None)


class Said:
    """Which facts were said before, by id: for who has no table of events to ask."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}
        """By id: what was said first under it. Hardly ever anything else is."""
        self._others: set[tuple[str, int]] = set()

    def is_news(self, said: Recorded) -> bool:
        """Remembers it. False: this fact was said already, under the same id."""
        event, known = said.event, len(self._first)
        fact = _digest(event)
        first = self._first.setdefault(event.id, fact)
        if len(self._first) > known:
            return True
        if first == fact or (event.id, fact) in self._others:
            return False
        self._others.add((event.id, fact))
        return True


def _digest(event: Envelope) -> int:
    """Of what an event says, and where; a policy holds dictionaries, which have none."""
    try:
        return hash((event.on, event.data))
    except TypeError:
        return hash((event.on, msgspec.json.encode(event.data)))
