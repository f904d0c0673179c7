"""`rig doctor`: can the rig run here, and does it; what is wrong, and how to mend it.

It looks and changes nothing. Where no server is given and no rig runs, it starts the servers for a moment on a
directory of its own, because that is what shows whether they start here.
"""

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from shutil import disk_usage

from agents.coders.coder import coder
from agents.coders.driver import CoderUnavailable, LoginMissing
from bridges.findings import Finding, Report, Verdict
from bridges.terminal.session import person
from bus import Bus, BusError, NoStream, TopologyDrift, Unavailable, make_streams
from bus.permissions import ADMIN
from conductor.postgres import GET_VECTORS, NO_VECTORS, PostgresAway, look
from conductor.watch.fold import Fold
from conductor.watch.shell import LEASE
from deploy.embedded.nats import embedded_nats
from deploy.embedded.postgres import embedded_postgres
from deploy.embedded.servers import key_for
from deploy.failures import KeysRefused, NoGit, ServerFailed
from deploy.home import Home, Running
from deploy.keys import check_keys
from deploy.redact import redacted
from deploy.settings import Settings, characters_place
from deploy.tools import GET_GIT, git_version
from machine.lifecycle import Misconfigured
from machine.sandbox import Sandboxing, available
from schemas import FLEET, Actor, Invalid, Status, StatusRequest, branch

__all__ = ["Finding", "Report", "Verdict", "examine"]

DISTRIBUTION = "rig-choreography"
ROOMS = ("schemas", "machine", "bus", "conductor", "agents", "bridges", "deploy")
FREE_BYTES = 1024**3
ANSWER_SECONDS = 3.0
SHOWN = 5
"""Pieces of a halt's evidence."""


async def examine(environ: Mapping[str, str]) -> Report:
    """Looks at everything, in the order in which it is needed."""
    home = Home.find(environ)
    findings = [await _git(), *_import_names(), _directory(home), *_keys(home), _disk(home)]
    try:
        settings = Settings.read(environ)
    except Invalid as wrong:
        findings += [
            Finding("settings", Verdict.PROBLEM, problem, "mend it, and look again") for problem in wrong.problems
        ]
    else:
        findings += [
            await _coder(settings),
            of_sandbox(settings),
            *await of_models(settings),
            *of_characters(environ),
            *of_github(settings),
        ]
        findings += await _servers(settings)
    findings.append(_boundary())
    return Report(all(finding.verdict is not Verdict.PROBLEM for finding in findings), tuple(findings))


# ── this machine ─────────────────────────────────────────────────────────────


async def _git() -> Finding:
    try:
        return Finding("git", Verdict.OK, await git_version())
    except NoGit as error:
        return Finding("git", Verdict.PROBLEM, str(error), GET_GIT)


def _import_names() -> Iterator[Finding]:
    """Ours are flat names; another distribution in this environment may bring the same."""
    owners = packages_distributions()
    here = Path(__file__).parent.parent
    problems: list[Finding] = []
    for room in ROOMS:
        others = sorted(set(owners.get(room, ())) - {DISTRIBUTION})
        spec = find_spec(room)
        places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
        if others:
            seen = f"{room} is installed by {', '.join(others)} too"
            problems.append(
                Finding("import names", Verdict.PROBLEM, seen, "install Rig into an environment of its own")
            )
        elif places != [here / room]:
            seen = f"{room} is imported from {', '.join(map(str, places)) or 'nowhere'}, not from {here}"
            problems.append(Finding("import names", Verdict.PROBLEM, seen, "unset PYTHONPATH, or install Rig anew"))
    yield from problems or [Finding("import names", Verdict.OK, f"{', '.join(ROOMS)} are ours alone")]


def _directory(home: Home) -> Finding:
    what, path = "data directory", home.path
    if not os.path.exists(path):
        above = _nearest(path)
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            return Finding(what, Verdict.OK, f"{path} is made at the first start")
        return Finding(what, Verdict.PROBLEM, f"{path} cannot be made in {above}", "set RIG_HOME to another directory")
    if not (path.is_dir() and os.access(path, os.R_OK | os.W_OK | os.X_OK)):
        mend = "set RIG_HOME to a directory of your own"
        return Finding(what, Verdict.PROBLEM, f"{path} is not a directory that can be written", mend)
    status = path.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        seen = f"{path} (mode {status.st_mode & 0o777:o}, owner {status.st_uid}) is open to others, with its keys"
        return Finding(what, Verdict.PROBLEM, seen, f"chown it to yourself and chmod 700 {path}")
    return Finding(what, Verdict.OK, f"{path}, closed to others")


