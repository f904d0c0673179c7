"""Objects: what is too large for a message, such as the archive of a session, kept for 30 days.

    object.<role>.data.<digest>.<put>     the chunks of one content, in order
    object.<role>.content.<digest>        a content that is complete: how many chunks, and of which put
    object.<role>.name.<name>             what the name stands for now

The chunks come first, in atomic batches; the last batch is the two words that make them visible, so a put that dies on
the way leaves nothing but chunks that nobody refers to, which age out. A content that a role has stored within a day is
not stored again, whatever its name.
"""

import asyncio
import logging
import tempfile
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from hashlib import sha256
from typing import IO, Final, NamedTuple

import msgspec
from msgspec import Struct

from bus.connection import Connection, raise_refusal
from bus.errors import Conflict, ObjectCorrupt, ObjectMissing, ObjectTooLarge, ServerRefused, Unavailable
from bus.replay import replay
from bus.stored import Stored, last
from bus.topology import OBJECTS
from schemas import MALFORMED, Actor, escape

log = logging.getLogger(__name__)

MAX_BYTES: Final = 64 * 1024 * 1024
CHUNK_BYTES: Final = 256 * 1024
BATCH_CHUNKS: Final = 16
"""Of one atomic batch: 4 MiB, far below what a connection buffers."""
SPOOL_BYTES: Final = 4 * 1024 * 1024
"""What a put keeps in memory; the rest waits in a file until the digest is known."""
REUSE: Final = timedelta(days=1)
"""A younger content is not stored again. Its chunks age out so much earlier than the name that refers to them."""
PATIENCE_SECONDS: Final = 5.0
"""With a server that does not answer to a batch."""
PAUSE_SECONDS: Final = 0.2
"""Before trying again what the server did not answer."""
INCOMPLETE_BATCH: Final = 10176
"""The server has not the whole batch: it was restarted in the middle."""
INDEX: Final = "Rig-Chunk"
"""Header of a chunk: its number, from 0."""

Progress = Callable[[int, int], None]
"""Hears how many bytes are stored, of how many."""


class Object(Struct, frozen=True):
    """What a name stands for."""

    digest: str
    """SHA-256 in hexadecimal."""
    size: int
    chunks: int
    put: str
    """Token of the put that stored the chunks."""
    content_type: str


class _Ack(Struct):
    seq: int


class _Word(NamedTuple):
    """A message that is to be stored."""

    subject: str
    body: bytes
    headers: dict[str, str]


class Objects:
    """The objects of one role; those of others are read alike."""

    def __init__(self, connection: Connection, actor: Actor) -> None:
        self._connection = connection
        self._actor = actor

    async def put(
        self,
        name: str,
        content: bytes | AsyncIterable[bytes],
        *,
        content_type: str = "application/octet-stream",
        progress: Progress | None = None,
        timeout_seconds: float = 60.0,
    ) -> Object:
        """Stores a content under a name, in the place of what stood there. Repeating it is harmless.

        Raises ObjectTooLarge beyond MAX_BYTES, BadSubject, ServerRefused, or Unavailable at the deadline.
        """
        named = f"object.{escape(self._actor)}.name.{escape(name)}"
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            size, digest = await _spool(name, content, spool)
            upload = _Upload(self._connection, self._actor, spool, digest=digest, size=size, progress=progress)
            try:
                async with asyncio.timeout(timeout_seconds):
                    while True:
                        try:
                            return await self._put(upload, named, content_type)
                        except Conflict:
                            log.info("the object %s: somebody else stores the same at this moment", name)
                        except Unavailable as error:
                            log.info("the object %s is not stored yet: %s", name, error)
                            await asyncio.sleep(PAUSE_SECONDS)
            except TimeoutError:
                raise Unavailable(f"the object {name} could not be stored within {timeout_seconds:g} s") from None

    async def stat(self, name: str, *, role: Actor | None = None) -> Object:
        """What a name stands for. Raises ObjectMissing, BadSubject, Unavailable or ServerRefused."""
        subject = f"object.{escape(role or self._actor)}.name.{escape(name)}"
        found = _object(await last(self._connection, OBJECTS, subject))
        if found is None:
            raise ObjectMissing(f"{role or self._actor} has no object {name}; objects are kept for 30 days")
        return found

    async def get(self, name: str, *, role: Actor | None = None) -> AsyncGenerator[bytes]:
        """The chunks of what a name stands for; of this role or another's. Only at its end is the content verified.

        Close it when you stop early (`contextlib.aclosing`). Raises ObjectMissing (aged out in the meantime, too),
        ObjectCorrupt, BadSubject, Unavailable or ServerRefused.
        """
        wanted = await self.stat(name, role=role)
        subject = f"object.{escape(role or self._actor)}.data.{escape(wanted.digest)}.{escape(wanted.put)}"
        digest, size, count = sha256(), 0, 0
        async with aclosing(replay(self._connection, [subject], stream=OBJECTS)) as batches:
            async for batch in batches:
                for chunk in batch:
                    if chunk.headers.get(INDEX) != str(count):
                        break
                    count += 1
                    size += len(chunk.body)
                    digest.update(chunk.body)
                    yield chunk.body
        if count == 0 < wanted.chunks:
            raise ObjectMissing(f"the object {name} has aged out; objects are kept for 30 days")
        if (count, size, digest.hexdigest()) != (wanted.chunks, wanted.size, wanted.digest):
            raise ObjectCorrupt(
                f"the object {name} is not what was stored: {count} of {wanted.chunks} chunks,"
                f" {size} of {wanted.size} bytes"
            )

    async def _put(self, upload: "_Upload", named: str, content_type: str) -> Object:
        """Goes on from where the last try stopped. Raises Conflict, Unavailable or ServerRefused: not yet."""
        known = await last(self._connection, OBJECTS, upload.complete)
        content = _object(known)
        young = known is not None and _is_young(known.stored_at, self._connection.now())
        if content is not None and young:
            stands = await last(self._connection, OBJECTS, named)
            content = msgspec.structs.replace(content, content_type=content_type)
            if stands is None or _object(stands) != content or not _is_young(stands.stored_at, self._connection.now()):
                await _store(self._connection, [_Word(named, msgspec.json.encode(content), {})])
            return content
        await upload.send()
        content = upload.content(content_type)
        body = msgspec.json.encode(content)
        expected = {"Nats-Expected-Last-Subject-Sequence": str(known.position if known is not None else 0)}
        await _store(self._connection, [_Word(upload.complete, body, expected), _Word(named, body, {})])
        return content


