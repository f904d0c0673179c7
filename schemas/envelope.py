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
from typing import Annotated, Final, Literal, cast

import msgspec
from msgspec import Meta, Struct, field, structs

from schemas.actors import check_may_say
from schemas.decision import IssueAssigned
from schemas.errors import MALFORMED, BadSubject, SchemaError, Undecodable
from schemas.event import Event
from schemas.fields import Instant
from schemas.refs import Ref
from schemas.registry import BY_TYPE, EVENTS, by_type
from schemas.subjects import Subject, noun, parse, text
from schemas.upcast import Data, newest, upcast

MAX_BODY = 524_288
"""Bytes of one encoded event; a larger one is refused at the edge."""
_ID: Final = re.compile(r"[!-~]{1,300}")
"""An id is a header too."""


class Envelope(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):  # made by the thousand, in no cycle
    """One event with where, when, by whom and why it was said: the document itself.

    Each type of event has its own subclass, in which `data` is of that type; `envelope` and `decode` make them.
    """

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1, max_length=300)]
    source: Annotated[str, Meta(min_length=1)]
    """Who said it, more exactly than its actor: `dev-e/dev-e-1`."""
    type: str
    on: str = field(name="subject")
    """The NATS subject, as it is written."""
    time: Instant
    """The source's own clock, in UTC."""
    datacontenttype: str = ""
    correlationid: str | None = None
    """The id of the event that began all this."""
    causationid: str | None = None
    """The id of the event that led to this one."""
    traceparent: str | None = None
    data: Event

    @property
    def subject(self) -> Subject:
        return parse(self.on)

    @property
    def about(self) -> Ref:
        return parse(self.on).about

    @property
    def actor(self) -> str:
        return parse(self.on).actor

    def says_the_same(self, other: "Envelope") -> bool:
        """Whether both state one fact: equal subject and data. Time and trace may differ between two tries."""
        return self.on == other.on and self.data == other.data


class Recorded(Struct, frozen=True, gc=False):  # made by the thousand, in no cycle
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
    time: Instant | None = None
    """When it happened, for what is told on of somebody else (a webhook); None: now."""


def is_id(text: str) -> bool:
    """Whether an event may have this id: 1 to 300 visible ASCII characters."""
    return _ID.fullmatch(text) is not None


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
    if not is_id(id) or not source:
        raise BadSubject(f"{event_type.__name__} about {draft.about}: {id[:80]!r} from {source!r} cannot be its id")
    codec = _CODECS[event_type]
    try:
        codec.data.decode(_ENCODER.encode(data))
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise Undecodable(f"{event_type.__name__} about {draft.about}: {error}") from None
    return codec.kind(
        specversion="1.0",
        id=id,
        source=source,
        type=codec.wire_type,
        on=text(Subject(draft.about, actor, codec.name, _role(data))),
        time=time.astimezone(UTC),
        datacontenttype="application/json",
        correlationid=draft.correlation,
        causationid=draft.cause,
        traceparent=draft.traceparent,
        data=data,
    )


class _Codec(Struct, frozen=True):
    """What is the same for every event of one type."""

    name: str
    wire_type: str
    data: msgspec.json.Decoder[Event]
    kind: type[Envelope]
    document: msgspec.json.Decoder[Envelope]


class _Expected(Struct, frozen=True):
    """What a subject says about the document that comes on it."""

    where: Subject
    role: str | None
    wire_type: str
    decode: Callable[[bytes], Envelope]


_ENCODER = msgspec.json.Encoder()
_BY_SUBJECT = {(event.noun, event.name()): event for event in BY_TYPE.values()}


def _codec(event: type[Event]) -> _Codec:
    kind = _envelope_of(event.__name__, event)
    return _Codec(event.name(), event.wire_type(), msgspec.json.Decoder(event), kind, msgspec.json.Decoder(kind))


def _envelope_of(name: str, data: type) -> type[Envelope]:
    kind = msgspec.defstruct(
        f"Envelope[{name}]", [("data", data)], bases=(Envelope,), frozen=True, kw_only=True, gc=False
    )
    return cast("type[Envelope]", kind)


_CODECS = {event: _codec(event) for event in EVENTS}
_ANY = msgspec.json.Decoder(_envelope_of("anything", msgspec.Raw))


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
    body = _ENCODER.encode(event)
    if len(body) > MAX_BODY:
        raise Undecodable(f"{type(event.data).__name__} on {event.on}: {len(body)} bytes, at most {MAX_BODY} fit")
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
        event = expected.decode(body)
    except MALFORMED:
        return _decode_slowly(body, subject)
    if (
        event.on != subject
        or event.type != expected.wire_type
        or (expected.role is not None and expected.role != _role(event.data))
        or event.time.tzinfo is not UTC  # a foreign writer's; it may even be beyond what UTC can say
    ):
        return _decode_slowly(body, subject)
    return event


def _decode_slowly(body: bytes, subject: str | None) -> Envelope:
    """In two passes: the type first, so that what is wrong can be said exactly."""
    try:
        document = _ANY.decode(body)
        event_type = by_type(newest(document.type, BY_TYPE) or document.type)
        where = parse(document.on)
        if document.type == event_type.wire_type():
            event = _CODECS[event_type].document.decode(body)
        else:
            event = _upcast(document, event_type)
        event = structs.replace(event, time=event.time.astimezone(UTC))
    except RecursionError:
        raise Undecodable("not an event: nested too deeply") from None
    except msgspec.DecodeError as error:
        raise Undecodable(f"not an event: {error}") from None
    except (BadSubject, OverflowError) as error:
        raise Undecodable(str(error)) from None
    data = event.data
    if subject is not None and subject != event.on:
        raise Undecodable(f"the document says {event.on!r} and came on {subject!r}")
    if (where.noun, where.event) != (data.noun, data.name()):
        raise Undecodable(f"a {event.type} cannot be said on {event.on!r}")
    if where.role != _role(data):
        raise Undecodable(f"{event.on!r} does not name the role that the event is for")
    try:
        check_may_say(where.actor, event_type)
    except SchemaError as error:
        raise Undecodable(str(error)) from None
    return event


def _upcast(document: Envelope, event_type: type[Event]) -> Envelope:
    """A document of an older version as one of this. Its data are raw. Raises Undecodable, or as decoding does."""
    codec = _CODECS[event_type]
    data = msgspec.json.decode(cast("msgspec.Raw", document.data), type=Data)
    try:
        data = upcast(document.type, data, codec.wire_type)
        body = _ENCODER.encode(structs.replace(document, type=codec.wire_type, data=data))
    except Exception as error:  # noqa: BLE001 - it meets whatever a foreign writer sent
        raise Undecodable(f"a {document.type} that cannot be read as {codec.wire_type}: {error!r}") from None
    return codec.document.decode(body)


def _role(data: Event) -> str | None:
    return data.role if isinstance(data, IssueAssigned) else None
