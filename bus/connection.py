"""One connection to the log's server, as the rest of this room uses it: publish, subscribe, ask.

The client library is client.py's business. Whatever carries messages and answers the JetStream API as nats-server does
can stand in its place, so everything above this file is the same code on every carrier.
"""

import asyncio
import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from bus.errors import Conflict, NoResponder, NotPermitted, ServerRefused, Unavailable
from bus.restored import Ranges

log = logging.getLogger(__name__)

MAX_PAYLOAD: Final = 1024 * 1024
"""Bytes of one message that a server must take, its headers with it: who says more is cut off by it."""
CONFLICT_CODES: Final = frozenset({10071, 10164})
"""Wrong last sequence; the same on a replicated stream while another is in flight."""

REFUSALS_KEPT: Final = 64
"""Subjects that the server has refused us, of those that came last."""
PASSING_CODES: Final = frozenset({429, 503})
"""Not now: no leader, no space, too much at once. As with silence, it may be tried again."""
IN_PROCESS: Final = 10158
"""The same id is being replicated at this moment: as after a silence, one looks, and finds it."""
OFF_CODES: Final = frozenset({10039, 10076})
"""JetStream is off for the account, or the server; the server says 503 of that too, and it does not pass."""


class Message(Protocol):
    """What a subscription hands over."""

    subject: str
    reply: str
    """Where an answer goes; empty when none is wanted."""
    data: bytes
    headers: dict[str, str] | None


class Subscription(Protocol):
    """A plain subscription."""

    async def unsubscribe(self) -> None:
        """Ends it; what is on the way by then is still heard. Raises Unavailable when the connection is closed."""
        ...


Heard: TypeAlias = Callable[[Message], None]
"""Hears each message of a subscription, in order. It must be quick and must not raise."""


class Answer(Struct, frozen=True):
    """What an endpoint answers: a body, or why not."""

    body: bytes
    refusal: tuple[str, str] | None = None
    """Code and one line of description."""


