"""Replicas: silence, and the work that is taken for it; quotas and logins that they report."""

from datetime import timedelta

from msgspec.structs import replace

from schemas import (
    Actor,
    AgentBack,
    AgentDeadlineKind,
    AgentDeadlineSet,
    AgentLeft,
    AgentRef,
    AgentSilent,
    AgentStuck,
    AgentSuspended,
    EscalationReason,
    FailureKind,
    IssueAssigned,
    IssueEscalated,
    IssueRef,
    IssueState,
    IssueUnassigned,
    LeaveReason,
    LoginRequired,
    QuestionAnswered,
    QuestionAsked,
    SuspensionReason,
    UnassignReason,
)
from tests.support.story import FREE, Story

SILENCE = ("dev-e-1", AgentDeadlineKind.SILENT)
RESET = ("dev-e-1", AgentDeadlineKind.QUOTA)


def silent(story: Story, name: str = "dev-e-1") -> None:
    story.say(Actor.WATCH, AgentRef(name), AgentSilent(since=story.now - timedelta(seconds=60)))


def back(story: Story, name: str = "dev-e-1") -> None:
    story.say(Actor.WATCH, AgentRef(name), AgentBack(since=story.now))


def at_work(story: Story, number: int = 1) -> IssueRef:
    ref = story.approve(number)
    story.rounds()
    story.start(ref, f"r-{number}")
    story.rounds()
    return ref


# ── silence ──────────────────────────────────────────────────────────────────


def test_after_half_an_hour_of_silence_its_work_goes_to_another() -> None:
    story = Story()
    ref = at_work(story)
    story.join("dev-e-2")
    silent(story)
    since = story.now - timedelta(seconds=60)
    assert story.rounds() == [], "it may come back"
    story.deadline_passes(SILENCE)
    assert story.now - since == timedelta(minutes=30)
    unassigned, *_ = story.rounds()
    assert unassigned == IssueUnassigned(epoch=1, reason=UnassignReason.STUCK)
    assert story.said(AgentStuck) == [AgentStuck(issue=ref, epoch=1, silent_seconds=1_800)]
    again = story.said(IssueAssigned)[-1]
    assert (again.epoch, again.attempt, again.agent) == (2, 1, None)
    story.push(ref, "late", "r-1")
    assert story.issue(ref).state is IssueState.ASSIGNED, "a word of somebody who owns nothing any more"
    story.ends()


def test_everything_that_it_has_in_hand_is_taken_from_it() -> None:
    story = Story(slots=3)
    refs = [at_work(story, number) for number in (1, 2)]
    waiting = story.approve(3)
    story.rounds()
    silent(story)
    story.rounds()
    story.deadline_passes(SILENCE)
    story.rounds()
    assert [stuck.issue for stuck in story.said(AgentStuck)] == refs
    assert story.states(*refs) == ["queued", "queued"]
    assert story.issue(waiting).state is IssueState.ASSIGNED, "not claimed, so not in its hand"
    story.ends()


def test_back_in_time_nothing_has_happened() -> None:
    story = Story()
    ref = at_work(story)
    silent(story)
    story.rounds()
    timer = next(timer for timer in story.timers() if timer.owner == SILENCE)
    story.later(600)
    back(story)
    passed = timer.passed()
    story.say(Actor.CONDUCTOR, passed.about, passed.data)  # it fires all the same
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.IN_PROGRESS
    assert story.said(AgentStuck) == []
    story.ends()


def test_a_second_silence_is_as_long_as_the_first() -> None:
    story = Story()
    ref = at_work(story)
    for _ in range(2):
        silent(story)
        story.rounds()
        story.later(1_000)
        back(story)
        story.rounds()
    silent(story)
    story.time_passes(1_700)
    assert story.issue(ref).state is IssueState.IN_PROGRESS
    story.time_passes(100)
    assert story.issue(ref).state is IssueState.QUEUED
    story.ends()


