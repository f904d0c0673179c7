"""Several coders as one: who does it, who takes over when, and what is told of all of them."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from agents.coders.chain import Chain
from agents.coders.coder import coder
from agents.coders.driver import Checked, CoderUnavailable, LoginMissing, OnOutput, Result, Task, Usage
from schemas import FailureKind
from tests.unit.test_claude_records import TASK

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
USED = Usage(model="m", input=10, output=1, cost_usd=0.25)


class Link:
    """A driver that answers what it is told to, the last answer again and again."""

    def __init__(self, provider: str, *answers: Result | FailureKind | None, problem: Exception | None = None) -> None:
        self.provider = provider
        self.tasks: list[Task] = []
        self.homes: list[Path] = []
        self.restored: dict[str, bytes] = {}
        self._answers = [
            answer if isinstance(answer, Result) else Result(failure=answer, usage=USED, session="s-1")
            for answer in answers
        ]
        self._problem = problem

    async def check(self) -> Checked:
        if self._problem is not None:
            raise self._problem
        return Checked(version="1.0")

    async def run(self, task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        self.tasks.append(task)
        self.homes.append(home)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def session_files(self, home: Path, worktree: Path, session: str) -> tuple[Path, ...]:
        return (Path("talks", session),)

    def restore_session(self, home: Path, worktree: Path, session: str, files: Mapping[str, bytes]) -> None:
        self.restored = dict(files)


class Clock:
    now = NOON

    def __call__(self) -> datetime:
        return self.now


async def run(chain: Chain, home: Path, task: Task = TASK) -> Result:
    return await chain.run(task, home, home=home, on_output=lambda _: None)


async def test_the_first_that_can_work_does(tmp_path: Path) -> None:
    one, two = Link("one", None), Link("two", None)
    result = await run(Chain([one, two]), tmp_path)
    assert (result.failure, result.provider, result.session, result.usage) == (None, "one", "1-one:s-1", USED)
    assert two.tasks == []
    assert one.homes == [tmp_path / "1-one"]
    assert os.listdir(tmp_path) == ["1-one"]


@pytest.mark.parametrize("kind", list(FailureKind))
async def test_the_next_takes_over_where_the_fault_is_not_the_works(tmp_path: Path, kind: FailureKind) -> None:
    one, two = Link("one", kind), Link("two", None)
    result = await run(Chain([one, two]), tmp_path)
    if kind.of_the_work:
        assert (result.failure, result.provider, result.usage, two.tasks) == (kind, "one", USED, [])
    else:
        assert (result.failure, result.provider, result.session) == (None, "two", "2-two:s-1")
        assert result.usage == Usage(model="m", input=20, output=2, cost_usd=0.5), "what both used is counted"


async def test_what_is_left_of_the_money_is_for_the_next(tmp_path: Path) -> None:
    one, two = Link("one", FailureKind.OVERLOADED), Link("two", None)
    await run(Chain([one, two]), tmp_path, structs.replace(TASK, budget_usd=1.0))
    assert (one.tasks[0].budget_usd, two.tasks[0].budget_usd) == (1.0, 0.75)


async def test_who_is_known_to_be_out_is_not_asked_until_his_quota_resets(tmp_path: Path) -> None:
    until = NOON + timedelta(hours=2)
    one, two = Link("one", Result(failure=FailureKind.QUOTA, retry_at=until), None), Link("two", None)
    clock = Clock()
    chain = Chain([one, two], now=clock)
    await run(chain, tmp_path)
    clock.now = until - timedelta(seconds=1)
    await run(chain, tmp_path)
    assert (len(one.tasks), len(two.tasks)) == (1, 2)
    clock.now = until
    assert (await run(chain, tmp_path)).provider == "one"


async def test_no_quota_is_waited_for_longer_than_any_lasts(tmp_path: Path) -> None:
    never = datetime.max.replace(tzinfo=UTC)
    one, two = Link("one", Result(failure=FailureKind.QUOTA, retry_at=never), None), Link("two", None)
    clock = Clock()
    chain = Chain([one, two], now=clock)
    await run(chain, tmp_path)
    clock.now += timedelta(days=8)
    assert (await run(chain, tmp_path)).provider == "one"


async def test_when_all_are_out_that_is_said_at_once(tmp_path: Path) -> None:
    soon, late = NOON + timedelta(minutes=5), NOON + timedelta(hours=5)
    one = Link("one", Result(failure=FailureKind.QUOTA, retry_at=late))
    two = Link("two", Result(failure=FailureKind.RATE_LIMITED, retry_at=soon))
    chain = Chain([one, two], now=Clock())
    assert (await run(chain, tmp_path)).failure is FailureKind.RATE_LIMITED
    again = await run(chain, tmp_path)
    assert (again.failure, again.retry_at, again.usage.cost_usd) == (FailureKind.RATE_LIMITED, soon, 0.0)
    assert (len(one.tasks), len(two.tasks)) == (1, 1)


async def test_a_conversation_is_whose_it_was(tmp_path: Path) -> None:
    one, two = Link("one", FailureKind.OVERLOADED), Link("two", None)
    chain = Chain([one, two])
    first = await run(chain, tmp_path)
    assert first.session is not None
    files = chain.session_files(tmp_path, tmp_path, first.session)
    assert files == (Path("2-two/talks/s-1"),)
    chain.restore_session(tmp_path, tmp_path, first.session, {str(files[0]): b"talk"})
    assert two.restored == {"talks/s-1": b"talk"}
    await run(Chain([two]), tmp_path, structs.replace(TASK, resumed=True))
    await run(chain, tmp_path, structs.replace(TASK, session="2-two:x", resumed=True))
    assert [(task.session, task.resumed) for task in two.tasks] == [("r-1", False), ("r-1", False), ("x", True)]
    assert chain.session_files(tmp_path, tmp_path, "9-nine:s") == ()


async def test_it_can_be_used_while_one_can(tmp_path: Path) -> None:
    missing, gone = LoginMissing("log in"), CoderUnavailable("install it")
    checked = await Chain([Link("one", None, problem=missing), Link("two", None)]).check()
    assert checked.version == "two 1.0"
    with pytest.raises(LoginMissing, match="log in; log in"):
        await Chain([Link("one", None, problem=missing), Link("two", None, problem=missing)]).check()
    with pytest.raises(CoderUnavailable, match="install it; log in") as raised:
        await Chain([Link("one", None, problem=gone), Link("two", None, problem=missing)]).check()
    assert not isinstance(raised.value, LoginMissing)


@pytest.mark.parametrize("name", ["claude", "codex", "opencode", "command"])
async def test_one_that_is_not_there_has_used_nothing(name: str, tmp_path: Path) -> None:
    """What nobody knows the price of counts for all that was set aside."""
    missing = tmp_path / "missing"
    missing.touch(mode=0o755)
    driver = coder(f"command: {missing}" if name == "command" else f"{name}: program={missing}")
    missing.unlink()
    result = await run(Chain([driver, Link("paid", None)]), tmp_path)
    assert result.failure is (FailureKind.SPAWN if result.provider == name else None)
    assert result.usage == USED
