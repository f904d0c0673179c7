"""Webhooks over HTTP into a real inbox: the right answer to everything, and nothing stored that should not be."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from bridges.github import receive
from bridges.github.receive import BODY_MAX, DELIVERY, EVENT, SIGNATURE, receiving, serve
from bus import Arrived, Bus, Inbox
from machine.lifecycle import Lifecycle, Misconfigured
from schemas import Actor
from tests.support.deliveries import SECRET, Answer, delivery_id, headers_of, post, redelivered, signature
from tests.support.servers import connected, nats_with_root

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHER = b"the secret that takes its place"
BODY = b'{"action":"opened","issue":{"number":1,"title":"caf\xc3\xa9"}}'


class Edge:
    """Where GitHub delivers, and what came of it."""

    def __init__(self, bus: Bus, url: str) -> None:
        self.bus, self.url = bus, url
        self._seen = 0

    async def new(self) -> list[Arrived]:
        """What was stored since this was last asked."""
        async with aclosing(self.bus.inbox.replay(after=self._seen)) as found:
            arrived = [each async for each in found]
        self._seen = arrived[-1].position if arrived else self._seen
        return arrived

    async def deliver(self, body: bytes = BODY, /, **changed: str | None) -> Answer:
        """With the headers of a delivery, but for these; None: without."""
        headers = headers_of(body, delivery_id()) | {name.replace("_", "-"): value for name, value in changed.items()}
        return await post(self.url, body, headers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with nats_with_root(tmp_path_factory.mktemp("nats")) as server:
        bus = await connected(server, Actor.GITHUB)
        async with bus, receiving(bus.inbox, address="127.0.0.1:0", secrets=[SECRET, OTHER]) as url:
            yield Edge(bus, url)
        await server.kill()


async def test_a_delivery_is_stored_as_it_came(edge: Edge) -> None:
    delivery = delivery_id()
    headers = headers_of(BODY, delivery) | {"X-Forwarded-For": "::1", "Nats-Rollup": "all"}
    answer = await post(edge.url, BODY, headers)
    assert (answer.status, redelivered(answer)) == (202, False)
    (stored,) = await edge.new()
    assert (stored.delivery, stored.body) == (delivery, BODY)
    kept = headers_of(BODY, delivery)
    del kept[SIGNATURE]
    assert stored.headers == kept


async def test_again_under_its_id_it_is_a_redelivery_and_under_another_it_is_stored(edge: Edge) -> None:
    delivery = delivery_id()
    headers = headers_of(BODY, delivery)
    answers = [await post(edge.url, BODY, headers) for _ in range(3)]
    assert [(answer.status, redelivered(answer)) for answer in answers] == [(202, False), (202, True), (202, True)]
    replayed = delivery_id()
    assert (await post(edge.url, BODY, headers | {DELIVERY: replayed})).status == 202
    assert [each.delivery for each in await edge.new()] == [delivery, replayed]


async def test_every_live_secret_signs_and_no_other(edge: Edge) -> None:
    for secret in (SECRET, OTHER):
        assert (await edge.deliver(X_Hub_Signature_256=signature(BODY, secret))).status == 202
    assert len(await edge.new()) == 2
    right = signature(BODY)
    for wrong in (
        *(None, "", "sha256=", right.upper(), right[:-1], right + "0", right.removeprefix("sha256=")),
        *(
            signature(BODY, b"another"),
            signature(BODY, b""),
            signature(BODY + b" "),
            "sha256=" + "é" * 64,
            "sha256=\xff",
        ),
        f"sha1={right[7:47]}",
    ):
        assert (await edge.deliver(X_Hub_Signature_256=wrong)).status == 401, wrong
    assert (await edge.deliver(b"{broken", X_Hub_Signature_256=right)).status == 401, "unsigned, it is not looked at"
    assert (await edge.deliver(X_Hub_Signature_256=None, X_GitHub_Event=None)).status == 401
    assert await edge.new() == []


async def test_other_content_types_are_not_taken(edge: Edge) -> None:
    form = b"payload=%7B%22action%22%3A%22opened%22%7D"
    assert (await edge.deliver(form, Content_Type="application/x-www-form-urlencoded")).status == 415
    for kind in (None, "", "text/plain", "application/jsonp", "multipart/form-data; boundary=x"):
        assert (await edge.deliver(Content_Type=kind)).status == 415, kind
    assert (await edge.deliver(Content_Encoding="gzip")).status == 415
    assert await edge.new() == []
    assert (await edge.deliver(Content_Type="Application/JSON; charset=utf-8")).status == 202
    assert len(await edge.new()) == 1


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"{", b"[]", b"null", b"1", b'"x"', b"{}{}", b"{'a':1}", b'{"a":NaN}', b'\xef\xbb\xbf{"a":1}'),
        *(b'{"a":"\xff"}', b'{"\xc0\xaf":1}', b'{"a":{"b":"\xed\xa0\x80"}}', '{"a":1}'.encode("utf-16")),
        *(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_what_is_no_json_object_is_refused_though_it_is_signed(edge: Edge, body: bytes) -> None:
    assert (await edge.deliver(body)).status == 400
    assert await edge.new() == []


async def test_an_event_and_a_delivery_id_are_needed(edge: Edge) -> None:
    for name in (EVENT, DELIVERY):
        for value in (None, "", "a b", "x" * 101, "../x", "*", ">", "a.b", "é", "\xff"):
            assert (await edge.deliver(**{name: value})).status == 400, (name, value)
    assert await edge.new() == []
    assert (await edge.deliver(**{EVENT: "something_new"})).status == 202, "what it means is not decided here"
    assert [each.headers[EVENT] for each in await edge.new()] == ["something_new"]


async def test_too_large_is_refused_however_it_comes(edge: Edge) -> None:
    large = b'{"a":"' + b"x" * (BODY_MAX - 8) + b'"}'
    headers = headers_of(large, delivery_id())
    assert (await post(edge.url, large, headers)).status == 202
    (stored,) = await edge.new()
    assert stored.body == large
    larger = large + b" " * (1024 * 1024)
    headers = headers_of(larger, delivery_id())
    assert (await post(edge.url, larger, headers)).status == 413
    assert (await post(edge.url, b"", headers, length=1 << 62)).status == 413, "nothing of it is waited for"
    pieces = [larger[start : start + 65_536] for start in range(0, len(larger), 65_536)]
    assert (await post(edge.url, b"", headers, chunks=pieces)).status == 413
    assert await edge.new() == []


async def test_a_body_that_breaks_off_is_not_stored(edge: Edge) -> None:
    headers = headers_of(BODY, delivery_id())
    host = edge.url.split("/")[2]
    reader, writer = await asyncio.open_connection(*host.split(":"))
    head = "\r\n".join([f"POST /webhooks/github HTTP/1.1\r\nHost: {host}", *(f"{k}: {v}" for k, v in headers.items())])
    writer.write(f"{head}\r\nContent-Length: {len(BODY) + 1}\r\n\r\n".encode() + BODY)
    writer.write_eof()
    assert b" 202 " not in await reader.read()
    writer.close()
    assert (await edge.deliver()).status == 202, "and the next is served"
    assert len(await edge.new()) == 1


async def test_of_all_bodies_together_only_so_much_is_held(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "BODIES_MAX", 150_000)
    body = b'{"a":"' + b"x" * 100_000 + b'"}'
    headers, host = headers_of(body, delivery_id()), edge.url.split("/")[2]
    reader, writer = await asyncio.open_connection(*host.split(":"))
    lines = ["POST /webhooks/github HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body[:-1])
    while (answer := await edge.deliver(body)).status == 202:
        pass  # the first body is not there yet
    assert answer.status == 503
    assert (await edge.deliver()).status == 202, "what still fits is taken"
    writer.write(body[-1:])
    assert b" 202 " in await reader.readline()
    writer.close()
    assert (await edge.deliver(body)).status == 202, "and then there is room again"
    await edge.new()


async def test_elsewhere_and_otherwise(edge: Edge) -> None:
    headers = headers_of(BODY, delivery_id())
    for path in ("/", "/webhooks", "/webhooks/github/", "/webhooks/githubx", "/livez"):
        assert (await post(edge.url, BODY, headers, path=path)).status == 404
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        answer = await post(edge.url, BODY, headers, method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert await edge.new() == []
    assert (await post(edge.url, BODY, headers, path="/webhooks/github?x=1")).status == 202
    assert len(await edge.new()) == 1


HEADER = st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=40)


@given(body=st.binary(max_size=200) | st.just(BODY), event=HEADER, delivery=HEADER, said=HEADER | st.none())
@settings(max_examples=40, deadline=None, derandomize=True)
async def test_whatever_comes_is_answered_and_only_deliveries_are_stored(
    edge: Edge, body: bytes, event: str, delivery: str, said: str | None
) -> None:
    changed = {EVENT: event, DELIVERY: delivery} | ({} if said is None else {SIGNATURE: said})
    answer = await post(edge.url, body, headers_of(body, "x") | changed)
    assert answer.status in ((202, 400) if said is None else (400, 401))
    assert len(await edge.new()) == (answer.status == 202 and not redelivered(answer))


async def test_a_slow_body_is_not_waited_for(edge: Edge) -> None:
    async with receiving(edge.bus.inbox, address="127.0.0.1:0", secrets=[SECRET], body_seconds=0.1) as url:
        answer = await post(url, BODY, headers_of(BODY, delivery_id()), length=len(BODY) + 1)
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert await edge.new() == []


class Slow(Inbox):
    """Stores when it is told to."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus.connection, Actor.GITHUB, bus.objects)
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def store(
        self, delivery: str, headers: Mapping[str, str], body: bytes, *, timeout_seconds: float = 60.0
    ) -> bool:
        self.asked.set()
        await self.go_on.wait()
        return await super().store(delivery, headers, body, timeout_seconds=timeout_seconds)


