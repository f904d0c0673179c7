"""Why an issue stands where it stands: the chain of causes, and what it waits for, in words."""

from datetime import timedelta

import pytest

from bridges.standing import House
from bridges.standing_fold import standing
from bridges.terminal import why
from bridges.terminal.chain import Known, Missing, chain
from bridges.terminal.explain import REASONS, Facts, Why, explain
from bridges.terminal.fleet import fleet
from schemas import (
    Actor,
    BudgetExceeded,
    BudgetRaised,
    DeadlineKind,
    DeadlinePassed,
    DeadlineSet,
    EscalationReason,
    Event,
    GateReason,
    GateTriggered,
    HaltDetected,
    Invariant,
    IssueApproved,
    IssueDone,
    IssueEscalated,
    IssueRef,
    IssueRefused,
    IssueUnassigned,
    IssueWaiting,
    IssueWithdrawn,
    Merged,
    Paused,
    Policy,
    PolicyAdopted,
    QuestionAsked,
    Refusal,
    Resumed,
    Reverted,
    Stopped,
    UnassignReason,
    WaitingReason,
)
from tests.support.saying import assigned, pushed, started
from tests.support.told import BEGAN, ISSUE, Told

OTHER = IssueRef("demo", "shop", 2)
HEAD = "a" * 40
APPROVED = IssueApproved(title="Fix total", author="ann")
MERGED = Merged(head_sha=HEAD, base_sha="b" * 40, merge_sha=HEAD)
ADOPTED = PolicyAdopted(policy=Policy(), hash="p", by="ann")


def asked(told: Told, *, hours: float = 0, approvers: tuple[str, ...] = (), **facts: object) -> Why:
    """The answer so many hours after the last word."""
    it = standing(told.log, ISSUE, House(approvers=approvers))
    assert it is not None
    links, missing = chain(it.last, Known(told.log))
    now = told.time(len(told.log)) + timedelta(hours=hours)
    known = Facts(**({"fleet": fleet(told.log), "repository": True} | facts))
    return explain(it, links, missing, known, now)


def waits(answer: Why) -> dict[str, str]:
    return {wait.what: wait.text for wait in answer.now}


def of(*events: Event) -> Told:
    told = Told()
    for event in (ADOPTED, *events):
        told.say(event)
    return told


class TestChain:
    def test_it_leads_from_the_last_word_back_to_the_outside_fact(self) -> None:
        told = Told()
        approved = told.say(APPROVED)
        first = told.say(assigned(), cause=approved)
        due = told.say(DeadlineSet(kind=DeadlineKind.CLAIM, at=BEGAN), cause=approved)
        told.say(APPROVED, about=OTHER)
        passed = told.say(DeadlinePassed(kind=DeadlineKind.CLAIM, at=BEGAN), cause=due)
        taken = told.say(IssueUnassigned(epoch=1, reason=UnassignReason.STALE), cause=passed)
        second = told.say(assigned(2, 1), cause=taken)
        assert [step.position for step in asked(told).because] == [1, 3, 5, 6, 7]
        assert (first.position, second.position) == (2, 7)
        assert asked(told).unknown_cause is None

    def test_a_cause_that_is_not_known_is_named(self) -> None:
        told = Told()
        told.say(APPROVED, cause="elsewhere")
        answer = asked(told)
        assert (answer.unknown_cause, [step.position for step in answer.because]) == ("elsewhere", [1])
        assert chain(told.log[0], Known(told.log))[1] == Missing("elsewhere", 1)

    def test_a_cause_behind_its_effect_is_none(self) -> None:
        told = Told()
        told.say(APPROVED, cause="id-2")
        told.say(assigned(), cause="id-2")
        assert asked(told).unknown_cause == "id-2"

    def test_an_id_that_is_taken_twice_is_the_first(self) -> None:
        told = Told()
        told.say(APPROVED, about=OTHER)
        told.say(APPROVED, about=IssueRef("demo", "shop", 3))
        cause = told.log[0]
        again = type(cause)(3, cause.stored_at, cause.event)
        assert Known([again, cause]).find(Missing("id-1", 9)) == cause


