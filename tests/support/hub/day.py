"""A day at acme/shop, as people have it: issues that are wanted, changed, given up; pull requests of theirs.

Every step is a minute after the one before it, by GitHub's clock, except where several things happen in one second.
"""

import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from tests.support.hub import Hub

__all__ = ["DELIVERIES", "a_day"]

SHOP = "/repos/acme/shop"
DELIVERIES = 57
"""How many webhooks it makes."""


def a_day(github: Hub, scratch: Path) -> None:
    """Lives it. In the end the clock is right again."""
    before = len(github.log)
    minutes = 60 * 24
    for _ in _steps(github, scratch):
        minutes -= 1
        github.set_clock(timedelta(minutes=-minutes))
    github.set_clock(timedelta())
    github.wait_logged(before + DELIVERIES)


def _steps(github: Hub, scratch: Path) -> Iterator[None]:
    yield
    maria, rita, olaf, ci = (github.person(login) for login in ("maria", "rita", "olaf", "ci"))

    def issue(title: str, *labels: str, body: str = "") -> str:
        made = maria.post(f"{SHOP}/issues", {"title": title, "body": body, "labels": list(labels)})
        return f"{SHOP}/issues/{made['number']}"

    # 1: somebody asks, an owner wants it, and it becomes urgent.
    first = f"{SHOP}/issues/{olaf.post(f'{SHOP}/issues', {'title': 'The total is wrong'})['number']}"
    yield
    maria.post(f"{first}/labels", {"labels": ["agent-ready"]})
    yield
    olaf.post(f"{first}/comments", {"body": "/rig stop"})  # he may not
    yield
    maria.post(f"{first}/comments", {"body": "/rig priority critical"})
    yield
    maria.post(f"{first}/comments", {"body": "Rather not.\n\n/rig priority high"})
    yield
    maria.patch(first, {"title": "The total is wrong by a cent"})
    yield
    # 2: waits for others, and for more of them later.
    second = issue("Show the total", "agent-ready", "priority: low", body="Depends on #1")
    yield
    maria.post(f"{SHOP}/milestones", {"title": "Spring"})
    maria.patch(second, {"milestone": 1})
    yield
    maria.patch(second, {"body": "Depends on #1\nDepends on #3"})
    yield
    # 3: wanted, and not any more.
    third = issue("A third thing", "agent-ready")
    yield
    maria.delete(f"{third}/labels/agent-ready")
    yield
    # 4: closed, and wanted again.
    fourth = issue("A fourth thing", "agent-ready", "P1")
    yield
    maria.patch(fourth, {"state": "closed", "state_reason": "not_planned"})
    yield
    maria.patch(fourth, {"state": "open"})
    yield
    # 5: closed for good; and all of its labels in one second.
    fifth = issue("A fifth thing")
    for label in ("agent-ready", "bug", "priority: high"):
        maria.post(f"{fifth}/labels", {"labels": [label]})
    yield
    maria.patch(fifth, {"state": "closed"})
    yield
    # 6: a person does it, and it is merged.
    issue("A sixth thing", "agent-ready")
    yield
    head = _push(github, scratch, "sixth", "sixth.txt")
    yield
    asked = {"title": "Do the sixth thing", "head": "sixth", "base": "main", "body": "Closes #6"}
    pull = f"{SHOP}/pulls/{maria.post(f'{SHOP}/pulls', asked)['number']}"
    yield
    run = ci.post(f"{SHOP}/check-runs", {"name": "test", "head_sha": head, "status": "in_progress"})
    yield
    ci.patch(f"{SHOP}/check-runs/{run['id']}", {"status": "completed", "conclusion": "success"})
    yield
    rita.post(f"{pull}/reviews", {"event": "COMMENT", "body": "Looking."})
    yield
    rita.post(f"{pull}/reviews", {"event": "APPROVE", "body": "Good."})
    yield
    maria.put(f"{pull}/merge", {"sha": head, "merge_method": "squash"})
    yield
    # 8 (7 was the pull request): another, whose pull request is given up.
    issue("An eighth thing", "agent-ready", "needs: node")
    yield
    _push(github, scratch, "eighth", "eighth.txt")
    yield
    asked = {"title": "Do the eighth thing", "head": "eighth", "base": "main", "body": "Fixes #8", "draft": True}
    other = f"{SHOP}/pulls/{maria.post(f'{SHOP}/pulls', asked)['number']}"
    yield
    review = rita.post(f"{other}/reviews", {"event": "REQUEST_CHANGES", "body": "Not like this."})
    yield
    maria.put(f"{other}/reviews/{review['id']}/dismissals", {"message": "She changed her mind."})
    yield
    _push(github, scratch, "eighth", "more.txt")
    yield
    maria.patch(other, {"state": "closed"})
    yield
    # 10: stopped and asked for again.
    tenth = issue("A tenth thing", "agent-ready")
    yield
    maria.post(f"{tenth}/comments", {"body": "/rig stop not now"})
    yield
    rita.post(f"{tenth}/comments", {"body": "/rig retry"})
    yield
    rita.post(f"{tenth}/comments", {"body": "/rig priority low"})
    yield
    # 11: to and fro, and changed in between.
    eleventh = issue("An eleventh thing", "agent-ready")
    for label in ("priority: high", "bug", "docs"):
        yield
        maria.post(f"{eleventh}/labels", {"labels": [label]})
        yield
        maria.patch(eleventh, {"body": f"With {label}"})
    yield
    maria.delete(f"{eleventh}/labels/agent-ready")
    yield
    maria.post(f"{eleventh}/labels", {"labels": ["agent-ready"]})
    yield
    maria.delete(f"{eleventh}/labels/docs")
    yield
    maria.post(f"{eleventh}/assignees", {"assignees": ["rita"]})
    yield
    # 12: waits for one that is withdrawn, and says so in the words that count.
    issue("A twelfth thing", "agent-ready", body="Depends on acme/shop#11, and later.\n\nDepends on #4")
    yield
    # 13: never wanted.
    thirteenth = issue("A thirteenth thing", "question")
    yield
    olaf.post(f"{thirteenth}/comments", {"body": "/rig retry"})
    yield
    maria.patch(thirteenth, {"state": "closed"})
    yield


def _push(github: Hub, scratch: Path, branch: str, path: str) -> str:
    """A commit with a new file, on top of the branch or of main; its id."""
    env = {**os.environ, "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
    where, place = github.path("acme/shop"), scratch / "clone"

    def git(*arguments: str, cwd: Path = place) -> str:
        who = ("-c", "user.name=Maria", "-c", "user.email=maria@example.invalid")
        done = subprocess.run(["git", *who, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    if not place.exists():
        scratch.mkdir(parents=True, exist_ok=True)
        git("clone", "--quiet", str(where), str(place), cwd=scratch)
    git("fetch", "--quiet")
    start = f"origin/{branch}" if f"origin/{branch}" in git("branch", "--remotes") else "origin/main"
    git("checkout", "--quiet", "-B", branch, start)
    (place / path).write_text("one line\n")
    git("add", "--all")
    git("commit", "--quiet", "-m", f"Add {path}")
    git("push", "--quiet", "origin", branch)
    github.pushed("acme/shop")
    return git("rev-parse", "HEAD")
