"""`rig github init`, `check`, `audit`: an App is made, the set-up is proved, and what GitHub delivered is all there.

How GitHub is reached is configured, and that is deploy/'s business: it hands in a `Place`.
"""

import asyncio
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import msgspec
import typer
from msgspec import Struct

from bridges.terminal import hosted
from bridges.terminal.errors import BadInput, Failed, NoRig
from bridges.terminal.output import say, say_json
from bridges.terminal.session import FindServer, reported, run, run_at
from bridges.terminal.views import Json
from schemas import Forge, RepoRef, RepositoryAdded, RepositoryConfigured, RepositoryRemoved, printable

if TYPE_CHECKING:
    from bridges.github.checking import Served
    from bridges.github.config import GitHubConfig
    from bus import Bus
    from schemas.queries import Audited

__all__ = ["Place", "add_github"]

ANSWER_SECONDS: Final = 10.0
AUDIT_SECONDS: Final = 120.0
"""How long one audit may take while a person waits for it."""
NAME_MAX: Final = 34
"""Of an App, at GitHub."""


@dataclass(frozen=True, slots=True)
class Place:
    """What deploy/ knows, each part looked up when a command needs it. Each may raise Invalid."""

    find_server: FindServer
    config: Callable[[], "GitHubConfig"]
    api: Callable[[], "GitHubConfig"]
    """Where GitHub and the webhooks are, before anybody has an account there."""
    directory: Callable[[], Path]
    """Where the App's keys are kept."""


def add_github(app: typer.Typer, place: Place) -> None:
    """Adds the group to `rig`."""
    group = typer.Typer(help="The bridge to GitHub: setting it up, and seeing that it misses nothing.")
    group.callback(no_args_is_help=True)(_group)
    for command in (init, check):
        group.command(context_settings={"obj": place})(command)
    group.command(context_settings={"obj": place.find_server})(audit)
    app.add_typer(group, name="github")


def _group() -> None:
    """The bridge to GitHub: setting it up, and seeing that it misses nothing."""


# ── init ─────────────────────────────────────────────────────────────────────


class Prepared(Struct, frozen=True):
    """What was written for making an App."""

    manifest: str
    page: str
    webhook: str


class Made(Struct, frozen=True):
    """What was written for an App that was made. Nothing secret stands here."""

    app_id: int
    app: str
    settings: str
    install: str


def init(
    context: typer.Context,
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="Where GitHub reaches the bridge: https://rig.example.com")
    ] = None,
    *,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What the App is called; else rig-….")] = None,
    organization: Annotated[
        str | None, typer.Option(metavar="LOGIN", help="Whose App it becomes; else it is yours.")
    ] = None,
    code: Annotated[
        str | None, typer.Option(metavar="CODE|URL", help="What GitHub led back with: fetches the App's keys.")
    ] = None,
    json: Json = False,
) -> None:
    """Make an App at GitHub: first the page that asks GitHub for it, then, with --code, its keys. Shows no secret."""
    with reported():
        place = cast("Place", context.obj)
        if (webhook is None) == (code is None):
            raise BadInput("say with --webhook where GitHub reaches the bridge; and then, with --code, fetch the keys")
        directory = place.directory()
        if code is None:
            answer, lines = _prepare(place.api(), directory, webhook or "", name, organization)
        else:
            answer, lines = _fetch(place.api(), directory, code)
        if json:
            say_json(answer)
        else:
            say(lines)


def _prepare(
    config: "GitHubConfig", directory: Path, typed: str, name: str | None, organization: str | None
) -> tuple[Prepared, list[str]]:
    from bridges.github import registering

    hook = registering.webhook_url(typed)
    if hook is None:
        raise BadInput(f"--webhook: {typed!r} is not a URL like https://rig.example.com")
    name = name or f"rig-{secrets.token_hex(3)}"
    if not (0 < len(name) <= NAME_MAX and name.isprintable() and name.strip() == name):
        raise BadInput(f"--name: 1 to {NAME_MAX} printable characters, please")
    of = registering.manifest(name, hook=hook, back=f"http://localhost:{config.address[1] or 8080}/made")
    manifest, page = directory / "manifest.json", directory / "make-app.html"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    manifest.write_bytes(msgspec.json.format(msgspec.json.encode(of)) + b"\n")
    page.write_text(registering.page(config.site, organization, of), encoding="utf-8")
    return Prepared(str(manifest), str(page), hook), [
        f"1. open {page.as_uri()} where you are logged in at {config.site}, and press its button",
        "2. GitHub then leads to an address on this machine where nobody answers, with ?code=… in it: within an hour",
        "       rig github init --code 'THE WHOLE ADDRESS'",
        f"webhooks will go to {hook}; the manifest is {manifest}",
    ]


