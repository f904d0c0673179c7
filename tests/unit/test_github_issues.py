"""Issues on GitHub, told on: approved by a label, revised by edits, withdrawn when nobody wants them."""

import json
from typing import Any

import pytest
from msgspec import UNSET

from bridges.github import payloads
from bridges.github.said import BlockedBy, Look
from bridges.github.translate import asks, of_issue
from bridges.github.translate.reading import decoded
from schemas import (
    Actor,
    IssueApproved,
    IssueDone,
    IssueRef,
    IssueRevised,
    IssueWithdrawn,
    Merged,
    Priority,
    PriorityChanged,
    Reverted,
    Withdrawal,
)
from tests.support.github_payloads import at, body, issue, issues, merged, pull_request, sha
from tests.support.saying import assigned
from tests.support.translated import ISSUE, WEB, desk, opened


def rest(told: dict[str, Any]) -> payloads.Issue:
    """As the API answers it."""
    return decoded(body(told), payloads.Issue)


def test_a_label_approves_an_issue() -> None:
    it = desk()
    assert it.deliver("issues", issues("opened", issue(second=0))) == []
    assert it.last.skipped == "opened: nothing that the rig has not heard"
    labels = ("agent-ready", "priority: high", "needs: Docker, node", "bug", "rig: queued")
    told = issue(7, *labels, second=5, body="Sum.\r\n\r\nDepends on #3, #4 and acme/api#9", milestone={"title": "1.0"})
    assert it.deliver("issues", issues("labeled", told, label="agent-ready")) == [
        IssueApproved(
            title="The total is wrong",
            body="Sum.\n\nDepends on #3, #4 and acme/api#9",
            url="https://github.com/acme/web/issues/7",
            author="ada",
            priority=Priority.HIGH,
            depends_on=(IssueRef("acme", "api", 9), IssueRef("acme", "web", 3), IssueRef("acme", "web", 4)),
            milestone="1.0",
            labels=("agent-ready", "bug", "needs: Docker, node", "priority: high"),
            requires=("docker", "node"),
        )
    ]


def test_the_same_again_says_nothing() -> None:
    it = desk()
    delivery = issues("labeled", issue(7, "agent-ready", second=5), label="agent-ready")
    it.deliver("issues", delivery)
    assert it.deliver("issues", delivery) == []
    assert it.take(of_issue(WEB, rest(issue(7, "agent-ready", second=9)), it.heard)) == []


def test_an_edit_says_what_changed_and_nothing_else() -> None:
    it = desk()
    it.deliver("issues", issues("opened", issue(7, "agent-ready")))
    edited = issue(7, "agent-ready", second=9, title="The sum\u202e is\nwrong\x00")
    assert it.deliver("issues", issues("edited", edited)) == [IssueRevised(title="The sum is wrong")]
    urgent = issue(7, "agent-ready", "P0", second=12, title=edited["title"])
    (said,) = it.deliver("issues", issues("labeled", urgent, label="P0"))
    assert said == IssueRevised(priority=Priority.CRITICAL, labels=("P0", "agent-ready"))
    gone = issue(7, "agent-ready", "P0", second=15, title="", body="x" * 70_000)
    (said,) = it.deliver("issues", issues("edited", gone))
    assert isinstance(said, IssueRevised)
    assert (said.title, said.priority) == ("(no title)", UNSET)
    assert isinstance(said.body, str)
    assert len(said.body) == 65_536
    assert said.body.endswith("[cut: there is more on GitHub]")


@pytest.mark.parametrize(
    ("action", "state", "labels", "reason"),
    [
        ("unlabeled", "open", (), Withdrawal.UNLABELLED),
        ("closed", "closed", ("agent-ready",), Withdrawal.CLOSED),
        ("deleted", "open", ("agent-ready",), Withdrawal.CANCELLED),
        ("transferred", "open", ("agent-ready",), Withdrawal.CANCELLED),
    ],
)
def test_what_nobody_wants_any_more_is_withdrawn(
    action: str, state: str, labels: tuple[str, ...], reason: Withdrawal
) -> None:
    it = desk()
    it.deliver("issues", issues("opened", issue(7, "agent-ready")))
    told = issues(action, issue(7, *labels, second=9, state=state), label="agent-ready")
    assert it.deliver("issues", told) == [IssueWithdrawn(reason=reason, by="ada")]
    assert it.deliver("issues", told) == []


