"""Durables that lose patience within a second or so: what a dead replica held comes back while a test waits."""

from collections.abc import Generator
from contextlib import contextmanager
from unittest.mock import patch

from msgspec.structs import replace

from bus import topology


@contextmanager
def impatient(seconds: float = 1.0) -> Generator[None]:
    """What is ensured meanwhile is impatient; who consumes takes the server's word for it."""
    durables = tuple(replace(durable, ack_wait_seconds=seconds) for durable in topology.DURABLES)
    with patch.object(topology, "DURABLES", durables):
        yield
