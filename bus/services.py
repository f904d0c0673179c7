"""Request and reply between roles, typed: a service offers endpoints, anyone on the bus asks.

Requests are for people and screens, and for the few questions that need one answerer; facts go to the log.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from bus.connection import MAX_PAYLOAD, Answer, Connection, header
from bus.errors import NoService, Refused, Unavailable
from schemas import MALFORMED

Asked = TypeVar("Asked", bound=Struct)
Answered = TypeVar("Answered", bound=Struct)

ERROR_HEADER: Final = "Nats-Service-Error"
"""Of the micro-service protocol (NATS ADR-32)."""
ANSWER_MAX: Final = MAX_PAYLOAD - 1_024
"""Bytes; the rest of a message is for headers."""

log = logging.getLogger(__name__)


class Services:
    """Endpoints offered and asked over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def serve(
        self, service: str, name: str, request: type[Asked], handler: Callable[[Asked], Awaitable[Struct]]
    ) -> None:
        """Answers requests of this type until the bus closes. A handler refuses by raising Refused."""
        decoder = msgspec.json.Decoder(request)

        async def answer(body: bytes) -> Answer:
            try:
                said = msgspec.json.encode(await handler(decoder.decode(body)))
                if len(said) > ANSWER_MAX:  # the server would not take it, and whoever asks would wait for nothing
                    return _refusal("413", f"the answer has {len(said)} bytes and a message {ANSWER_MAX}: ask for less")
                return Answer(said)
            except MALFORMED as error:
                return _refusal("400", f"not a {request.__name__}: {error}")
            except Refused as error:
                return _refusal("409", str(error))
            except Exception as error:
                log.exception("%s.%s failed", service, name)
                return _refusal("500", f"{type(error).__name__}: {error}")

        await self._connection.offer(service, name, _subject(service, name), answer)

    async def ask(
        self, service: str, name: str, request: Struct, answer: type[Answered], *, timeout_seconds: float = 5.0
    ) -> Answered:
        """Asks and waits. Raises NoService when nobody answers in time, Refused with the other side's reason."""
        try:
            message = await self._connection.request_message(
                _subject(service, name), msgspec.json.encode(request), timeout_seconds=timeout_seconds
            )
        except Unavailable as error:
            raise NoService(f"the {service} service does not answer: {error}") from error
        refusal = header(message, ERROR_HEADER)
        if refusal is not None:
            raise Refused(refusal)
        try:
            return msgspec.json.decode(message.data, type=answer)
        except MALFORMED as error:
            raise Refused(f"the {service} service answers as another version does: {error}") from None


def _subject(service: str, name: str) -> str:
    return f"ask.{service}.{name}"


def _refusal(code: str, text: str) -> Answer:
    """A header holds one line."""
    return Answer(b"", (code, " ".join(text.split())[:2_000]))
