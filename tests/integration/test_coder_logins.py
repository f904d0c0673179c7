"""A coder that nobody has logged in is told of before anything is started, with what to do about it."""

from pathlib import Path

import pytest

from deploy.doctor import examine
from tests.support.rig import rig


@pytest.fixture
def line(tmp_path: Path) -> str:
    """A Claude Code without a login."""
    program = tmp_path / "claude"
    said = '{"loggedIn": false}'
    program.write_text(f"#!/bin/sh\n[ $1 = auth ] && echo '{said}' || echo '2.1.330 (Claude Code)'\n")
    program.chmod(0o755)
    return f"claude: program={program}"


def test_rig_up_does_not_start(tmp_path: Path, line: str) -> None:
    done = rig(tmp_path / "home", "up", "--coder", line)
    assert done.returncode != 0
    assert "nobody is logged in: `claude auth login`" in done.stderr
    assert not (tmp_path / "home" / "nats").exists()


async def test_the_doctor_says_how_it_is_mended(tmp_path: Path, line: str) -> None:
    report = await examine({"RIG_HOME": str(tmp_path / "home"), "RIG_CODER": line})
    (finding,) = (finding for finding in report.findings if finding.what == "coder")
    assert "nobody is logged in" in finding.seen
    assert finding.mend == "log it in as the user who runs the rig"
