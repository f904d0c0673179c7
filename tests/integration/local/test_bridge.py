"""The local forge on a real log and real repositories; the test speaks for everybody else."""

import asyncio
import os
from typing import Any

import pytest

from bridges.local import shell
from bridges.local.effects import Effects
from bridges.local.plan import Check
from bridges.local.repository import all_branches
from bus import NoService, Refused
from deploy.embedded.nats import NatsServer
from machine.git import Git
from schemas import (
    FLEET,
    Actor,
    AssignReason,
    ChecksFailed,
    ChecksPassed,
    Conclusion,
    Event,
    IssueApproved,
    IssueAssigned,
    IssueRef,
    IssueWithdrawn,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    MergeRequested,
    Policy,
    PolicyAdopted,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    RepoRef,
    Stopped,
)
from tests.support.forge import ISSUE, Rig, Serving, asking, data, forge, until
from tests.support.project import DEV
from tests.support.saying import assigned, started

# ── the story ────────────────────────────────────────────────────────────────


async def test_an_owners_push_is_shown_checked_and_merged(rig: Rig, serving: Serving) -> None:
    await rig.add_repository("grep -q fixed total.py")
    base = await rig.project.base()
    pushed = await rig.work({"total.py": "fixed\n"})
    opened = await rig.hear(PullRequestOpened)
    request = data(opened, PullRequestOpened)
    assert (request.pull_request, request.branch, request.author) == (1, "rig/1-fix-the-total", "dev-e")
    assert await rig.project.git.run("rev-parse", "rig/1-fix-the-total") == request.head_sha
    passed = await rig.hear(ChecksPassed)
    verdict = data(passed, ChecksPassed)
    assert (verdict.head_sha, verdict.base_sha) == (request.head_sha, base)
    await rig.ask_merge(verdict)
    merged = await rig.hear(Merged)
    assert data(merged, Merged).merge_sha == await rig.project.base()
    message = await rig.project.git.run("log", "-1", "--format=%P%n%B", "main")
    assert message == f"{base} {request.head_sha}\nFix the total\n\nRig-Issue: demo/shop#1"
    assert [item.event.causationid for item in (opened, passed)] == ["dev-e-5", opened.event.id]
    assert pushed < opened.position < passed.position < merged.position
    await until(rig.has_no_branch("rig/"))


async def test_failed_checks_carry_the_end_of_their_log_and_a_newer_push_is_checked_anew(
    rig: Rig, serving: Serving
) -> None:
    await rig.add_repository("echo expected 3, got 4; grep -q fixed total.py")
    await rig.work({"total.py": "broken\n"})
    failed = await rig.hear(ChecksFailed)
    (check,) = data(failed, ChecksFailed).failed
    assert (check.name, check.conclusion, check.excerpt) == (
        "check",
        Conclusion.FAILURE,
        "expected 3, got 4\nexit code 1",
    )
    await rig.work({"total.py": "fixed\n"}, 2, "r2")
    updated = data(await rig.hear(PullRequestUpdated), PullRequestUpdated)
    assert updated.branch == "rig/1-fix-the-total"
    assert data(await rig.hear(ChecksPassed), ChecksPassed).head_sha == updated.head_sha


@pytest.mark.parametrize(
    ("command", "seconds", "conclusion"),
    [("sleep 60", 0.3, Conclusion.TIMED_OUT), ("yes | head -c 1000000000", 60, Conclusion.OUTPUT_LIMIT)],
)
async def test_a_check_that_hangs_or_prints_a_gigabyte_has_failed(
    checkout: Rig, nats: NatsServer, command: str, seconds: float, conclusion: Conclusion
) -> None:
    policy = Policy(check_wall_seconds=seconds, check_output_bytes=1_000_000)
    await checkout.say(Actor.CLI, PolicyAdopted(policy=policy, hash=policy.digest(), by="ada"), FLEET)
    async with forge(checkout, nats):
        await checkout.add_repository(command)
        await checkout.work({"a": "1\n"})
        (check,) = data(await checkout.hear(ChecksFailed), ChecksFailed).failed
    assert check.conclusion is conclusion
    assert check.excerpt.splitlines()[-1].startswith("stopped: it ")


