"""A page of answers, and the position of the log that they are true for."""

from typing import Annotated, TypeAlias

from msgspec import Meta

PAGE_MAX = 200
"""Lines in one answer, of most lists."""

Position: TypeAlias = Annotated[int, Meta(ge=0)]
