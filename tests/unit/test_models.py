"""The read models: what a person sees of issues, runs, money, reviews, gates, replicas and conversations."""

from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from conductor.decide import RULES
from conductor.projector.issues import FINDINGS_MAX, IssueRow
from conductor.projector.judgements import Answer, GateRow, ReviewRow
from conductor.projector.merges import MergeRow
from conductor.projector.overviews import BudgetRow, IncidentRow, MilestoneRow, PauseRow, TrustRow
from conductor.projector.past import Past
from conductor.projector.projection import Poisoned, Projection
from conductor.projector.roster import AgentRow, RepositoryRow
from conductor.projector.runs import RunRow, SpendRow
from conductor.projector.talk import EFFECTS, ChatRow, EffectRow
from schemas import (
    FLEET,
    Actor,
    AgentCapacityChanged,
    AgentJoined,
    AgentLeft,
    AgentRef,
    Budget,
    BudgetRaised,
    ChatRef,
    ChecksFailed,
    CommandBlocked,
    CommandReceived,
    Conclusion,
    Draft,
    EffectRecorded,
    FailedCheck,
    FailureKind,
    GateApproved,
    GateReason,
    IssueRef,
    IssueRevised,
    IssueState,
    LeaveReason,
    MainChecksFailed,
    MessageReceived,
    MessageSent,
    MessagesForgotten,
    Paused,
    Policy,
    PullRequestClosed,
    Recorded,
    RepositoryRemoved,
    Reverted,
    RunConclusion,
    SuspensionReason,
    Tier,
    Tiers,
    TokensUsed,
    decode,
    envelope,
)
from tests.support.anything import any_event, opening
from tests.support.recorded import read
from tests.support.story import BASE, FREE, SHOP, Story, sha
from tests.support.told_past import past, recorded, row

ONE = AgentRef("dev-e-1")
GENERAL = ChatRef("discord", "general")


def issue_row(story: Story, ref: IssueRef) -> IssueRow:
    return row(story, "issues", str(ref), IssueRow)


def state(found: IssueRow) -> IssueState:
    assert found.standing is not None
    return found.standing.state


# ── whatever is told ─────────────────────────────────────────────────────────


LOGS = [
    [Recorded(position, event.time, event) for position, event in enumerate(map(decode, map(bytes, log.events)), 1)]
    for log in read(RULES)
]


def test_in_whatever_batches_a_log_is_read_the_rows_are_the_same() -> None:
    for number, log in enumerate(LOGS):
        at_once, in_parts, size = Past(), Past(), 1 + number % 5
        at_once.fold(log)
        for first in range(0, len(log), size):
            in_parts.fold(log[first : first + size])
        assert at_once.dump() == in_parts.dump()


def test_events_that_a_model_does_not_ask_for_change_none_of_its_rows() -> None:
    projection = Projection()
    for position, event in enumerate((*opening(1), *filter(None, map(any_event, range(4_000)))), 1):
        said = Recorded(position, event.time, event)
        for model in projection.models:
            if not isinstance(event.data, model.events):
                assert not list(model.keys(said)), (model.table, event.data)
        projection.catch_up(said, position)


def test_what_is_said_again_changes_nothing() -> None:
    for log in LOGS:
        once, twice = Past(), Past()
        once.fold(log)
        twice.fold(log)
        twice.fold(Recorded(len(log) + said.position, said.stored_at, said.event) for said in log)
        assert once.dump() == twice.dump()


def test_an_issue_stands_where_the_conductor_has_it() -> None:
    seen: set[IssueState] = set()
    for log in LOGS:
        found = Past()
        for said in log:
            found.fold([said])
            shown = found.tables.get("issues", str(said.event.about))
            if isinstance(shown, IssueRow):
                assert msgspec.json.decode(msgspec.json.encode(shown), type=IssueRow) == shown, "it survives storage"
                seen.add(state(shown))
    assert seen >= {*IssueState} - {IssueState.READY_TO_MERGE}


