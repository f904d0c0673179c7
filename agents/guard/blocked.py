"""What was kept from being done, and by which rule."""

from enum import StrEnum

from msgspec import Struct

__all__ = ["ADVICE", "Blocked", "Rule"]


class Rule(StrEnum):
    """What an agent must not do."""

    SUPERUSER = "another user's rights"
    DELETE = "delete outside the worktree"
    WRITE = "write outside the worktree"
    GIT_FILES = "git's own files"
    MACHINE = "the machine itself"
    FORCE_PUSH = "force push"
    SHARED_BRANCH = "push to a shared branch"
    HISTORY = "history rewrite"
    DATABASE = "database drop"
    CLUSTER = "cluster delete"
    FETCHED = "download into a shell"
    PUBLISH = "package publishing"
    HIDDEN = "hidden command"


ADVICE = {
    Rule.SUPERUSER: "work with the rights you have",
    Rule.DELETE: "delete below the current worktree only, by a path that stands there, or what `mktemp -d` gave you",
    Rule.WRITE: "write below the current worktree only; scratch files may go to the temporary directory",
    Rule.GIT_FILES: "leave git's and the coder's own settings as they are",
    Rule.MACHINE: "leave the machine as it is",
    Rule.FORCE_PUSH: "the rig pushes your work; nothing needs to be forced",
    Rule.SHARED_BRANCH: "the rig pushes your work to a branch of its own; merging is not yours",
    Rule.HISTORY: "make a new commit, or none: the rig commits what you leave",
    Rule.DATABASE: "use a database of the test's own, and let it be",
    Rule.CLUSTER: "nothing of what runs elsewhere is yours to remove",
    Rule.FETCHED: "download it to a file, read it, and say in your work why it is needed",
    Rule.PUBLISH: "publishing is for people; leave it out",
    Rule.HIDDEN: "write what is to run so that it can be read",
}


class Blocked(Struct, frozen=True):
    """A command, or the path of a file that was to be written, and the rule that it breaks."""

    command: str
    rule: str
    call: str = ""
    """The id that the CLI gave the call, where it has one."""
