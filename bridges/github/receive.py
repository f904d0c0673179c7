"""Webhooks: what GitHub delivers is verified, stored in the inbox as it came, and answered; nothing is interpreted.

    POST /webhooks/github
    202     stored, and on disk; or stored before (a redelivery), as the answer says
    400     no JSON object in UTF-8, nested too deeply, broken off; no event or delivery id such as GitHub makes
    401     no signature, or none by a live secret: HMAC-SHA256 over the body as it came
    404 405 elsewhere, otherwise
    408     the body comes too slowly
    413     more than 25 MiB
    415     no JSON (GitHub sends forms, too: set the webhook's content type), or compressed
    503     the bus cannot store it now, or too much is on its way here; the audit finds it in GitHub's delivery log

A signature covers the body alone. So nothing of a body is looked at before it is verified, and a header is believed to
be no more than a name: who has seen a signed body can send it again under another id. That is stored like any other,
and translated into nothing, since what it says was said before: ids of events follow from the facts (ids.py), not from
the delivery. Under the same id it is a redelivery, recognised for as long as the inbox remembers.
"""

import asyncio
import hmac
import logging
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from multidict import CIMultiDictProxy

from bus import BusError, Inbox
from machine.lifecycle import Lifecycle, Misconfigured

__all__ = ["DELIVERY", "EVENT", "KEPT", "PATH", "receiving", "serve"]

log = logging.getLogger(__name__)

PATH: Final = "/webhooks/github"
EVENT: Final = "X-GitHub-Event"
"""Header with the kind of a delivery, as the inbox keeps it."""
DELIVERY: Final = "X-GitHub-Delivery"
SIGNATURE: Final = "X-Hub-Signature-256"
KEPT: Final = (
    *(EVENT, DELIVERY, "X-GitHub-Hook-ID", "User-Agent", "Content-Type"),
    *("X-GitHub-Hook-Installation-Target-ID", "X-GitHub-Hook-Installation-Target-Type"),
    *("X-GitHub-Enterprise-Host", "X-GitHub-Enterprise-Version"),
)
"""Headers that the inbox keeps, in this spelling."""
HEADER_MAX: Final = 300
BODY_MAX: Final = 25 * 1024 * 1024
"""What GitHub sends at most."""
BODIES_MAX: Final = 128 * 1024 * 1024
"""Of all that is on its way here at a time; who sends nothing holds nothing."""
BODY_SECONDS: Final = 10.0
"""How long a body may take: GitHub gives up after so many seconds."""
STORE_SECONDS: Final = 8.0
IDLE_SECONDS: Final = 75.0
"""How long a connection may say nothing, or take for its headers."""
DRAIN_SECONDS: Final = 1.5
"""For what is on its way when we stop; twice that in all, within what a process is given."""
LINGER_SECONDS: Final = 5.0
"""How long who is refused may go on sending, so that the answer reaches him."""
LARGE: Final = 256 * 1024
"""A larger body is hashed beside the event loop."""

_SIGNATURE: Final = re.compile(r"sha256=([0-9a-f]{64})")
_EVENT: Final = re.compile(r"[a-z][a-z0-9_]{0,99}")
_DELIVERY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
"""Is it an object, and JSON all through? Nothing is built of what it holds."""
_HTTP_LOG: Final = logging.getLogger(f"{__name__}.http")
"""Of the library: it would quote what it cannot parse."""


