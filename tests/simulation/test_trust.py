"""Trust, told as stories: how it is earned, how it is lost, and that some of it is never given by the rig itself."""

import pytest
from msgspec.structs import replace

from schemas import (
    Actor,
    Changes,
    FailureKind,
    GateApproved,
    GateBypassed,
    GateReason,
    IssueRef,
    IssueState,
    Merged,
    MergeRequested,
    Policy,
    Reverted,
    Tier,
    TierChanged,
    Tiers,
)
from tests.support.story import BASE, FREE, SMALL, Story, kinds, sha

DOCS = Changes(files=2, lines=4, paths=("README.md", "docs/cart.txt"))


def trusted(tier: Tier, *, promote_after: int = 20, **begin: Tier) -> Policy:
    return replace(FREE, tiers=Tiers(begin=begin, otherwise=tier, promote_after=promote_after))


def to_merge(story: Story, number: int, *, changes: Changes = SMALL) -> IssueRef:
    """An issue that the forge is asked to merge: where a person must look first, one does."""
    ref, head = story.approve(number), f"h{number}"
    story.to_merging(ref, head, f"r-{number}", changes=changes)
    if story.issue(ref).state is IssueState.GATED:
        story.gate(GateApproved, ref, head)
        story.rounds()
    assert story.issue(ref).state is IssueState.MERGING
    return ref


def merged(story: Story, *numbers: int, changes: Changes = SMALL) -> IssueRef:
    """Issues that are done, and nobody had to bypass anything; the last one."""
    for number in numbers:
        ref = to_merge(story, number, changes=changes)
        story.merge(ref)
        story.rounds()
    return ref


def revert(story: Story, ref: IssueRef) -> None:
    merge_sha = story.issue(ref).merge_sha
    assert merge_sha is not None
    story.say(Actor.LOCAL, ref, Reverted(merge_sha=merge_sha, revert_sha=sha("revert"), by="ada"))
    story.rounds()


def changes_of_tier(story: Story) -> list[tuple[Tier, Tier]]:
    return [(event.before, event.after) for event in story.said(TierChanged)]


# ── earned ───────────────────────────────────────────────────────────────────


def test_twenty_clean_merges_earn_one_step_and_twenty_more_the_next_and_then_there_is_none() -> None:
    story = Story(trusted(Tier.T2))
    merged(story, *range(1, 20))
    assert changes_of_tier(story) == []
    merged(story, 20)
    assert changes_of_tier(story) == [(Tier.T2, Tier.T1)]
    (earned,) = story.said(TierChanged)
    assert (earned.role, earned.kind, len(earned.evidence)) == ("dev-e", "code", 20)
    merged(story, *range(21, 40))
    assert changes_of_tier(story)[1:] == []
    merged(story, 40)
    assert changes_of_tier(story)[1:] == [(Tier.T1, Tier.T0)]
    merged(story, *range(41, 62))
    assert changes_of_tier(story)[2:] == []
    story.ends()


def test_what_was_earned_counts_from_then_on() -> None:
    story = Story(trusted(Tier.T2, promote_after=1))
    ref = story.approve(1)
    story.to_merging(ref)
    assert story.issue(ref).open_gates == [(GateReason.TIER, sha("h1"))]
    story.gate(GateApproved, ref, "h1")
    story.rounds()
    story.merge(ref)
    story.rounds()
    assert "MergeRequested" in kinds(story.to_merging(story.approve(2), "h2", "r-2")), "T1: nobody looks any more"
    story.ends()


def test_trust_is_of_a_role_and_of_a_kind_of_change() -> None:
    story = Story(trusted(Tier.T2, promote_after=2, docs=Tier.T2))
    merged(story, 1, changes=DOCS)
    merged(story, 2)
    assert story.said(TierChanged) == []
    merged(story, 3, changes=DOCS)
    assert [(event.kind, event.after) for event in story.said(TierChanged)] == [("docs", Tier.T1)]
    story.ends()


