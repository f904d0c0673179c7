"""The demo from beginning to end: a repository, a rig of its own, an issue as a person would file it, and the wait."""

import asyncio
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from bridges.terminal import issue as issue_command
from bridges.terminal import repo as repo_command
from bridges.terminal.session import person
from bus import Bus
from conductor.evolve import evolve
from conductor.state import State
from deploy.demo import project
from deploy.demo.show import Outcome, Show
from deploy.failures import DeployFailed
from deploy.home import Home
from deploy.logs import tail
from deploy.up import Rig, running_rig
from schemas import Actor, AddIssue, IssueAssigned, IssueRef, Policy, Recorded, RepositoryAdded

__all__ = ["play"]

SCRIPTED_PATIENCE_SECONDS = 60.0
"""How long the log may stand still. A coder that is no script may work in silence for as long as a run may."""
LOG_LINES = 8


async def play(show: Show, *, keep: Path | None, coder: str | None) -> Outcome:
    """Plays the demo, with the repository in `keep` where that is given and a `coder` instead of the demo's script.

    Raises what `running_rig` raises, TerminalError, GitError, SpawnFailed, and DeployFailed when nothing moves on.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rig-demo-") as scratch:
        place = Path(scratch)
        repository = place / "shop" if keep is None else keep
        await project.create(repository)
        script = place / "coder.toml"
        script.write_text(project.SCRIPT, encoding="utf-8")
        show.step("starting the servers and the roles")
        async with (
            running_rig(Home(place / "rig"), coder=coder or f"scripted:{script}", report=show.news) as rig,
            await Bus.connect(
                rig.servers.nats_url, actor=Actor.CLI, source="rig demo", key=rig.servers.key(Actor.CLI)
            ) as bus,
        ):
            show.step("adding the repository and the issue")
            issue = await rig.unless_failed(_file(bus, repository))
            patience = SCRIPTED_PATIENCE_SECONDS if coder is None else Policy().run_seconds
            told, state = await rig.unless_failed(_follow(bus, issue, show, patience))
            show.timeline(told)
            end, words = state.issues.get(issue), [item.event.data for item in told]
            if end is None or not end.state.final:
                where = "not in the log" if end is None else end.state.replace("_", " ")
                raise DeployFailed(f"nothing has moved for {patience:g} s; {issue} is {where}{_ends_of_logs(rig)}")
            return Outcome(
                state=end.state,
                attempts=max((said.attempt for said in words if isinstance(said, IssueAssigned)), default=0),
                merge_sha=end.merge_sha,
                events=state.position,
                seconds=round(time.monotonic() - began, 2),
                repository=None if keep is None else str(keep),
                issue=str(issue),
            )


async def _file(bus: Bus, path: Path) -> IssueRef:
    """`rig repo add` and `rig issue add`."""
    added = RepositoryAdded(clone_url=str(path), check=project.CHECK, by=person())
    await repo_command.serve(bus, project.REPOSITORY, added, "main")
    wanted = AddIssue(
        request=uuid.uuid4().hex,
        repository=project.REPOSITORY,
        title=project.TITLE,
        body=project.BODY,
        author=person(),
    )
    return (await issue_command.file(bus, str(project.REPOSITORY), wanted, [])).issue


async def _follow(bus: Bus, issue: IssueRef, show: Show, patience: float) -> tuple[Sequence[Recorded], State]:
    """Reads until the issue has come to an end, or nothing has come for `patience` seconds; all that was said."""
    told: list[Recorded] = []
    state = State()
    async with bus.log.follow() as reader:
        while issue not in state.issues or not state.issues[issue].state.final:
            try:
                async with asyncio.timeout(patience):
                    item = (await reader.next()).decoded()
            except TimeoutError:
                break
            if isinstance(item, Recorded):
                evolve(state, item.event, item.position)
                told.append(item)
                show.said(item)
    return told, state


def _ends_of_logs(rig: Rig) -> str:
    roles = ("conductor", "local", *rig.agents)
    ends = {role: tail(rig.home.logs / f"{role}.log", lines=LOG_LINES) for role in roles}
    return "".join(f"\nthe end of {role}.log:\n{end or '(nothing)'}" for role, end in ends.items())
