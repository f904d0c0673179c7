"""What a reviewer of the rig's own said of a head, in the words of a review at GitHub. Pure.

A finding is `FILE:LINE: what`, as reviewers tell it; where GitHub does not take the line it stands in the text. All of
it is somebody's text, and fenced.
"""

import re
from typing import Final, TypeAlias

from msgspec import Struct

from bridges.github import texts
from schemas import IssueRef, ReviewAbstained, ReviewDisputed, ReviewPassed

__all__ = ["LineComment", "Said", "at_lines", "marker", "whole"]

Said: TypeAlias = ReviewPassed | ReviewDisputed | ReviewAbstained

FINDINGS_MAX: Final = 50
_FINDING_MAX: Final = 1_000
_SUMMARY_MAX: Final = 8_000
_TEXT_MAX: Final = 65_000
"""Characters; GitHub takes 65 536."""
_AT: Final = re.compile(r"(?P<path>[^\r\n]{1,1000}?):(?P<line>[1-9][0-9]{0,6}): (?P<text>.*)", re.DOTALL)


class LineComment(Struct, frozen=True):
    """A finding at its line of the new side, in the words of GitHub's API."""

    path: str
    line: int
    body: str
    side: str = "RIGHT"


def marker(issue: IssueRef, reviewer: str, head: str) -> str:
    """The first line of the one review of a head by a reviewer: how it is found again."""
    return f"<!-- rig:review {issue} {reviewer} {head} -->"


def at_lines(issue: IssueRef, said: Said) -> tuple[str, tuple[LineComment, ...]]:
    """The text with the findings that name no line, and a comment for each that does."""
    lines: list[LineComment] = []
    others: list[str] = []
    for finding in _findings(said):
        found = _AT.fullmatch(finding)
        if found is None or not found["text"].strip():
            others.append(finding)
        else:
            lines.append(LineComment(found["path"], int(found["line"]), texts.fenced(found["text"], _FINDING_MAX)))
    return _text(issue, said, others), tuple(lines)


def whole(issue: IssueRef, said: Said) -> str:
    """The text with all findings in it."""
    return _text(issue, said, _findings(said))


def _findings(said: Said) -> list[str]:
    comments = () if isinstance(said, ReviewPassed) else said.comments
    return [finding for finding in comments if finding.strip()][:FINDINGS_MAX]


def _text(issue: IssueRef, said: Said, findings: list[str]) -> str:
    paragraphs = [
        marker(issue, said.reviewer, said.head_sha),
        f"**{texts.code(said.reviewer)} {_verdict(said)}** ({said.head_sha[:9]})",
    ]
    if said.summary.strip():
        paragraphs.append(texts.fenced(said.summary, _SUMMARY_MAX))
    for index, finding in enumerate(findings):
        fenced = texts.fenced(finding, _FINDING_MAX)
        if sum(len(each) + 2 for each in paragraphs) + len(fenced) > _TEXT_MAX:
            paragraphs.append(f"… and {len(findings) - index} more.")
            break
        paragraphs.append(fenced)
    return "\n\n".join(paragraphs)


def _verdict(said: Said) -> str:
    match said:
        case ReviewPassed():
            return "passes it"
        case ReviewDisputed():
            return "wants changes"
        case ReviewAbstained():
            return "gives no verdict"