class TestWaits:
    def test_a_deadline_says_what_must_come_and_when(self) -> None:
        told = of(APPROVED, assigned(), DeadlineSet(kind=DeadlineKind.CLAIM, at=BEGAN + timedelta(minutes=30)))
        assert waits(asked(told))["deadline"].endswith("(in 26 min): until then somebody must claim it")
        late = waits(asked(told, hours=1))["deadline"]
        assert "(34 min ago)" in late
        assert late.endswith("does the conductor run? `rig status`")

    def test_whoever_works_on_it_is_named(self) -> None:
        assert waits(asked(of(APPROVED, assigned(), started())))["work"] == "dev-e-1 works on it: epoch 1, run r-1"

    def test_a_gate_says_since_when_why_and_who_may(self) -> None:
        gate = GateTriggered(reason=GateReason.SENSITIVE_PATH, head_sha=HEAD, paths=("auth/a.py", "auth/b.py"))
        told = of(APPROVED, assigned(), started(), pushed(head=HEAD), gate)
        answer = asked(told, hours=2, approvers=("eve", "zoe"))
        assert answer.state == "gated"
        assert waits(answer)["gate"] == (
            "sensitive path at aaaaaaaaa, for 2 h (auth/a.py, auth/b.py); eve, zoe may let it through"
        )
        assert answer.now[0].who == ("eve", "zoe")
        assert answer.next == ("rig gate approve|reject|bypass demo/shop#1 --head aaaaaaaaaaaa --note TEXT",)
        assert waits(asked(told))["gate"].endswith("; whoever may speak to the rig may let it through")

    def test_a_question_waits_for_an_answer(self) -> None:
        answer = asked(of(APPROVED, assigned(), started(), QuestionAsked(epoch=1, run="r-1", question="Which\none?")))
        assert waits(answer)["question"] == "run r-1 asks: Which one?"
        assert answer.next == ("rig issue answer demo/shop#1 TEXT",)

    def test_every_reason_to_wait_has_words(self) -> None:
        assert set(REASONS) == set(WaitingReason)
        reasons = (WaitingReason.CAPACITY, WaitingReason.QUOTA)
        answer = asked(of(APPROVED, IssueWaiting(reasons=reasons, since=BEGAN)))
        assert waits(answer)["waiting"].startswith(
            "every slot that may be used is in use; whoever could do it has used up a quota, or must log in (as of"
        )

    def test_dependencies_are_shown_with_where_they_stand(self) -> None:
        told = Told()
        told.say(ADOPTED)
        told.say(IssueApproved(title="Fix", author="ann", depends_on=(OTHER,)))
        assert waits(asked(told, depends_on={OTHER: None}))["dependency"] == "demo/shop#2: nobody has approved it yet"
        told.say(APPROVED, about=OTHER)
        told.say(Stopped(by="ann"), about=OTHER)
        other = standing(told.log, OTHER)
        answer = asked(told, hours=3, depends_on={OTHER: other})
        assert waits(answer)["dependency"] == "demo/shop#2 is stopped, for 3 h"
        told.say(MERGED, about=OTHER)
        told.say(IssueDone(duration_minutes=1, attempts=1, merge_sha=HEAD), about=OTHER)
        assert "dependency" not in waits(asked(told, depends_on={OTHER: standing(told.log, OTHER)}))
        told.say(Reverted(merge_sha=MERGED.merge_sha, revert_sha="e" * 40, by="ann"), about=OTHER)
        answer = asked(told, hours=3, depends_on={OTHER: standing(told.log, OTHER)})
        assert waits(answer)["dependency"].startswith("demo/shop#2 is done, and taken out again, for ")

    @pytest.mark.parametrize(
        ("scope", "shown"),
        [("all", True), ("role:dev-e", True), ("repository:demo/shop", True), ("role:review-e", False)],
    )
    def test_a_pause_is_shown_where_it_keeps_this_issue_from_beginning(self, scope: str, shown: bool) -> None:
        answer = asked(of(APPROVED, Paused(scope=scope, by="ann", note="moving")))
        assert ("paused" in waits(answer)) is shown
        if shown:
            assert waits(answer)["paused"] == f"{scope} paused by ann: moving, 0 s ago"
        under_way = asked(of(APPROVED, assigned(), started(), Paused(scope=scope, by="ann")))
        assert "paused" not in waits(under_way), "what is under way goes on"
        assert "paused" not in waits(asked(of(APPROVED, Paused(scope=scope, by="ann"), Resumed(scope=scope, by="b"))))

    def test_a_budget_without_room_is_shown_until_it_is_raised_or_its_day_is_over(self) -> None:
        full = BudgetExceeded(scope="day", limit_usd=10, spent_usd=9.5)
        own = BudgetExceeded(scope="issue:demo/shop#1", limit_usd=10, spent_usd=9.5)
        assert waits(asked(of(APPROVED, full)))["budget"] == "budget day has no room: $9.50 of $10.00"
        assert "budget" not in waits(asked(of(APPROVED, full), hours=24))
        assert "budget" in waits(asked(of(APPROVED, own), hours=24))
        raised = BudgetRaised(scope="day", limit_usd=20, until=BEGAN + timedelta(days=1), by="ann")
        assert "budget" not in waits(asked(of(APPROVED, full, raised)))

    def test_what_is_wrong_with_the_rig_itself_is_said(self) -> None:
        told = Told()
        told.say(APPROVED)
        answer = asked(told, repository=False)
        assert waits(answer)["policy"].startswith("no policy is adopted, so nothing is decided")
        assert waits(answer)["repository"].startswith("demo/shop is not under the rig, or the forge has not looked")
        halt = HaltDetected(invariant=Invariant.ISSUE_UNANSWERED, evidence=("demo/shop#1",), since=BEGAN)
        assert waits(asked(of(APPROVED, halt)))["halt"].startswith("HALT: issue unanswered since 2026-01-31 12:00:00")

    def test_with_nothing_else_to_wait_for_it_is_the_conductors_turn(self) -> None:
        assert waits(asked(of(APPROVED)))["conductor"].startswith("the conductor's next decision")


