"""Whether a server can keep the promises that are made on it: asked once, by whoever has just connected.

A server older than 2.14 ignores what it does not know (atomic batches, schedules, message TTL) and says nothing; one
that does not sync each write to disk can lose what it acknowledged. Measured facts behind this: nats-server's `JSZ`
tells the sync setting, to an account that imports that one service; of a cluster every server answers, where the
service is offered with any number of answers.
"""

import asyncio
import logging
import os
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from bus.connection import MAX_PAYLOAD, Connection, Message
from bus.errors import NoResponder, ServerRefused, Unavailable, Unsuitable

log = logging.getLogger(__name__)

API_LEVEL: Final = 4
"""What nats-server 2.14 reports; 2.15 reports 5."""
DURABILITY_SUBJECT: Final = "$SYS.REQ.SERVER.PING.JSZ"
ANSWER_SECONDS: Final = 2.0
STRAGGLER_SECONDS: Final = 0.3
"""How long the others of a cluster may take after most have answered: one may be down, which the rest notice late."""
_ELSE: Final = "or unset RIG_NATS_URL, and `rig up` starts a server that does"


class _Api(Struct):
    level: int = 0


class _Info(Struct):
    api: _Api = msgspec.field(default_factory=_Api)


class _Config(Struct):
    sync_always: bool = False


class _Peer(Struct):
    offline: bool = False


class _Cluster(Struct):
    replicas: tuple[_Peer, ...] = ()
    """The other servers."""


class _Data(Struct):
    config: _Config | None = None
    disabled: bool = False
    meta_cluster: _Cluster = msgspec.field(default_factory=_Cluster)


class _Server(Struct):
    name: str = ""


class _Jsz(Struct):
    server: _Server = msgspec.field(default_factory=_Server)
    data: _Data = msgspec.field(default_factory=_Data)


async def check_server(connection: Connection, *, max_payload: int) -> str | None:
    """How the server may lose acknowledged events, where RIG_ALLOW_LOSSY=1 accepts that; None when it does not.

    Raises Unsuitable with the server's version, what is wrong with it and what to do; Unavailable when it has no
    answer yet: a cluster without a leader.
    """
    server = f"nats-server {connection.server_version}"
    try:
        info = msgspec.json.decode(await connection.api("$JS.API.INFO", timeout_seconds=ANSWER_SECONDS), type=_Info)
    except (NoResponder, ServerRefused) as error:
        raise Unsuitable(
            f"{server}: JetStream is off, for us at least ({error})."
            f" Switch it on, for the server and our account, {_ELSE}"
        ) from None
    except msgspec.DecodeError as error:
        raise Unsuitable(
            f"{server}: it answers as no nats-server that we know ({error}). Take another, {_ELSE}"
        ) from None
    if info.api.level < API_LEVEL:
        raise Unsuitable(
            f"{server} is too old: its JetStream API has level {info.api.level}, and Rig needs {API_LEVEL}. It"
            " would accept and quietly drop what it does not know (atomic batches, message TTL, schedules)."
            f" Upgrade it to 2.14 or newer, {_ELSE}"
        )
    if max_payload < MAX_PAYLOAD:
        raise Unsuitable(
            f"{server} takes messages of {max_payload} bytes, and Rig writes up to {MAX_PAYLOAD}: it would cut off"
            f" whoever writes a larger one. Set `max_payload: 1MB` or more, {_ELSE}"
        )
    problem = await _durability_problem(connection)
    if problem is None:
        return None
    reason, mend = problem
    if os.environ.get("RIG_ALLOW_LOSSY") != "1":
        raise Unsuitable(
            f"{server} {reason}: what it has acknowledged may be lost when its machine dies. {mend}, {_ELSE}."
            " RIG_ALLOW_LOSSY=1 accepts losing events"
        )
    lossy = f"{server} {reason}: it may lose acknowledged events, and RIG_ALLOW_LOSSY=1 accepts that"
    log.warning("%s", lossy)
    return lossy


async def _durability_problem(connection: Connection) -> tuple[str, str] | None:
    """What is wrong, and what mends it."""
    answers = [each for each in await _each_server(connection) if each.data.config is not None]
    if not answers:
        share = f"Let its account import the service {DURABILITY_SUBJECT} from the system account"
        return "does not say whether it syncs each write to disk", share
    lossy = [each.server.name for each in answers if each.data.config is not None and not each.data.config.sync_always]
    if not lossy:
        return None
    where = f" ({', '.join(sorted(lossy))} of its cluster)" if len(answers) > 1 else ""
    return f"does not sync each write to disk{where}", "Set `jetstream { sync_interval: always }`"


async def _each_server(connection: Connection) -> list[_Jsz]:
    """What the servers with JetStream say, those that are up and answer in time."""
    heard: asyncio.Queue[Message] = asyncio.Queue()
    answers: list[_Jsz] = []
    inbox = connection.inbox()
    subscription = await connection.subscribe(inbox, heard.put_nowait)
    try:
        await connection.publish(DURABILITY_SUBJECT, b'{"config":true}', reply=inbox)
        async with asyncio.timeout(ANSWER_SECONDS) as patience:
            expected = 1
            while len(answers) < expected and (said := (await heard.get()).data):
                answer = msgspec.json.decode(said, type=_Jsz)
                expected = 1 + sum(not peer.offline for peer in answer.data.meta_cluster.replicas)
                if not answer.data.disabled:
                    answers.append(answer)
                if len(answers) * 2 > expected:
                    patience.reschedule(asyncio.get_running_loop().time() + STRAGGLER_SECONDS)
    except (Unavailable, TimeoutError, msgspec.DecodeError) as error:
        log.debug("not every server says how it syncs: %r", error)
    finally:
        with suppress(Unavailable):
            await subscription.unsubscribe()
    return answers
