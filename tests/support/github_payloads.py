"""What GitHub delivers, written by hand: the fields that Rig reads, and some that it does not."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 3, 2, 9, 0, 0, tzinfo=UTC)
ADA = {"login": "ada", "id": 11, "type": "User"}
BOB = {"login": "bob", "id": 12, "type": "User"}
REVIEW_BOT = {"login": "review-e[bot]", "id": 13, "type": "Bot"}
RIG_BOT = {"login": "rig[bot]", "id": 14, "type": "Bot"}
REPOSITORY: dict[str, Any] = {
    "id": 1296269,
    "full_name": "acme/web",
    "name": "web",
    "owner": {"login": "acme", "type": "Organization"},
    "default_branch": "main",
    "clone_url": "https://github.com/acme/web.git",
    "archived": False,
    "updated_at": "2026-03-02T09:00:00Z",
    "pushed_at": "2026-03-02T09:00:00Z",
}


def at(second: float) -> str:
    """GitHub's clock, in whole seconds since the story began."""
    return (START + timedelta(seconds=int(second))).strftime("%Y-%m-%dT%H:%M:%SZ")


def sha(name: str) -> str:
    """A commit id that one can tell by its beginning."""
    return (name.encode().hex() + "0" * 40)[:40]


def body(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload).encode()


def issue(number: int = 7, *labels: str, second: float = 0, **fields: Any) -> dict[str, Any]:
    return {
        "id": 9000 + number,
        "number": number,
        "title": "The total is wrong",
        "body": "Sum the lines.",
        "state": "open",
        "state_reason": None,
        "html_url": f"https://github.com/acme/web/issues/{number}",
        "user": ADA,
        "labels": [{"id": 1, "name": name, "color": "ededed"} for name in labels],
        "milestone": None,
        "assignees": [],
        "updated_at": at(second),
        "closed_at": None,
        **fields,
    }


def issues(action: str, issue: dict[str, Any], *, label: str | None = None, **fields: Any) -> bytes:
    named = {} if label is None else {"label": {"id": 1, "name": label}}
    return body({"action": action, "issue": issue, "repository": REPOSITORY, "sender": ADA, **named, **fields})


def comment(
    text: str,
    *,
    number: int = 7,
    id: int = 501,  # noqa: A002 - GitHub's name
    second: float = 60,
    user: Any = BOB,
    action: str = "created",
) -> dict[str, Any]:
    return {
        "action": action,
        "issue": issue(number, "agent-ready"),
        "comment": {
            "id": id,
            "user": user,
            "body": text,
            "created_at": at(second),
            "updated_at": at(second),
            "html_url": f"https://github.com/acme/web/issues/{number}#issuecomment-{id}",
        },
        "repository": REPOSITORY,
        "sender": user,
    }


def pull(number: int = 12, *, second: float = 120, **fields: Any) -> dict[str, Any]:
    return {
        "id": 7000 + number,
        "number": number,
        "title": "Sum the lines",
        "body": "<!-- rig:pull acme/web#7 -->\nCloses #7",
        "state": "open",
        "draft": False,
        "merged": False,
        "merged_at": None,
        "merge_commit_sha": None,
        "merged_by": None,
        "html_url": f"https://github.com/acme/web/pull/{number}",
        "user": RIG_BOT,
        "head": {"ref": "rig/7-the-total-is-wrong", "sha": sha("head"), "repo": REPOSITORY},
        "base": {"ref": "main", "sha": sha("base"), "repo": REPOSITORY},
        "labels": [],
        "requested_reviewers": [],
        "updated_at": at(second),
        "closed_at": None,
        **fields,
    }


def merged(number: int = 12, *, merge: str = "merge", second: float = 300, **fields: Any) -> dict[str, Any]:
    """A pull request that was merged."""
    return pull(
        number,
        second=second,
        **{
            "state": "closed",
            "merged": True,
            "merged_at": at(second),
            "closed_at": at(second),
            "merge_commit_sha": sha(merge),
            "merged_by": BOB,
            **fields,
        },
    )


def pull_request(action: str, pull: dict[str, Any]) -> bytes:
    return body({"action": action, "number": pull["number"], "pull_request": pull, "repository": REPOSITORY})


def review(
    state: str,
    pull: dict[str, Any],
    *,
    id: int = 801,  # noqa: A002 - GitHub's name
    user: Any = REVIEW_BOT,
    second: float = 200,
    text: str = "",
) -> bytes:
    action = "dismissed" if state == "dismissed" else "submitted"
    told = {
        "id": id,
        "user": user,
        "state": state,
        "body": text,
        "commit_id": pull["head"]["sha"],
        "submitted_at": at(second),
        "html_url": f"{pull['html_url']}#pullrequestreview-{id}",
    }
    return body({"action": action, "review": told, "pull_request": pull, "repository": REPOSITORY})


def workflow_run(conclusion: str | None, *, run_id: int = 301, second: float = 100, **fields: Any) -> bytes:
    run = {
        "id": run_id,
        "name": "CI",
        "head_branch": "main",
        "head_sha": sha("main"),
        "status": "completed",
        "conclusion": conclusion,
        "event": "push",
        "head_repository": REPOSITORY,
        "run_attempt": 1,
        "html_url": f"https://github.com/acme/web/actions/runs/{run_id}",
        "updated_at": at(second),
        "pull_requests": [],
        **fields,
    }
    return body({"action": "completed", "workflow_run": run, "repository": REPOSITORY})


def deployment_status(commit: str, environment: str = "production", state: str = "success") -> bytes:
    return body(
        {
            "action": "created",
            "deployment": {"id": 601, "sha": commit, "environment": environment},
            "deployment_status": {
                "id": 602,
                "state": state,
                "environment_url": "https://shop.example",
                "created_at": at(400),
            },
            "repository": REPOSITORY,
        }
    )
