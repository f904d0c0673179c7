"""The local forge that dies, is there twice, or starts again: on a real log and real repositories."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from bridges.local import merging, shell
from bridges.local.repository import all_branches
from deploy.embedded.nats import NatsServer
from machine import sessions
from schemas import (
    Actor,
    ChecksPassed,
    Merged,
    MergeRefused,
    PullRequestOpened,
    RepositoryAdded,
    RepositoryConfigured,
)
from tests.support.forge import ISSUE, SHOP, Rig, Serving, asking, data, forge, until
from tests.support.project import commit

# ── crashes ──────────────────────────────────────────────────────────────────


async def test_a_forge_that_dies_while_checking_checks_again(rig: Rig, nats: NatsServer) -> None:
    alive = rig.project.path.parent / "alive"
    os.mkfifo(alive)
    async with forge(rig, nats) as first:
        await rig.add_repository(f"echo > {alive}; read go < {alive}")
        await rig.work({"total.py": "fixed\n"})
        await asyncio.to_thread(alive.read_text)
        await first.kill()
    async with forge(rig, nats):
        await asyncio.to_thread(alive.read_text)
        await asyncio.to_thread(alive.write_text, "go\n")
        await rig.hear(ChecksPassed)
    assert len(await rig.everything(PullRequestOpened)) == 1
    assert len(await rig.everything(RepositoryConfigured)) == 1


async def test_a_forge_that_dies_between_merging_and_saying_so_says_it_when_it_is_back(
    rig: Rig, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed = asyncio.Event()

    async def dies(*_: object) -> int:
        landed.set()
        return await asyncio.Future()

    async with forge(rig, nats) as first:
        await rig.add_repository("true")
        await rig.work({"total.py": "fixed\n"})
        passed = data(await rig.hear(ChecksPassed), ChecksPassed)
        with monkeypatch.context() as patch:
            patch.setattr(shell.LocalForge, "_say", dies)
            await rig.ask_merge(passed)
            await landed.wait()
            await first.kill()
    merge = await rig.project.base()
    later = await rig.project.move_base({"later": "x\n"})
    async with forge(rig, nats):
        merged = data(await rig.hear(Merged), Merged)
    assert (merged.merge_sha, merged.base_sha) == (merge, passed.base_sha)
    assert await rig.project.base() == later, "merged once"


async def test_branches_that_a_dead_forge_left_are_deleted_at_the_start(rig: Rig, nats: NatsServer) -> None:
    async with forge(rig, nats):
        await rig.add_repository("true")
        await rig.work({"total.py": "fixed\n"})
        await rig.ask_merge(data(await rig.hear(ChecksPassed), ChecksPassed))
        await rig.hear(Merged)
    await rig.project.work("rig/1/1-r1", {"late": "x\n"})
    await rig.project.work("rig/1/1-of-a-former-rig", {"other": "x\n"})
    await rig.project.work("rig/2/1-other", {"other": "x\n"})
    async with forge(rig, nats):
        await until(rig.has_no_branch("rig/1/1-r1"))
    assert not await rig.has_no_branch("rig/1/1-of-a-former-rig")()
    assert not await rig.has_no_branch("rig/2/")()


async def test_a_branch_that_the_log_does_not_know_is_nobodys_to_move(rig: Rig, serving: Serving) -> None:
    await rig.add_repository("true")
    former = await rig.project.work("rig/1-fix-the-total", {"total.py": "of a former rig\n"})
    await rig.work({"total.py": "fixed\n"})
    opened = data(await rig.hear(PullRequestOpened), PullRequestOpened)
    assert opened.branch == "rig/1-fix-the-total-1-r1"
    branches = await all_branches(rig.project.path)
    assert (branches["rig/1-fix-the-total"], branches[opened.branch]) == (former, opened.head_sha)
    persons = await rig.project.work(opened.branch, {"mine": "x\n"}, on=opened.branch)
    await rig.ask_merge(data(await rig.hear(ChecksPassed), ChecksPassed))
    await rig.hear(Merged)
    await until(rig.has_no_branch("rig/1/1-r1"))
    branches = await all_branches(rig.project.path)
    assert branches == {"rig/1-fix-the-total": former, opened.branch: persons}


async def test_two_forges_say_everything_once(rig: Rig, nats: NatsServer) -> None:
    async with forge(rig, nats), forge(rig, nats):
        await rig.add_repository("true")
        await rig.work({"total.py": "fixed\n"})
        await rig.ask_merge(data(await rig.hear(ChecksPassed), ChecksPassed))
        await rig.hear(Merged)
        added = await asyncio.gather(*(rig.ask(asking(f"r-{n}")) for n in range(10)))
    assert sorted(answer.issue.number for answer in added) == list(range(2, 12))
    for kind in (RepositoryConfigured, PullRequestOpened, ChecksPassed, Merged):
        assert len(await rig.everything(kind)) == 1


async def test_two_forges_do_not_take_each_others_merge_for_somebodys_changes(checkout: Rig, nats: NatsServer) -> None:
    await checkout.project.move_base({f"f{n}": "1\n" * 50 for n in range(400)})
    async with forge(checkout, nats), forge(checkout, nats):
        await checkout.add_repository("true")
        await checkout.work({f"f{n}": "2\n" * 50 for n in range(400)})
        await checkout.ask_merge(data(await checkout.hear(ChecksPassed), ChecksPassed))
        await checkout.hear(Merged)
    assert await checkout.everything(MergeRefused) == []
    assert len(await checkout.everything(Merged)) == 1
    assert await checkout.project.git.run("status", "--porcelain") == ""


_FORGE = """
import asyncio, sys
from pathlib import Path
from bridges.local import shell
from bus import Bus
from machine.lifecycle import Lifecycle
from schemas import Actor

