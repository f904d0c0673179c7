"""The envelope of an event: a CloudEvents 1.0 JSON document in structured mode, and its codec.

Decoding is strict about what matters (the type is known, the subject parses and fits the type, the actor may say it,
the data has its fields) and tolerant of fields that it does not know. What a subject decides is looked up once per
subject, and a document is read in one pass; only what does not fit is looked at again, for the reason.
Source of the attribute names: CloudEvents 1.0, §"Context Attributes", with the extensions correlation, causation and
distributed tracing.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from schemas.actors import check_may_say
from schemas.errors import BadSubject, SchemaError, Undecodable
from schemas.event import Event
from schemas.fields import Instant
from schemas.issue import IssueAssigned
from schemas.refs import Ref
from schemas.registry import BY_TYPE, EVENTS, by_type
from schemas.subjects import Subject, noun, parse, text

MAX_BODY = 524_288
"""Bytes of one encoded event; a larger one is refused at the edge."""
_ID: Final = re.compile(r"[!-~]{1,300}")
"""An id is a header too."""


class Envelope(Struct, frozen=True, kw_only=True, gc=False):  # made by the thousand, never in a cycle
    """One event with where, when, by whom and why it was said."""

    id: str
    source: str
    """Who said it, more exactly than its actor: `dev-e/dev-e-1`."""
    subject: Subject
    time: datetime
    """The source's own clock, in UTC."""
    correlationid: str | None = None
    """The id of the event that began all this."""
    causationid: str | None = None
    """The id of the event that led to this one."""
    traceparent: str | None = None
    data: Event

    @property
    def about(self) -> Ref:
        return self.subject.about

    @property
    def actor(self) -> str:
        return self.subject.actor

    def says_the_same(self, other: "Envelope") -> bool:
        """Whether both state one fact: equal subject and data. Time and trace may differ between two tries."""
        return self.subject == other.subject and self.data == other.data


class Recorded(Struct, frozen=True):
    """An event as the log holds it."""

    position: int
    """Its sequence in the stream, from 1."""
    stored_at: datetime
    """The server's clock."""
    event: Envelope


class Draft(Struct, frozen=True, kw_only=True):
    """What somebody is about to say, before it has an id and a time."""

    about: Ref
    data: Event
    cause: str | None = None
    """Id of the event that led to it."""
    correlation: str | None = None
    traceparent: str | None = None
    """Of that event, for what nobody traces more closely."""


def envelope(draft: Draft, *, id: str, actor: str, source: str, time: datetime) -> Envelope:  # noqa: A002 - CloudEvents' name
    """Makes a draft ready to publish.

    Raises NotAllowed, BadSubject when it is about the wrong kind of thing, or Undecodable when no reader could decode
    its data.
    """
    data = draft.data
    event_type = type(data)
    check_may_say(actor, event_type)
    if data.noun != noun(draft.about):
        raise BadSubject(f"{event_type.__name__} is about {data.noun}, not {noun(draft.about)} {draft.about}")
    if not _ID.fullmatch(id) or not source:
        raise BadSubject(f"{event_type.__name__} about {draft.about}: {id[:80]!r} from {source!r} cannot be its id")
    try:
        _CODECS[event_type].data.decode(_ENCODER.encode(data))
    except msgspec.DecodeError as error:
        raise Undecodable(f"{event_type.__name__} about {draft.about}: {error}") from None
    return Envelope(
        id=id,
        source=source,
        subject=Subject(draft.about, actor, _CODECS[event_type].name, _role(data)),
        time=time.astimezone(UTC),
        correlationid=draft.correlation,
        causationid=draft.cause,
        traceparent=draft.traceparent,
        data=data,
    )


D = TypeVar("D")


class _Document(Struct, Generic[D], frozen=True, kw_only=True, omit_defaults=True, gc=False):
    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1, max_length=300)]
    source: Annotated[str, Meta(min_length=1)]
    type: str
    subject: str
    time: Instant
    datacontenttype: str = ""
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None
    data: D


class _Codec(Struct, frozen=True):
    """What is the same for every event of one type."""

    name: str
    wire_type: str
    data: msgspec.json.Decoder[Event]
    document: msgspec.json.Decoder[_Document[Event]]