def _keys(home: Home) -> Iterator[Finding]:
    """Whoever can read a key can speak as its role, and whoever can write there can give it another."""
    try:
        check_keys(home.keys)
        found = len(list(home.keys.glob("*.nk")))
    except KeysRefused as refused:
        yield Finding("keys", Verdict.PROBLEM, "\n".join(refused.problems), refused.mend)
    except OSError:
        return  # none yet, or a directory of which the finding above says what is wrong
    else:
        yield Finding("keys", Verdict.OK, f"{found} in {home.keys}, closed to others")


def _disk(home: Home) -> Finding:
    free = disk_usage(_nearest(home.path)).free
    seen = f"{free / 1e9:.1f} GB free at {home.path}"
    if free < FREE_BYTES:
        return Finding("disk", Verdict.PROBLEM, seen, "make room: the log keeps everything, a full disk stops the rig")
    return Finding("disk", Verdict.OK, seen)


def _nearest(path: Path) -> Path:
    """The path, or what is above it and exists."""
    return next(place for place in (path, *path.parents) if os.path.exists(place))


async def _coder(settings: Settings) -> Finding:
    if settings.coder is None:
        seen = "none is configured: `rig up` starts no agent, `rig demo` brings its own"
        return Finding("coder", Verdict.NOTE, seen, "give one with RIG_CODER or `rig up --coder`")
    driver = coder(settings.coder)
    try:
        checked = await driver.check()
    except LoginMissing as error:
        return Finding("coder", Verdict.PROBLEM, str(error), "log it in as the user who runs the rig")
    except CoderUnavailable as error:
        return Finding("coder", Verdict.PROBLEM, str(error), "install it, or mend RIG_CODER")
    seen = f"{driver.provider} {checked.version}".strip()
    if checked.login_expires is not None:
        return Finding("coder", Verdict.OK, f"{seen}, logged in until {checked.login_expires:%F %T} UTC")
    return Finding("coder", Verdict.OK, seen)


def of_characters(environ: Mapping[str, str]) -> list[Finding]:
    """Whether each character can be used: those of a person, and those of the rig that they stand in front of."""
    from agents.character import Shelf
    from agents.character.shelf import load

    findings: list[Finding] = []
    for name, file in Shelf([characters_place(environ)]).files().items():
        try:
            load(file)
        except Invalid as error:
            first, *rest = error.problems
            more = f" (and {len(rest)} more)" if rest else ""
            said, mend = f"{first}{more}", f"`rig agent check {name}` says it all; it lies in {file}"
            findings.append(Finding(f"character {name}", Verdict.PROBLEM, said, mend))
    return findings


async def of_models(settings: Settings) -> list[Finding]:
    """Whether those who provide models can be reached and take our keys; no model is asked, and nothing spent."""
    if settings.gateways is None:
        return []
    from agents.llm.look import look  # here: it takes a moment, and only who asks models pays

    findings: list[Finding] = []
    async for seen in look(settings.gateways):
        what = f"models of {seen.provider}"
        if seen.problem is not None:
            mend = "mend its url and key in RIG_GATEWAY_… or RIG_GATEWAYS"
            findings.append(Finding(what, Verdict.PROBLEM, redacted(seen.problem), mend))
        elif seen.missing:
            said = f"it names {len(seen.models)} models, and not {', '.join(seen.missing)}"
            findings.append(Finding(what, Verdict.NOTE, said, "look whether they are spelled so"))
        else:
            findings.append(Finding(what, Verdict.OK, f"it answers, and names {len(seen.models) or 'no'} models"))
    return findings


