"""Answers → lines of text for people. Pure. Foreign text comes out on one line, or indented, and steers no terminal."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import typer

from bridges.standing import GateKey, Standing
from bridges.terminal.fleet import Fleet
from schemas import (
    Agents,
    IssueDetail,
    Issues,
    IssueState,
    LeftOut,
    PolicyAdopted,
    Recorded,
    Status,
    TimelineEntry,
    Verdict,
    one_line,
    printable,
    summary,
)

_COLOUR_CODE = re.compile(r"\x1b\[[0-9;]*m")
_COLOURS = {
    IssueState.GATED: typer.colors.YELLOW,
    IssueState.DEPLOYING: typer.colors.CYAN,
    IssueState.DONE: typer.colors.GREEN,
    IssueState.IN_PROGRESS: typer.colors.CYAN,
    IssueState.ESCALATED: typer.colors.RED,
    IssueState.REFUSED: typer.colors.RED,
    IssueState.CHANGES_REQUESTED: typer.colors.YELLOW,
    IssueState.MERGE_CONFLICT: typer.colors.YELLOW,
    IssueState.STOPPED: typer.colors.YELLOW,
}


def state_words(state: IssueState) -> str:
    """`in_progress` → in progress, in its colour."""
    return typer.style(state.replace("_", " "), fg=_COLOURS.get(state))


def clock(at: datetime) -> str:
    """A moment in the zone of who reads it, to the second; in its own, where that one's calendar has no such day."""
    with suppress(OverflowError, ValueError):
        at = at.astimezone()
    return at.strftime("%Y-%m-%d %H:%M:%S")


def span(time: timedelta) -> str:
    """How long, to two units: 3 d 4 h, 25 min, 10 s."""
    seconds = max(0, round(time.total_seconds()))
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    return " ".join([part for part in parts if part][:2]) or f"{seconds} s"


