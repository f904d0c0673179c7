"""GitHub's limits and outages as they really are. A scripted server, real sockets, played time."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bridges.github.api import GitHub, Priority
from bridges.github.errors import (
    Away,
    RateLimited,
    Shed,
)
from bridges.github.pace import Pace
from bridges.github.payloads import Label
from bridges.github.tokens import Token
from tests.support.clock import hours_pass
from tests.support.labels import BUG, LABEL, LABELS, ONE, PATIENT, SECRET, WEB, Opening, budget, bug, made
from tests.support.scripted import Breaks, Drips, Hangs, PlayedClock, Says, Scripted, scripted


class TestLimits:
    async def test_a_used_up_limit_is_waited_for_until_it_resets(
        self, server: Scripted, opened: Opening, clock: PlayedClock
    ) -> None:
        server.on("GET", LABEL, Says(403, {"message": "API rate limit exceeded"}, budget(0)), BUG)
        assert await bug(await opened()) == "bug"
        assert 55 < sum(clock.slept) < 65
        assert server.times(LABEL) == 2

    async def test_nothing_is_asked_while_the_limit_is_used_up(self, server: Scripted, opened: Opening) -> None:
        server.on("GET", LABEL, Says(body={"name": "bug"}, headers=budget(0, seconds=3_000)))
        github = await opened()
        await bug(github)
        with pytest.raises(RateLimited) as limited:  # longer than one call may take: whoever asks waits
            await bug(github, Priority.HIGH)
        assert not isinstance(limited.value, Shed)
        assert server.times(LABEL) == 1

    async def test_what_matters_less_is_left_out_first(
        self, server: Scripted, opened: Opening, clock: PlayedClock
    ) -> None:
        server.on("GET", LABEL, Says(body={"name": "bug"}, headers=budget(1_000, seconds=600)))
        github = await opened()
        await bug(github)
        with pytest.raises(Shed) as shed:
            await bug(github, Priority.LOW)
        assert shed.value.until - datetime.fromtimestamp(clock.at, UTC) < timedelta(seconds=610)
        server.on("GET", LABEL, Says(body={"name": "bug"}, headers=budget(100, seconds=600)))
        await bug(github)
        with pytest.raises(Shed):
            await bug(github)
        await bug(github, Priority.HIGH)
        assert server.times(LABEL) == 3
        assert clock.slept == []
        clock.at += 700
        await bug(github, Priority.LOW)

    async def test_a_secondary_limit_says_how_long(self, server: Scripted, opened: Opening, clock: PlayedClock) -> None:
        server.on("GET", LABEL, Says(429, {"message": "slow down"}, {"Retry-After": "30"}), BUG)
        assert await bug(await opened()) == "bug"
        assert 30 <= sum(clock.slept) < 35

    async def test_a_secondary_limit_that_does_not_say_lasts_a_minute_and_then_two(
        self, server: Scripted, opened: Opening, clock: PlayedClock
    ) -> None:
        limit = Says(403, {"message": "You have exceeded a secondary rate limit."}, budget(4_000))
        server.on("GET", LABEL, limit, limit, BUG, limit, BUG)
        github = await opened(pace=Pace(total_seconds=600))
        assert [await bug(github), await bug(github)] == ["bug", "bug"]
        assert [int(waited - 61) for waited in clock.slept] == [0, 60, 0]

    async def test_a_write_that_was_limited_was_not_done_and_is_done_once(
        self, server: Scripted, opened: Opening
    ) -> None:
        server.on("POST", LABELS, Says(403, {"message": "abuse detection"}, {"Retry-After": "5"}), BUG)
        assert await made(await opened()) == "bug"
        assert server.times(LABELS) == 2

    async def test_while_one_is_limited_nobody_asks(self, server: Scripted, opened: Opening) -> None:
        server.on("GET", LABEL, Says(429, {}, {"Retry-After": "500"}))
        github = await opened()
        asked = await asyncio.gather(*(bug(github) for _ in range(30)), return_exceptions=True)
        assert all(isinstance(each, RateLimited) for each in asked)
        assert server.times(LABEL) <= PATIENT.concurrent

    async def test_a_limit_for_ever_is_given_up(self, server: Scripted, opened: Opening) -> None:
        server.on("GET", LABEL, Says(429, {}, {"Retry-After": "0"}))
        with pytest.raises(RateLimited):
            await bug(await opened())
        assert server.times(LABEL) < 20

    async def test_writes_have_a_pace(self, server: Scripted, opened: Opening, clock: PlayedClock) -> None:
        server.on("POST", LABELS, BUG)
        github = await opened()
        await asyncio.gather(*(made(github) for _ in range(25)))
        assert sum(clock.slept) == pytest.approx(5)
        assert server.times(LABELS) == 25


class TestAway:
    async def test_what_fails_is_asked_again_after_longer_and_longer(
        self, server: Scripted, opened: Opening, clock: PlayedClock
    ) -> None:
        server.on("GET", LABEL, Says(502, b"<html>Bad Gateway"), Breaks(), Says(500, {}), BUG)
        assert await bug(await opened()) == "bug"
        assert [0.25 <= clock.slept[0] <= 0.5, 0.5 <= clock.slept[1] <= 1, 1 <= clock.slept[2] <= 2] == [True] * 3

    async def test_an_outage_ends_the_call(self, server: Scripted, opened: Opening) -> None:
        server.on("GET", LABEL, Says(503, {"message": "no server is available"}))
        with pytest.raises(Away, match="503 no server is available"):
            await bug(await opened())
        assert server.times(LABEL) == PATIENT.tries

    async def test_it_says_when_it_is_back(self, server: Scripted, opened: Opening, clock: PlayedClock) -> None:
        server.on("GET", LABEL, Says(503, {}, {"Retry-After": "17"}), BUG)
        assert await bug(await opened()) == "bug"
        assert clock.slept == [17]

    @pytest.mark.parametrize("answer", [Says(500, {}), Says(408, {}), Breaks(), Says(200, b"<html>")])
    async def test_a_write_of_which_nobody_knows_is_not_repeated(
        self, server: Scripted, opened: Opening, answer: Says | Breaks
    ) -> None:
        server.on("POST", LABELS, answer)
        with pytest.raises(Away) as away:
            await made(await opened())
        assert not away.value.sure
        assert server.times(LABELS) == 1

    async def test_what_may_be_done_twice_is(self, server: Scripted, opened: Opening) -> None:
        github = await opened()
        for method, call in (("PUT", github.put), ("PATCH", github.patch)):
            server.on(method, LABEL, Breaks(), BUG)
            assert (await call(ONE, {}, Label, repository=WEB, name="bug")).name == "bug"
        server.on("DELETE", LABEL, Says(500, {}), Says(204))
        await github.delete(ONE, repository=WEB, name="bug")
        assert server.times(LABEL) == 6

    async def test_where_nobody_listens_nothing_was_done(self, clock: PlayedClock) -> None:
        async with scripted() as gone:
            pass
        async with GitHub.opened(gone.url, Token(SECRET), pace=PATIENT, clock=clock) as github:
            with pytest.raises(Away) as away:
                await made(github)
        assert away.value.sure
        assert len(clock.slept) == PATIENT.tries - 1

    @pytest.mark.parametrize("never", [Hangs(), Drips()])
    async def test_an_answer_that_never_ends_is_asked_for_again(
        self, server: Scripted, opened: Opening, never: Hangs | Drips
    ) -> None:
        server.on("GET", LABEL, never, BUG)
        asking = asyncio.create_task(bug(await opened()))
        await server.hanging.wait()
        hours_pass()
        assert await asking == "bug"

    async def test_a_call_takes_no_longer_than_it_may(
        self, server: Scripted, opened: Opening, clock: PlayedClock
    ) -> None:
        server.on("GET", LABEL, Says(500, {}))
        with pytest.raises(Away):
            await bug(await opened(pace=Pace(tries=1_000, total_seconds=60)))
        assert sum(clock.slept) <= 60
