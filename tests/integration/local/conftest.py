"""A rig of one repository for the local forge, bare or as a person has it, and a forge that serves it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from deploy.embedded.nats import NatsServer
from tests.support.forge import Connect, Rig, Serving, forge, new_rig


@pytest.fixture(params=["bare", "checkout"])
async def rig(tmp_path: Path, connect: Connect, request: pytest.FixtureRequest) -> Rig:
    return await new_rig(tmp_path, connect, str(request.param))


@pytest.fixture
async def checkout(tmp_path: Path, connect: Connect) -> Rig:
    return await new_rig(tmp_path, connect, "checkout")


@pytest.fixture
async def serving(rig: Rig, nats: NatsServer) -> AsyncGenerator[Serving]:
    async with forge(rig, nats) as serving:
        yield serving