def test_what_no_model_can_take_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    story.approve()

    def fails(*_: object) -> None:
        raise ZeroDivisionError("one too many")

    monkeypatch.setattr("conductor.projector.projection.EFFECTS", replace(EFFECTS, fold=fails))
    story.say(Actor.LOCAL, IssueRef("demo", "shop", 1), EffectRecorded(effect="merge", key="1", outcome="done"))
    with pytest.raises(Poisoned, match=rf"position {len(story.log)}: ZeroDivisionError: one too many"):
        past(story)
    left_out = Past(poison=[len(story.log)])
    left_out.fold(recorded(story))
    assert left_out.position == len(story.log)
    assert left_out.dump()["issues"].keys() == {"demo/shop#1"}


# ── issues ───────────────────────────────────────────────────────────────────


def test_an_issue_from_its_approval_to_its_end() -> None:
    story = Story(reviewers=("review-e",))
    ref = story.approve(body="It is wrong.", url="https://example.org/1", labels=("bug",), milestone="1.0")
    story.rounds()
    shown = issue_row(story, ref)
    assert (state(shown), shown.title, shown.body, shown.url) == (
        "assigned", "Issue 1", "It is wrong.", "https://example.org/1",
    )  # fmt: skip
    assert (shown.labels, shown.milestone, shown.author) == (("bug",), "1.0", "ada")
    story.start(ref)
    story.fail(ref, FailureKind.CHECKS_FAILED, "test_total fails")
    story.to_review(ref, "h1", "r-2")
    shown = issue_row(story, ref)
    assert shown.standing is not None
    assert (shown.attempts, shown.standing.failed_attempts, shown.standing.findings) == (2, 1, "test_total fails")
    assert (shown.branch, shown.standing.pull_request, shown.standing.head_sha) == ("rig/1-fix", 1, sha("h1"))
    story.check(ref, "h1")
    story.review(ref, "h1")
    story.rounds()
    shown = issue_row(story, ref)
    assert shown.standing is not None
    assert shown.standing.checks is not None
    assert shown.standing.checks.passed
    assert [(review.by, review.passed) for review in shown.standing.reviews] == [("review-e", True)]
    story.merge(ref)
    story.rounds()
    shown = issue_row(story, ref)
    assert shown.standing is not None
    assert (state(shown), shown.standing.merge_sha, shown.standing.findings) == ("done", sha("m1"), "")
    assert shown.opened == next(at for at, said in enumerate(story.log, 1) if said.about == ref)


def test_an_issue_that_changed_is_shown_as_it_is_now() -> None:
    story = Story()
    ref = story.approve()
    story.say(Actor.LOCAL, ref, IssueRevised(title="Another", body="More", labels=("wip",)))
    shown = issue_row(story, ref)
    assert (shown.title, shown.body, shown.labels) == ("Another", "More", ("wip",))
    story.to_review(ref)
    story.say(Actor.LOCAL, ref, PullRequestClosed(pull_request=1))
    shown = issue_row(story, ref)
    assert (shown.branch, shown.pull_request_url) == (None, "")


def test_who_works_on_it_is_shown_only_while_somebody_does() -> None:
    story = Story()
    ref = story.approve()
    story.rounds()
    story.start(ref)
    shown = issue_row(story, ref).standing
    assert shown is not None
    assert shown.agent == "dev-e-1"
    story.fail(ref, FailureKind.GUARD)
    story.rounds()
    shown = issue_row(story, ref).standing
    assert shown is not None
    assert (shown.agent, [gate.reason for gate in shown.gates]) == (None, [GateReason.GUARD])


def test_long_findings_are_cut_and_say_so() -> None:
    story = Story()
    ref = story.approve()
    story.to_review(ref)
    failed = [FailedCheck(name=f"c{n}", conclusion=Conclusion.FAILURE, excerpt="x" * 8_000) for n in range(5)]
    story.say(Actor.LOCAL, ref, ChecksFailed(head_sha=sha("h1"), base_sha=BASE, failed=tuple(failed)))
    shown = issue_row(story, ref).standing
    assert shown is not None
    found, _, cut = shown.findings.rpartition("\n")
    assert (len(found), cut) == (FINDINGS_MAX, "… (cut: 40064 characters)")


