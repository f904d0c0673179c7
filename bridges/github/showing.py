"""Showing people a repository before it is put under the rig: what is there, or why it could not be served."""

from bridges.github.api import GitHub, Priority
from bridges.github.config import GitHubConfig
from bridges.github.effects.branches import head_of
from bridges.github.effects.configure import agent_file_at
from bridges.github.effects.result import BadRepository
from bridges.github.errors import ApiError, NotFound
from bridges.github.payloads import Repository
from bus import Bus, Refused
from schemas import Forge, RepoRef
from schemas.queries import Looked, LookRequest

__all__ = ["LOOK", "serve_looks"]

LOOK = "look"


async def serve_looks(bus: Bus, github: GitHub, config: GitHubConfig) -> None:
    """Answers until the bus closes."""

    async def answer(asked: LookRequest) -> Looked:
        try:
            return await _look(github, config, asked)
        except (ApiError, BadRepository) as error:
            raise Refused(str(error)) from None

    await bus.services.serve(Forge.GITHUB.value, LOOK, LookRequest, answer)


async def _look(github: GitHub, config: GitHubConfig, asked: LookRequest) -> Looked:
    try:
        found = await github.get("/repos/{owner}/{repo}", Repository, repository=asked.repository)
    except NotFound:
        who = "is its App installed there?" if github.app else "may its token see it?"
        raise BadRepository(f"{config.site} shows no such repository to the bridge: {who}") from None
    repository = RepoRef.parse(found.full_name)
    if found.archived:
        raise BadRepository("it is archived: nothing can be merged there")
    base_branch = asked.base_branch or found.default_branch
    base_sha = await head_of(github, repository, base_branch, priority=Priority.HIGH)
    if base_sha is None:
        raise BadRepository(f"it has no branch {base_branch} with a commit on it: push one there first")
    return Looked(
        repository=repository,
        base_branch=base_branch,
        base_sha=base_sha,
        clone_url=config.clone_url(repository),
        test=(await agent_file_at(github, repository, base_sha)).test,
    )
