"""A log in memory, and the translator beside it: deliveries go in, and what was said of them comes out."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from bridges.github.heard import Heard
from bridges.github.said import Answer, Question, Said, Translation
from bridges.github.translate import translate
from schemas import (
    Actor,
    Draft,
    Event,
    Forge,
    IssueRef,
    PullRequestOpened,
    Recorded,
    Ref,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    ReviewScope,
    WorkPushed,
    decode,
    encode,
    envelope,
)
from tests.support.github_payloads import START, sha

WEB = RepoRef("acme", "web")
ISSUE = IssueRef("acme", "web", 7)


class Desk:
    """`said` is what the translator said, in order."""

    def __init__(self) -> None:
        self.heard = Heard(self_login="rig[bot]")
        self.said: list[Event] = []
        self.last = Translation()
        self._log: list[Recorded] = []

    def deliver(self, event: str, body: bytes, answers: Mapping[Question, Answer] | None = None) -> list[Event]:
        """Translates one delivery and says what comes of it."""
        self.last = translate(event, body, self.heard, answers or {})
        return self.take(self.last)

    def take(self, found: Translation | tuple[Said, ...]) -> list[Event]:
        """Says what a translation found."""
        said = found if isinstance(found, tuple) else found.said
        for one in said:
            self._record(one.draft, one.id, Actor.GITHUB)
        if isinstance(found, Translation):
            self.heard.see(found.seen)
        told = [one.draft.data for one in said]
        self.said += told
        return told

    def say(self, about: Ref, data: Event, actor: Actor, second: float = 0) -> None:
        """What somebody else says."""
        draft = Draft(about=about, data=data, time=START + timedelta(seconds=second))
        self._record(draft, f"{actor}:{len(self._log)}", actor)

    def _record(self, draft: Draft, id_: str, actor: Actor) -> None:
        at: datetime = draft.time or START
        document = encode(envelope(draft, id=id_, actor=actor, source=str(actor), time=at))
        self._log.append(Recorded(len(self._log) + 1, at, decode(document)))
        self.heard.apply(self._log[-1])

    def of(self, kind: type[Event]) -> set[str]:
        """Ids of the events of a kind."""
        return {recorded.event.id for recorded in self._log if isinstance(recorded.event.data, kind)}

    def refolded(self) -> Heard:
        """What a bridge knows that starts anew."""
        heard = Heard(self_login=self.heard.self_login)
        for recorded in self._log:
            heard.apply(recorded)
        return heard


def desk(*, reviewers: tuple[str, ...] = (), reviews: ReviewScope = ReviewScope.RIG, configured: bool = True) -> Desk:
    """With acme/web under the rig."""
    it = Desk()
    added = RepositoryAdded(
        forge=Forge.GITHUB, clone_url="https://github.com/acme/web.git", check="true", reviewers=reviewers, by="ada"
    )
    it.say(WEB, added, Actor.CLI)
    if configured:
        data = RepositoryConfigured(
            base_branch="main",
            base_sha=sha("base"),
            clone_url="https://github.com/acme/web.git",
            check="true",
            reviewers=reviewers,
            reviews=reviews,
        )
        it.say(WEB, data, Actor.GITHUB)
    return it


def pushed(it: Desk, head: str = "head", *, second: float = 90) -> None:
    """The owner pushed its work for issue 7."""
    data = WorkPushed(
        epoch=1,
        run="r-1",
        branch="rig/7/1-r-1",
        head_sha=sha(head),
        title="Sum the lines",
        body="",
        files_changed=1,
        lines_changed=2,
    )
    it.say(ISSUE, data, Actor.DEV_E, second)


def opened(it: Desk, head: str = "head", *, number: int = 12, second: float = 110) -> None:
    """The rig opened a pull request for it."""
    pushed(it, head, second=second - 10)
    data = PullRequestOpened(
        pull_request=number,
        url=f"https://github.com/acme/web/pull/{number}",
        branch="rig/7-the-total-is-wrong",
        head_sha=sha(head),
        author="dev-e/dev-e-1",
    )
    it.say(ISSUE, data, Actor.GITHUB, second)
