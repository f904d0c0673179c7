"""What an endpoint's refusal means. Pure: a status, headers and a body in, a Failure out.

A provider's codes decide; its words only where it has no code for what it says, as they do for a context that is too
long or an account that is empty. Sources: the error pages of OpenAI, Anthropic (429, 529), OpenRouter (402, 403).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec
from msgspec import Struct

from agents.llm.bodies import ADAPTABLE
from agents.llm.messages import ErrorKind, Tokens

__all__ = ["Failure", "classify", "retry_at"]

DETAIL_CHARACTERS: Final = 500
LONGEST_REST: Final = timedelta(days=31)
"""A quota may be a month's; what says more is mistaken."""

_TOO_LONG = re.compile(
    r"maximum context|context (?:length|window|size)|prompt is too long|too many (?:input )?tokens"
    r"|input is too long|request too large|reduce the length",
    re.IGNORECASE,
)
_EMPTY = re.compile(
    r"credit balance|insufficient (?:credit|balance|funds|quota)|exceeded your current quota|billing|usage limit"
    r"|(?:daily|weekly|monthly) (?:limit|quota)|quota exceeded|out of credits",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content[ _](?:policy|filter|management)|moderation|was flagged|safety system", re.IGNORECASE)
_KEY = re.compile(r"api[ _-]?key|authenticat|unauthorized", re.IGNORECASE)
_UNKNOWN = re.compile(r"unsupported|unrecognized|not supported|unknown|not permitted|extra inputs", re.IGNORECASE)
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_QUOTA_CODES: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "quota_exceeded", "billing_error"})
_CONTEXT_CODES: Final = frozenset({"context_length_exceeded", "request_too_large", "string_above_max_length"})
_FILTER_CODES: Final = frozenset({"content_filter", "content_policy_violation", "moderation_blocked"})
_AUTH_CODES: Final = frozenset({"invalid_api_key", "authentication_error", "permission_error", "account_deactivated"})
_RATE_CODES: Final = frozenset({"rate_limit_exceeded", "rate_limit_error", "too_many_requests"})
_BUSY_CODES: Final = frozenset({"overloaded_error", "overloaded", "api_error", "server_error", "engine_overloaded"})


class Failure(Exception):
    """One try came to nothing."""

    def __init__(
        self,
        kind: ErrorKind,
        detail: str,
        *,
        retry_at: datetime | None = None,
        of_provider: bool = False,
        unknown: str | None = None,
        used: bool = False,
        tokens: Tokens | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.retry_at = retry_at
        """When the endpoint says that it may go better."""
        self.of_provider = of_provider
        """It would be the same with any other model there."""
        self.unknown = unknown
        """It is only this of bodies.ADAPTABLE that the endpoint does not know."""
        self.used = used
        """The model may have worked, and is to be paid."""
        self.tokens = tokens
        """What it has used, as far as it says."""


class _Error(Struct):
    message: str = ""
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class _Wrapped(Struct):
    error: _Error | str | None = None
    message: str | None = None
    detail: msgspec.Raw = msgspec.Raw()


_WRAPPED: Final = msgspec.json.Decoder(_Wrapped, strict=False)


def classify(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Failure:
    """Why an endpoint has not answered; `status` is 200 where an error came in place of an answer."""
    error = _read(body)
    codes = {str(code).lower() for code in (error.code, error.type) if code is not None}
    if status == 200:
        status = error.code if isinstance(error.code, int) and 400 <= error.code < 600 else 500
    kind = _kind(status, codes, error.message)
    words = " ".join(error.message.split()) or "no reason given"
    return Failure(
        kind,
        f"HTTP {status}: {words[:DETAIL_CHARACTERS]}",
        retry_at=retry_at(headers, now),
        of_provider=status == 401,
        unknown=_unknown(error, codes) if kind is ErrorKind.INVALID else None,
    )


def retry_at(headers: Mapping[str, str], now: datetime) -> datetime | None:
    """When it is to be tried again, as the headers say; None where they do not."""
    for name, seconds in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (value := headers.get(name)) is not None:
            try:
                return _after(now, float(value) * seconds)
            except ValueError:
                pass
            try:
                at = parsedate_to_datetime(value)
            except ValueError:
                continue
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            return _after(now, (at - now).total_seconds())
    rests = (headers.get(f"x-ratelimit-reset-{what}", "") for what in ("requests", "tokens"))
    known = [seconds for rest in rests if (seconds := _seconds(rest)) is not None]
    return _after(now, max(known)) if known else None


def _kind(status: int, codes: set[str], words: str) -> ErrorKind:
    """The codes first, then the status; the words where one status has several meanings."""
    by_code = (
        (_QUOTA_CODES, ErrorKind.QUOTA),
        (_CONTEXT_CODES, ErrorKind.TOO_LONG),
        (_FILTER_CODES, ErrorKind.REFUSED),
        (_AUTH_CODES, ErrorKind.AUTH),
    )
    for known, kind in by_code:
        if codes & known:
            return kind
    match status:
        case 401:
            return ErrorKind.AUTH
        case 402:
            return ErrorKind.QUOTA
        case 403:
            return ErrorKind.REFUSED if _FILTERED.search(words) else ErrorKind.AUTH
        case 408:
            return ErrorKind.NETWORK
        case 413:
            return ErrorKind.TOO_LONG
        case 429:
            return ErrorKind.QUOTA if _EMPTY.search(words) and not codes & _RATE_CODES else ErrorKind.RATE_LIMITED
        case 501:
            return ErrorKind.INVALID
        case _ if status >= 500 or codes & _BUSY_CODES:
            return ErrorKind.RATE_LIMITED if codes & _RATE_CODES else ErrorKind.OVERLOADED
        case 400 | 422:
            by_words = (
                (_TOO_LONG, ErrorKind.TOO_LONG),
                (_EMPTY, ErrorKind.QUOTA),
                (_FILTERED, ErrorKind.REFUSED),
                (_KEY, ErrorKind.AUTH),
            )
            return next((kind for words_of, kind in by_words if words_of.search(words)), ErrorKind.INVALID)
        case _:
            return ErrorKind.INVALID


def _unknown(error: _Error, codes: set[str]) -> str | None:
    """Which part of the request this is only about."""
    if not (codes & {"unsupported_parameter", "unsupported_value"} or _UNKNOWN.search(error.message)):
        return None
    if error.param is not None and (name := error.param.split(".")[0]) in ADAPTABLE:
        return name
    return next((name for name in sorted(ADAPTABLE) if re.search(rf"\b{name}\b", error.message)), None)


def _read(body: bytes) -> _Error:
    try:
        said = _WRAPPED.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _Error(body[:DETAIL_CHARACTERS].decode(errors="replace"))
    match said.error:
        case _Error() as error:
            return error
        case str() as words:
            return _Error(words)
        case None:
            return _Error(said.message or bytes(said.detail).decode(errors="replace"))


def _seconds(duration: str) -> float | None:
    """`6m0s`, `1.5s`, `20ms`."""
    found = _DURATION.fullmatch(duration.strip())
    if found is None or not any(found.groups()):
        return None
    parts = [float(part or 0) for part in found.groups()]
    return sum(part * unit for part, unit in zip(parts, (86_400, 3_600, 60, 1, 0.001), strict=True))


def _after(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=min(max(0.0, seconds), LONGEST_REST.total_seconds()))
