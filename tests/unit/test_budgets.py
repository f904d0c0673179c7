"""Money as people see it: what was spent and set aside, by budget, and what they may type of it."""

from datetime import timedelta

import pytest

from bridges.terminal import BadInput
from bridges.terminal.budgets import (
    BudgetLine,
    budget_scope,
    budgets,
    duration,
    is_same,
    issues_to_show,
    limit_of,
    lines,
)
from bridges.terminal.fleet import fleet
from bridges.terminal.ledger import Ledger, Sum
from schemas import (
    BadReference,
    BudgetExceeded,
    BudgetRaised,
    BudgetReleased,
    BudgetReserved,
    BudgetSettled,
    Event,
    IssueRef,
    Overrides,
    Policy,
    RolePolicy,
    TokensUsed,
)
from schemas.policy import Budget
from tests.support.saying import assigned, started
from tests.support.told import BEGAN, ISSUE, Told

TODAY = BEGAN.date()
OTHER = IssueRef("demo", "shop", 2)


def used(usd: float | None, run: str = "r-1", epoch: int = 1) -> TokensUsed:
    return TokensUsed(epoch=epoch, run=run, provider="p", cost_usd=usd)


def day(*events: Event) -> tuple[float, float]:
    """Spent and set aside on the whole rig's budget, in dollars."""
    told = Told()
    for event in events:
        told.say(event)
    total = Ledger(told.log).sums(TODAY).get("day", Sum())
    return total.spent / 1e6, total.reserved / 1e6


RESERVED = (assigned(), BudgetReserved(epoch=1, amount_usd=2))


class TestLedger:
    def test_what_is_set_aside_is_spent_little_by_little_and_then_settled(self) -> None:
        assert day(*RESERVED) == (0, 2)
        assert day(*RESERVED, started(), used(0.5)) == (0.5, 1.5)
        assert day(*RESERVED, started(), used(0.5), used(2)) == (2.5, 0), "more than was set aside counts too"
        settled = BudgetSettled(epoch=1, run="r-1", amount_usd=0.75)
        assert day(*RESERVED, started(), used(0.5), settled) == (0.75, 0)
        assert day(*RESERVED, started(), used(0.5), settled, settled, used(1)) == (1.5, 0), "money spent late counts"

    def test_what_never_began_is_free_again(self) -> None:
        assert day(*RESERVED, BudgetReleased(epoch=1, amount_usd=2)) == (0, 0)

    def test_a_run_that_takes_over_has_money_of_its_own(self) -> None:
        own = BudgetReserved(epoch=1, run="r-2", amount_usd=2)
        assert day(*RESERVED, started(), used(1), own, started(run="r-2")) == (1, 3)

    def test_whoever_spends_unasked_is_counted_and_an_unknown_price_is_not(self) -> None:
        assert day(used(0.5, run="review-1"), used(None)) == (0.5, 0)

    def test_every_budget_of_the_issue_counts_it(self) -> None:
        told = Told()
        for event in (*RESERVED, started(), used(0.5)):
            told.say(event)
        told.say(used(1), about=OTHER)
        sums = Ledger(told.log).sums(TODAY)
        spent = {scope: total.spent / 1e6 for scope, total in sums.items()}
        assert spent == {
            "day": 1.5,
            "repository:demo/shop": 1.5,
            "role:dev-e": 0.5,
            "role:none": 1,
            "issue:demo/shop#1": 0.5,
            "issue:demo/shop#2": 1,
        }
        assert Ledger(told.log).under_way() == [ISSUE]

    def test_a_new_day_begins_with_what_is_still_set_aside(self) -> None:
        told = Told()
        for event in (*RESERVED, started(), BudgetSettled(epoch=1, run="r-1", amount_usd=1)):
            told.say(event)
        told.say(assigned(), about=OTHER)
        told.say(BudgetReserved(epoch=1, amount_usd=2), about=OTHER)
        sums = Ledger(told.log).sums(TODAY + timedelta(days=1))
        assert (sums["day"].spent, sums["day"].reserved) == (0, 2_000_000)
        assert sums["issue:demo/shop#1"].spent == 1_000_000, "an issue's budget is for all its time"


