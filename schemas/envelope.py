"""The envelope of an event: a CloudEvents 1.0 JSON document in structured mode, and its codec.

Decoding is strict about what matters (the type is known, the subject parses and fits the type, the actor may say it,
the data has its fields) and tolerant of fields that it does not know.
Source of the attribute names: CloudEvents 1.0, §"Context Attributes", with the extensions correlation, causation and
distributed tracing.
"""

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.actors import check_may_say
from schemas.errors import BadSubject, SchemaError, Undecodable
from schemas.event import Event
from schemas.fields import Instant
from schemas.issue import IssueAssigned
from schemas.refs import Ref
from schemas.registry import by_type
from schemas.subjects import Subject, noun, parse

MAX_BODY = 524_288
"""Bytes of one encoded event; a larger one is refused at the edge."""


class Envelope(Struct, frozen=True, kw_only=True):
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


def envelope(draft: Draft, *, id: str, actor: str, source: str, time: datetime) -> Envelope:  # noqa: A002 - CloudEvents' name
    """Makes a draft ready to publish. Raises NotAllowed, or BadSubject when it is about the wrong kind of thing."""
    data = draft.data
    check_may_say(actor, type(data))
    if data.noun != noun(draft.about):
        raise BadSubject(f"{type(data).__name__} is about {data.noun}, not {noun(draft.about)} {draft.about}")
    role = data.role if isinstance(data, IssueAssigned) else None
    return Envelope(
        id=id,
        source=source,
        subject=Subject(draft.about, actor, data.name(), role),
        time=time.astimezone(UTC),
        correlationid=draft.correlation,
        causationid=draft.cause,
        data=data,
    )


class _Document(Struct, frozen=True, kw_only=True, omit_defaults=True):
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
    data: msgspec.Raw


_ENCODER = msgspec.json.Encoder()
_DOCUMENT = msgspec.json.Decoder(_Document)


def encode(event: Envelope) -> bytes:
    """Envelope → JSON bytes. Raises Undecodable when they would exceed MAX_BODY, or no reader could decode them."""
    data = _ENCODER.encode(event.data)
    try:
        _decoder(type(event.data)).decode(data)
    except msgspec.DecodeError as error:
        raise Undecodable(f"{type(event.data).__name__} on {event.subject}: {error}") from None
    body = _ENCODER.encode(
        _Document(
            specversion="1.0",
            id=event.id,
            source=event.source,
            type=event.data.wire_type(),
            subject=str(event.subject),
            time=event.time,
            datacontenttype="application/json",
            correlationid=event.correlationid,
            causationid=event.causationid,
            traceparent=event.traceparent,
            data=msgspec.Raw(data),
        )
    )
    if len(body) > MAX_BODY:
        raise Undecodable(f"{type(event.data).__name__} on {event.subject}: {len(body)} bytes, at most {MAX_BODY} fit")
    return body


def decode(body: bytes, *, subject: str | None = None) -> Envelope:
    """JSON bytes → Envelope; `subject` is the NATS subject it came on, which the document must name.

    Raises UnknownType for a type of another version, Undecodable with the reason for anything else.
    """
    try:
        document = _DOCUMENT.decode(body)
        event_type = by_type(document.type)
        where = parse(document.subject)
        time = document.time.astimezone(UTC)
        data = _decoder(event_type).decode(document.data)
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
    if where.role != (data.role if isinstance(data, IssueAssigned) else None):
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


@cache
def _decoder(event: type[Event]) -> msgspec.json.Decoder[Event]:
    return msgspec.json.Decoder(event)
