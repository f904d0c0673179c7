"""What the read side says of a story, without a database."""

from typing import TypeVar

from msgspec import Struct

from conductor.projector.past import Past
from schemas import Recorded
from tests.support.story import Story

R = TypeVar("R", bound=Struct)


def recorded(story: Story) -> list[Recorded]:
    """Its log, as a reader hands it over."""
    return [Recorded(position, said.time, said) for position, said in enumerate(story.log, start=1)]


def past(story: Story) -> Past:
    """Every table as it stands now."""
    found = Past()
    found.fold(recorded(story))
    return found


def row(story: Story, table: str, key: str, shape: type[R]) -> R:
    """One row of it."""
    found = past(story).tables.get(table, key)
    assert isinstance(found, shape), f"{table} has no {key}"
    return found