class TestBudgets:
    POLICY = Policy(budget=Budget(day_usd=10, issue_usd=None), roles={"dev-e": RolePolicy(day_usd=5)})

    def shown(self, sums: dict[str, Sum], *events: Event, hours: float = 0) -> dict[str, BudgetLine]:
        told = Told()
        for event in events:
            told.say(event)
        overrides = {"repository:demo/shop": Overrides(day_usd=3)}
        found = budgets(sums, fleet(told.log), self.POLICY, overrides, BEGAN + timedelta(hours=hours))
        return {line.scope: line for line in found.budgets}

    def test_each_has_its_limit_and_what_is_left(self) -> None:
        shown = self.shown(
            {"day": Sum(2_000_000, 1_000_000), "repository:demo/shop": Sum(4_000_000), "issue:demo/shop#1": Sum()}
        )
        assert list(shown) == ["day", "role:dev-e", "repository:demo/shop", "issue:demo/shop#1"]
        told = {
            scope: (line.limit_usd, line.spent_usd, line.reserved_usd, line.left_usd) for scope, line in shown.items()
        }
        assert told == {
            "day": (10, 2, 1, 7),
            "role:dev-e": (5, 0, 0, 5),
            "repository:demo/shop": (3, 4, 0, 0),
            "issue:demo/shop#1": (None, 0, 0, None),
        }

    def test_a_raised_one_is_so_until_its_time_and_never_less_than_the_policys(self) -> None:
        raised = BudgetRaised(scope="day", limit_usd=50, until=BEGAN + timedelta(hours=4), by="ann")
        assert self.shown({}, raised)["day"].limit_usd == 50
        assert (self.shown({}, raised)["day"].raised_by, self.shown({}, raised, hours=5)["day"].raised_by) == (
            "ann",
            None,
        )
        assert self.shown({}, raised, hours=5)["day"].limit_usd == 10
        less = BudgetRaised(scope="day", limit_usd=1, until=BEGAN + timedelta(hours=4), by="ann")
        assert self.shown({}, less)["day"].limit_usd == 10

    def test_one_without_room_says_since_when_until_its_day_is_over(self) -> None:
        full = BudgetExceeded(scope="day", limit_usd=10, spent_usd=9)
        assert self.shown({}, full)["day"].full_since == BEGAN + timedelta(minutes=1)
        assert self.shown({}, full, hours=24)["day"].full_since is None

    def test_issues_are_shown_that_money_is_about_now(self) -> None:
        told = Told()
        for event in RESERVED:
            told.say(event)
        told.say(BudgetRaised(scope=f"issue:{OTHER}", limit_usd=50, until=BEGAN + timedelta(hours=4), by="ann"))
        assert issues_to_show(Ledger(told.log), fleet(told.log), BEGAN) == [ISSUE, OTHER]
        assert issues_to_show(Ledger(told.log), fleet(told.log), BEGAN + timedelta(days=1)) == [ISSUE]

    def test_for_people_it_is_a_table(self) -> None:
        found = budgets({"day": Sum(2_000_000)}, fleet([]), self.POLICY, {}, BEGAN)
        assert list(lines(found)) == [
            "BUDGET      LIMIT  SPENT  SET ASIDE  LEFT",
            "day         10.00  2.00   0.00       8.00",
            "role:dev-e  5.00   0.00   0.00       5.00",
            "$2.00 are set aside for each run; days are of UTC, and an issue's budget is for all its time",
        ]

    def test_a_limit_that_is_none(self) -> None:
        assert limit_of("issue:demo/shop#1", self.POLICY, None) is None
        assert limit_of("repository:demo/shop", self.POLICY, Overrides()) == 200


class TestTyped:
    @pytest.mark.parametrize(
        ("typed", "scope"),
        [
            ("day", "day"),
            ("role:dev-e", "role:dev-e"),
            ("acme/web", "repository:acme/web"),
            ("repository:acme/web", "repository:acme/web"),
            ("acme/web#42", "issue:acme/web#42"),
            ("web", None),
            ("web#42", None),
        ],
    )
    def test_a_budget_goes_by_what_it_is_of(self, typed: str, scope: str | None) -> None:
        assert budget_scope(typed) == scope

    @pytest.mark.parametrize("typed", ["week:1", "acme/web#x:1", "role:a b"])
    def test_what_is_none_is_refused(self, typed: str) -> None:
        with pytest.raises(BadInput, match="is no budget: write day, role:dev-e, a repository"):
            budget_scope(typed)

    @pytest.mark.parametrize("typed", ["web#x", "acme/web#0", "a/b/c", "a b"])
    def test_what_names_nothing_is_refused(self, typed: str) -> None:
        with pytest.raises(BadReference):
            budget_scope(typed)

    @pytest.mark.parametrize(("typed", "hours"), [("30m", 0.5), ("4h", 4), ("2d", 48)])
    def test_how_long(self, typed: str, hours: float) -> None:
        assert duration(typed) == timedelta(hours=hours)

    @pytest.mark.parametrize("typed", ["", "4", "0h", "4 h", "999999d", "-4h", "1h30m"])
    def test_what_is_no_time_is_refused(self, typed: str) -> None:
        with pytest.raises(BadInput, match=r"--for: .* is not how long, like 30m, 4h or 2d"):
            duration(typed)

    def test_the_same_again_is_known(self) -> None:
        first = BudgetRaised(scope="day", limit_usd=50, until=BEGAN, by="ann", note="n")
        said = Told().say(first)

        def again(**changed: object) -> BudgetRaised:
            values = {
                "scope": "day",
                "limit_usd": 50.0,
                "until": BEGAN + timedelta(seconds=20),
                "by": "ann",
                "note": "n",
            }
            return BudgetRaised(**(values | changed))

        assert is_same(said, again())
        assert not is_same(said, again(limit_usd=60))
        assert not is_same(said, again(until=BEGAN + timedelta(hours=1)))