# ── who is not the owner ─────────────────────────────────────────────────────


async def test_a_push_by_someone_else_is_ignored(rig: Rig, serving: Serving) -> None:
    await rig.add_repository("true")
    stranger = await rig.project.work("rig/1/1-r0", {"total.py": "mine\n"})
    await rig.push(stranger, run="r0")
    await rig.work({"total.py": "fixed\n"})
    assert data(await rig.hear(PullRequestOpened), PullRequestOpened).head_sha != stranger


async def test_a_head_that_was_never_pushed_is_answered_as_failed(rig: Rig, serving: Serving) -> None:
    await rig.add_repository("true")
    await rig.work({"total.py": "fixed\n"})
    await rig.say(Actor.CONDUCTOR, IssueAssigned(epoch=2, role="dev-e", attempt=2, reason=AssignReason.CHECKS_FAILED))
    await rig.say(Actor.DEV_E, started(2, "r2"))
    pushed = await rig.push("f" * 40, 2, "r2")
    (check,) = data(await rig.hear(ChecksFailed, after=pushed), ChecksFailed).failed
    assert (check.name, check.conclusion) == ("push", Conclusion.STARTUP_FAILURE)


async def test_work_that_brings_nothing_has_failed(rig: Rig, serving: Serving) -> None:
    await rig.add_repository("true")
    await rig.work({"total.py": "one\ntwo\nthree\n", "new": "x\n"})
    await rig.hear(ChecksPassed)
    position = await rig.say(Actor.CONDUCTOR, assigned(2, 2))
    await rig.say(Actor.DEV_E, started(2, "r2"))
    await rig.project.agent.run("push", "-q", "origin", "origin/main:refs/heads/rig/1/2-r2")
    await rig.push(await rig.project.base(), 2, "r2")
    (check,) = data(await rig.hear(ChecksFailed, after=position), ChecksFailed).failed
    assert (check.name, check.conclusion) == ("changes", Conclusion.FAILURE)


@pytest.mark.parametrize("what", ["epoch", "head", "stopped"])
async def test_only_the_owners_current_head_is_merged(rig: Rig, serving: Serving, what: str) -> None:
    await rig.add_repository("true")
    await rig.work({"total.py": "fixed\n"})
    passed = data(await rig.hear(ChecksPassed), ChecksPassed)
    base = await rig.project.base()
    if what == "stopped":
        await rig.say(Actor.CLI, Stopped(by="ada"))
    request = MergeRequested(
        epoch=2 if what == "epoch" else 1,
        pull_request=1,
        head_sha=base if what == "head" else passed.head_sha,
        base_sha=base,
    )
    await rig.say(Actor.CONDUCTOR, request)
    refused = data(await rig.hear(MergeRefused), MergeRefused)
    assert refused.reason is (MergeRefusal.HEAD_MOVED if what == "head" else MergeRefusal.NOT_OWNER)
    assert await rig.project.base() == base


# ── merged by hand ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["--ff", "--no-ff"])
@pytest.mark.parametrize("seen", ["when checking", "when merging"])
async def test_what_a_person_merged_is_merged(checkout: Rig, nats: NatsServer, how: str, seen: str) -> None:
    alive = checkout.project.path.parent / "alive"
    os.mkfifo(alive)
    async with forge(checkout, nats) as first:
        passed = None
        if seen == "when checking":
            await checkout.add_repository(f"echo > {alive}; sleep 60")
            await checkout.work({"total.py": "fixed\n"})
            await asyncio.to_thread(alive.read_text)
        else:
            await checkout.add_repository("true")
            await checkout.work({"total.py": "fixed\n"})
            passed = data(await checkout.hear(ChecksPassed), ChecksPassed)
        await first.kill()
    base = await checkout.project.base()
    await checkout.project.git.run("merge", "-q", how, "-m", "by hand", "rig/1/1-r1")
    now = await checkout.project.base()
    if passed:
        await checkout.ask_merge(passed)
    async with forge(checkout, nats):
        merged = data(await checkout.hear(Merged), Merged)
    assert merged.merge_sha == now == await checkout.project.base()
    assert merged.base_sha == (now if how == "--ff" else base)


