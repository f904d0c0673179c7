"""The terminal on a real rig: the real log, forge, read side and query service, each command a process of its own."""

import asyncio
import json
import os
import signal
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridges.local import shell
from bridges.terminal import Found, NoRig, tail
from bridges.terminal.session import person
from bus import Bus
from conductor.query import run_query
from deploy.embedded.nats import NatsServer
from machine.lifecycle import Lifecycle
from schemas import Actor, IssueApproved, IssueRef, IssueRevised, Recorded, RepositoryAdded, Stopped
from tests.support.project import Project, new_project
from tests.support.readside import ISSUE, projecting, say
from tests.support.terminal import Said, Terminal
from tests.support.waiting import until

Connect = Callable[..., Awaitable[Bus]]

ROOT = Path(__file__).parents[2]
SHOP_ADDED = RepositoryAdded(clone_url="/srv", check="true", by="ann")


@asynccontextmanager
async def program(rig: Terminal, *arguments: str, stdout: int = PIPE) -> AsyncIterator[Process]:
    """A command as a process of its own, which does not outlive the test."""
    env = {**os.environ, **rig.env, "PYTHONPATH": str(ROOT)}
    env.pop("PYTHONUNBUFFERED", None)  # a user's output is buffered
    argv = [sys.executable, "-m", "tests.support.terminal", *arguments]
    process = await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=stdout, stderr=PIPE, env=env)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    """Speaks as the GitHub bridge, which may say what people and forges do."""
    return await connect(Actor.GITHUB)


@pytest.fixture
async def rig(nats: NatsServer, bus: Bus) -> Terminal:
    """A terminal beside a log, and nobody else."""
    return Terminal(nats)


@pytest.fixture
async def forge(rig: Terminal, connect: Connect, tmp_path: Path) -> AsyncIterator[Project]:
    """The local forge at work, and a repository that nobody has put under the rig yet."""
    life = Lifecycle()
    serving = await connect(Actor.LOCAL, "local")
    work = asyncio.create_task(shell.run(serving, life, scratch=tmp_path / "scratch"))
    yield await new_project(tmp_path, "checkout")
    life.stop.set()
    await work


@pytest.fixture
async def read_side(rig: Terminal, connect: Connect, postgres_url: str) -> AsyncIterator[None]:
    """Projector and query service."""
    life = Lifecycle()
    life.running = True
    serving = await connect(Actor.CONDUCTOR, "query")
    async with projecting(await connect(Actor.PROJECTOR), postgres_url):
        work = asyncio.create_task(run_query(serving, life, postgres_url))
        await until(lambda: life.is_ready)
        yield
        life.stop.set()
        await work


# ── saying ───────────────────────────────────────────────────────────────────


async def test_an_event_is_published_as_the_terminals_and_its_position_told(rig: Terminal, bus: Bus) -> None:
    await say(bus, SHOP_ADDED)
    said = await rig("publish", "ISSUE_WITHDRAWN", "issue=demo/shop#1", "by=ann", "--id", "once")
    assert (said.code, said.out, said.err) == (0, "position 2, id once\n", "")
    found = await bus.log.at(2)
    assert isinstance(found, Recorded)
    assert (found.event.actor, found.event.id, str(found.event.about)) == ("cli", "once", "demo/shop#1")


async def test_said_twice_under_one_id_it_is_stored_once_and_a_contradiction_is_refused(
    rig: Terminal, bus: Bus
) -> None:
    await say(bus, SHOP_ADDED)
    first = await rig("publish", "Stopped", "issue=demo/shop#1", "by=ann", "--id", "once")
    again = await rig("publish", "Stopped", "--json", "-", "--id", "once", stdin=b'{"issue":"demo/shop#1","by":"ann"}')
    other = await rig("publish", "Stopped", "issue=demo/shop#1", "by=bob", "--id", "once")
    assert (again.code, again.out) == (0, first.out)
    assert other.code == 2
    assert "once" in other.err
    assert len(await bus.log.history(["rig.issue.>"])) == 1


async def test_about_a_repository_that_is_not_under_the_rig_nothing_is_published(rig: Terminal, bus: Bus) -> None:
    for about in (("Stopped", "issue=demo/shop#1"), ("RepositoryRemoved", "repo=demo/shop")):
        said = await rig("publish", *about, "by=ann")
        assert (said.code, said.err[:39]) == (2, "rig: demo/shop is not under this rig; `")
    assert await bus.log.last() is None
    await rig("publish", "RepositoryAdded", "repo=demo/shop", "clone_url=/srv", "check=true", "by=ann")
    assert (await rig("publish", "Stopped", "issue=demo/shop#1", "by=ann")).code == 0
    await rig("publish", "RepositoryRemoved", "repo=demo/shop", "by=ann")
    assert (await rig("publish", "Stopped", "issue=demo/shop#2", "by=ann")).code == 2


