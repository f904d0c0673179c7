"""The suite can fail: with the server in memory broken on purpose, the tests of what is broken do."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.contract.mutations import VARIABLE

pytestmark = pytest.mark.asyncio(loop_factories=["real"])

NOTICED = {
    "nothing_is_compared": {
        "test_a_subject_that_must_be_new_is_compared_and_set",
        "test_of_two_decisions_one_wins_and_all_of_it",
        "test_who_slept_through_its_lease_writes_no_more",
    },
    "nothing_is_a_duplicate": {
        "test_the_same_id_is_stored_once_and_answers_with_the_first_position",
        "test_an_id_that_says_something_else_is_an_alarm",
        "test_a_batch_with_an_id_that_has_landed_stores_nothing",
    },
    "everybody_may_everything": {
        "test_who_speaks_under_anothers_name_is_told_which_permission_is_missing",
        "test_a_batch_with_a_refused_member_is_refused_whole_and_by_its_name",
        "test_no_key_lets_anyone_do_what_is_not_in_the_table",
        "test_a_refused_message_nobody_waits_for_is_an_error_in_the_log",
        "test_of_a_batch_the_refused_members_are_named_and_the_neighbours_stored",
        "test_a_service_is_offered_asked_and_answered_by_who_may",
        "test_a_question_is_answered_once",
    },
    "the_newest_comes_first": {"test_what_is_not_prefetched_comes_in_the_order_of_the_log"},
}


@pytest.mark.parametrize("mutation", NOTICED)
async def test_a_broken_server_is_noticed(mutation: str) -> None:
    files = ("publishing", "work", "time", "permissions")
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=no", "--timeout=5",
        "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-k", "memory",
        *(f"{Path(__file__).parent}/test_{name}.py" for name in files),
        env={**os.environ, VARIABLE: mutation},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await program.communicate()
    failed = set(re.findall(r"FAILED \S+::(\w+)\[memory[-\]]", said.decode()))
    assert failed >= NOTICED[mutation], said.decode()
    assert " passed" in said.decode(), "what is not broken still passes"
