"""What lets git in at a repository's forge, as the forge's bridge hands it out.

A repository on this machine needs nothing, and so does one that git reaches otherwise (ssh, a login of its own in the
URL). A bridge that is away is asked for a while, since work may be ready to be pushed; then that run fails, and not for
a reason of the work.
"""

import asyncio
from typing import Final
from urllib.parse import urlsplit

from agents.workspace.remote import Access, WorkspaceFailed
from bus import Bus, NoService, Refused
from schemas import Forge, RepoRef
from schemas.queries import GIT_CREDENTIAL, GitCredential, GitCredentialRequest

__all__ = ["access"]

PATIENCE_SECONDS: Final = 60.0
"""For a bridge that does not answer: it may be starting."""
PAUSE_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 30.0


def access(bus: Bus, repository: RepoRef, forge: Forge, clone_url: str) -> Access | None:
    """How git is let in at this clone URL; None: it is not ours to see to."""
    if forge is not Forge.GITHUB or not _wants_login(clone_url):
        return None

    async def ask() -> GitCredential:
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        wanted = GitCredentialRequest(repository=repository)
        while True:
            try:
                return await bus.services.ask(
                    forge.value, GIT_CREDENTIAL, wanted, GitCredential, timeout_seconds=ANSWER_SECONDS
                )
            except Refused as refused:
                raise WorkspaceFailed(f"the {forge.value} bridge lets nobody in at {repository}: {refused}") from None
            except NoService as away:
                if asyncio.get_running_loop().time() >= until:
                    raise WorkspaceFailed(f"nobody can be asked for access to {repository}: {away}") from None
            await asyncio.sleep(PAUSE_SECONDS)

    return ask


def _wants_login(clone_url: str) -> bool:
    try:
        parts = urlsplit(clone_url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.username is None