class _Upload:
    """The chunks of one put, on their way."""

    def __init__(
        self,
        connection: Connection,
        actor: Actor,
        spool: IO[bytes],
        *,
        digest: str,
        size: int,
        progress: Progress | None,
    ) -> None:
        self._connection = connection
        self._digest = digest
        self._size = size
        self._spool = spool
        self._progress = progress
        self._put = uuid.uuid4().hex
        self._subject = f"object.{escape(actor)}.data.{digest}.{self._put}"
        self._chunks = -(-size // CHUNK_BYTES)
        self._sent = 0
        self._position = 0
        self._in_doubt = False
        self.complete = f"object.{escape(actor)}.content.{digest}"

    def content(self, content_type: str) -> Object:
        """What is there once everything is sent."""
        return Object(self._digest, self._size, self._chunks, self._put, content_type)

    async def send(self) -> None:
        """Sends what has not been sent yet. Raises Unavailable or ServerRefused; calling it again goes on."""
        while self._sent < self._chunks:
            if self._in_doubt:
                await self._look()
                continue
            self._in_doubt = True
            upto = min(self._sent + BATCH_CHUNKS, self._chunks)
            self._position = await _store(self._connection, [self._chunk(index) for index in range(self._sent, upto)])
            self._sent, self._in_doubt = upto, False
            if self._progress is not None:
                self._progress(min(upto * CHUNK_BYTES, self._size), self._size)

    def _chunk(self, index: int) -> _Word:
        headers = {INDEX: str(index)}
        if index == self._sent:  # a batch that we had given up must not come after all
            headers["Nats-Expected-Last-Subject-Sequence"] = str(self._position)
        self._spool.seek(index * CHUNK_BYTES)
        return _Word(self._subject, self._spool.read(CHUNK_BYTES), headers)

    async def _look(self) -> None:
        """The acknowledgement of a batch did not come; the batch may be there."""
        found = await last(self._connection, OBJECTS, self._subject)
        if found is not None:
            self._sent, self._position = int(found.headers[INDEX]) + 1, found.position
        self._in_doubt = False


async def _spool(name: str, content: bytes | AsyncIterable[bytes], spool: IO[bytes]) -> tuple[int, str]:
    """Size and digest, with the content in the spool."""
    size, digest = 0, sha256()
    async for piece in _pieces(content):
        size += len(piece)
        if size > MAX_BYTES:
            raise ObjectTooLarge(f"the object {name} has more than {MAX_BYTES} bytes")
        digest.update(piece)
        spool.write(piece)
    return size, digest.hexdigest()


async def _pieces(content: bytes | AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    if isinstance(content, bytes):
        yield content
    else:
        async for piece in content:
            yield piece


async def _store(connection: Connection, words: Sequence[_Word]) -> int:
    """Stores all or none in one try; the position of the last. Raises Conflict, Unavailable or ServerRefused."""
    batch, commit = uuid.uuid4().hex, words[-1]
    for number, word in enumerate(words[:-1], start=1):
        headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
        await connection.publish(word.subject, word.body, headers=word.headers | headers)
    ends = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(len(words)), "Nats-Batch-Commit": "1"}
    answer = await connection.request(
        commit.subject, commit.body, headers=commit.headers | ends, timeout_seconds=PATIENCE_SECONDS
    )
    try:
        raise_refusal(f"storing on {commit.subject}", answer)
    except ServerRefused as refused:
        if refused.code == INCOMPLETE_BATCH:
            raise Unavailable(str(refused)) from None
        raise
    return msgspec.json.decode(answer, type=_Ack).seq


def _object(stored: Stored | None) -> Object | None:
    """None when nothing is there, or nothing that this version knows."""
    try:
        return None if stored is None else msgspec.json.decode(stored.body, type=Object)
    except MALFORMED:
        return None


def _is_young(stored_at: datetime, now: datetime) -> bool:
    return now - stored_at < REUSE
