"""Addresses of GitHub's API, made of a template and of text that others wrote. Pure.

`/repos/{owner}/{repo}/labels/{name}`: a value is quoted, so it stays one segment of the path, whatever it holds. A
branch has several: `/git/ref/heads{/branch*}` with `branch=["rig", "12-slug"]`. What a query leaves out, as in
`{?state,page}`, is simply not asked for; what a path needs must be there.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from gidgethub import sansio
from uritemplate import URITemplate

Value: TypeAlias = str | int | Sequence[str]

_OPTIONAL: Final = ("?", "&")
_STEPS: Final = (".", "..")


class BadAddress(ValueError):
    """A value that cannot stand in a path, or one that is missing: a mistake of ours, or somebody's trick."""


class Base:
    """Where GitHub is: https://api.github.com, or https://github.example/api/v3 of GitHub Enterprise."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.query:
            raise BadAddress("the address of GitHub's API must be http(s)://host[/path], without a login")
        self.url = url.rstrip("/")
        self._origin = _origin(url)
        self._path = urlsplit(self.url).path

    def address(self, template: str, values: dict[str, Value]) -> str:
        """The whole URL. Raises BadAddress."""
        if not template.startswith("/"):
            raise BadAddress(f"{template} is not a path")
        for expression in URITemplate(template).variables:
            if expression.operator.value in _OPTIONAL:
                continue
            for name, _ in expression.variables:
                if not _usable(values.get(name)):
                    raise BadAddress(f"{template}: {name} is missing, or cannot stand in a path")
        url = sansio.format_url(template, values, base_url=self.url)
        if not self.covers(url):
            raise BadAddress(f"{template} leads elsewhere")
        return url

    def covers(self, url: str) -> bool:
        """Whether an address, GitHub's own for a next page or another place, may be asked with our credentials."""
        try:
            parts = urlsplit(url)
            same = _origin(url) == self._origin and parts.username is None
        except ValueError:
            return False
        steps = parts.path.lower().replace("%2e", ".").split("/")
        return same and parts.path.startswith(f"{self._path}/") and not any(step in _STEPS for step in steps)


def _usable(value: Value | None) -> bool:
    if value is None or isinstance(value, int):
        return value is not None
    parts = [value] if isinstance(value, str) else value
    return bool(parts) and all(part and part not in _STEPS for part in parts)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
