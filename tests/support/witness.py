"""An independent witness of the log: what was said, weighed by the letter of rounds.md, without the conductor's fold.

Owner         whose the work on an issue is
Money         who has spent and set aside how much
Places        how much is under way, and how many slots there are for it
merge_wrong   why a merge must not have been asked for
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from schemas import (
    AgentCapacityChanged,
    AgentJoined,
    AgentLeft,
    AgentRef,
    BudgetRaised,
    BudgetReleased,
    BudgetReserved,
    BudgetSettled,
    Changes,
    ChecksFailed,
    ChecksPassed,
    Envelope,
    Event,
    FleetDeadlineKind,
    FleetDeadlinePassed,
    FleetDeadlineSet,
    GateApproved,
    GateBypassed,
    GateReason,
    GateTriggered,
    IssueApproved,
    IssueAssigned,
    IssueRef,
    IssueRevised,
    IssueUnassigned,
    IssueWithdrawn,
    MergeRequested,
    Policy,
    PolicyAdopted,
    PullRequestOpened,
    PullRequestUpdated,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    ReviewDisputed,
    ReviewPassed,
    Stopped,
    Tier,
    TierChanged,
    TokensUsed,
    WorkFailed,
    WorkPushed,
    WorkStarted,
    scopes,
)

DAY = FleetDeadlineKind.DAY


# ── owners ───────────────────────────────────────────────────────────────────


@dataclass
class Owner:
    """Whose the work on one issue is. Everybody else shares one fold of this; here it is said a second time."""

    epoch: int = 0
    open: bool = False
    claims: list[str] = field(default_factory=list)
    """Runs that claimed the epoch, one after another: each takes over from the one before."""

    @property
    def run(self) -> str | None:
        return self.claims[-1] if self.claims else None

    def hear(self, data: Event) -> bool:
        """Whether it took effect."""
        match data:
            case IssueAssigned(epoch=epoch) if epoch > self.epoch:  # opens an epoch, and ends every older one
                self.epoch, self.open, self.claims = epoch, True, []
            case WorkStarted(epoch=self.epoch, run=run) if self.open and run not in self.claims:
                self.claims.append(run)
            case WorkPushed(epoch=epoch, run=run) | WorkFailed(epoch=epoch, run=run) if self.open and (epoch, run) == (
                self.epoch,
                self.run,
            ):
                self.open = False
            case IssueUnassigned(epoch=self.epoch) | Stopped() | IssueWithdrawn() if self.open:
                self.open = False
            case _:
                return False
        return True


# ── money ────────────────────────────────────────────────────────────────────


@dataclass
class Account:
    """A run's money; or what is set aside for an epoch, until somebody claims it."""

    scopes: tuple[str, ...]
    claimed: bool
    reserved: int = 0
    spent: int = 0
    priced: bool | None = None
    """Whether it said what it spent, and all of that has a price; None: it said nothing."""
    over: bool = False
    settled: int | None = None

    @property
    def counts(self) -> int:
        if self.settled is not None:
            return max(self.spent, self.settled)
        if self.over and (self.priced or not self.claimed):
            return self.spent
        return max(self.spent, self.reserved)


