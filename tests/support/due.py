"""A log in the making as the GitHub bridge folds it: for what is due, without any server."""

from datetime import UTC, datetime

from bridges.github.courtesy import Courtesy, courtesy
from bridges.github.known import Known
from bridges.github.plan import due
from schemas import (
    Actor,
    ChecksPassed,
    Conclusion,
    Draft,
    EffectRecorded,
    Event,
    FailedCheck,
    Forge,
    IssueApproved,
    IssueDone,
    IssueRef,
    Merged,
    MergeRequested,
    PullRequestOpened,
    Recorded,
    Ref,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    envelope,
)
from tests.support.saying import assigned, pushed, started

SHOP = RepoRef("acme", "shop")
ISSUE = IssueRef("acme", "shop", 7)
AT = datetime(2030, 1, 1, tzinfo=UTC)
HEAD, HEAD_2, BASE, MERGE = ("9" * 40, "8" * 40, "3" * 40, "7" * 40)
ADDED = RepositoryAdded(forge=Forge.GITHUB, clone_url="https://github.com/acme/shop.git", check="make test", by="ada")
CONFIGURED = RepositoryConfigured(base_branch="main", base_sha=BASE, clone_url=ADDED.clone_url, check="make test")
PASSED = ChecksPassed(head_sha=HEAD, base_sha=BASE, checks=("test",))
MERGED = Merged(head_sha=HEAD, base_sha=BASE, merge_sha=MERGE)
FAILED = FailedCheck(name="push", conclusion=Conclusion.STARTUP_FAILURE)


class Log:
    """A log in the making: `say` appends and folds."""

    def __init__(self) -> None:
        self.known = Known()
        self.position = 0

    def say(self, actor: Actor, data: Event, about: Ref = ISSUE, *, cause: str | None = None) -> str:
        """Its id: `e<position>`."""
        self.position += 1
        id_ = f"e{self.position}"
        event = envelope(Draft(about=about, data=data, cause=cause), id=id_, actor=actor, source=actor.value, time=AT)
        self.known.apply(Recorded(self.position, AT, event))
        return id_

    def due(self, look: int = 0, about: IssueRef | RepoRef = ISSUE) -> object:
        return due(self.known, about, look)

    def serve(self) -> None:
        added = self.say(Actor.CLI, ADDED, SHOP)
        self.say(Actor.GITHUB, CONFIGURED, SHOP, cause=added)

    def approve(self) -> None:
        self.serve()
        self.say(Actor.GITHUB, IssueApproved(title="Fix the total", author="maria"))

    def claim(self, epoch: int = 1, run: str = "r-1") -> None:
        self.say(Actor.CONDUCTOR, assigned(epoch, epoch))
        self.say(Actor.DEV_E, started(epoch, run, number=7))

    def push(self, epoch: int = 1, run: str = "r-1", head: str = HEAD) -> str:
        self.claim(epoch, run)
        return self.say(Actor.DEV_E, pushed(epoch, run, head, 7))

    def open(self, push: str, head: str = HEAD, number: int = 12) -> str:
        shown = PullRequestOpened(pull_request=number, url="u", branch="rig/7-fix-it", head_sha=head, author="dev-e")
        return self.say(Actor.GITHUB, shown, cause=push)

    def shown(self) -> str:
        """Approved, pushed and opened; the push."""
        self.approve()
        push = self.push()
        self.open(push)
        return push

    def ask_merge(self, epoch: int = 1, head: str = HEAD) -> str:
        asked = MergeRequested(epoch=epoch, pull_request=12, head_sha=head, base_sha=BASE)
        return self.say(Actor.CONDUCTOR, asked)

    def done(self) -> str:
        return self.say(Actor.CONDUCTOR, IssueDone(duration_minutes=1.0, attempts=1, merge_sha=MERGE))

    def courtesies(self) -> dict[str, object]:
        """All that is due one after another, each recorded as done."""
        found: dict[str, object] = {}
        while (step := courtesy(self.known, ISSUE)) is not None:
            effect = step.effect
            assert effect not in found, "it is due again although it was recorded"
            found[effect] = step
            self.record(step)
        return found

    def record(self, step: Courtesy) -> None:
        self.say(Actor.GITHUB, EffectRecorded(effect=step.effect, key=step.key, outcome="done"))
