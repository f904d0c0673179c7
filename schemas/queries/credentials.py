"""How an agent is let in where a repository is: what a forge's bridge is asked for."""

from datetime import datetime

from msgspec import Struct

from schemas.fields import Line
from schemas.refs import RepoRef

GIT_CREDENTIAL = "git_credential"
"""The endpoint."""


class GitCredentialRequest(Struct, frozen=True, kw_only=True):
    """Asks for what lets git fetch from and push to one repository. Refused where the bridge does not serve it."""

    repository: RepoRef


class GitCredential(Struct, frozen=True, kw_only=True):
    """A user name and a password for git, for one use and for nothing else. It shows in no text."""

    url: Line
    """The repository's clone URL: to nobody else is the password shown."""
    username: Line
    password: Line
    expires_at: datetime | None = None
    """None: it does not end by itself."""

    def __repr__(self) -> str:
        return f"GitCredential(url={self.url!r}, username={self.username!r}, password=…)"