@pytest.mark.parametrize(
    ("paths", "alone"),
    [
        (("README.md",), True),
        (("docs/guide/cart.png", "CHANGELOG.md"), True),
        (("README.md", "cart.py"), False),
    ],
)
def test_documents_merge_alone_however_large_and_code_among_them_makes_it_code(
    paths: tuple[str, ...], alone: bool
) -> None:
    story = Story()
    changes = Changes(files=len(paths), lines=5_000, paths=paths)
    assert ("MergeRequested" in kinds(story.to_merging(story.approve(1), changes=changes))) is alone
    story.ends()


# ── lost ─────────────────────────────────────────────────────────────────────


def test_the_first_revert_costs_a_step_and_what_was_counted_until_then() -> None:
    story = Story(trusted(Tier.T1, promote_after=3))
    ref = merged(story, 1, 2)
    revert(story, ref)
    (lost,) = story.said(TierChanged)
    assert (lost.before, lost.after, lost.evidence) == (Tier.T1, Tier.T2, (ref,))
    assert lost.reason == f"ada took {sha('m2')[:9]} out again"
    merged(story, 3, 4)
    assert changes_of_tier(story)[1:] == []
    merged(story, 5)
    assert changes_of_tier(story)[1:] == [(Tier.T2, Tier.T1)]
    story.ends()


def test_a_revert_that_is_said_twice_costs_one_step() -> None:
    story = Story(trusted(Tier.T0))
    ref = merged(story, 1)
    revert(story, ref)
    revert(story, ref)
    assert changes_of_tier(story) == [(Tier.T0, Tier.T1)]
    story.ends()


def test_a_merge_that_was_taken_out_before_it_was_done_is_not_clean() -> None:
    story = Story(trusted(Tier.T1, promote_after=1))
    ref = to_merge(story, 1)
    story.merge(ref)
    revert(story, ref)
    story.rounds()
    assert changes_of_tier(story) == [(Tier.T1, Tier.T2)]
    story.ends()


def test_a_bypass_is_recorded_with_its_reason_and_costs_a_step() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_merging(ref, changes=Changes(files=1, lines=501, paths=("cart.py",)))
    story.gate(GateBypassed, ref, "h1", note="the shop is down")
    assert "MergeRequested" in kinds(story.rounds())
    (lost,) = story.said(TierChanged)
    assert (lost.before, lost.after, lost.evidence) == (Tier.T1, Tier.T2, (ref,))
    assert lost.reason == "ada bypassed a gate: the shop is down"
    story.ends()


def test_a_bypass_of_several_gates_is_one_and_two_bypasses_are_two() -> None:
    policy = trusted(Tier.T0, docs=Tier.T0)
    story = Story(policy, slots=2)
    login = Changes(files=1, lines=2, paths=("login.py",))
    for number in (1, 2):
        ref = story.approve(number, labels=("wip",))
        story.to_merging(ref, f"h{number}", f"r-{number}", changes=login)
        assert len(story.issue(ref).open_gates) == 2
        story.gate(GateBypassed, ref, f"h{number}")
    story.rounds()
    assert changes_of_tier(story) == [(Tier.T0, Tier.T1), (Tier.T1, Tier.T2)]
    story.ends()


def test_a_bypassed_merge_is_not_clean() -> None:
    story = Story(trusted(Tier.T2, promote_after=1))
    ref = story.approve(1)
    story.to_merging(ref)
    story.gate(GateBypassed, ref, "h1")
    story.rounds()
    story.merge(ref)
    story.rounds()
    assert story.issue(ref).state is IssueState.DONE
    assert (Tier.T2, Tier.T1) not in changes_of_tier(story)
    story.ends()


def test_a_bypass_of_a_head_that_was_never_merged_does_not_spoil_the_next() -> None:
    story = Story(trusted(Tier.T2, promote_after=1))
    ref = story.approve(1)
    story.to_merging(ref)
    story.gate(GateBypassed, ref, "h1")
    story.rounds()
    story.later(60)
    story.check(ref, "h1", passed=False)
    story.to_merging(ref, "h2", "r-2")
    story.gate(GateApproved, ref, "h2")
    story.rounds()
    story.merge(ref)
    story.rounds()
    assert changes_of_tier(story)[-1] == (Tier.T2, Tier.T1)
    story.ends()


