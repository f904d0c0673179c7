"""A language model that says what a test tells it to say, served by the npm package `@copilotkit/aimock`."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx

from tests.support import peers

__all__ = ["Answer", "Model", "model", "says", "uses"]

Answer: TypeAlias = Mapping[str, object]
OPENING = "Resolve issue"
"""With which every prompt of the rig's to a coder begins."""


def says(text: str) -> Answer:
    """The model says this, and has finished."""
    return {"text": text}


def uses(tool: str, **arguments: object) -> Answer:
    """The model uses a tool."""
    return {"tool": tool, "input": arguments}


@dataclass(frozen=True, slots=True)
class Model:
    """One that is being served."""

    url: str

    def asked(self) -> list[dict[str, Any]]:
        """The requests of the coder's own work, oldest first; not what a CLI asks for besides."""
        bodies = [entry["body"] for entry in httpx.get(f"{self.url}/__aimock/journal").json()]
        return [body for body in bodies if body and body.get("tools")]


@contextmanager
def model(*rounds: Sequence[Answer], opening: str = OPENING) -> Generator[Model]:
    """Serves until the end of the block. `rounds` are its answers to the first prompt, to the second one, and so on.

    It counts prompts in the conversation that it is asked to go on with: see tests/peers/model.mjs.
    """
    with peers.served("model.mjs", {"opening": opening, "rounds": rounds}) as url:
        yield Model(url)
