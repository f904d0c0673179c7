"""What was ever decided is decided again, from the log alone: recorded logs of every version of the rules."""

from pathlib import Path

import pytest

from conductor.decide import RULES
from conductor.evolve import evolve
from conductor.replay import replay
from conductor.state import State
from schemas import Decided
from tests.support.recorded import LOGS, RecordedLog, file_of, read

FILES = sorted(LOGS.glob("rules-*.jsonl.gz"))


def rules_of(file: Path) -> int:
    return int(file.name.removeprefix("rules-").removesuffix(".jsonl.gz"))


def test_there_is_a_record_of_every_version() -> None:
    assert [rules_of(file) for file in FILES] == list(range(1, RULES + 1)), (
        "run `python -m tests.support.recorded` for new rules; older ones are never taken away"
    )


@pytest.mark.parametrize("rules", [rules_of(file) for file in FILES])
def test_a_log_of_any_version_is_read_to_its_end(rules: int) -> None:
    for log in read(rules):
        state, history = State(), log.history()
        for position, event in history:
            evolve(state, event, position)
        assert state.position == len(history), log.story
        assert all(event is not None for _, event in history)


def test_what_these_rules_decided_they_decide_again() -> None:
    logs = read(RULES)
    replayed = {log.story: replay(log.history()) for log in logs}
    assert {story: found.differences for story, found in replayed.items() if found.differences} == {}, (
        "these rules decide otherwise than they did: give them a new number (conductor.decide.RULES) and record anew"
    )
    assert sum(found.rounds for found in replayed.values()) == sum(map(rounds_in, logs)) > 100


def test_what_older_rules_decided_is_not_compared() -> None:
    for rules in range(1, RULES):
        for log in read(rules):
            found = replay(log.history())
            assert (found.rounds, found.other_rules) == (0, rounds_in(log)), log.story
    assert file_of(RULES).stat().st_size < 1_000_000


def rounds_in(log: RecordedLog) -> int:
    return sum(event is not None and isinstance(event.data, Decided) for _, event in log.history())