async def test_what_a_person_squashed_is_told_plainly(checkout: Rig, nats: NatsServer) -> None:
    async with forge(checkout, nats):
        await checkout.add_repository("true")
        await checkout.project.work("rig/1/1-r1", {"total.py": "fixed\n"})
        await checkout.project.move_base({"total.py": "fixed\n", "other": "x\n"})
        head = (await all_branches(checkout.project.path))["rig/1/1-r1"]
        await checkout.say(Actor.CONDUCTOR, assigned())
        await checkout.say(Actor.DEV_E, started(1, "r1"))
        await checkout.push(head)
        (check,) = data(await checkout.hear(ChecksFailed), ChecksFailed).failed
    assert check.name == "changes"
    assert "(a squash, a cherry-pick), withdraw the issue" in check.excerpt


# ── what stands in the way of a merge ────────────────────────────────────────


async def test_when_the_base_has_moved_it_is_refused_and_checked_again(rig: Rig, serving: Serving) -> None:
    await rig.add_repository("true")
    await rig.work({"total.py": "fixed\n"})
    passed = data(await rig.hear(ChecksPassed), ChecksPassed)
    moved = await rig.project.move_base({"other": "x\n"})
    await rig.ask_merge(passed)
    refused = await rig.hear(MergeRefused)
    assert data(refused, MergeRefused).reason is MergeRefusal.BASE_MOVED
    again = await rig.hear(ChecksPassed, after=refused.position)
    assert data(again, ChecksPassed).base_sha == moved
    await rig.ask_merge(data(again, ChecksPassed))
    assert data(await rig.hear(Merged), Merged).base_sha == moved


async def test_a_conflict_is_told_when_checks_are_due(rig: Rig, serving: Serving) -> None:
    await rig.add_repository("true")
    head = await rig.project.work("rig/1/1-r1", {"total.py": "mine\n"})
    base = await rig.project.move_base({"total.py": "theirs\n"})
    await rig.say(Actor.CONDUCTOR, assigned())
    await rig.say(Actor.DEV_E, started(1, "r1"))
    await rig.push(head)
    conflict = data(await rig.hear(MergeConflicted), MergeConflicted)
    assert (conflict.head_sha, conflict.base_sha, conflict.paths) == (head, base, ("total.py",))


async def test_a_dirty_checkout_is_refused_by_name_until_it_is_clean(checkout: Rig, nats: NatsServer) -> None:
    async with forge(checkout, nats):
        await checkout.add_repository("true")
        await checkout.work({"total.py": "fixed\n"})
        passed = data(await checkout.hear(ChecksPassed), ChecksPassed)
        (checkout.project.path / "total.py").write_text("mine\n")
        await checkout.ask_merge(passed)
        refused = data(await checkout.hear(MergeRefused), MergeRefused)
        assert refused.reason is MergeRefusal.DIRTY_CHECKOUT
        assert f"{checkout.project.path} has changes of its own on main (total.py)" in refused.detail
        await checkout.project.git.run("checkout", "-q", "--", "total.py")
        await checkout.ask_merge(passed)
        await checkout.hear(Merged)
    assert (checkout.project.path / "total.py").read_text() == "fixed\n"


async def test_what_stands_in_the_way_is_told_however_long_its_names_are(checkout: Rig, nats: NatsServer) -> None:
    long = "/".join(["n" * 200] * 5)
    async with forge(checkout, nats):
        await checkout.add_repository("true")
        await checkout.project.move_base({f"{long}/f{n}": "x\n" for n in range(10)})
        await checkout.work({"total.py": "fixed\n"})
        passed = data(await checkout.hear(ChecksPassed), ChecksPassed)
        for n in range(10):
            (checkout.project.path / long / f"f{n}").write_text("mine\n")
        (checkout.project.path / "total.py").write_text("mine\n")
        await checkout.ask_merge(passed)
        refused = data(await checkout.hear(MergeRefused), MergeRefused)
    assert refused.reason is MergeRefusal.DIRTY_CHECKOUT
    assert f"{checkout.project.path} has changes of its own" in refused.detail


