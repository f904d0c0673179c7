"""Request and reply between roles, typed: a service offers endpoints, anyone on the bus asks.

Rides on the client's micro-services (`nats micro ls` lists them). Requests are for people and screens, and for the few
questions that need one answerer; facts go to the log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from msgspec import Struct
from nats.micro import add_service  # pyright: ignore[reportUnknownVariableType] - untyped **kwargs
from nats.micro.request import ERROR_HEADER, Request
from nats.micro.service import Service

from bus.connection import Connection, header
from bus.errors import NoService, Refused, Unavailable

Asked = TypeVar("Asked", bound=Struct)
Answered = TypeVar("Answered", bound=Struct)

VERSION = "1.0.0"

log = logging.getLogger(__name__)


class Services:
    """Endpoints offered and asked over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._offered: dict[str, Service] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def serve(
        self, service: str, name: str, request: type[Asked], handler: Callable[[Asked], Awaitable[Struct]]
    ) -> None:
        """Answers requests of this type until the bus closes. A handler refuses by raising Refused."""
        if service not in self._offered:
            self._offered[service] = await add_service(self._connection.client, name=service, version=VERSION)
        decoder = msgspec.json.Decoder(request)

        async def answer(asked: Request) -> None:
            try:
                given = await handler(decoder.decode(asked.data))
            except msgspec.DecodeError as error:
                await asked.respond_error("400", _line(f"not a {request.__name__}: {error}"))
            except Refused as error:
                await asked.respond_error("409", _line(str(error)))
            except Exception as error:
                log.exception("%s.%s failed", service, name)
                await asked.respond_error("500", _line(f"{type(error).__name__}: {error}"))
            else:
                await asked.respond(msgspec.json.encode(given))

        async def received(asked: Request) -> None:
            answering = asyncio.create_task(answer(asked))
            self._answering.add(answering)
            answering.add_done_callback(self._answering.discard)

        await self._offered[service].add_endpoint(name=name, subject=_subject(service, name), handler=received)
        await self._connection.check()  # from here on the server knows who answers

    async def ask(
        self, service: str, name: str, request: Struct, answer: type[Answered], *, timeout_seconds: float = 5.0
    ) -> Answered:
        """Asks and waits. Raises NoService when nobody answers in time, Refused with the other side's reason."""
        try:
            message = await self._connection.request_message(
                _subject(service, name), msgspec.json.encode(request), timeout_seconds=timeout_seconds
            )
        except Unavailable as error:
            raise NoService(f"the {service} service does not answer: {error}") from None
        refusal = header(message, ERROR_HEADER)
        if refusal is not None:
            raise Refused(refusal)
        try:
            return msgspec.json.decode(message.data, type=answer)
        except msgspec.DecodeError as error:
            raise Refused(f"the {service} service answers as another version does: {error}") from None

    async def close(self) -> None:
        """Takes no more requests, and ends those under way."""
        for service in self._offered.values():
            await service.stop()
        for answering in self._answering:
            answering.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        self._offered.clear()


def _subject(service: str, name: str) -> str:
    return f"ask.{service}.{name}"


def _line(text: str) -> str:
    """A header holds one line."""
    return " ".join(text.split())[:2_000]
