"""What can be seen of a login that an operator has made: that it is another one than before, and when it ends."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from msgspec import Struct, field

from agents.coders.lines import record


class _OAuth(Struct, frozen=True):
    refresh: str | None = field(default=None, name="refreshToken")
    expires: int | None = field(default=None, name="expiresAt")


class _Credentials(Struct, frozen=True):
    oauth: _OAuth = field(default=_OAuth(), name="claudeAiOauth")


def mark(*secrets: str | None, file: Path) -> str:
    """Another text when the login is another, by keys from the environment and by the file of the CLI's own."""
    told = sha256("\0".join(secret or "" for secret in secrets).encode()).hexdigest()[:12]
    try:
        return f"{told} {file.stat().st_mtime_ns}"
    except OSError:
        return told


def claude_expires(file: Path) -> datetime | None:
    """When Claude Code's login ends, as its file says. None: it renews itself, or nobody knows."""
    try:
        credentials = record(file.read_bytes(), _Credentials)
    except OSError:
        return None
    if credentials is None or credentials.oauth.refresh or credentials.oauth.expires is None:
        return None
    try:
        return datetime.fromtimestamp(credentials.oauth.expires / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
