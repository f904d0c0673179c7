"""Tools over HTTP against a real server: where a model's words go, what never leaves, and what comes back."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from agents.tools.config import Egress, HttpMethod, HttpTool, Parameter, Place
from agents.tools.egress import NotReached, address, allowed, is_public
from agents.tools.http import HttpCall
from agents.tools.secrets import Secrets

HERE = Egress(private=("127.0.0.1",))
SECRETS = Secrets({"STATUS": "s3cret-value"})
STRING: dict[str, object] = {"type": "string"}


class Server:
    """Answers on loopback, and remembers what it was asked."""

    def __init__(self) -> None:
        self.base = ""
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.hung_up = asyncio.Event()

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((request.method, request.raw_path, dict(request.headers), body))
        match request.path.split("/")[1]:
            case "echo":
                return web.json_response({"authorization": request.headers.get("Authorization"), "ok": True})
            case "away":
                raise web.HTTPFound(request.query["to"])
            case "again":
                raise web.HTTPTemporaryRedirect("/echo")
            case "round":
                raise web.HTTPFound("/round")
            case "broken":
                return web.Response(status=503, text="try later")
            case "says":
                return web.Response(text=f"abc{request.query['what']} and so on", charset=request.query["charset"])
            case "picture":
                return web.Response(body=b"\x89PNG" * 10, content_type="image/png")
            case "packed":
                return web.Response(
                    body=b"\x1f\x8b" * 10, headers={"Content-Encoding": "gzip"}, content_type="text/plain"
                )
            case "odd":
                return web.Response(body=b"\xff\xfeplain", headers={"Content-Type": "text/plain; charset=hex"})
            case "endless":
                answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
                await answer.prepare(request)
                try:
                    while True:
                        await answer.write(b"a" * 65_536)
                except (ConnectionError, asyncio.CancelledError):
                    self.hung_up.set()
                    raise
            case "silent":
                await asyncio.Event().wait()
        return web.Response(text="here")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", server.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.base = f"http://{host}:{port}"
    yield server
    await runner.cleanup()


def tool(url: str, egress: Egress = HERE, **fields: Any) -> HttpCall:
    return HttpCall(HttpTool(name="look", description="looks", url=url, **fields), egress, SECRETS)


async def test_each_parameter_goes_to_its_place(server: Server) -> None:
    parameters = {
        "team": Parameter(place=Place.PATH, schema=STRING),
        "since": Parameter(place=Place.QUERY, schema=STRING, required=False, sent_as="from"),
        "tags": Parameter(place=Place.QUERY, schema={"type": "array", "items": STRING}),
        "trace": Parameter(place=Place.HEADER, schema=STRING, sent_as="X-Trace"),
        "note": Parameter(place=Place.BODY, schema=STRING),
        "count": Parameter(place=Place.BODY, schema={"type": "integer"}, sent_as="n"),
    }
    look = tool(
        f"{server.base}/echo/{{team}}/x?v=1",
        method=HttpMethod.POST,
        parameters=parameters,
        headers={"Authorization": "Bearer ${secret:STATUS}"},
    )
    said = {"team": "a/../../b?c#d", "tags": ["x y", "z&q=1"], "trace": "t-1", "note": 'it\'s "so"', "count": 3}
    result = await look.call(said)
    assert result.text == '200 OK\n\n{"authorization": "Bearer (a secret)", "ok": true}', "a secret is not repeated"
    ((method, path, headers, body),) = server.asked
    assert (method, path) == ("POST", "/echo/a%2F..%2F..%2Fb%3Fc%23d/x?v=1&tags=x+y&tags=z%26q%3D1")
    assert headers["Authorization"] == "Bearer s3cret-value"
    assert (headers["X-Trace"], headers["Content-Type"]) == ("t-1", "application/json")
    assert headers["Host"] == server.base.removeprefix("http://")
    assert body == b'{"note":"it\'s \\"so\\"","n":3}'
    assert not look.safe
    assert tool(server.base).safe


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "'team' is a required property"),
        ({"team": ".."}, "is no part of a path"),
        ({"team": ""}, "is no part of a path"),
        ({"team": "A1"}, "does not match"),
        ({"team": "a", "trace": "x\r\nX-Evil: 1"}, "one line of ASCII"),
        ({"team": "a", "url": "http://evil/"}, "Additional properties"),
    ],
)
async def test_what_does_not_fit_is_not_sent(server: Server, arguments: dict[str, object], why: str) -> None:
    parameters = {
        "team": Parameter(place=Place.PATH, schema={"type": "string", "pattern": r"^[a-z.]*$"}),
        "trace": Parameter(place=Place.HEADER, schema=STRING, required=False),
    }
    result = await tool(f"{server.base}/echo/{{team}}", parameters=parameters).call(arguments)
    assert result.error
    assert why in result.text
    assert server.asked == []


@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        ("/broken", True, "503 Service Unavailable\n\ntry later"),
        ("/picture", False, "200 OK\n(40 bytes of image/png, which are no text)"),
        ("/packed", True, "200 OK\n(it is packed, though it was asked not to be; it is not read)"),
        ("/odd", False, "200 OK\n\n\ufffd\ufffdplain"),
        ("/again", False, '200 OK\n\n{"authorization": "(a secret)", "ok": true}'),
        ("/round", True, "sends the request on and on"),
    ],
)
async def test_what_comes_back(server: Server, path: str, error: bool, text: str) -> None:
    result = await tool(server.base + path, headers={"Authorization": "${secret:STATUS}"}).call({})
    assert result.text.endswith(text)
    assert result.error is error


async def test_an_answer_without_end_is_read_so_far(server: Server) -> None:
    result = await tool(f"{server.base}/endless", max_bytes=1_000).call({})
    assert result.text == "200 OK\n\n" + "a" * 1_000 + "\n(… only the first 1000 bytes were read)"
    await asyncio.wait_for(server.hung_up.wait(), 30)


@pytest.mark.parametrize("charset", ["utf-8", "utf-16-le"])
async def test_a_secret_that_the_cut_goes_through_is_not_told_by_half(server: Server, charset: str) -> None:
    secrets, head = Secrets({"STATUS": "s3crét-value"}), "abc".encode(charset)
    url = f"{server.base}/says?what=s3cr%C3%A9t-value&charset={charset}"
    told: list[str] = []
    size = len("s3crét-value".encode(charset))
    for most in (len(head) + part for part in (1, size // 2 - 1, size - 1, size)):  # one goes through the é
        asking = HttpTool(name="look", description="looks", url=url, max_bytes=most)
        told.append((await HttpCall(asking, HERE, secrets).call({})).text.splitlines()[2])
    assert told == ["abc", "abc", "abc", "abc(a secret)"]


async def test_a_server_that_says_nothing_is_given_up(server: Server) -> None:
    result = await tool(f"{server.base}/silent", timeout_seconds=0.2).call({})
    assert (result.text, result.error) == ("no answer within 0.2 s", True)


async def test_nobody_there(unused_tcp_port: int) -> None:
    result = await tool(f"http://127.0.0.1:{unused_tcp_port}/").call({})
    assert result.error
    assert result.text.startswith("ConnectError")


async def test_a_redirect_leads_only_where_the_tool_may_reach(server: Server) -> None:
    look = tool(f"{server.base}/away?to=http%3A%2F%2F10.0.0.1%2Fadmin", headers={"Authorization": "${secret:STATUS}"})
    result = await look.call({})
    assert (result.text, result.error) == ("10.0.0.1 is not among the hosts that this agent may reach", True)
    port = server.base.rpartition(":")[2]
    elsewhere = f"{server.base}/away?to=http%3A%2F%2Flocalhost%3A{port}%2Fecho"
    egress = Egress(private=("127.0.0.1", "localhost"))
    result = await tool(elsewhere, egress, headers={"Authorization": "${secret:STATUS}"}).call({})
    assert result.text == '200 OK\n\n{"authorization": null, "ok": true}', "a secret stays at its host"
    posted = tool(elsewhere.replace("away", "again"), egress, method=HttpMethod.POST)
    assert (await posted.call({})).text.startswith("200 OK")
    file = tool(f"{server.base}/away?to=file%3A%2F%2F%2Fetc%2Fpasswd")
    assert (await file.call({})).error


async def test_a_name_at_a_private_address_is_not_reached_unless_it_is_named_so(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(server.base.rpartition(":")[2])

    def inside(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", inside)
    public = tool(f"http://api.example.com:{port}/echo", Egress(hosts=("api.example.com",)))
    result = await public.call({})
    assert result.text == "api.example.com is at 127.0.0.1, which is no public address"
    assert server.asked == []
    private = tool(f"http://api.example.com:{port}/echo", Egress(private=("*.example.com",)))
    assert (await private.call({})).text.startswith("200 OK")
    assert server.asked[0][2]["Host"] == f"api.example.com:{port}"


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),  # noqa: S104
        *("::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "ff02::1"),
        *("224.0.0.1", "255.255.255.255", "not an address"),
    ],
)
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_public(text)


def test_addresses_that_are() -> None:
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1:248:1893:25c8:1946")


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("api.example.com", True),
        ("API.example.com.", True),
        ("example.org", False),
        ("a.example.org", True),
        ("a.b.example.org", True),
        ("evilexample.org", False),
        ("api.example.com.evil.net", False),
    ],
)
def test_hosts_are_named(host: str, may: bool) -> None:
    assert allowed(Egress(hosts=("api.example.com", "*.example.org")), host) is may


async def test_what_is_not_named_is_not_even_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object, **__: object) -> list[object]:
        raise AssertionError("looked up")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    with pytest.raises(NotReached, match="not among the hosts"):
        await address(Egress(), "secret-in-a-name.evil.net", 443)
