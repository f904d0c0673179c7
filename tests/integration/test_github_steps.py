"""What one step makes of GitHub's answers: a GitHub that is played, over real sockets."""

from collections.abc import AsyncIterator

import pytest

from bridges.github.api import GitHub
from bridges.github.effects import Effects, NotYet
from bridges.github.known import Push
from bridges.github.pace import Pace
from bridges.github.plan import Close, CloseIssue, Look, Merge, ShowPush
from bridges.github.tokens import Token
from schemas import ChecksFailed, EffectRecorded, MergeRefused, work_branch
from tests.support.github_payloads import issue, merged, pull, sha
from tests.support.scripted import PlayedClock, Says, Scripted, scripted
from tests.support.translated import ISSUE

HERE = "/repos/acme/web"


@pytest.fixture
async def github() -> AsyncIterator[tuple[Effects, Scripted]]:
    async with scripted() as server:
        pace = Pace(tries=1, seed=0)
        async with GitHub.opened(server.url, Token("ghp_x"), pace=pace, clock=PlayedClock()) as client:
            yield Effects(client, grace_seconds=0), server


async def test_a_pull_request_that_is_merged_is_closed_already(github: tuple[Effects, Scripted]) -> None:
    effects, server = github
    server.on("GET", f"{HERE}/pulls/12", Says(body=merged()))
    pull_request, recorded = (await effects.perform(Close("e9", ISSUE, 12))).results
    assert isinstance(recorded, EffectRecorded)
    assert (recorded.effect, recorded.key) == ("pull_request_closed", "e9")
    assert pull_request is not None


async def test_a_pull_request_that_is_open_is_closed(github: tuple[Effects, Scripted]) -> None:
    effects, server = github
    server.on("GET", f"{HERE}/pulls/12", Says(body=pull()), Says(body=pull(state="closed")))
    server.on("PATCH", f"{HERE}/pulls/12", Says(body=pull(state="closed")))
    assert len((await effects.perform(Close("e9", ISSUE, 12))).results) == 1
    assert [asked.method for asked in server.asked] == ["GET", "PATCH", "GET"]


def elsewhere(server: Scripted, number: int) -> None:
    """acme/web#7 was transferred."""
    server.on(
        "GET", f"{HERE}/issues/7", Says(301, headers={"Location": f"{server.url}/repositories/99/issues/{number}"})
    )
    there = issue(number, "agent-ready", repository_url="https://api.github.com/repos/acme/other")
    server.on("GET", f"/repositories/99/issues/{number}", Says(body=there))
    server.on("GET", HERE, Says(body={"full_name": "acme/web", "default_branch": "main"}))


@pytest.mark.parametrize("number", [7, 9])
async def test_what_became_of_an_issue_elsewhere_is_not_told_of_one_here(
    github: tuple[Effects, Scripted], number: int
) -> None:
    effects, server = github
    elsewhere(server, number)
    assert (await effects.perform(Look("e1", ISSUE, "main", None, None, (), None, 1))).results == ()
    (recorded,) = (await effects.perform(CloseIssue("e9", ISSUE, "merge", ""))).results
    assert isinstance(recorded, EffectRecorded)
    assert recorded.outcome == "it is not there any more"
    assert {asked.method for asked in server.asked} == {"GET"}


async def test_an_issue_of_a_repository_with_a_new_name_is_the_same(github: tuple[Effects, Scripted]) -> None:
    effects, server = github
    server.on("GET", f"{HERE}/issues/7", Says(301, headers={"Location": f"{server.url}/repositories/1/issues/7"}))
    server.on("GET", "/repositories/1/issues/7", Says(body=issue(repository_url="https://h/api/v3/repos/acme/site")))
    server.on("GET", HERE, Says(body={"full_name": "acme/site", "default_branch": "main"}))
    assert len((await effects.perform(Look("e1", ISSUE, "main", None, None, (), None, 1))).results) == 1


async def test_a_push_that_github_shows_late_is_no_failed_check(github: tuple[Effects, Scripted]) -> None:
    effects, server = github
    branch = work_branch(7, 1, "r-1")
    push = Push("e5", 1, "r-1", branch, sha("head"), "Sum the lines", "", "dev-e")
    step = ShowPush("e5", ISSUE, "main", push, None, frozenset(), frozenset())
    server.on("GET", f"{HERE}/git/ref/heads/main", Says(body={"object": {"sha": sha("base")}}))
    for _ in range(3):
        with pytest.raises(NotYet):
            await effects.perform(step)
    (failed,) = (await effects.perform(step)).results  # nobody has pushed it
    assert isinstance(failed, ChecksFailed)


async def test_what_somebody_has_go_to_another_branch_is_not_merged_there(github: tuple[Effects, Scripted]) -> None:
    effects, server = github
    server.on("GET", f"{HERE}/pulls/12", Says(body=pull(base={"ref": "release", "sha": sha("base")})))
    (refused,) = (await effects.perform(Merge("e9", ISSUE, 12, sha("head"), sha("base"), "Sum", "main"))).results
    assert isinstance(refused, MergeRefused)
    assert "release" in refused.detail
    assert {asked.method for asked in server.asked} == {"GET"}
