"""What a forge calls the branch of a pull request; what agents call theirs: see schemas/branches.py."""

import re
import unicodedata
from typing import Final

SLUG_LENGTH: Final = 40


def pull_request_branch(number: int, title: str) -> str:
    """The name of an issue's pull request branch, `rig/7-fix-the-total`: a-z, 0-9 and dashes are left of the title."""
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_title)[:SLUG_LENGTH].strip("-")
    return f"rig/{number}-{slug or 'work'}"