def test_a_word_about_an_issue_that_nobody_approved_makes_no_row() -> None:
    story = Story()
    story.say(Actor.LOCAL, IssueRef("demo", "shop", 9), IssueRevised(title="?"))
    assert "issues" not in past(story).dump()


# ── runs and money ───────────────────────────────────────────────────────────


def test_a_run_and_what_it_cost() -> None:
    story = Story(Policy(budget=Budget(run_usd=2)))
    ref = story.approve()
    story.rounds()
    story.spend(ref, 0.25)  # said before its claim was read
    story.start(ref)
    story.spend(ref, None)
    story.say(Actor.DEV_E, ref, CommandBlocked(epoch=1, run="r-1", command="git push -f", rule="no force"))
    story.push(ref, "h1")
    run = row(story, "runs", f"{ref}/r-1", RunRow)
    assert (run.agent, run.epoch, run.provider, run.pushed, run.blocked) == ("dev-e-1", 1, "scripted", sha("h1"), 1)
    assert (run.tokens.cost, run.tokens.unpriced, run.failed) == (250_000, 1, None)
    spend = row(story, "spend", f"2026-01-01/{ref}/r-1/dev-e/any/", SpendRow)
    assert (spend.day.isoformat(), spend.tokens.cost, spend.tokens.unpriced) == ("2026-01-01", 250_000, 1)
    budget = row(story, "budgets", "day", BudgetRow)
    assert (budget.reserved_usd, budget.spent_usd) == (2.0, 0.0), "what nobody knows the price of counts as set aside"
    shown = issue_row(story, ref).standing
    assert shown is not None
    assert (shown.spent_usd, shown.committed_usd) == (0.25, 2.0)


def test_what_was_spent_is_told_by_who_says_so() -> None:
    story = Story()
    ref = story.approve()
    told = [
        ("dev-e/dev-e-1", "a/b", "c"),
        ("dev-e/dev-e-1", "a", "b/c"),
        ("dev-e/dev-e-2", "a", "b/c"),
        ("odd", "", ""),
    ]
    for number, (source, provider, model) in enumerate(told):
        used = TokensUsed(epoch=1, run="r-1", provider=provider, model=model, cost_usd=0.1 + number)
        draft = Draft(about=ref, data=used)
        story.append(envelope(draft, id=f"u{number}", actor=Actor.DEV_E, source=source, time=story.now))
    rows = [found for found in past(story).tables.rows["spend"].values() if isinstance(found, SpendRow)]
    assert [(found.role, found.agent, found.provider, found.model, found.tokens.cost) for found in rows] == [
        ("dev-e", "dev-e-1", "a/b", "c", 100_000),
        ("dev-e", "dev-e-1", "a", "b/c", 1_100_000),
        ("dev-e", "dev-e-2", "a", "b/c", 2_100_000),
        ("dev-e", "odd", "", "", 3_100_000),
    ]


def test_a_change_is_merged_once_and_taken_out_once() -> None:
    story = Story()
    ref = story.approve()
    story.to_review(ref)
    story.merge_by_hand(ref, "h1")
    merged = story.now
    story.later(60)
    story.merge_by_hand(ref, "h1")  # another bridge has seen it too
    found = row(story, "merges", f"{ref}/{sha('by-hand')}", MergeRow)
    assert (found.issue, found.head_sha, found.day, found.merged) == (ref, sha("h1"), merged.date(), merged)
    assert found.reverted is None
    for seconds in (60, 120):
        story.later(seconds)
        story.say(Actor.LOCAL, ref, Reverted(merge_sha=sha("by-hand"), revert_sha=sha("r"), by="ada"))
    story.say(Actor.LOCAL, ref, Reverted(merge_sha=sha("never"), revert_sha=sha("r"), by="ada"))
    (found,) = past(story).tables.rows["merges"].values()
    assert isinstance(found, MergeRow)
    assert found.reverted == merged + timedelta(seconds=120)


def test_a_run_that_failed() -> None:
    story = Story()
    ref = story.approve()
    story.rounds()
    story.start(ref)
    story.later(60)
    story.fail(ref, FailureKind.STALLED, "silent for 10 minutes")
    run = row(story, "runs", f"{ref}/r-1", RunRow)
    assert (run.failed, run.detail, run.pushed) == (FailureKind.STALLED, "silent for 10 minutes", None)
    assert run.started is not None
    assert run.ended == run.started + timedelta(seconds=60)


