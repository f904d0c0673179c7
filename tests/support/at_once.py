"""A replica and a forge that do at once whatever they are asked to: on a real bus, for what is about the conductor."""

from bus import Bus
from schemas import (
    FLEET,
    Actor,
    AgentJoined,
    AgentRef,
    Changes,
    ChecksPassed,
    Draft,
    IssueApproved,
    IssueAssigned,
    IssueRef,
    Merged,
    MergeRequested,
    Policy,
    PolicyAdopted,
    PullRequestOpened,
    Recorded,
    RepoRef,
    RepositoryConfigured,
    WorkPushed,
    WorkStarted,
    event_id,
)

REPOSITORY = RepoRef("demo", "shop")
BASE = "b" * 40


async def set_the_scene(cli: Bus, local: Bus, agent: Bus, *, slots: int, policy: Policy | None = None) -> None:
    """A policy, a repository, and one replica."""
    policy = policy or Policy()
    adopted = PolicyAdopted(policy=policy, hash=policy.digest(), by="ada")
    await cli.log.publish(Draft(about=FLEET, data=adopted), "cli:policy")
    configured = RepositoryConfigured(base_branch="main", base_sha=BASE, clone_url="x", check="true")
    await local.log.publish(Draft(about=REPOSITORY, data=configured), "local:configured")
    joined = AgentJoined(boot="b1", role="dev-e", provider="none", slots=slots, version="0")
    await agent.log.publish(Draft(about=AgentRef("dev-e-1"), data=joined), "dev-e:joined")


def issue(number: int) -> IssueRef:
    return IssueRef(REPOSITORY.owner, REPOSITORY.repo, number)


async def approve(local: Bus, number: int) -> int:
    """Approves an issue; its position."""
    approved = IssueApproved(title=f"Issue {number}", author="ada")
    return await local.log.publish(Draft(about=issue(number), data=approved), event_id(Actor.LOCAL, number))


async def agent_works(bus: Bus) -> None:
    """Claims and pushes whatever is assigned, at once."""
    async with bus.log.follow(["rig.issue.*.*.*.conductor.assigned.dev-e"]) as reader:
        async for item in reader:
            assert isinstance(item, Recorded)
            assert isinstance(item.event.data, IssueAssigned)
            epoch, about = item.event.data.epoch, item.event.about
            assert isinstance(about, IssueRef)
            run, branch = f"r-{about.number}-{epoch}", f"rig/{about.number}/{epoch}-r"
            started = WorkStarted(epoch=epoch, run=run, agent="dev-e-1", branch=branch, session="s", provider="none")
            await bus.log.publish(Draft(about=about, data=started), event_id(Actor.DEV_E, run, "started"))
            head = f"{about.number:040x}"
            pushed = WorkPushed(
                epoch=epoch, run=run, branch=branch, head_sha=head, title="t", body="", files_changed=1, lines_changed=1
            )
            await bus.log.publish(Draft(about=about, data=pushed), event_id(Actor.DEV_E, run, "pushed"))


async def forge_answers(bus: Bus) -> None:
    """Opens, checks and merges whatever it is asked to, at once."""
    async with bus.log.follow(["rig.issue.>"]) as reader:
        async for item in reader:
            assert isinstance(item, Recorded)
            about, data = item.event.about, item.event.data
            assert isinstance(about, IssueRef)
            if isinstance(data, WorkPushed):
                opened = PullRequestOpened(
                    pull_request=about.number,
                    url="",
                    branch="rig/x",
                    head_sha=data.head_sha,
                    author="dev-e",
                    changes=Changes(files=1, lines=1, paths=("cart.py",)),
                )
                passed = ChecksPassed(head_sha=data.head_sha, base_sha=BASE, checks=("check",))
                await bus.log.publish(Draft(about=about, data=opened), event_id(Actor.LOCAL, str(about), "opened"))
                await bus.log.publish(Draft(about=about, data=passed), event_id(Actor.LOCAL, str(about), "passed"))
            elif isinstance(data, MergeRequested):
                merged = Merged(head_sha=data.head_sha, base_sha=data.base_sha, merge_sha="c" * 40)
                await bus.log.publish(Draft(about=about, data=merged), event_id(Actor.LOCAL, str(about), "merged"))
