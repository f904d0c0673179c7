"""What else GitHub tells: checks, runs on the base branch, deployments, and what the rig may no longer reach."""

from contextlib import suppress
from typing import Any

import pytest

from bridges.github.said import Look, Untranslatable
from bridges.github.translate import EVENTS, asks, translate
from schemas import (
    Actor,
    Deployed,
    Environment,
    Forge,
    IssueRef,
    MainChecksFailed,
    MainChecksPassed,
    RepositoryAdded,
    RepositoryRemoved,
    RunConclusion,
)
from tests.support.github_payloads import (
    ADA,
    REPOSITORY,
    at,
    body,
    deployment_status,
    issue,
    issues,
    merged,
    pull,
    pull_request,
    sha,
    workflow_run,
)
from tests.support.translated import ISSUE, WEB, Desk, desk, opened


def at_work() -> Desk:
    it = desk()
    it.deliver("issues", issues("opened", issue(7, "agent-ready")))
    opened(it)
    return it


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("check_run", {"check_run": {"id": 1, "name": "build", "head_sha": sha("head"), "status": "completed"}}),
        ("check_suite", {"check_suite": {"id": 1, "head_sha": sha("head"), "status": "completed"}}),
        ("check_suite", {"check_suite": {"id": 1, "head_sha": sha("merge-ref"), "pull_requests": [{"number": 12}]}}),
        ("status", {"sha": sha("head"), "context": "ci", "state": "success"}),
    ],
)
def test_a_check_of_a_head_is_looked_at_with_all_others(event: str, told: dict[str, Any]) -> None:
    it = at_work()
    assert it.deliver(event, body({"action": "completed", "repository": REPOSITORY, **told})) == []
    assert it.last.looks == (Look(ISSUE),)
    other = desk()
    assert other.deliver(event, body({"action": "completed", "repository": REPOSITORY, **told})) == []
    assert other.last.looks == ()
    assert other.last.skipped is not None


def test_the_rigs_own_check_is_not_looked_at() -> None:
    it = at_work()
    told = {"check_run": {"id": 1, "name": "rig", "head_sha": sha("head")}, "repository": REPOSITORY}
    it.deliver("check_run", body(told))
    assert it.last.skipped == "the rig's own check"


def test_a_run_on_the_base_branch_says_whether_it_is_well() -> None:
    it = at_work()
    (said,) = it.deliver("workflow_run", workflow_run("success", run_id=1, second=10))
    assert said == MainChecksPassed(
        sha=sha("main"), workflow="CI", run="1.1", url="https://github.com/acme/web/actions/runs/1"
    )
    assert it.deliver("workflow_run", workflow_run("success", run_id=1, second=10)) == []
    (said,) = it.deliver("workflow_run", workflow_run("timed_out", run_id=3, second=30, event="schedule"))
    assert isinstance(said, MainChecksFailed)
    assert (said.conclusion, said.previous_conclusion) == (RunConclusion.TIMED_OUT, RunConclusion.SUCCESS)
    assert it.deliver("workflow_run", workflow_run("success", run_id=2, second=20)) == []  # that was before
    (said,) = it.deliver("workflow_run", workflow_run("success", run_id=3, second=40, run_attempt=2))
    assert isinstance(said, MainChecksPassed)
    assert said.previous_conclusion is RunConclusion.TIMED_OUT


@pytest.mark.parametrize(
    ("event", "delivery"),
    [
        ("pull_request", pull_request("synchronize", pull(merged=None))),
        ("pull_request", pull_request("edited", pull(requested_reviewers=[None, {"id": 3, "slug": "core"}]))),
        ("workflow_run", workflow_run("success", head_sha=sha("head"), head_branch="x", pull_requests=[None])),
    ],
)
def test_what_github_documents_as_perhaps_null_is_read(event: str, delivery: bytes) -> None:
    it = at_work()
    assert it.deliver(event, delivery) == []
    assert it.last.looks == (Look(ISSUE),)


def test_an_issue_that_is_pinned_does_not_say_whether_it_is_open() -> None:
    it = at_work()
    told = issue(7, "agent-ready", second=500)
    del told["state"]
    assert it.deliver("issues", issues("pinned", told)) == []
    assert it.last.skipped == "pinned: it is not told whether the issue is open"


@pytest.mark.parametrize("conclusion", ["cancelled", "skipped", "neutral", "stale", "action_required", None, "novel"])
def test_a_run_that_did_not_judge_says_nothing(conclusion: str | None) -> None:
    it = at_work()
    assert it.deliver("workflow_run", workflow_run(conclusion)) == []
    assert it.last.skipped is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "pull_request", "head_repository": {"full_name": "mallory/web"}},
        {"head_repository": {"full_name": "mallory/web"}},
        {"event": "issue_comment"},
        {"head_branch": "topic"},
        {"head_branch": None},
    ],
)
def test_a_run_of_something_else_is_not_the_base_branch(fields: dict[str, Any]) -> None:
    it = at_work()
    assert it.deliver("workflow_run", workflow_run("failure", **fields)) == []
    assert it.last.looks == ()


def test_a_run_of_a_head_is_a_check_like_others() -> None:
    it = at_work()
    it.deliver("workflow_run", workflow_run("failure", head_branch="rig/7-x", head_sha=sha("head"), event="push"))
    assert it.last.looks == (Look(ISSUE),)


