"""Stories under another policy: what differs is what a reader works out by hand, and nothing else does."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from conductor.decide import RULES
from conductor.evolve import evolve
from conductor.state import State
from conductor.whatif import Comparison, Count, Difference, Length, WhatIf, Word, whatif
from schemas import (
    Actor,
    AgentRef,
    AgentSilent,
    Budget,
    Changes,
    Decided,
    EscalationReason,
    FailureKind,
    Gates,
    IssueRef,
    Policy,
    Priority,
    RepoRef,
)
from schemas.policy import Bonuses, Tiers
from tests.support.recorded import read
from tests.support.story import FREE, SMALL, Story

OTHER = RepoRef("demo", "other")
TWO_FILES = Changes(files=2, lines=4, paths=("cart.py", "total.py"))
PAID = Policy(budget=Budget(run_usd=2))


def under(story: Story, policy: Policy, since: int = 0) -> WhatIf:
    return whatif(list(enumerate(story.log, start=1)), policy, since)


def decided(story: Story, number: int) -> int:
    """The position of the round by that number."""
    return [place for place, event in enumerate(story.log, start=1) if isinstance(event.data, Decided)][number - 1]


def kinds(words: Sequence[Word]) -> list[str]:
    return [word.kind for word in words]


def told(found: WhatIf) -> list[tuple[int, str, list[str], list[str]]]:
    """Of every difference where it is, about what, what was decided and what would have been."""
    return [(each.position, each.about, kinds(each.recorded), kinds(each.would)) for each in found.differences]


def one_in_progress(most: int) -> Policy:
    return replace(FREE, repository_in_progress_max=most)


# ── the same policy ──────────────────────────────────────────────────────────


def test_under_their_own_policy_recorded_logs_show_no_difference() -> None:
    rounds = 0
    for log in read(RULES):
        history = log.history()
        state, since = State(), 0
        for position, event in history:
            before = state.policy
            if evolve(state, event, position).policy != before and before is not None:
                since = position
        assert state.policy is not None
        found = whatif(history, state.policy, since)
        assert (found.differences, found.resting, found.lengths, found.left_out) == ([], [], {}, 0), log.story
        assert found.same_before is None
        assert all(count.recorded == count.would for count in found.decisions.values())
        assert found.not_reproduced == []
        rounds += found.rounds
    assert rounds > 100


def test_under_any_policy_every_recorded_decision_is_compared_once_or_left_out() -> None:
    other = Policy(
        attempts_max=1,
        claim_seconds=10,
        waiting_seconds=7_000,
        silent_seconds=1,
        repository_in_progress_max=1,
        gates=Gates(files_max=1),
        budget=Budget(run_usd=1, day_usd=3),
        schedules={"nightly": 86_400.0},
    )
    differences = 0
    for log in read(RULES):
        history = log.history()
        found = whatif(history, other)
        said = sum(event.data.count for _, event in history if event and isinstance(event.data, Decided))
        assert sum(count.recorded for count in found.decisions.values()) + found.left_out == said, log.story
        places = [each.position for each in found.differences]
        assert places == sorted(places)
        assert found.same_before == (places[0] if places else None)
        about = [each.about for each in (*found.differences, *found.resting)]
        assert len(set(about)) == len(about), "of one thing the comparison ends once"
        differences += len(places)
    assert differences > 100


# ── limits of what is under way ──────────────────────────────────────────────


def three_at_once() -> Story:
    """Three issues are assigned in one round; the first is done, and a fourth takes its slot."""
    story = Story(one_in_progress(3), slots=3)
    first = story.approve(1)
    story.approve(2)
    story.approve(3)
    story.rounds()
    story.approve(4)
    story.rounds()
    story.start(first)
    story.rounds()
    story.push(first, "h1")
    story.rounds()
    return story


def test_fewer_at_once_leaves_the_others_in_line() -> None:
    story = three_at_once()
    found = under(story, one_in_progress(1))
    first, last = decided(story, 1), decided(story, 4)
    begins, waits = ["assigned", "deadline_set"], ["deadline_set"]
    assert told(found) == [
        (first, "demo/shop#2", begins, waits),
        (first, "demo/shop#3", begins, waits),
        (last, "demo/shop#4", begins, []),
    ], "when the fourth got its slot, two others held theirs that would not have begun"
    assert found.same_before == first
    assert found.differences[0].recorded == (
        Word("assigned", "assigned to dev-e: epoch 1, attempt 1, new"),
        Word("deadline_set", "claim due by 2026-01-01 09:05:00 UTC"),
    )
    assert found.differences[0].would == (Word("deadline_set", "waiting due by 2026-01-01 09:10:00 UTC"),)
    assert found.differences[0].time == datetime.fromisoformat("2026-01-01T09:00Z")
    # 1, 2, 3, 4 are assigned, each with a deadline; 4 waits before, 1 runs and is pushed: three deadlines more.
    assert found.decisions == {"assigned": Count(4, 1), "deadline_set": Count(7, 6)}
    assert found.left_out == 0
    assert found.rounds == 4


def test_more_at_once_begins_sooner_and_what_follows_is_left_out() -> None:
    story = Story(one_in_progress(1), slots=2)
    first, second = story.approve(1), story.approve(2)
    story.rounds()
    story.to_merging(first)
    story.merge(first)
    story.rounds()
    story.start(second)
    story.rounds()
    found = under(story, one_in_progress(2))
    assert told(found) == [(decided(story, 1), "demo/shop#2", ["deadline_set"], ["assigned", "deadline_set"])]
    assert found.differences[0].left_out == 3, "assigned with its deadline, and that of its run"
    assert found.left_out == 3


def test_a_slot_that_one_does_not_get_goes_to_another_in_the_same_round() -> None:
    unfair = replace(FREE, fair_seconds=0)
    story = Story(unfair, slots=2)
    story.add(OTHER)
    story.approve(1)
    story.approve(2)
    story.approve(3, repository=OTHER)
    story.rounds()
    found = under(story, replace(unfair, repository_in_progress_max=1))
    begins, waits = ["assigned", "deadline_set"], ["deadline_set"]
    at = decided(story, 1)
    assert told(found) == [(at, "demo/shop#2", begins, waits), (at, "demo/other#3", waits, begins)]


# ── gates, money, attempts ───────────────────────────────────────────────────


def test_a_smaller_change_than_before_needs_a_person() -> None:
    story = Story(slots=2)
    large, small = story.approve(1), story.approve(2)
    story.rounds()
    for ref, changes in ((large, TWO_FILES), (small, SMALL)):
        story.start(ref, f"r-{ref.number}")
        story.push(ref, f"h{ref.number}", f"r-{ref.number}")
        story.open(ref, f"h{ref.number}", changes)
        story.check(ref, f"h{ref.number}")
    story.rounds()
    for ref in (large, small):
        story.merge(ref)
    story.rounds()
    found = under(story, replace(FREE, gates=Gates(files_max=1)))
    assert told(found) == [
        (decided(story, 2), "demo/shop#1", ["merge_requested", "deadline_set"], ["gate_triggered", "deadline_set"])
    ]
    assert found.differences[0].would[0].text.endswith("2 files, 4 lines; 1 and 500 go unseen")
    assert found.decisions["merge_requested"] == Count(2, 1)
    assert found.decisions["gate_triggered"] == Count(0, 1)
    assert found.decisions["done"] == Count(1, 1), "of the one that is still compared"
    assert found.left_out == 1, "that the other is done"


def test_a_gate_that_explains_itself_with_other_numbers_is_the_same_gate() -> None:
    story = Story(replace(FREE, gates=Gates(files_max=1)))
    story.to_merging(story.approve(1), changes=Changes(files=3, lines=4, paths=("a.py", "b.py", "c.py")))
    assert under(story, replace(FREE, gates=Gates(files_max=2))).same_before is None


def test_a_lower_budget_of_the_day_has_no_room_for_the_third() -> None:
    story = Story(PAID, slots=3)
    for number in (1, 2, 3):
        story.approve(number)
    story.rounds()
    found = under(story, Policy(budget=Budget(run_usd=2, day_usd=5)))
    at = decided(story, 1)
    assert told(found) == [
        (at, "demo/shop#3", ["assigned", "budget_reserved", "deadline_set"], ["deadline_set"]),
        (at, "budget day", [], ["budget_exceeded"]),
    ]
    assert found.differences[1].would[0].text == "budget day has no room: $4.00 of $5.00"
    assert found.decisions["budget_reserved"] == Count(3, 2)


def test_another_price_of_a_run_ends_every_issue_with_its_first() -> None:
    story = Story(PAID, slots=2)
    ref = story.approve(1)
    story.to_merging(ref)
    found = under(story, Policy(budget=Budget(run_usd=3)))
    assert [each.about for each in found.differences] == ["demo/shop#1"]
    assert found.differences[0].recorded[1].text == "$2.00 reserved for epoch 1"
    assert found.differences[0].would[1].text == "$3.00 reserved for epoch 1"
    assert found.left_out == 4, "the deadline of the run; what it spent is settled, the merge and its deadline"


def test_fewer_attempts_are_enough_sooner() -> None:
    story = Story()
    ref = story.approve(1)
    for run in ("r-1", "r-2", "r-3"):
        story.rounds()
        story.start(ref, run)
        story.rounds()
        story.fail(ref, FailureKind.CHECKS_FAILED, run=run)
    story.rounds()
    found = under(story, replace(FREE, attempts_max=2))
    assert told(found) == [(decided(story, 5), "demo/shop#1", ["assigned", "deadline_set"], ["escalated"])]
    assert EscalationReason.ATTEMPTS in found.differences[0].would[0].text
    assert found.left_out == 2, "the deadline of the third run, and that it was escalated then"


# ── what rests on what would not have been ───────────────────────────────────


def test_what_could_begin_because_of_a_merge_rests_on_it() -> None:
    story = Story()
    first = story.approve(1)
    second = story.approve(2, depends_on=(first,))
    third = story.approve(3, depends_on=(second,))
    for ref in (first, second, third):
        story.to_merging(ref, f"h{ref.number}", f"r-{ref.number}", changes=TWO_FILES)
        story.merge(ref)
        story.rounds()
    found = under(story, replace(FREE, gates=Gates(files_max=1)))
    assert [each.about for each in found.differences] == ["demo/shop#1"]
    assert [(each.about, each.rests_on) for each in found.resting] == [
        ("demo/shop#2", "demo/shop#1"),
        ("demo/shop#3", "demo/shop#2"),
    ]
    in_all = sum(isinstance(event.about, IssueRef) and event.subject.actor == Actor.CONDUCTOR for event in story.log)
    compared = sum(count.recorded for count in found.decisions.values())
    assert compared + found.left_out == in_all


def test_trust_and_milestones_rest_on_what_they_were_earned_by() -> None:
    earned = replace(FREE, tiers=Tiers(promote_after=2))
    story = Story(earned)
    for number, changes in ((1, SMALL), (2, TWO_FILES), (3, TWO_FILES)):
        ref = story.approve(number, milestone="spring" if number < 3 else None)
        story.to_merging(ref, f"h{number}", f"r-{number}", changes=changes)
        story.merge(ref)
        story.rounds()
    found = under(story, replace(earned, gates=Gates(files_max=1)))
    assert [each.about for each in found.differences] == ["demo/shop#2"], "the third was trusted, by what was recorded"
    assert [(each.about, each.rests_on) for each in found.resting] == [
        ("trust in dev-e with code", "demo/shop#2"),
        ("milestone spring", "demo/shop#2"),
    ]


# ── deadlines ────────────────────────────────────────────────────────────────


def claimed_after(seconds: float) -> tuple[Story, IssueRef]:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.later(seconds)
    story.start(ref)
    story.rounds()
    return story, ref


def test_a_deadline_of_another_length_is_told_and_ends_nothing() -> None:
    story, ref = claimed_after(60)
    story.later(100)
    story.push(ref, "h1")
    story.rounds()
    found = under(story, replace(FREE, claim_seconds=100, run_seconds=9_000))
    assert found.differences == []
    at = decided(story, 1)
    assert found.lengths == {
        "claim": Length(at + 2, 300, 100, count=1),
        "run": Length(decided(story, 2) + 1, 5_400, 9_000, count=1),
    }


def test_a_shorter_deadline_that_would_have_passed_is_a_difference() -> None:
    story, _ = claimed_after(200)
    found = under(story, replace(FREE, claim_seconds=100))
    claim = Word("deadline_set", "claim due by 2026-01-01 09:05:00 UTC")
    assert found.differences == [
        Difference(
            position=decided(story, 2) - 1,  # the claim, which would have come too late
            time=datetime.fromisoformat("2026-01-01T09:01:40Z"),
            about="demo/shop#1",
            recorded=(claim,),
            would=(Word("deadline_passed", "claim overdue"),),
            left_out=1,
        )
    ]


def test_a_shorter_deadline_that_would_have_passed_in_silence_is_seen_in_the_next_round() -> None:
    story = Story()
    story.approve(1)
    story.rounds()
    story.approve(2)
    story.later(200)
    story.rounds()
    found = under(story, replace(FREE, claim_seconds=150))
    assert told(found) == [(decided(story, 2), "demo/shop#1", ["deadline_set"], ["deadline_passed"])]


def test_a_longer_deadline_is_a_difference_once_the_record_acts_on_its_own() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.deadline_passes(ref)
    story.rounds()
    found = under(story, replace(FREE, claim_seconds=900))
    assert told(found) == [(decided(story, 2), "demo/shop#1", ["unassigned"], [])]
    assert found.left_out == 2, "assigned once more, with its deadline"


@pytest.mark.parametrize("ahead", [0, 3_600])
def test_a_clock_that_is_ahead_lets_no_deadline_pass(ahead: float) -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.later(ahead)
    story.start(ref)
    story.now -= timedelta(seconds=ahead)
    story.rounds()
    assert under(story, replace(FREE, claim_seconds=200)).differences == []


# ── the rig as a whole, and replicas ─────────────────────────────────────────


def test_a_schedule_that_there_was_not_is_one_difference() -> None:
    story = three_at_once()
    found = under(story, replace(one_in_progress(3), schedules={"audit": 3_600.0}))
    assert told(found) == [(decided(story, 1), "schedule audit", [], ["deadline_set"])]
    assert found.left_out == 0


def test_a_replica_that_is_silent_for_longer_keeps_its_work() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.rounds()
    story.say(Actor.WATCH, AgentRef("dev-e-1"), AgentSilent(since=story.now))
    story.time_passes(2_000)
    found = under(story, replace(FREE, silent_seconds=4_000))
    assert ("dev-e-1", ["stuck"], []) in [(about, was, would) for _, about, was, would in told(found)]
    assert found.lengths["silent"].recorded_seconds == 1_800
    assert found.lengths["silent"].would_seconds == 4_000


def test_of_one_replica_the_comparison_ends_once() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.rounds()
    story.say(Actor.WATCH, AgentRef("dev-e-1"), AgentSilent(since=story.now))
    story.rounds()
    story.quota("dev-e-1", 100)
    story.rounds()
    story.later(1_200)
    story.approve(2)
    story.rounds()
    found = under(story, replace(FREE, silent_seconds=1_000, quota_rest_seconds=60))
    assert [kinds(each.recorded) for each in found.differences if each.about == "dev-e-1"] == [
        ["suspended", "deadline_set"]
    ]


# ── from when on ─────────────────────────────────────────────────────────────


def test_a_policy_that_holds_from_later_on_touches_nothing_before() -> None:
    story = Story(slots=3)
    story.approve(1)
    story.approve(2)
    story.rounds()
    since = len(story.log) + 1
    story.approve(3)
    story.rounds()
    found = under(story, one_in_progress(1), since)
    assert told(found) == [(decided(story, 2), "demo/shop#3", ["assigned", "deadline_set"], ["deadline_set"])]
    assert found.rounds == 1


def test_what_people_adopted_on_the_way_would_not_have_been() -> None:
    story = Story(one_in_progress(1), slots=3)
    story.approve(1)
    story.approve(2)
    story.rounds()
    story.adopt(one_in_progress(2))
    story.rounds()
    found = under(story, one_in_progress(1))
    assert told(found) == [(decided(story, 2), "demo/shop#2", ["assigned", "deadline_set"], [])]


def test_the_line_is_in_the_order_of_the_policy_from_when_it_holds() -> None:
    story = Story()
    first = story.approve(1)
    story.rounds()
    story.approve(2)
    story.approve(3, priority=Priority.CRITICAL)
    story.rounds()
    story.start(first)
    story.rounds()
    since = len(story.log) + 1
    story.push(first, "h1")
    story.rounds()
    found = under(story, replace(FREE, priority_bonus_seconds=Bonuses(critical=1, high=1, normal=1)), since)
    begins = ["assigned", "deadline_set"]
    at = decided(story, 4)
    assert told(found) == [(at, "demo/shop#3", begins, []), (at, "demo/shop#2", [], begins)]


def test_a_schedule_goes_on_where_people_took_it_away() -> None:
    nightly = replace(FREE, schedules={"nightly": 86_400.0})
    story = Story(nightly)
    story.approve(1)
    story.rounds()
    story.adopt(replace(FREE, attempts_max=2))
    story.approve(2)
    story.rounds()
    assert under(story, nightly).same_before is None


# ── what cannot be compared ──────────────────────────────────────────────────


def test_a_round_that_does_not_come_out_again_is_named_and_not_compared() -> None:
    story = three_at_once()
    at = decided(story, 1)
    log = list(enumerate(story.log, start=1))
    log[at] = (at + 1, replace(story.log[at], data=replace(story.log[at].data, attempt=7)))
    found = whatif(log, one_in_progress(1))
    assert found.not_reproduced[0] == at
    assert found.rounds + len(found.not_reproduced) == 4
    log = list(enumerate(story.log, start=1))
    log[at - 1] = (at, replace(story.log[at - 1], data=replace(story.log[at - 1].data, policy="another")))
    assert whatif(log, one_in_progress(1)).not_reproduced == [at]
    other = [
        (place, replace(event, data=replace(event.data, rules=RULES - 1)) if isinstance(event.data, Decided) else event)
        for place, event in enumerate(story.log, start=1)
    ]
    found = whatif(other, one_in_progress(1))
    assert (found.rounds, found.other_rules, found.differences) == (0, 4, [])


def test_what_cannot_be_read_and_a_log_without_a_policy_are_no_trouble() -> None:
    assert whatif([], FREE) == WhatIf(policy=FREE.digest())
    assert whatif([(1, None), (2, None)], FREE).rounds == 0
    comparison = Comparison(FREE)
    for position, event in enumerate(three_at_once().log[:-1], start=1):
        comparison.hear(position, event)
    assert comparison.found().rounds == 3, "a batch whose end has not come is not compared"


def test_of_a_round_that_is_full_only_what_both_say_is_compared() -> None:
    story = Story(replace(FREE, schedules={"audit": 3_600.0}), slots=500)
    for number in range(1, 501):
        story.approve(number)
    story.rounds()
    found = under(story, one_in_progress(1))
    assert [each.about for each in found.differences] == [f"demo/shop#{number}" for number in range(2, 501)]
    assert {tuple(kinds(each.recorded)) for each in found.differences} == {("assigned", "deadline_set")}
    assert [each.position for each in found.differences[-2:]] == [decided(story, 1), decided(story, 2)]
    assert found.left_out == 1, "the deadline of the schedule, of which nobody knows whether the other was to come"
