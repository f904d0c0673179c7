"""Answers as people read them: aligned, complete, and harmless whatever foreign text they hold."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from bridges.standing_fold import standing
from bridges.terminal import show
from bridges.terminal.fleet import fleet
from schemas import (
    Actor,
    AgentLine,
    Agents,
    Deadline,
    DeadlineKind,
    Draft,
    EscalationReason,
    GateReason,
    GateTriggered,
    HaltDetected,
    IncidentOpened,
    Invariant,
    IssueApproved,
    IssueDetail,
    IssueLine,
    IssueRef,
    Issues,
    IssueState,
    LeftOut,
    Paused,
    Policy,
    PolicyAdopted,
    Priority,
    Recorded,
    Refusal,
    RepoRef,
    RepositoryLine,
    Status,
    TimelineEntry,
    Verdict,
    WaitingReason,
    envelope,
)
from tests.support.told import Told

ISSUE = IssueRef("demo", "shop", 1)
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
HERE = AT.astimezone().strftime("%Y-%m-%d %H:%M:%S")
HOSTILE = "\x1b[31mred\x1b[0m\nnext\u202e [bold]x[/bold]"

DETAIL = IssueDetail(
    position=29,
    issue=ISSUE,
    state=IssueState.ESCALATED,
    title="Fix total",
    body="It is wrong.\nBy one.",
    author="ann",
    priority=Priority.HIGH,
    depends_on=(IssueRef("demo", "shop", 2),),
    approved=AT,
    waiting=(),
    waits_for=(),
    epoch=2,
    run="r-a10",
    agent=None,
    attempts=3,
    branch="rig/1-fix",
    pull_request=1,
    url="",
    head_sha="9" * 40,
    checks=Verdict(passed=False, head_sha="9" * 40, base_sha="3" * 40, by="local", at=AT),
    reviews=(Verdict(passed=True, head_sha="9" * 40, by="review-e", at=AT),),
    merge_sha=None,
    findings="check: failure\n\ttest_total",
    refusal=None,
    cycle=(),
    escalation=EscalationReason.ATTEMPTS,
    deadline=Deadline(kind=DeadlineKind.PULL_REQUEST, at=AT),
    timeline=(TimelineEntry(position=5, time=AT, actor="local", type="x", summary="approved for ann"),),
    earlier=4,
)


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.style", lambda text, **_: text)


def test_an_issue_in_full() -> None:
    assert list(show.issue(DETAIL, None)) == [
        "demo/shop#1  Fix total",
        "state         escalated: attempts",
        "priority      high",
        f"asked by      ann, {HERE}",
        "depends on    demo/shop#2",
        "attempt       3 (epoch 2, run r-a10)",
        "pull request  1, rig/1-fix",
        f"head          {'9' * 40}",
        f"checks        failed, says local on 333333333, {HERE}",
        f"review        passed, says review-e, {HERE}",
        f"deadline      pull request by {HERE}",
        "",
        "asked for",
        "  It is wrong.",
        "  By one.",
        "",
        "last findings",
        "  check: failure",
        "          test_total",
        "",
        "timeline",
        "  … 4 earlier events: rig tail --issue demo/shop#1",
        f"     5  {HERE}  local      approved for ann",
    ]


def test_a_refused_issue_shows_the_cycle() -> None:
    refused = replace(
        DETAIL,
        state=IssueState.REFUSED,
        escalation=None,
        refusal=Refusal.CYCLE,
        cycle=(ISSUE, IssueRef("demo", "shop", 2)),
    )
    assert "state         refused: cycle demo/shop#1 → demo/shop#2" in list(show.issue(refused, None))


def test_foreign_text_stays_on_its_line_and_steers_nothing() -> None:
    lines = list(show.issue(replace(DETAIL, title=HOSTILE, body=HOSTILE, findings=HOSTILE, author=HOSTILE), None))
    assert all(line.isprintable() for line in lines)
    assert lines[0] == "demo/shop#1  [31mred[0m next [bold]x[/bold]"


def test_a_time_that_no_other_zone_has_is_shown_in_its_own() -> None:
    """Such as what somebody meant for never."""
    west, east = timezone(-timedelta(hours=23)), timezone(timedelta(hours=23))
    assert show.clock(datetime(9999, 12, 31, 23, 59, 59, tzinfo=west)) == "9999-12-31 23:59:59"
    assert show.clock(datetime(1, 1, 1, tzinfo=east)).endswith("1-01-01 00:00:00")


def test_issues_stand_in_columns_also_with_wide_characters() -> None:
    first = IssueLine(
        issue=ISSUE,
        state=IssueState.QUEUED,
        priority=Priority.NORMAL,
        title="合計を直す",
        agent=None,
        attempts=0,
        waiting=(WaitingReason.DEPENDENCY,),
        updated=AT,
    )
    second = replace(
        first,
        issue=IssueRef("demo", "shop", 12),
        state=IssueState.IN_PROGRESS,
        title="Fix",
        agent="dev-e-1",
        attempts=2,
        waiting=(),
    )
    assert list(show.issues(Issues(position=9, issues=(first, second), next=8))) == [
        "ISSUE         STATE        PRIORITY  TRY  TITLE",
        "demo/shop#1   queued       normal    -    合計を直す  (waits for dependency)",
        "demo/shop#12  in progress  normal    2    Fix         (dev-e-1)",
        "… and more: --after 8",
    ]
    assert list(show.issues(Issues(position=9, issues=(), next=None))) == ["no issues"]


def test_the_status_tells_how_far_the_read_side_is() -> None:
    shop = RepositoryLine(
        repository=RepoRef("demo", "shop"), configured=False, base_branch=None, clone_url="/srv/shop", check="make"
    )
    answer = Status(
        position=50,
        log_position=57,
        behind=7,
        skipped=1,
        issues={IssueState.DONE: 3, IssueState.QUEUED: 2},
        agents=1,
        repositories=(shop,),
        lossy="nats-server 2.15.1 does not sync each write to disk",
        left_out=3,
        left_out_first=(LeftOut(17, "CheckViolationError: new row\nis odd", 4), LeftOut(18, "KeyError: 'x'", None)),
        dead_letters=2,
        writing="PostgreSQL has no room: could not extend file",
    )
    assert list(show.status(answer, fleet([]))) == [
        "log           position 57",
        "read side     position 50, 7 behind",
        "not written   PostgreSQL has no room: could not extend file",
        "left out      3 of the log's events, which the read side cannot take",
        "              position 17: CheckViolationError: new row is odd (`rig dead show 4`)",
        "              position 18: KeyError: 'x'",
        "              … and 1 more: `rig dead list`",
        "dead letters  2 open: `rig dead list` shows them; mend the cause and retry, or drop",
        "not safe      nats-server 2.15.1 does not sync each write to disk",
        "unreadable    1 of the log's positions hold nothing that this version can read",
        "issues        2 queued, 3 done",
        "agents        1",
        "policy        none: `rig policy adopt` puts one in force",
        "repositories",
        "  demo/shop  -  /srv/shop  make  the forge has not looked at it yet",
    ]
    empty = Status(position=0, log_position=0, behind=0, skipped=0, issues={}, agents=0, repositories=())
    assert "repositories  none; add one with `rig repo add PATH --check COMMAND`" in list(show.status(empty, fleet([])))


def test_what_is_paused_or_wrong_stands_in_the_status() -> None:
    told = Told()
    policy = Policy()
    for event in (
        PolicyAdopted(policy=policy, hash="abc", by="ann"),
        Paused(scope="role:dev-e", by="ann", note="moving"),
        HaltDetected(invariant=Invariant.PROJECTION_BEHIND, evidence=("at 5 of 9",), since=AT),
        IncidentOpened(fingerprint="f", repository=RepoRef("demo", "shop"), workflow="tests", sha="9" * 40),
    ):
        told.say(event)
    empty = Status(position=0, log_position=0, behind=0, skipped=0, issues={}, agents=0, repositories=())
    clocks = [show.clock(told.time(position)) for position in range(5)]
    assert [
        line
        for line in show.status(empty, fleet(told.log))
        if line.split()[0] in ("policy", "paused", "halt", "incident")
    ] == [
        "policy        abc, by ann",
        f"paused        role:dev-e paused by ann: moving, {clocks[2]}",
        f"halt          HALT: projection behind since 2026-01-31 12:00:00 UTC: at 5 of 9, {clocks[3]}",
        f"incident      tests is red in demo/shop since 999999999, {clocks[4]}",
    ]


def test_an_issue_at_a_gate_shows_it() -> None:
    told = Told()
    for event in (
        IssueApproved(title="Fix total", author="ann"),
        GateTriggered(reason=GateReason.BUDGET, detail="$10 since\nits last progress"),
    ):
        told.say(event)
    at_gate = replace(DETAIL, state=IssueState.GATED, escalation=None)
    since = show.clock(told.time(2))
    assert f"gate          budget, since {since}: $10 since its last progress" in list(
        show.issue(at_gate, standing(told.log, ISSUE))
    )


def test_agents_are_shown_with_what_they_do() -> None:
    busy = AgentLine(
        name="dev-e-1",
        role="dev-e",
        slots=2,
        busy=(ISSUE,),
        provider="scripted",
        version="0.1.0",
        joined=AT,
        left=None,
    )
    gone = replace(busy, name="dev-e-2", busy=(), left=AT)
    assert list(show.agents(Agents(position=1, agents=(busy, gone)))) == [
        f"AGENT    ROLE   SLOTS  CODER     JOINED{' ' * 15}NOW",
        f"dev-e-1  dev-e  2      scripted  {HERE}  demo/shop#1",
        f"dev-e-2  dev-e  2      scripted  {HERE}  left {HERE}",
    ]
    assert list(show.agents(Agents(position=1, agents=()))) == ["no agent has joined"]


def test_an_event_of_the_log_is_one_line() -> None:
    draft = Draft(about=ISSUE, data=IssueApproved(title="Fix total", author="ann"))
    said = Recorded(5, AT, envelope(draft, id="x", actor=Actor.CLI, source="cli", time=AT))
    assert show.said(said) == f"     5  {HERE}  demo/shop#1        cli        approved for ann: Fix total (normal)"