def test_a_budget_that_people_have_raised() -> None:
    story = Story()
    until = story.now + timedelta(hours=1)
    story.say(Actor.CLI, FLEET, BudgetRaised(scope="day", limit_usd=70, until=until, by="ada"))
    budget = row(story, "budgets", "day", BudgetRow)
    assert (budget.raised_to_usd, budget.raised_until) == (70.0, until)
    story.rounds()
    story.time_passes(3_600)
    assert "budgets" not in past(story).dump()


# ── reviews and gates ────────────────────────────────────────────────────────


def test_a_review_is_asked_for_and_the_later_answer_counts() -> None:
    story = Story(reviewers=("review-e",))
    ref = story.approve()
    story.to_review(ref)
    story.check(ref, "h1")
    story.rounds()
    asked = row(story, "reviews", f"{ref}/{sha('h1')}/review-e", ReviewRow)
    assert (asked.iteration, asked.answer) == (1, None)
    story.later(10)
    story.review(ref, "h1", passed=False, text="And if it is 0?")
    story.later(-5)
    story.review(ref, "h1")
    answered = row(story, "reviews", f"{ref}/{sha('h1')}/review-e", ReviewRow)
    assert (answered.answer, answered.summary) == (Answer.DISPUTED, "And if it is 0?")


def test_a_gate_and_what_people_answered() -> None:
    story = Story()
    ref = story.approve(labels=("wip",))
    story.to_review(ref)
    story.check(ref, "h1")
    story.rounds()
    story.deadline_passes(ref)
    story.rounds()
    story.gate(GateApproved, ref, "h1", note="it is ready")
    gate = row(story, "gates", f"{ref}/{sha('h1')}/policy", GateRow)
    assert (gate.detail, gate.reminded) == ("labelled wip", 1)
    assert [(said.answer, said.by, said.note) for said in gate.answers] == [(Answer.APPROVED, "ada", "it is ready")]
    assert past(story).dump()["gates"].keys() == {f"{ref}/{sha('h1')}/policy"}, "one word, for the gates that are open"


# ── replicas and repositories ────────────────────────────────────────────────


def agent_row(story: Story) -> AgentRow:
    return row(story, "agents", "dev-e-1", AgentRow)


