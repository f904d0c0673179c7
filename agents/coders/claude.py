"""The driver for Claude Code, headless: `claude --print`, the prompt on standard input, its stream of records read.

It works as the operator who is logged in (or by ANTHROPIC_API_KEY, CLAUDE_CODE_OAUTH_TOKEN), and keeps everything else,
conversations first, in the replica's own `home`: no settings, hooks, plugins or servers of that person or of the
repository take part. It edits in the worktree alone and asks nobody; which commands it may run is the guard's to say,
in a hook before each call. It has no tools that schedule, message or start agents beside it.
"""

import json
import os
import re
import shlex
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from agents.coders import logins, program
from agents.coders.asked import asked
from agents.coders.claude_records import ClaudeRecords
from agents.coders.driver import NOTHING, Checked, CoderUnavailable, LoginMissing, OnOutput, Result, Task
from agents.coders.homes import bring, is_outside, within
from agents.coders.notes import noted
from agents.coders.program import Ended
from machine.process import SpawnFailed
from schemas import FailureKind, Invalid

OLDEST = (2, 1, 0)
"""Whose stream and options this file knows."""
KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
VARIABLES = frozenset({*KEYS, "ANTHROPIC_BASE_URL", "IS_SANDBOX", *program.NETWORK_VARIABLES})
TOOLS = "Bash,Edit,Glob,Grep,NotebookEdit,Read,TaskOutput,TaskStop,TodoWrite,Write"
ALLOWED = "Bash,Glob,Grep,Read,TaskOutput,TaskStop,TodoWrite"
"""Without being asked. Not here: what edits, which the mode `acceptEdits` allows in the worktree and nowhere else."""
DIRECTORY_CHARACTERS = 200
RETRIES = 5
"""Of a call to its model, some 20 s in all: what lasts longer is for another coder, or for later."""
EXCERPT = 2_000
NOTES = "guard-notes"
HOOK = "agents.guard.hook"

_KINDS = {
    "authentication_failed": FailureKind.AUTH,
    "oauth_org_not_allowed": FailureKind.AUTH,
    "billing_error": FailureKind.QUOTA,
    "rate_limit": FailureKind.RATE_LIMITED,
    "overloaded": FailureKind.OVERLOADED,
    "server_error": FailureKind.OVERLOADED,
}
"""By the class that the CLI gives a failed call to its model; a network that is away is `server_error` too."""
_STATUSES = {401: FailureKind.AUTH, 403: FailureKind.AUTH, 429: FailureKind.RATE_LIMITED, 529: FailureKind.OVERLOADED}
_ENDINGS = {
    "error_max_turns": FailureKind.MAX_TURNS,
    "error_max_budget_usd": FailureKind.OVER_BUDGET,
}


class ClaudeOptions(Struct, frozen=True, kw_only=True):
    """What an operator may say about it."""

    program: str = "claude"
    """Absolute, or "claude" on the PATH."""
    model: str = ""
    mcp: str = ""
    """A file of MCP servers, in the CLI's own form."""


