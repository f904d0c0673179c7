"""What lands between the log that a decision was made on and the decision: the next round says what follows."""

from collections.abc import Callable
from datetime import timedelta

from msgspec.structs import replace

from schemas import (
    FLEET,
    Actor,
    AgentBack,
    AgentDeadlineKind,
    AgentRef,
    AgentSilent,
    Budget,
    BudgetRaised,
    Changes,
    FailureKind,
    GateBypassed,
    GateTriggered,
    IncidentClosed,
    IncidentEscalated,
    IncidentOpened,
    IssueAssigned,
    IssueEscalated,
    IssueRef,
    IssueRevised,
    IssueState,
    IssueUnassigned,
    MainChecksFailed,
    MainChecksPassed,
    Policy,
    RepoRef,
    RetryRequested,
    Reverted,
    RunConclusion,
    Stopped,
    Tier,
    TierChanged,
    Tiers,
)
from tests.support.story import FREE, SHOP, SMALL, Story, sha

OTHER = RepoRef("demo", "other")
PROMOTED = replace(FREE, tiers=Tiers(promote_after=2))


def overtaken_by(story: Story, *words: Callable[[], object]) -> list[str]:
    """Decides, lets these words land first, and then the decision; what was decided, by name."""
    drafts, batch = story.decision()
    for word in words:
        word()
    for event in batch:
        story.append(event)
    return [type(draft.data).__name__ for draft in drafts]


# ── trust ────────────────────────────────────────────────────────────────────


def tiers(story: Story) -> list[tuple[Tier, Tier]]:
    return [(changed.before, changed.after) for changed in story.said(TierChanged)]


def test_what_was_taken_out_again_while_trust_was_being_earned_costs_trust() -> None:
    story = Story(PROMOTED)
    for number in (1, 2):
        ref = story.approve(number)
        story.to_merging(ref, f"h{number}", f"r-{number}")
        story.merge(ref)
        if number == 1:
            story.rounds()
    story.round()  # done
    first = IssueRef("demo", "shop", 1)
    reverted = Reverted(merge_sha=sha("m1"), revert_sha=sha("rv"), by="ada")
    assert "TierChanged" in overtaken_by(story, lambda: story.say(Actor.LOCAL, first, reverted))
    story.rounds()
    assert tiers(story) == [(Tier.T1, Tier.T0), (Tier.T0, Tier.T1)]
    story.ends()


def test_so_does_a_bypass() -> None:
    story = Story(replace(FREE, tiers=Tiers(promote_after=1)), slots=2)
    clean, large = story.approve(1), story.approve(2)
    many = Changes(files=99, lines=1, paths=tuple(f"part_{number}.py" for number in range(99)))
    story.to_review(large, "h2", "r-2", changes=many)
    story.check(large, "h2")
    story.rounds()
    story.start(clean)
    story.push(clean, "h1")
    story.open(clean, "h1", SMALL)
    story.check(clean, "h1")
    story.rounds()
    story.merge(clean)
    story.round()  # done
    assert "TierChanged" in overtaken_by(story, lambda: story.gate(GateBypassed, large, "h2"))
    story.rounds()
    assert tiers(story) == [(Tier.T1, Tier.T0), (Tier.T0, Tier.T1)]
    story.ends()


# ── refusals and gates ───────────────────────────────────────────────────────


def test_a_repository_that_comes_as_its_issue_is_refused_is_there() -> None:
    story = Story()
    ref = story.approve(1, repository=OTHER)
    assert overtaken_by(story, lambda: story.add(OTHER)) == ["IssueRefused"]
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    story.ends()


def test_a_cycle_that_is_undone_as_it_is_refused_is_none() -> None:
    story = Story()
    first = story.approve(1, depends_on=(IssueRef("demo", "shop", 2),))
    story.rounds()
    closing = story.approve(2, depends_on=(first,))
    undone = IssueRevised(depends_on=())
    assert "IssueRefused" in overtaken_by(story, lambda: story.say(Actor.LOCAL, closing, undone))
    story.rounds()
    assert story.issue(closing).state is IssueState.ASSIGNED
    story.ends()


def test_an_issue_that_was_withdrawn_as_it_was_refused_stays_withdrawn() -> None:
    story = Story()
    ref = story.approve(1, repository=OTHER)
    assert overtaken_by(story, lambda: story.say(Actor.CLI, ref, Stopped(by="ada"))) == ["IssueRefused"]
    assert story.issue(ref).state is IssueState.STOPPED
    story.add(OTHER)
    assert story.rounds() == []
    story.ends()


