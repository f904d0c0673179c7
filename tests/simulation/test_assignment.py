"""Who gets work, and when: priority and age, fairness, limits, capability, a person's choice."""

import pytest
from msgspec.structs import replace

from schemas import (
    Actor,
    AgentBack,
    AgentCapacityChanged,
    AgentLeft,
    AgentRef,
    AgentSilent,
    AssignReason,
    AssignRequested,
    FailureKind,
    IssueAssigned,
    IssueRef,
    IssueRevised,
    IssueState,
    LeaveReason,
    Overrides,
    Priority,
    PriorityChanged,
    RepoRef,
    RolePolicy,
)
from schemas.policy import Bonuses
from tests.support.story import FREE, SHOP, Story, kinds

OTHER = RepoRef("demo", "other")
DAY = 86_400
QUEUED, ASSIGNED = IssueState.QUEUED, IssueState.ASSIGNED


def assigned(story: Story) -> list[IssueRef]:
    """What was assigned, in that order."""
    return [event.about for event in story.log if isinstance(event.data, IssueAssigned)]


def slots(story: Story, slots: int, name: str = "dev-e-1", *, degraded: tuple[str, ...] = ()) -> None:
    changed = AgentCapacityChanged(boot="b1", slots=slots, degraded=degraded)
    story.say(Actor.DEV_E, AgentRef(name), changed)


def work_through(story: Story, ref: IssueRef) -> None:
    """Claimed, pushed, and out of the slot."""
    story.start(ref, f"r-{ref.number}")
    story.push(ref, f"h{ref.number}", f"r-{ref.number}")


# ── who comes first ──────────────────────────────────────────────────────────


def test_by_priority_and_within_one_by_age() -> None:
    story = Story(slots=0)
    low, normal, high, critical, younger = (
        story.approve(number, priority=priority)
        for number, priority in enumerate(
            (Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.CRITICAL, Priority.CRITICAL), start=1
        )
    )
    slots(story, 9)
    story.rounds()
    assert assigned(story) == [critical, younger, high, normal, low]
    story.ends()


def test_a_later_clock_counts_and_not_the_order_in_the_log() -> None:
    story = Story(slots=0)
    story.later(60)
    younger = story.approve(1)
    story.later(-60)
    older = story.approve(2)
    slots(story, 1)
    story.rounds()
    assert assigned(story) == [older]
    assert story.issue(younger).state is QUEUED
    story.ends()


def test_a_low_issue_is_not_starved_by_critical_ones_without_end() -> None:
    """The bonus is a head start and no more: a week after it, the low issue is the oldest of all."""
    story = Story(replace(FREE, needs_human_seconds=30 * DAY, orphan_seconds=30 * DAY))
    low = story.approve(1, priority=Priority.LOW)
    story.approve(100, priority=Priority.CRITICAL)
    story.rounds()
    days = 0
    while story.issue(low).state is QUEUED:
        days += 1
        assert days < 10, "starved"
        story.later(DAY)
        story.approve(100 + days, priority=Priority.CRITICAL)
        work_through(story, assigned(story)[-1])
        story.rounds()
    assert days == 7, "seven days of a head start: of two that count the same, the earlier in the log goes first"
    assert story.issue(low).state is ASSIGNED
    story.ends()


def test_the_bonus_of_each_priority_is_what_the_policy_says() -> None:
    bonuses = Bonuses(critical=300, high=200, normal=100, low=0)
    story = Story(replace(FREE, priority_bonus_seconds=bonuses), slots=0)
    low = story.approve(1, priority=Priority.LOW)
    story.later(99)
    normal = story.approve(2)
    story.later(102)
    high = story.approve(3, priority=Priority.HIGH)
    slots(story, 3)
    story.rounds()
    assert assigned(story) == [normal, low, high]
    story.ends()


def test_a_changed_priority_counts_from_then_on() -> None:
    story = Story(slots=0)
    first, second = story.approve(1), story.approve(2)
    story.rounds()
    story.say(Actor.CLI, second, PriorityChanged(priority=Priority.HIGH, by="ada"))
    slots(story, 1)
    story.rounds()
    assert assigned(story) == [second]
    assert story.issue(first).state is QUEUED
    story.ends()