async def test_a_withdrawn_issues_pull_request_is_closed_and_its_check_stopped(rig: Rig, serving: Serving) -> None:
    alive = rig.project.path.parent / "alive"
    os.mkfifo(alive)
    await rig.add_repository(f"echo > {alive}; sleep 60")
    await rig.work({"total.py": "fixed\n"})
    await rig.hear(PullRequestOpened)
    await asyncio.to_thread(alive.read_text)
    await rig.say(Actor.CLI, IssueWithdrawn(by="ada"))
    await rig.hear(PullRequestClosed)
    assert await rig.everything(ChecksFailed) == []


# ── trouble ──────────────────────────────────────────────────────────────────


async def test_a_commit_of_any_date_is_checked_and_merged(rig: Rig, serving: Serving) -> None:
    await rig.add_repository("true")
    rig.project.agent = Git(
        rig.project.agent.directory, env={**DEV.environment(), "GIT_COMMITTER_DATE": "@99999999999999 +0000"}
    )
    await rig.work({"total.py": "fixed\n"})
    await rig.ask_merge(data(await rig.hear(ChecksPassed), ChecksPassed))
    merged = data(await rig.hear(Merged), Merged)
    assert await rig.project.base() == merged.merge_sha


async def test_a_bug_met_by_one_issue_is_seen_and_tried_again_and_others_are_served(
    rig: Rig, nats: NatsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shell, "PAUSE_SECONDS", 0.05)
    perform, struck = Effects.perform, asyncio.Event()

    async def fails_once(*arguments: Any) -> Event | None:
        if isinstance(arguments[1], Check) and not struck.is_set():
            struck.set()
            raise ZeroDivisionError("a bug")
        return await perform(*arguments)

    monkeypatch.setattr(Effects, "perform", fails_once)
    async with forge(rig, nats):
        await rig.add_repository("true")
        await rig.work({"total.py": "fixed\n"})
        await rig.hear(ChecksPassed)
    (said,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert said.exc_info is not None
    assert said.getMessage() == "demo/shop#1: Check; again in 0.05 s: a bug"


# ── new issues ───────────────────────────────────────────────────────────────


async def test_issues_are_numbered_in_order_and_a_request_counts_once(rig: Rig, serving: Serving) -> None:
    await rig.add_repository("true")
    first = await rig.ask(asking("r-1", body="It is wrong.", depends_on=(IssueRef("demo", "shop", 9),)))
    second = await rig.ask(asking("r-2"))
    assert [first.issue.number, second.issue.number] == [1, 2]
    assert await rig.ask(asking("r-1")) == first, "asked again: the same issue"
    approved = await rig.hear(IssueApproved)
    assert (approved.position, approved.event.actor) == (first.position, "local")
    assert data(approved, IssueApproved).body == "It is wrong."
    assert len(await rig.everything(IssueApproved)) == 2


async def test_a_request_is_known_after_a_restart_and_numbers_go_on(rig: Rig, nats: NatsServer) -> None:
    async with forge(rig, nats):
        await rig.add_repository("true")
        first = await rig.ask(asking("r-1"))
    await rig.say(Actor.CLI, IssueApproved(title="by hand", author="ada"), IssueRef("demo", "shop", 7))
    with pytest.raises(NoService):
        await rig.ask(asking("r-2"))
    async with forge(rig, nats):
        assert await rig.ask(asking("r-1")) == first
        assert (await rig.ask(asking("r-2"))).issue.number == 8


async def test_a_request_that_cannot_be_met_says_why(rig: Rig, serving: Serving) -> None:
    await rig.add_repository("true")
    for request, message in [
        (asking("r-1", repository=RepoRef("demo", "other")), r"demo/other is not under this rig.*rig repo add"),
        (asking("r-2", depends_on=(ISSUE,)), r"the new issue is demo/shop#1: it cannot depend on itself"),
        (asking("r-3", base_branch="gone"), r"no branch gone"),
        (asking("r-4", title="x" * 10_000), r"title"),
        (asking("r-5", title="a\x1b[2Jb"), r"title"),
    ]:
        with pytest.raises(Refused, match=message):
            await rig.ask(request)
    assert await rig.everything(IssueApproved) == []
