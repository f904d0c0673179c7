"""The demo's project: a shop with a test that fails, the issue about it, and a coder's script that needs two tries."""

import shlex
import sys
from pathlib import Path

from machine.git import Git, Identity
from schemas import Invalid, RepoRef

__all__ = ["BODY", "CHECK", "REPOSITORY", "SCRIPT", "TITLE", "check_free", "create"]

REPOSITORY = RepoRef("demo", "shop")
CHECK = f"{shlex.quote(sys.executable)} -m unittest"
TITLE = "A discount of 10 percent takes 10 cents off"
BODY = (
    "`total([1000, 250], 10)` is 1240. It should be 1125: ten percent of the sum are taken off. A test says so already."
)

_CART = '''\
"""The cart of a small shop. Money is in cents."""


def total(prices: list[int], discount_percent: int = 0) -> int:
    """What the customer pays: the sum of the prices, less the discount."""
    return {formula}
'''
_WRONG = "sum(prices) - discount_percent"
_STILL_WRONG = "sum(prices) - sum(prices) * discount_percent"
_RIGHT = "sum(prices) - sum(prices) * discount_percent // 100"

_FILES = {
    "cart.py": _CART.format(formula=_WRONG),
    "test_cart.py": """\
import unittest

from cart import total


class TotalTest(unittest.TestCase):
    def test_without_a_discount_it_is_the_sum(self):
        self.assertEqual(total([1000, 250]), 1250)

    def test_ten_percent_off(self):
        self.assertEqual(total([1000, 250], 10), 1125)

    def test_all_off(self):
        self.assertEqual(total([1000, 250], 100), 0)
""",
    "README.md": "# shop\n\nA small shop. Its tests: `python3 -m unittest`.\n",
    ".gitignore": "__pycache__/\n",
}

SCRIPT = f"""\
# What the scripted coder does in the demo. Its first try fails the checks, its second passes.
[[issue]]
title = "{TITLE}"

[[issue.attempt]]
[[issue.attempt.step]]
do = "say"
text = "A discount is a share of the sum: multiply."
[[issue.attempt.step]]
do = "write"
path = "cart.py"
content = '''
{_CART.format(formula=_STILL_WRONG)}'''

[[issue.attempt]]
[[issue.attempt.step]]
do = "say"
text = "The test says 1125: percent are hundredths, so divide by 100."
[[issue.attempt.step]]
do = "write"
path = "cart.py"
content = '''
{_CART.format(formula=_RIGHT)}'''
"""


def check_free(directory: Path) -> None:
    """Raises Invalid unless a repository can be made at `directory`: it does not exist, or is empty."""
    try:
        taken = any(directory.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise Invalid(str(directory), [f"not a directory that can be used: {error.strerror}"]) from None
    if taken:
        raise Invalid(str(directory), ["is not empty; name a directory that does not exist yet"])


async def create(directory: Path) -> None:
    """Makes the repository, a checkout of main, in `directory`. Raises GitError, SpawnFailed, OSError."""
    _write(directory)
    git = Git(directory, env=Identity("Rig demo", "demo@rig.invalid").environment())
    await git.run("init", "--quiet", "--initial-branch=main")
    await git.run("add", "--all")
    await git.run("-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--message=A small shop")


def _write(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (directory / name).write_text(text, encoding="utf-8")
