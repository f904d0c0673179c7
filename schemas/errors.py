"""What can be wrong with what is said.

SchemaError
├── BadReference     text that names no issue, repository or agent
├── BadSubject       a NATS subject that is not of the rig's grammar
├── NotAllowed       an actor that may not say this event
├── UnknownType      an event type that this version does not know: ignored and counted, never redelivered
├── Undecodable      a body that is no event, with the reason: dead-lettered at once
└── Invalid          input with problems, all of them at once
"""

from collections.abc import Sequence
from typing import Final

import msgspec

MALFORMED: Final = (msgspec.DecodeError, RecursionError)
"""What decoding bytes from elsewhere raises: it recurses as deep as they are nested."""


class SchemaError(Exception):
    """Root of this room's errors; the message says what, and what to do."""


class BadReference(SchemaError):
    """Text that names no issue, repository or agent."""


class BadSubject(SchemaError):
    """A subject outside the grammar `rig.<noun>.….<actor>.<event>`."""


class NotAllowed(SchemaError):
    """The actor table does not let this actor say this event."""


class UnknownType(SchemaError):
    """An event type that this version does not know."""


class Undecodable(SchemaError):
    """A body that is not an event of the rig."""


class Invalid(SchemaError):
    """Input with problems. `problems` holds one line each."""

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        super().__init__(f"{what}: " + "; ".join(problems))
        self.problems = tuple(problems)
