"""The real Claude Code CLI and the scripted model, as the tests of the rig rely on them."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.claude import program
from tests.support.model import Model, model, says, uses

pytestmark = pytest.mark.peer
SESSION = "0b0f0e5a-5b1c-4d6c-9a51-6f2b2f3f7a11"


def play(served: Model, place: Path, *options: str, prompt: str) -> str:
    """One run of the CLI; its last words."""
    argv = [str(program()), "-p", "--output-format=json", "--dangerously-skip-permissions", *options]
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "ANTHROPIC_BASE_URL": served.url,
        "ANTHROPIC_API_KEY": "none",
        "IS_SANDBOX": "1",
    }
    done = subprocess.run(argv, input=prompt, cwd=place, env=env, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)["result"]
    assert isinstance(said, str)
    return said


def test_only_who_goes_on_with_the_conversation_gets_to_its_second_round(tmp_path: Path) -> None:
    first = [uses("Write", file_path=str(tmp_path / "total.txt"), content="wrong\n"), says("Written.")]
    with model(first, [says("Mended.")]) as served:
        assert play(served, tmp_path, f"--session-id={SESSION}", prompt="Resolve issue 1.") == "Written."
        assert (tmp_path / "total.txt").read_text() == "wrong\n"
        assert play(served, tmp_path, f"--resume={SESSION}", prompt="Resolve issue 1.") == "Mended."
        assert len(served.asked()) == 3
