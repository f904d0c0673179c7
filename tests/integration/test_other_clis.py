"""The drivers for Codex and OpenCode, with programs in their places that say what the real ones said."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from agents.coders import program
from agents.coders.coder import coder
from agents.coders.codex import CodexDriver, CodexOptions
from agents.coders.driver import CoderUnavailable, Driver, LoginMissing, Result
from agents.coders.opencode import OpenCodeDriver, OpenCodeOptions
from machine import marks
from schemas import FailureKind
from tests.unit.test_claude_records import TASK

THREAD = "01a20b3f-1f02-7592-872f-07f3eb3d819c"
ROLLOUT = f"sessions/2026/11/24/rollout-2026-11-24T01-50-15-{THREAD}.jsonl"
SESSION = "ses_df4bc5d77ffeoLgwCIKrap2c3e"
CODEX = f"""\
case "$1" in
  --version) echo "codex-cli 0.169.0"; exit;;
  login) exit "$(cat "$CODEX_HOME/status")";;
esac
printf '%s\\n' "$@" > arguments; env > environment; cat > prompt
mkdir -p "$CODEX_HOME/sessions/2026/11/24"; echo talk >> "$CODEX_HOME/{ROLLOUT}"
nohup sleep 3600 > /dev/null 2>&1 &
echo 'WARNING: something' >&2
echo '{{"type":"thread.started","thread_id":"{THREAD}"}}'
echo '{{"type":"item.completed","item":{{"type":"agent_message","text":"Done."}}}}'
echo '{{"type":"turn.completed","usage":{{"input_tokens":9,"output_tokens":1}}}}'
"""
STEP = '{"reason":"stop","tokens":{"input":9,"output":1},"cost":0.5}'
OPENCODE = f"""\
case "$1" in
  --version) echo 1.18.33; exit;;
  export) echo "Exporting session" >&2; echo '{{"info": "'"$2"'"}}'; exit;;
  import) cp "$2" imported; exit;;
esac
printf '%s\\n' "$@" > arguments; env > environment; cat > prompt
echo '{{"type":"step_start","sessionID":"{SESSION}","part":{{}}}}'
echo '{{"type":"text","sessionID":"{SESSION}","part":{{"text":"Done."}}}}'
echo '{{"type":"step_finish","sessionID":"{SESSION}","part":{STEP}}}'
"""


class Place:
    """Where a driver works; another one is another replica's."""

    def __init__(self, root: Path) -> None:
        self.worktree, self.home = root / "worktree", root / "home"
        self.worktree.mkdir(parents=True)
        self.home.mkdir()

    async def run(self, driver: Driver, **given: Any) -> Result:
        task = structs.replace(TASK, **given)
        result = await driver.run(task, self.worktree, home=self.home, on_output=lambda _: None)
        assert marks.bearers(program.MARK, f"{self.home}:") == []
        return result

    def read(self, name: str) -> str:
        return (self.worktree / name).read_text()


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """His home, and no keys."""
    for name in ("CODEX_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("CODEX_HOME", "XDG_DATA_HOME", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RIG_NATS_URL", "nats://rig:secret@127.0.0.1:4222")
    monkeypatch.setenv("HOME", str(home := tmp_path / "operator"))
    (home / ".codex").mkdir(parents=True)
    (home / ".codex/status").write_text("1")
    (home / ".local/share/opencode").mkdir(parents=True)
    return home


def made(tmp_path: Path, name: str, script: str) -> str:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def codex(tmp_path: Path, operator: Path) -> CodexDriver:
    return CodexDriver(CodexOptions(program=made(tmp_path, "codex", CODEX), model="m-1"))


@pytest.fixture
def opencode(tmp_path: Path, operator: Path) -> OpenCodeDriver:
    return OpenCodeDriver(OpenCodeOptions(program=made(tmp_path, "opencode", OPENCODE), model="p/m"))


async def test_codex_works_by_its_operators_login_and_in_a_home_of_its_own(
    codex: CodexDriver, operator: Path, tmp_path: Path
) -> None:
    with pytest.raises(LoginMissing, match="codex login"):
        await codex.check()
    (operator / ".codex/status").write_text("0")
    assert (await codex.check()).version == "0.169.0"
    (operator / ".codex/auth.json").write_text("{}")
    place = Place(tmp_path / "one")
    result = await place.run(codex, prompt="Resolve `it`; $(rm -rf /)")
    assert (result.failure, result.text, result.session, result.usage.input) == (None, "Done.", THREAD, 9)
    assert (place.home / "auth.json").resolve() == operator / ".codex/auth.json"
    assert place.read("prompt") == "Resolve `it`; $(rm -rf /)"
    assert "rm -rf" not in place.read("arguments")
    assert 'sandbox_mode="workspace-write"' in place.read("arguments").splitlines()
    assert f"CODEX_HOME={place.home}" in place.read("environment").splitlines()
    assert "RIG_" not in place.read("environment")


