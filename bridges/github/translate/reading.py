"""What every subject needs to read a delivery: decoding, and foreign text made to fit.

A title that breaks a line's rules is made into one that does not, a text that is too long is cut and says so: nobody's
issue is refused for that. What is not GitHub's at all is Untranslatable.
"""

import re
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from bridges.github.heard import Heard, Repository, same
from bridges.github.payloads import Repository as Named
from bridges.github.payloads import User
from bridges.github.said import Said, Translation, Untranslatable
from schemas import MALFORMED, Actor, Draft, Event, IssueRef, RepoRef, SchemaError, encode, envelope, one_line
from schemas.refs import NAME

TEXT_MAX: Final = 65_536
_SOME_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
MARK: Final = "<!-- rig:"
"""What the rig's own comments and reviews begin with."""
NUMBER_MAX: Final = 999_999_999
"""The highest number that a subject has room for."""
_LINE_MAX: Final = 300
_CUT: Final = "\n\n[cut: there is more on GitHub]"
_SHA: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
T = TypeVar("T", bound=Struct)


@cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


def decoded(body: bytes, kind: type[T]) -> T:
    """The payload, as far as it is read. Raises Untranslatable with the reason."""
    try:
        return _decoder(kind).decode(body)
    except MALFORMED as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Untranslatable(f"not a payload of GitHub's: {reason[:300]}") from None


def utc(at: datetime) -> datetime:
    """GitHub's instant. Raises Untranslatable for one that no clock of GitHub's shows."""
    if not 2000 <= at.year <= 2900:
        raise Untranslatable(f"{at.isoformat()} is no time of GitHub's")
    return at.astimezone(UTC)


def served(heard: Heard, named: Named | None) -> Repository | None:
    """The repository of a payload, if it is under the rig."""
    return None if named is None else heard.repository(named.full_name)


NOT_SERVED: Final = "not under the rig"


def skip(reason: str) -> Translation:
    """Nothing in it, for this reason."""
    return Translation(skipped=line(reason, "no reason"))


def numbered(repository: RepoRef, number: int) -> IssueRef:
    """An issue, or a pull request under its own number. Raises Untranslatable beyond what a number can be."""
    if not 1 <= number <= NUMBER_MAX:
        raise Untranslatable(f"{number} is no issue's number")
    return IssueRef(repository.owner, repository.repo, number)


def commit(sha: str | None) -> str | None:
    """A full commit id, or None for what is none."""
    return sha if sha is not None and _SHA.fullmatch(sha) else None


def line(text: str | None, otherwise: str, limit: int = _LINE_MAX) -> str:
    """The text as one printable line; `otherwise` where nothing is left of it."""
    return one_line(text or "", limit) or otherwise


def text(foreign: str | None, limit: int = TEXT_MAX) -> str:
    """The text without NUL and with plain line ends, cut where it is too long, and then it says so."""
    clean = (foreign or "").replace("\0", "").replace("\r\n", "\n")
    return clean if len(clean) <= limit else clean[: limit - len(_CUT)] + _CUT


def person(user: User | None) -> str:
    """Who did it, as a policy may name them: the login."""
    return line(user.login if user is not None else None, "somebody on GitHub", 100)


def name(user: User | None) -> str | None:
    """The login as a Name, `name[bot]` as `name.bot`; None for what cannot be one."""
    if user is None:
        return None
    login = user.login.removesuffix("[bot]") + ".bot" if user.login.endswith("[bot]") else user.login
    return login if NAME.fullmatch(login) else None


def is_person(user: User | None) -> bool:
    """Whether this is a human being's account."""
    return user is not None and user.type == "User" and not user.login.endswith("[bot]")


def is_ours(body: str | None, user: User | None, heard: Heard) -> bool:
    """Whether the bridge itself wrote it, also with a person's token: nobody's words are in it but the rig's."""
    login = heard.self_login
    return MARK in (body or "") and login is not None and user is not None and same(user.login, login)


def url(text: str | None) -> str:
    """A link, or nothing where it is none."""
    link = text or ""
    return link if len(link) <= 2_000 and link.startswith(("https://", "http://")) and link.isprintable() else ""


def digest(data: Event) -> str:
    """What makes two things different that are said of one thing at one time."""
    return sha256(msgspec.json.encode(data)).hexdigest()[:16]


def digest_of(body: bytes) -> str:
    """Of a delivery: that it comes again is seen by it."""
    return sha256(body).hexdigest()[:16]


def stamp(at: datetime) -> str:
    """An instant in an id."""
    return at.strftime("%Y%m%dT%H%M%SZ")


def once(heard: Heard, about: IssueRef | RepoRef, data: Event, id_: str, at: datetime | None) -> tuple[Said, ...]:
    """To say, unless it was said."""
    return () if id_ in heard.said else (said(heard, about, data, id_, at),)


def said(heard: Heard, about: IssueRef | RepoRef, data: Event, id_: str, at: datetime | None) -> Said:
    """An event to say, in the issue's own story where it has one. Raises Untranslatable for what cannot be said."""
    known = heard.issue(about) if isinstance(about, IssueRef) else None
    story = None if known is None else known.approval
    return checked(Said(Draft(about=about, data=data, correlation=story, time=at), id_))


def checked(one: Said) -> Said:
    """The same. Raises Untranslatable for what nobody could read again."""
    draft = one.draft
    try:
        encode(envelope(draft, id=one.id, actor=Actor.GITHUB, source=Actor.GITHUB, time=draft.time or _SOME_TIME))
    except SchemaError as error:
        raise Untranslatable(f"it cannot be said: {error}"[:300]) from None
    return one