async def main(url, key, scratch):
    async with await Bus.connect(url, actor=Actor.LOCAL, source="local", key=Path(key)) as bus:
        await shell.run(bus, Lifecycle(), scratch=Path(scratch))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_push_that_outlives_its_forge_is_waited_for_by_the_next(
    checkout: Rig, nats: NatsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pushing, go, waiting = tmp_path / "pushing", tmp_path / "go", asyncio.Event()
    os.mkfifo(pushing)
    os.mkfifo(go)
    hook = Path(await checkout.project.git.run("rev-parse", "--absolute-git-dir")) / "hooks" / "update"
    only_once = f"[ $1 = refs/heads/main ] && [ ! -e {tmp_path}/once ]"
    hook.write_text(f"#!/bin/sh\nif {only_once}; then touch {tmp_path}/once; echo > {pushing}; read go < {go}; fi\n")
    hook.chmod(0o755)
    arguments = ("-c", _FORGE, nats.url, str(nats.key(Actor.LOCAL)), str(checkout.scratch))
    first = await asyncio.create_subprocess_exec(sys.executable, *arguments, start_new_session=True)
    await checkout.add_repository("true")
    await checkout.work({"total.py": "fixed\n"})
    await checkout.ask_merge(data(await checkout.hear(ChecksPassed), ChecksPassed))
    await asyncio.to_thread(pushing.read_text)
    await sessions.sweep(first.pid)
    await first.wait()
    try_lock = merging._locked  # pyright: ignore[reportPrivateUsage]

    def locked(lock: int) -> bool:
        got = try_lock(lock)
        if not got:
            waiting.set()
        return got

    monkeypatch.setattr(merging, "_locked", locked)
    async with forge(checkout, nats):
        await waiting.wait()
        await asyncio.to_thread(go.write_text, "go\n")
        merged = data(await checkout.hear(Merged), Merged)
    assert merged.merge_sha == await checkout.project.base()
    assert len(await checkout.everything(Merged)) == 1
    assert await checkout.everything(MergeRefused) == []
    assert await checkout.project.git.run("status", "--porcelain") == ""


# ── a repository that changes ────────────────────────────────────────────────


async def test_a_repository_that_comes_back_is_served_then(
    rig: Rig, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "PAUSE_SECONDS", 0.05)
    away = rig.project.path.with_name("away")
    rig.project.path.rename(away)
    async with forge(rig, nats):
        added = RepositoryAdded(clone_url=str(rig.project.path), check="true", by="ada")
        await rig.say(Actor.CLI, added, SHOP)
        assert (await rig.ask(asking("r-1"))).issue == ISSUE, "others are served meanwhile"
        away.rename(rig.project.path)
        await rig.hear(RepositoryConfigured, SHOP)


async def test_the_base_branch_stays_whatever_is_checked_out_at_a_restart_unless_it_is_gone(
    rig: Rig, nats: NatsServer
) -> None:
    async with forge(rig, nats):
        await rig.add_repository("true")
    (only,) = await rig.everything(RepositoryConfigured)
    head = await commit(rig.project.agent, {"x": "x\n"})
    await rig.project.agent.run("push", "-q", "origin", "HEAD:refs/heads/trunk")
    await rig.project.git.run("symbolic-ref", "HEAD", "refs/heads/trunk")
    async with forge(rig, nats):
        await rig.work({"total.py": "fixed\n"})
        await rig.ask_merge(data(await rig.hear(ChecksPassed), ChecksPassed))
        await rig.hear(Merged)
    assert await rig.everything(RepositoryConfigured) == [only]
    await rig.project.git.run("branch", "-D", "main")
    async with forge(rig, nats):
        anew = await rig.hear(RepositoryConfigured, SHOP, after=only.position)
    configured = data(anew, RepositoryConfigured)
    assert (configured.base_branch, configured.base_sha) == ("trunk", head)
