"""What one step makes of GitHub's answers: a GitHub that is played, over real sockets."""

from collections.abc import AsyncIterator

import pytest

from bridges.github.api import GitHub
from bridges.github.effects import Effects
from bridges.github.pace import Pace
from bridges.github.plan import Close
from bridges.github.tokens import Token
from schemas import EffectRecorded
from tests.support.github_payloads import merged, pull
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
