"""What a person sees of the demo: what happens while it does, on standard error, and a timeline in the end.

At a terminal one line moves; elsewhere every event is a line.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

from msgspec import Struct

from bridges.terminal.output import tell
from deploy.supervisor import Crashed, Failed, Restarting
from deploy.up import News
from schemas import DeadlineSet, Decided, IssueState, Recorded, summary

if TYPE_CHECKING:
    from rich.status import Status

__all__ = ["Outcome", "Show"]

BOOK_KEEPING = (Decided, DeadlineSet)
"""In the log, and not told: how the conductor keeps its place and its time."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How the demo ended: what `rig demo --json` prints."""

    state: IssueState
    attempts: int
    merge_sha: str | None
    events: int
    """In the log."""
    seconds: float
    """From the beginning, servers and all."""
    repository: str | None
    """Where it is kept; None: nothing is left of it."""
    issue: str

    def lines(self) -> Iterator[str]:
        """The same for people."""
        tries = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        merged = f", merged as {self.merge_sha[:9]}" if self.merge_sha else ""
        yield f"{self.issue} is {self.state.replace('_', ' ')}: {tries}{merged}, in {self.seconds:.1f} s"
        if self.repository is None:
            yield "Nothing is left of it; `rig demo --keep DIR` leaves the repository to look at."
        else:
            yield f"Its repository is {self.repository}: look with `git log --graph`."


class Show:
    """`with Show(…) as show:` around a demo."""

    def __init__(self, *, quiet: bool) -> None:
        """`quiet`: no timeline, since standard output is for a program."""
        self._quiet = quiet
        self._began: datetime | None = None
        self._status: Status | None = None

    def __enter__(self) -> "Show":
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console  # here: whoever looks at no terminal need not wait for it

            self._status = Console(stderr=True, highlight=False).status("")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def step(self, what: str) -> None:
        """What the demo itself does now."""
        self._tell(f"{what} …")

    def news(self, news: News) -> None:
        """Something happened to a part of the rig; only trouble is told."""
        if isinstance(news, Crashed | Restarting | Failed):
            self._tell(str(news))

    def said(self, item: Recorded) -> None:
        """An event was stored."""
        if not isinstance(item.event.data, BOOK_KEEPING):
            self._tell(self._line(item))

    def timeline(self, told: Sequence[Recorded]) -> None:
        """All that was said, once more and in order."""
        self._clear()
        if self._quiet:
            return
        shown = [item for item in told if not isinstance(item.event.data, BOOK_KEEPING)]
        print("\n".join(f"{item.position:>4} {self._line(item)}" for item in shown))
        print(f"     … and {len(told) - len(shown)} events by which the conductor keeps its place and its time")

    def _line(self, item: Recorded) -> str:
        self._began = self._began or item.stored_at
        seconds = (item.stored_at - self._began).total_seconds()
        event = item.event
        return f"{seconds:>6.2f} s  {event.about!s:<12}  {event.actor:<9}  {summary(event.data)}"

    def _tell(self, line: str) -> None:
        if self._status is None:
            tell(sys.stderr, line)
        else:
            from rich.text import Text

            text = Text(line, no_wrap=True)  # as it is: foreign text is no markup
            text.truncate(self._status.console.width - 2, overflow="ellipsis")  # the spinner stands before it
            self._status.update(text)

    def _clear(self) -> None:
        if self._status is not None:
            self._status.stop()
