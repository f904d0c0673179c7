"""Servers of tools, real ones: what they may know, what is believed of them, and that they are kept running."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.llm.messages import Message, Speaker
from agents.loop.limits import Limits
from agents.loop.loop import converse
from agents.tools.config import Egress, McpServer
from agents.tools.mcp import McpTool, Server, ServerAway, tool_name
from agents.tools.schema import wrong_schema
from agents.tools.secrets import Secrets
from agents.tools.servers import Servers
from machine import sessions
from tests.support.talking import ScriptedModel, reply, wants
from tests.support.waiting import until

ODD = str(Path(__file__).parents[1] / "support" / "odd_mcp_server.py")
SECRETS = Secrets({"TOKEN": "s3cret-value"})
HERE = Egress(private=("127.0.0.1",))


def program(*args: str, **fields: Any) -> McpServer:
    return McpServer(command=sys.executable, args=args, **fields)


def ours(counter: Path, **fields: Any) -> McpServer:
    root = str(Path(__file__).parents[2])
    return program(
        "-m", "tests.support.mcp_server", str(counter), env={"PYTHONPATH": root, "TOKEN": "${secret:TOKEN}"}, **fields
    )


def by_name(server: Server) -> dict[str, McpTool]:
    return {tool.spec.name: tool for tool in server.tools}


def pauses(caplog: pytest.LogCaptureFixture) -> list[str]:
    """How long was waited before each new start."""
    return [message.rpartition("once more in ")[2] for message in caplog.messages if "once more in" in message]


@pytest.mark.timeout(180)  # it starts a program twice, which takes seconds on a busy machine
async def test_a_server_on_its_standard_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIG_NATS_KEY", "not for others")
    config = ours(tmp_path / "starts", safe=("add", "fail"), risky=("end",), timeout_seconds=30)
    async with Server("t", config, HERE, SECRETS).kept() as server:
        tools = by_name(server)
        assert list(tools) == [f"t__{name}" for name in ("add", "sleep", "huge", "fail", "end", "environment")]
        add = tools["t__add"]
        assert add.spec.description == "Adds two numbers."
        assert add.spec.parameters["required"] == ["a", "b"]
        assert (add.safe, add.risky) == (True, False)
        assert (tools["t__end"].safe, tools["t__end"].risky) == (False, True)
        assert (await add.call({"a": 2, "b": 3})).text == "5"
        failed = await tools["t__fail"].call({})
        assert failed.error
        assert "it cannot be done" in failed.text
        known = (await tools["t__environment"].call({})).text
        assert "s3cret-value" not in known, "it was given a secret, and no model is told it"
        assert known.endswith("(a secret)")
        assert "RIG_NATS_KEY" not in known
        assert len((await tools["t__huge"].call({})).text) == 500_000
        model = ScriptedModel(reply("", wants("t__add", {"a": 2, "b": 3}), wants("t__huge")), "Five.")
        system = (Message(Speaker.SYSTEM, "You count."),)
        turned = await converse(model, tuple(tools.values()), system, "2+3?", limits=Limits())
        assert turned.answer == "Five."
        assert "```\n5\n```" in [message.text for message in turned.messages]
        # It ends in the middle of a call: that is told, and it is started again, for whoever calls next.
        ended = await tools["t__end"].call({})
        assert ended.text == "t has gone away; whether it has done that is not known"
        assert (await add.call({"a": 1, "b": 1})).text == "2"
        assert server.starts == 2
        # What is cancelled is let go of, and the server goes on.
        asleep = asyncio.ensure_future(tools["t__sleep"].call({}))
        await asyncio.sleep(0)
        asleep.cancel()
        assert (await asyncio.wait((asleep,)))[0].pop().cancelled()
        assert (await add.call({"a": 1, "b": 2})).text == "3"
        pid = int((await tools["t__environment"].call({})).text.split()[0])
    assert not sessions.command_line(pid), "it ends with us"
    assert (tmp_path / "starts").read_text() == ".."
    with pytest.raises(ServerAway):
        await asyncio.wait_for(server.call("add", {}, again=False), 30)


async def test_what_a_server_says_of_itself_is_believed_as_far_as_it_is_sound() -> None:
    async with Server("odd", program(ODD, "lying"), HERE, SECRETS).kept() as server:
        tools = by_name(server)
        assert list(tools) == ["odd__bad_schema_1", "odd__far", "odd__promise", "odd__bomb"]
        for tool in tools.values():
            assert wrong_schema(tool.spec.parameters) is None
            assert len(tool.spec.description) <= 2_000
        assert tools["odd__bad_schema_1"].spec.parameters == {"type": "object"}
        assert tools["odd__far"].spec.parameters == {"type": "object", "properties": {"a": {}}}
        assert tools["odd__promise"].spec.description == "[31mred"
        broken = await tools["odd__promise"].call({"n": 3})
        assert broken.text.startswith("done\n\n(image of image/png, which is no text)\n\n(It is not as the server has")
        calls = reply("", wants("odd__bomb", {"a": 1}), wants("odd__promise", {"n": "three"}))
        model = ScriptedModel(calls, "Well.")
        system = (Message(Speaker.SYSTEM, "You try."),)
        turned = await converse(model, tuple(tools.values()), system, "Try", limits=Limits())
        assert turned.answer == "Well."
        assert "not of type 'integer'" in turned.messages[-2].text


async def test_what_is_no_protocol_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    async with Server("odd", program(ODD, "garbage"), HERE, SECRETS).kept() as server:
        assert len(server.tools) == 4


async def test_a_line_without_end_ends_the_server_and_not_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.tools.mcp_stdio.LINE_BYTES", 2_000_000)
    monkeypatch.setattr("agents.tools.mcp_stdio.GRACE_SECONDS", 0.1)
    async with Server("odd", program(ODD, "endless"), HERE, SECRETS).kept() as server:
        broken = await by_name(server)["odd__far"].call({})
        assert broken.text == "odd has gone away; whether it has done that is not known"


async def test_one_that_ends_at_once_is_started_ever_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.tools.mcp.FIRST_PAUSE_SECONDS", 0.01)
    async with Server("odd", program(ODD, "short"), HERE, SECRETS).kept() as server:
        await until(lambda: len(pauses(caplog)) >= 4)
        assert server.starts >= 4
        with pytest.raises(ServerAway, match="the connection is closed"):
            await server.call("far", {}, again=True)  # and does not wait for what may take a minute
    assert pauses(caplog)[:4] == ["0.01 s", "0.02 s", "0.04 s", "0.08 s"]


async def test_one_that_held_for_a_while_is_started_again_at_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.tools.mcp.FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("agents.tools.mcp.STEADY_SECONDS", 0.0)
    async with Server("odd", program(ODD, "short"), HERE, SECRETS).kept():
        await until(lambda: len(pauses(caplog)) >= 3)
    assert set(pauses(caplog)) == {"0.01 s"}


async def test_a_secret_in_what_is_said_of_a_tool_is_not_told_and_not_by_half() -> None:
    config = program(ODD, "telling", env={"TOKEN": "${secret:TOKEN}"})
    async with Server("odd", config, HERE, SECRETS).kept() as server:
        assert by_name(server)["odd__far"].spec.description == "y" * 1_990 + "(a secret)"


async def test_programs_are_kept_from_wake_to_wake() -> None:
    odd, other = program(ODD, "lying"), program(ODD, "lying", safe=("far",))
    async with Servers.opened(SECRETS) as servers:
        async with servers.of({"odd": odd}, HERE) as (first,), servers.of({"odd": odd}, HERE) as (beside,):
            assert beside is first
            assert len(first.tools) == 4
        async with servers.of({"odd": odd}, HERE) as (again,):
            assert (again is first, again.starts) == (True, 1)
            async with servers.of({"odd": other}, HERE) as (changed,):  # the character's file is another
                assert changed is not first
                assert (await by_name(changed)["odd__far"].call({})).text.startswith("done")
                assert (await by_name(first)["odd__far"].call({})).text.startswith("done"), "who works on is served on"
        assert first.tools[0].spec.name in {tool.spec.name for tool in changed.tools}
        with pytest.raises(ServerAway):
            await first.call("far", {}, again=True)
        assert (await by_name(changed)["odd__far"].call({})).text.startswith("done")
    with pytest.raises(ServerAway):
        await changed.call("far", {}, again=True)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (McpServer(command="/does/not/exist"), "FileNotFoundError"),
        (program("-c", "raise SystemExit(3)"), "t does not run"),
        (program(ODD, "silent", start_seconds=0.5), "it has not answered within 0.5 s"),
        (McpServer(url="http://10.0.0.1/mcp"), "10.0.0.1 is not among the hosts that this agent may reach"),
    ],
)
async def test_a_server_that_does_not_start_is_left_out(config: McpServer, why: str) -> None:
    async with Server("t", config, HERE, SECRETS).kept() as server:
        assert server.tools == ()
        with pytest.raises(ServerAway, match=why):
            await server.call("add", {}, again=True)


async def test_a_server_over_http(unused_tcp_port: int) -> None:
    import uvicorn

    from tests.support.mcp_server import server as made

    app = made().streamable_http_app()
    config = uvicorn.Config(app, host="127.0.0.1", port=unused_tcp_port, log_config=None, lifespan="on")
    web = uvicorn.Server(config)
    serving = asyncio.ensure_future(web.serve())
    try:
        url = f"http://127.0.0.1:{unused_tcp_port}/mcp"
        await until(lambda: web.started)
        async with Server("t", McpServer(url=url, tools=("add",), safe=("add",)), HERE, SECRETS).kept() as server:
            (add,) = server.tools
            assert (await add.call({"a": 2, "b": 3})).text == "5"
    finally:
        web.should_exit = True
        await serving


@pytest.mark.parametrize(
    ("name", "told"), [("a.b/c", "s__a_b_c"), ("größe", "s__gr__e"), ("x" * 100, "s__" + "x" * 61)]
)
def test_names_that_every_provider_takes(name: str, told: str) -> None:
    assert tool_name("s", name) == told
