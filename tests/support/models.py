"""An endpoint for models on loopback that does what a script says, model by model; a purse and a clock beside it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from aiohttp import web
from msgspec import Struct

from agents.llm.config import Gateways, ModelFacts, Provider
from agents.llm.purse import Spent

Does = Callable[[web.Request, dict], Awaitable[web.StreamResponse]]
FACTS = ModelFacts(input_usd=1.0, output_usd=10.0, cache_read_usd=0.1, cache_write_usd=2.0)
USAGE = {"prompt_tokens": 1_000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 600}}
USAGE_USD = (400 * 1.0 + 100 * 10.0 + 600 * 0.1) / 1_000_000


class Asked(Struct, frozen=True):
    """One request."""

    model: str
    body: dict
    headers: Mapping[str, str]


class ModelServer:
    """What each model does, in turn; the last of it again and again. One that is not scripted is not found."""

    def __init__(self) -> None:
        self.url = ""
        self.does: dict[str, list[Does]] = {}
        self.asked: list[Asked] = []
        self.lists: Does | None = None
        """What it says when it is asked which models it has."""
        self.gone = asyncio.Event()
        """Somebody who was asking has hung up."""

    @property
    def models(self) -> list[str]:
        """Who was asked, in order."""
        return [asked.model for asked in self.asked]

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        model = body["model"]
        self.asked.append(Asked(model, body, dict(request.headers)))
        script = self.does.get(model)
        if not script:
            return web.json_response({"error": {"message": "no such model", "code": "model_not_found"}}, status=404)
        does = script.pop(0) if len(script) > 1 else script[0]
        try:
            return await does(request, body)
        except asyncio.CancelledError:
            self.gone.set()
            raise

    async def list(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked("", {}, dict(request.headers)))
        return web.Response(status=404) if self.lists is None else await self.lists(request, {})


@asynccontextmanager
async def served() -> AsyncGenerator[ModelServer]:
    server = ModelServer()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/chat/completions", server.take)
    app.router.add_get("/v1/models", server.list)
    app.router.add_post("/v1/embeddings", server.take)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()


def says(
    text: str = "Hello.",
    *,
    calls: Sequence[dict] = (),
    reason: str = "stop",
    usage: dict | None = USAGE,
    refusal: str = "",
) -> Does:
    """Answers, in pieces where that is asked for."""
    message = {"role": "assistant", "content": text, "refusal": refusal or None, "tool_calls": list(calls) or None}

    async def does(request: web.Request, body: dict) -> web.StreamResponse:
        if body.get("stream"):
            pieces = [text[start : start + 3] for start in range(0, len(text), 3)]
            chunks: list[dict] = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
            for index, call in enumerate(calls):
                arguments = call["function"]["arguments"]
                head = {"index": index, "id": call["id"], "function": {"name": call["function"]["name"]}}
                chunks.append({"choices": [{"delta": {"tool_calls": [head]}}]})
                chunks += [
                    {"choices": [{"delta": {"tool_calls": [{"index": index, "function": {"arguments": part}}]}}]}
                    for part in (arguments[:4], arguments[4:])
                ]
            if refusal:
                chunks.append({"choices": [{"delta": {"refusal": refusal}}]})
            chunks.append({"choices": [{"delta": {}, "finish_reason": reason}]})
            if usage is not None:
                chunks.append({"choices": [], "usage": usage})
            response = await _stream(request)
            for chunk in chunks:
                await response.write(_event(chunk))
            await response.write(b"data: [DONE]\n\n")
            return response
        answer = {"id": "x", "model": f"{body['model']}-0", "choices": [{"message": message, "finish_reason": reason}]}
        return web.json_response(answer if usage is None else {**answer, "usage": usage})

    return does


def call(name: str, arguments: str, id: str = "call-1") -> dict:  # noqa: A002 - its name there
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def embeds(dimensions: int = 3) -> Does:
    """Answers with vectors, the last text's first."""

    async def does(request: web.Request, body: dict) -> web.StreamResponse:
        vectors = [[float(len(text))] * dimensions for text in body["input"]]
        data = [{"index": index, "embedding": vector} for index, vector in reversed(list(enumerate(vectors)))]
        return web.json_response({"data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7}})

    return does


def fails(status: int, error: object = None, headers: Mapping[str, str] | None = None) -> Does:
    """Answers with an error; text as it is, all else as JSON's `error`."""

    async def does(request: web.Request, body: dict) -> web.StreamResponse:
        text = error if isinstance(error, str) else json.dumps({"error": error})
        return web.Response(status=status, text=text, headers=headers)

    return does


def breaks_off(after: str = "Hel") -> Does:
    """Says so much, and closes the connection."""

    async def does(request: web.Request, body: dict) -> web.StreamResponse:
        if body.get("stream"):
            response = await _stream(request)
            await response.write(_event({"choices": [{"delta": {"content": after}}]}))
        transport = request.transport
        assert transport is not None
        transport.close()
        raise asyncio.CancelledError

    return does


def prints(body: bytes, content_type: str = "text/event-stream") -> Does:
    """Answers with just this."""

    async def does(request: web.Request, _: dict) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type)

    return does


def hangs(reached: asyncio.Event, after: str = "") -> Does:
    """Says so much, if anything, and then nothing, until whoever asked hangs up."""

    async def does(request: web.Request, body: dict) -> web.StreamResponse:
        if after:
            response = await _stream(request)
            await response.write(_event({"choices": [{"delta": {"content": after}}]}))
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    return does


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


def _event(chunk: dict) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


class TestPurse:
    """So much money, and what became of it."""

    __test__ = False

    def __init__(self, usd: float = 1_000.0) -> None:
        self.left = usd
        self.asked: list[float] = []
        self.said: list[Spent] = []
        self.open: set[str] = set()
        """Allowed, and it is not known what became of it."""

    async def allow(self, call: str, amount_usd: float) -> str | None:
        self.asked.append(amount_usd)
        if amount_usd > self.left:
            return "there is no more"
        self.open.add(call)
        return None

    def spent(self, spent: Spent) -> None:
        self.open.remove(spent.call)
        self.left -= spent.cost_usd or 0.0
        self.said.append(spent)

    def not_spent(self, call: str) -> None:
        self.open.remove(call)

    async def tell(self) -> None:
        pass


class TestClock:
    """Time that passes when somebody sleeps."""

    __test__ = False

    def __init__(self) -> None:
        self.time = datetime.now(UTC)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


def gateways(
    url: str,
    *names: str,
    facts: Mapping[str, ModelFacts] | None = None,
    embedding: str | None = None,
    key: str = "sk-secret-1",
) -> Gateways:
    """These models, PROVIDER/MODEL, all at one address and all with FACTS."""
    providers = dict.fromkeys(name.partition("/")[0] for name in (*names, *([embedding] if embedding else [])))
    return Gateways(
        providers={name: Provider(url=url, key=key) for name in providers},
        chain=names,
        models={**dict.fromkeys((*names, *([embedding] if embedding else [])), FACTS), **(facts or {})},
        embedding=embedding,
    )
