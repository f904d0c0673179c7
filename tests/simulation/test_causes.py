"""Every decision names what led to it: the fact that brought the issue where it stands, and no other."""

from msgspec.structs import replace

from schemas import (
    Actor,
    ChecksFailed,
    Delivery,
    Environment,
    Event,
    IncidentClosed,
    IncidentOpened,
    IssueAssigned,
    IssueDone,
    IssueState,
    MainChecksFailed,
    MainChecksPassed,
    RepositoryAdded,
    RetryRequested,
    Reverted,
    ReviewRequested,
    RunConclusion,
    Stopped,
    Verified,
)
from tests.support.story import FREE, SHOP, Story, sha


def last(story: Story, kind: type[Event]) -> str | None:
    """Id of the last event of a kind."""
    return [said.id for said in story.log if isinstance(said.data, kind)][-1]


def cause(story: Story, kind: type[Event]) -> str | None:
    """What led to the last event of a kind."""
    return [said.causationid for said in story.log if isinstance(said.data, kind)][-1]


def test_what_was_verified_leads_to_its_end() -> None:
    story = Story(replace(FREE, delivery=Delivery(environment=Environment.STAGING, verified=True)))
    ref = story.approve()
    story.to_merging(ref)
    story.merge(ref)
    story.rounds()
    story.say(Actor.CLI, ref, Verified(environment=Environment.STAGING, by="ada"))
    story.rounds()
    assert cause(story, IssueDone) == last(story, Verified)
    story.ends()


def test_a_reviewer_that_is_named_leads_to_a_request() -> None:
    story = Story()
    ref = story.approve()
    story.to_merging(ref)
    story.add(SHOP, ("review-e",))
    story.rounds()
    assert story.issue(ref).since == story.now
    assert cause(story, ReviewRequested) == last(story, RepositoryAdded)
    story.ends()


def test_a_repository_that_is_looked_at_again_leads_to_nothing() -> None:
    story = Story()
    ref = story.approve()
    story.to_review(ref)
    before, shown = story.issue(ref).since, story.issue(ref).cause
    story.later(60)
    story.add(SHOP)
    assert (story.issue(ref).since, story.issue(ref).cause) == (before, shown)
    story.ends()


def test_a_request_to_merge_that_red_checks_overtook_leads_to_nothing() -> None:
    story = Story()
    ref = story.approve()
    story.to_review(ref)
    story.check(ref, "h1")
    _, batch = story.decision()
    story.later(1)
    story.check(ref, "h1", passed=False)
    for event in batch:
        story.append(event)
    story.rounds()
    assert cause(story, IssueAssigned) == last(story, ChecksFailed)
    story.ends()


def test_an_end_that_a_new_beginning_overtook_is_none() -> None:
    story = Story()
    ref = story.approve()
    story.to_merging(ref)
    story.merge(ref)
    drafts, batch = story.decision()
    assert [type(draft.data) for draft in drafts][-1:] == [IssueDone]
    story.say(Actor.LOCAL, ref, Reverted(merge_sha=sha("m1"), revert_sha=sha("r"), by="ada"))
    story.say(Actor.CLI, ref, Stopped(by="ada"))
    story.say(Actor.CLI, ref, RetryRequested(by="ada"))
    for event in batch:
        story.append(event)
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    story.ends()


def checked(story: Story, commit: str, *, red: bool) -> None:
    """The base branch's own run."""
    if red:
        failed = MainChecksFailed(
            sha=sha(commit),
            workflow="ci",
            run=commit,
            conclusion=RunConclusion.FAILURE,
            previous_conclusion=None if commit == "a" else RunConclusion.FAILURE,
        )
        story.say(Actor.LOCAL, SHOP, failed)
    else:
        story.say(Actor.LOCAL, SHOP, MainChecksPassed(sha=sha(commit), workflow="ci", run=commit))


def test_an_incident_names_the_run_that_broke_the_branch_and_the_one_that_mended_it() -> None:
    story = Story()
    for commit in ("a", "b"):
        checked(story, commit, red=True)
        story.later(1)
    story.rounds()
    assert [said.sha for said in story.said(IncidentOpened)] == [sha("a")]
    for commit in ("c", "d"):
        checked(story, commit, red=False)
        story.later(1)
    story.rounds()
    assert [said.sha for said in story.said(IncidentClosed)] == [sha("c")]
    story.ends()


def test_a_run_that_ended_before_the_last_red_one_mends_nothing() -> None:
    story = Story()
    checked(story, "a", red=True)
    story.rounds()
    story.later(10)
    checked(story, "b", red=True)
    story.later(-5)
    checked(story, "c", red=False)
    story.later(10)
    story.rounds()
    assert story.said(IncidentClosed) == []
    story.ends()
