"""JetStream's API about consumers, in memory: made, described, deleted by requests on `$JS.API.CONSUMER.…`."""

from collections.abc import Callable

from msgspec import Struct

from bus.testing.consumer import Consumer, ConsumerConfig
from bus.testing.message import Json, Packet, read
from bus.testing.stream import Stream
from bus.testing.words import Refusal

__all__ = ["Consumers"]


class _Asked(Struct, frozen=True, forbid_unknown_fields=True):
    stream_name: str
    config: ConsumerConfig
    action: str = ""


class Consumers:
    """Of all streams of one server."""

    def __init__(self, stream: Callable[[str], Stream]) -> None:
        self._stream = stream
        self._made: dict[tuple[str, str], Consumer] = {}
        self._ephemeral = 0
        self.calls: dict[str, Callable[[Packet, list[str]], Json]] = {
            "CONSUMER.CREATE.>": self._create,
            "CONSUMER.DURABLE.CREATE.*.*": self._create,
            "CONSUMER.INFO.*.*": self._info,
            "CONSUMER.DELETE.*.*": self._delete,
            "CONSUMER.NAMES.*": self._names,
        }
        """What the API answers, by the rest of its subject."""

    def __len__(self) -> int:
        return len(self._made)

    def of(self, stream: Stream) -> list[Consumer]:
        return [consumer for consumer in self._made.values() if consumer.stream is stream]

    def lose_memory(self) -> None:
        """The server crashed: what is durable is on disk, the rest is gone."""
        for consumer in list(self._made.values()):
            if consumer.ephemeral:
                self.end(consumer)
            else:
                consumer.lose_memory()

    def _found(self, rest: list[str]) -> Consumer:
        self._stream(rest[0])
        if (rest[0], rest[1]) not in self._made:
            raise Refusal(404, 10014, "consumer not found")
        return self._made[rest[0], rest[1]]

    def _create(self, packet: Packet, rest: list[str]) -> Json:
        """`<stream>`, `<stream>.<name>` or `<stream>.<name>.<filter>`."""
        asked = read(packet, _Asked)
        stream = self._stream(rest[0])
        self._ephemeral += 1
        name = rest[1] if len(rest) > 1 else f"ephemeral{self._ephemeral}"
        config = asked.config.normal(name)
        if config.name != name:
            raise Refusal(400, 10017, "consumer name in subject does not match durable name in request")
        known = self._made.get((rest[0], name))
        if known is not None:
            known.update(config)
            return known.info()
        consumer = self._made[rest[0], name] = Consumer(stream, config)
        consumer.ended = lambda: self.end(consumer)
        consumer.open()
        return consumer.info()

    def _info(self, _: Packet, rest: list[str]) -> Json:
        return self._found(rest).info()

    def _delete(self, _: Packet, rest: list[str]) -> Json:
        self.end(self._found(rest), "Consumer Deleted")
        return {"success": True}

    def _names(self, _: Packet, rest: list[str]) -> Json:
        self._stream(rest[0])
        names = sorted(name for stream, name in self._made if stream == rest[0])
        return {"total": len(names), "offset": 0, "limit": 1024, "consumers": names}

    def end(self, consumer: Consumer, said: str = "") -> None:
        consumer.close(said)
        del self._made[consumer.stream.config.name, consumer.name]
