"""Durables that lose patience within a second: what a dead replica held comes back while a test waits."""

from collections.abc import Generator
from contextlib import contextmanager
from unittest.mock import patch

from msgspec.structs import replace

from bus import topology


@contextmanager
def impatient() -> Generator[None]:
    """What is ensured meanwhile is impatient; who consumes takes the server's word for it."""
    durables = tuple(replace(durable, ack_wait_seconds=1.0) for durable in topology.DURABLES)
    with patch.object(topology, "DURABLES", durables):
        yield
