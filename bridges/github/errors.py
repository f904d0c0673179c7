"""What can go wrong between us and GitHub.

ApiError
├── NotFound        404, 410: not there, or not for us to see
│   └── NotInstalled    the App, in that repository (any more)
├── Unauthorized    401: GitHub does not know these credentials (any more)
├── Forbidden       403: known, and not allowed
├── Conflict        405, 409, 412: the state of things does not allow it (a merge, an expected head)
├── Unprocessable   400, 413, 422: GitHub understood and refuses; `problems` says what
├── RateLimited     asked too much; again after `until`
│   └── Shed        not asked at all: what is left of the limit is for what matters more
├── Away            5xx, time-out, network; unless `sure` it may have been done all the same: look first
└── Unexpected      an answer that is not what GitHub documents, or larger than we take

What an error says is bounded, on one line and without a secret: what was asked, the status, GitHub's own words.
`refusal` makes one of an answer. Pure.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

MESSAGE_CHARACTERS: Final = 500
"""Of GitHub's own words."""
PROBLEMS: Final = 10
"""Of the entries in `errors`."""


class Problem(Struct, frozen=True):
    """One entry of `errors` in GitHub's answer."""

    code: str = ""
    """missing, missing_field, invalid, already_exists, unprocessable, custom."""
    field: str = ""
    message: str = ""


class ApiError(Exception):
    """Root: something asked of GitHub was not done, or nobody knows."""

    def __init__(
        self, asked: str, message: str, *, status: int | None = None, problems: tuple[Problem, ...] = ()
    ) -> None:
        self.asked = asked
        """Method and path."""
        self.message = message
        """GitHub's words, or ours where it said nothing."""
        self.status = status
        self.problems = problems
        said = "".join(f"; {' '.join(filter(None, (p.field, p.code, p.message)))}" for p in problems)
        super().__init__(f"{asked}: {f'{status} ' if status is not None else ''}{message}{said}")


class NotFound(ApiError):
    """Not there, or not for us to see."""


class NotInstalled(NotFound):
    """The App is not installed there (any more)."""


class Unauthorized(ApiError):
    """GitHub does not know these credentials (any more)."""


class Forbidden(ApiError):
    """GitHub knows us, and we may not."""


class Conflict(ApiError):
    """The state of things does not allow it."""


class Unprocessable(ApiError):
    """GitHub understood and refuses."""

    def has(self, code: str) -> bool:
        """Whether one of the problems is this one: `already_exists`, say."""
        return any(problem.code == code for problem in self.problems)


class RateLimited(ApiError):
    """Asked too much. Nothing was done."""

    def __init__(self, asked: str, message: str, *, until: datetime, status: int | None = None) -> None:
        super().__init__(asked, f"{message}; again after {until:%Y-%m-%d %H:%M:%S}Z", status=status)
        self.until = until


class Shed(RateLimited):
    """Not asked: what is left of the limit is kept for calls of a higher priority."""


class Away(ApiError):
    """GitHub is not there, or does not answer in time."""

    def __init__(
        self, asked: str, message: str, *, sure: bool, status: int | None = None, pause: float | None = None
    ) -> None:
        super().__init__(asked, message, status=status)
        self.sure = sure
        """Surely not done. Else whoever wants it done again looks first."""
        self.pause = pause
        """Seconds that GitHub asks us to wait."""


class Unexpected(ApiError):
    """An answer that is not what GitHub documents. What was asked may have been done."""


_CLASSES: Final[Mapping[int, type[ApiError]]] = {
    400: Unprocessable,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: Conflict,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    413: Unprocessable,
    422: Unprocessable,
    451: Forbidden,
}


class Words(Struct, frozen=True):
    """What GitHub's answer says of a refusal, as far as it can be read."""

    message: str = ""
    problems: tuple[Problem, ...] = ()


def words(body: bytes) -> Words:
    """Reads the body of a refusal, whatever it is."""
    try:
        answer = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Words()
    errors = answer.get("errors")
    listed = msgspec.convert(errors, list[object])[:PROBLEMS] if isinstance(errors, list) else [errors]
    return Words(_line(answer.get("message")), tuple(_problem(each) for each in listed if each))


def refusal(asked: str, status: int, body: bytes) -> ApiError:
    """The error for an answer below 500 that is neither success nor a limit."""
    said = words(body)
    kind = _CLASSES.get(status, Unexpected)
    return kind(asked, said.message or "no reason given", status=status, problems=said.problems)


def _problem(entry: object) -> Problem:
    try:
        found = msgspec.convert(entry, dict[str, object])
    except msgspec.ValidationError:
        return Problem(message=_line(entry))
    return Problem(_line(found.get("code")), _line(found.get("field")), _line(found.get("message")))


def _line(text: object) -> str:
    """One printable line, of bounded length."""
    if not isinstance(text, str):
        return ""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MESSAGE_CHARACTERS]).split())
    return clean if len(clean) <= MESSAGE_CHARACTERS else f"{clean[: MESSAGE_CHARACTERS - 1]}…"