class _Expected(Struct, frozen=True):
    """What a subject says about the document that comes on it."""

    where: Subject
    role: str | None
    wire_type: str
    decode: Callable[[bytes], _Document[Event]]


_ENCODER = msgspec.json.Encoder()
_ANY = msgspec.json.Decoder(_Document[msgspec.Raw])
_BY_SUBJECT = {(event.noun, event.name()): event for event in BY_TYPE.values()}


def _codec(event: type[Event]) -> _Codec:
    document: Any = _Document[event]
    return _Codec(event.name(), event.wire_type(), msgspec.json.Decoder(event), msgspec.json.Decoder(document))


_CODECS = {event: _codec(event) for event in EVENTS}


@lru_cache(maxsize=65_536)
def _expected(subject: str) -> _Expected | None:
    """None for a subject on which this version expects nothing."""
    try:
        where = parse(subject)
        event = _BY_SUBJECT[where.noun, where.event]
        check_may_say(where.actor, event)
    except (SchemaError, KeyError):
        return None
    if (where.role is None) == (event is IssueAssigned):
        return None
    codec = _CODECS[event]
    return _Expected(where, where.role, codec.wire_type, codec.document.decode)


def encode(event: Envelope) -> bytes:
    """Envelope → JSON bytes. Raises Undecodable when they would exceed MAX_BODY."""
    body = _ENCODER.encode(
        _Document(
            specversion="1.0",
            id=event.id,
            source=event.source,
            type=_CODECS[type(event.data)].wire_type,
            subject=text(event.subject),
            time=event.time,
            datacontenttype="application/json",
            correlationid=event.correlationid,
            causationid=event.causationid,
            traceparent=event.traceparent,
            data=event.data,
        )
    )
    if len(body) > MAX_BODY:
        raise Undecodable(f"{type(event.data).__name__} on {event.subject}: {len(body)} bytes, at most {MAX_BODY} fit")
    return body


def decode(body: bytes, *, subject: str | None = None) -> Envelope:
    """JSON bytes → Envelope; `subject` is the NATS subject it came on, which the document must name.

    Raises UnknownType for a type of another version, Undecodable with the reason for anything else.
    """
    if subject is None:
        return _decode_slowly(body, None)
    expected = _expected(subject)
    if expected is None:
        return _decode_slowly(body, subject)
    try:
        document = expected.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return _decode_slowly(body, subject)
    if (
        document.subject != subject
        or document.type != expected.wire_type
        or (expected.role is not None and expected.role != _role(document.data))
        or document.time.tzinfo is not UTC  # a foreign writer's; it may even be beyond what UTC can say
    ):
        return _decode_slowly(body, subject)
    return Envelope(
        id=document.id,
        source=document.source,
        subject=expected.where,
        time=document.time,
        correlationid=document.correlationid,
        causationid=document.causationid,
        traceparent=document.traceparent,
        data=document.data,
    )


def _decode_slowly(body: bytes, subject: str | None) -> Envelope:
    """In two passes: the type first, so that what is wrong can be said exactly."""
    try:
        document = _ANY.decode(body)
        event_type = by_type(document.type)
        where = parse(document.subject)
        time = document.time.astimezone(UTC)
        data = _CODECS[event_type].data.decode(document.data)
    except RecursionError:
        raise Undecodable("not an event: nested too deeply") from None
    except msgspec.DecodeError as error:
        raise Undecodable(f"not an event: {error}") from None
    except (BadSubject, OverflowError) as error:
        raise Undecodable(str(error)) from None
    if subject is not None and subject != document.subject:
        raise Undecodable(f"the document says {document.subject!r} and came on {subject!r}")
    if (where.noun, where.event) != (data.noun, data.name()):
        raise Undecodable(f"a {document.type} cannot be said on {document.subject!r}")
    if where.role != _role(data):
        raise Undecodable(f"{document.subject!r} does not name the role that the event is for")
    try:
        check_may_say(where.actor, event_type)
    except SchemaError as error:
        raise Undecodable(str(error)) from None
    return Envelope(
        id=document.id,
        source=document.source,
        subject=where,
        time=time,
        correlationid=document.correlationid,
        causationid=document.causationid,
        traceparent=document.traceparent,
        data=data,
    )


def _role(data: Event) -> str | None:
    return data.role if isinstance(data, IssueAssigned) else None
