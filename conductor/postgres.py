"""A session with PostgreSQL, kept: opened, migrated, watched, opened anew with back-off when it is lost.

The only file that knows asyncpg, which has no types; behind it statements go by name (conductor/sql) and rows are
Structs. Postgres is never on the work path: when it is away, whoever needs it waits here and says so.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, TypeVar

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import msgspec
from msgspec import Struct

from conductor.beside import until
from conductor.migrations import Applied, Migrated, Plan, plan
from conductor.sql import migrations, statement
from machine.lifecycle import Lifecycle, Misconfigured

log = logging.getLogger(__name__)

_connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
T = TypeVar("T")

CONNECT_SECONDS: Final = 3.0
STATEMENT_SECONDS: Final = 30.0
MIGRATION_SECONDS: Final = 3_600.0
IDLE_STATEMENTS: Final = 10.0
"""How long a transaction may ask nothing: as long as so many statements may take. It holds locks, and a client whose
machine is gone does not say so."""
_TROUBLE: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # also when the connection breaks at a bad moment: measured with a killed server
    OSError,
    TimeoutError,
)
_UNFIT: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,  # a value that the client cannot say to the server
)
NO_VECTORS: Final = "the pgvector extension is missing on this server"
GET_VECTORS: Final = (
    "install it beside the server (Debian's postgresql-18-pgvector, the image pgvector/pgvector): no restart is needed"
)
PAUSE_SECONDS: Final = (0.05, 2.0)
"""Before another attempt: at first, and at most; doubled in between."""
STEADY_SECONDS: Final = 1.0
"""A session that lasted as long was a good one: after it the pauses begin anew."""


class PostgresAway(Exception):
    """PostgreSQL did not do what was asked: it is not there, it went, or it refuses; the message says which."""


class NoRoom(PostgresAway):
    """PostgreSQL is there, and out of what it needs: disk, memory, connections. What was asked can be asked again."""


class Unfit(Exception):
    """PostgreSQL is there, and refuses what it was given: the message says what is wrong with it."""


class _Count(Struct):
    count: int


class _Made(Struct):
    statement: str


class Session:
    """One connection. Its methods raise PostgresAway, or Unfit for what no table takes."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.lost = asyncio.Event()
        """Set when the connection is gone."""

        def went(_: object) -> None:
            self.lost.set()

        connection.add_termination_listener(went)

    @property
    def server_version(self) -> str:
        """As the server itself writes it: 18.6."""
        return str(self._connection.get_settings().server_version)

    async def rows(self, name: str, shape: type[T], *arguments: object, table: str | None = None) -> list[T]:
        """What the named statement finds, each row as a `shape` of its columns."""
        with _away():
            found = await self._connection.fetch(statement(name, table), *arguments)
        return [msgspec.convert(dict(row), shape) for row in found]

    async def row(self, name: str, shape: type[T], *arguments: object) -> T | None:
        """The first row, or None."""
        found = await self.rows(name, shape, *arguments)
        return found[0] if found else None

    async def run(self, name: str, *arguments: object, table: str | None = None) -> None:
        """Executes the named statement."""
        with _away():
            await self._connection.execute(statement(name, table), *arguments)

    async def copy(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Writes new rows into rig.<table>, in bulk."""
        with _away():
            await self._connection.copy_records_to_table(table, schema_name="rig", columns=columns, records=rows)

    async def run_made(self, name: str, *arguments: object, timeout_seconds: float) -> None:
        """Executes the statements that the named one makes, for what no parameter can be; each on its own."""
        for made in await self.rows(name, _Made, *arguments):
            with _away():
                await self._connection.execute(made.statement, timeout=timeout_seconds)

    @asynccontextmanager
    async def transaction(self, *, snapshot: bool = False) -> AsyncGenerator[None]:
        """All or nothing. `snapshot`: for reading alone, everything as of one moment."""
        isolation = "repeatable_read" if snapshot else "read_committed"
        with _away():
            transaction = self._connection.transaction(isolation=isolation, readonly=snapshot)
            await transaction.start()
        try:
            yield
        except BaseException:
            with suppress(PostgresAway), _away():
                await transaction.rollback()
            raise
        with _away():
            await transaction.commit()

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Calls `heard` with the payload of every notification on a channel, until the session ends."""

        def notified(_connection: object, _process: int, _channel: str, payload: str) -> None:
            heard(payload)

        with _away():
            await self._connection.add_listener(channel, notified)

    async def migrate(self, *, post: bool = False) -> Migrated:
        """Brings the tables to this version's form. Several may try at once: one does it.

        `post`: also what waits until the read side has caught up. Raises WrongTables, and nothing is changed.
        """
        async with self.transaction():
            await self.run("lock_migrations")
            due = await self._due()
            for name in ("create_schema", "create_migrations", "sign_migrations"):
                await self.run(name)
            now = (*due.pre, *due.post) if post else due.pre
            for migration in now:
                with _away():
                    await self._connection.execute(migration.text, timeout=MIGRATION_SECONDS)
                log.info("migrated the read side: %s", migration.name)
            for migration in (*due.unsigned, *now):
                await self.run("record_migration", migration.name, migration.checksum)
        waiting = () if post else tuple(one.name for one in due.post)
        return Migrated(tuple(one.name for one in now), waiting)

    async def migrations_due(self) -> Migrated:
        """What `migrate` would do, and what would wait then; nothing is changed. Raises as that does."""
        due = await self._due()
        return Migrated(tuple(one.name for one in due.pre), tuple(one.name for one in due.post))

    async def _due(self) -> Plan:
        there = await self.row("migrations_there", _Count)
        due = plan(migrations(), await self.rows("migrated", Applied) if there and there.count else ())
        if due.pre and not await has_vectors(self):
            raise PostgresAway(f"PostgreSQL: {NO_VECTORS}: {GET_VECTORS}")
        return due

    async def close(self) -> None:
        """Ends the session, at once where PostgreSQL does not answer any more."""
        with suppress(PostgresAway), _away():
            await self._connection.close(timeout=2)
        self._connection.terminate()


async def connect(url: str, *, name: str, statement_seconds: float = STATEMENT_SECONDS) -> Session:
    """A session on a migrated database. Raises PostgresAway, WrongTables, or Misconfigured for a URL that is none."""
    session = await open_session(url, name=name, statement_seconds=statement_seconds)
    try:
        await session.migrate()
    except BaseException:
        await session.close()
        raise
    return session


class Seen(Struct, frozen=True):
    """A server, as one looks at it from outside."""

    version: str
    vectors: bool
    """Whether pgvector is installed there, without which there is no read side."""


async def look(url: str, *, name: str) -> Seen:
    """What kind of server it is, for people; nothing is changed there. Raises PostgresAway, or Misconfigured."""
    session = await open_session(url, name=name)
    try:
        return Seen(session.server_version, await has_vectors(session))
    finally:
        await session.close()


async def has_vectors(session: Session) -> bool:
    """Whether the server has pgvector, in this database or to be made there."""
    found = await session.row("has_vectors", _Count)
    return found is not None and found.count > 0


async def open_session(url: str, *, name: str, statement_seconds: float = STATEMENT_SECONDS) -> Session:
    """A session on a database as it is. Raises PostgresAway, or Misconfigured for a URL that is none."""
    try:
        with _away():
            connection: Any = await _connect(
                url,
                timeout=CONNECT_SECONDS,
                command_timeout=statement_seconds,
                server_settings={
                    "application_name": name,
                    # Nothing is lost with the last transactions: they are written again from the log.
                    "synchronous_commit": "off",
                    "idle_in_transaction_session_timeout": str(round(IDLE_STATEMENTS * statement_seconds * 1_000)),
                },
            )
    except asyncpg.ClientConfigurationError as error:
        raise Misconfigured(f"the PostgreSQL URL does not do: {error}") from None
    return Session(connection)


async def keep_session(
    url: str,
    lifecycle: Lifecycle,
    work: Callable[[Session], Coroutine[None, None, None]],
    *,
    name: str,
    statement_seconds: float = STATEMENT_SECONDS,
) -> None:
    """Does `work`, which never ends by itself, on a session, and on a new one when that was lost, until asked to stop.

    The lifecycle's check "postgres" is false meanwhile; `work` makes it true. What else `work` raises ends this too.
    """
    clock = asyncio.get_running_loop().time
    pause, longest = PAUSE_SECONDS
    while not lifecycle.stop.is_set():
        began = clock()
        try:
            session = await connect(url, name=name, statement_seconds=statement_seconds)
            try:
                await until(lifecycle.stop, until(session.lost, work(session)))
            finally:
                await session.close()
            if lifecycle.stop.is_set():
                return
            raise PostgresAway("PostgreSQL: the connection was lost")
        except PostgresAway as error:
            lifecycle.check("postgres", ok=False, detail=str(error))
            lifecycle.ready()  # the start is over, and how it went is known
        pause = PAUSE_SECONDS[0] if clock() - began > STEADY_SECONDS else min(2 * pause, longest)
        await until(lifecycle.stop, asyncio.sleep(pause))


@contextmanager
def _away() -> Generator[None]:
    """Turns what asyncpg and the network raise into PostgresAway (also NoRoom), or Unfit."""
    try:
        yield
    except asyncpg.ClientConfigurationError:
        raise
    except asyncpg.PostgresError as error:
        if isinstance(error, asyncpg.InsufficientResourcesError) or _cannot_extend(error):
            raise NoRoom(f"PostgreSQL has no room: {type(error).__name__}: {error}") from error
        if isinstance(error, _UNFIT):
            raise Unfit(f"PostgreSQL: {type(error).__name__}: {error}") from error
        raise PostgresAway(f"PostgreSQL: {type(error).__name__}: {error}") from error
    except _UNFIT as error:
        raise Unfit(f"PostgreSQL: {type(error).__name__}: {error}") from error
    except _TROUBLE as error:
        said = str(error) or "no answer in time"
        raise PostgresAway(f"PostgreSQL: {type(error).__name__}: {said}") from error


def _cannot_extend(error: Any) -> bool:
    """A table's file cannot grow. Not every such failure of the system has a class of its own among PostgreSQL's."""
    return error.server_source_function in ("mdextend", "mdzeroextend")
