"""Deliveries of any order, twice, late, or all of them again come to the same as those that came as it happened."""

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from bridges.github import ids, payloads
from bridges.github.said import Permission
from bridges.github.translate import look_at_issue, of_pull_request, words
from bridges.github.translate.reading import decoded
from schemas import Actor, Event, IssueRef, IssueRevised, Priority, PriorityChanged, PullRequestUpdated
from tests.conftest import FULL
from tests.support.github_history import Life, life
from tests.support.github_payloads import body, issue, issues, sha
from tests.support.translated import ISSUE, WEB, Desk, desk, opened

HISTORIES = 4_000 if FULL else 100
pytestmark = [pytest.mark.full, pytest.mark.timeout(600)] if FULL else []
"""The same tests, with more histories, are the long count."""
MAY = {Permission(WEB, "bob"): "write"}


def told(it: Life, order: list[int], *, pull_request: bool) -> Desk:
    """The log after these deliveries, in this order. Where a delivery told too little, the API was asked."""
    bench = desk(reviewers=("review-e.bot",))
    if pull_request:
        bench.deliver(*it.deliveries[0])
        opened(bench)
    deliver(bench, it, order)
    return bench


def deliver(bench: Desk, it: Life, order: Iterable[int]) -> None:
    for index in order:
        bench.deliver(*it.deliveries[index], MAY)
        if any(look.about == ISSUE for look in bench.last.looks):
            looked(bench, it)


def looked(bench: Desk, it: Life) -> None:
    """What whoever does effects does: the pull request first, then the issue."""
    known = bench.heard.issue(ISSUE)
    if known is not None and known.pull_request is not None:
        bench.take(of_pull_request(WEB, decoded(body(it.pull()), payloads.PullRequest), bench.heard))
        if not it.closed and not known.open and not known.merged:
            data = PullRequestUpdated(pull_request=12, branch="rig/7-the-total-is-wrong", head_sha=sha("head"))
            bench.say(ISSUE, data, Actor.GITHUB, it.shown)
    bench.take(look_at_issue(WEB, decoded(body(it.issue()), payloads.Issue), bench.heard))


def standing(bench: Desk, it: Life) -> dict[str, Any]:
    """What counts, of what was said."""
    heard = bench.heard
    known = heard.issue(ISSUE)
    reviews = [ids.of_pull_request(WEB, 12, "review", number, "approved") for number in range(1, it.said + 1)]
    dismissed = [ids.of_pull_request(WEB, 12, "review", number, "dismissed") for number in range(1, it.said + 1)]
    asked = known is not None and known.asked
    return {
        "asked": known is None or known.merged or asked,
        "told": known.told if asked and known is not None and not known.merged else None,
        "merges": {} if known is None else known.merges,
        "open": known is not None and known.open,
        "approvals": [one for one, other in zip(reviews, dismissed, strict=True) if {one, other} & heard.said == {one}],
        "priority": {one for one in heard.said if ":comment:" in one and one in bench.of(PriorityChanged)},
        "steered": None if known is None else known.steered_at,
        "branch": {name: run.conclusion for name, run in heard.repositories["acme/web"].workflows.items()},
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("pull_request", [False, True])
def test_any_order_comes_to_the_same(ties: bool, pull_request: bool) -> None:
    for seed in range(HISTORIES):
        random = Random(seed)  # noqa: S311 - to try with
        it = life(random, ties=ties, pull_request=pull_request)
        there = list(range(len(it.deliveries)))
        wanted = standing(told(it, there, pull_request=pull_request), it)
        late = random.sample(there, k=len(there) // 2)  # dropped at the edge, and put in again by an audit
        order = [index for index in there if index not in late]
        order += random.choices(there, k=len(there) // 10 + 1)
        random.shuffle(order)
        order += random.sample(late, k=len(late))
        assert standing(told(it, order, pull_request=pull_request), it) == wanted, (seed, order)


@pytest.mark.parametrize("pull_request", [False, True])
def test_all_of_it_again_says_nothing(pull_request: bool) -> None:
    for seed in range(HISTORIES // 2):
        random = Random(seed)  # noqa: S311 - to try with
        it = life(random, ties=False, pull_request=pull_request)
        bench = told(it, list(range(len(it.deliveries))), pull_request=pull_request)
        for delivery in it.deliveries:
            assert bench.deliver(*delivery, MAY) == [], seed


def test_without_what_was_seen_all_of_it_again_adds_nothing_but_what_it_was() -> None:
    """A bridge that starts anew knows the log alone, and no delivery that led to nothing."""
    for seed in range(HISTORIES // 2):
        random = Random(seed)  # noqa: S311 - to try with
        it = life(random, ties=False, pull_request=True)
        bench = told(it, list(range(len(it.deliveries))), pull_request=True)
        before = standing(bench, it)
        bench.heard = bench.refolded()
        deliver(bench, it, range(len(it.deliveries)))
        assert standing(bench, it) == before, seed


# ── a translator with a mended bug ───────────────────────────────────────────


def test_what_an_older_translator_missed_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    deliveries = [
        issues("labeled", issue(7, "agent-ready", "P3", second=1), label="agent-ready"),
        issues("labeled", issue(7, "agent-ready", "P3", "P0", second=4), label="P0"),
        issues("edited", issue(7, "agent-ready", "P3", "P0", second=9, title="The sum is wrong")),
        issues("labeled", issue(8, "agent-ready", second=1, body="Depends on #7"), label="agent-ready"),
    ]
    it = desk()
    with monkeypatch.context() as older:
        older.setattr(words, "priority", lambda _: Priority.NORMAL)
        older.setattr(words, "dependencies", lambda _, __: ())
        for delivery in deliveries:
            it.deliver("issues", delivery)
    it.heard = it.refolded()
    said: list[Event] = [one for delivery in deliveries for one in it.deliver("issues", delivery)]
    assert said == [IssueRevised(priority=Priority.CRITICAL), IssueRevised(depends_on=(IssueRef("acme", "web", 7),))]
    assert [one for delivery in deliveries for one in it.deliver("issues", delivery)] == []
