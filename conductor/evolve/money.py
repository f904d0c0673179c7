"""Money: set aside, spent, settled. Each change goes into every budget that the issue counts against, at once."""

from conductor.state import Account, Issue, Micros, State, micros, unclaimed
from schemas import BudgetReleased, BudgetReserved, BudgetSettled, Envelope, TokensUsed, scopes


def fold_money(state: State, issue: Issue, event: Envelope) -> bool:
    """It never moves an issue. What a run has used counts whoever says it, once."""
    match event.data:
        case BudgetReserved(epoch=epoch, run=run, amount_usd=usd):
            account = _account(issue, run or unclaimed(epoch), epoch)
            _change(state, issue, account, reserved=micros(usd))
        case TokensUsed(epoch=epoch, run=run, cost_usd=usd):
            if event.id in issue.heard:
                return False
            issue.heard.add(event.id)
            account = _account(issue, run, epoch)
            account.said = True
            account.unknown = account.unknown or usd is None
            _change(state, issue, account, spent=account.spent + micros(usd or 0))
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


def claim(state: State, issue: Issue, epoch: int, run: str) -> None:
    """The first run of an epoch takes over what was set aside for it."""
    account = issue.accounts.pop(unclaimed(epoch), None)
    if account is None:
        return
    early = issue.accounts.pop(run, None)  # it said what it used before its claim was read
    issue.accounts[run] = account
    if early is not None:
        _change(state, issue, early, spent=0)
        account.said, account.unknown = early.said, early.unknown
        _change(state, issue, account, spent=account.spent + early.spent)


def _account(issue: Issue, key: str, epoch: int) -> Account:
    account = issue.accounts.get(key)
    if account is None:
        account = issue.accounts[key] = Account(epoch, issue.role)
    return account


def _change(
    state: State,
    issue: Issue,
    account: Account,
    *,
    reserved: Micros | None = None,
    spent: Micros | None = None,
    settled: Micros | None = None,
) -> None:
    before, was_settled = account.counts, account.settled is not None
    if reserved is not None:
        account.reserved = reserved
    if spent is not None:
        issue.since_progress += spent - account.spent
        account.spent = spent
    if settled is not None:
        account.settled = settled
    after = account.counts
    of_issue, *others = scopes(issue.ref, account.role or "none")
    issue.committed += after - before
    if account.settled is None:
        state.ledger.move(others, reserved=after - before)
    elif was_settled:
        state.ledger.move(others, spent=after - before)
    else:
        state.ledger.move(others, reserved=-before, spent=after)
    state.ledger.exceeded.pop(of_issue, None)
