"""Indexes of vectors, made when a search would have wanted one: HNSW over the embeddings of one model and dimension.

Few vectors are compared one by one and need none. An index is made beside everything else, on a session of its own,
while memories go on being written and found; so also after the read side was written anew, when one made first would
have cost more than all of the rest.
"""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from typing import Final

from msgspec import Struct

from conductor.beside import beside
from conductor.postgres import PostgresAway, Session, Unfit, connect
from conductor.projector.memory import space

log = logging.getLogger(__name__)

DIMENSIONS_MAX: Final = 4_000
"""What pgvector indexes of 16-bit floats; vectors with more are compared one by one, however many."""
SECONDS_MAX: Final = 3_600.0


class _Count(Struct):
    count: int


class VectorIndexes:
    """Those that are wanted."""

    def __init__(self) -> None:
        self._wanted: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._known: set[tuple[str, int]] = set()
        """Wanted, and not made yet."""

    async def want(self, session: Session, model: str, dimensions: int) -> None:
        """Asks for the index of a space, unless it is there."""
        if dimensions > DIMENSIONS_MAX or (model, dimensions) in self._known:
            return
        if not await _count(session, "vector_index_there", space(model, dimensions)):
            self._known.add((model, dimensions))
            self._wanted.put_nowait((model, dimensions))

    def kept(self, postgres_url: str) -> AbstractAsyncContextManager[None]:
        """Makes what is wanted, one after the other, until the end of the block."""
        return beside(self._keep(postgres_url))

    async def _keep(self, postgres_url: str) -> None:
        while True:
            model, dimensions = await self._wanted.get()
            try:
                session = await connect(postgres_url, name="rig vector index")
                try:
                    await make_vector_index(session, model, dimensions)
                finally:
                    await session.close()
            except (PostgresAway, Unfit) as error:
                log.warning("no index for the vectors of %s yet: %s", model, error)
            finally:
                self._known.discard((model, dimensions))  # where it failed, the next search asks again


async def make_vector_index(session: Session, model: str, dimensions: int) -> bool:
    """Makes the index of a space; its session is of no other use afterwards. False: it is there, or being made.

    Raises PostgresAway.
    """
    if not await _count(session, "try_lock_vector_indexes"):
        return False
    if await _count(session, "vector_index_there", space(model, dimensions)):
        return False
    await session.run("vector_index_settings")
    await session.run_made("drop_half_made_vector_indexes", timeout_seconds=SECONDS_MAX)
    await session.run_made("make_vector_index", space(model, dimensions), dimensions, timeout_seconds=SECONDS_MAX)
    log.info("the vectors of %s, %d dimensions, have an index", model, dimensions)
    return True


async def _count(session: Session, name: str, *arguments: object) -> int:
    found = await session.row(name, _Count, *arguments)
    return 0 if found is None else found.count
