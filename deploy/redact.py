"""Text for logs and screens, without the logins that stand in URLs."""

import re

__all__ = ["redacted"]

_LOGIN = re.compile(r"(?<=://)[^/\s]*@(?=[^/\s])")
_PASSWORD = re.compile(r"(?<=[?&]password=)[^&\s]+")


def redacted(text: str) -> str:
    """`nats://rig:secret@host:4222` → `nats://host:4222`, wherever it stands in the text."""
    return _PASSWORD.sub("***", _LOGIN.sub("", text))
