"""How far the reading of a long log is, for whoever looks at a terminal."""

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""Takes the position that was read, and the last there is."""


@contextmanager
def progress(what: str = "reading the log") -> Generator[Progress]:
    """A bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda position, end: None
        return
    from rich.console import Console  # here: whoever looks at no terminal need not wait for it
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda position, end: bar.update(task, completed=position, total=end)
