"""What git printed about a change, added up; the git half is in integration/test_changes.py."""

from bridges.local.changes import PATH_CHARACTERS, printable_path, tally
from schemas import Actor, Changes, Draft, IssueRef, PullRequestUpdated, decode, encode, envelope
from schemas.forge import PATHS_MAX
from tests.support.saying import NOW


def test_files_lines_and_paths_are_added_up() -> None:
    assert tally(b"3\t1\tshop/total.py\x000\t7\tshop/old.py\x00") == Changes(
        files=2, lines=11, paths=("shop/old.py", "shop/total.py")
    )
    assert tally(b"") == Changes(files=0, lines=0)


def test_a_file_that_moved_is_two_and_only_its_changed_lines_count() -> None:
    assert tally(b"1\t1\t\x00old/a.py\x00new/a.py\x002\t0\tz\x00") == Changes(
        files=3, lines=4, paths=("new/a.py", "old/a.py", "z")
    )


def test_names_are_said_so_that_they_can_be_printed_and_told_apart() -> None:
    assert printable_path("straße/日本.py".encode()) == "straße/日本.py"
    assert printable_path(b"a\xff\tb\n") == r"a\xff\u{9}b\u{a}"
    assert printable_path("gpj.\u202eexe".encode()) == r"gpj.\u{202e}exe"
    assert printable_path(rb"a\xff") == r"a\\xff"
    alike = [b"\xa0", "\xa0".encode(), rb"\xa0", rb"\u{a0}", rb"\\xa0"]
    assert len({printable_path(name) for name in alike}) == len(alike)


def test_paths_that_cannot_be_said_are_missing_and_missed() -> None:
    long = b"a" * (PATH_CHARACTERS + 1)
    assert tally(b"1\t0\t" + long + b"\x001\t0\tb\x00") == Changes(files=2, lines=2, paths=("b",))
    moved = tally(b"1\t0\t\x00" + long + b"\x00b\x00")
    assert len(moved.paths) < moved.files
    many = tally(b"".join(b"1\t0\tf%05d\0" % number for number in range(PATHS_MAX + 1)))
    assert (many.files, len(many.paths), many.paths[0]) == (PATHS_MAX + 1, PATHS_MAX, "f00000")


def test_the_longest_names_there_can_be_fit_into_an_event() -> None:
    """A backslash becomes four in JSON."""
    names = [b"%03d" % number + b"\\" * ((PATH_CHARACTERS - 3) // 2) for number in range(PATHS_MAX)]
    changes = tally(b"".join(b"1\t1\t" + name + b"\0" for name in names))
    assert changes.files == PATHS_MAX > len(changes.paths) > 0
    said = PullRequestUpdated(pull_request=1, branch="b", head_sha="a" * 40, changes=changes)
    draft = Draft(about=IssueRef("demo", "shop", 1), data=said)
    body = encode(envelope(draft, id="e", actor=Actor.LOCAL, source="local", time=NOW))
    assert decode(body).data == said
