"""What a coding CLI is to the rig: given a task and a directory, it changes files there.

Every driver, scripted or real, answers with the same Result, and decides it from the world (how the program ended,
what the clocks say, the records that the program itself writes), never from a model's words. A driver neither commits
nor pushes, and knows no events: see dev_e.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeAlias

from msgspec import Struct

from agents.guard.blocked import Blocked
from machine.sandbox import Sandbox
from schemas import FailureKind, IssueRef

OnOutput: TypeAlias = Callable[[bytes], None]
"""Sees every piece of output as it comes, in the event loop: it must be quick."""

CODER_VARIABLES = frozenset(
    {
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "IS_SANDBOX",
        "CODEX_API_KEY",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "OPENROUTER_API_KEY",
        "GEMINI_API_KEY",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "NODE_EXTRA_CA_CERTS",
        "SSL_CERT_FILE",
    }
)
"""What of our environment is for coding CLIs: their logins, and the way to their models. Each driver takes its own."""


class CoderUnavailable(Exception):
    """The coder cannot be used on this machine; the message says why and how to mend it."""


class LoginMissing(CoderUnavailable):
    """It is there, and nobody has logged it in."""


class Task(Struct, frozen=True, kw_only=True):
    """One try at one issue."""

    issue: IssueRef
    title: str
    attempt: int
    prompt: str
    """Everything the coder needs to know; for its standard input."""
    session: str
    """The conversation to have: what a Result called it where it is `resumed`, else our own name for a new one."""
    resumed: bool
    """Whether that conversation has been had before; its files are back in place."""
    wall_seconds: float
    first_output_seconds: float = 300.0
    """How long it may take to print anything at all."""
    silence_seconds: float
    """How long it may print nothing after that."""
    settle_seconds: float = 30.0
    """How long it may go on after it has said how it ended."""
    output_bytes: int
    turns_max: int = 200
    budget_usd: float = 0.0
    """What was set aside for it; 0: nothing was, and nobody has said what it may spend."""
    sandbox: Sandbox | None = None
    """What a coder that is a program is kept in; None: nothing."""


class Usage(Struct, frozen=True, kw_only=True):
    """What a run of the coder used, as its provider counts it."""

    model: str = ""
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost_usd: float | None = None
    """None: nobody knows the price."""


NOTHING = Usage(cost_usd=0.0)


class Quota(Struct, frozen=True, kw_only=True):
    """How much of its provider's quota the login has used, in percent, where the coder says so."""

    five_hour_percent: float = 0.0
    weekly_percent: float = 0.0
    resets_at: datetime | None = None


class Result(Struct, frozen=True, kw_only=True):
    """How a run of the coder ended. What it achieved is to be seen in the worktree."""

    failure: FailureKind | None = None
    """None: the coder says that it has finished."""
    detail: str = ""
    """For people: what went wrong, or was odd."""
    usage: Usage = Usage()
    provider: str = ""
    """Who did it, where the driver has several; else "": its own."""
    session: str | None = None
    """What the coder calls this conversation, when it can be resumed."""
    turns: int | None = None
    retry_at: datetime | None = None
    """When the provider will take work again, where it says so."""
    quota: Quota | None = None
    text: str = ""
    """Its last words, for people alone."""
    blocked: tuple[Blocked, ...] = ()


class Checked(Struct, frozen=True, kw_only=True):
    """What can be known of a coder without giving it work."""

    version: str = ""
    """"" where that cannot be known."""
    login_expires: datetime | None = None
    login: str = ""
    """Another text once somebody has logged in anew, where that can be seen; tells nothing else."""
    models: tuple[str, ...] = ()


class Driver(Protocol):
    """A way to have code written.

    `home` is the coder's own state directory of this replica, the same at every call; it exists.
    """

    @property
    def provider(self) -> str:
        """Whose quota and login it uses; for a program without either, its name."""
        ...

    async def check(self) -> Checked:
        """Whether it can be used here. Raises CoderUnavailable, LoginMissing."""
        ...

    async def run(self, task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        """Works on the task in `worktree`. When it returns, or is cancelled, nothing of it is running any more."""
        ...

    def session_files(self, home: Path, worktree: Path, session: str) -> tuple[Path, ...]:
        """What resuming this conversation needs, relative to `home`; nothing: it cannot be resumed."""
        ...

    def restore_session(self, home: Path, worktree: Path, session: str, files: Mapping[str, bytes]) -> None:
        """Puts such files back, by their relative paths, for a run in this `worktree`, which may be another."""
        ...


class Forgetful:
    """For a driver without conversations: each run begins anew."""

    def session_files(self, home: Path, worktree: Path, session: str) -> tuple[Path, ...]:
        return ()

    def restore_session(self, home: Path, worktree: Path, session: str, files: Mapping[str, bytes]) -> None:
        pass
