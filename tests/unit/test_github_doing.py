"""What is done when at GitHub: the pauses between tries."""

import asyncio
import logging

import pytest

from bridges.github import doing
from bridges.github.doing import PERSONS_PAUSE_SECONDS, Doing
from bridges.github.errors import Unprocessable
from bridges.github.plan import Close
from tests.support.due import ISSUE


@pytest.mark.parametrize("fails", [3, 6])
async def test_what_github_refuses_is_tried_soon_again_a_few_times(
    fails: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    pauses: list[float] = []
    nap = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await nap(0)

    monkeypatch.setattr(doing.asyncio, "sleep", sleep)
    over = asyncio.Event()

    async def do(_: Close) -> None:
        if len(pauses) < fails:
            raise Unprocessable("POST /pulls", "Validation Failed: head invalid", status=422)
        over.set()

    async def told(_step: Close, _error: Exception | None) -> None:
        pass

    async with asyncio.TaskGroup() as group:
        work = Doing(group, lambda _: None if over.is_set() else Close("e1", ISSUE, 12), do, told)
        work.begin()
        work.consider(ISSUE)
        await over.wait()
    assert pauses == [1.0, 2.0, 4.0, *[PERSONS_PAUSE_SECONDS] * 3][:fails]
