"""The driver for Codex, headless: `codex exec --json`, the prompt on standard input, its stream of records read.

It works by the operator's login (`codex login`) or by CODEX_API_KEY or OPENAI_API_KEY, and keeps everything else in the
replica's own `home`, without that person's configuration or the repository's. What its commands may reach is the
sandbox's that it brings: the worktree and temporary files, and no network. It knows no prices.
"""

import asyncio
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct

from agents.coders import logins, program
from agents.coders.asked import asked
from agents.coders.codex_records import CodexRecords, Tokens, kind_of, spent
from agents.coders.device import Flow
from agents.coders.driver import NOTHING, Checked, CoderUnavailable, LoginMissing, OnOutput, Result, Task
from agents.coders.homes import bring, is_outside, lend
from agents.coders.program import Ended
from machine.process import SpawnFailed
from schemas import FailureKind, Invalid

OLDEST = (0, 100, 0)
"""Whose stream and options this file knows."""
VARIABLES = frozenset({"CODEX_API_KEY", *program.NETWORK_VARIABLES})
KEYS = ("CODEX_API_KEY", "OPENAI_API_KEY")
ISSUER = "https://auth.openai.com"
EXCERPT = 2_000
_ISSUER = re.compile(r"https://[a-z0-9.-]+(:[0-9]+)?|http://127\.0\.0\.1:[0-9]+")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ROLLOUT = re.compile(r"sessions/\d{4}/\d\d/\d\d/rollout-[0-9T-]+-([0-9a-f-]{36})\.jsonl")


class CodexOptions(Struct, frozen=True, kw_only=True):
    """What an operator may say about it."""

    program: str = "codex"
    """Absolute, or "codex" on the PATH."""
    model: str = ""
    sandbox: str = "workspace-write"
    """Of its commands; `danger-full-access` where the machine is a sandbox itself."""
    issuer: str = ""
    """Of logins, as https://HOST, where it is not OpenAI."""


