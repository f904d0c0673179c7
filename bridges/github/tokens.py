"""Who we are to GitHub: an App with a key, and the tokens of its installations; or whoever a plain token says.

An installation's token lasts an hour. It is kept, and taken anew some minutes before it ends, or once GitHub does not
know it any more; whoever needs one meanwhile waits for the same. What is secret here shows in no text of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol, TypeAlias

import jwt
from gidgethub.apps import get_jwt
from msgspec import Struct

from bridges.github.config import GitHubConfig
from bridges.github.pace import Clock

JWT_SECONDS: Final = 540
"""gidgethub counts them from a minute ago; GitHub takes no more than ten minutes."""
JWT_KEPT_SECONDS: Final = 420
SPARE_SECONDS: Final = 300
"""A token with less than this left is not handed out: a push may take a while."""


class BadCredential(ValueError):
    """A key that is no RSA private key in PEM, or a token that no header can hold."""


class Token(Struct, frozen=True):
    """A personal access token, or another that somebody made."""

    value: str

    def __repr__(self) -> str:
        return "Token(…)"

    __str__ = __repr__


class App(Struct, frozen=True):
    """A GitHub App: its id (or client id) and its private key in PEM."""

    id: str
    key: str

    def __repr__(self) -> str:
        return f"App(id={self.id!r}, key=…)"

    __str__ = __repr__


Credential: TypeAlias = Token | App


class Grant(Struct, frozen=True):
    """A token of an installation, as GitHub hands it out."""

    token: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Grant(expires_at={self.expires_at.isoformat()})"

    __str__ = __repr__


class Narrowed(Struct, frozen=True, omit_defaults=True):
    """What a token is asked for, of all that the installation may."""

    repositories: tuple[str, ...] = ()
    permissions: Mapping[str, str] | None = None


class Identity(Protocol):
    """One whom GitHub knows; limits are counted for each."""

    app: bool
    """What `secret` gives is a JWT."""

    async def secret(self) -> str:
        """What to send along."""
        ...

    def refused(self, secret: str) -> bool:
        """GitHub does not know this secret any more. Whether another one may help."""
        ...


class Plain:
    """A token that somebody made: there is no other. Raises BadCredential."""

    app = False

    def __init__(self, token: Token) -> None:
        if not token.value or not all("!" <= character <= "~" for character in token.value):
            raise BadCredential("the token is not one word of visible ASCII characters")
        self._token = token

    async def secret(self) -> str:
        return self._token.value

    def refused(self, secret: str) -> bool:
        return False


class AsApp:
    """The App itself: for what concerns it, and to get its installations' tokens. Raises BadCredential at once."""

    app = True

    def __init__(self, app: App, clock: Clock) -> None:
        self._app = app
        self._clock = clock
        self._signed: tuple[str, float] | None = None
        self._sign()

    async def secret(self) -> str:
        if self._signed is None or self._clock.now() >= self._signed[1]:
            return self._sign()
        return self._signed[0]

    def refused(self, secret: str) -> bool:
        self._signed = None
        return True

    def _sign(self) -> str:
        try:
            signed = get_jwt(app_id=self._app.id, private_key=self._app.key, expiration=JWT_SECONDS)
        except (ValueError, TypeError, jwt.PyJWTError):
            raise BadCredential(f"the key of the App {self._app.id} is no RSA private key in PEM") from None
        self._signed = (signed, self._clock.now() + JWT_KEPT_SECONDS)
        return signed


class AsInstallation:
    """One installation of the App; `ask` gets a new token of it."""

    app = False

    def __init__(self, ask: Callable[[], Awaitable[Grant]], clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._grant: Grant | None = None
        self._lock = asyncio.Lock()

    async def secret(self) -> str:
        async with self._lock:
            if self._grant is None or left(self._grant, self._clock) < SPARE_SECONDS:
                self._grant = await self._ask()
            return self._grant.token

    def refused(self, secret: str) -> bool:
        if self._grant is not None and self._grant.token == secret:
            self._grant = None
        return True


def left(grant: Grant, clock: Clock) -> float:
    """Seconds that a token still holds."""
    return (grant.expires_at - datetime.fromtimestamp(clock.now(), UTC)).total_seconds()


def credential_of(config: GitHubConfig) -> Credential:
    """Who acts, as it is configured. Raises BadCredential when nobody is."""
    if config.app_id is not None and config.app_key is not None:
        return App(config.app_id, config.app_key)
    if config.token is not None:
        return Token(config.token)
    raise BadCredential("neither an App with its key nor a token is configured")