def test_back_before_the_deadline_was_read_it_is_not_taken_for_stuck_the_next_time() -> None:
    story = Story()
    ref = at_work(story)
    silent(story)
    _, batch = story.decision()
    back(story)  # lands between what was decided on and the batch
    for event in batch:
        story.append(event)
    story.later(3_600)
    silent(story)
    story.rounds()
    assert story.issue(ref).state is IssueState.IN_PROGRESS
    (_, again) = story.said(AgentDeadlineSet)
    assert again.at == story.now + timedelta(minutes=29)
    story.ends()


def test_silent_with_nothing_in_hand_nothing_is_due() -> None:
    story = Story()
    silent(story)
    assert story.decision()[0] == []
    assert story.timers() == []
    story.ends()


def test_whoever_was_taken_for_stuck_and_is_back_gets_work_again() -> None:
    story = Story()
    ref = at_work(story)
    silent(story)
    story.time_passes(1_800)
    assert story.issue(ref).state is IssueState.QUEUED, "there is nobody else"
    back(story)
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    story.start(ref, "r-2")
    silent(story)
    story.rounds()
    assert story.issue(ref).state is IssueState.IN_PROGRESS, "a silence of its own"
    story.ends()


def test_a_replica_that_joins_again_is_silent_no_more_and_keeps_its_work() -> None:
    story = Story()
    ref = at_work(story)
    silent(story)
    story.rounds()
    story.join("dev-e-1", boot="b2")
    assert [timer.owner for timer in story.timers()] == [ref]
    assert story.state.agents["dev-e-1"].busy == {ref}
    second = story.approve(2)
    story.rounds()
    assert story.issue(second).state is IssueState.QUEUED, "its one slot is in use"
    story.ends()