class CodexDriver:
    """Runs Codex."""

    provider = "codex"

    def __init__(self, options: CodexOptions) -> None:
        """Raises Invalid where logins would come from who knows where."""
        if options.issuer and not _ISSUER.fullmatch(options.issuer):
            raise Invalid("coder", [f"issuer={options.issuer}: write https://HOST"])
        self._options = options

    async def check(self) -> Checked:
        with tempfile.TemporaryDirectory(prefix="codex-") as scratch:
            place = Path(scratch)
            said = await asked([self._options.program, "--version"], place, self._environment(place))
            version = re.search(r"(\d+)\.(\d+)\.(\d+)", said.output)
            if version is None:
                raise CoderUnavailable(f"{self._options.program} --version says no version: {said.output[:200]!r}")
            if tuple(int(part) for part in version.groups()) < OLDEST:
                oldest = ".".join(str(part) for part in OLDEST)
                raise CoderUnavailable(f"codex {version[0]} is older than {oldest}; install a newer one")
            if _key() is None:
                status = await asked([self._options.program, "login", "status"], place, self._environment(_operators()))
                if not status.ok:
                    raise LoginMissing("nobody is logged in: `codex login`, or give CODEX_API_KEY")
        return Checked(
            version=version[0],
            login=logins.mark(_key(), file=_operators() / "auth.json"),
            models=(self._options.model,) if self._options.model else (),
        )

    async def run(self, task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        resumed = task.resumed and bool(self.session_files(home, worktree, task.session))
        before = await asyncio.to_thread(self._spent, home, worktree, task.session) if resumed else Tokens()
        records = CodexRecords(task.turns_max, self._options.model, before)
        if _key() is None:
            lend(home, Path("auth.json"), _operators() / "auth.json")
        argv, env = self._argv(task.session if resumed else None), self._environment(home)
        try:
            ended = await program.run(argv, task, worktree, home=home, env=env, on_output=on_output, records=records)
        except SpawnFailed as error:
            return Result(failure=FailureKind.SPAWN, detail=str(error), usage=NOTHING)
        if not records.over and records.session is not None:  # it counts each call where it keeps the conversation
            records.used(await asyncio.to_thread(self._spent, home, worktree, records.session))
        result = judged(records, ended, task)
        if outside := [path for path in sorted(records.written) if is_outside(worktree, path)]:
            detail = f"codex wrote outside its worktree: {', '.join(outside)[:EXCERPT]}"
            return msgspec.structs.replace(result, failure=FailureKind.GUARD, detail=detail)
        return result

    def session_files(self, home: Path, worktree: Path, session: str) -> tuple[Path, ...]:
        if not _ID.fullmatch(session):
            return ()
        return tuple(path.relative_to(home) for path in home.glob(f"sessions/*/*/*/rollout-*-{session}.jsonl"))

    def restore_session(self, home: Path, worktree: Path, session: str, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            fits = _ROLLOUT.fullmatch(str(PurePosixPath(name)))
            if fits is not None and fits[1] == session:
                bring(home, Path(name), content)

    def device_flow(self) -> Flow | None:
        """Its login becomes the operator's, whose place is made when it is missing. None: a key counts for more."""
        if _key() is not None:
            return None
        (operators := _operators()).mkdir(mode=0o700, parents=True, exist_ok=True)
        issuer = self._options.issuer
        elsewhere = ("--experimental_issuer", issuer) if issuer else ()
        return Flow(
            provider=self.provider,
            argv=(self._options.program, "login", "--device-auth", *elsewhere),
            env=self._environment(operators),
            origins=frozenset({(issuer or ISSUER).rstrip("/")}),
        )

    def _spent(self, home: Path, worktree: Path, session: str) -> Tokens:
        files = self.session_files(home, worktree, session)
        return spent((home / files[0]).read_bytes()) if files else Tokens()

    def _argv(self, session: str | None) -> list[str]:
        options = self._options
        base = os.environ.get("OPENAI_BASE_URL", "")
        settings = [
            'approval_policy="never"',
            f"sandbox_mode={_toml(options.sandbox)}",
            f"shell_environment_policy.exclude={_toml(list(KEYS))}",
            *([f"openai_base_url={_toml(base)}"] if base else []),
        ]
        return [
            options.program,
            "exec",
            *(["resume"] if session is not None else []),
            "--json",
            "--skip-git-repo-check",
            "--ignore-user-config",
            "--ignore-rules",
            *(word for setting in settings for word in ("-c", setting)),
            *(["-m", options.model] if options.model else []),
            *([session] if session is not None else []),
            "-",
        ]

    def _environment(self, home: Path) -> dict[str, str]:
        key = _key()
        return program.environment({"CODEX_HOME": str(home), **({"CODEX_API_KEY": key} if key else {})}, VARIABLES)


def judged(records: CodexRecords, ended: Ended, task: Task) -> Result:
    """How a run ended: by its own record where there is one, else as the machine saw it."""
    result = Result(usage=records.usage, session=records.session, turns=records.turns)
    if records.failed is not None:
        kind = kind_of(records.failed) or FailureKind.BUG
        return msgspec.structs.replace(result, failure=kind, detail=f"codex: {records.failed}")
    if records.over:
        odd = "" if ended.exit_code == 0 else f"codex {ended.how(task)}, after it had finished"
        return msgspec.structs.replace(result, detail=odd, text=records.text)
    came_up = records.session is not None
    unsaid = program.unsaid("codex", ended, task, came_up=came_up, passed_over=records.passed_over)
    kind = kind_of(records.trouble) if ended.stopped is not None else None
    return msgspec.structs.replace(result, failure=kind or unsaid.failure, detail=unsaid.detail)


def _key() -> str | None:
    return next((os.environ[name] for name in KEYS if os.environ.get(name)), None)


def _operators() -> Path:
    """Where the operator's login is."""
    return Path(os.environ.get("CODEX_HOME") or Path.home() / ".codex")


def _toml(value: str | list[str]) -> str:
    """A string or strings as TOML has them; JSON's are, of what is printable."""
    return msgspec.json.encode(value).decode()