def test_a_new_policy_lines_the_queue_up_anew() -> None:
    story = Story(slots=0)
    low = story.approve(1, priority=Priority.LOW)
    story.later(60)
    high = story.approve(2, priority=Priority.HIGH)
    story.rounds()
    flat = replace(FREE, priority_bonus_seconds=Bonuses(critical=30, high=30, normal=0, low=0))
    story.adopt(flat)
    slots(story, 1)
    story.rounds()
    assert assigned(story) == [low], "half a minute of a head start does not make up for a minute"
    assert story.issue(high).state is QUEUED
    story.ends()


# ── between repositories ─────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fair", "expected"),
    [
        (3_600, [(SHOP, 1), (OTHER, 1), (SHOP, 2), (OTHER, 2)]),
        (0, [(SHOP, 1), (SHOP, 2), (SHOP, 3), (OTHER, 1)]),
    ],
)
def test_a_repository_with_much_under_way_stands_back(fair: float, expected: list[tuple[RepoRef, int]]) -> None:
    story = Story(replace(FREE, fair_seconds=fair), slots=0)
    story.add(OTHER)
    for number in (1, 2, 3):
        story.approve(number)
    story.later(600)
    for number in (1, 2):
        story.approve(number, repository=OTHER)
    slots(story, 4)
    story.rounds()
    assert [(ref.repository, ref.number) for ref in assigned(story)] == expected
    story.ends()


def test_what_was_under_way_before_counts_for_fairness_too() -> None:
    story = Story(slots=1)
    story.add(OTHER)
    story.approve(1)
    story.rounds()
    story.approve(2)
    story.later(3_599)
    waits = story.approve(1, repository=OTHER)
    slots(story, 2)
    story.rounds()
    assert assigned(story)[-1] == waits, "nearly an hour younger, and nothing under way there"
    story.ends()


def test_fairness_is_no_starving_either() -> None:
    """Every piece of work under way counts an hour: an issue that has waited longer than that goes first."""
    story = Story(slots=1)
    story.add(OTHER)
    story.approve(1)
    story.rounds()
    old = story.approve(2)
    story.later(3_601)
    story.approve(1, repository=OTHER)
    slots(story, 2)
    story.rounds()
    assert assigned(story)[-1] == old
    story.ends()


# ── how much at once ─────────────────────────────────────────────────────────


def test_slots_are_counted_within_the_round() -> None:
    story = Story(slots=3)
    for number in range(1, 51):
        story.approve(number)
    assert kinds(story.rounds()).count("IssueAssigned") == 3
    story.ends()


def test_a_repository_has_a_limit_of_its_own_or_the_policys() -> None:
    story = Story(replace(FREE, repository_in_progress_max=1), slots=9)
    generous, closed = RepoRef("demo", "generous"), RepoRef("demo", "closed")
    story.add(generous, overrides=Overrides(in_progress_max=2))
    story.add(closed, overrides=Overrides(in_progress_max=0))
    for repository in (SHOP, generous, closed):
        for number in (1, 2, 3):
            story.approve(number, repository=repository)
    story.rounds()
    assert {repository: story.state.working_in.get(repository, 0) for repository in (SHOP, generous, closed)} == {
        SHOP: 1,
        generous: 2,
        closed: 0,
    }
    work_through(story, IssueRef("demo", "shop", 1))
    story.rounds()
    assert assigned(story)[-1] == IssueRef("demo", "shop", 2), "what is pushed is under way no more"
    story.ends()


def test_a_role_has_a_limit_whatever_its_replicas_offer() -> None:
    story = Story(replace(FREE, roles={"dev-e": RolePolicy(in_progress_max=2)}), slots=9)
    for number in (1, 2, 3):
        story.approve(number)
    story.rounds()
    assert assigned(story) == [IssueRef("demo", "shop", number) for number in (1, 2)]
    story.ends()


