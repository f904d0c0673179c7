"""The Claude Code driver with the real CLI, whose model says what the test tells it to."""

from pathlib import Path

import pytest

from agents.coders import program
from agents.coders.claude import ClaudeDriver, ClaudeOptions
from agents.coders.driver import LoginMissing, Result, Task
from machine import marks
from machine.sandbox import Sandbox
from schemas import FailureKind, IssueRef
from tests.support import claude, sandboxes
from tests.support.model import Model, model, says, uses
from tests.support.waiting import until_gone

pytestmark = [pytest.mark.peer, pytest.mark.timeout(240)]
FIX = uses("Write", file_path="new.py", content="a + b\n")
LEAVE = uses("Bash", command="nohup setsid sleep 3600 >/dev/null 2>&1 & echo $! > pid", description="Serve")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> ClaudeDriver:
    program = claude.program()  # while there is a home to install it in
    for name in ("ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CONFIG_DIR", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-nobody")
    monkeypatch.setenv("HOME", "/nonexistent")
    return ClaudeDriver(ClaudeOptions(program=str(program)))


async def run(
    driver: ClaudeDriver,
    served: Model,
    place: Path,
    *,
    session: str = "r-1",
    resumed: bool = False,
    turns: int = 20,
    sandbox: Sandbox | None = None,
) -> Result:
    task = Task(
        issue=IssueRef("demo", "shop", 1),
        title="Fix the total",
        attempt=1,
        prompt="Resolve issue demo/shop#1.\n\nIt subtracts.\n",
        session=session,
        resumed=resumed,
        wall_seconds=120.0,
        silence_seconds=120.0,
        output_bytes=10_000_000,
        turns_max=turns,
        sandbox=sandbox,
    )
    (home := place / "home").mkdir(exist_ok=True)
    (worktree := place / "worktree").mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_BASE_URL", served.url)
        result = await driver.run(task, worktree, home=home, on_output=lambda _: None)
    assert marks.bearers(program.MARK, f"{home}:") == []
    return result


async def test_it_edits_is_guarded_and_leaves_nothing_running(driver: ClaudeDriver, tmp_path: Path) -> None:
    sudo = uses("Bash", command="sudo reboot", description="Try")
    outside = uses("Write", file_path=str(tmp_path / "outside.py"), content="x")
    with model([FIX, sudo, outside, LEAVE, says("Done.")]) as served:
        result = await run(driver, served, tmp_path)
    assert (result.failure, result.text, result.detail) == (None, "Done.", "")
    assert (tmp_path / "worktree/new.py").read_text() == "a + b\n"
    assert not (tmp_path / "outside.py").exists()
    assert {blocked.command for blocked in result.blocked} >= {"sudo reboot"}
    assert (result.usage.input, result.usage.output) == (500, 50)
    until_gone(int((tmp_path / "worktree/pid").read_text()))


async def test_in_a_sandbox_it_does_the_same_and_sees_and_changes_nothing_else(
    driver: ClaudeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Sandbox(program=sandboxes.bubblewrap(monkeypatch), hidden=(tmp_path,))
    (key := tmp_path / "key").write_text("secret")
    (here := tmp_path / "here").mkdir()
    edit = uses("Edit", file_path="new.py", old_string="a + b", new_string="a - b")
    look = uses("Bash", command=f"cat {key}; touch /etc/made; ls {tmp_path}", description="Look")
    sudo = uses("Bash", command="sudo reboot", description="Try")
    with model([FIX, edit, sudo, look, LEAVE, says("Done.")], [says("Done again.")]) as served:
        result = await run(driver, served, here, sandbox=kept)
        assert (result.failure, result.text, result.detail) == (None, "Done.", "")
        assert [blocked.command for blocked in result.blocked] == ["sudo reboot"]
        again = await run(driver, served, here, session=result.session or "", resumed=True, sandbox=kept)
        assert (again.failure, again.text) == (None, "Done again.")
        told = [message["content"] for message in served.asked()[-1]["messages"] if message["role"] == "tool"]
    assert (here / "worktree/new.py").read_text() == "a - b\n"
    seen = told[3].splitlines()
    assert seen[-1:] == ["here"], "of what is hidden, only what was given"
    assert f"cat: {key}: No such file or directory" in seen
    assert "touch: cannot touch '/etc/made': Read-only file system" in seen


async def test_a_conversation_goes_on_elsewhere(driver: ClaudeDriver, tmp_path: Path) -> None:
    here, there = tmp_path / "one", tmp_path / "an.other_place"
    here.mkdir()
    there.mkdir()
    with model([FIX, says("Done.")], [says("Done again.")]) as served:
        first = await run(driver, served, here)
        assert first.session is not None
        names = driver.session_files(here / "home", here / "worktree", first.session)
        files = {str(name): (here / "home" / name).read_bytes() for name in names}
        driver.restore_session(there / "home", there / "worktree", first.session, files)
        second = await run(driver, served, there, session=first.session, resumed=True)
        assert (second.text, second.session) == ("Done again.", first.session)
        lost = await run(driver, served, tmp_path, session=first.session, resumed=True)
    assert lost.text == "Done.", "a conversation that is not there is begun anew"


async def test_a_limit_of_turns_is_a_failure(driver: ClaudeDriver, tmp_path: Path) -> None:
    with model([FIX, says("Done.")]) as served:
        result = await run(driver, served, tmp_path, turns=1)
    assert (result.failure, result.turns) == (FailureKind.MAX_TURNS, 2)
    assert (tmp_path / "worktree/new.py").exists()


async def test_it_is_checked_before_it_gets_work(driver: ClaudeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await driver.check()).version.startswith("2.")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(LoginMissing, match="nobody is logged in"):
        await driver.check()
