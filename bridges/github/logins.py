"""Names of the log's and logins of GitHub's. An App's `name[bot]` is written `name.bot`. Pure."""

import re
from typing import Final

from schemas import Actor

_LOGIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}")
"""An enterprise that manages its own people writes `ada_acme`."""
_BOT: Final = ".bot"


def login_of(name: str) -> str | None:
    """The login that a name stands for; None: it is none of GitHub's. A role of the rig's has none."""
    if name in set(Actor):
        return None
    bare = name.removesuffix(_BOT)
    if _LOGIN.fullmatch(bare) is None:
        return None
    return f"{bare}[bot]" if name.endswith(_BOT) else bare