def of_github(settings: Settings) -> Iterator[Finding]:
    """Whether its settings will do, and webhooks can come in; what GitHub says to them, `rig github check` asks."""
    if (config := settings.github) is None:
        return
    who = "with a token" if config.app_id is None else f"as the App {config.app_id}"
    yield Finding("GitHub", Verdict.OK, f"{config.site} {who}: `rig github check` asks it what it thinks of that")
    if settings.home.running() is None:  # else the bridge itself listens there
        try:
            with socket.create_server(config.address, reuse_port=False):
                pass
        except OSError as error:
            seen = f"{config.http} cannot be listened at: {error.strerror or error}"
            yield Finding("webhooks", Verdict.PROBLEM, seen, "end who listens there, or set RIG_HTTP to another")
        else:
            yield Finding("webhooks", Verdict.OK, f"{config.http} is free for them")


def of_sandbox(settings: Settings) -> Finding:
    """Whether what is not trusted is kept in one, as it should be."""
    how, program = settings.sandboxing, available()
    if how is Sandboxing.OFF:
        return Finding("sandbox", Verdict.NOTE, "coders and checks run without one: RIG_SANDBOX=off", "unset it")
    if program is not None:
        return Finding("sandbox", Verdict.OK, f"{program} keeps coders, and checks of what they wrote")
    seen = "bwrap is not there, or the kernel lets nobody make user namespaces"
    verdict = Verdict.NOTE if how is Sandboxing.AUTO else Verdict.PROBLEM
    return Finding("sandbox", verdict, seen, "install bubblewrap and let it work, or run coders as another user")


def _boundary() -> Finding:
    seen = (
        f"everything here runs as {person()}: keys of roles and passwords of servers are hygiene, not a boundary."
        "\nA coder without a sandbox could read them, and speak as another role."
    )
    return Finding("one user", Verdict.NOTE, seen, "where that matters, run coders in a sandbox or as another user")


# ── servers ──────────────────────────────────────────────────────────────────


async def _servers(settings: Settings) -> list[Finding]:
    running = settings.home.running()
    findings = [_rig(settings.home, running)]
    nats_url = settings.nats_url or (running.nats_url if running else None)
    postgres_url = settings.postgres_url or (running.postgres_url if running else None)
    findings += await asyncio.gather(_nats(nats_url, settings), _postgres(postgres_url))
    if running is not None:
        findings += [await _read_side(running, settings.home), await _watch(running, settings.home)]
    return findings


def _rig(home: Home, running: Running | None) -> Finding:
    if running is not None:
        return Finding(
            "rig", Verdict.OK, f"runs on {home.path}: process {running.pid}, since {running.since:%F %T} UTC"
        )
    if home.held():
        return Finding("rig", Verdict.NOTE, f"{home.path} is in use: a rig is starting or stopping there")
    return Finding("rig", Verdict.NOTE, f"none runs on {home.path}; `rig up` starts one")


async def _nats(url: str | None, settings: Settings) -> Finding:
    what, where = "nats-server", "started here for this look" if url is None else f"at {redacted(url)}"
    given = settings.nats_url is not None
    try:
        async with _server(url, settings) as (at, key), await _connected(at, key) as bus:
            if bus.connection.lossy is not None:
                mend = "have it sync every write, and unset RIG_ALLOW_LOSSY"
                return Finding(what, Verdict.PROBLEM, f"{where}: {bus.connection.lossy}", mend)
            seen = f"{bus.connection.server_version} {where}: every acknowledged event is on disk"
            return Finding(what, Verdict.OK, seen)
    except NoStream:
        seen = f"{where}: it will do, and is empty"
        return Finding(what, Verdict.NOTE, seen, "`rig up` makes the streams")
    except TopologyDrift as error:
        mend = "`rig up` mends what an older release made, and says of the rest what to do"
        return Finding(what, Verdict.PROBLEM, f"{where}: {error}", mend)
    except Unavailable as error:
        mend = "start it, or mend RIG_NATS_URL" if given else "see nats.log in the rig's logs"
        return Finding(what, Verdict.PROBLEM, redacted(str(error)), mend)
    except BusError as error:
        return Finding(what, Verdict.PROBLEM, redacted(str(error)), "see deploy/nats/nats.conf for one that does")
    except ServerFailed as error:
        return Finding(what, Verdict.PROBLEM, str(error), "install Rig anew, or set RIG_NATS_URL to a server")


