"""`rig github check`: what GitHub says to the settings: who we are there, what we may, and how each repository stands.

It asks and changes nothing. Every problem comes with what to do about it.
"""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from bridges.findings import Finding, Verdict
from bridges.github import deliveries
from bridges.github.api import GitHub, Priority
from bridges.github.config import GitHubConfig
from bridges.github.deliveries import Entry, Hook, Log, Unreadable
from bridges.github.effects.branches import head_of
from bridges.github.effects.configure import required_checks
from bridges.github.errors import ApiError, NotFound, Unauthorized
from bridges.github.needed import EVENTS, LEVELS, NEEDED, PERMISSIONS
from bridges.github.payloads import Label
from bridges.github.receive import PATH
from bridges.github.tokens import credential_of
from bridges.github.translate.words import NEEDS_REVIEW, READY
from schemas import RepoRef, ReviewScope, one_line

__all__ = ["Served", "examine"]

DAYS: Final = 3
DELIVERIES_MAX: Final = 200
"""So many of the last are counted."""
LOW_PART: Final = 0.25
"""With less than this left of the hourly limit, audits and comments are left out."""
_OK, _NOTE, _PROBLEM = Verdict.OK, Verdict.NOTE, Verdict.PROBLEM


class Served(Struct, frozen=True):
    """A repository under the rig, or one that a person asks about."""

    repository: RepoRef
    base_branch: str | None = None
    """None: its default branch."""
    reviews: ReviewScope = ReviewScope.RIG


class _App(Struct, frozen=True):
    slug: str
    permissions: dict[str, str] = {}
    events: tuple[str, ...] = ()


class _User(Struct, frozen=True):
    login: str


class _HookConfig(Struct, frozen=True):
    url: str = ""
    content_type: str = ""


class _Installation(Struct, frozen=True):
    permissions: dict[str, str] = {}
    suspended_at: datetime | None = None
    html_url: str = ""


class _Repository(Struct, frozen=True):
    full_name: str
    default_branch: str = ""
    archived: bool = False
    permissions: dict[str, bool] | None = None


class _Limit(Struct, frozen=True):
    limit: int
    remaining: int
    reset: int


class _Resources(Struct, frozen=True):
    core: _Limit


class _Limits(Struct, frozen=True):
    resources: _Resources


async def examine(config: GitHubConfig, served: Sequence[Served]) -> list[Finding]:
    """Looks at everything, in the order in which it is needed."""
    async with GitHub.opened(config.api, credential_of(config)) as github:
        check = _Check(github, config)
        found = [finding async for finding in check.account()]
        if any(finding.verdict is _PROBLEM for finding in found) and not check.known:
            return found  # nothing else would be answered
        for each in served:
            found += [finding async for finding in check.repository(each)]
        found += [finding async for finding in check.limit(served)]
        return found