def test_opened_again_it_is_wanted_again() -> None:
    it = desk()
    it.deliver("issues", issues("opened", issue(7, "agent-ready")))
    it.deliver("issues", issues("closed", issue(7, "agent-ready", second=5, state="closed")))
    (said,) = it.deliver("issues", issues("reopened", issue(7, "agent-ready", second=9, title="Again")))
    assert isinstance(said, IssueApproved)
    assert said.title == "Again"


def test_an_older_delivery_changes_nothing() -> None:
    """Approved, taken back and approved once more: the delivery in between comes last."""
    it = desk()
    it.deliver("issues", issues("labeled", issue(7, "agent-ready", second=1), label="agent-ready"))
    it.deliver("issues", issues("labeled", issue(7, "agent-ready", second=3), label="agent-ready"))
    assert it.deliver("issues", issues("unlabeled", issue(7, second=2), label="agent-ready")) == []
    assert it.last.skipped is not None
    assert "later" in it.last.skipped


def test_of_one_second_each_delivery_tells_what_it_is_about() -> None:
    """Three labels in one second: GitHub's clock cannot order them, and none of them takes another back."""
    it = desk()
    first, second = issue(7, "P1", second=4), issue(7, "P1", "agent-ready", second=4)
    it.deliver("issues", issues("labeled", second, label="agent-ready"))
    assert it.deliver("issues", issues("labeled", first, label="P1")) == []
    assert it.last.looks == (Look(ISSUE),)
    third = issue(7, "bug", second=4)
    (said,) = it.deliver("issues", issues("labeled", third, label="bug"))
    assert said == IssueRevised(labels=("P1", "agent-ready", "bug"))
    authority = rest(issue(7, "agent-ready", "bug", second=4))
    (said,) = it.take(of_issue(WEB, authority, it.heard))
    assert said == IssueRevised(priority=Priority.NORMAL, labels=("agent-ready", "bug"))


def test_an_issue_that_its_merge_closed_is_not_withdrawn() -> None:
    it = desk()
    it.deliver("issues", issues("opened", issue(7, "agent-ready")))
    opened(it)
    closed = issues("closed", issue(7, "agent-ready", second=300, state="closed", state_reason="completed"))
    assert it.deliver("issues", closed) == []
    assert it.last.looks == (Look(ISSUE),)  # nobody has heard of a merge: the API knows
    it.say(ISSUE, Merged(head_sha=sha("head"), base_sha=sha("base"), merge_sha=sha("merge")), Actor.GITHUB, 299)
    told = rest(issue(7, "agent-ready", second=300, state="closed", state_reason="completed"))
    assert it.take(of_issue(WEB, told, it.heard)) == []


def test_an_issue_that_a_person_closed_beside_its_pull_request_is_withdrawn() -> None:
    it = desk()
    it.deliver("issues", issues("opened", issue(7, "agent-ready")))
    opened(it)
    told = issue(7, "agent-ready", second=300, state="closed", state_reason="not_planned")
    assert it.deliver("issues", issues("closed", told)) == [IssueWithdrawn(reason=Withdrawal.CLOSED, by="ada")]
    other = desk()
    other.deliver("issues", issues("opened", issue(7, "agent-ready")))
    opened(other)
    (said,) = other.take(
        of_issue(WEB, rest(issue(7, second=300, state="closed", state_reason="completed")), other.heard)
    )
    assert isinstance(said, IssueWithdrawn)


def test_what_a_person_said_elsewhere_stands_beside_the_labels() -> None:
    it = desk()
    it.deliver("issues", issues("opened", issue(7, "agent-ready", "P2")))
    it.say(ISSUE, PriorityChanged(priority=Priority.CRITICAL, by="bob"), Actor.CLI, 20)
    assert it.deliver("issues", issues("edited", issue(7, "agent-ready", "P2", second=30))) == []
    it.say(ISSUE, IssueWithdrawn(by="bob"), Actor.CLI, 40)
    assert it.deliver("issues", issues("edited", issue(7, "agent-ready", "P2", second=50))) == []
    it.deliver("issues", issues("unlabeled", issue(7, "P2", second=60), label="agent-ready"))
    (said,) = it.deliver("issues", issues("labeled", issue(7, "agent-ready", second=70), label="agent-ready"))
    assert isinstance(said, IssueApproved)


def test_repositories_that_nobody_put_under_the_rig_are_skipped() -> None:
    it = desk()
    told = json.loads(issues("opened", issue(7, "agent-ready")))
    told["repository"]["full_name"] = "acme/other"
    assert it.deliver("issues", body(told)) == []
    assert it.last.skipped == "acme/other: not under the rig"
    told["repository"]["full_name"] = "Acme/Web"  # GitHub does not tell names apart by case
    assert len(it.deliver("issues", body(told))) == 1


