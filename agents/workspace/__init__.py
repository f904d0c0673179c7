"""Where an agent works: one cached clone per repository, one git worktree per run. Git, and nothing of events.

workspace     the directory of one agent, and what becomes of work that was never pushed
cache         the clone that its runs share
worktree      one run's files, and what git says of them
remote        where git fetches from and pushes to
access        what lets it in there, as the forge's bridge hands it out
room          the disk that all of it may take
conventions   pure: what a repository's own files ask of whoever works in it
"""

from agents.workspace.remote import WorkspaceFailed
from agents.workspace.workspace import Workspace, WorkspaceInUse
from agents.workspace.worktree import DiffSize, Worktree

__all__ = ["DiffSize", "Workspace", "WorkspaceFailed", "WorkspaceInUse", "Worktree"]