class _Check:
    """One look."""

    def __init__(self, github: GitHub, config: GitHubConfig) -> None:
        self._github = github
        self._config = config
        self.known = False
        """GitHub knows who we are."""
        self._settings = f"{config.site}/settings/apps"

    # ── who we are ───────────────────────────────────────────────────────────

    async def account(self) -> AsyncGenerator[Finding]:
        what, site = "credentials", self._config.site
        try:
            if not self._github.app:
                user = await self._github.get("/user", _User)
                self.known = True
                yield Finding(what, _OK, f"{site} knows the token as {user.login}'s")
                return
            app = await self._github.get("/app", _App)
        except Unauthorized as error:
            given = "RIG_GITHUB_APP_ID and RIG_GITHUB_APP_KEY" if self._github.app else "RIG_GITHUB_TOKEN"
            yield Finding(what, _PROBLEM, _line(error), f"make a new one at {site}, and mend {given}")
            return
        except ApiError as error:
            yield Finding(what, _PROBLEM, _line(error), "see that it can be reached from here; mend RIG_GITHUB_API")
            return
        self.known = True
        self._settings = f"{site}/settings/apps/{app.slug}"
        yield Finding(what, _OK, f"{site} knows the App as {app.slug}")
        yield self._permitted(app.permissions, "permissions", f"{self._settings}/permissions")
        yield self._subscribed(app.events, "events", f"{self._settings}/permissions")
        async for finding in self._hook_of_app():
            yield finding

    def _permitted(self, given: Mapping[str, str], what: str, where: str) -> Finding:
        if lacking := _lacking(given):
            return Finding(what, _PROBLEM, lacking, f"allow that at {where}")
        more = [
            f"{name}: {level}" for name, level in sorted(given.items()) if _level(level) > _level(PERMISSIONS.get(name))
        ]
        if more:
            return Finding(what, _NOTE, f"all that is needed, and more: {', '.join(more)}", f"take it away at {where}")
        return Finding(what, _OK, "all that is needed, and no more")

    def _subscribed(self, events: Iterable[str], what: str, where: str) -> Finding:
        lacking = [] if "*" in events else sorted(set(EVENTS) - set(events))
        if lacking:
            return Finding(what, _PROBLEM, f"not delivered: {', '.join(lacking)}", f"subscribe to them at {where}")
        return Finding(what, _OK, f"all {len(EVENTS)} are delivered")

    # ── webhooks ─────────────────────────────────────────────────────────────

    async def _hook_of_app(self) -> AsyncGenerator[Finding]:
        try:
            hook = await self._github.get("/app/hook/config", _HookConfig)
        except ApiError as error:
            yield Finding("webhook", _PROBLEM, _line(error), f"set one up at {self._settings}")
            return
        yield _hook("webhook", hook.url, hook.content_type, self._settings)
        yield await self._delivered("deliveries", [deliveries.log_of_app()])

    async def _delivered(self, what: str, logs: Iterable[Log]) -> Finding:
        """What the log of the last days tells: does it arrive?"""
        since, found = datetime.now(UTC) - timedelta(days=DAYS), list[Entry]()
        try:
            for log in logs:
                async with aclosing(deliveries.entries(self._github, log, since)) as entries:
                    async for entry in entries:
                        found.append(entry)
                        if len(found) >= DELIVERIES_MAX:
                            break
        except (ApiError, Unreadable) as error:
            return Finding(what, _NOTE, _line(error), "audits compare what is open with what is known, instead")
        if not found:
            return Finding(what, _NOTE, f"none in the last {DAYS} days", "edit an issue there, and look again")
        refused = [entry for entry in found if not 200 <= entry.status_code < 300]
        seen = f"{len(found) - len(refused)} of the last {len(found)} were taken"
        last = max(found, key=lambda entry: (entry.delivered_at, entry.id))
        if last not in refused:
            return Finding(what, _OK if not refused else _NOTE, seen)
        seen += (
            f"; the last one ({one_line(last.event) or 'no event'}) was answered with {last.status_code or 'nothing'}"
        )
        return Finding(
            what, _PROBLEM, seen, f"see that GitHub reaches the bridge, which listens at {self._config.http}"
        )

    # ── repositories ─────────────────────────────────────────────────────────

    async def repository(self, served: Served) -> AsyncGenerator[Finding]:
        ref, what = served.repository, str(served.repository)
        try:
            found = await self._github.get("/repos/{owner}/{repo}", _Repository, repository=ref)
            if self._github.app:
                yield await self._installed(ref)
        except NotFound:
            mend = (
                f"install the App there: {self._settings}/installations" if self._github.app else "let the token see it"
            )
            yield Finding(what, _PROBLEM, "GitHub shows no such repository to us", mend)
            return
        except ApiError as error:
            yield Finding(what, _PROBLEM, _line(error), "see what GitHub says")
            return
        for finding in self._usable(what, ref, found):
            yield finding
        for look in (self._merging, self._labels):
            try:
                async for finding in look(served, found):
                    yield finding
            except ApiError as error:
                yield Finding(what, _PROBLEM, _line(error), "see what GitHub says")
        if not self._github.app:
            async for finding in self._hooks(ref):
                yield finding

    async def _installed(self, ref: RepoRef) -> Finding:
        path = "/repos/{owner}/{repo}/installation"
        found = await self._github.get(path, _Installation, owner=ref.owner, repo=ref.repo)
        where = found.html_url or f"{self._settings}/installations"
        if found.suspended_at is not None:
            return Finding(f"{ref} App", _PROBLEM, f"suspended since {found.suspended_at:%F %T}", f"let it in: {where}")
        if lacking := _lacking(found.permissions):
            return Finding(f"{ref} App", _PROBLEM, lacking, f"its owner accepts what is new at {where}")
        return Finding(f"{ref} App", _OK, "is installed, and may do there what is needed")

    def _usable(self, what: str, ref: RepoRef, found: _Repository) -> Iterator[Finding]:
        if found.archived:
            yield Finding(what, _PROBLEM, "it is archived: nothing can be merged there", "unarchive it, or remove it")
        elif not self._github.app and found.permissions is not None and not found.permissions.get("push"):
            yield Finding(what, _PROBLEM, "the token may not push there", "give its owner write access")
        elif found.full_name != str(ref):
            mend = f"add it as that: rig repo add {found.full_name} --github"
            yield Finding(what, _PROBLEM, f"GitHub calls it {found.full_name} now", mend)
        else:
            yield Finding(what, _OK, "can be read and written")

    async def _merging(self, served: Served, found: _Repository) -> AsyncGenerator[Finding]:
        ref, base = served.repository, served.base_branch or found.default_branch
        what = f"{ref} checks"
        if await head_of(self._github, ref, base, priority=Priority.NORMAL) is None:
            yield Finding(what, _PROBLEM, f"there is no branch {base} with a commit on it", "push one there")
        elif names := await required_checks(self._github, ref, base):
            yield Finding(what, _OK, f"required on {base}: {', '.join(map(one_line, names))}")
        else:
            seen = f"none is required on {base}: all that there are must pass, and where there are none, nothing must"
            yield Finding(what, _NOTE, seen, f"require some: {self._config.site}/{ref}/settings/rules")

    async def _labels(self, served: Served, _found: _Repository) -> AsyncGenerator[Finding]:
        ref, wanted = served.repository, [READY]
        if served.reviews is ReviewScope.LABELLED:
            wanted.append(NEEDS_REVIEW)
        listed = self._github.pages("/repos/{owner}/{repo}/labels", Label, repository=ref)
        names = {label.name.lower() async for label in listed}
        if lacking := [label for label in wanted if label not in names]:
            mend = f"make them at {self._config.site}/{ref}/labels; the rig makes its own"
            yield Finding(f"{ref} labels", _NOTE, f"nobody can set {', '.join(lacking)} yet", mend)
        else:
            yield Finding(f"{ref} labels", _OK, f"{', '.join(wanted)} can be set")

    async def _hooks(self, ref: RepoRef) -> AsyncGenerator[Finding]:
        what, where = f"{ref} webhook", f"{self._config.site}/{ref}/settings/hooks"
        try:
            ours = [hook for hook in await deliveries.hooks(self._github, ref) if hook.ours]
        except ApiError as error:
            seen = f"its webhooks are not for us to see: {_line(error)}"
            yield Finding(what, _NOTE, seen, "audits compare what is open with what is known, instead")
            return
        if not ours:
            yield Finding(what, _PROBLEM, f"none leads to …{PATH}", f"make one at {where}, with the secret, as JSON")
            return
        for hook in ours:
            yield self._hook(what, hook, where)
        logs = [Log.of_hook(ref, hook) for hook in ours]
        yield await self._delivered(f"{ref} deliveries", logs)

    def _hook(self, what: str, hook: Hook, where: str) -> Finding:
        if not hook.active:
            return Finding(what, _PROBLEM, f"{one_line(hook.config.url)} is switched off", f"switch it on at {where}")
        found = _hook(what, hook.config.url, hook.config.content_type, where)
        return found if found.verdict is _PROBLEM else self._subscribed(hook.events, what, where)

    # ── limits ───────────────────────────────────────────────────────────────

    async def limit(self, served: Sequence[Served]) -> AsyncGenerator[Finding]:
        """Of who asks in the first repository: an App has one for each installation, and another for itself."""
        where = served[0].repository if served else None
        try:
            core = (await self._github.get("/rate_limit", _Limits, repository=where)).resources.core
        except ApiError as error:
            yield Finding("limit", _NOTE, _line(error))
            return
        reset = datetime.fromtimestamp(core.reset, UTC)
        seen = f"{core.remaining} of {core.limit} calls are left until {reset:%H:%M} UTC"
        low = core.remaining < core.limit * LOW_PART
        yield Finding(
            "limit", _NOTE if low else _OK, seen, "comments, labels and audits wait until then" if low else ""
        )


def _hook(what: str, url: str, content_type: str, where: str) -> Finding:
    if not url.rstrip("/").endswith(PATH):
        return Finding(
            what, _PROBLEM, f"it leads to {one_line(url) or 'nowhere'}", f"let it lead to …{PATH} at {where}"
        )
    if content_type != "json":
        seen = f"its content type is {one_line(content_type) or 'not known'}"
        return Finding(what, _PROBLEM, seen, f"make it application/json at {where}")
    return Finding(what, _OK, f"leads to {one_line(url)}")


def _lacking(given: Mapping[str, str]) -> str:
    """What is needed and not given, line by line; nothing where nothing is."""
    lacking = [
        f"{needed.permission}: {needed.level} ({needed.why})"
        for needed in NEEDED
        if _level(given.get(needed.permission)) < _level(needed.level)
    ]
    return "\n".join(["it may not:", *lacking]) if lacking else ""


def _level(level: str | None) -> int:
    return LEVELS.index(level) if level in LEVELS else 0


def _line(error: Exception) -> str:
    return one_line(str(error))
