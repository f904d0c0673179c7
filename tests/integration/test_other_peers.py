"""The drivers for Codex and OpenCode with the real programs, in the sandbox where there is one.

Their model is a script; nothing else is reached.
"""

from pathlib import Path

import pytest
from msgspec import structs

from agents.coders import program
from agents.coders.codex import CodexDriver, CodexOptions
from agents.coders.driver import Driver, LoginMissing, Result
from agents.coders.opencode import KEYS, OpenCodeDriver, OpenCodeOptions
from machine import marks
from machine.sandbox import Sandbox
from tests.support import clis, sandboxes
from tests.support.model import Model, model, says, uses
from tests.unit.test_claude_records import TASK

pytestmark = [pytest.mark.peer, pytest.mark.timeout(240)]
PATCH = """\
apply_patch <<'EOF'
*** Begin Patch
*** Update File: total.txt
@@
-broken
+right
*** End Patch
EOF
"""
LEAVE = "nohup setsid sleep 3600 >/dev/null 2>&1 & env | sort"


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator without a login, a key or settings, and no way out of this machine."""
    peers = (clis.codex(), clis.opencode())  # while there is a home to install them in
    assert all(peer.is_file() for peer in peers), peers
    for name in (*KEYS, "CODEX_API_KEY", "CODEX_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setattr("tests.support.clis.peers.packages", lambda: peers[1].parents[2])
    (tmp_path / "operator").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "operator"))


class Place:
    """Where a driver works; another one is another replica's. All around it is hidden in the sandbox."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.worktree = root / "home", root / "worktree"
        self.home.mkdir(parents=True)
        self.worktree.mkdir()
        (self.worktree / "total.txt").write_text("broken\n")
        bubblewrap = sandboxes.offered(monkeypatch)
        self._sandbox = None if bubblewrap is None else Sandbox(program=bubblewrap, hidden=(root.parent,))

    async def run(self, driver: Driver, **given: object) -> Result:
        task = structs.replace(
            TASK, prompt="Resolve issue 1.", wall_seconds=100.0, silence_seconds=100.0, sandbox=self._sandbox, **given
        )
        result = await driver.run(task, self.worktree, home=self.home, on_output=lambda _: None)
        assert marks.bearers(program.MARK, f"{self.home}:") == []
        return result

    @property
    def total(self) -> str:
        return (self.worktree / "total.txt").read_text()


async def goes_on_elsewhere(driver: Driver, session: str, here: Place, there: Place) -> Result:
    """The second round, by another replica."""
    names = driver.session_files(here.home, here.worktree, session)
    files = {str(name): (here.home / name).read_bytes() for name in names}
    driver.restore_session(there.home, there.worktree, session, files)
    return await there.run(driver, session=session, resumed=True)


def told(served: Model) -> list[str]:
    """What its tools have answered, in the last conversation."""
    return [message["content"] for message in served.asked()[-1]["messages"] if message["role"] == "tool"]


async def test_codex_edits_and_goes_on_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = CodexDriver(CodexOptions(program=str(clis.codex()), model="gpt-5-codex"))
    with pytest.raises(LoginMissing, match="codex login"):
        await driver.check()
    here, there = Place(tmp_path / "one", monkeypatch), Place(tmp_path / "two", monkeypatch)
    first = [uses("exec_command", cmd=PATCH), uses("exec_command", cmd=LEAVE), says("Done.")]
    with model(first, [says("Done again.")]) as served:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{served.url}/v1")
        monkeypatch.setenv("CODEX_API_KEY", "sk-nobody")
        assert (await driver.check()).version.startswith("0.")
        result = await here.run(driver)
        assert (result.failure, result.text, result.turns) == (None, "Done.", 2)
        assert here.total == "right\n"
        assert "sk-nobody" not in told(served)[-1]
        again = await goes_on_elsewhere(driver, result.session or "", here, there)
    assert (again.failure, again.text, again.session) == (None, "Done again.", result.session)
    assert (result.usage.input, result.usage.output) == (300, 30)
    assert (again.usage.input, again.usage.output) == (100, 10), "of this run, and not of the whole conversation"


async def test_opencode_edits_is_guarded_and_goes_on_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = OpenCodeDriver(OpenCodeOptions(program=str(clis.opencode()), model="anthropic/claude-sonnet-4-5"))
    with pytest.raises(LoginMissing, match="opencode auth login"):
        await driver.check()
    here, there = Place(tmp_path / "one", monkeypatch), Place(tmp_path / "two", monkeypatch)
    total = str(here.worktree / "total.txt")
    first = [
        uses("read", filePath=total),
        uses("edit", filePath=total, oldString="broken", newString="right"),
        uses("bash", command="sudo reboot", description="Try"),
        uses("bash", command=LEAVE, description="Leave something"),
        says("Done."),
    ]
    with model(first, [says("Done again.")]) as served:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", served.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-nobody")
        assert (await driver.check()).version.startswith("1.")
        result = await here.run(driver)
        assert (result.failure, result.text, result.turns) == (None, "Done.", 5)
        assert here.total == "right\n"
        assert [blocked.command for blocked in result.blocked] == ["sudo reboot"]
        assert "sk-nobody" not in told(served)[-1]
        again = await goes_on_elsewhere(driver, result.session or "", here, there)
    assert (again.failure, again.text, again.session) == (None, "Done again.", result.session)
    assert (result.usage.input, result.usage.output) == (500, 50)
    assert (again.usage.input, again.usage.output) == (100, 10)
    assert result.usage.cost_usd == pytest.approx(0.00225), "by the price that the CLI knows"
