"""What was looked at, what was seen, and how to mend it: for commands that look whether all is well."""

from collections.abc import Iterator
from enum import StrEnum

import typer
from msgspec import Struct

from schemas import printable

__all__ = ["Finding", "Report", "Verdict"]


class Verdict(StrEnum):
    """What a finding means."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong, and it is good to know."""
    PROBLEM = "problem"


class Finding(Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    verdict: Verdict
    seen: str
    mend: str = ""
    """What to do about it."""


class Report(Struct, frozen=True):
    """All that was looked at."""

    well: bool
    findings: tuple[Finding, ...]

    def lines(self) -> Iterator[str]:
        """For people."""
        width = max(len(finding.what) for finding in self.findings)
        for finding in self.findings:
            mark = typer.style(f"{finding.verdict:<7}", fg=_COLOURS[finding.verdict])
            first, *more = printable(finding.seen).splitlines() or [""]
            yield f"{mark}  {finding.what:<{width}}  {first}"
            yield from (f"{'':{width + 11}}{line}" for line in more)
            if finding.mend:
                yield f"{'':{width + 11}}→ {finding.mend}"
        problems = sum(finding.verdict is Verdict.PROBLEM for finding in self.findings)
        yield "all is well" if self.well else f"{problems} problem{'' if problems == 1 else 's'}"


_COLOURS = {Verdict.OK: typer.colors.GREEN, Verdict.NOTE: typer.colors.YELLOW, Verdict.PROBLEM: typer.colors.RED}