async def test_who_stops_answers_what_is_on_its_way_and_takes_no_more(edge: Edge) -> None:
    life, urls, inbox = Lifecycle(), asyncio.Queue[str](), Slow(edge.bus)
    serving = asyncio.create_task(
        serve(inbox, life, address="127.0.0.1:0", secrets=[SECRET], listening=urls.put_nowait)
    )
    url = await urls.get()
    delivering = asyncio.create_task(post(url, BODY, headers_of(BODY, delivery_id())))
    await inbox.asked.wait()
    life.stop.set()
    await asyncio.sleep(0)
    inbox.go_on.set()
    await serving
    assert (await delivering).status == 202
    with pytest.raises(OSError, match="Connect"):
        await post(url, BODY, {})
    assert len(await edge.new()) == 1


async def test_while_the_bus_is_away_nothing_is_accepted_and_then_all_is_well(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with nats_with_root(tmp_path_factory.mktemp("nats")) as server:
        bus = await connected(server, Actor.GITHUB)
        receives = receiving(bus.inbox, address="127.0.0.1:0", secrets=[SECRET], store_seconds=0.2)
        async with bus, receives as url:
            edge, headers = Edge(bus, url), headers_of(BODY, delivery_id())
            await server.kill()
            assert (await post(url, BODY, headers)).status == 503
            large = b'{"a":"' + b"x" * 2_000_000 + b'"}'
            assert (await post(url, large, headers_of(large, delivery_id()))).status == 503
            await server.start()
            while (answer := await post(url, BODY, headers)).status == 503:
                pass  # the bus is coming back
            assert answer.status == 202
            assert [each.body for each in await edge.new()] == [BODY]
        await server.kill()


async def test_without_a_secret_or_a_place_nothing_starts(edge: Edge) -> None:
    for secrets in ([], [b""], [SECRET, b""]):
        with pytest.raises(Misconfigured, match="no secret for webhooks"):
            async with receiving(edge.bus.inbox, address="127.0.0.1:0", secrets=secrets):
                pass
    taken = edge.url.split("/")[2]
    with pytest.raises(Misconfigured, match="cannot listen there"):
        async with receiving(edge.bus.inbox, address=taken, secrets=[SECRET]):
            pass
