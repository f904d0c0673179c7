"""What programs must not do to files and to the machine: remove, or write, outside the worktree. Pure."""

from agents.guard.blocked import Rule
from agents.guard.places import Places
from agents.guard.stream import MANY, Kind, Stream
from agents.guard.table import names
from agents.guard.words import Fields
from agents.guard.wrappers import may_be

__all__ = ["judged"]

_SUPERUSER = names("sudo doas su pkexec runuser run0 sudoedit visudo gosu su-exec gsudo machinectl")
_MACHINE = names(
    """shutdown reboot halt poweroff mkfs mkfs.ext4 mkfs.xfs mkfs.btrfs wipefs fdisk sfdisk sgdisk parted mkswap
    swapoff init telinit insmod rmmod modprobe useradd userdel usermod groupdel passwd chpasswd diskutil
    cryptsetup lvremove vgremove pvremove"""
)
_SYSTEMCTL = frozenset(names("stop disable mask poweroff reboot halt kill isolate rescue emergency"))


def judged(name: str, args: Fields, given: Stream, places: Places) -> Rule | None:
    """The rule that a program breaks."""
    if may_be(name, *_SUPERUSER):
        return Rule.SUPERUSER
    if may_be(name, *_MACHINE):
        return Rule.MACHINE
    if name == "systemctl" and "--user" not in args and any(arg in _SYSTEMCTL for arg in args):
        return Rule.MACHINE
    if name == "kill" and "-1" in args[1:]:
        return Rule.MACHINE
    if may_be(name, "rm", "grm", "rimraf", "trash", "shred", "srm") or name in (MANY, "\ue000"):
        return _removed(name, args, places)
    if may_be(name, "find", "gfind"):
        return _found(args, places)
    if may_be(name, "chmod", "chown", "chgrp"):
        return _changed(args, places)
    if may_be(name, "rsync"):
        return _synced(args, places)
    return _written(name, args, given, places)


def _removed(name: str, args: Fields, places: Places) -> Rule | None:
    recursive, paths = name in ("rimraf", "trash"), _operands(args)
    before = args[: args.index("--")] if "--" in args else args
    for arg in before:
        if arg == "--no-preserve-root":
            return Rule.DELETE
        if arg.startswith("--"):
            recursive |= len(arg) > 2 and "--recursive".startswith(arg)
        elif arg.startswith("-"):
            recursive |= "r" in arg.lower()
    if recursive and any(not places.may_be_removed(path) for path in paths):
        return Rule.DELETE
    if name != MANY and any(places.is_lost(path) for path in paths):
        return Rule.DELETE
    return None


def _found(args: Fields, places: Places) -> Rule | None:
    roots: list[str] = []
    for arg in args:
        if arg in ("-H", "-L", "-P"):
            continue
        if arg.startswith(("-", "(", "!")):
            break
        roots.append(arg)
    deletes = "-delete" in args
    if deletes and any(not places.may_be_removed(f"{root}/x") for root in roots or ["."]):
        return Rule.DELETE
    return None


def _changed(args: Fields, places: Places) -> Rule | None:
    recursive = any(
        arg == "--recursive" or (arg.startswith("-") and not arg.startswith("--") and "R" in arg) for arg in args
    )
    paths = _operands(args)[1:]
    if recursive and any(not places.may_hold_tree(path) for path in paths):
        return Rule.WRITE
    return None if all(places.may_hold(path) for path in paths) else Rule.WRITE


def _synced(args: Fields, places: Places) -> Rule | None:
    paths = _operands(args)
    deletes = any(arg.startswith(("--delete", "--del", "--remove-source-files")) for arg in args)
    if deletes and paths and (":" in paths[-1] or not places.may_hold_tree(paths[-1])):
        return Rule.DELETE
    if paths and ":" not in paths[-1] and not places.may_hold(paths[-1]):
        return Rule.WRITE
    return None


def _written(name: str, args: Fields, given: Stream, places: Places) -> Rule | None:
    paths = _operands(args)
    written: list[str] = []
    match name:
        case "tee" | "truncate" | "sponge":
            written = paths
        case "cp" | "install" | "ln" | "gcp" | "ginstall":
            targets = [arg.partition("=")[2] for arg in args if arg.startswith("--target-directory=")]
            targets += [args[at + 1] for at, arg in enumerate(args[:-1]) if arg in ("-t", "--target-directory")]
            written = targets or (paths[-1:] if len(paths) > 1 else [])
        case "mv" | "gmv":
            written = paths
        case "dd":
            written = [arg[3:] for arg in args if arg.startswith("of=")]
        case "sed" | "gsed" if any(arg.startswith(("-i", "--in-place")) or _has_i(arg) for arg in args):
            has_script = any(arg in ("-e", "-f", "--expression", "--file") for arg in args)
            written = paths if has_script else paths[1:]
        case _:
            written = []
    if any(path.startswith("/dev/") and not places.may_hold(path) for path in written):
        return Rule.MACHINE
    if name in ("mv", "gmv") and any(places.is_outside(path) for path in paths[:-1]):
        return Rule.DELETE
    if name == "crontab" and (given.kind is not Kind.NOTHING or paths or "-r" in args):
        return Rule.MACHINE
    return None if all(places.may_hold(path) for path in written) else Rule.WRITE


def _has_i(arg: str) -> bool:
    return arg.startswith("-") and not arg.startswith("--") and "i" in arg


def _operands(args: Fields) -> list[str]:
    """What is no option."""
    if "--" in args:
        at = args.index("--")
        return [*(arg for arg in args[:at] if not arg.startswith("-")), *args[at + 1 :]]
    return [arg for arg in args if not arg.startswith("-")]
