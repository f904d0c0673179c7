"""Text for logs and screens, without the secrets in it: logins in URLs, tokens, keys, and what was said to be one."""

import re
from collections.abc import Iterable

__all__ = ["hide", "redacted"]

_LOGIN = re.compile(r"(?<=://)[^/\s]*@(?=[^/\s])")
_PASSWORD = re.compile(r"(?<=[?&]password=)[^&\s]+")
_TOKENS = re.compile(
    r"\b(?:gh[pousr]_[\w-]{4,}(?:\.[\w-]+)*"  # GitHub's: personal, OAuth, user-to-server, refresh; ghs_ID_JWT of an App
    r"|github_pat_\w{4,}"
    r"|eyJ[\w-]{4,}\.[\w-]+\.[\w-]*)"  # a JSON Web Token: its first part begins with {"
)
_PEM = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
_hidden: set[str] = set()


def hide(secrets: Iterable[str]) -> None:
    """From now on `redacted` hides exactly these, too: what this process was given to keep."""
    _hidden.update(secret for secret in secrets if secret)


def redacted(text: str) -> str:
    """`nats://rig:secret@host:4222` → `nats://host:4222`, wherever it stands in the text; a token → `***`."""
    for secret in sorted(_hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _PEM.sub("***", _TOKENS.sub("***", text))
    return _PASSWORD.sub("***", _LOGIN.sub("", text))
