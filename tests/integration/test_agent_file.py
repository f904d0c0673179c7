"""`.rig-agent.yaml` in a repository: read from its base branch alone, and what is wrong with it is not hidden."""

import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bridges.local.repository import BadAgentFile, said_by
from deploy.embedded.nats import NatsServer
from schemas import (
    Actor,
    ChecksPassed,
    Delivery,
    Environment,
    Merged,
    Overrides,
    Recorded,
    RepositoryAdded,
    RepositoryConfigured,
)
from tests.support.forge import SHOP, Connect, Rig, Serving, data, forge, new_rig, until
from tests.support.project import Project, new_project
from tests.support.terminal import Terminal

FILE = ".rig-agent.yaml"
GOOD = "stack: [python]\ntools: [node]\ntest: sh test.sh\nbuild: make\nescalate: the shop's team\n"


@pytest.fixture
async def project(tmp_path: Path) -> Project:
    return await new_project(tmp_path, "bare")


@pytest.fixture
async def rig(tmp_path: Path, connect: Connect) -> Rig:
    return await new_rig(tmp_path, connect, "bare")


@pytest.fixture
async def serving(rig: Rig, nats: NatsServer) -> AsyncGenerator[Serving]:
    async with forge(rig, nats) as serving:
        yield serving


# ── in git ───────────────────────────────────────────────────────────────────


async def test_it_is_read_from_the_commit(project: Project) -> None:
    assert (await said_by(project.path, await project.base())).tools == ()
    base = await project.move_base({FILE: GOOD})
    await project.work("rig/1/1-r1", {FILE: "tools: [everything]\n"})
    assert (await said_by(project.path, base)).tools == ("node",)


async def test_a_link_a_directory_and_too_much_are_refused(project: Project) -> None:
    (project.agent.directory / FILE).symlink_to("/etc/passwd")
    with pytest.raises(BadAgentFile, match="it is no file"):
        await said_by(project.path, await project.work("link", {}))
    (project.agent.directory / FILE).unlink(missing_ok=True)
    with pytest.raises(BadAgentFile, match="it is no file"):
        await said_by(project.path, await project.work("directory", {f"{FILE}/x": "y"}))
    with pytest.raises(BadAgentFile, match="70001 bytes, at most 65536 are read"):
        await said_by(project.path, await project.work("much", {FILE: "#" * 70_000 + "\n"}))


# ── on the log ───────────────────────────────────────────────────────────────


def added(rig: Rig) -> RepositoryAdded:
    return RepositoryAdded(
        clone_url=str(rig.project.path),
        check="true",
        capabilities=("docker",),
        overrides=Overrides(in_progress_max=2, delivery=Delivery(environment=Environment.STAGING)),
        by="ada",
    )


async def configured(rig: Rig, after: int) -> RepositoryConfigured:
    return data(await rig.hear(RepositoryConfigured, SHOP, after=after), RepositoryConfigured)


async def merge(rig: Rig, files: dict[str, str], epoch: int, number: int) -> Recorded:
    about = rig.issue(number)
    position = await rig.work(files, epoch, f"r{number}", about)
    await rig.ask_merge(data(await rig.hear(ChecksPassed, about, after=position), ChecksPassed), epoch, about)
    return await rig.hear(Merged, about, after=position)


async def test_what_it_says_holds_and_holds_anew_once_a_merge_has_changed_it(rig: Rig, serving: Serving) -> None:
    await rig.project.move_base({FILE: GOOD})
    position = await rig.say(Actor.CLI, added(rig), SHOP)
    first = await configured(rig, position)
    assert (first.stack, first.capabilities, first.build, first.escalate, first.check, first.overrides) == (
        ("python",),
        ("docker", "node"),
        "make",
        "the shop's team",
        "true",
        added(rig).overrides,
    )
    await merge(rig, {"total.py": "fixed\n"}, 1, 1)
    merged = await merge(rig, {FILE: "tools: [docker, go]\n"}, 1, 2)
    second = await rig.hear(RepositoryConfigured, SHOP, after=merged.position)
    assert second.event.causationid == merged.event.id
    says = data(second, RepositoryConfigured)
    assert (says.base_sha, says.stack, says.capabilities) == (data(merged, Merged).merge_sha, (), ("docker", "go"))
    assert len(await rig.everything(RepositoryConfigured)) == 2, "not after a merge that changes nothing of it"


