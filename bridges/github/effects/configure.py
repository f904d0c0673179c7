"""What a repository is like: its base branch, what it says of itself, and which checks are required there."""

import base64
import binascii
from typing import Final

import msgspec
from msgspec import Struct

from bridges import agent_file
from bridges.agent_file import AgentFile
from bridges.github.api import GitHub, Priority
from bridges.github.effects.branches import head_of
from bridges.github.effects.result import BadRepository, Result
from bridges.github.errors import Forbidden, NotFound
from bridges.github.payloads import Repository
from bridges.github.plan import Configure
from schemas import Invalid, RepoRef, RepositoryConfigured

_REPOSITORY: Final = "/repos/{owner}/{repo}"
_CONTENTS: Final = "/repos/{owner}/{repo}/contents/{file}{?ref}"
_BRANCH: Final = "/repos/{owner}/{repo}/branches/{branch}"
_RULES: Final = "/repos/{owner}/{repo}/rules/branches/{branch}"
_CHECKS: Final = 100
_LINE: Final = 300


class _Content(Struct, frozen=True):
    type: str
    size: int = 0
    content: str = ""
    encoding: str = ""


class _Check(Struct, frozen=True):
    context: str = ""


class _StatusChecks(Struct, frozen=True):
    contexts: list[str] = []
    checks: list[_Check] = []


class _Protection(Struct, frozen=True):
    required_status_checks: _StatusChecks | None = None


class _Branch(Struct, frozen=True):
    protection: _Protection | None = None


class _Parameters(Struct, frozen=True):
    required_status_checks: list[_Check] = []


class _Rule(Struct, frozen=True):
    type: str
    parameters: _Parameters | None = None


async def configure(github: GitHub, action: Configure) -> Result:
    """Looks, and says what is news. Raises BadRepository."""
    about, added = action.about, action.added
    repository = await github.get(_REPOSITORY, Repository, repository=about)
    base_branch = added.base_branch or repository.default_branch
    base_sha = await head_of(github, about, base_branch, priority=Priority.NORMAL)
    if base_sha is None:
        raise BadRepository(f"{about} has no branch {base_branch} with a commit on it: push one there first")
    says = await agent_file_at(github, about, base_sha)
    configured = RepositoryConfigured(
        base_branch=base_branch,
        base_sha=base_sha,
        clone_url=added.clone_url,
        check=added.check,
        reviewers=added.reviewers,
        stack=says.stack,
        capabilities=tuple(dict.fromkeys((*added.capabilities, *says.tools))),
        build=says.build,
        required_checks=await required_checks(github, about, base_branch),
        escalate=says.escalate,
        overrides=added.overrides,
        reviews=added.reviews,
    )
    if action.known and msgspec.structs.replace(action.known, base_sha=base_sha) == configured:
        return None
    return configured


async def agent_file_at(github: GitHub, about: RepoRef, commit: str) -> AgentFile:
    """What the `.rig-agent.yaml` of a commit says; nothing where there is none. Raises BadRepository."""
    where = f"{agent_file.NAME} at {commit[:12]} of {about}"
    try:
        said = await github.get(_CONTENTS, object, repository=about, file=agent_file.NAME, ref=commit)
    except NotFound:
        return AgentFile()
    try:
        found = msgspec.convert(said, _Content)
    except msgspec.ValidationError:
        found = _Content(type="dir")  # a list of what is in it
    if found.type != "file":
        raise BadRepository(f"{where}: it is no file")  # a link leads elsewhere
    if found.size > agent_file.MAX_BYTES:
        raise BadRepository(f"{where}: {found.size} bytes, at most {agent_file.MAX_BYTES} are read")
    try:
        return agent_file.read(base64.b64decode(found.content))
    except binascii.Error:
        raise BadRepository(f"{where}: GitHub's answer holds no base64") from None
    except Invalid as error:
        raise BadRepository(f"{where}: {'; '.join(error.problems)}") from None


async def required_checks(github: GitHub, about: RepoRef, branch: str) -> tuple[str, ...]:
    """The checks without which GitHub merges nothing there, as far as we may see them: protection and rule sets."""
    names: list[str] = []
    try:
        protection = (await github.get(_BRANCH, _Branch, repository=about, branch=branch)).protection
        checks = protection.required_status_checks if protection is not None else None
        if checks is not None:
            names += [*checks.contexts, *(check.context for check in checks.checks)]
    except (NotFound, Forbidden):
        pass
    try:
        async for rule in github.pages(_RULES, _Rule, repository=about, branch=branch):
            if rule.type == "required_status_checks" and rule.parameters is not None:
                names += [check.context for check in rule.parameters.required_status_checks]
    except (NotFound, Forbidden):
        pass
    ours = [name for name in dict.fromkeys(names) if name and name.isprintable() and len(name) <= _LINE]
    return tuple(ours[:_CHECKS])
