"""One provider, over HTTP: a request out, an answer or a Failure in. It tries nothing again, and knows of no other.

Two clocks: how long it may be silent, and how long an answer may take. No answer is read beyond its bound.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, TypeAlias, TypeVar

import httpx
from msgspec import Struct

from agents.llm.answers import Answer, ErrorInstead, Malformed, Stream, read_chat, read_embeddings
from agents.llm.config import Provider
from agents.llm.errors import Failure, classify
from agents.llm.messages import ErrorKind, Tokens

__all__ = ["Endpoint", "OnPiece", "Vectors", "Waits", "key_headers"]

OnPiece: TypeAlias = Callable[[str], None]
Vectors: TypeAlias = tuple[tuple[tuple[float, ...], ...], Tokens | None]
T = TypeVar("T")

ANSWER_BYTES: Final = 32 * 1024 * 1024
ERROR_BYTES: Final = 64 * 1024
LINE_BYTES: Final = 4 * 1024 * 1024
"""Of a stream: one piece of an answer."""
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class Waits(Struct, frozen=True, kw_only=True):
    """How long is waited for a provider."""

    connect_seconds: float = 10.0
    silence_seconds: float = 120.0
    """Of a stream, between two pieces."""
    answer_seconds: float = 300.0
    """For all of an answer."""


class Endpoint:
    """Its methods raise Failure."""

    def __init__(self, client: httpx.AsyncClient, provider: Provider, waits: Waits) -> None:
        self._client = client
        self._provider = provider
        self._waits = waits

    async def answer(self, body: bytes) -> Answer:
        """One answer, whole."""

        async def read(response: httpx.Response) -> Answer:
            return self._whole(response, await _read(response, ANSWER_BYTES))

        return await self._exchange("chat/completions", body, self._waits.answer_seconds, read)

    async def streamed(self, body: bytes, on_piece: OnPiece) -> Answer:
        """One answer, and its text as it comes."""

        async def read(response: httpx.Response) -> Answer:
            if "event-stream" not in response.headers.get("content-type", ""):  # it does not stream
                answer = self._whole(response, await _read(response, ANSWER_BYTES))
                on_piece(answer.text)
                return answer
            stream = Stream()
            async for line in _lines(response):
                if piece := stream.line(line):
                    on_piece(piece)
            if stream.failure is not None:
                raise _used(classify(200, {}, stream.failure, datetime.now(UTC)), stream.tokens)
            if (answer := stream.ended()) is None:
                raise Failure(ErrorKind.NETWORK, "the answer broke off", used=True, tokens=stream.tokens)
            return answer

        return await self._exchange("chat/completions", body, self._waits.silence_seconds, read)

    async def vectors(self, body: bytes, count: int) -> Vectors:
        """A vector for each of `count` texts."""

        async def read(response: httpx.Response) -> Vectors:
            return read_embeddings(await _read(response, ANSWER_BYTES), count)

        return await self._exchange("embeddings", body, self._waits.answer_seconds, read)

    async def _exchange(
        self, path: str, body: bytes, silence_seconds: float, read: Callable[[httpx.Response], Awaitable[T]]
    ) -> T:
        try:
            async with asyncio.timeout(self._waits.answer_seconds), self._sent(path, body, silence_seconds) as response:
                if not response.is_success:
                    said = await _read(response, ERROR_BYTES, cut=True)
                    raise classify(response.status_code, response.headers, said, datetime.now(UTC))
                return await read(response)
        except Failure as failure:
            failure.detail = self._redacted(failure.detail)
            raise
        except Malformed as error:
            raise Failure(ErrorKind.INVALID, self._redacted(str(error)), used=True) from None
        except _NOT_SENT as error:
            raise Failure(ErrorKind.NETWORK, f"cannot be reached: {self._words(error)}", of_provider=True) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Failure(ErrorKind.NETWORK, self._words(error), used=True) from None
        except TimeoutError:
            detail = f"no answer after {self._waits.answer_seconds:g} s"
            raise Failure(ErrorKind.NETWORK, detail, used=True) from None

    @asynccontextmanager
    async def _sent(self, path: str, body: bytes, silence_seconds: float) -> AsyncGenerator[httpx.Response]:
        provider, waits = self._provider, self._waits
        headers = {**key_headers(provider), "Content-Type": "application/json"}
        timeout = httpx.Timeout(silence_seconds, connect=waits.connect_seconds)
        url = f"{provider.url}/{path}"
        async with self._client.stream("POST", url, content=body, headers=headers, timeout=timeout) as response:
            yield response

    def _whole(self, response: httpx.Response, body: bytes) -> Answer:
        try:
            return read_chat(body)
        except ErrorInstead:
            raise _used(classify(200, response.headers, body, datetime.now(UTC))) from None

    def _words(self, error: Exception) -> str:
        words = str(error)
        return self._redacted(f"{type(error).__name__}: {words}" if words else type(error).__name__)

    def _redacted(self, text: str) -> str:
        """Some say in an error which key it was."""
        key = self._provider.key
        return text.replace(key, "***") if key else text


def key_headers(provider: Provider) -> dict[str, str]:
    """What is sent along with every request there."""
    if not provider.key:
        return dict(provider.headers)
    if provider.key_header:
        return {**provider.headers, provider.key_header: provider.key}
    return {**provider.headers, "Authorization": f"Bearer {provider.key}"}


def _used(failure: Failure, tokens: Tokens | None = None) -> Failure:
    failure.used, failure.tokens = True, tokens
    return failure


async def _read(response: httpx.Response, most: int, *, cut: bool = False) -> bytes:
    """The body as far as it goes, which is no farther than `most`; more is Malformed, or cut off."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most:
            if cut:
                break
            raise Malformed(f"an answer of more than {most} bytes")
    return bytes(body[:most])


async def _lines(response: httpx.Response) -> AsyncGenerator[str]:
    """Lines of a stream. httpx's own end at every sign that Unicode calls a line's end, also within JSON."""
    rest, total = b"", 0
    async for chunk in response.aiter_bytes():
        total += len(chunk)
        if total > ANSWER_BYTES:
            raise Malformed(f"an answer of more than {ANSWER_BYTES} bytes")
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES:
            raise Malformed(f"a piece of an answer of more than {LINE_BYTES} bytes")
        for line in lines:
            yield line.rstrip(b"\r").decode(errors="replace")
    yield rest.rstrip(b"\r").decode(errors="replace")