async def test_wrong_input_publishes_nothing(rig: Terminal, bus: Bus) -> None:
    said = await rig("publish", "Stopped", "issue=demo/shop#1", "--json", "-", stdin=b"{}")
    assert (said.code, said.out) == (2, "")
    said = await rig("publish", "Stopped", "issue=demo/shop", "note=x")
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[0] == "rig: Stopped:"
    assert await bus.log.last() is None


# ── repositories and issues ──────────────────────────────────────────────────


async def test_a_repository_is_added_and_the_forges_word_awaited(rig: Terminal, bus: Bus, forge: Project) -> None:
    said = await rig("repo", "add", str(forge.path), "--check", "sh test.sh", "--name", "demo/shop")
    assert (said.code, said.out) == (0, f"demo/shop: main at {(await forge.base())[:9]} is under the rig\n")
    names = [recorded.event.data.name() for recorded in await bus.log.history(["rig.>"])]
    assert names == ["added", "configured"]

    again = await rig("repo", "add", str(forge.path), "--check", "sh test.sh", "--name", "demo/shop", "--json")
    assert again.json()["check"] == "sh test.sh"
    assert len(await bus.log.history(["rig.>"])) == 2, "what is so already is not said again"

    changed = await rig("repo", "add", str(forge.path), "--check", "true", "--reviewer", "ann", "--name", "demo/shop")
    assert changed.code == 0
    last = await bus.log.last()
    assert isinstance(last, Recorded)
    assert last.event.data.reviewers == ("ann",)  # type: ignore[attr-defined] - the test knows which it is


async def test_a_repository_without_a_name_is_called_after_its_directory(rig: Terminal, forge: Project) -> None:
    said = await rig("repo", "add", str(forge.path), "--check", "true")
    assert said.out.startswith("local/shop: ")