def test_an_agent_joins_takes_more_and_leaves() -> None:
    story = Story()
    story.say(Actor.DEV_E, ONE, AgentCapacityChanged(boot="b1", slots=3, degraded=("disk",)))
    shown = agent_row(story)
    assert (shown.name, shown.role, shown.slots, shown.degraded, shown.left) == (
        "dev-e-1", "dev-e", 3, ("disk",), None,
    )  # fmt: skip
    story.say(Actor.DEV_E, ONE, AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
    assert agent_row(story).left == story.now


def test_an_agent_that_joins_again_takes_its_place_back_and_its_earlier_life_is_not_heard() -> None:
    story = Story()
    story.join("dev-e-1", boot="b2")
    story.say(Actor.DEV_E, ONE, AgentLeft(boot="b1", reason=LeaveReason.FAILED))
    shown = agent_row(story)
    assert (shown.boot, shown.left) == ("b2", None)


def test_an_agent_that_never_joined_has_no_row() -> None:
    story = Story()
    story.say(Actor.DEV_E, AgentRef("dev-e-9"), AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
    assert past(story).dump()["agents"].keys() == {"dev-e-1"}


@pytest.mark.parametrize("kind", [FailureKind.QUOTA, FailureKind.AUTH])
def test_an_agent_that_gets_no_work_for_now_is_shown_so(kind: FailureKind) -> None:
    story = Story()
    ref = story.approve()
    story.rounds()
    story.start(ref)
    story.fail(ref, kind)
    assert agent_row(story).suspended == SuspensionReason(kind)
    joined = AgentJoined(boot="b2", role="dev-e", provider="scripted", slots=1, version="0")
    story.later(1_000_000)
    story.say(Actor.DEV_E, ONE, joined)
    assert agent_row(story).suspended is None


def test_a_repository_is_configured_once_the_forge_has_looked_and_kept_once_it_is_removed() -> None:
    story = Story()
    shown = row(story, "repositories", "demo/shop", RepositoryRow)
    assert (shown.line.configured, shown.line.base_branch, shown.removed) == (True, "main", False)
    story.say(Actor.CLI, SHOP, RepositoryRemoved(by="ada"))
    assert row(story, "repositories", "demo/shop", RepositoryRow).removed
    story.add(SHOP)
    assert not row(story, "repositories", "demo/shop", RepositoryRow).removed


# ── the rig as a whole ───────────────────────────────────────────────────────


def test_trust_milestones_incidents_and_pauses() -> None:
    story = Story(replace(FREE, tiers=Tiers(promote_after=1)))
    ref = story.approve(milestone="1.0")
    story.to_merging(ref)
    assert row(story, "milestones", "1.0", MilestoneRow).open == (ref,)
    story.merge(ref)
    story.rounds()
    milestone = row(story, "milestones", "1.0", MilestoneRow)
    assert (milestone.open, milestone.done, milestone.completed) == ((), (ref,), True)
    assert row(story, "trust", "dev-e/code", TrustRow).tier is Tier.T0
    red = MainChecksFailed(
        sha=sha("a"), workflow="ci", run="1", conclusion=RunConclusion.FAILURE, previous_conclusion=None
    )
    story.say(Actor.LOCAL, SHOP, red)
    story.rounds()
    incident = row(story, "incidents", "demo/shop: ci", IncidentRow)
    assert (incident.red, incident.opened, incident.escalated) == (True, story.now, False)
    story.say(Actor.CLI, FLEET, Paused(scope="all", by="ada"))
    assert row(story, "pauses", "all", PauseRow).scope == "all"


# ── conversations and effects ────────────────────────────────────────────────


def test_a_conversation_with_where_each_message_came_from() -> None:
    story = Story()
    asked = story.say(Actor.DISCORD, GENERAL, MessageReceived(author="ada", text="How is it going?"))
    story.say(Actor.DEV_E, GENERAL, MessageSent(message="Well.", in_reply_to=asked.id))
    story.say(Actor.DISCORD, GENERAL, CommandReceived(command="status", arguments=("demo/shop",), by="ada"))
    rows = [found for found in past(story).tables.rows["chat"].values() if isinstance(found, ChatRow)]
    assert [(found.author, found.actor, found.text) for found in sorted(rows, key=lambda found: found.position)] == [
        ("ada", "discord", "How is it going?"),
        ("dev-e", "dev-e", "Well."),
        ("ada", "discord", "status demo/shop"),
    ]
    assert {found.in_reply_to for found in rows} == {None, asked.id}


def test_messages_that_are_forgotten_go_and_what_comes_later_stays() -> None:
    story = Story()
    elsewhere = ChatRef("slack", "general")
    said = [story.say(Actor.DISCORD, GENERAL, MessageReceived(author="ada", text=text)) for text in "abc"]
    story.say(Actor.SLACK, elsewhere, MessageReceived(author="ada", text="d"))
    first, _, third = (one.id for one in said)
    story.say(Actor.CLI, elsewhere, MessagesForgotten(messages=(said[1].id,), by="ada"))
    story.say(Actor.CLI, GENERAL, MessagesForgotten(messages=(first, "never", third, first), by="ada"))
    story.say(Actor.DISCORD, GENERAL, MessageReceived(author="ada", text="e"))
    rows = [found for found in past(story).tables.rows["chat"].values() if isinstance(found, ChatRow)]
    assert [(found.platform, found.text) for found in rows] == [("discord", "b"), ("slack", "d"), ("discord", "e")]


def test_what_a_bridge_did_outside_as_it_was_recorded_last() -> None:
    story = Story()
    ref = story.approve()
    for outcome in ("failed", "done"):
        story.say(Actor.LOCAL, ref, EffectRecorded(effect="merge", key="h1", outcome=outcome))
    assert row(story, "effects", f"{ref}/merge/h1", EffectRow).outcome == "done"
