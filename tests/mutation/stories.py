"""Tells stories, file after file, until one does not come out: what is asked of each mutant.

    python tests/mutation/stories.py FILE…

One after another in one process, since most mutants fall to the first or second, and to gather all stories takes longer
than to tell many.
"""

import sys
from pathlib import Path

import pytest

OPTIONS = (
    *("-x", "-q", "-o", "addopts=--import-mode=importlib"),
    *(part for name in ("cacheprovider", "xdist", "anyio", "hypothesispytest") for part in ("-p", f"no:{name}")),
)

if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())  # the tree with the mutant, and not the one that is installed
    sys.exit(any(pytest.main([*OPTIONS, file]) != pytest.ExitCode.OK for file in sys.argv[1:]))
