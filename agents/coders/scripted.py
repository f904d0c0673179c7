"""The scripted coder: deterministic steps from a file, no model behind it. The demo and the tests use it; so may you.

    [[issue]]
    title = "Fix *"                  # a glob; or `number = 1`; without either it fits every issue

    [[issue.attempt]]                # the first attempt; where an issue has more attempts, the last is repeated
    [[issue.attempt.step]]
    do = "replace"
    path = "shop/total.py"
    old = "a - b"
    new = "a + b"

The first part that fits an issue is played. A run goes on from what an earlier one pushed, so where one may have been
cut off `write` is safer than `replace`. A script is an operator's file, and held to the worktree all the same.
"""

import asyncio
import tomllib
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Annotated, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from agents.coders.clocks import Clocks, Stopped
from agents.coders.driver import NOTHING, Checked, CoderUnavailable, Forgetful, OnOutput, Result, Task
from schemas import FailureKind, Invalid

Inside: TypeAlias = Annotated[str, Meta(min_length=1)]
"""A relative path with slashes, inside the worktree."""
T = TypeVar("T")


class Write(Struct, frozen=True, tag_field="do", tag="write", forbid_unknown_fields=True):
    """Puts a file there, with its directories, whatever was there before."""

    path: Inside
    content: str


class Replace(Struct, frozen=True, tag_field="do", tag="replace", forbid_unknown_fields=True):
    """Replaces a piece of text wherever the file has it; a file that has it nowhere fails the run."""

    path: Inside
    old: Annotated[str, Meta(min_length=1)]
    new: str


class Delete(Struct, frozen=True, tag_field="do", tag="delete", forbid_unknown_fields=True):
    """Takes a file away."""

    path: Inside


class Say(Struct, frozen=True, tag_field="do", tag="say", forbid_unknown_fields=True):
    """Prints a line."""

    text: str


class Sleep(Struct, frozen=True, tag_field="do", tag="sleep", forbid_unknown_fields=True):
    """Takes its time."""

    seconds: Annotated[float, Meta(ge=0)]


class Hang(Struct, frozen=True, tag_field="do", tag="hang", forbid_unknown_fields=True):
    """Does nothing, until a clock stops it."""


class Fail(Struct, frozen=True, tag_field="do", tag="fail", forbid_unknown_fields=True):
    """Ends the run as a failure of this kind."""

    kind: FailureKind
    detail: str = "the script says so"


Step: TypeAlias = Write | Replace | Delete | Say | Sleep | Hang | Fail


class Part(Struct, frozen=True):
    """What is done for the issues that it fits."""

    title: str | None
    number: int | None
    attempts: tuple[tuple[Step, ...], ...]

    def fits(self, task: Task) -> bool:
        return (self.title is None or fnmatchcase(task.title, self.title)) and self.number in (None, task.issue.number)


class Script(Struct, frozen=True):
    """A whole file."""

    parts: tuple[Part, ...]
    version: str
    """The beginning of its SHA-256."""

    def steps(self, task: Task) -> tuple[Step, ...] | None:
        """What to do for this try; None when no part fits the issue."""
        part = next((part for part in self.parts if part.fits(task)), None)
        return None if part is None else part.attempts[min(task.attempt, len(part.attempts)) - 1]


class CannotDo(Exception):
    """A step does not fit the files that it finds."""