async def test_with_a_bad_one_a_repository_stays_as_it_was_and_the_forge_is_not_ready(
    rig: Rig, serving: Serving, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridges.local.shell.PAUSE_SECONDS", 0.01)
    await rig.project.move_base({FILE: GOOD})
    await rig.say(Actor.CLI, added(rig), SHOP)
    await rig.hear(RepositoryConfigured, SHOP)
    name = f"{FILE} of demo/shop"

    async def bad() -> bool:
        return name in serving.life.checks and not serving.life.checks[name].ok

    async def mended() -> bool:
        return serving.life.checks[name].ok

    with caplog.at_level(logging.WARNING):
        merged = await merge(rig, {FILE: "tools: [docker\n"}, 1, 1)
        await until(bad)
    detail = serving.life.checks[name].detail
    assert data(merged, Merged).merge_sha[:12] in detail
    assert "not YAML" in detail
    assert detail in caplog.text
    assert not serving.life.is_ready
    assert len(await rig.everything(RepositoryConfigured)) == 1
    await merge(rig, {"total.py": "work goes on\n"}, 1, 2)
    await rig.project.move_base({FILE: "tools: [docker, go]\n"})
    says = await configured(rig, merged.position)
    assert says.capabilities == ("docker", "go")
    await until(mended)


async def test_a_repository_is_not_served_before_its_first_one_is_right(
    rig: Rig, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridges.local.shell.PAUSE_SECONDS", 0.01)
    await rig.project.move_base({FILE: "tol: x\n"})
    await rig.say(Actor.CLI, added(rig), SHOP)
    name = f"{FILE} of demo/shop"

    async def bad() -> bool:
        return name in serving.life.checks

    await until(bad)
    assert await rig.everything(RepositoryConfigured) == []
    await rig.project.move_base({FILE: GOOD})
    assert (await configured(rig, 0)).capabilities == ("docker", "node")


# ── rig repo add ─────────────────────────────────────────────────────────────


async def test_rig_repo_add_takes_its_check_and_says_what_differs_here(
    rig: Rig, serving: Serving, nats: NatsServer
) -> None:
    terminal, path = Terminal(nats), str(rig.project.path)
    options = ("repo", "add", path, "--name", "demo/shop")
    missing = await terminal(*options)
    assert (missing.code, "no `test` stands in .rig-agent.yaml" in missing.err) == (2, True)
    await rig.project.move_base({FILE: GOOD})
    own = ("--capability", "docker", "--in-progress-max", "2", "--day-usd", "7.5", "--deployment", "staging")
    said = await terminal(*options, *own)
    assert said.code == 0, said.err
    says = await configured(rig, 0)
    assert (says.check, says.capabilities) == ("sh test.sh", ("docker", "node"))
    delivery = Delivery(environment=Environment.STAGING)
    assert says.overrides == Overrides(in_progress_max=2, day_usd=7.5, delivery=delivery)
    assert (await terminal(*options, *own)).code == 0
    assert len(await rig.everything(RepositoryAdded)) == 1, "what is so already is not said again"
    assert (await terminal(*options, "--check", "true")).code == 0
    last = data((await rig.everything(RepositoryConfigured))[-1], RepositoryConfigured)
    assert (last.check, last.capabilities, last.overrides) == ("true", ("node",), None)


async def test_rig_repo_add_refuses_a_bad_one_with_all_that_is_wrong(rig: Rig, nats: NatsServer) -> None:
    base = await rig.project.move_base({FILE: "tol: x\nbuild: yes\n"})
    refused = await Terminal(nats)("repo", "add", str(rig.project.path), "--check", "true")
    assert refused.code == 2
    first, *problems = refused.err.splitlines()
    assert first == f"rig: .rig-agent.yaml at {base[:12]} of {rig.project.path}:"
    assert [problem.split(":")[0].strip() for problem in problems] == ["tol", "build"]
    wrong = await Terminal(nats)("repo", "add", str(rig.project.path), "--check", "true", "--day-usd", "-1")
    assert (wrong.code, "overrides: " in wrong.err) == (2, True)
    await rig.project.move_base({FILE: GOOD})
    never = ("repo", "add", str(rig.project.path), "--check", "true", "--day-usd", "1.9", "--in-progress-max", "0")
    refused = await Terminal(nats)(*never)
    assert refused.code == 2, "under the policy in force a run costs $2"
    assert [line.strip() for line in refused.err.splitlines()] == [
        "rig: repository:",
        "overrides.in_progress_max: 0: no work could ever begin",
        "overrides.day_usd: 1.9 is less than budget.run_usd (2): no run could ever begin",
    ]
    assert await rig.everything(RepositoryAdded) == []