async def test_without_a_forge_adding_a_repository_does_not_wait_for_ever(
    rig: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = await new_project(tmp_path, "bare")
    monkeypatch.setattr("bridges.terminal.repo.FORGE_SECONDS", 0.1)
    said = await rig("repo", "add", str(project.path), "--check", "true")
    assert said.code == 1
    assert "rig: local/shop was added (position 1), but the local forge has said nothing for 0.1 s" in said.err


async def test_an_issue_is_filed_with_its_text_from_standard_input(rig: Terminal, bus: Bus, forge: Project) -> None:
    await rig("repo", "add", str(forge.path), "--check", "true", "--name", "demo/shop")
    body = b"It is wrong.\n\x1b[31mand red\x00\n"
    said = await rig("issue", "add", "shop", "--title", "Fix total", "--body", "-", "--priority", "high", stdin=body)
    assert (said.code, said.out) == (0, "demo/shop#1 (position 3)\n")
    more = ("--requires", "node", "--requires", "docker", "--label", "wip", "--label", "for all", "--milestone", "1")
    second = await rig("issue", "add", "demo/shop", "--title", "Then this", "--depends-on", "1", *more, "--json")
    assert second.json() == {"issue": {"owner": "demo", "repo": "shop", "number": 2}, "position": 4}
    first, then = (await bus.log.history(["rig.issue.>"]))[:2]
    assert (first.event.data.body, first.event.data.priority) == (body.decode(), "high")  # type: ignore[attr-defined] - the test knows which it is
    assert then.event.data == IssueApproved(
        title="Then this",
        author=person(),
        depends_on=(ISSUE,),
        requires=("node", "docker"),
        labels=("wip", "for all"),
        milestone="1",
    )


async def test_what_the_forge_will_not_take_is_wrong_input(rig: Terminal, bus: Bus, forge: Project) -> None:
    await rig("repo", "add", str(forge.path), "--check", "true", "--name", "demo/shop")
    itself = await rig("issue", "add", "demo/shop", "--title", "t", "--depends-on", "1")
    assert (itself.code, itself.err) == (2, "rig: the new issue is demo/shop#1: it cannot depend on itself\n")
    unknown = await rig("issue", "add", "demo/site", "--title", "t")
    assert unknown.code == 2
    assert "demo/site is not under this rig" in unknown.err
    short = await rig("issue", "add", "site", "--title", "t")
    assert (short.code, short.err) == (2, "rig: no repository 'site' is under this rig; `rig status` lists them\n")
    await say(bus, RepositoryAdded(clone_url="/srv", check="true", by="ann"))
    assert await bus.log.history(["rig.issue.>"]) == []


async def test_a_short_name_that_two_repositories_have_is_refused(rig: Terminal) -> None:
    for owner in ("acme", "demo"):
        await rig("publish", "RepositoryAdded", f"repo={owner}/shop", "clone_url=/srv", "check=true", "by=ann")
    said = await rig("issue", "shop#1")
    assert (said.code, said.err) == (2, "rig: 'shop' could be acme/shop or demo/shop: write OWNER/REPO\n")
    await rig("publish", "RepositoryRemoved", "repo=acme/shop", "by=ann")
    said = await rig("issue", "add", "shop", "--title", "t")
    assert (said.code, said.err[:41]) == (1, "rig: the local service does not answer: n")


# ── asking ───────────────────────────────────────────────────────────────────


async def test_the_rig_is_looked_at(rig: Terminal, bus: Bus, forge: Project, read_side: None) -> None:
    await rig("repo", "add", str(forge.path), "--check", "true", "--name", "demo/shop")
    await rig("issue", "add", "shop", "--title", "Fix \x9b2Jtotal")
    await say(bus, Stopped(by="ann"))
    await settled(rig, 4)
    typed = (("status",), ("issues", "--repo", "shop"), ("issue", "shop#1"), ("agents",))
    status, issues, issue, agents = [await rig(*words) for words in typed]
    assert "issues        1 stopped\n" in status.out
    assert "read side     position 4, nothing behind\n" in status.out
    assert "demo/shop#1  stopped  normal    -    Fix 2Jtotal\n" in issues.out
    assert "state         stopped\n" in issue.out
    assert "stopped by ann\n" in issue.out
    assert agents.out == "no agent has joined\n"
    assert all("\x1b" not in said.out for said in (status, issues, issue, agents)), "no colours without a terminal"

    as_json = await rig("issue", "--json", "demo/shop#1")
    assert [entry["type"] for entry in as_json.json()["timeline"]] == [
        "rig.issue.approved.v1",
        "rig.issue.stopped.v1",
    ]
    missing = await rig("issue", "shop#9")
    assert (missing.code, missing.out) == (1, "")
    assert missing.err.startswith("rig: there is no issue demo/shop#9 ")


async def settled(rig: Terminal, position: int) -> None:
    while (await rig("status", "--json")).json()["position"] < position:
        pass


async def test_a_rig_without_its_query_service_says_what_does_not_answer(rig: Terminal) -> None:
    said = await rig("status")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("rig: the query service does not answer")


# ── the log as it is written ─────────────────────────────────────────────────


async def lines(rig: Terminal, *arguments: str) -> list[str]:
    said = await rig("tail", "--no-follow", *arguments)
    assert (said.code, said.err) == (0, "")
    return said.out.splitlines()


async def test_the_tail_is_the_log_one_event_a_line(rig: Terminal, bus: Bus) -> None:
    assert await lines(rig) == []
    for number in range(1, 13):
        await say(bus, Stopped(by="ann", note="x\x1b[31m\ny"), issue=IssueRef("demo", "shop", number))
    await bus.connection.request("rig.issue.demo.shop.1.github.stopped", b"not JSON")
    assert [line.split()[0] for line in await lines(rig)] == [str(n) for n in range(4, 14)], "the last ten"
    all_of_it = await lines(rig, "--since", "1")
    assert [int(line.split()[0]) for line in all_of_it] == list(range(1, 14))
    assert all_of_it[0].endswith("  demo/shop#1        github     stopped by ann: x[31m y")
    assert "  unreadable: not an event" in all_of_it[-1]
    assert len(await lines(rig, "--issue", "demo/shop#1")) == 2
    assert len(await lines(rig, "--since", "1", "--type", "issue.stopped", "--type", "Merged")) == 12
    assert await lines(rig, "--since", "1", "--type", "Merged") == []
    assert await lines(rig, "--since", "99") == []


async def test_the_tail_begins_at_a_time(rig: Terminal, bus: Bus) -> None:
    for number in range(1, 6):
        await say(bus, Stopped(by="ann"), issue=IssueRef("demo", "shop", number))
    third = await bus.log.at(3)
    assert isinstance(third, Recorded)
    assert [line.split()[0] for line in await lines(rig, "--since", third.stored_at.isoformat())] == ["3", "4", "5"]
    assert len(await lines(rig, "--since", "1h")) == 5
    assert await lines(rig, "--since", "2999-01-01") == []


async def test_the_tail_as_json_is_one_document_a_line(rig: Terminal, bus: Bus) -> None:
    await say(bus, Stopped(by="ann"))
    await bus.connection.request("rig.issue.demo.shop.1.github.stopped", b"not JSON")
    first, second = map(json.loads, await lines(rig, "--json"))
    assert (first["position"], first["event"]["type"], first["event"]["data"]["by"]) == (
        1,
        "rig.issue.stopped.v1",
        "ann",
    )
    assert (second["position"], second["skipped"][:12]) == (2, "not an event")


async def test_the_tail_follows_until_ctrl_c(rig: Terminal, bus: Bus) -> None:
    async with program(rig, "tail", "--type", "IssueRevised") as process:
        assert process.stdout is not None
        await say(bus, Stopped(by="ann"))
        await say(bus, IssueRevised(title="Other"))
        assert b"revised: title" in await process.stdout.readline()
        await say(bus, IssueRevised(body="new"), id="second")
        assert b"revised: body" in await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        assert (process.returncode, out, err) == (0, b"", b"")


async def following(rig: Terminal, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> "asyncio.Task[Said]":
    """`rig tail` that has shown an event."""
    shown = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(tail, "_show", lambda *_, **__: loop.call_soon_threadsafe(shown.set))
    monkeypatch.setattr(tail, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(tail, "PATIENCE_SECONDS", 0.2)
    await say(bus, Stopped(by="ann"))
    task = asyncio.create_task(rig("tail"))
    await shown.wait()
    return task


async def test_the_tail_of_a_rig_that_has_stopped_ends(
    nats: NatsServer, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = threading.Event()

    def find() -> Found:
        if stopped.is_set():
            raise NoRig("nothing runs on ~/rig")
        return Found(nats.url, None, nats.key(Actor.CLI))

    task = await following(Terminal(nats, find), bus, monkeypatch)
    await nats.stop()
    stopped.set()
    said = await task
    assert said.code == 1
    assert said.err.splitlines() == [
        "rig: the connection to the rig is lost; waiting for it to come back",
        "rig: no rig is running here: nothing runs on ~/rig; start one with `rig up`",
    ]


async def test_the_tail_of_a_rig_in_whose_place_another_runs_ends(
    nats: NatsServer, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [Found(nats.url, None, nats.key(Actor.CLI))]
    task = await following(Terminal(nats, lambda: there[-1]), bus, monkeypatch)
    await nats.stop()
    there.append(Found("nats://127.0.0.1:1", None))
    said = await task
    assert said.code == 1
    assert "another runs here now" in said.err


async def test_the_tail_of_a_server_that_a_person_named_waits_until_it_is_back(
    rig: Terminal, nats: NatsServer, bus: Bus
) -> None:
    async with program(rig, "tail") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        await say(bus, Stopped(by="ann"))
        await process.stdout.readline()
        await nats.stop()
        assert b"is lost; waiting" in await process.stderr.readline()
        await nats.start()
        assert await process.stderr.readline() == b"rig: connected again\n"
        await say(bus, Stopped(by="bob"), id="second")
        assert b"stopped by bob" in await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        await process.communicate()


# ── what goes wrong ──────────────────────────────────────────────────────────


async def test_a_server_that_a_person_named_and_that_is_not_there_is_no_rig_to_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bridges.terminal.session.CONNECT_SECONDS", 0.2)
    said = await Terminal("nats://127.0.0.1:1")("status")
    assert said.code == 1
    assert "nats://127.0.0.1:1" in said.err
    assert said.err.endswith(" (RIG_NATS_URL)\n")
    said = await Terminal("", lambda: Found("nats://127.0.0.1:1", None))("status")
    assert said.err.startswith("rig: no rig is running here: ")


async def test_without_git_adding_a_repository_says_so(
    rig: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = await rig("repo", "add", str(tmp_path), "--check", "true")
    assert said.code == 1
    assert said.err.startswith("rig: cannot start git: ")


async def test_an_answer_that_cannot_be_written_is_a_failure_in_one_line(rig: Terminal, bus: Bus) -> None:
    await say(bus, Stopped(by="ann"))
    full = os.open("/dev/full", os.O_WRONLY)
    async with program(rig, "tail", "--no-follow", stdout=full) as process:
        os.close(full)
        _, err = await process.communicate()
        assert (process.returncode, err) == (1, b"rig: cannot write to standard output: No space left on device\n")


async def test_a_reader_of_the_tail_may_leave(rig: Terminal, bus: Bus) -> None:
    async with program(rig, "tail") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        await say(bus, Stopped(by="ann"))
        await process.stdout.readline()
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined] - the test knows which it is
        await say(bus, Stopped(by="bob"), id="second")
        assert await process.stderr.read() == b""
        await process.wait()