def test_links_of_githubs_own_come_first_like_lines() -> None:
    it = desk()
    told = issue(7, "agent-ready", body="Depends on #3", issue_dependencies_summary={"total_blocked_by": 1})
    delivery = issues("labeled", told, label="agent-ready")
    assert asks("issues", delivery, it.heard) == (BlockedBy(ISSUE),)
    (said,) = it.deliver("issues", delivery, {BlockedBy(ISSUE): ("acme/web#3", "acme/api#9")})
    first, second = IssueRef("acme", "api", 9), IssueRef("acme", "web", 3)
    assert isinstance(said, IssueApproved)
    assert said.depends_on == (first, second)
    assert asks("issues", delivery, it.heard) == ()
    (said,) = it.deliver("issues", issues("edited", issue(7, "agent-ready", second=8, body="Sum.")))
    assert said == IssueRevised(body="Sum.", depends_on=(first,))  # a link stays when a line goes

    def link(action: str, second: float) -> bytes:
        return body(
            {
                "action": action,
                "repository": json.loads(delivery)["repository"],
                "blocked_issue": issue(7, "agent-ready", second=second),
                "blocking_issue": issue(5),
                "blocking_issue_repo": {"full_name": "acme/web"},
            }
        )

    third = IssueRef("acme", "web", 5)
    assert it.deliver("issue_dependencies", link("blocked_by_removed", 12)) == []
    assert it.deliver("issue_dependencies", link("blocked_by_added", 11)) == []  # taken back before it was heard of
    assert it.deliver("issue_dependencies", link("blocked_by_added", 13)) == [IssueRevised(depends_on=(first, third))]
    assert it.deliver("issue_dependencies", link("blocking_added", 14)) == []
    assert it.deliver("issue_dependencies", link("blocked_by_removed", 15)) == [IssueRevised(depends_on=(first,))]


def test_a_milestone_that_is_renamed_or_deleted_changes_its_issues() -> None:
    it = desk()
    it.deliver("issues", issues("opened", issue(7, "agent-ready", milestone={"title": "1.0", "number": 2})))
    it.deliver("issues", issues("opened", issue(8, "agent-ready")))

    def milestone(action: str, title: str, second: float, **fields: Any) -> bytes:
        told = {"title": title, "number": 2, "updated_at": at(second)}
        return body({"action": action, "milestone": told, "repository": {"full_name": "acme/web"}, **fields})

    assert it.deliver("milestone", milestone("created", "1.0", 1)) == []
    renamed = milestone("edited", "1.1", 5, changes={"title": {"from": "1.0"}})
    assert it.deliver("milestone", renamed) == [IssueRevised(milestone="1.1")]
    assert it.deliver("milestone", renamed) == []
    # An edit from before that comes late: its text counts, its milestone does not.
    late = issue(7, "agent-ready", second=4, title="New", milestone={"title": "1.0", "number": 2})
    assert it.deliver("issues", issues("edited", late)) == [IssueRevised(title="New")]
    assert it.deliver("milestone", milestone("deleted", "1.1", 9)) == [IssueRevised(milestone=None)]


def test_what_is_done_again_after_a_revert_is_not_withdrawn_because_its_merge_had_closed_it() -> None:
    it = desk()
    it.deliver("issues", issues("labeled", issue(7, "agent-ready"), label="agent-ready"))
    opened(it)
    it.deliver("pull_request", pull_request("closed", merged()))
    it.say(ISSUE, IssueDone(duration_minutes=1.0, attempts=1, merge_sha=sha("merge")), Actor.CONDUCTOR, 310)
    it.say(ISSUE, Reverted(merge_sha=sha("merge"), revert_sha=sha("revert"), by="ada"), Actor.GITHUB, 400)
    it.say(ISSUE, assigned(2, 2), Actor.CONDUCTOR, 410)
    was = {"state": "closed", "state_reason": "completed"}
    working = issue(7, "agent-ready", "rig: working", second=420, closed_at=at(301), **was)
    assert it.deliver("issues", issues("labeled", working, label="rig: working")) == []
    assert of_issue(WEB, rest(working), it.heard) == ()
    by_hand = issue(7, "agent-ready", second=500, closed_at=at(500), **was)  # opened again, and closed by a person
    assert it.deliver("issues", issues("closed", by_hand)) == [IssueWithdrawn(reason=Withdrawal.CLOSED, by="ada")]