def test_what_is_deployed_is_live_with_every_merge_before_it() -> None:
    it = at_work()
    it.deliver("pull_request", pull_request("closed", merged(second=300)))
    it.deliver("issues", issues("opened", issue(8, "agent-ready")))
    later = {"head": {"ref": "x", "sha": sha("x"), "repo": REPOSITORY}, "body": "Closes #8"}
    it.deliver("pull_request", pull_request("closed", merged(13, merge="later", second=350, **later)))
    assert it.deliver("deployment_status", deployment_status(sha("later"), state="failure")) == []
    assert it.deliver("deployment_status", deployment_status(sha("later"), "preview-13")) == []
    assert it.deliver("deployment_status", deployment_status(sha("elsewhere"))) == []
    assert it.deliver("deployment_status", deployment_status(sha("merge"), "Stage")) == [
        Deployed(environment=Environment.STAGING, sha=sha("merge"), url="https://shop.example")
    ]
    said = it.deliver("deployment_status", deployment_status(sha("later")))
    live = [
        Deployed(environment=Environment.PRODUCTION, sha=sha(it), url="https://shop.example")
        for it in ("merge", "later")
    ]
    assert said == live
    assert [one.draft.about for one in it.last.said] == [ISSUE, IssueRef("acme", "web", 8)]
    assert it.deliver("deployment_status", deployment_status(sha("later"))) == []


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("installation", {"action": "deleted", "installation": {"id": 5}, "repositories": [{"full_name": "acme/web"}]}),
        ("installation", {"action": "suspend", "installation": {"id": 5}, "repositories": [{"full_name": "acme/web"}]}),
        (  # a webhook writes the times of an installation as seconds
            "installation",
            {
                "action": "deleted",
                "installation": {"id": 5, "updated_at": 1_525_109_899, "suspended_at": None},
                "repositories": [{"full_name": "acme/web"}],
            },
        ),
        (
            "installation_repositories",
            {"action": "removed", "installation": {"id": 5}, "repositories_removed": [{"full_name": "Acme/web"}]},
        ),
        ("repository", {"action": "archived", "repository": REPOSITORY}),
        ("repository", {"action": "deleted", "repository": REPOSITORY}),
    ],
)
def test_what_is_out_of_reach_is_under_the_rig_no_more(event: str, told: dict[str, Any]) -> None:
    it = desk()
    delivery = body({**told, "sender": ADA})
    assert it.deliver(event, delivery) == [RepositoryRemoved(by="ada")]
    assert it.last.said[0].draft.about == WEB
    assert it.deliver(event, delivery) == []
    assert it.deliver("issues", issues("opened", issue(7, "agent-ready"))) == []


def test_what_was_out_of_reach_before_it_was_put_there_stays() -> None:
    it = desk()
    it.say(WEB, RepositoryRemoved(by="ada"), Actor.CLI, 10)
    added = RepositoryAdded(forge=Forge.GITHUB, clone_url="https://github.com/acme/web.git", check="true", by="ada")
    it.say(WEB, added, Actor.CLI, 60)
    late = {"action": "archived", "repository": {**REPOSITORY, "updated_at": at(30)}, "sender": ADA}
    assert it.deliver("repository", body(late)) == []
    assert it.heard.repository("acme/web") is not None
    newer = {**late, "repository": {**REPOSITORY, "updated_at": at(90)}}
    assert it.deliver("repository", body(newer)) == [RepositoryRemoved(by="ada")]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("check_run", {"check_run": {"id": 1, "name": "build", "head_sha": sha("head"), "status": "in_progress"}}),
        ("check_suite", {"check_suite": {"id": 1, "head_sha": sha("head"), "status": "queued"}}),
        ("status", {"sha": sha("head"), "context": "ci", "state": "pending"}),
    ],
)
def test_that_a_check_begins_is_nothing_to_look_at(event: str, told: dict[str, Any]) -> None:
    it = at_work()
    it.deliver(event, body({"action": "created", "repository": REPOSITORY, **told}))
    assert it.last.looks == ()
    assert it.last.skipped is not None


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("installation", {"action": "created", "installation": {"id": 5}, "repositories": [{"full_name": "acme/web"}]}),
        ("installation_repositories", {"action": "added", "installation": {"id": 5}}),
        ("repository", {"action": "renamed", "repository": REPOSITORY}),
        ("ping", {"zen": "Keep it logically awesome."}),
        ("star", {"action": "created"}),
        ("", {}),
    ],
)
def test_what_means_nothing_here_is_skipped_with_a_reason(event: str, told: dict[str, Any]) -> None:
    it = desk()
    assert it.deliver(event, body(told)) == []
    assert it.last.skipped is not None


@pytest.mark.parametrize("event", EVENTS)
def test_what_is_no_payload_is_untranslatable(event: str) -> None:
    it = desk()
    for told in (
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff{}",
        b'{"action":1}',
        b'{"a":' * 100_000,
        b'{"repository":"\\ud800"}',
    ):
        with pytest.raises(Untranslatable):
            translate(event, told, it.heard, {})
        with suppress(Untranslatable):
            asks(event, told, it.heard)


def test_of_issues_that_one_merge_closes_each_is_live_and_each_is_taken_back() -> None:
    it = desk()
    for number in (7, 8):
        it.deliver("issues", issues("opened", issue(number, "agent-ready")))
    refs = {ISSUE, IssueRef("acme", "web", 8)}
    head = {"ref": "fix", "sha": sha("fix"), "repo": REPOSITORY}
    both = merged(20, body="Closes #7, closes #8", head=head, user=ADA)
    undone = merged(30, merge="undone", second=500, body=f"This reverts commit {sha('merge')}.", head=head, user=ADA)
    for event, delivery in (
        ("pull_request", pull_request("closed", both)),
        ("deployment_status", deployment_status(sha("merge"))),
        ("pull_request", pull_request("closed", undone)),
    ):
        it.deliver(event, delivery)
        assert {one.draft.about for one in it.last.said} == refs
        assert it.deliver(event, delivery) == []