class _Refused(Exception):
    """What is answered instead of 202."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def serve(
    inbox: Inbox,
    life: Lifecycle,
    *,
    address: str,
    secrets: Sequence[bytes],
    listening: Callable[[str], None] | None = None,
) -> None:
    """Takes deliveries in until `life.stop`, then answers those that are on their way. Raises as `receiving`.

    `listening` is told the URL, once webhooks may come.
    """
    async with receiving(inbox, address=address, secrets=secrets) as url:
        if listening is not None:
            listening(url)
        await life.stop.wait()


@asynccontextmanager
async def receiving(
    inbox: Inbox,
    *,
    address: str,
    secrets: Sequence[bytes],
    body_seconds: float = BODY_SECONDS,
    store_seconds: float = STORE_SECONDS,
) -> AsyncGenerator[str]:
    """Takes deliveries in at `address` ("host:port", port 0 for any); yields the URL for the webhook.

    `secrets`: any of them signs; two while one takes the other's place. Raises Misconfigured when there is none, or
    nobody can listen there.
    """
    if not secrets or not all(secrets):
        raise Misconfigured("no secret for webhooks: nothing unsigned is taken, so set RIG_GITHUB_WEBHOOK_SECRET")
    host, _, port = address.rpartition(":")
    _HTTP_LOG.setLevel(logging.CRITICAL)
    server = web.Server(
        _Receiver(inbox, secrets, body_seconds, store_seconds).handle,
        access_log=None,
        logger=_HTTP_LOG,
        auto_decompress=False,
        keepalive_timeout=IDLE_SECONDS,
        lingering_time=LINGER_SECONDS,
    )
    runner = web.ServerRunner(server, shutdown_timeout=DRAIN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port), backlog=1_024).start()
        except (OSError, OverflowError, ValueError) as error:  # taken, not ours, no such host; no port
            raise Misconfigured(f"RIG_HTTP {address!r}: cannot listen there: {error}") from None
        bound_host, bound_port = runner.addresses[0][:2]
        where = f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}{PATH}"
        log.info("webhooks are taken in at %s", where)
        yield where
    finally:
        await runner.cleanup()


class _Receiver:
    """Answers one request at a time, many side by side."""

    def __init__(self, inbox: Inbox, secrets: Sequence[bytes], body_seconds: float, store_seconds: float) -> None:
        self._inbox = inbox
        self._secrets = tuple(secrets)
        self._body_seconds = body_seconds
        self._store_seconds = store_seconds
        self._held = 0
        """Bytes of bodies that are here."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Whatever comes is answered, and nothing that comes ends the server."""
        try:
            if PATH not in (request.raw_path, request.path):
                raise _Refused(HTTPStatus.NOT_FOUND, f"webhooks go to {PATH}")
            if request.method != "POST":
                raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "webhooks are posted")
            return await self._receive(request)
        except _Refused as refused:
            log.info("a delivery was refused: %d %s", refused.status, refused)
            return _refusal(refused.status, str(refused), request)
        except Exception as error:
            log.exception("a delivery failed: %s", type(error).__name__)
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "a defect of the bridge: see its log", request)

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = request.headers
        _check_type(headers)
        said = _SIGNATURE.fullmatch(headers.get(SIGNATURE, ""))
        if said is None:
            raise _Refused(HTTPStatus.UNAUTHORIZED, f"no {SIGNATURE} as GitHub writes it")
        if (request.content_length or 0) > BODY_MAX:
            raise _too_large()
        body = _Body(self)
        try:
            try:
                async with asyncio.timeout(None if request.content.is_eof() else self._body_seconds):
                    await body.read(request)
            except TimeoutError:
                raise _Refused(HTTPStatus.REQUEST_TIMEOUT, f"no body in {self._body_seconds:g} s") from None
            except (web.RequestPayloadError, ConnectionError) as error:
                raise _Refused(HTTPStatus.BAD_REQUEST, f"the body breaks off ({type(error).__name__})") from None
            content = body.whole()
            hashing = asyncio.to_thread if len(content) > LARGE else _here
            if not await hashing(self._is_signed, content, bytes.fromhex(said[1])):
                raise _Refused(HTTPStatus.UNAUTHORIZED, f"{SIGNATURE} is by no secret that is known here")
            delivery = _checked(headers, DELIVERY, _DELIVERY)
            _checked(headers, EVENT, _EVENT)
            _check_json(content)
            return await self._store(delivery, _kept(headers), content)
        finally:
            self._held -= body.size

    def take(self, size: int) -> None:
        """Raises _Refused when no more fits beside what is here."""
        if self._held + size > BODIES_MAX:
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too much is on its way here at once")
        self._held += size

    def _is_signed(self, content: bytes, said: bytes) -> bool:
        """By any secret; how long it takes does not depend on which, nor on how far it is right."""
        matches = [hmac.compare_digest(hmac.digest(secret, content, "sha256"), said) for secret in self._secrets]
        return any(matches)

    async def _store(self, delivery: str, headers: dict[str, str], content: bytes) -> web.StreamResponse:
        try:
            new = await self._inbox.store(delivery, headers, content, timeout_seconds=self._store_seconds)
        except BusError as error:
            log.warning("the delivery %s is not known to be stored: %s", delivery, error)
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "it cannot be stored now") from None
        said = _STORED if new else _REDELIVERY
        return web.Response(status=HTTPStatus.ACCEPTED, body=said, content_type="application/json")


class _Body:
    """What has come of one body."""

    def __init__(self, receiver: _Receiver) -> None:
        self._receiver = receiver
        self._pieces: list[bytes] = []
        self.size = 0

    async def read(self, request: web.BaseRequest) -> None:
        """All of it; never more than fits. Raises _Refused, and what reading raises."""
        while piece := await request.content.readany():
            self._receiver.take(len(piece))
            self.size += len(piece)
            self._pieces.append(piece)
            if self.size > BODY_MAX:
                raise _too_large()

    def whole(self) -> bytes:
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


_STORED: Final = b'{"stored":true}'
_REDELIVERY: Final = b'{"stored":false,"because":"a redelivery: this delivery id is stored already"}'


async def _here(check: Callable[[bytes, bytes], bool], content: bytes, said: bytes) -> bool:
    return check(content, said)


def _too_large() -> _Refused:
    return _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {BODY_MAX} bytes")


def _check_type(headers: CIMultiDictProxy[str]) -> None:
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the webhook's content type must be application/json")
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "compressed bodies are not taken")


def _checked(headers: CIMultiDictProxy[str], name: str, wanted: re.Pattern[str]) -> str:
    value = headers.get(name)
    if value is None or wanted.fullmatch(value) is None:
        what = f"no {name}" if value is None else f"{name} is none of GitHub's"
        raise _Refused(HTTPStatus.BAD_REQUEST, what)
    return value


def _check_json(content: bytes) -> None:
    try:
        _OBJECT.decode(content)
        if not content.isascii():
            content.decode()  # the decoder does not look into strings
    except RecursionError:
        raise _Refused(HTTPStatus.BAD_REQUEST, "the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise _Refused(HTTPStatus.BAD_REQUEST, "the body is not UTF-8") from None
    except msgspec.DecodeError:
        raise _Refused(HTTPStatus.BAD_REQUEST, "the body is not a JSON object") from None


def _kept(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    found = ((name, headers.get(name)) for name in KEPT)
    return {
        name: text for name, text in found if text and len(text) <= HEADER_MAX and text.isascii() and text.isprintable()
    }


def _refusal(status: HTTPStatus, reason: str, request: web.BaseRequest) -> web.StreamResponse:
    response = web.json_response({"error": reason}, status=status)
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "POST"
    if not request.content.is_eof():  # what is left of it is not waited for longer than the answer needs
        response.force_close()
    return response