class ClaudeDriver:
    """Runs Claude Code."""

    provider = "claude"

    def __init__(self, options: ClaudeOptions) -> None:
        """Raises Invalid when its file of servers cannot be read."""
        self._options = options
        self._allowed = ",".join((ALLOWED, *(f"mcp__{name}" for name in _servers(options.mcp))))

    async def check(self) -> Checked:
        """Its version and whether it is logged in, which costs no call to a model."""
        with tempfile.TemporaryDirectory(prefix="claude-") as scratch:
            place = Path(scratch)
            env = self._environment(place)
            said = await asked([self._options.program, "--version"], place, env)
            version = re.match(r"(\d+)\.(\d+)\.(\d+)", said.output)
            if version is None:
                raise CoderUnavailable(f"{self._options.program} --version says no version: {said.output[:200]!r}")
            if tuple(int(part) for part in version.groups()) < OLDEST:
                oldest = ".".join(str(part) for part in OLDEST)
                raise CoderUnavailable(f"claude {version[0]} is older than {oldest}; `claude update`")
            status = await asked([self._options.program, "auth", "status"], place, env)
        if not _logged_in(status.output):
            raise LoginMissing("nobody is logged in: `claude auth login`, or give ANTHROPIC_API_KEY")
        keys = (os.environ.get(name) for name in KEYS)
        given = any(os.environ.get(name) for name in KEYS)
        return Checked(
            version=version[0],
            login_expires=None if given else logins.claude_expires(_credentials()),
            login=logins.mark(*keys, file=_credentials()),
            models=(self._options.model,) if self._options.model else (),
        )

    async def run(self, task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        resumed = task.resumed and bool(self.session_files(home, worktree, task.session))
        session = task.session if resumed else str(uuid.uuid4())
        records = ClaudeRecords()
        with tempfile.TemporaryDirectory(prefix="claude-") as scratch:
            notes = Path(scratch) / NOTES
            argv = self._argv(task, session, resumed=resumed, worktree=worktree, notes=notes)
            env = self._environment(home) | _patience(task)
            try:
                ended = await program.run(
                    argv, task, worktree, home=home, env=env, on_output=on_output, records=records
                )
            except SpawnFailed as error:
                return Result(failure=FailureKind.SPAWN, detail=str(error), usage=NOTHING)
            guarded = noted(notes)
        calls = {one.call for one in guarded if one.call}
        blocked = (*guarded, *(one for one in records.blocked if one.call not in calls))
        result = msgspec.structs.replace(judged(records, ended, task), blocked=blocked)
        if outside := [path for path in sorted(records.written) if is_outside(worktree, path)]:
            detail = f"claude wrote outside its worktree: {', '.join(outside)[:EXCERPT]}"
            return msgspec.structs.replace(result, failure=FailureKind.GUARD, detail=detail)
        return result

    def session_files(self, home: Path, worktree: Path, session: str) -> tuple[Path, ...]:
        if not _is_id(session):
            return ()
        path = conversation(worktree, session)
        return (path,) if (home / path).is_file() else ()

    def restore_session(self, home: Path, worktree: Path, session: str, files: Mapping[str, bytes]) -> None:
        """The CLI finds conversations by its directory: the file goes where it looks when it works in `worktree`."""
        for name, content in files.items():
            if _is_id(session) and Path(name).name == f"{session}.jsonl":
                bring(home, conversation(worktree, session), content)

    def _argv(self, task: Task, session: str, *, resumed: bool, worktree: Path, notes: Path) -> list[str]:
        options = self._options
        return [
            options.program,
            "--print",
            "--output-format=stream-json",
            "--verbose",
            "--permission-mode=acceptEdits",
            f"--tools={TOOLS}",
            f"--allowedTools={self._allowed}",
            "--setting-sources=",
            "--strict-mcp-config",
            f"--settings={json.dumps(_settings(worktree, notes))}",
            f"--max-turns={task.turns_max}",
            *([f"--max-budget-usd={task.budget_usd:.4f}"] if task.budget_usd > 0 else []),
            *([f"--model={options.model}"] if options.model else []),
            *([f"--mcp-config={options.mcp}"] if options.mcp else []),
            f"--resume={session}" if resumed else f"--session-id={session}",
        ]

    def _environment(self, home: Path) -> dict[str, str]:
        own = {
            "CLAUDE_CONFIG_DIR": str(home),
            # The login stays the operator's: it is renewed in its place, not in a copy that another would make stale.
            "CLAUDE_SECURESTORAGE_CONFIG_DIR": os.environ.get("CLAUDE_CONFIG_DIR", ""),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_MAX_RETRIES": str(RETRIES),
        }
        return program.environment(own, VARIABLES)


def conversation(worktree: Path, session: str) -> Path:
    """Where, in its home, the CLI keeps a conversation that it has in this directory."""
    name = str(worktree.resolve())
    units = memoryview(name.encode("utf-16-le")).cast("H")
    directory = "".join(chr(unit) if chr(unit).isascii() and chr(unit).isalnum() else "-" for unit in units)
    if len(directory) > DIRECTORY_CHARACTERS:
        directory = f"{directory[:DIRECTORY_CHARACTERS]}-{_short_hash(units)}"
    return within("projects", directory, f"{session}.jsonl")


def _is_id(session: str) -> bool:
    try:
        return str(uuid.UUID(session)) == session
    except ValueError:
        return False


def _credentials() -> Path:
    """Where the operator's login is, where it is in a file."""
    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude") / ".credentials.json"


def judged(records: ClaudeRecords, ended: Ended, task: Task) -> Result:
    """How a run ended: by its own record where there is one, else as the machine saw it."""
    ending = records.ending
    result = Result(
        usage=records.usage,
        session=records.session,
        turns=ending.num_turns if ending else None,
        retry_at=records.limit,
        quota=records.quota,
        text=ending.result if ending and ending.good else "",
    )
    if ending is None:
        came_up = records.session is not None
        unsaid = program.unsaid("claude", ended, task, came_up=came_up, passed_over=records.passed_over)
        # Stopped by a clock while it tried a failing call again and again: that is what kept it.
        kind = _KINDS.get(records.error or "") if ended.stopped is not None else None
        return msgspec.structs.replace(result, failure=kind or unsaid.failure, detail=unsaid.detail)
    if ending.good:
        odd = "" if ended.exit_code == 0 else f"claude {ended.how(task)}, after it had finished"
        return msgspec.structs.replace(result, detail=odd)
    kind = _ENDINGS.get(ending.subtype) or _KINDS.get(records.error or "")
    kind = kind or _STATUSES.get(ending.api_error_status or 0, FailureKind.BUG)
    if kind is FailureKind.RATE_LIMITED and records.limit is not None:
        kind = FailureKind.QUOTA  # a pause between calls is not told as a limit with its reset
    return msgspec.structs.replace(result, failure=kind, detail=f"claude: {ending.words}")


def _settings(worktree: Path, notes: Path) -> dict[str, object]:
    # -I: our own modules, and none that lies in the worktree under the same name.
    hook = shlex.join([sys.executable, "-I", "-m", HOOK, str(notes), str(worktree)])
    # A hook that fails is passed over, unless its exit code is 2: then the call is not made.
    before = [{"matcher": "*", "hooks": [{"type": "command", "command": f"{hook} || exit 2"}]}]
    return {"hooks": {"PreToolUse": before}, "includeCoAuthoredBy": False}


def _patience(task: Task) -> dict[str, str]:
    """A command that prints nothing must end before the silence does."""
    longest = int(task.silence_seconds * 800)
    return {"BASH_MAX_TIMEOUT_MS": str(longest), "BASH_DEFAULT_TIMEOUT_MS": str(min(120_000, longest))}


def _servers(path: str) -> tuple[str, ...]:
    """Names of the servers in the operator's file: what they offer is allowed."""

    class File(Struct):
        servers: dict[str, msgspec.Raw] = msgspec.field(name="mcpServers")

    if not path:
        return ()
    try:
        return tuple(msgspec.json.decode(Path(path).read_bytes(), type=File).servers)
    except (OSError, msgspec.DecodeError) as error:
        raise Invalid("coder", [f"{path} is no file of MCP servers: {error}"]) from None


def _logged_in(output: str) -> bool:
    class Status(Struct):
        logged_in: bool = msgspec.field(name="loggedIn")

    try:
        return msgspec.json.decode(output, type=Status).logged_in
    except msgspec.DecodeError:
        return False


def _short_hash(units: memoryview) -> str:
    """As the CLI shortens long names: a 32-bit hash in base 36."""
    value = 0
    for unit in units:
        value = (value * 31 + unit) & 0xFFFF_FFFF
    value = 2**32 - value if value >= 2**31 else value
    digits = ""
    while value:
        value, digit = divmod(value, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"