def _fetch(config: "GitHubConfig", directory: Path, typed: str) -> tuple[Made, list[str]]:
    from bridges.github import registering
    from bridges.github.config import API
    from bridges.github.errors import ApiError, NotFound

    code = registering.code_in(typed)
    if code is None:
        raise BadInput("--code: there is no code in it; GitHub's address ends with ?code=…")
    key, secret, settings = directory / "app-key.pem", directory / "webhook-secret", directory / "github.env"
    if there := [path for path in (key, secret, settings) if os.path.lexists(path)]:
        raise Failed(f"{there[0]} is there already, of another App: a code holds once, so put that away first")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        made = asyncio.run(registering.exchange(config, code))
    except NotFound:
        raise Failed("GitHub does not know this code (any more): it holds once, and for an hour") from None
    except ApiError as error:
        raise Failed(str(error)) from None
    lines = [f"RIG_GITHUB_APP_ID={made.id}", f"RIG_GITHUB_APP_KEY_FILE={key}"]
    _keep(key, made.pem)
    if made.webhook_secret is not None:
        _keep(secret, made.webhook_secret)
        lines.append(f"RIG_GITHUB_WEBHOOK_SECRET_FILE={secret}")
    if config.api != API:
        lines.append(f"RIG_GITHUB_API={config.api}")
    _keep(settings, "\n".join(lines) + "\n")
    page = made.html_url or f"{config.site}/settings/apps/{made.slug}"
    no_secret = f"it has no webhook secret: set one at {page}, and put it into {secret}"
    return Made(made.id, made.slug, str(settings), f"{page}/installations/new"), [
        f"the App {printable(made.slug)} ({made.id}) is made; its key and secret are in {directory}, closed to others",
        *([no_secret] if made.webhook_secret is None else []),
        f"1. install it on your repositories: {printable(page)}/installations/new",
        f"2. set -a; . {settings}; set +a",
        "3. rig github check; rig up; rig repo add OWNER/REPO --github",
    ]


def _keep(path: Path, text: str) -> None:
    """For its owner alone, and never over what is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


# ── check ────────────────────────────────────────────────────────────────────


def check(
    context: typer.Context,
    repository: Annotated[
        list[str] | None, typer.Argument(metavar="OWNER/REPO", help="Look at these; else at those under the rig.")
    ] = None,
    json: Json = False,
) -> None:
    """Prove the credentials, permissions, webhooks and repositories. What is wrong, how to mend it; then code 1."""
    with reported():
        place = cast("Place", context.obj)
        config = place.config()
        named = [RepoRef.parse(typed) for typed in repository or ()]
        from bridges.findings import Finding, Report, Verdict
        from bridges.github.checking import Served, examine

        findings: list[Finding] = []
        try:
            known = run_at(place.find_server(), _served)
        except NoRig as error:
            known = []
            if not named:
                mend = "start it, or name repositories: rig github check OWNER/REPO"
                findings.append(Finding("rig", Verdict.NOTE, f"{error.lines[0]}", mend))
        by_name = {each.repository: each for each in known}
        wanted = [by_name.get(ref, Served(ref)) for ref in named] if named else known
        findings = [*asyncio.run(examine(config, wanted)), *findings]
        report = Report(all(finding.verdict is not Verdict.PROBLEM for finding in findings), tuple(findings))
        if json:
            say_json(report)
        else:
            say(report.lines())
        if not report.well:
            raise typer.Exit(1)


async def _served(bus: "Bus") -> "list[Served]":
    """The repositories at GitHub under the rig, from the log."""
    from bridges.github.checking import Served

    served: dict[RepoRef, Served] = {}
    for said in await bus.log.history(["rig.repo.>"]):
        match said.event.about, said.event.data:
            case RepoRef() as ref, RepositoryAdded(forge=Forge.GITHUB) as added:
                served[ref] = Served(ref, added.base_branch, added.reviews)
            case RepoRef() as ref, RepositoryAdded() | RepositoryRemoved():
                served.pop(ref, None)
            case RepoRef() as ref, RepositoryConfigured(base_branch=base) if ref in served:
                served[ref] = Served(ref, base, served[ref].reviews)
            case _:
                pass
    return [served[ref] for ref in sorted(served)]


# ── audit ────────────────────────────────────────────────────────────────────


def audit(
    context: typer.Context,
    now: Annotated[bool, typer.Option("--now", help="Make one first.")] = False,
    json: Json = False,
) -> None:
    """What GitHub delivered in three days against what arrived: is anything missing? Then code 1."""
    with reported():
        from schemas.queries import Audited, AuditRequest

        seconds = AUDIT_SECONDS if now else ANSWER_SECONDS
        asked = AuditRequest(now=now)
        audited = run(context, lambda bus: hosted.ask(bus, "audit", asked, Audited, seconds))
        if json:
            say_json(audited)
        else:
            say(audit_lines(audited, datetime.now(UTC)))
        if audited.audited_at is None or audited.trouble is not None or audited.missing > audited.reinjected:
            raise typer.Exit(1)


def audit_lines(audited: "Audited", now: datetime) -> Iterator[str]:
    """For people."""
    from schemas.queries import DeliveryLog

    if audited.audited_at is None:
        yield "not audited yet: the bridge does so at its start, and every ten minutes"
        return
    put_back = f" ({audited.reinjected} put back)" if audited.missing else ""
    age = _age((now - audited.audited_at).total_seconds())
    yield f"{audited.delivered} delivered, {audited.missing} missing{put_back}, audited {age} ago"
    if audited.trouble is not None:
        yield f"it did not come to its end: {printable(audited.trouble)}"
    elif audited.log is DeliveryLog.NONE:
        yield "no log of deliveries is for us to read: what is open was compared with what is known"
    width = max((len(str(each.repository)) for each in audited.repositories), default=0)
    for each in audited.repositories:
        found = f"{each.delivered} delivered, {each.missing} missing"
        if each.log is DeliveryLog.NONE:
            found = f"compared with what is open: {each.said} events were missing"
        why = f"; {printable(each.trouble)}" if each.trouble is not None else ""
        yield f"  {each.repository!s:<{width}}  {found}{why}"


def _age(seconds: float) -> str:
    for unit, size in (("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