def test_a_limit_that_is_raised_as_the_issue_reaches_it_holds_nothing() -> None:
    story = Story(Policy(budget=Budget(run_usd=2, issue_usd=2)))
    ref = story.approve()
    story.rounds()
    story.start(ref)
    story.rounds()
    story.spend(ref, 1.5)
    story.fail(ref, FailureKind.TIMED_OUT)
    raised = BudgetRaised(scope=f"issue:{ref}", limit_usd=50, until=story.now + timedelta(hours=9), by="ada")
    assert "GateTriggered" in overtaken_by(story, lambda: story.say(Actor.CLI, FLEET, raised))
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    story.ends()


def test_a_label_that_is_taken_off_as_it_holds_the_issue_holds_nothing() -> None:
    story = Story()
    ref = story.approve(labels=("wip",))
    story.to_review(ref)
    story.check(ref, "h1")
    off = IssueRevised(labels=())
    assert "GateTriggered" in overtaken_by(story, lambda: story.say(Actor.LOCAL, ref, off))
    story.rounds()
    assert story.issue(ref).state is IssueState.MERGING
    story.ends()


def test_what_a_person_wants_tried_again_as_a_guard_holds_it_is_tried_again() -> None:
    story = Story()
    ref = story.approve()
    story.rounds()
    story.start(ref)
    story.fail(ref, FailureKind.GUARD)

    def ask() -> None:
        story.say(Actor.CLI, ref, Stopped(by="ada"))
        story.say(Actor.CLI, ref, RetryRequested(by="ada"))

    assert "GateTriggered" in overtaken_by(story, ask)
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    assert len(story.said(GateTriggered)) == 1
    story.ends()


# ── work ─────────────────────────────────────────────────────────────────────


def test_an_issue_that_is_stopped_as_it_goes_to_people_stays_stopped() -> None:
    story = Story(replace(FREE, attempts_max=1))
    ref = story.approve()
    story.rounds()
    story.start(ref)
    story.fail(ref, FailureKind.NO_CHANGES)
    assert overtaken_by(story, lambda: story.say(Actor.CLI, ref, Stopped(by="ada"))) == ["IssueEscalated"]
    story.rounds()
    assert story.issue(ref).state is IssueState.STOPPED
    assert len(story.said(IssueEscalated)) == 1
    story.ends()


def test_work_that_is_pushed_as_it_is_taken_away_is_reviewed() -> None:
    story = Story()
    ref = story.approve()
    story.rounds()
    story.start(ref)
    story.rounds()
    story.deadline_passes(ref)
    assert "IssueUnassigned" in overtaken_by(story, lambda: story.push(ref, "h1"))
    story.open(ref, "h1")
    story.check(ref, "h1")
    story.rounds()
    assert story.issue(ref).state is IssueState.MERGING
    assert (len(story.said(IssueUnassigned)), len(story.said(IssueAssigned))) == (1, 1)
    story.ends()


# ── replicas and branches ────────────────────────────────────────────────────


def test_who_was_back_and_fell_silent_again_has_the_whole_time_again() -> None:
    story = Story()
    ref = story.approve()
    story.rounds()
    story.start(ref)
    story.rounds()
    one = AgentRef("dev-e-1")

    def back_and_silent_again() -> None:
        story.say(Actor.WATCH, one, AgentBack(since=story.now))
        story.later(1_500)
        story.say(Actor.WATCH, one, AgentSilent(since=story.now))

    story.say(Actor.WATCH, one, AgentSilent(since=story.now))
    assert overtaken_by(story, back_and_silent_again) == ["AgentDeadlineSet"]
    story.rounds()
    silent = story.state.agents["dev-e-1"].deadlines[AgentDeadlineKind.SILENT]
    assert silent.at == story.now + timedelta(seconds=FREE.silent_seconds)
    story.ends()


def test_a_branch_that_is_well_again_as_people_are_told_is_well() -> None:
    story = Story()
    red = MainChecksFailed(
        sha=sha("a"), workflow="ci", run="1", conclusion=RunConclusion.FAILURE, previous_conclusion=None
    )
    story.say(Actor.LOCAL, SHOP, red)
    story.rounds()
    story.time_passes(FREE.incident_seconds - 1)
    timer = next(timer for timer in story.timers() if timer.owner[1].startswith("demo/shop"))  # type: ignore[index] - of the rig
    story.deadline_passes(timer.owner)
    story.later(1)
    well = MainChecksPassed(sha=sha("b"), workflow="ci", run="2")
    assert overtaken_by(story, lambda: story.say(Actor.LOCAL, SHOP, well)) == ["IncidentEscalated"]
    story.rounds()
    told = [story.said(kind) for kind in (IncidentOpened, IncidentEscalated, IncidentClosed)]
    assert [len(said) for said in told] == [1, 1, 1]
    assert story.rounds() == []
    story.ends()
