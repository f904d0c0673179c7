"""What a model says of a change, held to the form that it was asked for and to the change itself. Pure.

A verdict is read from the structure and from nothing else: words that approve, wherever they stand, are words. What
cannot be read, or contradicts itself, is no verdict, and certainly not a pass.
"""

import json
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from agents.review_e.change import Change, visible

__all__ = ["SCHEMA", "Finding", "Judgement", "Unusable", "Verdict", "judgement"]

ANSWER_CHARACTERS: Final = 200_000
"""More is not read."""
FINDINGS_MAX: Final = 30
TEXT_CHARACTERS: Final = 2_000
"""Of a summary or a finding; longer ones are cut."""
TOLD_MAX: Final = 10
"""Of the problems of an answer."""


class Verdict(StrEnum):
    """What a reviewer may say."""

    PASS = "pass"  # noqa: S105 - no password
    DISPUTE = "dispute"
    ABSTAIN = "abstain"


class Finding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something found at one place."""

    file: str
    line: Annotated[int, Meta(ge=1)]
    blocking: bool
    """Whether it must be mended before this is merged."""
    text: Annotated[str, Meta(min_length=1)]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class Judgement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole answer."""

    verdict: Verdict
    summary: Annotated[str, Meta(min_length=1)]
    findings: Annotated[tuple[Finding, ...], Meta(max_length=FINDINGS_MAX)]

    @property
    def blocking(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.blocking)

    @property
    def advice(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if not finding.blocking)


class Unusable(Exception):
    """An answer that is no verdict."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


SCHEMA: Final[dict[str, object]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["findings", "summary", "verdict"],
    "properties": {
        "findings": {
            "type": "array",
            "description": "Everything found, the most serious first; empty when there is nothing.",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["file", "line", "blocking", "text"],
                "properties": {
                    "file": {"type": "string", "description": "A file of the change, by its name as shown."},
                    "line": {"type": "integer", "description": "A number shown before a line of that file."},
                    "blocking": {"type": "boolean", "description": "Must it be mended before the merge?"},
                    "text": {"type": "string", "description": "What is wrong, and what to do about it."},
                },
            },
        },
        "summary": {"type": "string", "description": "The judgement and its reason in one to three sentences."},
        "verdict": {
            "type": "string",
            "enum": [verdict.value for verdict in Verdict],
            "description": "pass: nothing blocks. dispute: at least one finding blocks. abstain: it cannot be judged.",
        },
    },
}
"""What a model is asked for. The findings come before the verdict: it is to look before it judges."""


def judgement(text: str, change: Change) -> Judgement:
    """Reads an answer about a change. Raises Unusable with all that is wrong about it."""
    found = _read(text)
    problems = [problem for finding in found.findings if (problem := _misplaced(finding, change))]
    if found.verdict is Verdict.DISPUTE and not found.blocking:
        problems.append("the verdict is dispute, and no finding is blocking")
    if found.verdict is Verdict.PASS and found.blocking:
        problems.append("the verdict is pass, and a finding is blocking")
    if not found.summary.strip():
        problems.append("the summary is empty")
    if problems:
        raise Unusable(problems[:TOLD_MAX])
    return found


def _read(text: str) -> Judgement:
    if len(text) > ANSWER_CHARACTERS:
        raise Unusable([f"the answer is longer than {ANSWER_CHARACTERS} characters"])
    try:
        document = json.loads(_bare(text), object_pairs_hook=_once, parse_constant=_no_number)
        found = msgspec.convert(document, Judgement)
    except (ValueError, RecursionError) as error:
        raise Unusable([f"it is not the JSON that was asked for: {error}"[:300]]) from None
    findings = tuple(msgspec.structs.replace(each, text=_plain(each.text)) for each in found.findings)
    return msgspec.structs.replace(found, summary=_plain(found.summary), findings=findings)


def _bare(text: str) -> str:
    """Without the fence that some models put around all that they say."""
    lines = text.strip().split("\n")
    if len(lines) > 2 and lines[0].strip() in ("```", "```json") and lines[-1].strip() == "```":
        return "\n".join(lines[1:-1])
    return text


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Two verdicts in one answer are none, whichever comes last."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands there twice")
    return made


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number")


def _misplaced(finding: Finding, change: Change) -> str:
    file = change.file(finding.file)
    if file is None:
        return f"{visible(finding.file[:200])!r} is no file of the change"
    if file.lines and finding.line not in file.lines:
        return f"line {finding.line} of {file.path} is not shown: name the number of a line that is"
    if not finding.text.strip():
        return f"a finding about {file.path} says nothing"
    return ""


def _plain(text: str) -> str:
    """What people may be shown: lines of it, in which nothing hides, and not without end."""
    shown = "\n".join(visible(line.rstrip("\r")) for line in text[: TEXT_CHARACTERS + 1].split("\n"))
    return shown if len(shown) <= TEXT_CHARACTERS else shown[: TEXT_CHARACTERS - 1] + "…"
