"""Which message may be handled next: held against a plain model, step by step."""

from hypothesis import given
from hypothesis import strategies as st

from bus.lanes import Lane, Lanes


def take(lanes: Lanes[str]) -> Lane[str]:
    lane = lanes.take()
    assert lane is not None
    return lane


def test_one_of_a_key_at_a_time_and_keys_side_by_side() -> None:
    lanes = Lanes[str]()
    for position, (key, item) in enumerate([("a", "a1"), ("a", "a2"), ("b", "b1")], start=1):
        lanes.add(key, position, item)
    first, second = take(lanes), take(lanes)
    assert (first.head, second.head, lanes.take()) == ("a1", "b1", None)
    lanes.done(first)
    assert take(lanes).head == "a2"


def test_without_a_key_all_are_side_by_side() -> None:
    lanes = Lanes[str]()
    lanes.add(None, 1, "x")
    lanes.add(None, 2, "y")
    assert [take(lanes).head, take(lanes).head] == ["x", "y"]


def test_what_comes_late_goes_before_what_is_behind_it_and_not_yet_taken() -> None:
    lanes = Lanes[str]()
    lanes.add("a", 7, "seven")
    lanes.add("a", 9, "nine")
    lanes.add("a", 5, "five")
    assert take(lanes).head == "five"


def test_a_blocked_head_keeps_its_key_and_its_place() -> None:
    lanes = Lanes[str]()
    lanes.add("a", 1, "a1")
    lanes.add("a", 2, "a2")
    head = take(lanes)
    lanes.block(head)
    lanes.add("a", 3, "a3")
    lanes.add("b", 4, "b1")
    assert lanes.blocked == 3
    assert take(lanes).head == "b1"
    assert not lanes.ready
    lanes.unblock(head)
    assert lanes.blocked == 0
    assert take(lanes).head == "a1"


@given(
    st.lists(st.tuples(st.sampled_from(["add", "take", "done", "block", "unblock"]), st.integers(0, 3)), max_size=120)
)
def test_whatever_happens_each_key_goes_in_order_and_nothing_is_lost(steps: list[tuple[str, int]]) -> None:
    lanes = Lanes[int]()
    busy: dict[str, Lane[int]] = {}
    blocked: dict[str, Lane[int]] = {}
    added: dict[str, list[int]] = {}
    finished: dict[str, list[int]] = {}
    position = 0

    def taken(lane: Lane[int]) -> None:
        key = next(key for key, positions in added.items() if lane.head in positions)
        assert key not in busy, "one at a time"
        assert key not in blocked, "a blocked key waits"
        busy[key] = lane

    for step, which in steps:
        key = "abcd"[which]
        match step:
            case "add":
                position += 1
                added.setdefault(key, []).append(position)
                lanes.add(key, position, position)
            case "take":
                if (lane := lanes.take()) is not None:
                    taken(lane)
            case "done" if key in busy:
                finished.setdefault(key, []).append(busy[key].head)
                lanes.done(busy.pop(key))
            case "block" if key in busy:
                blocked[key] = busy.pop(key)
                lanes.block(blocked[key])
            case "unblock" if key in blocked:
                lanes.unblock(blocked.pop(key))
            case _:
                pass
    for lane in blocked.values():
        lanes.unblock(lane)
    blocked.clear()
    assert lanes.blocked == 0
    while busy or lanes.ready:
        while (lane := lanes.take()) is not None:
            taken(lane)
        for key in list(busy):
            finished.setdefault(key, []).append(busy[key].head)
            lanes.done(busy.pop(key))
    assert finished == added
