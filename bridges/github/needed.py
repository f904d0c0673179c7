"""What the bridge needs of GitHub: permissions and events, with the reason for each; no more is asked for.

One table for the App that `rig github init` makes and for `rig github check`.
"""

from typing import Final

from msgspec import Struct

__all__ = ["EVENTS", "LEVELS", "NEEDED", "PERMISSIONS", "UNASKED", "Needed"]

LEVELS: Final = ("none", "read", "write", "admin")
"""Each includes those before it."""


class Needed(Struct, frozen=True):
    """A permission, and the events that GitHub delivers to who has it."""

    permission: str
    level: str
    why: str
    events: tuple[str, ...]


NEEDED: Final = (
    Needed("actions", "read", "whether the base branch is well", ("workflow_run",)),
    Needed("checks", "write", "how checks stand, and the check `rig`", ("check_run", "check_suite")),
    Needed("contents", "write", "branches, merges, and what agents fetch and push", ("push",)),
    Needed("deployments", "read", "what is live", ("deployment_status",)),
    Needed(
        "issues",
        "write",
        "what is to be done, the living comment, labels",
        ("issue_comment", "issue_dependencies", "issues", "milestone"),
    ),
    Needed("metadata", "read", "GitHub asks it of every App; who may command", ("repository",)),
    Needed("pull_requests", "write", "pull requests and reviews", ("pull_request", "pull_request_review")),
    Needed("statuses", "read", "how commit statuses stand", ("status",)),
)
PERMISSIONS: Final = {needed.permission: needed.level for needed in NEEDED}
EVENTS: Final = tuple(sorted(event for needed in NEEDED for event in needed.events))
UNASKED: Final = ("installation", "installation_repositories")
"""GitHub delivers these to every App, and none can ask for them."""