class ScriptedDriver(Forgetful):
    """Plays a script."""

    provider = "scripted"

    def __init__(self, path: Path, script: Script) -> None:
        self._path = path
        self._script = script

    async def check(self) -> Checked:
        if not self._path.is_file():
            raise CoderUnavailable(f"the script {self._path} is gone")
        return Checked(version=self._script.version)

    async def run(self, task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        return msgspec.structs.replace(await self._play(task, worktree, on_output), usage=NOTHING)

    async def _play(self, task: Task, worktree: Path, on_output: OnOutput) -> Result:
        steps = self._script.steps(task)
        if steps is None:
            detail = f"{self._path} has no part for {task.issue} ({task.title!r})"
            return Result(failure=FailureKind.BUG, detail=detail)

        clocks = Clocks(task, speaks=False)

        def heard(chunk: bytes) -> None:
            clocks.heard()
            on_output(chunk)

        async def work() -> Result:
            for number, step in enumerate(steps, 1):
                try:
                    result = await _do(step, worktree, heard)
                except (CannotDo, OSError, UnicodeDecodeError) as error:
                    where = f"{self._path}, attempt {task.attempt}, step {number}"
                    return Result(failure=FailureKind.BUG, detail=f"{where}: {error}")
                if result is not None:
                    return result
            return Result()

        wall = asyncio.timeout(task.wall_seconds)
        try:
            async with wall:
                result = await clocks.watch(work())
        except TimeoutError:
            if not wall.expired():
                raise
            result = Stopped.OVERTIME
        if isinstance(result, Result):
            return result
        failure, how = result.failure(task)
        return Result(failure=failure, detail=f"it {how}")


async def _do(step: Step, worktree: Path, on_output: OnOutput) -> Result | None:
    match step:
        case Write(path, content):
            target = _inside(worktree, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8", newline="")
        case Replace(path, old, new):
            target = _inside(worktree, path)
            text = target.read_text(encoding="utf-8")
            if old not in text:
                raise CannotDo(f"{path} does not contain {old[:80]!r}")
            target.write_text(text.replace(old, new), encoding="utf-8", newline="")
        case Delete(path):
            _inside(worktree, path).unlink()
        case Say(text):
            on_output(text.encode() + b"\n")
        case Sleep(seconds):
            await asyncio.sleep(seconds)
        case Hang():
            await asyncio.get_running_loop().create_future()
        case Fail(kind, detail):
            return Result(failure=kind, detail=detail)
    return None


def _inside(worktree: Path, path: str) -> Path:
    """Where `path` leads, when that is a place in the worktree and not git's own: links do not lead out of it."""
    root = worktree.resolve()
    target = (root / path).resolve()
    if not target.is_relative_to(root) or target == root or target.relative_to(root).parts[0] == ".git":
        raise CannotDo(f"{path} leads out of the worktree")
    return target


# ── reading a script: everything that is wrong with it at once ───────────────


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    issue: Annotated[list[object], Meta(min_length=1)]


class _Issue(Struct, frozen=True, forbid_unknown_fields=True):
    attempt: Annotated[list[object], Meta(min_length=1)]
    title: str | None = None
    number: Annotated[int, Meta(ge=1)] | None = None


class _Attempt(Struct, frozen=True, forbid_unknown_fields=True):
    step: list[object]


def load(path: Path) -> Script:
    """Reads a script. Raises Invalid with one problem per line that is wrong."""
    try:
        body = path.read_bytes()
        document = tomllib.loads(body.decode("utf-8"))
    except OSError as error:
        raise Invalid(str(path), [f"cannot be read: {error.strerror}"]) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(str(path), [f"is not TOML: {error}"]) from None
    problems: list[str] = []
    file = _read(document, _File, "the file", problems)
    parts = tuple(
        _part(issue, f"issue {number}", problems) for number, issue in enumerate(file.issue if file else (), 1)
    )
    if problems:
        raise Invalid(str(path), problems)
    return Script(parts, sha256(body).hexdigest()[:12])


def _part(value: object, where: str, problems: list[str]) -> Part:
    issue = _read(value, _Issue, where, problems)
    if issue is None:
        return Part(None, None, ())
    attempts = tuple(
        _steps(attempt, f"{where}, attempt {number}", problems) for number, attempt in enumerate(issue.attempt, 1)
    )
    return Part(issue.title, issue.number, attempts)


def _steps(value: object, where: str, problems: list[str]) -> tuple[Step, ...]:
    attempt = _read(value, _Attempt, where, problems)
    if attempt is None:
        return ()
    steps: list[Step] = []
    for number, item in enumerate(attempt.step, 1):
        here = f"{where}, step {number}"
        try:
            step = msgspec.convert(item, Step)
        except msgspec.ValidationError as error:
            problems.append(f"{here}: {error}")
            continue
        if isinstance(step, Write | Replace | Delete) and not _is_relative(step.path):
            problems.append(f"{here}: {step.path!r} leads out of the worktree")
        steps.append(step)
    return tuple(steps)


def _is_relative(path: str) -> bool:
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and "\0" not in path


def _read(value: object, shape: type[T], where: str, problems: list[str]) -> T | None:
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        problems.append(f"{where}: {error}")
        return None
