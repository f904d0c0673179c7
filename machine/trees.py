"""Removing a directory tree that somebody else's program has filled, whatever it looks like.

Unlike `shutil.rmtree` it does not recurse, takes read-only directories along, does not stop at the first thing that
cannot be removed, and raises nothing for what it finds: what is left behind is the caller's to tell.
"""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["remove_tree"]

_ROUNDS = 10
"""How often the tree is swept when something still writes in it, before it is left."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove_tree(path: Path) -> OSError | None:
    """Remove `path` and all below it; the first error when something is left behind, else None.

    A symbolic link is removed and never followed. That nothing is there is no error.
    """
    try:
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
            return None
        _open_up(path)
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error
    errors: list[OSError] = []
    try:
        for _ in range(_ROUNDS):
            errors.clear()
            _empty(top, errors)
            try:
                path.rmdir()
            except FileNotFoundError:
                return None
            except OSError as error:
                errors.append(error)
            else:
                return None
    finally:
        os.close(top)
    return errors[0]


def _empty(top: int, errors: list[OSError]) -> None:
    """Remove what is in an open directory. A directory further down is moved up before its turn comes.

    So a tree of any depth costs neither stack, nor open files, nor paths longer than the system takes.
    """
    waiting = _sweep(top, errors)
    while waiting:
        name = waiting.pop()
        try:
            _open_up(name, top)
            directory = os.open(name, _DIRECTORY, dir_fd=top)
        except FileNotFoundError:
            continue
        except OSError as error:
            errors.append(error)
            continue
        try:
            for child in _sweep(directory, errors):
                moved = secrets.token_hex(16)
                try:
                    _open_up(child, directory)  # moving a directory writes in it: its parent is another one then
                    os.rename(child, moved, src_dir_fd=directory, dst_dir_fd=top)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    errors.append(error)
                else:
                    waiting.append(moved)
            os.rmdir(name, dir_fd=top)
        except FileNotFoundError:
            continue
        except OSError as error:
            errors.append(error)
        finally:
            os.close(directory)


def _sweep(directory: int, errors: list[OSError]) -> list[str]:
    """Unlink what is no directory; the names of those that are."""
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if not is_directory:
            try:
                os.unlink(name, dir_fd=directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                errors.append(error)
    return [name for name, is_directory in found if is_directory]


def _open_up(directory: Path | str, parent: int | None = None) -> None:
    mode = os.stat(directory, dir_fd=parent, follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
        with suppress(PermissionError):  # another user's: what is then tried in it says so
            os.chmod(directory, stat.S_IRWXU, dir_fd=parent)
