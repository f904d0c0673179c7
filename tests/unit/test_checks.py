"""A repository's check command: what passes, what fails, and what is cut."""

import asyncio
from pathlib import Path

import pytest

from machine.checks import CheckConclusion, run_check
from machine.process import Limits
from tests.support.clock import HOURS, hours_pass
from tests.support.waiting import until

LIMITS = Limits(wall_seconds=20, output_bytes=1_000_000)


async def test_a_command_line_runs_in_the_work_tree(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("hello\n")
    outcome = await run_check("cat 'a file' && test -d . # a comment", cwd=tmp_path, limits=LIMITS)
    assert (outcome.passed, outcome.excerpt) == (True, "hello")


async def test_a_failure_carries_the_end_of_its_log(tmp_path: Path) -> None:
    outcome = await run_check("seq 1 5000; echo 'expected 3, got 4' >&2; exit 7", cwd=tmp_path, limits=LIMITS)
    assert (outcome.passed, outcome.conclusion) == (False, CheckConclusion.FAILURE)
    assert outcome.excerpt.endswith("5000\nexpected 3, got 4\nexit code 7")
    assert len(outcome.excerpt) < 4_200


async def test_a_hanging_check_is_cut_and_says_so(tmp_path: Path) -> None:
    check = asyncio.create_task(run_check("echo begun; touch it; sleep 60", cwd=tmp_path, limits=Limits(HOURS, 1000)))
    await until((tmp_path / "it").exists)
    hours_pass()
    outcome = await check
    assert outcome.conclusion is CheckConclusion.TIMED_OUT
    assert outcome.excerpt == "begun\nstopped: it ran longer than 36000 seconds"


async def test_a_check_that_prints_a_gigabyte_is_cut_and_says_so(tmp_path: Path) -> None:
    outcome = await run_check("yes hello | head -c 1000000000", cwd=tmp_path, limits=LIMITS)
    assert outcome.conclusion is CheckConclusion.OUTPUT_LIMIT
    assert outcome.excerpt.endswith("\nstopped: it printed more than 1000000 bytes")
    assert len(outcome.excerpt) < 4_200


async def test_a_check_sees_none_of_our_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIG_POSTGRES_URL", "a secret")
    outcome = await run_check("env | cut -d= -f1 | grep -i rig", cwd=tmp_path, limits=LIMITS)
    assert not outcome.passed
