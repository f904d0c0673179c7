"""Git credentials for agents: who works in a repository that GitHub serves is let in there, and nowhere else.

As an App we hand out a token of the installation that is good for this one repository and for its contents alone, for
an hour at most. With a plain token there is no other than that token, which may do more: agents then hold, during a
fetch and a push, what we hold. Every request gets one of its own, and nothing is kept.
"""

from typing import Final
from urllib.parse import urlsplit

from bridges.github.api import GitHub
from bridges.github.config import GitHubConfig
from bridges.github.errors import ApiError
from bus import Bus, Refused
from schemas import (
    Forge,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    everything_about,
)
from schemas.queries import GIT_CREDENTIAL, GitCredential, GitCredentialRequest

__all__ = ["serve_credentials"]

USERNAME: Final = "x-access-token"
"""GitHub's, for tokens of every kind."""
PERMISSIONS: Final = {"contents": "write"}


async def serve_credentials(bus: Bus, github: GitHub, config: GitHubConfig) -> None:
    """Answers agents until the bus closes."""

    async def answer(asked: GitCredentialRequest) -> GitCredential:
        repository = asked.repository
        url = await _clone_url(bus, repository)
        if not _at(config.site, url):
            raise Refused(f"{repository} is cloned from another place than {config.site}")
        try:
            grant = await github.grant(repository, PERMISSIONS)
        except ApiError as error:
            raise Refused(f"GitHub gives no token for {repository}: {error.message}") from None
        if grant is not None:
            return GitCredential(url=url, username=USERNAME, password=grant.token, expires_at=grant.expires_at)
        if config.token is None:
            raise Refused("there is neither an App nor a token")
        return GitCredential(url=url, username=USERNAME, password=config.token)

    await bus.services.serve(Forge.GITHUB.value, GIT_CREDENTIAL, GitCredentialRequest, answer)


async def _clone_url(bus: Bus, repository: RepoRef) -> str:
    """Where a repository that GitHub serves is cloned from. Raises Refused for any other."""
    url, forge = None, None
    for recorded in await bus.log.history([everything_about(repository)]):
        match recorded.event.data:
            case RepositoryAdded(clone_url=url, forge=forge):
                pass
            case RepositoryConfigured(clone_url=url):
                pass
            case RepositoryRemoved():
                url, forge = None, None
            case _:
                pass
    if url is None or forge is not Forge.GITHUB:
        raise Refused(f"{repository} is not a repository at GitHub that is under the rig")
    return url


def _at(site: str, url: str) -> bool:
    """Whether a clone URL is at this site, and not to be reached in the clear unless the site is, too."""
    try:
        ours, theirs = urlsplit(site), urlsplit(url)
    except ValueError:
        return False
    return ours.hostname == theirs.hostname and theirs.scheme in ("https", ours.scheme) and theirs.username is None
