"""Money: set aside, spent, settled. Each change goes into every budget that the issue counts against, at once."""

from conductor.awaits import closed_accounts
from conductor.state import Account, Issue, Micros, State, calls_of, micros, unclaimed
from schemas import (
    DAY,
    BudgetReleased,
    BudgetReserved,
    BudgetSettled,
    Envelope,
    ModelUsed,
    TokensUsed,
    day_scopes,
)


def fold_money(state: State, issue: Issue, event: Envelope) -> bool:
    """It never moves an issue. What a run has used counts whoever says it, once."""
    match event.data:
        case BudgetReserved(epoch=epoch, run=run, amount_usd=usd):
            account = _account(issue, run, epoch)
            _change(state, issue, account, reserved=micros(usd))
        case TokensUsed(epoch=epoch, run=run, cost_usd=usd):
            if event.id in issue.heard:
                return False
            issue.heard.add(event.id)
            account = _account(issue, run, epoch)
            _change(state, issue, account, spent=account.spent + micros(usd or 0), unknown=usd is None)
        case BudgetSettled(run=run, amount_usd=usd):
            account = issue.accounts.get(run)
            if account is not None and account.settled is None:
                _change(state, issue, account, settled=micros(usd))
        case BudgetReleased(epoch=epoch):
            account = issue.accounts.get(unclaimed(epoch))
            if account is not None:
                _change(state, issue, account, settled=0, reserved=0)
                del issue.accounts[unclaimed(epoch)]
        case _:
            pass
    return False


def fold_call(state: State, used: ModelUsed) -> None:
    """A call of a model outside the runs: nothing was set aside for it, and it is spent at once."""
    if used.issue is None:
        if used.counts_usd:
            state.ledger.move((f"role:{used.role}", DAY), spent=micros(used.counts_usd))
        return
    issue = state.issues.get(used.issue)
    if issue is None:
        state.ledger.move(day_scopes(used.issue.repository, used.role), spent=micros(used.counts_usd))
        return
    account = issue.accounts.get(calls_of(used.role))
    if account is None:
        account = issue.accounts[calls_of(used.role)] = Account(0, used.role, over=True, settled=0)
    _change(state, issue, account, spent=account.spent + micros(used.counts_usd), unknown=used.cost_usd is None)


def claim(state: State, issue: Issue, epoch: int, run: str) -> None:
    """The first run of an epoch takes over what was set aside for it."""
    account = issue.accounts.pop(unclaimed(epoch), None)
    if account is None:
        return
    early = issue.accounts.pop(run, None)  # it said what it used before its claim was read
    issue.accounts[run], account.claimed = account, True
    if early is not None:
        spent, unknown = early.spent, early.unknown
        _change(state, issue, early, spent=0, settled=0)
        _change(state, issue, account, spent=account.spent + spent, unknown=unknown)


def close_accounts(state: State, issue: Issue) -> None:
    """What a run did not spend is free once it is over: the next decision counts on it."""
    for _, account in closed_accounts(issue):
        if not account.over:
            _change(state, issue, account, over=True)


def _account(issue: Issue, run: str | None, epoch: int) -> Account:
    key = run or unclaimed(epoch)
    account = issue.accounts.get(key)
    if account is None:
        account = issue.accounts[key] = Account(epoch, issue.role, claimed=run is not None)
    return account


def _change(
    state: State,
    issue: Issue,
    account: Account,
    *,
    reserved: Micros | None = None,
    spent: Micros | None = None,
    unknown: bool = False,
    over: bool = False,
    settled: Micros | None = None,
) -> None:
    before, was_settled = account.counts, account.settled is not None
    if reserved is not None:
        account.reserved = reserved
    if spent is not None:
        issue.since_progress += spent - account.spent
        account.spent, account.said, account.unknown = spent, True, account.unknown or unknown
    account.over = account.over or over
    if settled is not None:
        account.settled = settled
    after = account.counts
    if after == before and settled is None:
        return
    of_the_day = day_scopes(issue.ref.repository, account.role or "none")
    issue.committed += after - before
    if account.settled is None:
        state.ledger.move(of_the_day, reserved=after - before)
    elif was_settled:
        state.ledger.move(of_the_day, spent=after - before)
    else:
        state.ledger.move(of_the_day, reserved=-before, spent=after)
