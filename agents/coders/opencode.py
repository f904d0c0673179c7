"""The driver for OpenCode, headless: `opencode run --format json`, the prompt on standard input, its stream read.

It works by the operator's login (`opencode auth login`) or a provider's key, and keeps everything else in the replica's
own `home`. The repository's settings take no part: they could bring plugins. The guard judges every call, in a plugin
of our own; what leads out of the worktree is denied by the CLI. It has no cap on what it spends.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from agents.coders import logins, program
from agents.coders.asked import Answer, asked
from agents.coders.driver import NOTHING, Checked, CoderUnavailable, LoginMissing, OnOutput, Result, Task
from agents.coders.homes import bring, is_outside, lend, within
from agents.coders.notes import noted
from agents.coders.opencode_records import OpenCodeRecords
from agents.coders.program import Ended
from machine.process import SpawnFailed
from schemas import FailureKind

OLDEST = (1, 0, 0)
"""Whose stream and options this file knows."""
KEYS = frozenset({"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY"})
VARIABLES = frozenset({*KEYS, *program.NETWORK_VARIABLES})
EXCERPT = 2_000
_Asking: TypeAlias = Callable[..., Awaitable[Answer]]
_INSTALLED = b'{"packages": {"": {"dependencies": {"@opencode-ai/plugin": "*"}}}}'
"""As npm's lock file. The CLI would fetch that package into each new home, and wait for a registry that is away; our
plugin does not need it."""
_ID = re.compile(r"ses_[A-Za-z0-9]{1,60}")
_GUARD = """\
export const Guard = async () => ({
  "tool.execute.before": async (input, output) => {
    const call = JSON.stringify({ tool_name: input.tool, tool_input: output.args ?? {} });
    const done = Bun.spawnSync(HOOK, { stdin: Buffer.from(call), stdout: "pipe", stderr: "pipe" });
    if (done.exitCode !== 0) throw new Error("the guard cannot judge this call: " + done.stderr.toString());
    const said = done.stdout.toString().trim();
    if (said) throw new Error(JSON.parse(said).hookSpecificOutput.permissionDecisionReason);
  },
  "shell.env": async (input, output) => KEYS.forEach((key) => (output.env[key] = "")),
});
"""


class OpenCodeOptions(Struct, frozen=True, kw_only=True):
    """What an operator may say about it."""

    program: str = "opencode"
    """Absolute, or "opencode" on the PATH."""
    model: str = ""
    """As provider/model."""


class OpenCodeDriver:
    """Runs OpenCode."""

    provider = "opencode"

    def __init__(self, options: OpenCodeOptions) -> None:
        self._options = options

    async def check(self) -> Checked:
        with tempfile.TemporaryDirectory(prefix="opencode-") as scratch:
            place = Path(scratch)
            said = await asked([self._options.program, "--version"], place, self._environment(place, {}))
        version = re.match(r"(\d+)\.(\d+)\.(\d+)", said.output)
        if version is None:
            raise CoderUnavailable(f"{self._options.program} --version says no version: {said.output[:200]!r}")
        if tuple(int(part) for part in version.groups()) < OLDEST:
            raise CoderUnavailable(f"opencode {version[0]} is older than 1.0.0; `opencode upgrade`")
        if not any(os.environ.get(name) for name in KEYS) and not _login().is_file():
            raise LoginMissing(f"nobody is logged in: `opencode auth login`, or give one of {', '.join(sorted(KEYS))}")
        return Checked(
            version=version[0],
            login=logins.mark(*(os.environ.get(name) for name in sorted(KEYS)), file=_login()),
            models=(self._options.model,) if self._options.model else (),
        )

    async def run(self, task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        records = OpenCodeRecords(task.turns_max, self._options.model)
        lend(home, Path("data", "opencode", "auth.json"), _login())
        bring(home, Path("config", "opencode", "package-lock.json"), _INSTALLED)
        (home / "config" / "opencode" / "node_modules").mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="opencode-") as scratch:
            notes, plugin = Path(scratch, "notes"), Path(scratch, "guard.js")
            hook = [sys.executable, "-I", "-m", "agents.guard.hook", str(notes), str(worktree)]
            bring(Path(scratch), Path(plugin.name), _plugin(hook))
            env = self._environment(home, {"plugin": [plugin.as_uri()]})
            asking = partial(self._asked, task, worktree, home, env)
            resumed = task.resumed and await self._imported(task, worktree, home, asking)
            argv = self._argv(task.session if resumed else None)
            try:
                ended = await program.run(
                    argv, task, worktree, home=home, env=env, on_output=on_output, records=records
                )
            except SpawnFailed as error:
                return Result(failure=FailureKind.SPAWN, detail=str(error), usage=NOTHING)
            blocked = noted(notes)
            await self._exported(records.session, home, asking)
        result = msgspec.structs.replace(judged(records, ended, task), blocked=blocked)
        if outside := [path for path in sorted(records.written) if is_outside(worktree, path)]:
            detail = f"opencode wrote outside its worktree: {', '.join(outside)[:EXCERPT]}"
            return msgspec.structs.replace(result, failure=FailureKind.GUARD, detail=detail)
        return result

    def session_files(self, home: Path, worktree: Path, session: str) -> tuple[Path, ...]:
        if not _ID.fullmatch(session):
            return ()
        path = _export(session)
        return (path,) if (home / path).is_file() else ()

    def restore_session(self, home: Path, worktree: Path, session: str, files: Mapping[str, bytes]) -> None:
        if _ID.fullmatch(session) and (content := files.get(str(_export(session)))) is not None:
            bring(home, _export(session), content)

    async def _asked(self, task: Task, worktree: Path, home: Path, env: Mapping[str, str], *words: str) -> Answer:
        """Where it works: what a run has left in its home could be a plugin."""
        argv = program.kept((self._options.program, *words), task, worktree, home)
        return await asked(argv, worktree, env)

    async def _imported(self, task: Task, worktree: Path, home: Path, asking: _Asking) -> bool:
        """Its conversations lie in a database: one from elsewhere is read in first."""
        files = self.session_files(home, worktree, task.session)
        if not files:
            return False
        try:
            return (await asking("import", str(home / files[0]))).ok
        except CoderUnavailable:
            return False

    async def _exported(self, session: str | None, home: Path, asking: _Asking) -> None:
        if session is None or not _ID.fullmatch(session):
            return
        try:
            answer = await asking("export", session)
        except CoderUnavailable:
            return
        if answer.ok and answer.output.startswith("{"):
            bring(home, _export(session), answer.output.encode())

    def _argv(self, session: str | None) -> list[str]:
        model = self._options.model
        return [
            self._options.program,
            "run",
            "--format=json",
            *([f"--model={model}"] if model else []),
            *([f"--session={session}"] if session is not None else []),
        ]

    def _environment(self, home: Path, config: Mapping[str, object]) -> dict[str, str]:
        providers = {
            name: {"options": {"baseURL": url}}
            for name, url in (("anthropic", _anthropic()), ("openai", os.environ.get("OPENAI_BASE_URL")))
            if url
        }
        permission = {"edit": "allow", "bash": "allow", "webfetch": "deny", "external_directory": "deny"}
        said = {"autoupdate": False, "share": "disabled", "snapshot": False, "permission": permission, **config}
        own = {
            **{f"XDG_{kind.upper()}_HOME": str(home / kind) for kind in ("data", "config", "state", "cache")},
            "OPENCODE_CONFIG_CONTENT": json.dumps({**said, **({"provider": providers} if providers else {})}),
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        }
        return program.environment(own, VARIABLES)


def judged(records: OpenCodeRecords, ended: Ended, task: Task) -> Result:
    """How a run ended: by the error that it told of, by its last step, else as the machine saw it."""
    result = Result(usage=records.usage, session=records.session, turns=records.turns)
    if records.error is not None:
        detail = f"opencode: {records.error.data.message or records.error.name}"
        return msgspec.structs.replace(result, failure=records.kind, detail=detail)
    if records.finished and not ended.counted_out:
        odd = "" if ended.exit_code == 0 else f"opencode {ended.how(task)}, after it had finished"
        return msgspec.structs.replace(result, detail=odd, text=records.text)
    came_up = records.session is not None
    unsaid = program.unsaid("opencode", ended, task, came_up=came_up, passed_over=records.passed_over)
    return msgspec.structs.replace(result, failure=unsaid.failure, detail=unsaid.detail)


def _plugin(hook: Sequence[str]) -> bytes:
    return f"const HOOK = {json.dumps(hook)};\nconst KEYS = {json.dumps(sorted(KEYS))};\n{_GUARD}".encode()


def _export(session: str) -> Path:
    return within("exports", f"{session}.json")


def _login() -> Path:
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "opencode" / "auth.json"


def _anthropic() -> str | None:
    base = os.environ.get("ANTHROPIC_BASE_URL")
    return f"{base.rstrip('/')}/v1" if base else None