class _ApiError(Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _ApiAnswer(Struct, frozen=True):
    error: _ApiError | None = None


class Connection(ABC):
    """A connection that is up. It connects again by itself for as long as it takes; `close` ends it."""

    def __init__(self, principal: str) -> None:
        """`principal`: whose key it holds, as refusals name it."""
        self._principal = principal
        self._answers_to = ""
        self._tokens = itertools.count(1)
        self._waiting: dict[str, tuple[str, asyncio.Future[Message]]] = {}
        self._refused: dict[str, NotPermitted] = {}
        self.closed = asyncio.Event()
        """Set when the connection is gone for good."""
        self.lossy: str | None = None
        """How the server may lose what it has acknowledged, since somebody accepted that; None when it does not."""
        self.restored: Ranges = ()
        """Which positions of the log were put back, as it was when we connected."""

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether the server is there at this moment."""

    @property
    @abstractmethod
    def reconnects(self) -> int:
        """How often it was lost and has come back; what was said in between was not heard."""

    @property
    @abstractmethod
    def server_version(self) -> str:
        """Of the server that it is connected to, for people."""

    @abstractmethod
    def now(self) -> datetime:
        """This side's clock, in UTC."""

    @abstractmethod
    def clock(self) -> float:
        """Seconds, for measuring: it goes on while the process is stopped, and on Linux while the machine sleeps."""

    @abstractmethod
    def inbox(self) -> str:
        """A new subject for answers, which nobody else may read."""

    @abstractmethod
    async def publish(
        self, subject: str, body: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Fire and forget. Raises Unavailable when the connection is closed or its buffer is full."""

    async def publish_many(self, messages: Sequence[tuple[str, bytes, Mapping[str, str]]]) -> None:
        """As `publish` of each (subject, body, headers) in turn, for many at once."""
        for subject, body, headers in messages:
            await self.publish(subject, body, headers=headers)

    async def subscribe(self, subject: str, heard: Heard, *, queue: str = "") -> Subscription:
        """A plain subscription. Raises Unavailable when the connection is closed, or NotPermitted."""
        self._refused.pop(subject.lower(), None)
        subscription = await self._subscribe(subject, heard, queue)
        if not subject.startswith("_INBOX."):  # our own
            with suppress(Unavailable):
                await self.check()  # by its answer the server has refused the subscription, or has not
            self._raise_refused(subject)
        return subscription

    async def offer(self, service: str, name: str, subject: str, answer: Callable[[bytes], Awaitable[Answer]]) -> None:
        """An endpoint of a micro-service: answers requests, each in a task of its own, until `close`.

        Raises Unavailable, or NotPermitted.
        """
        self._refused.pop(subject.lower(), None)
        await self._offer(service, name, subject, answer)
        await self.check()  # from here on the server knows who answers, or has refused it
        self._raise_refused(subject)

    @abstractmethod
    async def _subscribe(self, subject: str, heard: Heard, queue: str) -> Subscription:
        """As `subscribe`, as soon as the server is told."""

    @abstractmethod
    async def _offer(self, service: str, name: str, subject: str, answer: Callable[[bytes], Awaitable[Answer]]) -> None:
        """As `offer`, as soon as the server is told."""

    @abstractmethod
    async def close(self) -> None:
        """Flushes what was published and closes. Requests under way end."""

    async def check(self) -> None:
        """Proof that the read loop lives and JetStream answers. Raises Unavailable or ServerRefused."""
        await self.api("$JS.API.INFO", timeout_seconds=2.0)

    async def request(
        self, subject: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None, timeout_seconds: float = 5.0
    ) -> bytes:
        """One request, one answer. Raises Unavailable when none comes within the deadline, or NotPermitted at once."""
        return (await self.request_message(subject, body, headers=headers, timeout_seconds=timeout_seconds)).data

    async def request_message(
        self, subject: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None, timeout_seconds: float = 5.0
    ) -> Message:
        """As `request`, with the answer's headers."""
        token = f"{next(self._tokens)}"
        answered: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[token] = subject, answered
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.publish(subject, body, reply=f"{self._answers_to}.{token}", headers=headers)
                message = await answered
        except TimeoutError:
            raise Unavailable(f"no answer on {subject} within {timeout_seconds:g} s") from None
        finally:
            del self._waiting[token]
        if header(message, "Status") == "503" and header(message, "Nats-Sequence") is None:
            raise NoResponder(f"nobody answers on {subject}")
        return message

    async def api(self, subject: str, request: object = None, *, timeout_seconds: float = 5.0) -> bytes:
        """One call of the JetStream API. Raises ServerRefused (or Conflict) with its reason, or Unavailable."""
        body = b"" if request is None else msgspec.json.encode(request)
        answer = await self.request(subject, body, timeout_seconds=timeout_seconds)
        raise_refusal(subject, answer)
        return answer

    def not_permitted(self, subjects: Iterable[str]) -> NotPermitted | None:
        """The refusal of one of these subjects, if the server has lately refused one.

        For who published a part of something and now hears that the whole is incomplete: the server tells a refusal
        before it answers what was said later.
        """
        return next((found for each in subjects if (found := self._refused.get(each.lower())) is not None), None)

    def _refuse(self, verb: str, subject: str) -> None:
        """The server has refused to let us `verb` a subject, which it says in small letters.

        Ends the requests that wait on it; with none, nobody else would say it.
        """
        refused = subject.lower()
        waiting = [(asked, each) for asked, each in self._waiting.values() if asked.lower() == refused]
        refusal = NotPermitted(self._principal, verb, next((asked for asked, _ in waiting), refused))
        self._refused.pop(refused, None)
        self._refused[refused] = refusal
        if len(self._refused) > REFUSALS_KEPT:
            del self._refused[next(iter(self._refused))]
        for _, each in waiting:
            if not each.done():
                each.set_exception(refusal)
        if not waiting:
            log.error("%s", refusal)

    def _give_up(self) -> None:
        """Nobody will answer any more; for `close` of who implements this."""
        for subject, waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Unavailable(f"no answer on {subject}: the connection was closed"))

    def _raise_refused(self, subject: str) -> None:
        if (refusal := self.not_permitted([subject])) is not None:
            raise refusal

    async def _listen(self) -> None:
        """One subscription for the answers to all requests; for `connect` of who implements this."""

        def answered(message: Message) -> None:
            _, waiting = self._waiting.get(message.subject.rpartition(".")[2], ("", None))
            if waiting is not None and not waiting.done():
                waiting.set_result(message)

        self._answers_to = self.inbox()
        await self.subscribe(f"{self._answers_to}.*", answered)


def check_size(subject: str, body: bytes, headers: Mapping[str, str] | None) -> None:
    """Raises Unavailable for what the server would cut us off for. Of headers the server counts every byte."""
    size = frame_size(body, headers)
    if size > MAX_PAYLOAD:
        raise Unavailable(f"cannot publish on {subject}: {size} bytes with its headers, at most {MAX_PAYLOAD} fit")


def frame_size(body: bytes, headers: Mapping[str, str] | None) -> int:
    """Bytes of a message as the server counts them."""
    if not headers:
        return len(body)
    return len(body) + len("NATS/1.0\r\n\r\n") + sum(len(f"{n}: {v}\r\n".encode()) for n, v in headers.items())


def raise_refusal(what: str, answer: bytes) -> None:
    """Raises what a JetStream answer holds of an error: Unavailable for one that passes, else ServerRefused."""
    try:
        error = msgspec.json.decode(answer, type=_ApiAnswer).error
    except msgspec.DecodeError as problem:
        raise ServerRefused(what, 0, f"an answer that is not JSON: {problem}") from None
    if error is not None:
        passing = error.code in PASSING_CODES and error.err_code not in OFF_CODES
        if passing or error.err_code == IN_PROCESS:
            raise Unavailable(f"{what}: {error.description} ({error.err_code})")
        kind = Conflict if error.err_code in CONFLICT_CODES else ServerRefused
        raise kind(what, error.err_code, error.description)


def header(message: Message, name: str) -> str | None:
    """One header of a message."""
    return message.headers.get(name) if message.headers else None
