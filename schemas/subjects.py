"""The subject grammar: where an event lives on the bus, and who said it.

    rig.issue.<owner>.<repo>.<number>.<actor>.<event>[.<role>]
    rig.repo.<owner>.<repo>.<actor>.<event>
    rig.agent.<agent>.<actor>.<event>
    rig.chat.<platform>.<conversation>.<actor>.<event>
    rig.memory.<scope>.<actor>.<event>
    rig.fleet.<actor>.<event>

Subjects prove authorship: the server lets each key publish under its own actor token alone. Every token from
outside passes `escape`, whose inverse is `unescape`; nothing else may build or take apart a subject.
"""

import re
from functools import lru_cache

from msgspec import Struct

from schemas.errors import BadSubject
from schemas.refs import FLEET, NAME, AgentRef, ChatRef, FleetRef, IssueRef, MemoryRef, Ref, RepoRef

MAX_TOKEN = 300
"""Characters of one escaped token; a longer one is refused at the edge."""

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_TOKEN = re.compile(r"(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+")


def escape(text: str) -> str:
    """Any non-empty text → one subject token: bytes outside `[A-Za-z0-9_-]` become %XX of their UTF-8.

    Raises BadSubject when the text is empty or its token would exceed MAX_TOKEN characters.
    """
    token = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in text.encode("utf-8", "strict"))
    if not token or len(token) > MAX_TOKEN:
        raise BadSubject(f"{text[:40]!r}… cannot be a subject token: {len(token)} characters, 1 to {MAX_TOKEN} fit")
    return token


def unescape(token: str) -> str:
    """The inverse of `escape`. Raises BadSubject for a token that `escape` would not have made."""
    if not _TOKEN.fullmatch(token) or len(token) > MAX_TOKEN:
        raise BadSubject(f"{token[:40]!r} is not an escaped token")
    raw = re.sub(rb"%([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), token.encode())
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadSubject(f"{token[:40]!r} does not spell UTF-8") from None
    if escape(text) != token:
        raise BadSubject(f"{token[:40]!r} is not the one spelling of {text[:40]!r}")
    return text


class Subject(Struct, frozen=True):
    """A parsed subject. `event` is in snake_case; `role` is set on assignments alone."""

    about: Ref
    actor: str
    event: str
    role: str | None = None

    def __str__(self) -> str:
        return text(self)

    @property
    def noun(self) -> str:
        return noun(self.about)


@lru_cache(maxsize=65_536)
def text(subject: Subject) -> str:
    """Subject → the NATS subject; the inverse of `parse`."""
    said = f"{branch(subject.about)}.{escape(subject.actor)}.{subject.event}"
    return said if subject.role is None else f"{said}.{escape(subject.role)}"


def noun(about: Ref) -> str:
    """The second token of a subject: issue, repo, agent, chat, memory or fleet."""
    return _NOUNS[type(about)]


_NOUNS: dict[type[Ref], str] = {
    IssueRef: "issue",
    RepoRef: "repo",
    AgentRef: "agent",
    ChatRef: "chat",
    MemoryRef: "memory",
    FleetRef: "fleet",
}


def branch(about: Ref) -> str:
    """The subject prefix under which everything about one thing is said, without a trailing dot."""
    match about:
        case IssueRef(owner, repo, number):
            return f"rig.issue.{escape(owner)}.{escape(repo)}.{number}"
        case RepoRef(owner, repo):
            return f"rig.repo.{escape(owner)}.{escape(repo)}"
        case AgentRef(agent):
            return f"rig.agent.{escape(agent)}"
        case ChatRef(platform, conversation):
            return f"rig.chat.{escape(platform)}.{escape(conversation)}"
        case MemoryRef(scope):
            return f"rig.memory.{escape(scope)}"
        case FleetRef():
            return "rig.fleet"


def everything_about(about: Ref) -> str:
    """A filter for the whole subtree of one thing."""
    return f"{branch(about)}.>"


def assignments_of(role: str) -> str:
    """A filter for every assignment to one role."""
    return f"rig.issue.*.*.*.conductor.assigned.{escape(role)}"


def review_requests() -> str:
    """A filter for every request of a review, whoever it is asked of."""
    return "rig.issue.*.*.*.conductor.review_requested"


def reviews_wanted() -> str:
    """A filter for every pull request of people's that is to be reviewed, whoever is to do it."""
    return "rig.issue.*.*.*.*.review_wanted"


def repositories_named(repo: str) -> str:
    """A filter for what is said about every repository of that name, whoever owns it."""
    return f"rig.repo.*.{escape(repo)}.>"


@lru_cache(maxsize=65536)
def parse(text: str) -> Subject:
    """A NATS subject → Subject. Raises BadSubject with the reason."""
    match text.split("."):
        case ["rig", "issue", owner, repo, number, actor, event]:
            return Subject(_issue(owner, repo, number), unescape(actor), _event(event))
        case ["rig", "issue", owner, repo, number, actor, event, role]:
            return Subject(_issue(owner, repo, number), unescape(actor), _event(event), unescape(role))
        case ["rig", "repo", owner, repo, actor, event]:
            return Subject(RepoRef(_name(owner), _name(repo)), unescape(actor), _event(event))
        case ["rig", "agent", agent, actor, event]:
            return Subject(AgentRef(_name(agent)), unescape(actor), _event(event))
        case ["rig", "chat", platform, conversation, actor, event]:
            about = ChatRef(_name(platform), _free(conversation))
            return Subject(about, unescape(actor), _event(event))
        case ["rig", "memory", scope, actor, event]:
            return Subject(MemoryRef(_free(scope)), unescape(actor), _event(event))
        case ["rig", "fleet", actor, event]:
            return Subject(FLEET, unescape(actor), _event(event))
        case _:
            raise BadSubject(f"{text[:120]!r} is not a subject of the rig")


def ref_of(noun: str) -> type[Ref]:
    """What an event of this noun is about: the inverse of `noun`."""
    return next(ref for ref, its_noun in _NOUNS.items() if its_noun == noun)


def _issue(owner: str, repo: str, number: str) -> IssueRef:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", number):
        raise BadSubject(f"{number[:40]!r} is not an issue number")
    return IssueRef(_name(owner), _name(repo), int(number))


def _name(token: str) -> str:
    name = unescape(token)
    if not NAME.fullmatch(name):
        raise BadSubject(f"{name[:40]!r} is not a name: up to 100 letters, digits, dots, dashes and underscores")
    return name


def _free(token: str) -> str:
    """A name that a platform or a person chose."""
    text = unescape(token)
    if len(text) > 100:
        raise BadSubject(f"{text[:40]!r}… is too long: at most 100 characters")
    return text


def _event(token: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,60}", token):
        raise BadSubject(f"{token[:40]!r} is not an event name in snake_case")
    return token


__all__ = [
    "MAX_TOKEN",
    "Subject",
    "assignments_of",
    "branch",
    "escape",
    "everything_about",
    "noun",
    "parse",
    "ref_of",
    "repositories_named",
    "review_requests",
    "reviews_wanted",
    "text",
    "unescape",
]
