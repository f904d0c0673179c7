"""What the rig's own reviewer says is shown at GitHub: a real log, a stateful GitHub, webhooks over HTTP."""

from collections.abc import Generator

import pytest
from msgspec import structs

from deploy.embedded.nats import NatsServer
from schemas import (
    Actor,
    EffectRecorded,
    PullRequestOpened,
    RepoRef,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    ReviewScope,
    ReviewWanted,
)
from tests.integration.test_github_effects import bridge
from tests.support.acting import Connect, Voices, commit, configured
from tests.support.hub import Hub, hub

pytestmark = pytest.mark.peer

EFFECT = "verdict review-e"


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Generator[Hub]:
    names = ["acme/rigs", "acme/peoples"]
    with hub(tmp_path_factory.mktemp("git"), repositories=names, files={"total.txt": "broken\n"}) as running:
        yield running


async def test_a_verdict_on_the_rigs_own_pull_request_is_shown_at_its_lines(
    nats: NatsServer, connect: Connect, github: Hub
) -> None:
    async with bridge(nats, github, configured(github)):
        voices = await Voices.of(connect, github, RepoRef("acme", "rigs"))
        await voices.add_repository(reviewers=("review-e",))
        await voices.approve()
        head = await voices.work()
        number = (await voices.hear(PullRequestOpened)).pull_request
        said = ReviewDisputed(
            pull_request=number,
            head_sha=head,
            reviewer="review-e",
            summary="Not yet, @maria.",
            comments=("total.txt:1: /rig stop", "No test."),
        )
        await voices.say(Actor.REVIEW_E, said)
        recorded = await voices.recorded(EFFECT)
        assert recorded.outcome == "written"
        maria, reviews = github.person("maria"), f"{voices.path}/pulls/{number}/reviews"
        (review,) = maria.get(reviews)
        assert (review["user"]["login"], review["state"], review["commit_id"]) == ("rig[bot]", "COMMENTED", head)
        assert "```text\nNot yet, @maria.\n```" in review["body"]
        assert "No test." in review["body"]
        (comment,) = maria.get(f"{reviews}/{review['id']}/comments")
        assert (comment["path"], comment["position"], comment["body"]) == ("total.txt", 1, "```text\n/rig stop\n```")
        assert recorded.url == review["html_url"]


async def test_a_verdict_on_a_persons_pull_request_is_shown_until_it_is_closed(
    nats: NatsServer, connect: Connect, github: Hub
) -> None:
    async with bridge(nats, github, configured(github)):
        voices = await Voices.of(connect, github, RepoRef("acme", "peoples"))
        await voices.add_repository(reviewers=("review-e",), reviews=ReviewScope.ALL)
        commit(github.path("acme/peoples"), "mine", {"total.txt": "mine\n"})
        github.pushed("acme/peoples", by="rita")
        maria, rita = github.person("maria"), github.person("rita")
        mine = rita.post(f"{voices.path}/pulls", {"title": "Mine", "head": "mine", "base": "main"})
        number, reviews = mine["number"], f"{voices.path}/pulls/{mine['number']}/reviews"
        voices.issue = structs.replace(voices.issue, number=number)
        wanted = await voices.hear(ReviewWanted, but=lambda said: said.pull_request != number)

        about = {"pull_request": number, "head_sha": wanted.head_sha, "reviewer": "review-e"}
        missing = "total.txt:99: there is no such line"
        after = await voices.say(Actor.REVIEW_E, ReviewAbstained(**about, summary="It is large.", comments=(missing,)))
        assert (await voices.recorded(EFFECT, after=after)).outcome == "written"
        (review,) = maria.get(reviews)
        assert missing in review["body"], "GitHub takes no comment there"
        assert maria.get(f"{reviews}/{review['id']}/comments") == []

        after = await voices.say(Actor.REVIEW_E, ReviewPassed(**about, summary="It is well."))
        assert (await voices.recorded(EFFECT, after=after)).outcome == "edited"
        (review,) = maria.get(reviews)
        assert "`review-e` passes it" in review["body"]
        assert review["state"] == "COMMENTED"

        github.wait_forwarded()
        verdicts = await voices.everything(ReviewAbstained), await voices.everything(ReviewPassed)
        assert [len(said) for said in verdicts] == [1, 1], "its own review is nobody's verdict"

        maria.patch(f"{voices.path}/pulls/{number}", {"state": "closed"})
        after = await voices.say(Actor.REVIEW_E, ReviewPassed(**{**about, "head_sha": "e" * 40}))
        skipped = await voices.recorded(EFFECT, after=after)
        assert skipped.outcome == "skipped: the pull request is closed"
        assert len(maria.get(reviews)) == 1
        recorded = [each for each in await voices.everything(EffectRecorded) if each.effect == EFFECT]
        assert len(recorded) == len({each.key for each in recorded})
