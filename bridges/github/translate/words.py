"""What people write into issues, pull requests and labels for the rig to read: references, priorities, needs.

Read line by line and never inside a code fence; bounded, since a text may be long.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

from bridges.github.translate.reading import NUMBER_MAX
from schemas import BadReference, IssueRef, Priority, RepoRef
from schemas.refs import NAME

READY: Final = "agent-ready"
"""The label that approves an issue."""
NEEDS_REVIEW: Final = "needs-review"
"""The label that asks for a review of somebody's pull request."""
OURS: Final = "rig:"
"""What the labels begin with that the rig itself puts on an issue to show how it stands."""
REFERENCES_MAX: Final = 50
LABELS_MAX: Final = 100
_REFERENCE: Final = re.compile(
    r"(?:https?://[^\s/]{1,253}/(?P<path>[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100})/(?:issues|pull)/"
    r"|(?P<repo>[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100})?#)(?P<number>[0-9]{1,9})(?![0-9A-Za-z])"
)
_DEPENDS: Final = re.compile(
    r"\s{0,20}(?:[-*+>]\s{1,5})?[*_]{0,2}(?:depends\s{1,5}on|blocked\s{1,5}by)\b", re.IGNORECASE
)
_BETWEEN: Final = re.compile(r"[\s:*_,;&]{0,20}(?:and\b[\s:*_,;&]{0,20})?", re.IGNORECASE)
_CLOSES: Final = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)[\s:]{1,10}", re.IGNORECASE)
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_PRIORITY: Final = re.compile(r"priority\s*[:/]\s*(critical|high|normal|medium|low)", re.IGNORECASE)
_GRADES: Final = {"p0": Priority.CRITICAL, "p1": Priority.HIGH, "p2": Priority.NORMAL, "p3": Priority.LOW}
_NEEDS: Final = re.compile(r"(?:requires|needs)\s*:(.*)", re.IGNORECASE)


def lines(text: str) -> Iterator[str]:
    """The lines of a text that are not code."""
    fence: str | None = None
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence is not None:
            if mark is not None and mark[1].startswith(fence) and not line[mark.end() :].strip():
                fence = None
        elif mark is not None:
            fence = mark[1]
        else:
            yield line


def dependencies(text: str, issue: IssueRef) -> tuple[IssueRef, ...]:
    """What `Depends on #1, #2 and acme/api#3` lines name, each once, sorted; an issue never depends on itself."""
    found: set[IssueRef] = set()
    for line in lines(text):
        begins = _DEPENDS.match(line)
        if begins is not None:
            found.update(_listed(line, begins.end(), issue.repository))
    return tuple(sorted(found - {issue})[:REFERENCES_MAX])


def closes(text: str, repository: RepoRef) -> tuple[IssueRef, ...]:
    """The issues that a pull request closes, by GitHub's own keywords, in the order in which they are named."""
    found: dict[IssueRef, None] = {}
    for line in lines(text):
        for keyword in _CLOSES.finditer(line):
            reference = _REFERENCE.match(line, keyword.end())
            if reference is not None and (ref := _ref(reference, repository)) is not None:
                found[ref] = None
    return tuple(found)[:REFERENCES_MAX]


def references(text: str, repository: RepoRef) -> tuple[IssueRef, ...]:
    """Every issue that a list names."""
    return tuple(_listed(text, 0, repository))[:REFERENCES_MAX]


def _listed(line: str, at: int, repository: RepoRef) -> Iterator[IssueRef]:
    """One reference after the other, until something else stands there."""
    while True:
        between = _BETWEEN.match(line, at)
        reference = _REFERENCE.match(line, between.end() if between is not None else at)
        if reference is None:
            return
        at = reference.end()
        if (ref := _ref(reference, repository)) is not None:
            yield ref


def _ref(found: re.Match[str], repository: RepoRef) -> IssueRef | None:
    number, named = int(found["number"]), found["path"] or found["repo"]
    if not 1 <= number <= NUMBER_MAX:
        return None
    try:
        where = repository if named is None else RepoRef.parse(named)
    except BadReference:
        return None
    if str(where).lower() == str(repository).lower():
        where = repository
    return IssueRef(where.owner, where.repo, number)


# ── labels ───────────────────────────────────────────────────────────────────


def kept(labels: Collection[str]) -> tuple[str, ...]:
    """The labels to tell of, in one order: all but those that the rig itself puts there."""
    return tuple(sorted({label for label in labels if not label.lower().startswith(OURS)})[:LABELS_MAX])


def is_label(label: str, wanted: str) -> bool:
    """GitHub does not tell labels apart by case."""
    return label.lower() == wanted


def priority(labels: Collection[str]) -> Priority:
    """The most urgent that a label names: `priority: high`, `priority/low`, `P0`; normal when none does."""
    named = [found for label in labels if (found := _grade(label)) is not None]
    return min(named, key=lambda one: one.rank, default=Priority.NORMAL)


def _grade(label: str) -> Priority | None:
    found = _PRIORITY.fullmatch(label.strip())
    if found is None:
        return _GRADES.get(label.strip().lower())
    word = found[1].lower()
    return Priority.NORMAL if word == "medium" else Priority(word)


def requires(labels: Collection[str]) -> tuple[str, ...]:
    """What a replica must have: `requires: node, docker`, `needs: docker`."""
    listed = [found[1] for label in labels if (found := _NEEDS.fullmatch(label.strip())) is not None]
    named = [word for one in listed for word in re.split(r"[\s,]+", one)]
    return tuple(sorted({word.lower() for word in named if NAME.fullmatch(word)}))
