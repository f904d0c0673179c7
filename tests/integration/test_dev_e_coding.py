"""What dev-e makes of a coder that has conversations, a login and a guard: the test speaks for everybody else."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from unittest.mock import patch

import pytest

from agents.coders import sessions
from agents.coders.driver import Checked, CoderUnavailable, LoginMissing, OnOutput, Result, Task
from agents.dev_e import DevE, fitness, role
from agents.dev_e.fitness import Fitness
from agents.guard.blocked import Blocked
from agents.runtime import AgentConfig, Replica
from agents.workspace import Workspace
from bus import Done, Retry
from machine.git import Identity
from machine.lifecycle import Misconfigured
from schemas import (
    Actor,
    AgentJoined,
    CommandBlocked,
    FailureKind,
    LoginExpiring,
    LoginRequired,
    TokensUsed,
    WorkFailed,
    WorkStarted,
)
from tests.support.agents import ISSUE, Rig, new_rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[Rig]:
    async with new_rig(tmp_path) as rig:
        yield rig


class Talkative:
    """A coder that keeps its conversations in files, as they do, and writes down what it is asked to go on with."""

    provider = "talkative"

    def __init__(self, *results: Result) -> None:
        self.tasks: list[Task] = []
        self.heard: list[str] = []
        """What it remembered of the conversation, at each run."""
        self.checked: Checked | CoderUnavailable = Checked(version="1", models=("small", "large"))
        self._results = list(results)

    async def check(self) -> Checked:
        if isinstance(self.checked, CoderUnavailable):
            raise self.checked
        return self.checked

    async def run(self, task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        self.tasks.append(task)
        own = task.session if task.resumed else f"t-{task.session}"
        talk = home / worktree.name / own
        talk.parent.mkdir(parents=True, exist_ok=True)
        self.heard.append(talk.read_text() if task.resumed else "")
        with talk.open("a") as file:
            file.write(f"{len(self.tasks)};")
        (worktree / "total.py").write_text(f"{len(self.tasks)}\n")
        result = self._results.pop(0) if self._results else Result(failure=FailureKind.MAX_TURNS)
        return Result(failure=result.failure, session=own, retry_at=result.retry_at, blocked=result.blocked)

    def session_files(self, home: Path, worktree: Path, session: str) -> tuple[Path, ...]:
        return (Path(worktree.name) / session, Path("not there"))

    def restore_session(self, home: Path, worktree: Path, session: str, files: Mapping[str, bytes]) -> None:
        (content,) = files.values()
        (home / worktree.name).mkdir(parents=True, exist_ok=True)
        (home / worktree.name / session).write_bytes(content)


class Replicas:
    """Replicas of dev-e that share a coder and nothing else: homes and workspaces are their own."""

    def __init__(self, rig: Rig, coder: Talkative, stack: AsyncExitStack) -> None:
        self._rig, self._coder, self._stack = rig, coder, stack

    async def one(self, name: str) -> DevE:
        rig, place = self._rig, self._rig.tmp_path / name
        config = AgentConfig(name=name, role="dev-e", slots=1, provider="talkative")
        workspace = await self._stack.enter_async_context(Workspace.taken(place, Identity(name, f"{name}@rig.invalid")))
        look = Fitness(self._coder, rig.life)
        await look.look()
        return DevE(rig.bus, Replica(rig.bus, config, rig.life), workspace, self._coder, look, home=place / ".coders")


@pytest.fixture
async def coder() -> Talkative:
    return Talkative()


@pytest.fixture
async def replicas(rig: Rig, coder: Talkative) -> AsyncGenerator[Replicas]:
    async with AsyncExitStack() as stack:
        yield Replicas(rig, coder, stack)


# ── conversations ────────────────────────────────────────────────────────────


async def test_a_conversation_goes_on_at_any_replica_in_another_worktree(
    rig: Rig, coder: Talkative, replicas: Replicas
) -> None:
    first, second = await replicas.one("dev-e-1"), await replicas.one("dev-e-2")
    assert await first.work(await rig.ask()) == Done()
    _, started = await rig.until(WorkStarted)
    assert (started.session, started.model) == (started.run, "small")
    for replica in (second, first):
        assert await replica.work(await rig.assign(resume=started.session)) == Done()
    assert coder.heard == ["", "1;", "1;2;"], "and each has heard what was said at the other"
    assert [(task.session, task.resumed) for task in coder.tasks] == [
        (started.run, False),
        (f"t-{started.run}", True),
        (f"t-{started.run}", True),
    ]
    _, third = await rig.until(WorkStarted, lambda event: event.epoch == 3)
    assert third.session == started.session


async def test_a_conversation_that_was_never_archived_begins_anew_under_a_name_of_its_own(
    rig: Rig, coder: Talkative, replicas: Replicas
) -> None:
    await rig.ask()
    assert await (await replicas.one("dev-e-1")).work(await rig.assign(resume="of-one-that-died")) == Done()
    _, started = await rig.until(WorkStarted)
    assert started.session == "of-one-that-died"
    assert [(task.session, task.resumed) for task in coder.tasks] == [(started.run, False)]
    assert await (await replicas.one("dev-e-2")).work(await rig.assign(resume=started.session)) == Done()
    assert coder.heard == ["", "1;"], "it is archived as what the log calls it"


async def test_a_conversation_that_cannot_be_gone_on_with_is_forgotten(rig: Rig, replicas: Replicas) -> None:
    coder = Talkative(Result(failure=FailureKind.CHECKS_FAILED), Result(), Result(failure=FailureKind.STALLED))
    with patch.object(replicas, "_coder", coder):
        dev_e = await replicas.one("dev-e-1")
    await dev_e.work(await rig.ask())
    for _ in range(3):
        await dev_e.work(await rig.assign(resume="the-talk"))
    assert coder.heard == ["", "", "2;", ""]


async def test_a_conversation_that_is_too_long_is_not_kept(
    rig: Rig, coder: Talkative, replicas: Replicas, caplog: pytest.LogCaptureFixture
) -> None:
    dev_e = await replicas.one("dev-e-1")
    await dev_e.work(await rig.ask())
    _, started = await rig.until(WorkStarted)
    with patch.object(sessions, "MOST_BYTES", 3):
        await dev_e.work(await rig.assign(resume=started.session))
    assert "is too long to be kept" in caplog.text
    await dev_e.work(await rig.assign(resume=started.session))
    assert coder.heard == ["", "1;", ""]


@pytest.mark.parametrize("path", ["../stolen", "/stolen", "a/../../stolen", ""])
async def test_files_of_a_conversation_lead_nowhere_else(
    rig: Rig, coder: Talkative, tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    archive = sessions.Sessions(rig.bus.objects, coder, tmp_path / "home")
    (tmp_path / "home").mkdir()
    (tmp_path / "secret").write_text("a secret")
    (tmp_path / "home" / "tree").mkdir()
    (tmp_path / "home" / "tree" / "talk").symlink_to(tmp_path / "secret")
    await archive.keep(ISSUE, "s", "talk", Path("tree"))
    assert await archive.bring_back(ISSUE, "s", Path("tree")) is None, "a link that leads out is not followed"
    with patch.object(sessions, "_read", return_value={path: b"x"}):
        await archive.keep(ISSUE, "s", "talk", Path("tree"))
    assert await archive.bring_back(ISSUE, "s", Path("tree")) is None
    assert "lead elsewhere" in caplog.text


async def test_who_has_lost_the_work_archives_nothing(rig: Rig, coder: Talkative, replicas: Replicas) -> None:
    dev_e = await replicas.one("dev-e-1")
    assigned = await rig.ask()
    taken_over = WorkStarted(epoch=1, run="r-2", agent="dev-e-2", branch="rig/1/1-r-2", session="s", provider="x")
    run = coder.run

    async def overtaken(task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        await rig.say(Actor.DEV_E, ISSUE, taken_over)
        return await run(task, worktree, home=home, on_output=on_output)

    with patch.object(coder, "run", overtaken):
        await dev_e.work(assigned)
    _, started = await rig.until(WorkStarted)
    await dev_e.work(await rig.assign(resume=started.session))
    assert coder.heard[-1] == ""


# ── what is said of a run ────────────────────────────────────────────────────


async def test_what_a_guard_kept_it_from_and_when_it_may_go_on_are_told(rig: Rig, replicas: Replicas) -> None:
    noon = datetime(2031, 1, 1, 12, tzinfo=UTC)
    blocked = tuple(Blocked(command=f"sudo {number}", rule="no sudo") for number in range(100))
    coder = Talkative(Result(failure=FailureKind.QUOTA, retry_at=noon, blocked=blocked))
    with patch.object(replicas, "_coder", coder):
        dev_e = await replicas.one("dev-e-1")
    await dev_e.work(await rig.ask())
    _, failed = await rig.until(WorkFailed)
    assert (failed.kind, failed.retry_at) == (FailureKind.QUOTA, noon)
    events = await rig.bus.log.history(["rig.issue.demo.shop.1.dev-e.command_blocked"])
    said = [item.event.data for item in events]
    assert len(said) == 20
    assert said[0] == CommandBlocked(epoch=1, run=failed.run, command="sudo 0", rule="no sudo")
    assert (await rig.until(TokensUsed))[1].provider == "talkative"


# ── its login ────────────────────────────────────────────────────────────────


@pytest.fixture
def impatient_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitness, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(fitness, "UNFIT_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient_looks")
async def test_without_a_login_nothing_is_claimed_and_with_one_the_replica_joins_again(
    rig: Rig, coder: Talkative
) -> None:
    coder.checked = LoginMissing("log it in: `talkative login`")
    await rig.ask()
    with patch.object(role, "coder_of", return_value=coder):
        rig.start("talkative")
        _, required = await rig.until(LoginRequired)
        assert required.provider == "talkative"
        assert not rig.life.is_ready
        assert await rig.said() == []
        coder.checked = Checked(version="2")
        times = count(1)
        await rig.until(AgentJoined, lambda _: next(times) == 2)
        await rig.until(WorkFailed)
    assert [task.attempt for task in coder.tasks] == [1]
    said = await rig.bus.log.history(["rig.agent.dev-e-1.dev-e.*"])
    assert [item.event.data.name() for item in said][:3] == ["joined", "login_required", "joined"]


@pytest.mark.usefixtures("impatient_looks")
async def test_a_refused_login_is_asked_for_until_it_is_another(rig: Rig) -> None:
    coder = Talkative(Result(failure=FailureKind.AUTH))
    await rig.ask()
    with patch.object(role, "coder_of", return_value=coder):
        rig.start("talkative")
        await rig.until(LoginRequired)
        await rig.assign()
        coder.checked = Checked(login_expires=datetime.now(UTC) + timedelta(hours=1))
        await rig.until(WorkFailed, lambda event: event.epoch == 2)
        _, expiring = await rig.until(LoginExpiring)
    assert expiring.at == coder.checked.login_expires
    assert len(coder.tasks) == 2


@pytest.mark.usefixtures("impatient_looks")
async def test_a_refused_login_that_cannot_become_another_is_tried_again_after_some_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitness, "REFUSED_SECONDS", 0.1)
    coder = Talkative(Result(failure=FailureKind.AUTH))
    await rig.ask()
    with patch.object(role, "coder_of", return_value=coder):
        rig.start("talkative")
        await rig.until(LoginRequired)
        times = count(1)
        await rig.until(AgentJoined, lambda _: next(times) == 2)
        await rig.assign()
        await rig.until(WorkFailed, lambda event: event.epoch == 2)
    assert len(coder.tasks) == 2


async def test_an_assignment_goes_back_while_the_coder_cannot_be_used(
    rig: Rig, coder: Talkative, replicas: Replicas
) -> None:
    coder.checked = LoginMissing("nobody has logged it in")
    dev_e = await replicas.one("dev-e-1")
    assert isinstance(await dev_e.work(await rig.ask()), Retry)
    assert await rig.said() == []


async def test_a_coder_that_is_not_there_ends_the_replica_at_once(rig: Rig, coder: Talkative) -> None:
    coder.checked = CoderUnavailable("talkative 1 is too old: install 2")
    with (
        patch.object(role, "coder_of", return_value=coder),
        pytest.raises(Misconfigured, match="too old"),
    ):
        await asyncio.wait_for(rig.start("talkative"), 30)
    rig.running = None
