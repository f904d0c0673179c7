"""The rig as a whole: pauses, milestones, incidents, schedules, policies, and the loop that decides."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from schemas import (
    FLEET,
    Actor,
    FailureKind,
    FleetDeadlineKind,
    FleetDeadlineSet,
    IncidentClosed,
    IncidentEscalated,
    IncidentOpened,
    IssueAssigned,
    IssueRef,
    IssueRevised,
    IssueWithdrawn,
    MainChecksFailed,
    MainChecksPassed,
    MilestoneCompleted,
    Paused,
    RepoRef,
    Resumed,
    RetryRequested,
    Reverted,
    RunConclusion,
    ScheduleFired,
)
from tests.support.story import FREE, SHOP, Story, sha

OTHER = RepoRef("demo", "other")
MAIN = "demo/shop: test"


def done(story: Story, ref: IssueRef) -> None:
    story.to_merging(ref, f"h{ref.number}", f"r-{ref.number}")
    story.merge(ref)
    story.rounds()


# ── pauses ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("all", ["queued", "queued"]),
        ("role:dev-e", ["queued", "queued"]),
        ("role:ops-e", ["assigned", "assigned"]),
        ("repository:demo/shop", ["queued", "assigned"]),
    ],
)
def test_no_new_work_begins_where_it_is_paused_until_it_is_resumed(scope: str, expected: list[str]) -> None:
    story = Story(slots=9)
    story.add(OTHER)
    story.say(Actor.CLI, FLEET, Paused(scope=scope, by="ada"))
    refs = [story.approve(1), story.approve(1, repository=OTHER)]
    story.rounds()
    assert story.states(*refs) == expected
    story.say(Actor.CLI, FLEET, Resumed(scope=scope, by="ada"))
    story.rounds()
    assert story.states(*refs) == ["assigned", "assigned"]
    story.ends()


def test_what_is_under_way_goes_on_and_its_next_round_waits() -> None:
    story = Story(slots=3)
    working, in_review = story.approve(1), story.approve(2)
    story.to_review(in_review, run="r-2")
    story.start(working)
    story.say(Actor.CLI, FLEET, Paused(scope="all", by="ada"))
    story.check(in_review, "h1")
    story.rounds()
    assert story.states(in_review) == ["merging"]
    story.fail(working, FailureKind.CHECKS_FAILED)
    story.rounds()
    assert story.states(working) == ["queued"]
    story.say(Actor.CLI, FLEET, Resumed(scope="all", by="ada"))
    story.rounds()
    assert story.states(working) == ["assigned"]
    story.ends()


def test_each_pause_is_lifted_by_itself() -> None:
    story = Story()
    for scope in ("all", "all", "role:dev-e"):
        story.say(Actor.CLI, FLEET, Paused(scope=scope, by="ada"))
    ref = story.approve(1)
    story.say(Actor.CLI, FLEET, Resumed(scope="all", by="ada"))
    story.rounds()
    assert story.states(ref) == ["queued"]
    story.say(Actor.CLI, FLEET, Resumed(scope="role:dev-e", by="ada"))
    story.rounds()
    assert story.states(ref) == ["assigned"]
    story.ends()


# ── milestones ───────────────────────────────────────────────────────────────


def test_a_milestone_is_complete_when_all_of_it_is_done_and_again_when_more_came() -> None:
    story = Story()
    first, second = (story.approve(number, milestone="v1") for number in (1, 2))
    story.approve(9, milestone="v2")
    done(story, first)
    assert story.said(MilestoneCompleted) == []
    done(story, second)
    assert story.said(MilestoneCompleted) == [MilestoneCompleted(milestone="v1", issues=(first, second))]
    third = story.approve(3, milestone="v1")
    story.say(Actor.CLI, IssueRef("demo", "shop", 9), IssueWithdrawn(by="ada"))
    done(story, third)
    assert [said.issues for said in story.said(MilestoneCompleted)] == [(first, second), (first, second, third)]
    story.ends()


def test_what_nobody_wants_any_more_or_is_moved_elsewhere_completes_a_milestone() -> None:
    story = Story()
    first, second, third = (story.approve(number, milestone="v1") for number in (1, 2, 3))
    done(story, first)
    story.say(Actor.CLI, second, IssueWithdrawn(by="ada"))
    story.rounds()
    assert story.said(MilestoneCompleted) == []
    story.say(Actor.CLI, third, IssueRevised(milestone="v2"))
    story.rounds()
    assert story.said(MilestoneCompleted) == [MilestoneCompleted(milestone="v1", issues=(first,))]
    story.ends()


def test_a_milestone_that_nothing_of_was_done_is_not_completed_by_being_emptied() -> None:
    story = Story(slots=0)
    ref = story.approve(1, milestone="v1")
    story.say(Actor.CLI, ref, IssueWithdrawn(by="ada"))
    story.rounds()
    assert story.said(MilestoneCompleted) == []
    story.ends()


def test_a_milestone_is_open_again_when_what_was_done_is_done_again() -> None:
    story = Story()
    ref = story.approve(1, milestone="v1")
    done(story, ref)
    story.say(Actor.LOCAL, ref, Reverted(merge_sha=sha("m1"), revert_sha=sha("x"), by="ada"))
    story.say(Actor.CLI, ref, RetryRequested(by="ada"))
    story.rounds()
    assert not story.state.milestones["v1"].completed
    story.to_merging(ref, "h2", "r-2")
    story.merge(ref, "m-again")
    story.rounds()
    assert len(story.said(MilestoneCompleted)) == 2
    story.ends()


# ── incidents ────────────────────────────────────────────────────────────────


def ran(
    story: Story,
    conclusion: RunConclusion,
    previous: RunConclusion | None = None,
    *,
    workflow: str = "test",
    repository: RepoRef = SHOP,
) -> None:
    """A workflow ended on the base branch, a minute later."""
    story.later(60)
    event = MainChecksPassed if conclusion is RunConclusion.SUCCESS else MainChecksFailed
    said = event(
        sha=sha(f"c{len(story.log)}"),
        workflow=workflow,
        run=str(len(story.log)),
        conclusion=conclusion,
        previous_conclusion=previous,
    )
    story.say(Actor.LOCAL, repository, said)
    story.rounds()


GREEN, RED = RunConclusion.SUCCESS, RunConclusion.FAILURE


@pytest.mark.parametrize("conclusion", list(RunConclusion))
def test_only_a_failure_that_says_that_something_is_broken_is_red(conclusion: RunConclusion) -> None:
    story = Story()
    ran(story, conclusion, GREEN)
    red = conclusion in (RunConclusion.FAILURE, RunConclusion.TIMED_OUT, RunConclusion.STARTUP_FAILURE)
    assert len(story.said(IncidentOpened)) == red
    story.ends()


def test_a_red_base_branch_is_one_incident_until_it_is_green_again() -> None:
    story = Story()
    ran(story, RED, GREEN)
    (opened,) = story.said(IncidentOpened)
    assert (opened.fingerprint, opened.repository, opened.workflow) == (MAIN, SHOP, "test")
    ran(story, RED, RED)
    ran(story, RunConclusion.CANCELLED, RED)
    ran(story, RunConclusion.TIMED_OUT, RunConclusion.CANCELLED)
    assert len(story.said(IncidentOpened)) == 1
    assert story.said(IncidentClosed) == []
    ran(story, GREEN, RED)
    ran(story, GREEN, GREEN)
    assert len(story.said(IncidentClosed)) == 1
    ran(story, RED, GREEN)
    assert len(story.said(IncidentOpened)) == 2
    story.ends()


def test_what_was_red_on_the_parent_already_is_nobodys_incident() -> None:
    story = Story()
    for _ in range(3):
        ran(story, RED, RED)
    assert story.said(IncidentOpened) == []
    ran(story, GREEN, RED)
    ran(story, RED, RunConclusion.CANCELLED)
    assert len(story.said(IncidentOpened)) == 1, "a run that was cancelled says nothing of the parent"
    story.ends()


def test_every_workflow_and_repository_has_incidents_of_its_own() -> None:
    story = Story()
    story.add(OTHER)
    ran(story, RED, GREEN)
    ran(story, RED, GREEN, workflow="lint")
    ran(story, RED, GREEN, repository=OTHER)
    assert [said.fingerprint for said in story.said(IncidentOpened)] == [MAIN, "demo/shop: lint", "demo/other: test"]
    ran(story, GREEN, RED, workflow="lint")
    assert [said.fingerprint for said in story.said(IncidentClosed)] == ["demo/shop: lint"]
    story.ends()


def test_people_are_told_once_of_what_is_not_mended_within_half_an_hour() -> None:
    story = Story()
    ran(story, RED, GREEN)
    opened = story.now
    story.deadline_passes((FleetDeadlineKind.INCIDENT, MAIN))
    assert story.now == opened + timedelta(minutes=30)
    story.rounds()
    assert [(said.fingerprint, said.open_minutes) for said in story.said(IncidentEscalated)] == [(MAIN, 30)]
    ran(story, RED, RED)
    story.time_passes(24 * 3_600)
    assert len(story.said(IncidentEscalated)) == 1
    ran(story, GREEN, RED)
    ran(story, RED, GREEN)
    story.time_passes(1_800)
    assert len(story.said(IncidentEscalated)) == 2, "another incident, told of again"
    story.ends()


def test_nobody_is_told_of_what_was_mended_in_time() -> None:
    story = Story()
    ran(story, RED, GREEN)
    ran(story, GREEN, RED)
    story.time_passes(3_600)
    assert story.said(IncidentEscalated) == []
    assert story.timers() == []
    story.ends()


def test_an_older_run_that_is_heard_late_changes_nothing_and_of_two_at_one_time_the_later_word_counts() -> None:
    story = Story()
    ran(story, GREEN, GREEN)
    story.later(-120)
    ran(story, RED, GREEN)  # a minute before the green one
    assert story.said(IncidentOpened) == []
    ran(story, RED, GREEN)  # at the same time
    assert len(story.said(IncidentOpened)) == 1
    story.ends()


# ── schedules ────────────────────────────────────────────────────────────────


def test_what_happens_by_the_clock_happens_on_and_on() -> None:
    story = Story(replace(FREE, schedules={"audit": 3_600}))
    began = story.now
    story.time_passes(3 * 3_600 + 1)
    assert [(said.schedule, said.due - began) for said in story.said(ScheduleFired)] == [
        ("audit", timedelta(hours=hours)) for hours in (1, 2, 3)
    ]
    story.ends()


def test_after_an_outage_it_happens_once_and_not_as_often_as_was_missed() -> None:
    story = Story(replace(FREE, schedules={"audit": 3_600}))
    story.rounds()
    story.later(10 * 3_600)
    story.time_passes(0)
    assert len(story.said(ScheduleFired)) == 1
    assert story.said(FleetDeadlineSet)[-1].at == story.now + timedelta(hours=1)
    story.ends()


def test_a_schedule_that_the_policy_changes_or_drops_goes_by_the_new_one() -> None:
    story = Story(replace(FREE, schedules={"audit": 86_400, "sweep": 3_600, "stays": 7_200}))
    story.rounds()
    story.later(1_800)
    story.adopt(replace(FREE, schedules={"audit": 600, "stays": 7_200}))
    story.time_passes(5_400)
    assert [said.schedule for said in story.said(ScheduleFired)].count("audit") == 9
    assert [said.schedule for said in story.said(ScheduleFired) if said.schedule != "audit"] == ["stays"]
    story.ends()


# ── policies ─────────────────────────────────────────────────────────────────


def test_a_policy_holds_from_where_it_stands_in_the_log() -> None:
    story = Story(replace(FREE, attempts_max=5))
    ref = story.approve(1)
    for number in (1, 2):
        story.rounds()
        story.start(ref, f"r-{number}")
        story.fail(ref, FailureKind.BUG, run=f"r-{number}")
    story.adopt(replace(FREE, attempts_max=2))
    story.rounds()
    assert story.states(ref) == ["escalated"]
    story.ends()


def test_an_older_policy_that_is_said_twice_does_not_come_back() -> None:
    story = Story(replace(FREE, repository_in_progress_max=1), slots=9)
    first = story.log[0]
    story.adopt(replace(FREE, repository_in_progress_max=2))
    story.append(first)
    for number in (1, 2, 3):
        story.approve(number)
    story.rounds()
    assert len(story.said(IssueAssigned)) == 2
    story.ends()


def test_whoever_adopts_an_older_policy_anew_means_it() -> None:
    story = Story(replace(FREE, repository_in_progress_max=1), slots=9)
    story.adopt(FREE)
    story.adopt(replace(FREE, repository_in_progress_max=1))
    for number in (1, 2):
        story.approve(number)
    story.rounds()
    assert len(story.said(IssueAssigned)) == 1
    story.ends()