class TestTheEnd:
    @pytest.mark.parametrize(
        ("last", "text", "commands"),
        [
            (IssueDone(duration_minutes=1, attempts=1, merge_sha=HEAD), "it is done, and nothing more is due", []),
            (
                IssueEscalated(reason=EscalationReason.ATTEMPTS, attempts=3, to="ann"),
                "the rig has done what it may: ann must decide",
                ["rig issue retry demo/shop#1", "rig issue withdraw demo/shop#1"],
            ),
            (
                Stopped(by="ann"),
                "a person stopped it: it waits until one asks for another try",
                ["rig issue retry demo/shop#1", "rig issue withdraw demo/shop#1"],
            ),
            (
                IssueRefused(reason=Refusal.NO_SUCH_REPOSITORY),
                "it cannot be taken as it stands, until somebody changes that",
                ["rig repo add PATH --name demo/shop --check COMMAND"],
            ),
            (
                IssueRefused(reason=Refusal.CYCLE, cycle=(ISSUE, OTHER)),
                "it cannot be taken as it stands, until somebody changes that",
                ["rig publish IssueRevised issue=demo/shop#1 depends_on=…"],
            ),
            (IssueWithdrawn(by="ann"), "nobody wants it any more; approved again, it begins anew", []),
        ],
    )
    def test_it_says_that_it_is_final_and_what_a_person_can_do(
        self, last: Event, text: str, commands: list[str]
    ) -> None:
        answer = asked(of(APPROVED, *((MERGED,) if isinstance(last, IssueDone) else ()), last))
        assert answer.final
        assert [wait.text for wait in answer.now] == [text]
        assert list(answer.next) == commands


def test_it_reads_as_a_story(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.style", lambda text, **_: text)
    monkeypatch.setenv("TZ", "UTC")
    told = Told()
    joined = told.say(APPROVED, about=OTHER, actor=Actor.LOCAL)
    approved = told.say(IssueApproved(title="Fix\u200b total", author="ann"), cause=joined, actor=Actor.LOCAL)
    told.say(ADOPTED)
    told.say(assigned(), cause=approved)
    clock = [why.show.clock(told.time(position)) for position in range(5)]
    assert list(why.lines(asked(told))) == [
        "demo/shop#1  Fix total",
        f"assigned since {clock[4]}",
        "",
        "because",
        f"     1  {clock[1]}  local      demo/shop#2: approved for ann: Fix total (normal)",
        f"     2  {clock[2]}  local      approved for ann: Fix total (normal)",
        f"     4  {clock[4]}  conductor  assigned to dev-e: epoch 1, attempt 1, new",
        "",
        "now",
        "  conductor  the conductor's next decision; `rig status` says how the rig stands",
    ]
