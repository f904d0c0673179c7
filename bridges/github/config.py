"""How the bridge reaches GitHub and is reached: what a person configures, and what is wrong with that.

The environment is read by deploy/settings.py; the names in the problems are its variables. Secrets are never shown.
"""

import ipaddress
import re
from collections.abc import Collection, Iterator
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from schemas import RepoRef

__all__ = ["API", "HTTP", "GitHubConfig", "wrong_account", "wrong_address", "wrong_api"]

API: Final = "https://api.github.com"
HTTP: Final = "127.0.0.1:8080"
AUDIT_SECONDS: Final = 600
_APP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ENTERPRISE = "/api/v3"


class GitHubConfig(Struct, frozen=True, kw_only=True):
    """One set-up: as an App (`app_id`, `app_key`), or with a `token`."""

    http: str = HTTP
    """Where webhooks come in, host:port."""
    api: str = API
    """The REST API's base, without a slash at its end."""
    token: str | None = None
    app_id: str | None = None
    app_key: str | None = None
    """PEM."""
    secrets: tuple[str, ...] = ()
    """Of the webhook: any of these signs. Two while one takes the other's place."""
    audit_seconds: int = AUDIT_SECONDS
    """From one comparison with the delivery log to the next."""

    def __repr__(self) -> str:
        who = f"app_id={self.app_id!r}" if self.app_id is not None else "token" if self.token is not None else "nobody"
        return f"GitHubConfig(http={self.http!r}, api={self.api!r}, {who}, {len(self.secrets)} secrets)"

    @property
    def confidential(self) -> tuple[str, ...]:
        """What no log and no screen may show."""
        return tuple(text for text in (self.token, self.app_key, *self.secrets) if text)

    @property
    def address(self) -> tuple[str, int]:
        """`http` as host and port."""
        host, _, port = self.http.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def site(self) -> str:
        """Where people look: https://github.com, or the Enterprise host."""
        if self.api.endswith(_ENTERPRISE):
            return self.api.removesuffix(_ENTERPRISE)
        scheme, _, rest = self.api.partition("://")
        return f"{scheme}://{rest.removeprefix('api.')}"

    def clone_url(self, repository: RepoRef) -> str:
        """Where git finds a repository; it holds no login."""
        return f"{self.site}/{repository.owner}/{repository.repo}.git"


def wrong_account(config: GitHubConfig, unread: Collection[str] = ()) -> Iterator[str]:
    """Every problem with who acts and what is signed, by the name of its variable.

    Those in `unread` are set and could not be read: of them nothing more is said.
    """
    token = config.token is not None or "RIG_GITHUB_TOKEN" in unread
    app_key = config.app_key is not None or "RIG_GITHUB_APP_KEY" in unread
    as_app = config.app_id is not None or app_key
    if token and as_app:
        yield "RIG_GITHUB_TOKEN is set, and RIG_GITHUB_APP_ID or …_APP_KEY too: act with a token or as an App, not both"
    if not token and not as_app:
        yield (
            "RIG_GITHUB_APP_ID and RIG_GITHUB_APP_KEY are not set, nor is RIG_GITHUB_TOKEN: who acts at GitHub?"
            " `rig github init` makes an App"
        )
    if config.token is not None and not _is_one_word(config.token):
        yield "RIG_GITHUB_TOKEN: a token has neither white space nor other signs than ASCII's"
    if as_app and config.app_id is None:
        yield "RIG_GITHUB_APP_ID is not set, and RIG_GITHUB_APP_KEY is: whose key is it? The App's page says its id"
    if config.app_id is not None and _APP_ID.fullmatch(config.app_id) is None:
        yield f"RIG_GITHUB_APP_ID: {config.app_id[:40]!r} is no id of an App, like 123456"
    if as_app and not app_key:
        yield (
            "RIG_GITHUB_APP_KEY is not set, and RIG_GITHUB_APP_ID is: the App's private key"
            " (or the name of a file with it in RIG_GITHUB_APP_KEY_FILE)"
        )
    if config.app_key is not None and (problem := _wrong_key(config.app_key)):
        yield f"RIG_GITHUB_APP_KEY: {problem}"
    if not config.secrets and "RIG_GITHUB_WEBHOOK_SECRET" not in unread:
        yield (
            "RIG_GITHUB_WEBHOOK_SECRET is not set: the secret with which GitHub signs what it delivers"
            " (or the name of a file with it in RIG_GITHUB_WEBHOOK_SECRET_FILE); nothing unsigned is taken"
        )


def wrong_address(address: str) -> str | None:
    """Why this is no host:port to listen at."""
    host, _, port = address.rpartition(":")
    if host and not any(sign.isspace() or sign == "/" for sign in host) and port.isdecimal() and int(port) < 1 << 16:
        return None
    return f"{address!r} is not host:port, like {HTTP}"


def wrong_api(url: str) -> str | None:
    """Why this is no base of a REST API. The URL is not shown: it may hold a login."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:  # a port that is none
        host, parts = None, None
    if parts is None or not host or parts.scheme not in ("http", "https") or not _is_one_word(url):
        return f"not a URL like {API}, or https://HOST{_ENTERPRISE} of an Enterprise server"
    if parts.username is not None or parts.query or parts.fragment:
        return "a URL without login, query and fragment: who acts stands in RIG_GITHUB_TOKEN or RIG_GITHUB_APP_ID"
    if parts.scheme == "http" and not _is_loopback(host):
        return f"http would send secrets in the clear to {host}: write https"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_one_word(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _wrong_key(pem: str) -> str | None:
    from cryptography.exceptions import UnsupportedAlgorithm  # here: it takes a moment, and only who has a key pays
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "holds no PEM private key without a password; the name of a file goes into RIG_GITHUB_APP_KEY_FILE"
    return None if isinstance(key, RSAPrivateKey) else "GitHub's keys are RSA, and this one is not"