@dataclass
class Money:
    """Every run's account, in millionths of a dollar."""

    accounts: dict[tuple[IssueRef, str], Account] = field(default_factory=dict)
    owners: dict[IssueRef, Owner] = field(default_factory=dict)
    roles: dict[IssueRef, str] = field(default_factory=dict)
    today: Counter[str] = field(default_factory=Counter)
    """Settled since the day began."""
    turns: datetime | None = None
    raised: dict[str, tuple[int, datetime]] = field(default_factory=dict)

    def limit(self, scope: str, policy: Policy, history: Iterable[Envelope]) -> int | None:
        """As the policy says, or as people have allowed beyond; each answer at a gate before work allows as much again.

        None: as much as it takes.
        """
        name, _, of = scope.partition(":")
        budget = policy.budget
        usd = {
            "day": budget.day_usd,
            "repository": budget.repository_day_usd,
            "role": policy.of_role(of).day_usd,
            "issue": budget.issue_usd,
        }[name]
        if usd is None:
            return None
        if name == "issue":
            answers = [
                one for one in history if str(one.about) == of and isinstance(one.data, GateApproved | GateBypassed)
            ]
            usd *= 1 + sum(one.data.head_sha is None for one in answers)
        return max(_micros(usd), self.raised.get(scope, (0,))[0])

    def committed(self, scope: str) -> int:
        if scope.startswith("issue:"):
            return sum(account.counts for account in self.accounts.values() if scope in account.scopes)
        held = [one.counts for one in self.accounts.values() if one.settled is None and scope in one.scopes]
        return sum(held) + self.today[scope]

    def hear(self, event: Envelope) -> None:
        data, ref = event.data, event.about
        match data:
            case FleetDeadlineSet(kind=kind, at=at) if kind is DAY:
                self.turns = at
            case FleetDeadlinePassed(kind=kind, at=at) if kind is DAY and at == self.turns:
                self.today, self.turns = Counter(), None
            case FleetDeadlinePassed(key=scope, at=at) if scope in self.raised and at >= self.raised[scope][1]:
                del self.raised[scope]
            case BudgetRaised(scope=scope, limit_usd=usd, until=until):
                self.raised[scope] = _micros(usd), until
            case _ if isinstance(ref, IssueRef):
                self._of_issue(ref, event)
            case _:
                pass

    def _of_issue(self, ref: IssueRef, event: Envelope) -> None:
        owner = self.owners.setdefault(ref, Owner())
        took_effect = owner.hear(event.data)
        match event.data:
            case IssueAssigned(role=role) if took_effect:
                self.roles[ref] = role
            case WorkStarted(run=run) if took_effect and len(owner.claims) == 1:
                held = self.accounts.pop((ref, f"#{owner.epoch}"), None)
                self._account(ref, run).reserved += held.reserved if held is not None else 0
            case BudgetReserved(epoch=epoch, run=run, amount_usd=usd):
                self._account(ref, run or f"#{epoch}").reserved = _micros(usd)
            case BudgetReleased(epoch=epoch):
                self.accounts.pop((ref, f"#{epoch}"), None)
            case BudgetSettled(run=run, amount_usd=usd):
                account = self._account(ref, run)
                if account.settled is None:
                    account.settled = _micros(usd)
                    self.today.update(dict.fromkeys(account.scopes, account.counts))
            case TokensUsed(run=run, cost_usd=usd):
                account = self._account(ref, run)
                before, account.priced = account.counts, usd is not None and account.priced is not False
                account.spent += _micros(usd or 0)
                if account.settled is not None:
                    self.today.update(dict.fromkeys(account.scopes, account.counts - before))
            case _:
                pass
        owns = (owner.run or f"#{owner.epoch}") if owner.open else None
        for (of, run), account in self.accounts.items():
            account.over = account.over or (of == ref and run != owns)

    def _account(self, ref: IssueRef, run: str) -> Account:
        account = Account(scopes(ref, self.roles.get(ref, "none")), claimed=not run.startswith("#"))
        return self.accounts.setdefault((ref, run), account)


def _micros(usd: float) -> int:
    return round(usd * 1_000_000)


# ── places ───────────────────────────────────────────────────────────────────


@dataclass
class Places:
    """Open epochs, and the slots of whoever has joined."""

    slots: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    """Of each replica: its boot, its role, how many."""
    work: dict[IssueRef, tuple[Owner, str]] = field(default_factory=dict)
    limits: dict[RepoRef, int | None] = field(default_factory=dict)
    """Where a repository's policy differs."""

    def hear(self, event: Envelope) -> None:
        match event.about, event.data:
            case AgentRef(name), AgentJoined(boot=boot, role=role, slots=slots):
                self.slots[name] = boot, role, slots
            case AgentRef(name), AgentCapacityChanged(boot=boot, slots=slots) if self._boot(name) == boot:
                self.slots[name] = boot, self.slots[name][1], slots
            case AgentRef(name), AgentLeft(boot=boot) if self._boot(name) == boot:
                del self.slots[name]
            case RepoRef() as ref, RepositoryConfigured(overrides=own):
                self.limits[ref] = None if own is None else own.in_progress_max
            case IssueRef() as ref, data:
                owner, role = self.work.get(ref, (Owner(), ""))
                if owner.hear(data) and isinstance(data, IssueAssigned):
                    role = data.role
                self.work[ref] = owner, role
            case _:
                pass

    def _boot(self, name: str) -> str | None:
        return self.slots.get(name, (None,))[0]

    def joined(self, role: str) -> int:
        return sum(slots for _, of, slots in self.slots.values() if of == role)

    def under_way(self, *, role: str | None = None, repository: RepoRef | None = None) -> int:
        return sum(
            owner.open and role in (None, of) and repository in (None, ref.repository)
            for ref, (owner, of) in self.work.items()
        )


def policy_of(history: Sequence[Envelope]) -> Policy:
    """As it was adopted last."""
    return next(event.data.policy for event in reversed(history) if isinstance(event.data, PolicyAdopted))


# ── merges ───────────────────────────────────────────────────────────────────


def merge_wrong(history: Sequence[Envelope], ref: IssueRef, asked: MergeRequested) -> str | None:
    """What was lacking for this merge when the log stood here; None: nothing."""
    of_issue = [event for event in history if event.about == ref]
    if _pushed(of_issue) != asked.head_sha:
        return "not the owner's last push"
    verdict = _latest(event for event in of_issue if _checks(event, asked.head_sha))
    if verdict is None or not isinstance(verdict.data, ChecksPassed) or verdict.data.base_sha != asked.base_sha:
        return f"the checks of this head and base have not passed: {verdict}"
    return _review_wrong(history, ref, asked.head_sha) or _gate_wrong(history, ref, asked.head_sha)