def test_the_slots_of_an_agent_that_left_are_gone() -> None:
    story = Story(slots=1)
    story.say(Actor.DEV_E, AgentRef("dev-e-1"), AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
    ref = story.approve(1)
    story.rounds()
    assert story.issue(ref).state is QUEUED
    story.join("dev-e-2")
    story.rounds()
    assert story.issue(ref).state is ASSIGNED
    story.ends()


def test_what_an_older_boot_says_of_its_slots_counts_no_more() -> None:
    story = Story(slots=1)
    story.join("dev-e-1", slots=0, boot="b2")
    slots(story, 5)
    story.say(Actor.DEV_E, AgentRef("dev-e-1"), AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
    story.approve(1)
    story.rounds()
    assert assigned(story) == []
    assert "dev-e-1" in story.state.agents
    story.ends()


SCALED = replace(FREE, roles={"dev-e": RolePolicy(scale_to=2)})


def test_a_role_at_no_replicas_is_given_as_much_as_it_may_scale_to() -> None:
    story = Story(SCALED, slots=0)
    for number in (1, 2, 3):
        story.approve(number)
    story.rounds()
    assert len(assigned(story)) == 2
    story.join("dev-e-2")
    story.start(assigned(story)[0], "r-1", agent="dev-e-2")
    story.rounds()
    assert len(assigned(story)) == 2, "one works, and the other is still to come"
    story.push(assigned(story)[0], "h1", "r-1")
    story.rounds()
    assert len(assigned(story)) == 3
    story.ends()


def test_more_replicas_than_it_would_scale_to_are_all_used() -> None:
    story = Story(SCALED, slots=3)
    for number in (1, 2, 3, 4):
        story.approve(number)
    story.rounds()
    assert len(assigned(story)) == 3
    story.ends()


def test_a_replica_that_rests_takes_its_place_in_what_may_be_scaled_to_and_a_dead_one_does_not() -> None:
    story = Story(replace(FREE, roles={"dev-e": RolePolicy(scale_to=1)}), slots=1)
    story.quota("dev-e-1", 100)
    ref = story.approve(1)
    story.rounds()
    assert story.issue(ref).state is QUEUED, "nobody else would be started, and that one would fail"
    story.say(Actor.WATCH, AgentRef("dev-e-1"), AgentSilent(since=story.now))
    story.rounds()
    assert story.issue(ref).state is ASSIGNED, "it is gone: another is started in its place"
    story.ends()


# ── who can ──────────────────────────────────────────────────────────────────


def test_an_issue_waits_for_a_replica_that_has_what_it_requires() -> None:
    story = Story(slots=5)
    ref = story.approve(1, requires=("gpu", "docker"))
    plain = story.approve(2)
    story.join("dev-e-2", can=("gpu",))
    story.rounds()
    assert assigned(story) == [plain]
    story.join("dev-e-3", can=("docker", "gpu", "browser"))
    story.rounds()
    assert story.issue(ref).state is QUEUED, "until it is claimed, the plain one might be given to that replica"
    story.start(plain)
    story.rounds()
    assert story.issue(ref).state is ASSIGNED
    story.ends()


def test_what_a_repository_needs_every_issue_there_needs() -> None:
    story = Story(slots=5)
    story.add(OTHER, capabilities=("rust",))
    ref = story.approve(1, repository=OTHER)
    story.rounds()
    assert story.issue(ref).state is QUEUED
    story.join("dev-e-2", can=("rust",))
    story.rounds()
    assert story.issue(ref).state is ASSIGNED
    story.ends()


def test_two_profiles_of_replicas_are_not_mixed_up() -> None:
    """Three slots that cannot do it do not make up for the one that can and is in use."""
    story = Story(slots=3)
    story.join("dev-e-2", can=("gpu",))
    first, second = (story.approve(number, requires=("gpu",)) for number in (1, 2))
    story.rounds()
    assert assigned(story) == [first]
    story.start(first, "r-1", agent="dev-e-2")
    story.rounds()
    assert story.issue(second).state is QUEUED
    plain = story.approve(3)
    story.rounds()
    assert story.issue(plain).state is ASSIGNED
    story.push(first, "h1", "r-1")
    story.start(plain, "r-3")
    story.rounds()
    assert story.issue(second).state is ASSIGNED
    story.ends()


def test_a_degraded_replica_gets_nothing_new_and_keeps_what_it_has() -> None:
    story = Story(slots=2)
    first, second = story.approve(1), None
    story.rounds()
    story.start(first)
    slots(story, 2, degraded=("git",))
    second = story.approve(2)
    story.rounds()
    assert [story.issue(ref).state for ref in (first, second)] == [IssueState.IN_PROGRESS, QUEUED]
    slots(story, 2)
    story.rounds()
    assert story.issue(second).state is ASSIGNED
    story.ends()


def test_a_silent_replica_gets_nothing_until_it_is_back() -> None:
    story = Story(slots=2)
    story.say(Actor.WATCH, AgentRef("dev-e-1"), AgentSilent(since=story.now))
    ref = story.approve(1)
    story.rounds()
    assert story.issue(ref).state is QUEUED
    story.say(Actor.WATCH, AgentRef("dev-e-1"), AgentBack(since=story.now))
    story.rounds()
    assert story.issue(ref).state is ASSIGNED
    story.ends()


# ── who would rather ─────────────────────────────────────────────────────────


def test_the_next_round_goes_to_the_same_replica_and_its_session() -> None:
    story = Story(slots=0)
    story.join("dev-e-2")
    ref = story.approve(1)
    story.rounds()
    story.start(ref, "r-1", agent="dev-e-2")
    story.fail(ref, FailureKind.CHECKS_FAILED)
    story.rounds()
    again = story.said(IssueAssigned)[-1]
    assert (again.agent, again.resume, again.role) == ("dev-e-2", "s-r-1", "dev-e")
    story.ends()


def test_nobody_is_preferred_who_gets_no_work_but_the_session_goes_on() -> None:
    story = Story(slots=1)
    story.join("dev-e-2")
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    slots(story, 1, degraded=("disk",))
    story.fail(ref, FailureKind.CHECKS_FAILED)
    story.rounds()
    again = story.said(IssueAssigned)[-1]
    assert (again.agent, again.resume) == (None, "s-r-1")
    story.ends()


def test_nobody_is_preferred_who_cannot_do_what_is_required_since() -> None:
    story = Story(slots=1)
    story.join("dev-e-2", can=("gpu",))
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.say(Actor.LOCAL, ref, IssueRevised(requires=("gpu",)))
    story.fail(ref, FailureKind.CHECKS_FAILED)
    story.rounds()
    again = story.said(IssueAssigned)[-1]
    assert (again.agent, again.resume) == (None, "s-r-1")
    story.ends()


def test_a_person_asks_for_a_role() -> None:
    story = Story(slots=1)
    ref = story.approve(1)
    story.say(Actor.CLI, ref, AssignRequested(to="ops-e", by="ada"))
    story.rounds()
    assert story.issue(ref).state is QUEUED, "no replica of that role has joined"
    story.join("ops-e-1", role="ops-e")
    story.rounds()
    (given,) = story.said(IssueAssigned)
    assert given.role == "ops-e"
    assert str(story.log[-2].subject).endswith("conductor.assigned.ops-e")
    story.ends()


def test_a_person_asks_for_a_replica_while_another_works_on_it() -> None:
    """Whoever works on it goes on and keeps its slot; the next round is the other's, from the beginning."""
    story = Story(slots=1)
    story.join("dev-e-2", slots=1)
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.say(Actor.CLI, ref, AssignRequested(to="dev-e-2", by="ada"))
    story.rounds()
    assert (story.issue(ref).state, story.issue(ref).agent) == (IssueState.IN_PROGRESS, "dev-e-1")
    assert [story.state.agents[name].busy for name in ("dev-e-1", "dev-e-2")] == [{ref}, set()]
    story.fail(ref, FailureKind.NO_CHANGES)
    story.rounds()
    again = story.said(IssueAssigned)[-1]
    assert (again.agent, again.resume) == ("dev-e-2", None)
    story.start(ref, "r-2", agent="dev-e-2")
    story.fail(ref, FailureKind.NO_CHANGES, run="r-2")
    story.rounds()
    again = story.said(IssueAssigned)[-1]
    assert (again.agent, again.resume) == ("dev-e-2", "s-r-2")
    story.ends()


def test_a_person_asks_for_a_replica_of_another_role_and_starts_over() -> None:
    story = Story(replace(FREE, attempts_max=1))
    story.join("ops-e-1", role="ops-e")
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.fail(ref, FailureKind.NO_CHANGES)
    story.rounds()
    assert story.issue(ref).state is IssueState.ESCALATED
    story.say(Actor.CLI, ref, AssignRequested(to="ops-e-1", by="ada"))
    story.rounds()
    again = story.said(IssueAssigned)[-1]
    assert (again.role, again.agent, again.attempt, again.reason) == ("ops-e", "ops-e-1", 1, AssignReason.ASKED)
    story.ends()


def test_the_role_asked_for_outlasts_a_policy_with_another() -> None:
    story = Story(slots=1)
    ref, other = story.approve(1), story.approve(2)
    story.say(Actor.CLI, ref, AssignRequested(to="dev-e", by="ada"))
    story.adopt(replace(FREE, role="ops-e"))
    story.rounds()
    assert assigned(story) == [ref]
    assert story.issue(other).state is QUEUED
    story.ends()
