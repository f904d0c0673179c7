"""Files in a coder's home, by names that may have come from elsewhere."""

from pathlib import Path, PurePosixPath


class NotInside(ValueError):
    """A name that leads out of the home."""


def within(*parts: str) -> Path:
    """A path relative to the home. Raises NotInside where a part is more than one plain name."""
    for part in parts:
        if part in {"", ".", ".."} or PurePosixPath(part).name != part or "\0" in part:
            raise NotInside(f"{part!r} is no name of a file")
    return Path(*parts)


def bring(home: Path, relative: Path, content: bytes) -> None:
    """Puts a file there, whole or not at all, readable by its owner alone."""
    target = home / within(*relative.parts)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    half = target.with_name(f"{target.name}.half")
    half.write_bytes(content)
    half.chmod(0o600)
    half.replace(target)


def lend(home: Path, relative: Path, original: Path) -> None:
    """Lets the coder use a file of its operator's where it looks for one of its own; renewed, it is so for both."""
    link = home / within(*relative.parts)
    if original.is_file() and not link.exists():
        link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(original.absolute())


def is_outside(worktree: Path, path: str) -> bool:
    """Whether a path, seen from the worktree, leads out of it."""
    root = worktree.resolve()
    return not (root / path).resolve().is_relative_to(root)
