"""What git, and the forges' own programs, must not do: rewrite what others see, or what is the rig's to do. Pure."""

from agents.guard.blocked import Rule
from agents.guard.places import Places
from agents.guard.stream import MARKS
from agents.guard.table import names
from agents.guard.words import Fields
from agents.guard.wrappers import may_be

__all__ = ["judged"]

_VALUED = frozenset(
    names("""-C -c --git-dir --work-tree --namespace --exec-path --config-env --super-prefix --attr-source""")
)
_SHARED = frozenset(names("main master trunk develop production release stable gh-pages"))
_PUSH_VALUED = frozenset({"-o", "--push-option", "--repo", "--receive-pack", "--exec"})

_HISTORY = frozenset({"filter-branch", "filter-repo", "fast-import", "replace", "prune"})

_REBASE_ENDS = frozenset({"--abort", "--quit", "--show-current-patch"})

_CONFIGURED = ("core.hookspath", "core.fsmonitor", "core.sshcommand", "credential.", "include", "url.", "filter.")
_LONG_FORCE = ("--force", "--force-with-lease", "--force-if-includes", "--mirror", "--delete", "--prune")
_KNOWN = frozenset(
    names(
        """add am annotate apply archive bisect blame branch bundle cat-file check-attr check-ignore check-ref-format
    checkout cherry cherry-pick clean clone column commit commit-graph commit-tree config count-objects
    credential describe diff diff-files diff-index diff-tree difftool fetch fmt-merge-msg for-each-ref format-
    patch fsck gc grep hash-object help index-pack init interpret-trailers lfs log ls-files ls-remote ls-tree
    mailinfo maintenance merge merge-base merge-file merge-tree mergetool mktag mktree mv name-rev notes pack-
    refs patch-id pull range-diff read-tree reflog remote rerere reset restore rev-list rev-parse revert rm
    shortlog show show-branch show-ref sparse-checkout stash status submodule subtree switch symbolic-ref tag
    unpack-objects update-index update-ref var verify-commit verify-pack verify-tag version whatchanged
    worktree write-tree rebase"""
    )
)


def judged(name: str, args: Fields, places: Places) -> Rule | None:
    """The rule that a program breaks."""
    if may_be(name, "git") or name in MARKS:
        return _git(args, places)
    if name.startswith("git-"):
        return _git((name[4:], *args), places)
    if may_be(name, "bfg", "git-filter-repo", "git-filter-branch"):
        return Rule.HISTORY
    if may_be(name, "gh", "glab", "hub"):
        return _forge(args)
    return None


def _git(args: Fields, places: Places) -> Rule | None:
    at = 0
    while at < len(args) and args[at].startswith("-"):
        flag = args[at]
        value = flag.partition("=")[2] or (args[at + 1] if at + 1 < len(args) else "")
        if flag == "-C":
            places = places.moved(value)
        elif flag.startswith(("--git-dir", "--work-tree")) and value and places.is_outside(value):
            places = places.moved("/")
        at += 2 if flag in _VALUED else 1
    if at >= len(args):
        return None
    command, rest = args[at].lower(), args[at + 1 :]
    outside = places.here != frozenset({"."}) and places.is_outside(".")
    match command:
        case "push" | "send-pack" | "http-push":
            return _push(rest)
        case _ if command in _HISTORY:
            return Rule.HISTORY
        case "rebase":
            return None if _REBASE_ENDS & set(rest) else Rule.HISTORY
        case "pull":
            rebases = any(
                arg in ("-r", "--rebase") or (arg.startswith("--rebase=") and arg[9:] != "false") for arg in rest
            )
            return Rule.HISTORY if rebases or any(arg.startswith("+") for arg in rest) else None
        case "commit":
            return Rule.HISTORY if any(len(arg) > 3 and "--amend".startswith(arg) for arg in rest) else None
        case "reset":
            return _reset(rest, outside=outside)
        case "reflog":
            return Rule.HISTORY if {"expire", "delete"} & set(rest) else None
        case "gc":
            return Rule.HISTORY if any(arg.startswith("--prune") and arg != "--no-prune" for arg in rest) else None
        case "update-ref" | "symbolic-ref":
            writes = len([arg for arg in rest if not arg.startswith("-")]) > 1 or {"-d", "--delete", "--stdin"} & set(
                rest
            )
            return Rule.HISTORY if writes else None
        case "branch":
            forced = any(_short(arg, "DMCf") or arg in ("--force", "--delete-force") for arg in rest)
            return Rule.HISTORY if forced else None
        case "tag":
            return Rule.HISTORY if any(_short(arg, "df") or arg in ("--delete", "--force") for arg in rest) else None
        case "stash" if rest[:1] == ("clear",):
            return Rule.HISTORY
        case "worktree" if rest[:1] and rest[0] in ("remove", "prune", "move", "repair"):
            return Rule.GIT_FILES
        case "remote" if rest[:1] and rest[0] in ("set-url", "remove", "rm", "rename", "add"):
            return Rule.GIT_FILES if rest[0] != "add" or any("mirror" in arg for arg in rest) else None
        case "config":
            return _config(rest)
        case "clean" if outside:
            return Rule.DELETE
        case "checkout" | "restore" | "rm" | "switch" | "stash" | "merge" | "am" if outside:
            return Rule.WRITE
        case "rm" | "mv" | "apply":
            return None
        case _ if command not in _KNOWN and any(arg in _LONG_FORCE or arg == "-f" for arg in rest):
            return Rule.FORCE_PUSH  # an alias, as far as can be seen
        case _:
            return None


