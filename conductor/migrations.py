"""Which migrations a database needs. Pure; conductor/postgres.py runs them, under a lock.

    NNNN_name.sql        what this version needs, added before any of its roles uses the tables: older ones still run
    NNNN_name.post.sql   what only older versions needed (drops), and indexes that take long: once the read side has
                         caught up with the log under this version, by the projector or `rig migrate --post`

Each kind applies in the order of its names. What was applied is never changed: a new file says what is different.
"""

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from machine.lifecycle import Misconfigured


class WrongTables(Misconfigured):
    """This version must not touch the tables that are there; the message says why, and what to do."""


class Migration(Struct, frozen=True):
    """One file."""

    name: str
    text: str

    @property
    def post(self) -> bool:
        """Whether it waits until the read side has caught up."""
        return self.name.endswith(".post.sql")

    @property
    def checksum(self) -> str:
        """Of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class Applied(Struct, frozen=True):
    """One that the database has, as it says itself."""

    name: str
    checksum: str | None
    """None: an earlier release did not note it."""


class Plan(Struct, frozen=True):
    """What is to be done."""

    pre: tuple[Migration, ...]
    post: tuple[Migration, ...]
    unsigned: tuple[Migration, ...]
    """Applied, and without a checksum yet."""


class Migrated(Struct, frozen=True):
    """What was done, or what would be."""

    applied: tuple[str, ...]
    waiting: tuple[str, ...]
    """Those that come once the read side has caught up."""


def plan(known: Sequence[Migration], applied: Sequence[Applied]) -> Plan:
    """What is missing of the known ones. Raises WrongTables for a newer database, or a file that was changed since."""
    ours = {migration.name: migration for migration in known}
    there = {one.name: one.checksum for one in applied}
    newer = sorted(there.keys() - ours.keys())
    if newer:
        raise WrongTables(
            f"the read side was migrated by a newer version of Rig ({', '.join(newer)}), and this one must not write"
            " into it: install that version, or give this one a database of its own"
        )
    changed = [name for name, checksum in sorted(there.items()) if checksum not in (None, ours[name].checksum)]
    if changed:
        raise WrongTables(
            f"{', '.join(changed)}: changed since the read side was migrated with it; put the file back as it was and"
            " write a new one, or drop the read side (drop schema rig cascade) and it is written again from the log"
        )
    missing = [migration for migration in sorted(known, key=lambda one: one.name) if migration.name not in there]
    return Plan(
        pre=tuple(one for one in missing if not one.post),
        post=tuple(one for one in missing if one.post),
        unsigned=tuple(ours[name] for name, checksum in there.items() if checksum is None),
    )