def table(rows: Sequence[Sequence[str]], *, indent: str = "") -> Iterator[str]:
    """Rows of printable cells in aligned columns; the first row is the head."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        yield (indent + "  ".join(padded)).rstrip()


def _width(cell: str) -> int:
    """Columns on a screen: wide characters take two, marks and the codes of colours none."""
    plain = _COLOUR_CODE.sub("", cell)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in plain
    )


def status(answer: Status, known: Fleet) -> Iterator[str]:
    """`rig status`."""
    behind = f", {answer.behind} behind" if answer.behind else ", nothing behind"
    issues = ", ".join(
        f"{answer.issues[state]} {state_words(state)}" for state in IssueState if answer.issues.get(state)
    )
    yield f"log           position {answer.log_position}"
    yield f"read side     position {answer.position}{behind}"
    if answer.writing is not None:
        yield f"not written   {one_line(answer.writing, 300)}"
    if answer.left_out:
        yield f"left out      {answer.left_out} of the log's events, which the read side cannot take"
        yield from (f"              {_left_out(event)}" for event in answer.left_out_first)
        if answer.left_out > len(answer.left_out_first):
            yield f"              … and {answer.left_out - len(answer.left_out_first)} more: `rig dead list`"
    if answer.dead_letters:
        yield f"dead letters  {answer.dead_letters} open: `rig dead list` shows them; mend the cause and retry, or drop"
    if answer.lossy is not None:
        yield f"not safe      {one_line(answer.lossy, 300)}"
    if answer.skipped:
        yield f"unreadable    {answer.skipped} of the log's positions hold nothing that this version can read"
    yield f"issues        {issues or 'none'}"
    yield f"agents        {answer.agents or 'none'}"
    policy = known.policy.event.data if known.policy is not None else None
    told = f"{one_line(policy.hash, 40)}, by {one_line(policy.by, 100)}" if isinstance(policy, PolicyAdopted) else ""
    yield f"policy        {told or 'none: `rig policy adopt` puts one in force'}"
    for name, said in (("paused", known.paused), ("halt", known.halts), ("incident", known.incidents)):
        yield from (f"{name:<13} {summary(word.event.data)}, {clock(word.event.time)}" for word in said.values())
    if not answer.repositories:
        yield "repositories  none; add one with `rig repo add PATH --check COMMAND`"
        return
    yield "repositories"
    rows = [
        (
            str(line.repository),
            one_line(line.base_branch or "-", 60),
            one_line(line.clone_url, 100),
            one_line(line.check, 60),
            "" if line.configured else "the forge has not looked at it yet",
        )
        for line in answer.repositories
    ]
    yield from table(rows, indent="  ")


def _left_out(event: LeftOut) -> str:
    letter = "" if event.letter is None else f" (`rig dead show {event.letter}`)"
    return f"position {event.position}: {one_line(event.why, 120)}{letter}"


def issues(answer: Issues) -> Iterator[str]:
    """`rig issues`."""
    if not answer.issues:
        yield "no issues"
        return
    rows = [("ISSUE", "STATE", "PRIORITY", "TRY", "TITLE", "")]
    for line in answer.issues:
        note = f"({line.agent})" if line.agent else f"(waits for {', '.join(line.waiting)})" if line.waiting else ""
        rows.append(
            (
                str(line.issue),
                state_words(line.state),
                line.priority.value,
                str(line.attempts or "-"),
                one_line(line.title, 80),
                note,
            )
        )
    yield from table(rows)
    if answer.next is not None:
        yield f"… and more: --after {answer.next}"


def agents(answer: Agents) -> Iterator[str]:
    """`rig agents`."""
    if not answer.agents:
        yield "no agent has joined"
        return
    rows = [("AGENT", "ROLE", "SLOTS", "CODER", "JOINED", "NOW")]
    for line in answer.agents:
        busy = ", ".join(map(str, line.busy)) or "idle"
        now = busy if line.left is None else f"left {clock(line.left)}"
        rows.append((line.name, line.role, str(line.slots), one_line(line.provider, 40), clock(line.joined), now))
    yield from table(rows)


def issue(answer: IssueDetail, it: Standing | None) -> Iterator[str]:
    """`rig issue REPO#N`; `it`: as the log tells it, for what the read side does not keep."""
    yield f"{typer.style(str(answer.issue), bold=True)}  {one_line(answer.title, 300)}"
    yield from (f"{name:<13} {said}" for name, said in (*_facts(answer), *_waits(it)) if said)
    if answer.body.strip():
        yield from ("", "asked for", *_indented(answer.body))
    if answer.findings.strip():
        yield from ("", "last findings", *_indented(answer.findings))
    yield from ("", "timeline")
    if answer.earlier:
        yield f"  … {answer.earlier} earlier events: rig tail --issue {answer.issue}"
    yield from timeline(answer.timeline)


def timeline(entries: Iterable[TimelineEntry]) -> Iterator[str]:
    """One event a line: position, time, who, what."""
    for entry in entries:
        yield _event(entry.position, entry.time, entry.actor, entry.summary)


def _event(position: int, at: datetime, *words: str) -> str:
    *who, what = words
    return "  ".join((f"{position:>6}", clock(at), *(f"{word:<9}" for word in who), what))


def said(item: Recorded) -> str:
    """One event on one line, whatever it is about: `rig tail`."""
    about, actor = str(item.event.about), item.event.actor
    return (
        f"{item.position:>6}  {clock(item.stored_at)}  {one_line(about, 60):<18} {actor:<9}  {summary(item.event.data)}"
    )


def _facts(answer: IssueDetail) -> Iterator[tuple[str, str]]:
    yield "state", _state(answer)
    yield "priority", answer.priority.value
    yield "asked by", f"{one_line(answer.author)}, {clock(answer.approved)}"
    yield "depends on", ", ".join(map(str, answer.depends_on))
    yield "waits for", ", ".join((*answer.waiting, *map(str, answer.waits_for)))
    if answer.epoch:
        who = f", {answer.agent} works on it" if answer.agent else ""
        yield "attempt", f"{answer.attempts} (epoch {answer.epoch}, run {answer.run or 'not claimed yet'}){who}"
    if answer.pull_request is not None:
        yield "pull request", f"{answer.pull_request}, {one_line(answer.branch or '')} {one_line(answer.url)}".rstrip()
    yield "head", answer.head_sha or ""
    if answer.checks is not None:
        yield "checks", _verdict(answer.checks)
    for review in answer.reviews:
        yield "review", _verdict(review)
    yield "merged as", answer.merge_sha or ""
    if answer.deadline is not None:
        yield "deadline", f"{answer.deadline.kind.replace('_', ' ')} by {clock(answer.deadline.at)}"


def _waits(it: Standing | None) -> Iterator[tuple[str, str]]:
    """For a person."""
    if it is None:
        return
    for gate in it.gates.values():
        why = one_line(gate_why(gate.paths, gate.detail), 300)
        yield "gate", f"{gate_name((gate.reason, gate.head_sha))}, since {clock(gate.since)}{f': {why}' if why else ''}"
    if it.question is not None:
        yield "question", summary(it.question.event.data)


def gate_why(paths: Iterable[str], detail: str) -> str:
    """What opened a gate."""
    return "; ".join(part for part in (", ".join(paths), detail) if part.strip())


def gate_name(gate: GateKey) -> str:
    """`sensitive path at 9c1d2e3f4`."""
    reason, head = gate
    return reason.replace("_", " ") if head is None else f"{reason.replace('_', ' ')} at {head[:9]}"


def _state(answer: IssueDetail) -> str:
    words = state_words(answer.state)
    if answer.escalation is not None:
        return f"{words}: {answer.escalation.replace('_', ' ')}"
    if answer.refusal is not None:
        cycle = " → ".join(map(str, answer.cycle))
        return f"{words}: {answer.refusal.replace('_', ' ')} {cycle}".rstrip()
    return words


def _verdict(verdict: Verdict) -> str:
    on = f" on {verdict.base_sha[:9]}" if verdict.base_sha else ""
    return f"{'passed' if verdict.passed else 'failed'}, says {one_line(verdict.by, 100)}{on}, {clock(verdict.at)}"


def _indented(text: str) -> Iterator[str]:
    return (f"  {line}" for line in printable(text).expandtabs().strip("\n").split("\n"))
