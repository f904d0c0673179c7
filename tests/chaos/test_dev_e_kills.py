"""dev-e dies at any moment, or is frozen while another takes over: finished once, nothing left behind, nothing lost.

The coder here commits as it goes and writes down, outside of everything, what it has committed: all of that must be
somewhere in the end.
"""

import asyncio
import os
import random
import shlex
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from conductor.replay import history_of, replay
from machine import sessions
from schemas import IssueDone, Merged, Recorded, RepoRef, WorkFailed, WorkPushed, WorkStarted
from tests.support.shop import Shop, git, new_repository, shop
from tests.support.waiting import until

SHOP = RepoRef("demo", "shop")
STEPS, PAUSE_SECONDS = 6, 0.1
SEED = 20_261_124


def coder(ledger: Path) -> str:
    """Commits in steps, leaves something uncommitted beside them, and notes each commit."""
    own = "n=$(git branch --show-current | cut -d/ -f2)"  # issues must not conflict
    step = f"echo $i >> work-$n.txt; git add work-$n.txt; git commit -qm step; git rev-parse HEAD >> {ledger}"
    script = f"{own}; for i in $(seq {STEPS}); do {step}; echo $i > rest-$n.txt; sleep {PAUSE_SECONDS}; done"
    return f"command: sh -c {shlex.quote(script)}"


LONG = [pytest.param(SEED + round_, 4, marks=pytest.mark.full) for round_ in range(1, 6)]
"""Four deaths a rig: where its agents die all the time, it rightly says that nobody works."""


@pytest.mark.parametrize(("seed", "deaths"), [(SEED, 3), *LONG])
async def test_killed_at_any_moment_the_work_is_finished_once_and_nothing_is_lost(
    tmp_path: Path, seed: int, deaths: int
) -> None:
    path, ledger = new_repository(tmp_path / "repository", {"README": "x\n"}), tmp_path / "ledger"
    chance = random.Random(seed)  # noqa: S311 - the same moments each time
    async with shop(tmp_path, coder=coder(ledger), agents=2) as running:
        await running.serve(SHOP, path, f"sleep 0.1; tail -qn 1 work-*.txt | grep -vx {STEPS} && exit 1; exit 0")
        issues = [await running.ask(SHOP, f"Number {number}") for number in range(deaths)]
        position = 0
        for _ in range(deaths):
            started = await running.until(lambda item: isinstance(item.event.data, WorkStarted), after=position)
            assert isinstance(started.event.data, WorkStarted)
            await asyncio.sleep(chance.uniform(0, STEPS * PAUSE_SECONDS + 0.5))  # any moment of the run, or after it
            position, victim = started.position, running.rig.supervisor.pid(started.event.data.agent)
            if victim is not None:
                with suppress(ProcessLookupError):  # dead since the time before, and nobody has noticed yet
                    os.kill(victim, signal.SIGKILL)
        for issue in issues:
            end = await running.end_of(issue)
            assert isinstance(end.event.data, IssueDone), end.event.data
        log = await running.log()
        await settled(running)
        finished_once(log, path, deaths)
        nothing_left_behind(tmp_path / "home", path, ledger)


async def test_one_that_was_frozen_moves_nothing_with_its_late_push(tmp_path: Path) -> None:
    """It is stopped in the very middle of its push, after it has made sure that the work is its own."""
    path, ledger = new_repository(tmp_path / "repository", {"README": "x\n"}), tmp_path / "ledger"
    caught, released = tmp_path / "caught", tmp_path / "released"
    hook = path / ".git" / "hooks" / "pre-receive"
    catch = f"mkdir {tmp_path}/first 2>/dev/null || exit 0; ps -o sid= -p $$ > {caught}.new; mv {caught}.new {caught}"
    hook.write_text(f"#!/bin/sh\n{catch}\nwhile [ ! -e {released} ]; do sleep 0.05; done\n")
    hook.chmod(0o755)
    async with shop(tmp_path, coder=coder(ledger), agents=2) as running:
        await running.serve(SHOP, path, "test -f work-1.txt")
        issue = await running.ask(SHOP, "Frozen")
        await until(caught.exists)
        frozen = int(caught.read_text())  # a role is the leader of its session
        (name,) = (name for name in running.rig.agents if running.rig.supervisor.pid(name) == frozen)
        everybody = set(sessions.members(frozen))
        for pid in everybody:
            with suppress(ProcessLookupError):  # the hook's sleep ends by itself
                os.kill(pid, signal.SIGSTOP)
        claims = [item.event.data for item in await running.log() if isinstance(item.event.data, WorkStarted)]
        late = next(claim for claim in reversed(claims) if claim.agent == name)
        end = await running.end_of(issue)
        assert isinstance(end.event.data, IssueDone), end.event.data
        main = git(path, "rev-parse", "main")
        released.touch()
        for pid in everybody - {frozen}:  # git first: who started it would end it as soon as it heard
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        await until(lambda: bool(git(path, "branch", "--list", late.branch)))
        os.kill(frozen, signal.SIGCONT)
        await settled(running)
        log = await running.log()
        finished_once(log, path, 1)
        nothing_left_behind(tmp_path / "home", path, ledger)

    pushes = [item.event.data for item in log if isinstance(item.event.data, WorkPushed)]
    assert late.run not in {push.run for push in pushes}
    assert git(path, "rev-parse", "main") == main, "what it pushed late is on a branch that nobody merges"
    assert not git(path, "branch", "--list", late.branch, "--merged", "main")


def finished_once(log: Sequence[Recorded], path: Path, count: int) -> None:
    """Each issue is merged once, and no epoch has two ends."""
    assert sum(isinstance(item.event.data, Merged) for item in log) == count
    assert git(path, "rev-list", "--count", "--first-parent", "--merges", "main") == str(count)
    assert sum(isinstance(item.event.data, IssueDone) for item in log) == count
    ends = Counter(
        (item.event.about, item.event.data.epoch)
        for item in log
        if isinstance(item.event.data, WorkPushed | WorkFailed)  # also what the fold of ownership would ignore
    )
    assert ends
    assert set(ends.values()) == {1}
    assert replay(history_of(log)).differences == ()


async def settled(running: Shop) -> None:
    """Every replica is there again, and has put away what it had in its hands."""
    worktrees = running.rig.home.agents
    while any(worktrees.glob("*/*/*/worktrees/rig/*/*")):  # noqa: ASYNC110 - the files' fact
        await asyncio.sleep(0.02)


def nothing_left_behind(home: Path, path: Path, ledger: Path) -> None:
    """No worktree is left, and every commit that a coder ever made is in the repository or kept in a cache."""
    caches = list((home / "agents").glob("*/*/*/cache.git"))
    held = {commit for place in (path, *caches) for commit in git(place, "rev-list", "--all").split()}
    assert set(ledger.read_text().split()) <= held
    for cache in caches:
        assert len(git(cache, "worktree", "list").splitlines()) == 1, "the cache knows of itself alone"
        assert git(cache, "for-each-ref", "refs/heads") == ""