def _push(rest: Fields) -> Rule | None:
    operands: list[str] = []
    at = 0
    while at < len(rest):
        arg = rest[at]
        if arg in _PUSH_VALUED:
            at += 2
            continue
        if arg.startswith("--"):
            word = arg.partition("=")[0]
            if len(word) > 4 and any(long.startswith(word) for long in _LONG_FORCE) and word != "--pr":
                return Rule.FORCE_PUSH
        elif arg.startswith("-"):
            if _short(arg, "fd"):
                return Rule.FORCE_PUSH
        else:
            operands.append(arg)
        at += 1
    for spec in operands[1:] or ():
        target = spec.rpartition(":")[2].removeprefix("refs/heads/")
        if spec.startswith(("+", ":")):
            return Rule.FORCE_PUSH
        if target.lower() in _SHARED or target.startswith(("release/", "hotfix/")):
            return Rule.SHARED_BRANCH
    return Rule.FORCE_PUSH if any(arg.startswith("+") for arg in operands) else None


def _reset(rest: Fields, *, outside: bool) -> Rule | None:
    hard = any(arg in ("--hard", "--keep", "--merge") or (len(arg) > 3 and "--hard".startswith(arg)) for arg in rest)
    if not hard:
        return None
    commits = [arg for arg in rest if not arg.startswith("-")]
    if outside:
        return Rule.WRITE
    return None if all(commit in ("HEAD", "@") for commit in commits) else Rule.HISTORY


def _config(rest: Fields) -> Rule | None:
    words = [arg for arg in rest if not arg.startswith("-")]
    if words[:1] and words[0] in ("get", "list"):
        return None
    if words[:1] and words[0] in ("set", "unset", "edit", "add"):
        words = [*words[1:], ""]
    reads = {"--get", "--get-all", "--get-regexp", "-l", "--list", "--get-urlmatch", "--show-origin"} & set(rest)
    writes = not reads and (
        len(words) > 1 or {"--unset", "--unset-all", "-e", "--edit", "--remove-section"} & set(rest)
    )
    if not writes:
        return None
    if {"--global", "--system"} & set(rest) or "-f" in rest or any(arg.startswith("--file") for arg in rest):
        return Rule.GIT_FILES
    key = words[0].lower() if words else ""
    if key.startswith("remote.") and (key.endswith((".push", ".mirror", ".url", ".pushurl"))):
        return Rule.GIT_FILES
    if key.startswith(
        ("core.hookspath", "core.fsmonitor", "core.sshcommand", "credential.", "include", "url.", "filter.")
    ):
        return Rule.GIT_FILES
    return None


def _forge(args: Fields) -> Rule | None:
    words = [arg for arg in args if not arg.startswith("-")]
    match words[:2]:
        case ["repo", "delete" | "archive" | "rename" | "edit" | "transfer"]:
            return Rule.CLUSTER
        case ["release", "create" | "delete" | "upload" | "edit" | "delete-asset"]:
            return Rule.PUBLISH
        case ["pr" | "mr", "merge"]:
            return Rule.SHARED_BRANCH
        case ["secret" | "variable", "set" | "delete" | "remove"]:
            return Rule.CLUSTER
        case ["api", *_] if any(_method(args, at) == "DELETE" for at in range(len(args))):
            return Rule.CLUSTER
        case _:
            return None


def _method(args: Fields, at: int) -> str:
    arg = args[at]
    if arg in ("-X", "--method"):
        return "".join(args[at + 1 : at + 2]).upper()
    return arg.removeprefix("--method=").removeprefix("-X").upper()


def _short(arg: str, letters: str) -> bool:
    """Whether one of these letters is among the short options of an argument."""
    return arg.startswith("-") and not arg.startswith("--") and any(letter in arg[1:] for letter in letters)
