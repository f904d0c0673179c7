"""Which migrations a database needs, and which databases this version leaves alone."""

import pytest

from conductor.migrations import Applied, Migration, WrongTables, plan
from conductor.sql import migrations

FIRST = Migration("0001_first.sql", "create table a ()")
DROP = Migration("0002_drop.post.sql", "drop table b")
LAST = Migration("0003_last.sql", "create table c ()")
KNOWN = (LAST, DROP, FIRST)


def applied(*done: Migration) -> list[Applied]:
    return [Applied(one.name, one.checksum) for one in done]


def test_what_is_missing_comes_in_the_order_of_its_names_and_what_can_wait_apart() -> None:
    due = plan(KNOWN, [])
    assert (due.pre, due.post, due.unsigned) == ((FIRST, LAST), (DROP,), ())
    due = plan(KNOWN, applied(FIRST))
    assert (due.pre, due.post) == ((LAST,), (DROP,))
    due = plan(KNOWN, applied(*KNOWN))
    assert (due.pre, due.post) == ((), ())


def test_what_an_earlier_release_noted_without_a_checksum_gets_it() -> None:
    assert plan(KNOWN, [Applied(FIRST.name, None)]).unsigned == (FIRST,)


def test_a_file_that_was_changed_is_named() -> None:
    changed = Migration(FIRST.name, FIRST.text + ";")
    with pytest.raises(WrongTables, match=r"^0001_first.sql: changed since"):
        plan((changed, DROP, LAST), applied(*KNOWN))


def test_a_database_of_a_newer_version_is_left_alone() -> None:
    with pytest.raises(WrongTables, match=r"by a newer version of Rig \(0002_drop.post.sql, 0003_last.sql\)"):
        plan((FIRST,), applied(*KNOWN))


def test_every_migration_is_numbered_once() -> None:
    numbers = [migration.name.split("_")[0] for migration in migrations()]
    assert numbers == sorted(set(numbers))
    assert all(len(number) == 4 and number.isdigit() for number in numbers)
