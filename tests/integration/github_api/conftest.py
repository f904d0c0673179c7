"""A scripted GitHub, its time, and clients of it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from bridges.github.api import GitHub
from bridges.github.pace import Pace
from bridges.github.tokens import Credential
from tests.support.labels import PATIENT, PLAIN, Opening
from tests.support.scripted import PlayedClock, Scripted, scripted


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with scripted() as github:
        yield github


@pytest.fixture
def clock() -> PlayedClock:
    return PlayedClock()


@pytest.fixture
async def opened(server: Scripted, clock: PlayedClock) -> AsyncIterator[Opening]:
    async with AsyncExitStack() as stack:

        async def opening(credential: Credential = PLAIN, pace: Pace = PATIENT) -> GitHub:
            return await stack.enter_async_context(GitHub.opened(server.url, credential, pace=pace, clock=clock))

        yield opening
