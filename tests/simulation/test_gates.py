"""The merge gate and the gates of people, told as stories: what must be looked at, by whom, and what follows."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from schemas import (
    Actor,
    AssignReason,
    Changes,
    DeadlineKind,
    DeadlineSet,
    EscalationReason,
    FailureKind,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    GateReminded,
    Gates,
    GateTriggered,
    IssueAssigned,
    IssueEscalated,
    IssueEvent,
    IssueNeedsHuman,
    IssueRef,
    IssueRevised,
    IssueState,
    IssueWithdrawn,
    MergeConflicted,
    MergeRequested,
    Overrides,
    Policy,
    RepositoryConfigured,
    RetryRequested,
    Stopped,
    Tier,
    Tiers,
)
from tests.support.story import BASE, FREE, SHOP, SMALL, Story, kinds, sha

LOGIN = Changes(files=1, lines=2, paths=("shop/login.py",))
"""Small, and a person must see it."""
HUGE = Changes(files=2, lines=501, paths=("cart.py", "shop/login.py"))


def gates(events: list[IssueEvent]) -> list[GateReason]:
    """Which gates were opened."""
    return [event.reason for event in events if isinstance(event, GateTriggered)]


def trusted(tier: Tier) -> Policy:
    return replace(FREE, tiers=Tiers(begin={}, otherwise=tier))


def gated(policy: Policy = FREE, changes: Changes | None = LOGIN) -> tuple[Story, IssueRef]:
    """A green pull request at a gate."""
    story = Story(policy)
    ref = story.approve(1)
    said = story.to_merging(ref, changes=changes)
    assert "MergeRequested" not in kinds(said)
    assert story.issue(ref).state is IssueState.GATED
    return story, ref


# ── what a person must see: paths ────────────────────────────────────────────


@pytest.mark.parametrize(
    "path",
    [
        "auth/login.py",
        "shop/auth/session.py",
        "payment/card.py",
        "shop/billing.py",
        "db/migrations/0001_initial.py",
        "schema.sql",
        ".env",
        "config/.env.production",
        "certificates/server.pem",
        ".github/workflows/ci.yml",
        ".rig-agent.yaml",
        "main.tf",
        "Dockerfile",
        "compose.yaml",
        "docker-compose.yml",
        "pyproject.toml",
        "web/package-lock.json",
        "go.sum",
        "SHOP/AUTH/SESSION.PY",
    ],
)
def test_a_person_looks_at_every_topic_of_the_sensitive_paths(path: str) -> None:
    story = Story()
    ref = story.approve(1)
    said = story.to_merging(ref, changes=Changes(files=2, lines=2, paths=("cart.py", path)))
    (gate,) = [event for event in said if isinstance(event, GateTriggered)]
    assert (gate.reason, gate.head_sha, gate.paths) == (GateReason.SENSITIVE_PATH, sha("h1"), (path,))
    assert "MergeRequested" not in kinds(said)
    story.ends()


@pytest.mark.parametrize("path", ["cart.py", "author.py", "sql/readme.txt", "docs/environment.txt", "deployed.py"])
def test_nobody_looks_at_a_small_change_elsewhere(path: str) -> None:
    story = Story()
    assert "MergeRequested" in kinds(
        story.to_merging(story.approve(1), changes=Changes(files=1, lines=2, paths=(path,)))
    )
    story.ends()


def test_what_moved_away_from_a_sensitive_path_is_seen_too() -> None:
    """The forge names a moved file twice: where it was and where it is."""
    story = Story()
    moved = Changes(files=2, lines=0, paths=("auth/session.py", "harmless.py"))
    assert gates(story.to_merging(story.approve(1), changes=moved)) == [GateReason.SENSITIVE_PATH]
    story.ends()


def test_a_repository_may_name_more_that_a_person_must_see() -> None:
    story = Story()
    configured = RepositoryConfigured(
        base_branch="main", base_sha=BASE, clone_url="repo", check="true", overrides=Overrides(sensitive=("*/cart.*",))
    )
    story.say(Actor.LOCAL, SHOP, configured)
    assert gates(story.to_merging(story.approve(1))) == [GateReason.SENSITIVE_PATH]
    story.ends()


# ── size ─────────────────────────────────────────────────────────────────────


def named(files: int) -> tuple[str, ...]:
    return tuple(f"f{number}.py" for number in range(files))


@pytest.mark.parametrize(
    ("files", "lines", "seen"),
    [(20, 500, False), (21, 500, True), (20, 501, True), (1, 100_000, True), (500, 500, True), (0, 0, False)],
)
def test_a_person_looks_at_what_is_larger_than_twenty_files_or_five_hundred_lines(
    files: int, lines: int, seen: bool
) -> None:
    story = Story()
    said = story.to_merging(story.approve(1), changes=Changes(files=files, lines=lines, paths=named(files)))
    assert gates(said) == ([GateReason.SIZE] if seen else [])
    assert ("MergeRequested" in kinds(said)) is not seen
    story.ends()


@pytest.mark.parametrize("tier", [Tier.T0, Tier.T1])
def test_what_the_forge_did_not_count_is_looked_at_however_much_the_role_is_trusted(tier: Tier) -> None:
    story = Story(trusted(tier))
    assert gates(story.to_merging(story.approve(1), changes=None)) == [GateReason.SIZE]
    story.ends()


def test_what_was_not_named_path_by_path_is_looked_at_however_much_the_role_is_trusted() -> None:
    story = Story(trusted(Tier.T0))
    changes = Changes(files=501, lines=501, paths=named(500))
    assert gates(story.to_merging(story.approve(1), changes=changes)) == [GateReason.SIZE]
    story.ends()


# ── tiers ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tier", "opened"),
    [
        (Tier.T0, [GateReason.SENSITIVE_PATH]),
        (Tier.T1, [GateReason.SENSITIVE_PATH, GateReason.SIZE]),
        (Tier.T2, [GateReason.SENSITIVE_PATH, GateReason.SIZE, GateReason.TIER]),
        (Tier.T3, [GateReason.SENSITIVE_PATH, GateReason.SIZE, GateReason.TIER]),
    ],
)
def test_the_less_a_role_is_trusted_the_more_a_person_sees(tier: Tier, opened: list[GateReason]) -> None:
    story = Story(trusted(tier))
    assert gates(story.to_merging(story.approve(1), changes=HUGE)) == opened
    story.ends()


def test_a_person_approves_every_merge_of_the_third_tier() -> None:
    story, ref = gated(trusted(Tier.T2), SMALL)
    story.gate(GateApproved, ref, "h1")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


@pytest.mark.parametrize("reason", [None, GateReason.TIER])
def test_what_a_person_drives_passes_by_no_approval(reason: GateReason | None) -> None:
    story, ref = gated(trusted(Tier.T3), LOGIN)
    story.gate(GateApproved, ref, "h1", reason=reason)
    assert "MergeRequested" not in kinds(story.rounds())
    assert story.issue(ref).state is IssueState.GATED
    assert (GateReason.TIER, sha("h1")) in story.issue(ref).open_gates
    story.gate(GateBypassed, ref, "h1", note="paired on it all afternoon")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_what_a_person_drives_may_be_sent_back_or_merged_by_hand() -> None:
    story, ref = gated(trusted(Tier.T3), SMALL)
    story.gate(GateRejected, ref, "h1")
    assert story.issue(ref).state is IssueState.CHANGES_REQUESTED
    story.to_merging(ref, "h2", "r-2")
    assert story.issue(ref).state is IssueState.GATED
    story.merge_by_hand(ref, "h2")
    assert kinds(story.rounds()) == ["IssueDone"]
    story.ends()


def test_a_policy_that_lets_go_of_the_wheel_makes_an_approval_enough() -> None:
    story, ref = gated(trusted(Tier.T3), SMALL)
    story.gate(GateApproved, ref, "h1")
    story.adopt(trusted(Tier.T2))
    assert story.rounds() == []
    story.gate(GateApproved, ref, "h1")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


# ── labels ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("label", ["blocked", "do-not-merge", "wip", "WIP"])
def test_a_blocking_label_holds_the_merge_until_it_is_taken_away(label: str) -> None:
    story = Story()
    ref = story.approve(1, labels=("shop", label))
    assert gates(story.to_merging(ref)) == [GateReason.POLICY]
    story.say(Actor.LOCAL, ref, IssueRevised(labels=("shop",)))
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_a_label_set_while_it_is_worked_on_holds_it_too() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_review(ref)
    story.say(Actor.LOCAL, ref, IssueRevised(labels=("blocked",)))
    story.check(ref, "h1")
    assert gates(story.rounds()) == [GateReason.POLICY]
    story.ends()


def test_another_label_opens_no_gate_anew_and_another_gate_stays() -> None:
    story = Story()
    ref = story.approve(1, labels=("wip",))
    story.to_merging(ref, changes=LOGIN)
    since = story.now
    story.later(60)
    story.say(Actor.LOCAL, ref, IssueRevised(labels=("wip", "shop")))
    assert story.rounds() == []
    assert story.issue(ref).gates[GateReason.POLICY, sha("h1")].since == since
    story.say(Actor.LOCAL, ref, IssueRevised(labels=("shop",)))
    assert story.issue(ref).open_gates == [(GateReason.SENSITIVE_PATH, sha("h1"))]
    story.gate(GateApproved, ref, "h1")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_a_merge_that_the_forge_did_not_answer_is_not_asked_for_again_once_a_label_blocks_it() -> None:
    story = Story()
    ref = story.approve(1)
    assert "MergeRequested" in kinds(story.to_merging(ref))
    story.say(Actor.LOCAL, ref, IssueRevised(labels=("blocked",)))
    story.deadline_passes(ref)
    said = story.rounds()
    assert gates(said) == [GateReason.POLICY]
    assert "MergeRequested" not in kinds(said)
    assert story.issue(ref).state is IssueState.GATED
    story.say(Actor.LOCAL, ref, IssueRevised(labels=()))
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


# ── who answers, and what for ────────────────────────────────────────────────


def test_several_gates_are_answered_one_by_one() -> None:
    story, ref = gated(trusted(Tier.T2), HUGE)
    for reason in (GateReason.SIZE, GateReason.SENSITIVE_PATH):
        story.gate(GateApproved, ref, "h1", reason=reason)
        assert "MergeRequested" not in kinds(story.rounds())
    assert story.issue(ref).open_gates == [(GateReason.TIER, sha("h1"))]
    story.gate(GateApproved, ref, "h1", reason=GateReason.TIER)
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_several_gates_are_answered_together() -> None:
    story, ref = gated(trusted(Tier.T2), HUGE)
    assert len(story.issue(ref).open_gates) == 3
    story.gate(GateApproved, ref, "h1")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_one_rejection_is_enough_to_send_it_back() -> None:
    story, ref = gated(trusted(Tier.T2), HUGE)
    story.gate(GateApproved, ref, "h1", reason=GateReason.TIER)
    story.gate(GateRejected, ref, "h1", reason=GateReason.SIZE, note="split it in two")
    assert story.issue(ref).state is IssueState.CHANGES_REQUESTED
    assert story.issue(ref).open_gates == []
    story.rounds()
    story.ends()


@pytest.mark.parametrize("answer", [GateApproved, GateRejected, GateBypassed])
def test_only_who_may_answers_at_a_gate(answer: type[GateApproved | GateRejected | GateBypassed]) -> None:
    story, ref = gated(replace(FREE, gates=Gates(approvers=("grace",))))
    story.gate(answer, ref, "h1", by="mallory")
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.GATED
    assert story.state.trust == {}
    story.gate(answer, ref, "h1", by="grace")
    assert story.issue(ref).state is not IssueState.GATED
    story.rounds()
    story.ends()


def test_a_repository_may_have_approvers_of_its_own() -> None:
    story, ref = gated(replace(FREE, gates=Gates(approvers=("grace",))))
    configured = RepositoryConfigured(
        base_branch="main", base_sha=BASE, clone_url="repo", check="true", overrides=Overrides(approvers=("ada",))
    )
    story.say(Actor.LOCAL, SHOP, configured)
    story.gate(GateApproved, ref, "h1", by="grace")
    assert story.issue(ref).state is IssueState.GATED
    story.gate(GateApproved, ref, "h1", by="ada")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


@pytest.mark.parametrize("head", ["h2", None])
def test_an_approval_of_another_head_counts_for_nothing(head: str | None) -> None:
    story, ref = gated()
    story.gate(GateApproved, ref, head)
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.GATED
    story.ends()


def test_an_approval_of_another_gate_counts_for_nothing() -> None:
    story, ref = gated()
    story.gate(GateApproved, ref, "h1", reason=GateReason.SIZE)
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.GATED
    story.ends()


def test_an_approval_before_there_was_a_gate_counts_for_nothing() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_review(ref, changes=LOGIN)
    story.gate(GateApproved, ref, "h1")
    story.check(ref, "h1")
    assert gates(story.rounds()) == [GateReason.SENSITIVE_PATH]
    story.ends()


def test_a_new_head_opens_the_gate_anew() -> None:
    story, ref = gated()
    story.gate(GateApproved, ref, "h1")
    assert "MergeRequested" in kinds(story.rounds())
    story.say(Actor.LOCAL, ref, MergeConflicted(head_sha=sha("h1"), base_sha=BASE))
    assert gates(story.to_merging(ref, "h2", "r-2", changes=LOGIN)) == [GateReason.SENSITIVE_PATH]
    story.gate(GateApproved, ref, "h1")
    assert "MergeRequested" not in kinds(story.rounds()), "that was for the head before"
    story.gate(GateApproved, ref, "h2")
    assert [event.head_sha for event in story.rounds() if isinstance(event, MergeRequested)] == [sha("h2")]
    story.ends()


def test_what_was_approved_once_is_not_asked_again_for_the_same_head() -> None:
    story, ref = gated()
    story.gate(GateApproved, ref, "h1")
    story.rounds()
    story.deadline_passes(ref)
    assert "MergeRequested" in kinds(story.rounds()), "the forge was silent; nobody looks twice"
    story.ends()


def test_the_gate_comes_after_the_verdicts() -> None:
    """Nobody is called to look at what does not pass its checks."""
    story = Story(reviewers=("review-e",))
    ref = story.approve(1)
    story.to_review(ref, changes=LOGIN)
    assert gates(story.rounds()) == []
    story.check(ref, "h1")
    assert gates(story.rounds()) == []
    story.review(ref, "h1")
    assert gates(story.rounds()) == [GateReason.SENSITIVE_PATH]
    story.ends()


# ── rejected ─────────────────────────────────────────────────────────────────


def test_what_is_rejected_before_its_merge_goes_back_to_work_with_the_note() -> None:
    story, ref = gated()
    story.gate(GateRejected, ref, "h1", note="never log the password")
    (assigned, *_) = story.rounds()
    assert isinstance(assigned, IssueAssigned)
    assert (assigned.reason, assigned.attempt) == (AssignReason.REVIEW_DISPUTED, 1)
    assert story.issue(ref).findings == "ada did not let it through (sensitive_path): never log the password"
    story.ends()


def test_what_people_reject_again_and_again_goes_to_a_person_for_good() -> None:
    story = Story()
    ref = story.approve(1)
    for number in range(1, 6):
        story.to_merging(ref, f"h{number}", f"r-{number}", changes=LOGIN)
        story.gate(GateRejected, ref, f"h{number}")
    (escalated,) = story.rounds()
    assert isinstance(escalated, IssueEscalated)
    assert escalated.reason is EscalationReason.REVIEW_ROUNDS
    story.ends()


def guarded() -> tuple[Story, IssueRef]:
    """A run tried what it must not, and a person is asked before another begins."""
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.fail(ref, FailureKind.GUARD, "rm -rf /")
    story.rounds()
    if story.issue(ref).state is not IssueState.GATED:  # after its rest
        story.deadline_passes(ref)
        story.rounds()
    assert story.issue(ref).open_gates == [(GateReason.GUARD, None)]
    return story, ref


def test_what_is_rejected_before_work_goes_to_a_person_until_one_asks_for_it_again() -> None:
    story, ref = guarded()
    story.gate(GateRejected, ref, None, note="not on my machine")
    (escalated,) = story.rounds()
    assert isinstance(escalated, IssueEscalated)
    assert escalated.reason is EscalationReason.GATE_REJECTED
    assert "not on my machine" in escalated.summary
    story.say(Actor.CLI, ref, RetryRequested(by="ada"))
    assert "IssueAssigned" in kinds(story.rounds())
    story.ends()


def test_a_gate_before_work_that_a_word_overtook_is_not_opened() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.fail(ref, FailureKind.GUARD, "rm -rf /")
    _, batch = story.decision()
    story.say(Actor.CLI, ref, Stopped(by="ada"))  # lands between `through` and the batch
    for event in batch:
        story.append(event)
    assert story.rounds() == []
    assert (story.issue(ref).state, story.issue(ref).open_gates) == (IssueState.STOPPED, [])
    story.ends()


def test_what_is_let_through_before_work_begins_again() -> None:
    story, ref = guarded()
    story.gate(GateApproved, ref, "h1")
    assert story.rounds() == [], "there is no head yet"
    story.gate(GateApproved, ref, None)
    assert "IssueAssigned" in kinds(story.rounds())
    story.ends()


def test_a_reviewer_named_while_it_waits_before_work_does_not_lead_past_that_gate() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_merging(ref)
    story.say(Actor.LOCAL, ref, MergeConflicted(head_sha=sha("h1"), base_sha=BASE))
    story.rounds()
    story.start(ref, "r-2")
    story.fail(ref, FailureKind.GUARD, "rm -rf /", "r-2")
    story.rounds()
    assert story.issue(ref).open_gates == [(GateReason.GUARD, None)]
    story.add(SHOP, ("review-e",))
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.GATED
    story.ends()


# ── time ─────────────────────────────────────────────────────────────────────


def test_people_are_reminded_every_half_hour_and_told_after_two_days_that_somebody_must_look() -> None:
    story, ref = gated(trusted(Tier.T2), LOGIN)
    since = story.now
    for number in range(1, 98):
        story.deadline_passes(ref)
        assert story.now == since + number * timedelta(minutes=30)
        said = story.rounds()
        reminded = [event for event in said if isinstance(event, GateReminded)]
        assert [event.reason for event in reminded] == [GateReason.SENSITIVE_PATH, GateReason.TIER]
        assert {event.waited_minutes for event in reminded} == {30.0 * number}
        assert [event for event in said if isinstance(event, IssueNeedsHuman)] == (
            [IssueNeedsHuman(waited_hours=48.0)] if number == 96 else []
        )
    story.ends()


def test_nobody_is_reminded_of_a_gate_that_was_answered() -> None:
    story, ref = gated(trusted(Tier.T2), LOGIN)
    story.gate(GateApproved, ref, "h1", reason=GateReason.TIER)
    story.deadline_passes(ref)
    assert [event.reason for event in story.rounds() if isinstance(event, GateReminded)] == [GateReason.SENSITIVE_PATH]
    story.ends()


# ── what happens meanwhile ───────────────────────────────────────────────────


def test_checks_that_turn_red_while_it_waits_send_it_back_and_the_gate_is_no_more() -> None:
    story, ref = gated()
    story.later(60)
    story.check(ref, "h1", passed=False, log="the base has changed")
    assert story.issue(ref).state is IssueState.CHANGES_REQUESTED
    assert story.issue(ref).open_gates == []
    story.gate(GateApproved, ref, "h1")
    assert kinds(story.rounds()) == ["IssueAssigned", "DeadlineSet"]
    story.ends()


def test_a_gate_that_nobody_answered_stands_again_for_the_same_head() -> None:
    """It was left because its checks had turned red. They pass now, and still nobody has looked."""
    story, ref = gated()
    story.later(60)
    story.check(ref, "h1", passed=False)
    story.rounds()
    story.start(ref, "r-2")
    story.later(60)
    story.push(ref, "h1", "r-2")
    story.check(ref, "h1")
    said = story.rounds()
    assert gates(said) == [GateReason.SENSITIVE_PATH]
    assert "MergeRequested" not in kinds(said)
    story.ends()


def test_an_answer_that_is_heard_twice_answers_once() -> None:
    """Its gate was answered, its checks turned red, and the same head stands at the gate again."""
    story, ref = gated(trusted(Tier.T2), LOGIN)
    story.gate(GateApproved, ref, "h1", reason=GateReason.TIER)
    answer = story.log[-1]
    story.later(60)
    story.check(ref, "h1", passed=False)
    story.rounds()
    story.start(ref, "r-2")
    story.later(60)
    story.push(ref, "h1", "r-2")
    story.check(ref, "h1")
    story.rounds()
    story.gate(GateRejected, ref, "h1")
    rejected = story.log[-1]
    story.to_merging(ref, "h1", "r-3", changes=LOGIN)
    assert story.issue(ref).open_gates == [(GateReason.SENSITIVE_PATH, sha("h1"))]
    for again in (answer, rejected):
        story.append(again)
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.GATED
    story.ends()


def test_an_old_gate_does_not_hold_the_next_head() -> None:
    story, ref = gated()
    story.later(60)
    story.check(ref, "h1", passed=False)
    story.to_merging(ref, "h2", "r-2", changes=LOGIN)
    story.gate(GateApproved, ref, "h2")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_a_dispute_while_it_waits_sends_it_back() -> None:
    story = Story(reviewers=("alice", "bob"))
    ref = story.approve(1)
    story.to_merging(ref, changes=LOGIN)
    story.review(ref, "h1", by="alice")
    story.rounds()
    assert story.issue(ref).state is IssueState.GATED
    story.review(ref, "h1", by="bob", passed=False, text="names")
    assert story.issue(ref).state is IssueState.CHANGES_REQUESTED
    story.rounds()
    story.ends()


def test_a_base_that_moves_while_it_waits_is_what_it_is_merged_onto() -> None:
    story, ref = gated()
    story.later(60)
    story.check(ref, "h1", base=sha("newer"))
    assert story.rounds() == [], "it still waits for a person"
    story.gate(GateApproved, ref, "h1")
    assert [event.base_sha for event in story.rounds() if isinstance(event, MergeRequested)] == [sha("newer")]
    story.ends()


def test_a_conflict_while_it_waits_sends_it_back() -> None:
    story, ref = gated()
    story.say(Actor.LOCAL, ref, MergeConflicted(head_sha=sha("h1"), base_sha=BASE))
    (assigned, *_) = story.rounds()
    assert isinstance(assigned, IssueAssigned)
    assert assigned.reason is AssignReason.MERGE_CONFLICTED
    assert story.issue(ref).open_gates == []
    story.ends()


def test_a_reviewer_named_while_it_waits_is_asked_first_and_the_gate_stands_again_after_that() -> None:
    story, ref = gated()
    story.add(SHOP, ("review-e",))
    assert "ReviewRequested" in kinds(story.rounds())
    story.gate(GateApproved, ref, "h1")
    story.review(ref, "h1")
    said = story.rounds()
    assert gates(said) == [GateReason.SENSITIVE_PATH]
    assert "MergeRequested" not in kinds(said)
    story.ends()


@pytest.mark.parametrize("word", [Stopped(by="ada"), IssueWithdrawn(by="ada")])
def test_what_is_stopped_or_withdrawn_at_a_gate_needs_no_answer_any_more(word: Stopped | IssueWithdrawn) -> None:
    story, ref = gated()
    story.say(Actor.CLI, ref, word)
    assert story.rounds() == []
    assert story.issue(ref).open_gates == []
    story.gate(GateApproved, ref, "h1")
    assert story.rounds() == []
    assert story.issue(ref).state in (IssueState.STOPPED, IssueState.WITHDRAWN)
    story.ends()


def test_what_was_stopped_at_a_gate_is_worked_on_again_when_a_person_asks() -> None:
    story, ref = gated()
    story.say(Actor.CLI, ref, Stopped(by="ada"))
    story.say(Actor.CLI, ref, RetryRequested(by="ada"))
    assert gates(story.to_merging(ref, "h2", "r-2", changes=LOGIN)) == [GateReason.SENSITIVE_PATH]
    story.gate(GateApproved, ref, "h2")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_a_gate_that_a_word_overtook_is_not_opened() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_review(ref, changes=LOGIN)
    story.check(ref, "h1")
    _, batch = story.decision()
    story.later(1)
    story.check(ref, "h1", passed=False)  # lands between `through` and the batch
    for event in batch:
        story.append(event)
    assert story.issue(ref).open_gates == []
    assert kinds(story.rounds()) == ["IssueAssigned", "DeadlineSet"]
    story.ends()


def test_a_reminder_waits_half_an_hour_from_the_gate() -> None:
    story = Story()
    ref = story.approve(1)
    said = story.to_merging(ref, changes=LOGIN)
    assert said[-1] == DeadlineSet(kind=DeadlineKind.GATE, at=story.now + timedelta(minutes=30))
    story.ends()
