"""The watch: a second subscriber that says when what must go on does not. It shares no code with who decides.

It reads the log, presence and the query service, and judges by rules of thumb of its own: see `issues` for what must
follow what, `fold` for all that it knows, `check` for what it says of it. A mistake of the conductor, or its silence,
must not blind it; so nothing here is imported from `decide`, `evolve` or anything beside them, and a lint rule says so.
"""

from conductor.watch.shell import run_watch

__all__ = ["run_watch"]
