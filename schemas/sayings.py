"""An event in words: one printable line for people. Reused by every screen; nothing ever reads it back."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import UNSET

from schemas import agent, chat, decision, delivery, fleet, forge, gate, issue, memory, money, repo, work
from schemas.event import ChatEvent, Event, FleetEvent, IssueEvent, MemoryEvent
from schemas.offers import spelt_offer
from schemas.words import one_line


def summary(event: Event) -> str:
    """What the event says, as one printable line of at most LINE_MAX characters."""
    return one_line(_words(event))


def _words(event: Event) -> str:
    match event:
        case IssueEvent():
            return _about_issue(event)
        case repo.RepositoryAdded():
            return f"added by {event.by}: {event.clone_url}, checked by `{event.check}`{_reviewed(event.reviewers)}"
        case repo.RepositoryConfigured():
            return (
                f"configured: {event.base_branch} at {_short(event.base_sha)}, checked by `{event.check}`"
                f"{_reviewed(event.reviewers)}"
            )
        case repo.RepositoryRemoved():
            return f"removed by {event.by}"
        case agent.AgentJoined():
            return f"joined as {event.role}, {_count(event.slots, 'slot')}, coder {event.provider}"
        case agent.AgentCapacityChanged():
            return f"takes {_count(event.slots, 'slot')} now{_listed(event.degraded, '; degraded: ')}"
        case agent.AgentLeft():
            return f"left ({event.reason})"
        case agent.AgentSilent():
            return f"no sign of life since {_when(event.since)}"
        case agent.AgentBack():
            return f"gives signs of life again, after silence since {_when(event.since)}"
        case agent.AgentStuck():
            return f"silent for {event.silent_seconds:.0f} s: {event.issue} (epoch {event.epoch}) is taken from it"
        case agent.AgentSuspended():
            until = "it joins again" if event.until is None else _when(event.until)
            return f"gets no work until {until} ({event.reason})"
        case agent.QuotaReported():
            resets = "" if event.resets_at is None else f"; resets {_when(event.resets_at)}"
            used = f"{event.five_hour_percent:.0f} % of five hours, {event.weekly_percent:.0f} % of the week"
            return f"has used {used} at {event.provider}{resets}"
        case agent.LoginRequired():
            code = f", with the code {event.code}" if event.code else ""
            return f"must be logged in at {event.provider}{_note(event.url)}{code}"
        case agent.LoginExpiring():
            return f"its login at {event.provider} ends {_when(event.at)}{_note(event.url)}"
        case agent.ModelUsed():
            what = f"used {event.input} + {event.output} tokens of {event.provider}/{event.model} for {event.purpose}"
            return f"{what}: {_cost(event.cost_usd)}{_listed((event.issue,) if event.issue else (), ', ')}"
        case agent.AgentWoken():
            due = "" if event.due is None else f", due {_when(event.due)}"
            return f"woken by {event.by} {event.key}{due}{_note(event.text)}"
        case agent.AgentScheduled():
            times = (f"{each.name} at {each.cron} ({each.zone})" for each in event.schedules)
            return f"wakes by the clock: {', '.join(times) or 'never'}"
        case agent.AgentRested():
            spent = f"{_count(event.turns, 'turn')}, {_cost(event.cost_usd)}"
            return f"rests ({event.outcome}, {spent}){_note(event.detail)}"
        case agent.AgentDeadlineSet():
            return f"{_spoken(event.kind)} due by {_when(event.at)}"
        case agent.AgentDeadlinePassed():
            return f"{_spoken(event.kind)} overdue since {_when(event.at)}"
        case repo.MainChecksFailed():
            return f"{event.workflow} did not succeed on {_short(event.sha)}: {_spoken(event.conclusion)}"
        case repo.MainChecksPassed():
            return f"{event.workflow} succeeded on {_short(event.sha)}"
        case repo.AuditCompleted():
            return f"{event.delivered} delivered, {event.missing} missing, {event.reinjected} put in again"
        case ChatEvent():
            return _in_chat(event)
        case MemoryEvent():
            return _remembered(event)
        case FleetEvent():
            return _about_the_rig(event)
        case _:
            return event.name().replace("_", " ")


def _in_chat(event: ChatEvent) -> str:
    match event:
        case chat.MessageReceived():
            return f"{event.author}: {event.text}"
        case chat.MessageSent():
            return f"answered: {event.message}{_listed(map(spelt_offer, event.offers), '; offers: ')}"
        case chat.MessagesForgotten():
            return f"{_count(len(event.messages), 'message')} forgotten, says {event.by}"
        case chat.CommandReceived():
            return f"{event.by} commands: {' '.join((event.command, *event.arguments))}"
        case _:
            return event.name().replace("_", " ")


def _remembered(event: MemoryEvent) -> str:
    match event:
        case memory.MemoryWritten():
            return f"{event.kind} {event.memory}: {event.title}"
        case memory.MemoryRead():
            return f"looked for {one_line(event.query, 100)!r}: {_count(len(event.found), 'find')}"
        case memory.MemoryUsed():
            return f"{event.memory} was of use"
        case memory.MemoryForgotten():
            return f"{event.memory} forgotten, says {event.by}"
        case memory.MemoriesCompacted():
            return f"{', '.join(event.replaced)} became {event.into}"
        case memory.MemoryEmbedded():
            return f"{event.memory} embedded by {event.model}, {event.dimensions} dimensions"
        case _:
            return event.name().replace("_", " ")


def _about_the_rig(event: FleetEvent) -> str:
    match event:
        case fleet.Decided():
            return f"decided {_count(event.count, 'event')} on what was said up to {event.through}"
        case fleet.PolicyAdopted():
            return f"policy {event.hash} adopted by {event.by}"
        case fleet.Paused():
            return f"{event.scope} paused by {event.by}{_note(event.note)}"
        case fleet.Resumed():
            return f"{event.scope} resumed by {event.by}{_note(event.note)}"
        case fleet.MilestoneCompleted():
            return f"milestone {event.milestone} is complete{_listed(event.issues, ': ')}"
        case fleet.TierChanged():
            return f"{event.role} and {event.kind}: from {event.before} to {event.after}, {event.reason}"
        case fleet.IncidentOpened():
            return f"{event.workflow} is red in {event.repository} since {_short(event.sha)}"
        case fleet.IncidentEscalated():
            return f"{event.workflow} has been red in {event.repository} for {event.open_minutes:.0f} min"
        case fleet.IncidentClosed():
            return f"{event.workflow} is green again in {event.repository} at {_short(event.sha)}"
        case fleet.FleetDeadlineSet():
            return f"{_keyed(event.kind, event.key)} due by {_when(event.at)}"
        case fleet.FleetDeadlinePassed():
            return f"{_keyed(event.kind, event.key)} overdue since {_when(event.at)}"
        case fleet.ScheduleFired():
            return f"{event.schedule} was due at {_when(event.due)}"
        case fleet.LogRestored():
            return f"{event.by} put positions {event.first} to {event.last} of the log back"
        case fleet.HaltDetected():
            return f"HALT: {_spoken(event.invariant)} since {_when(event.since)}{_listed(event.evidence, ': ', '; ')}"
        case fleet.HaltCleared():
            return f"goes on again: {_spoken(event.invariant)}, since {_when(event.since)} it did not"
        case fleet.CanaryIssued():
            return f"canary {event.issue} sent out"
        case fleet.CanaryReturned():
            return f"canary {event.issue} came back after {event.seconds:.0f} s"
        case money.BudgetExceeded():
            return f"budget {event.scope} has no room: ${event.spent_usd:.2f} of ${event.limit_usd:.2f}"
        case money.BudgetRaised():
            until = _when(event.until)
            return (
                f"budget {event.scope} raised to ${event.limit_usd:.2f} until {until} by {event.by}{_note(event.note)}"
            )
        case _:
            return event.name().replace("_", " ")


def _about_issue(event: IssueEvent) -> str:
    match event:
        case issue.IssueApproved():
            after = _listed(event.depends_on, ", after ")
            return f"approved for {event.author}: {one_line(event.title, 120)} ({event.priority}{after})"
        case issue.IssueRevised():
            said = [name for name in event.__struct_fields__ if getattr(event, name) is not UNSET]
            return f"revised: {', '.join(said) or 'nothing'}"
        case issue.IssueWithdrawn():
            return f"withdrawn by {event.by} ({event.reason})"
        case issue.Stopped():
            return f"stopped by {event.by}{_note(event.note)}"
        case issue.RetryRequested():
            return f"another try asked for by {event.by}{_note(event.note)}"
        case issue.PriorityChanged():
            return f"priority {event.priority}, says {event.by}{_note(event.note)}"
        case decision.IssueRefused():
            return f"refused: {_spoken(event.reason)}{_listed(event.cycle, ' ', ' → ')}"
        case decision.IssueWaiting():
            return f"waits for {', '.join(map(_spoken, event.reasons))}{_listed(event.waits_for, ': ')}"
        case decision.IssueAssigned():
            whom = f"{event.role} ({event.agent} if free)" if event.agent else event.role
            return f"assigned to {whom}: epoch {event.epoch}, attempt {event.attempt}, {_spoken(event.reason)}"
        case decision.IssueUnassigned():
            return f"taken back: epoch {event.epoch}, {event.reason}"
        case decision.ReviewRequested():
            return f"review of {_short(event.head_sha)} asked of {event.reviewer}"
        case decision.MergeRequested():
            return f"merge of {_short(event.head_sha)} onto {_short(event.base_sha)} asked for"
        case decision.IssueEscalated():
            tried = _count(event.attempts, "attempt")
            return f"escalated to {event.to} after {tried}: {_spoken(event.reason)}{_note(event.summary)}"
        case decision.IssueDone():
            tried = _count(event.attempts, "attempt")
            return f"done in {event.duration_minutes:.1f} min, {tried}, merge {_short(event.merge_sha)}"
        case decision.DeadlineSet():
            return f"{_spoken(event.kind)} due by {_when(event.at)}"
        case decision.DeadlinePassed():
            return f"{_spoken(event.kind)} overdue"
        case work.WorkStarted():
            return f"{event.agent} works on it: epoch {event.epoch}, run {event.run}, coder {event.provider}"
        case work.WorkPushed():
            size = f"{_count(event.files_changed, 'file')}, {_count(event.lines_changed, 'line')}"
            return f"pushed {_short(event.head_sha)} ({size}): {one_line(event.title, 100)}"
        case work.WorkFailed():
            return f"run {event.run} failed, {_spoken(event.kind)}{_note(event.detail)}"
        case forge.PullRequestOpened():
            return f"pull request {event.pull_request} opened: {event.branch} at {_short(event.head_sha)}"
        case forge.PullRequestUpdated():
            return f"pull request {event.pull_request} moved to {_short(event.head_sha)}"
        case forge.PullRequestClosed():
            instead = "" if event.superseded_by is None else f", superseded by {event.superseded_by}"
            return f"pull request {event.pull_request} closed without a merge{instead}"
        case forge.ChecksPassed():
            return f"checks passed for {_short(event.head_sha)} on {_short(event.base_sha)}"
        case forge.ChecksFailed():
            failed = ", ".join(f"{check.name} ({_spoken(check.conclusion)})" for check in event.failed)
            return f"checks failed for {_short(event.head_sha)} on {_short(event.base_sha)}: {failed}"
        case forge.ReviewPassed():
            return f"review of {_short(event.head_sha)} passed by {event.reviewer}{_note(event.summary)}"
        case forge.ReviewDisputed():
            return f"review of {_short(event.head_sha)} disputed by {event.reviewer}{_note(event.summary)}"
        case forge.MergeConflicted():
            return f"{_short(event.head_sha)} conflicts with {_short(event.base_sha)}{_listed(event.paths, ' in ')}"
        case forge.MergeRefused():
            return f"merge of {_short(event.head_sha)} refused: {_spoken(event.reason)}{_note(event.detail)}"
        case issue.AssignRequested():
            return f"asked of {event.to} by {event.by}{_note(event.note)}"
        case issue.QuestionAnswered():
            return f"{event.by} answers: {event.answer}"
        case work.QuestionAsked():
            return f"asks: {event.question}"
        case work.TokensUsed():
            used = f"{event.input} + {event.output} tokens of {event.provider}"
            return f"run {event.run} used {used}: {_cost(event.cost_usd)}"
        case work.CommandBlocked():
            return f"run {event.run} was kept from {one_line(event.command, 100)!r} ({event.rule})"
        case forge.ReviewAbstained():
            return f"{event.reviewer} gives no verdict on {_short(event.head_sha)}{_note(event.summary)}"
        case forge.Reverted():
            return f"{_short(event.merge_sha)} taken out again by {event.by}: {_short(event.revert_sha)}"
        case forge.ReviewWanted():
            return f"{event.reviewer} is to look at {event.author}'s pull request {event.pull_request}: {event.title}"
        case forge.EffectRecorded():
            return f"{event.effect}: {event.outcome}{_note(event.url)}"
        case gate.GateTriggered():
            why = f"{_listed(event.paths, ': ')}{_note(event.detail)}"
            return f"waits for a person, {_spoken(event.reason)}{_at(event.head_sha)}{why}"
        case gate.GateReminded():
            return f"still waits for a person, {_spoken(event.reason)}, for {event.waited_minutes:.0f} min"
        case gate.GateApproved():
            return f"let through ({_gate(event.reason)}) by {event.by}: {event.note}"
        case gate.GateRejected():
            return f"not let through ({_gate(event.reason)}), says {event.by}: {event.note}"
        case gate.GateBypassed():
            return f"gate bypassed ({_gate(event.reason)}) by {event.by}: {event.note}"
        case delivery.Deployed():
            return f"{_short(event.sha)} is live in {event.environment}{_note(event.url)}"
        case delivery.SmokePassed():
            return f"answers in {event.environment} (try {event.attempt})"
        case delivery.SmokeFailed():
            return f"does not answer in {event.environment} (try {event.attempt}): {event.reason}"
        case delivery.EndToEndPassed():
            return f"end to end: {event.passed} of {event.total} passed"
        case delivery.EndToEndFailed():
            return f"end to end: {event.failed} of {event.total} failed{_note(event.first_failure)}"
        case delivery.Verified():
            return f"verified in {event.environment} by {event.by}"
        case money.BudgetReserved():
            return f"${event.amount_usd:.2f} reserved for epoch {event.epoch}{_run(event.run)}"
        case money.BudgetSettled():
            return f"${event.amount_usd:.2f} spent by run {event.run}"
        case money.BudgetReleased():
            return f"${event.amount_usd:.2f} of epoch {event.epoch} free again: it never began"
        case decision.IssueOrphaned():
            return f"nobody has worked on it for {event.waited_hours:.0f} h"
        case decision.IssueNeedsHuman():
            return f"has waited for {event.waited_hours:.0f} h: somebody must look"
        case forge.Merged():
            return f"merged as {_short(event.merge_sha)}"
        case _:
            return event.name().replace("_", " ")


def _short(sha: str) -> str:
    return sha[:9]


def _cost(usd: float | None) -> str:
    return "nobody knows what that costs" if usd is None else f"${usd:.2f}"


def _spoken(value: str) -> str:
    return value.replace("_", " ")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _note(text: str) -> str:
    return f": {text}" if text.strip() else ""


def _listed(items: Iterable[object], lead: str, between: str = ", ") -> str:
    text = between.join(map(str, items))
    return f"{lead}{text}" if text else ""


def _reviewed(reviewers: Iterable[str]) -> str:
    return _listed(reviewers, ", reviewed by ")


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _at(sha: str | None) -> str:
    return "" if sha is None else f" at {_short(sha)}"


def _run(run: str | None) -> str:
    return "" if run is None else f", run {run}"


def _gate(reason: gate.GateReason | None) -> str:
    return "every gate" if reason is None else _spoken(reason)


def _keyed(kind: str, key: str) -> str:
    return f"{_spoken(kind)} {key}" if key else _spoken(kind)