def test_a_merge_by_hand_earns_nothing_and_costs_nothing() -> None:
    story = Story(trusted(Tier.T2, promote_after=1))
    ref = story.approve(1)
    story.to_merging(ref)
    story.merge_by_hand(ref, "h1")
    assert kinds(story.rounds()) == ["IssueDone"]
    assert story.said(TierChanged) == []
    story.ends()


def test_a_merge_by_hand_of_another_head_than_was_asked_for_earns_nothing() -> None:
    story = Story(trusted(Tier.T2, promote_after=1))
    ref = to_merge(story, 1)
    story.merge_by_hand(ref, "something-else")
    story.rounds()
    assert story.said(TierChanged) == []
    story.ends()


def test_where_there_is_nothing_to_lose_what_was_counted_is_lost() -> None:
    story = Story(trusted(Tier.T2, promote_after=2))
    revert(story, merged(story, 1))
    assert changes_of_tier(story) == [(Tier.T2, Tier.T2)]
    merged(story, 2)
    assert changes_of_tier(story)[1:] == []
    merged(story, 3)
    assert changes_of_tier(story)[1:] == [(Tier.T2, Tier.T1)]
    story.ends()


def test_a_bypass_before_any_work_costs_nothing() -> None:
    """It is about a run that tried what it must not, and not about a change that nobody looked at."""
    story = Story()
    ref = story.approve(1)
    story.to_merging(ref)
    story.later(60)
    story.check(ref, "h1", passed=False)
    story.rounds()
    story.start(ref, "r-2")
    story.fail(ref, FailureKind.GUARD, "rm -rf /", "r-2")
    story.rounds()
    story.gate(GateBypassed, ref, None)
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    assert story.said(TierChanged) == []
    story.ends()


# ── never by itself ──────────────────────────────────────────────────────────


def test_what_a_person_drives_is_never_promoted() -> None:
    story = Story(trusted(Tier.T3, promote_after=1))
    for number, bypassed in ((1, True), (2, False)):
        ref, head = story.approve(number), f"h{number}"
        story.to_merging(ref, head, f"r-{number}")
        if bypassed:
            story.gate(GateBypassed, ref, head)
            story.rounds()
            story.merge(ref)
        else:
            story.merge_by_hand(ref, head)
        story.rounds()
        assert story.issue(ref).state is IssueState.DONE
    assert {after for _, after in changes_of_tier(story)} <= {Tier.T3}
    story.to_merging(story.approve(3), "h3", "r-3")
    assert story.issue(IssueRef("demo", "shop", 3)).open_gates == [(GateReason.TIER, sha("h3"))]
    story.ends()


def test_whatever_was_earned_a_policy_may_take_the_wheel() -> None:
    story = Story(trusted(Tier.T2, promote_after=1))
    merged(story, 1, 2)
    assert changes_of_tier(story)[-1] == (Tier.T1, Tier.T0)
    story.adopt(trusted(Tier.T3, promote_after=1))
    ref = story.approve(3)
    story.to_merging(ref, "h3", "r-3")
    story.gate(GateApproved, ref, "h3")
    assert "MergeRequested" not in kinds(story.rounds())
    story.adopt(trusted(Tier.T2, promote_after=1))
    story.gate(GateApproved, ref, "h3")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_what_a_policy_took_it_also_gives_back() -> None:
    """A bypass while a person drives does not keep the rig from the wheel for ever."""
    story = Story(trusted(Tier.T3))
    ref = story.approve(1)
    story.to_merging(ref)
    story.gate(GateBypassed, ref, "h1")
    story.rounds()
    story.merge(ref)
    story.rounds()
    story.adopt(trusted(Tier.T1))
    said = story.to_merging(story.approve(2), "h2", "r-2")
    assert [event.head_sha for event in said if isinstance(event, MergeRequested)] == [sha("h2")]
    story.ends()


def test_a_merge_that_is_said_twice_counts_once() -> None:
    story = Story(trusted(Tier.T2, promote_after=2))
    ref = merged(story, 1)
    story.say(Actor.LOCAL, ref, Merged(head_sha=sha("h1"), base_sha=BASE, merge_sha=sha("m1")))
    story.rounds()
    assert story.said(TierChanged) == []
    story.ends()