async def _postgres(url: str | None) -> Finding:
    what, where = "PostgreSQL", "started here for this look" if url is None else f"at {redacted(url)}"
    try:
        async with _database(url) as at:
            seen = await look(at, name="rig doctor")
            if not seen.vectors:
                return Finding(what, Verdict.PROBLEM, f"{seen.version} {where}: {NO_VECTORS}", GET_VECTORS)
            return Finding(what, Verdict.OK, f"{seen.version} {where}")
    except (PostgresAway, Misconfigured) as error:
        return Finding(what, Verdict.PROBLEM, redacted(f"{where}: {error}"), "start it, or mend RIG_POSTGRES_URL")
    except ServerFailed as error:
        return Finding(what, Verdict.PROBLEM, str(error), "install Rig anew, or set RIG_POSTGRES_URL to a server")


async def _read_side(running: Running, home: Home) -> Finding:
    """Asks as `rig status` does: the whole way from the log through PostgreSQL back to a person."""
    try:
        async with await _connected(running.nats_url, key_for(home, running.nats_url, Actor.CLI)) as bus:
            status = await bus.services.ask("query", "status", StatusRequest(), Status)
    except BusError as error:
        return Finding("read side", Verdict.PROBLEM, str(error), f"see query.log and projector.log in {home.logs}")
    seen = f"position {status.position} of the log, {status.behind} behind, {status.skipped} unreadable"
    if status.writing is not None:
        return Finding("read side", Verdict.PROBLEM, f"{seen}\n{status.writing}", f"see projector.log in {home.logs}")
    if status.left_out or status.dead_letters:
        seen += f"\n{status.left_out} events left out, {status.dead_letters} dead letters open"
        return Finding("read side", Verdict.NOTE, seen, "`rig status` and `rig dead list` say which, and why")
    return Finding("read side", Verdict.OK, seen)


async def _watch(running: Running, home: Home) -> Finding:
    """Whether somebody watches, and what he has found."""
    fold = Fold()
    try:
        async with await _connected(running.nats_url, key_for(home, running.nats_url, Actor.CLI)) as bus:
            held = await bus.leases.look(LEASE, role=Actor.WATCH)
            for said in await bus.log.history([f"{branch(FLEET)}.{Actor.WATCH}.>"]):
                fold.apply(said)
    except BusError as error:
        return Finding("watch", Verdict.PROBLEM, str(error), f"see watch.log in {home.logs}")
    if fold.halts:
        halts = [
            f"{invariant.replace('_', ' ')} since {halt.since:%F %T} UTC: {', '.join(sorted(halt.keys)[:SHOWN])}"
            for invariant, halt in fold.halts.items()
        ]
        return Finding("watch", Verdict.PROBLEM, "\n".join(halts), f"see conductor.log and watch.log in {home.logs}")
    if held is None:
        return Finding("watch", Verdict.PROBLEM, "nobody watches", f"see watch.log in {home.logs}")
    return Finding("watch", Verdict.OK, f"{held.holder} watches since {held.since:%F %T} UTC: nothing stands still")


async def _connected(url: str, key: Path | None) -> Bus:
    return await Bus.connect(url, actor=Actor.CLI, source="rig doctor", key=key, timeout_seconds=ANSWER_SECONDS)


@asynccontextmanager
async def _server(url: str | None, settings: Settings) -> AsyncGenerator[tuple[str, Path | None]]:
    """Where it is, and the key to it."""
    if url is not None:
        yield url, settings.nats_key or key_for(settings.home, url, Actor.CLI)
        return
    with tempfile.TemporaryDirectory(prefix="rig-doctor-") as place:
        async with embedded_nats(Path(place)) as server:
            await make_streams(server.url, key=server.key(ADMIN), timeout_seconds=ANSWER_SECONDS)
            yield server.url, server.key(Actor.CLI)


@asynccontextmanager
async def _database(url: str | None) -> AsyncGenerator[str]:
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="rig-doctor-") as place:
        async with embedded_postgres(Path(place)) as server:
            yield server.url