async def test_codex_goes_on_elsewhere(codex: CodexDriver, tmp_path: Path) -> None:
    here, there = Place(tmp_path / "one"), Place(tmp_path / "two")
    await here.run(codex)
    (name,) = codex.session_files(here.home, here.worktree, THREAD)
    assert str(name) == ROLLOUT
    codex.restore_session(there.home, there.worktree, THREAD, {ROLLOUT: b"talk\n", "../../x": b"no"})
    await there.run(codex, session=THREAD, resumed=True)
    assert there.read("arguments").split()[:2] == ["exec", "resume"]
    assert there.read("arguments").split()[-2:] == [THREAD, "-"]
    await here.run(codex, session="../../etc", resumed=True)
    assert "resume" not in here.read("arguments")


async def test_what_codex_had_used_when_it_was_ended_is_told(tmp_path: Path, operator: Path) -> None:
    kept = '{"payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":25,"output_tokens":1}}}}'
    script = f"""\
mkdir -p "$CODEX_HOME/sessions/2026/11/24"; echo '{kept}' > "$CODEX_HOME/{ROLLOUT}"
echo '{{"type":"thread.started","thread_id":"{THREAD}"}}'; kill -9 $$
"""
    result = await Place(tmp_path / "one").run(CodexDriver(CodexOptions(program=made(tmp_path, "cut", script))))
    assert (result.failure, result.usage.input, result.usage.output) == (FailureKind.BUG, 25, 1)


async def test_opencode_works_in_a_home_of_its_own_and_is_guarded(
    opencode: OpenCodeDriver, operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LoginMissing, match="opencode auth login"):
        await opencode.check()
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-nobody")
    assert (await opencode.check()).version == "1.18.33"
    place = Place(tmp_path / "one")
    result = await place.run(opencode, prompt="Resolve `it`; $(rm -rf /)")
    assert (result.failure, result.text, result.session, result.usage.cost_usd) == (None, "Done.", SESSION, 0.5)
    assert place.read("prompt") == "Resolve `it`; $(rm -rf /)"
    assert place.read("arguments").split() == ["run", "--format=json", "--model=p/m"]
    said = dict(line.split("=", 1) for line in place.read("environment").splitlines() if "=" in line)
    config = json.loads(said["OPENCODE_CONFIG_CONTENT"])
    assert config["permission"]["external_directory"] == "deny"
    assert config["plugin"][0].endswith("/guard.js")
    assert said["XDG_DATA_HOME"] == str(place.home / "data")
    assert "RIG_NATS_URL" not in said


async def test_opencode_goes_on_elsewhere(opencode: OpenCodeDriver, tmp_path: Path) -> None:
    here, there = Place(tmp_path / "one"), Place(tmp_path / "two")
    await here.run(opencode)
    (name,) = opencode.session_files(here.home, here.worktree, SESSION)
    content = (here.home / name).read_bytes()
    assert json.loads(content) == {"info": SESSION}
    opencode.restore_session(there.home, there.worktree, SESSION, {str(name): content, "exports/../x": b"no"})
    await there.run(opencode, session=SESSION, resumed=True)
    assert (there.worktree / "imported").read_bytes() == content
    assert f"--session={SESSION}" in there.read("arguments").split()
    await there.run(opencode, session="ses_../x", resumed=True)
    assert "--session" not in there.read("arguments")


async def test_one_that_is_too_old_or_says_nothing_is_not_used(tmp_path: Path, operator: Path) -> None:
    old = OpenCodeDriver(OpenCodeOptions(program=made(tmp_path, "old", "echo 0.9.9\n")))
    with pytest.raises(CoderUnavailable, match=r"opencode 0\.9\.9 is older than 1\.0\.0"):
        await old.check()
    mute = CodexDriver(CodexOptions(program=made(tmp_path, "mute", "")))
    with pytest.raises(CoderUnavailable, match="says no version"):
        await mute.check()
    gone = CodexDriver(CodexOptions(program=str(tmp_path / "gone")))
    with pytest.raises(CoderUnavailable, match="gone"):
        await gone.check()
    assert (await Place(tmp_path / "x").run(gone)).failure is FailureKind.SPAWN


async def test_a_line_may_name_several(tmp_path: Path, operator: Path) -> None:
    first = made(tmp_path, "codex", "exit 1\n")
    line = f"chain: codex: program={first} | opencode: program={made(tmp_path, 'opencode', OPENCODE)} model=p/m"
    result = await Place(tmp_path / "one").run(coder(line))
    assert (result.failure, result.provider) == (None, "opencode")
    with pytest.raises(LoginMissing):
        await coder(f"chain: opencode: program={made(tmp_path, 'opencode', OPENCODE)}").check()
