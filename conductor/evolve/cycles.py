"""Dependencies that lead back to where they began."""

from collections import deque

from conductor.state import Issue, State
from schemas import IssueRef


def find_cycle(state: State, issue: Issue) -> tuple[IssueRef, ...]:
    """The shortest path of dependencies that leads from the issue back to it; empty: there is none."""
    came_from: dict[IssueRef, IssueRef] = {}
    queue = deque([issue.ref])
    while queue:
        ref = queue.popleft()
        known = state.issues.get(ref)
        if known is None or known.met:
            continue
        for dependency in known.depends_on:
            if dependency == issue.ref:
                path = [ref]
                while path[-1] != issue.ref:
                    path.append(came_from[path[-1]])
                return tuple(reversed(path))
            if dependency not in came_from:
                came_from[dependency] = ref
                queue.append(dependency)
    return ()