def _pushed(of_issue: Iterable[Envelope]) -> str | None:
    owner, head = Owner(), None
    for event in of_issue:
        if owner.hear(event.data) and isinstance(event.data, WorkPushed):
            head = event.data.head_sha
    return head


def _checks(event: Envelope, head: str) -> bool:
    return isinstance(event.data, ChecksPassed | ChecksFailed) and event.data.head_sha == head


def _latest(events: Iterable[Envelope]) -> Envelope | None:
    """By the source's own time; at equal time the later position."""
    found: Envelope | None = None
    for event in events:
        if found is None or event.time >= found.time:
            found = event
    return found


def _review_wrong(history: Sequence[Envelope], ref: IssueRef, head: str) -> str | None:
    named: tuple[str, ...] | None = None
    words: dict[str, list[Envelope]] = {}
    for event in history:
        data = event.data
        if event.about == ref.repository and isinstance(data, RepositoryAdded | RepositoryConfigured):
            named = data.reviewers
        elif event.about == ref.repository and isinstance(data, RepositoryRemoved):
            named = None
        elif event.about != ref or not isinstance(data, ReviewPassed | ReviewDisputed) or data.head_sha != head:
            continue
        elif data.reviewer in (named or ()):
            words.setdefault(data.reviewer, []).append(event)
    if named is None:
        return "the repository is none of the rig's"
    verdicts = [verdict for one in words.values() if (verdict := _latest(one)) is not None]
    if any(isinstance(verdict.data, ReviewDisputed) for verdict in verdicts):
        return "a reviewer disputes it"
    return "no reviewer has passed it" if named and not verdicts else None


def _gate_wrong(history: Sequence[Envelope], ref: IssueRef, head: str) -> str | None:
    """Every reason for which a person must look at this head, as policy and labels stand, that none has answered."""
    for reason in _reasons(history, ref):
        asked = answered = False
        for position, event in enumerate(history):
            data = event.data
            if event.about != ref:
                continue
            if isinstance(data, GateTriggered) and (data.reason, data.head_sha) == (reason, head):
                asked, answered = True, False
            elif isinstance(data, GateApproved | GateBypassed) and data.head_sha == head:
                before = history[:position]
                allowed = policy_of(before).gates.approvers
                driven = reason is GateReason.TIER and _tier(before, ref) is Tier.T3
                meant = data.reason in (None, reason) and not (driven and isinstance(data, GateApproved))
                answered = answered or (asked and meant and (not allowed or data.by in allowed))
        if not answered:
            return f"nobody let it through: {reason}"
    return None


def _reasons(history: Sequence[Envelope], ref: IssueRef) -> list[GateReason]:
    limits, labels, changes = policy_of(history).gates, _labels(history, ref), _changes(history, ref)
    tier = _tier(history, ref)
    found: list[GateReason] = []
    if set(labels) & set(limits.blocking_labels):
        found.append(GateReason.POLICY)
    if changes is not None and any(fnmatchcase(f"/{path}", "*/auth/*") for path in changes.paths):
        found.append(GateReason.SENSITIVE_PATH)
    too_large = changes is None or changes.files > limits.files_max or changes.lines > limits.lines_max
    if changes is None or (too_large and tier is not Tier.T0):
        found.append(GateReason.SIZE)
    if tier in (Tier.T2, Tier.T3):
        found.append(GateReason.TIER)
    return found


def _labels(history: Sequence[Envelope], ref: IssueRef) -> tuple[str, ...]:
    """As they were said last; approving what is wanted already changes none."""
    labels: tuple[str, ...] = ()
    wanted = False
    for event in history:
        match event.data:
            case _ if event.about != ref:
                pass
            case IssueApproved(labels=said) if not wanted:
                labels, wanted = said, True
            case IssueWithdrawn():
                wanted = False
            case IssueRevised(labels=tuple() as said):
                labels = said
            case _:
                pass
    return labels


def _changes(history: Sequence[Envelope], ref: IssueRef) -> Changes | None:
    shows = (event for event in history if event.about == ref)
    shown = _latest(event for event in shows if isinstance(event.data, PullRequestOpened | PullRequestUpdated))
    return shown.data.changes if shown is not None else None


def _tier(history: Sequence[Envelope], ref: IssueRef) -> Tier:
    """As the policy begins, or as was earned or lost; T3 by policy alone."""
    role = next(
        (one.data.role for one in reversed(history) if one.about == ref and isinstance(one.data, IssueAssigned)), ""
    )
    kind, tiers = _kind(_changes(history, ref)), policy_of(history).tiers
    begins = tiers.begin.get(kind, tiers.otherwise)
    for event in reversed(history):
        match event.data:
            case TierChanged(role=of, kind=what, before=before, after=after):
                if (of, what) == (role, kind) and before is not after and begins is not Tier.T3:
                    return after
            case _:
                pass
    return begins


def _kind(changes: Changes | None) -> str:
    docs = changes is not None and changes.paths and all(path.endswith(".md") for path in changes.paths)
    return "docs" if docs else "code"
