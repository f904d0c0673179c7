"""What must come before: dependencies and cycles, across repositories, withdrawn, reverted, revised."""

from schemas import (
    Actor,
    IssueRef,
    IssueRefused,
    IssueRevised,
    IssueState,
    IssueWaiting,
    IssueWithdrawn,
    Priority,
    Refusal,
    RepoRef,
    RetryRequested,
    Reverted,
)
from tests.support.story import Story, sha

OTHER = RepoRef("demo", "other")
QUEUED, ASSIGNED = IssueState.QUEUED, IssueState.ASSIGNED
ONE, TWO, THREE = (IssueRef("demo", "shop", number) for number in (1, 2, 3))


def test_a_dependency_is_waited_for_even_before_anyone_knows_it() -> None:
    story = Story(slots=5)
    dependent = story.approve(1, depends_on=(IssueRef("demo", "shop", 2),))
    story.rounds()
    assert story.issue(dependent).state is QUEUED
    dependency = story.approve(2)
    story.to_merging(dependency)
    assert story.issue(dependent).state is QUEUED
    story.merge(dependency)
    story.rounds()
    assert story.issue(dependent).state is ASSIGNED
    story.ends()


def test_dependencies_cross_repositories_and_all_must_be_done() -> None:
    story = Story(slots=5)
    story.add(OTHER)
    first, second = story.approve(1), story.approve(2, repository=OTHER)
    dependent = story.approve(3, depends_on=(first, second))
    for ref in (first, second):
        assert story.issue(dependent).state is QUEUED
        story.to_merging(ref, f"h{ref.number}", f"r-{ref.number}")
        story.merge(ref)
        story.rounds()
    assert story.issue(dependent).state is ASSIGNED
    story.ends()


def test_a_dependency_that_nobody_wants_any_more_is_still_waited_for_and_said() -> None:
    story = Story(slots=5)
    dependency = story.approve(1)
    dependent = story.approve(2, depends_on=(dependency,))
    story.say(Actor.CLI, dependency, IssueWithdrawn(by="ada"))
    said = story.time_passes(601)
    assert story.issue(dependent).state is QUEUED
    assert [event.waits_for for event in said if isinstance(event, IssueWaiting)] == [(dependency,)]
    story.ends()


def test_whoever_has_not_begun_waits_for_a_dependency_that_was_taken_out_again() -> None:
    story = Story(slots=1)
    dependency = story.approve(1)
    story.to_merging(dependency)
    story.merge(dependency)
    story.rounds()
    story.join("dev-e-1", slots=0, boot="b2")
    dependent = story.approve(2, depends_on=(dependency,))
    story.say(Actor.LOCAL, dependency, Reverted(merge_sha=sha("m1"), revert_sha=sha("x"), by="ada"))
    story.join("dev-e-1", slots=1, boot="b3")
    story.rounds()
    assert story.issue(dependent).state is QUEUED
    story.say(Actor.CLI, dependency, RetryRequested(by="ada"))
    story.to_merging(dependency, "h2", "r-2")
    assert story.issue(dependent).state is QUEUED
    story.merge(dependency, "m-again")
    story.rounds()
    assert story.issue(dependent).state is ASSIGNED
    story.ends()


# ── cycles ───────────────────────────────────────────────────────────────────


def test_a_cycle_refuses_the_issue_that_closes_it_and_no_other_until_it_is_revised() -> None:
    story = Story(slots=0)
    story.approve(1, depends_on=(TWO,))
    story.approve(2, depends_on=(THREE,))
    story.approve(3)
    story.rounds()
    story.say(Actor.CLI, THREE, IssueRevised(depends_on=(ONE,)))
    assert IssueRefused(reason=Refusal.CYCLE, cycle=(THREE, ONE, TWO)) in story.rounds()
    assert story.states(ONE, TWO, THREE) == ["queued", "queued", "refused"]
    story.say(Actor.CLI, THREE, IssueRevised(title="Another title"))
    story.rounds()
    assert story.states(THREE) == ["refused"], "revised, and still a cycle"
    story.say(Actor.CLI, THREE, IssueRevised(depends_on=()))
    story.rounds()
    assert story.states(ONE, TWO, THREE) == ["queued", "queued", "queued"]
    story.ends()


def test_an_approval_may_close_a_cycle_too_and_so_may_an_issue_by_itself() -> None:
    story = Story(slots=0)
    story.approve(1, depends_on=(TWO,))
    story.approve(2, depends_on=(ONE,))
    story.approve(3, depends_on=(THREE,))
    story.rounds()
    assert story.states(ONE, TWO, THREE) == ["queued", "refused", "refused"]
    assert [refused.cycle for refused in story.said(IssueRefused)] == [(TWO, ONE), (THREE,)]
    story.ends()


def test_whoever_is_in_a_cycle_that_another_closed_may_be_revised_and_stays() -> None:
    story = Story(slots=0)
    story.approve(1, depends_on=(TWO,))
    story.approve(2, depends_on=(ONE,))
    story.say(Actor.CLI, ONE, IssueRevised(title="Another title"))
    story.rounds()
    assert story.states(ONE, TWO) == ["queued", "refused"]
    story.ends()


def test_once_another_leaves_the_cycle_a_revision_of_the_refused_one_is_enough() -> None:
    story = Story(slots=0)
    story.approve(1, depends_on=(TWO,))
    story.approve(2, depends_on=(ONE,))
    story.rounds()
    story.say(Actor.CLI, ONE, IssueRevised(depends_on=()))
    story.rounds()
    assert story.states(ONE, TWO) == ["queued", "refused"], "refused until it is revised itself"
    story.say(Actor.CLI, TWO, IssueRevised(priority=Priority.HIGH))
    story.rounds()
    assert story.states(ONE, TWO) == ["queued", "queued"]
    story.ends()


def test_what_is_done_closes_no_cycle_until_it_is_taken_out_and_wanted_again() -> None:
    story = Story(slots=1)
    story.approve(1)
    story.to_merging(ONE)
    story.merge(ONE)
    story.rounds()
    story.say(Actor.CLI, ONE, IssueRevised(depends_on=(TWO,)))
    story.join("dev-e-1", slots=0, boot="b2")
    story.approve(2, depends_on=(ONE,))
    story.rounds()
    assert story.states(ONE, TWO) == ["done", "queued"]
    story.say(Actor.LOCAL, ONE, Reverted(merge_sha=sha("m1"), revert_sha=sha("x"), by="ada"))
    story.say(Actor.CLI, ONE, RetryRequested(by="ada"))
    story.rounds()
    assert story.states(ONE, TWO) == ["refused", "queued"]
    story.ends()
