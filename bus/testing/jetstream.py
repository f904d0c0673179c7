"""JetStream's API in memory: streams made, described, read and deleted by requests. Of consumers: consumers.py."""

from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from bus.testing import direct
from bus.testing.consumers import Consumers
from bus.testing.core import Core, moment
from bus.testing.message import Json, Packet, json, read
from bus.testing.store import Stored
from bus.testing.stream import Config, Stream, normal
from bus.testing.subjects import matches, overlap
from bus.testing.words import Refusal

__all__ = ["JetStream"]

API_LEVEL: Final = 5
"""What nats-server 2.15 reports."""
VERSION: Final = "2.15.1"
"""The server that this one is equal to."""
NEVER: Final = "0001-01-01T00:00:00Z"


class _Purge(Struct, frozen=True, forbid_unknown_fields=True):
    filter: str = ">"
    seq: int = 0
    keep: int = 0


class _Get(Struct, frozen=True, forbid_unknown_fields=True):
    seq: int = 0
    last_by_subj: str = ""
    next_by_subj: str = ""
    no_erase: bool = False


class _Describe(Struct, frozen=True, forbid_unknown_fields=True):
    deleted_details: bool = False
    subjects_filter: str = ""
    offset: int = 0


class JetStream:
    """The streams and consumers of one server."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.streams: dict[str, Stream] = {}
        self._consumers = Consumers(self._stream)
        self._direct: dict[str, list[tuple[str, int]]] = {}
        core.listen("$JS.API.INFO", self._account)
        core.listen("$SYS.REQ.SERVER.PING.JSZ", self._jsz)
        calls: dict[str, Callable[[Packet, list[str]], Json]] = {
            "STREAM.CREATE.*": self._create_stream,
            "STREAM.UPDATE.*": self._update_stream,
            "STREAM.INFO.*": self._stream_info,
            "STREAM.DELETE.*": self._delete_stream,
            "STREAM.PURGE.*": self._purge,
            "STREAM.MSG.GET.*": self._get,
            "STREAM.MSG.DELETE.*": self._delete_message,
            "STREAM.NAMES": self._stream_names,
            **self._consumers.calls,
        }
        for endpoint, call in calls.items():
            core.listen(f"$JS.API.{endpoint}", partial(self._answer, endpoint, call))

    def lose_memory(self) -> None:
        """The server crashed: streams, durable consumers and what they know are on disk, the rest is gone."""
        for stream in self.streams.values():
            stream.lose_memory()
        self._consumers.lose_memory()

    # ── answers ──────────────────────────────────────────────────────────────

    def _answer(self, endpoint: str, call: Callable[[Packet, list[str]], Json], packet: Packet) -> None:
        words = [word for word in endpoint.split(".") if word not in ("*", ">")]
        name = "_".join(word.lower() for word in words if word != "DURABLE")
        rest = packet.subject.split(".")[2 + len(words) :]
        try:
            said = call(packet, rest)
        except Refusal as refusal:
            said = {"error": refusal.body()}
        except msgspec.DecodeError as error:
            said = {"error": Refusal(400, 10025, f"invalid JSON: {error}").body()}
        self._core.say(packet.reply, json({"type": f"io.nats.jetstream.api.v1.{name}_response", **said}))

    def _account(self, packet: Packet) -> None:
        held = {"streams": len(self.streams), "consumers": len(self._consumers)}
        kind = "io.nats.jetstream.api.v1.account_info_response"
        self._core.say(packet.reply, json({"type": kind, **held, "api": {"level": API_LEVEL, "total": 0, "errors": 0}}))

    def _jsz(self, packet: Packet) -> None:
        """Nothing that was acknowledged is ever lost here, which is what the caller wants to know."""
        config = {"sync_always": True, "strict": True}
        self._core.say(packet.reply, json({"server": {"ver": VERSION}, "data": {"config": config}}))

    # ── streams ──────────────────────────────────────────────────────────────

    def _stream(self, name: str) -> Stream:
        if name not in self.streams:
            raise Refusal(404, 10059, "stream not found")
        return self.streams[name]

    def _create_stream(self, packet: Packet, rest: list[str]) -> Json:
        config = normal(read(packet, Config))
        if config.name != rest[0]:
            raise Refusal(400, 10056, "stream name in subject does not match request")
        known = self.streams.get(config.name)
        if known is not None:
            if known.config != config:
                raise Refusal(400, 10058, "stream name already in use with a different configuration")
            return {**self._described(known), "did_create": True}
        self._check_overlap(config)
        stream = self.streams[config.name] = Stream(self._core, config)
        stream.open()
        self._offer_direct(stream)
        self._connect_sources()
        return {**self._described(stream), "did_create": True}

    def _update_stream(self, packet: Packet, rest: list[str]) -> Json:
        stream, config = self._stream(rest[0]), normal(read(packet, Config))
        if config.storage != stream.config.storage:
            raise Refusal(500, 10052, "stream configuration update can not change storage type")
        self._check_overlap(config)
        stream.reconfigure(config)
        self._offer_direct(stream)
        self._connect_sources()
        return self._described(stream)

    def _check_overlap(self, config: Config) -> None:
        others = [
            s for other in self.streams.values() if other.config.name != config.name for s in other.config.subjects
        ]
        if any(overlap(one, other) for one in config.subjects for other in others):
            raise Refusal(400, 10065, "subjects overlap with an existing stream")

    def _connect_sources(self) -> None:
        for stream in self.streams.values():
            stream.copies = [copy for copy in self.streams.values() if _is_source(stream, copy)]
            for copy in stream.copies:
                self._core.loop.call_soon(copy.copy_from, stream)

    def _offer_direct(self, stream: Stream) -> None:
        name = stream.config.name
        self._withdraw_direct(name)
        if stream.config.allow_direct:
            subject = f"$JS.API.DIRECT.GET.{name}"
            heard = {subject: "", f"{subject}.>": f"{subject}."}
            self._direct[name] = [
                (pattern, self._core.listen(pattern, partial(_get_direct, stream, prefix)))
                for pattern, prefix in heard.items()
            ]

    def _withdraw_direct(self, name: str) -> None:
        for pattern, key in self._direct.pop(name, []):
            self._core.forget(pattern, key)

    def _delete_stream(self, _: Packet, rest: list[str]) -> Json:
        stream = self._stream(rest[0])
        for consumer in self._consumers.of(stream):
            self._consumers.end(consumer, "Consumer Deleted")
        stream.close()
        self._withdraw_direct(rest[0])
        del self.streams[rest[0]]
        self._connect_sources()
        return {"success": True}

    def _stream_info(self, packet: Packet, rest: list[str]) -> Json:
        return self._described(self._stream(rest[0]), read(packet, _Describe))

    def _stream_names(self, _: Packet, __: list[str]) -> Json:
        names = sorted(self.streams)
        return {"total": len(names), "offset": 0, "limit": 1024, "streams": names}

    def _described(self, stream: Stream, asked: _Describe | None = None) -> Json:
        store = stream.store
        first = store.get(store.first)
        empty_and_new = not store.last
        state: Json = {
            "messages": len(store),
            "bytes": store.bytes,
            "first_seq": 0 if empty_and_new else store.first,
            "first_ts": moment(first.at) if first else NEVER,
            "last_seq": store.last,
            "last_ts": NEVER if empty_and_new else moment(store.last_at),
            "num_subjects": len(store.by_subject),
            "num_deleted": store.last - store.first + 1 - len(store),
            "consumer_count": len(self._consumers.of(stream)),
        }
        if asked is not None and asked.deleted_details:
            state["deleted"] = [seq for seq in range(store.first, store.last) if store.get(seq) is None]
        if asked is not None and asked.subjects_filter:
            found = store.subjects(asked.subjects_filter)
            state["subjects"] = {subject: len(store.by_subject[subject]) for subject in sorted(found)}
        now = moment(self._core.now())
        return {"config": stream.config, "created": moment(stream.created), "state": state, "ts": now}

    def _purge(self, packet: Packet, rest: list[str]) -> Json:
        stream, asked = self._stream(rest[0]), read(packet, _Purge)
        if stream.config.deny_purge:
            raise Refusal(500, 10110, "stream purge not permitted")
        found = [message.seq for message in stream.store.since(1) if matches(asked.filter, message.subject)]
        if asked.seq:
            found = [seq for seq in found if seq < asked.seq]
        return {"success": True, "purged": stream.remove(found[: len(found) - asked.keep])}

    def _get(self, packet: Packet, rest: list[str]) -> Json:
        store, asked = self._stream(rest[0]).store, read(packet, _Get)
        if asked.last_by_subj:
            message = store.last_of(asked.last_by_subj)
        elif asked.next_by_subj:
            message = next(store.since(asked.seq, asked.next_by_subj), None)
        else:
            message = store.get(asked.seq)
        if message is None:
            raise Refusal(404, 10037, "no message found")
        return {"message": _written(message)}

    def _delete_message(self, packet: Packet, rest: list[str]) -> Json:
        stream, asked = self._stream(rest[0]), read(packet, _Get)
        if stream.config.deny_delete:
            raise Refusal(500, 10057, "message delete not permitted")
        if not stream.remove([asked.seq]):
            known = asked.seq <= stream.store.last
            raise Refusal(500, 10057, "no message found" if known else "stream store EOF")
        return {"success": True}


def _is_source(stream: Stream, copy: Stream) -> bool:
    return any(source.name == stream.config.name for source in copy.config.sources or ())


def _get_direct(stream: Stream, prefix: str, packet: Packet) -> None:
    direct.answer(stream, packet, packet.subject.removeprefix(prefix) if prefix else "")


def _written(message: Stored) -> Json:
    """As STREAM.MSG.GET says a message: bytes in base64."""
    said: Json = {"subject": message.subject, "seq": message.seq}
    if message.headers:
        lines = "".join(f"{name}: {value}\r\n" for name, value in message.headers.items())
        said["hdrs"] = b64encode(f"NATS/1.0\r\n{lines}\r\n".encode()).decode()
    return {**said, "data": b64encode(message.data).decode(), "time": moment(message.at)}
