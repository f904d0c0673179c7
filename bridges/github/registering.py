"""Making an App at GitHub: its manifest, the page that hands it over, and the keys that GitHub answers with.

GitHub takes a manifest from a form that a person sends, in a browser that is logged in there, and leads back with a
code. For an hour, and once, that is exchanged for the App's id, private key and webhook secret.
Source: docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

import html
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import httpx
import msgspec
from msgspec import Struct

from bridges.github.config import GitHubConfig
from bridges.github.errors import Away, Unexpected, refusal
from bridges.github.needed import EVENTS, PERMISSIONS
from bridges.github.receive import PATH
from schemas import MALFORMED

__all__ = ["Registered", "code_in", "exchange", "manifest", "page", "webhook_url"]

HOMEPAGE: Final = "https://github.com"
SECONDS: Final = 30.0
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")


class Registered(Struct, frozen=True):
    """What GitHub answers for a code. What is secret here shows in no text of it."""

    id: int
    slug: str
    pem: str
    webhook_secret: str | None = None
    html_url: str = ""

    def __repr__(self) -> str:
        return f"Registered(id={self.id}, slug={self.slug!r})"


def webhook_url(typed: str) -> str | None:
    """Where deliveries are to go: what was typed, with the bridge's path where it has none. None: no such URL."""
    try:
        parts = urlsplit(typed)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and parts.username is None
    except ValueError:
        return None
    if not usable or parts.query or parts.fragment:
        return None
    path = parts.path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path if path.endswith(PATH) else path + PATH, "", ""))


def manifest(name: str, *, hook: str, back: str) -> dict[str, object]:
    """Of an App that nobody else can install. `back` is where GitHub leads with the code."""
    return {
        "name": name,
        "url": HOMEPAGE,
        "description": "Rig: agents take approved issues to merged changes.",
        "public": False,
        "hook_attributes": {"url": hook, "active": True},
        "redirect_url": back,
        "default_permissions": PERMISSIONS,
        "default_events": list(EVENTS),
    }


def page(site: str, organization: str | None, of: Mapping[str, object]) -> str:
    """A page whose button hands a manifest to GitHub."""
    owner = "" if organization is None else f"/organizations/{quote(organization, safe='')}"
    action = html.escape(f"{site}{owner}/settings/apps/new")
    value = html.escape(msgspec.json.encode(of).decode())
    return _PAGE.format(action=action, manifest=value, site=html.escape(site))


_PAGE: Final = """<!doctype html>
<meta charset="utf-8">
<title>Make the rig's App</title>
<form method="post" action="{action}">
  <input type="hidden" name="manifest" value="{manifest}">
  <p>{site} shows what the App may do, and asks before it makes it.</p>
  <button>Make the App</button>
</form>
"""


def code_in(typed: str) -> str | None:
    """The code, or the one in the address that GitHub led to; None: there is none in it."""
    found = parse_qs(urlsplit(typed).query).get("code", [""])[0] if "://" in typed else typed
    return found if _CODE.fullmatch(found) else None


async def exchange(config: GitHubConfig, code: str) -> Registered:
    """What the code stands for; it holds once. Raises ApiError."""
    asked = "POST /app-manifests/…/conversions"
    headers = {"Accept": "application/vnd.github+json", "User-Agent": "rig"}
    try:
        async with httpx.AsyncClient(timeout=SECONDS, follow_redirects=False) as client:
            answer = await client.post(f"{config.api}/app-manifests/{code}/conversions", headers=headers)
    except httpx.HTTPError as error:
        raise Away(asked, f"no answer came ({type(error).__name__})", sure=False) from None
    if answer.status_code != 201:
        raise refusal(asked, answer.status_code, answer.content)
    try:
        return msgspec.json.decode(answer.content, type=Registered)
    except MALFORMED:
        raise Unexpected(asked, "GitHub's answer is not what it documents", status=201) from None
