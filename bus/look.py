"""How far a stream goes, as its leader knows it, and whether it still is the stream that was read before."""

import asyncio
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct

from bus.connection import Connection
from bus.delivery import Skipped
from bus.errors import LogChanged, ServerRefused
from bus.extent import extent, positions
from bus.leader import read_position
from bus.stored import Stored
from bus.topology import LOG, Stream
from schemas import Recorded

LOOK_SECONDS: Final = 2.0
"""How long one answer is waited for."""
NO_MESSAGE: Final = 10037
PAUSES: Final = (0.1, 0.4, 1.0, 2.0)
"""For a leader of replicas that is behind what was read: it may have been elected this moment."""


class _State(Struct):
    last_seq: int
    last_ts: datetime
    messages: int = 0


class _Replica(Struct):
    name: str = ""


class _Cluster(Struct):
    name: str = ""
    replicas: tuple[_Replica, ...] = ()


class _Info(Struct):
    created: str
    state: _State
    cluster: _Cluster = msgspec.field(default_factory=_Cluster)


class _Found(Struct):
    seq: int


class _Next(Struct):
    message: _Found


class Look:
    """Looks at one stream, again and again, and refuses one that was recreated or cut."""

    def __init__(self, connection: Connection, stream: Stream) -> None:
        self._connection = connection
        self.stream = stream
        self._created: str | None = None
        self.last_time = datetime.min.replace(tzinfo=UTC)
        """When the last message was stored."""
        self.clustered = False
        """Whether messages may pass from server to server on their way to us, where they can be lost unseen."""
        self.replicated = False
        """Whether direct get may be answered by a replica that lags."""

    async def end(self, position: int) -> int:
        """The last position stored. Raises LogChanged, when the stream is not the one that was read up to `position`.

        Raises Unavailable or ServerRefused when the server does not say.
        """
        last = await self._end()
        for pause in PAUSES if self.replicated else ():
            if last >= position:
                break
            await asyncio.sleep(pause)  # a leader that was elected this moment may not have applied everything yet
            last = await self._end()
        if last < position:
            raise LogChanged(
                f"{self.stream.name} ends at {last}, but it was read up to {position}: it was cut or rolled back, and"
                f" lacks {positions([(last + 1, position)])}"
            )
        return last

    async def confirm(self, read: Stored) -> None:
        """Raises LogChanged unless the log still holds what was read of it; other streams forget. Raises as `end`.

        To be asked once a connection was lost: a server that was given an older copy of its files may have stored
        more than was lost by then.
        """
        if self.stream.name != LOG.name:
            return
        found, known = await read_position(self._connection, read.position), read.decoded()
        if isinstance(found, Recorded) and isinstance(known, Recorded) and found.event == known.event:
            return
        if isinstance(found, Skipped) and (found.subject, found.body) == (read.subject, read.body):
            return
        raise LogChanged(
            f"{self.stream.name} holds another message at {read.position} than was read: it was rolled back"
        )

    async def _end(self) -> int:
        answer = await self._connection.api(f"$JS.API.STREAM.INFO.{self.stream.name}", timeout_seconds=LOOK_SECONDS)
        info = msgspec.json.decode(answer, type=_Info)
        if self._created not in (None, info.created):
            raise LogChanged(f"{self.stream.name} was recreated: it was made {self._created}, now {info.created}")
        if self.stream.name == LOG.name and info.state.messages != info.state.last_seq:
            gone = (await extent(self._connection, self.stream)).missing
            raise LogChanged(f"{self.stream.name} lacks {positions(gone)}: somebody has cut it")
        self._created, self.last_time = info.created, info.state.last_ts
        self.clustered, self.replicated = bool(info.cluster.name), bool(info.cluster.replicas)
        return info.state.last_seq

    async def next_of(self, subject: str, after: int) -> int | None:
        """The leader's word on where the next message of a filter stands; raises as `end` does."""
        try:
            answer = await self._connection.api(
                f"$JS.API.STREAM.MSG.GET.{self.stream.name}",
                {"seq": after + 1, "next_by_subj": subject},
                timeout_seconds=LOOK_SECONDS,
            )
        except ServerRefused as error:
            if error.code == NO_MESSAGE:
                return None
            raise
        return msgspec.json.decode(answer, type=_Next).message.seq