def test_a_replica_that_left_is_not_waited_for_its_work_is_taken_over_or_times_out() -> None:
    story = Story()
    ref = at_work(story)
    story.say(Actor.DEV_E, AgentRef("dev-e-1"), AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
    story.join("dev-e-2")
    assert story.rounds() == []
    story.start(ref, "r-2", agent="dev-e-2")  # the log hands the assignment to whoever is there
    story.rounds()
    assert (story.issue(ref).agent, story.issue(ref).unassignments) == ("dev-e-2", 1)
    story.join("dev-e-1", boot="b2")
    assert story.state.agents["dev-e-1"].busy == set()
    story.ends()


def test_a_replica_that_comes_back_with_its_work_still_open_has_that_slot_in_use() -> None:
    story = Story()
    ref = at_work(story)
    story.say(Actor.DEV_E, AgentRef("dev-e-1"), AgentLeft(boot="b1", reason=LeaveReason.FAILED))
    story.join("dev-e-1", boot="b2")
    assert story.state.agents["dev-e-1"].busy == {ref}
    second = story.approve(2)
    story.rounds()
    assert story.issue(second).state is IssueState.QUEUED
    story.ends()


def test_a_run_that_is_over_in_the_very_round_is_spoken_of_once() -> None:
    """Its time is up, and its replica is stuck: one word about it, not two."""
    story = Story(replace(FREE, run_seconds=1_740.0, coder_wall_seconds=60))
    ref = at_work(story)
    silent(story)
    story.rounds()
    run = story.issue(ref).deadline
    assert run is not None
    story.deadline_passes(SILENCE)
    story.deadline_passes(ref)
    story.rounds()
    assert len(story.said(IssueUnassigned)) == 1
    story.ends()


def test_an_issue_whose_replicas_fall_silent_one_after_another_ends_with_a_person() -> None:
    story = Story(replace(FREE, unassignments_max=2))
    ref = at_work(story)
    silent(story)
    story.time_passes(1_800)
    story.join("dev-e-2")
    story.rounds()
    story.start(ref, "r-2", agent="dev-e-2")
    silent(story, "dev-e-2")
    story.time_passes(1_800)
    assert [event.reason for event in story.said(IssueEscalated)] == [EscalationReason.NOBODY_WORKS]
    story.ends()


# ── quota and login ──────────────────────────────────────────────────────────


def test_a_quota_that_is_used_up_suspends_and_one_that_is_not_lifts_it() -> None:
    story = Story()
    story.quota("dev-e-1", 99.9)
    assert story.decision()[0] == []
    story.later(1)
    reset = story.now + timedelta(hours=5)
    story.quota("dev-e-1", 100, resets_at=reset)
    ref = story.approve(1)
    story.rounds()
    assert story.issue(ref).state is IssueState.QUEUED
    assert story.said(AgentSuspended) == [AgentSuspended(boot="b1", reason=SuspensionReason.QUOTA, until=reset)]
    told = next(event for event in story.log if isinstance(event.data, AgentSuspended))
    assert told.causationid == next(event.id for event in story.log if getattr(event.data, "resets_at", None) == reset)
    story.later(60)
    story.quota("dev-e-1", 40)
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    assert RESET not in [timer.owner for timer in story.timers()]
    story.ends()


def test_people_hear_once_of_a_quota_however_often_the_replica_reports_it() -> None:
    story = Story()
    for _ in range(5):
        story.quota("dev-e-1", 100)
        story.rounds()
        story.later(60)
    assert len(story.said(AgentSuspended)) == 1
    story.deadline_passes(RESET)
    assert story.state.agents["dev-e-1"].usable
    story.ends()


def test_a_reset_that_moved_is_waited_for_and_not_the_one_before() -> None:
    story = Story()
    first, second = (story.now + timedelta(hours=hours) for hours in (1, 2))
    story.quota("dev-e-1", 100, resets_at=first)
    _, batch = story.decision()
    story.later(1)
    story.quota("dev-e-1", 100, resets_at=second)  # lands between what was decided on and the batch
    for event in batch:
        story.append(event)
    story.deadline_passes(RESET)
    assert (story.now, story.state.agents["dev-e-1"].usable) == (first, False)
    ref = story.approve(1)
    story.rounds()
    story.deadline_passes(RESET)
    assert story.now == second
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    story.ends()


def test_a_quota_that_was_there_again_before_its_end_was_read_suspends_nobody() -> None:
    story = Story()
    story.quota("dev-e-1", 100)
    _, batch = story.decision()
    story.later(1)
    story.quota("dev-e-1", 5)  # lands between what was decided on and the batch
    for event in batch:
        story.append(event)
    assert story.timers() == []
    assert story.states(at_work(story)) == ["in_progress"]
    story.ends()


def test_a_quota_still_used_up_when_it_should_have_reset_rests_as_long_again() -> None:
    story = Story()
    story.quota("dev-e-1", 100)
    story.rounds()
    story.later(3_600)
    story.quota("dev-e-1", 100)
    story.rounds()
    story.deadline_passes(RESET)
    assert story.said(AgentSuspended)[-1].until == story.now
    assert len(story.said(AgentSuspended)) == 2
    story.ends()


def test_an_older_report_changes_nothing() -> None:
    story = Story()
    story.quota("dev-e-1", 100)
    story.later(-60)
    story.quota("dev-e-1", 10)
    assert not story.state.agents["dev-e-1"].usable
    story.ends()


def test_a_report_from_before_the_failure_does_not_lift_what_the_failure_showed() -> None:
    story = Story()
    ref = at_work(story)
    story.fail(ref, FailureKind.QUOTA)
    story.later(-5)
    story.quota("dev-e-1", 95)
    assert not story.state.agents["dev-e-1"].usable
    story.later(10)
    story.rounds()
    story.ends()


def test_a_restart_gives_nobody_more_quota() -> None:
    story = Story()
    reset = story.now + timedelta(hours=2)
    ref = at_work(story)
    story.fail(ref, FailureKind.QUOTA, retry_at=reset)
    story.rounds()
    story.join("dev-e-1", boot="b2")
    story.rounds()
    assert story.issue(ref).state is IssueState.QUEUED
    story.say(Actor.DEV_E, AgentRef("dev-e-1"), AgentLeft(boot="b2", reason=LeaveReason.STOPPED))
    story.later(60)
    story.join("dev-e-1", boot="b3")
    story.rounds()
    assert story.issue(ref).state is IssueState.QUEUED
    assert [said.until for said in story.said(AgentSuspended)] == [reset] * 3
    story.deadline_passes(RESET)
    story.rounds()
    assert (story.now, story.issue(ref).state) == (reset, IssueState.ASSIGNED)
    story.ends()


def test_one_that_joins_after_its_quota_has_reset_is_not_held_back_by_what_was() -> None:
    story = Story(slots=0)
    story.quota("dev-e-1", 100, resets_at=story.now + timedelta(hours=1))
    story.rounds()
    story.later(3_600)
    story.join("dev-e-1", boot="b2")
    ref = story.approve(1)
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    story.ends()


def test_whose_quota_was_used_up_before_it_joined_rests_from_when_that_was_said() -> None:
    story = Story(slots=0)
    story.quota("dev-e-2", 100)
    said = story.now
    story.later(600)
    story.join("dev-e-2")
    ref = story.approve(1)
    story.rounds()
    assert story.states(ref) == ["queued"]
    story.deadline_passes(("dev-e-2", AgentDeadlineKind.QUOTA))
    assert story.now == said + timedelta(hours=1)
    story.rounds()
    assert story.states(ref) == ["assigned"]
    story.ends()


def test_a_login_outlasts_a_quota_that_resets() -> None:
    story = Story()
    story.quota("dev-e-1", 100, resets_at=story.now + timedelta(hours=1))
    story.rounds()
    timer = next(timer for timer in story.timers() if timer.owner == RESET)
    story.say(Actor.DEV_E, AgentRef("dev-e-1"), LoginRequired(provider="any"))
    ref = story.approve(1)
    story.rounds()
    story.later(3_600)
    passed = timer.passed()
    story.say(Actor.CONDUCTOR, passed.about, passed.data)
    story.later(1)
    story.quota("dev-e-1", 5)
    story.rounds()
    assert story.issue(ref).state is IssueState.QUEUED
    assert [said.reason.value for said in story.said(AgentSuspended)] == ["quota", "auth"]
    story.join("dev-e-1", boot="b2")
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    story.ends()


# ── questions ────────────────────────────────────────────────────────────────


def asked(story: Story) -> IssueRef:
    ref = at_work(story)
    story.say(Actor.DEV_E, ref, QuestionAsked(epoch=1, run="r-1", question="Which total?"))
    story.rounds()
    return ref


def answer(story: Story, ref: IssueRef, run: str = "r-1") -> None:
    story.say(Actor.CLI, ref, QuestionAnswered(epoch=1, run=run, answer="The net one", by="ada"))


def test_a_run_that_asks_is_waited_for_as_long_as_people_may_take() -> None:
    story = Story()
    ref = asked(story)
    story.time_passes(2 * 5_400)
    assert story.issue(ref).state is IssueState.IN_PROGRESS, "its own time stands still"
    answer(story, ref, "r-9")
    assert story.issue(ref).question == "r-1", "that was the answer to another"
    answer(story, ref)
    story.rounds()
    story.time_passes(5_399)
    assert story.issue(ref).state is IssueState.IN_PROGRESS
    story.time_passes(1)
    assert story.said(IssueUnassigned) == [IssueUnassigned(epoch=1, reason=UnassignReason.STUCK)]
    story.ends()


def test_a_question_that_nobody_answers_goes_to_a_person_and_the_run_is_stopped() -> None:
    story = Story()
    ref = asked(story)
    story.time_passes(172_800)
    assert [event.reason for event in story.said(IssueEscalated)] == [EscalationReason.QUESTION_UNANSWERED]
    assert story.said(IssueUnassigned) == [IssueUnassigned(epoch=1, reason=UnassignReason.STOPPED)]
    assert not story.issue(ref).ownership.open
    story.ends()


def test_a_question_of_a_run_that_was_taken_over_is_nobodys() -> None:
    story = Story()
    ref = asked(story)
    story.start(ref, "r-2")
    story.rounds()
    answer(story, ref)
    story.say(Actor.DEV_E, ref, QuestionAsked(epoch=1, run="r-1", question="Still there?"))
    assert story.rounds() == []
    assert story.issue(ref).question is None
    story.ends()
