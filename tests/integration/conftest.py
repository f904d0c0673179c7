"""Fixtures of the tests that need PostgreSQL: one real server for a module, and on it a database for each test."""

import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from deploy.embedded.postgres import embedded_postgres
from deploy.embedded.server import Server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A real PostgreSQL, for the tests of one module."""
    async with embedded_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server
        await server.kill()  # its data is thrown away: no need to wait until it is on disk


@pytest.fixture
async def postgres_url(postgres_server: Server) -> str:
    """An empty database of its own."""
    name = f"rig_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(postgres_server.url)
    try:
        await connection.execute(f"create database {name}")
    finally:
        await connection.close()
    base, _, _ = postgres_server.url.rpartition("/")
    return f"{base}/{name}"
