"""A made-up life of one issue on GitHub, and of its pull request: what was delivered of it, and how it ended.

GitHub's clock shows whole seconds, so some deliveries bear the same one.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.support.github_payloads import (
    REVIEW_BOT,
    at,
    body,
    comment,
    issue,
    issues,
    pull,
    pull_request,
    review,
    sha,
    workflow_run,
)

LABELS = (
    "agent-ready",
    "agent-ready",
    "agent-ready",
    "P0",
    "P1",
    "priority: low",
    "needs: docker",
    "bug",
    "rig: queued",
)
BODIES = ("Sum.", "Depends on #3", "Depends on #3, #4\nand more", "")
TITLES = ("The total is wrong", "The sum is wrong", "The total is\nwrong")


@dataclass
class Life:
    """`deliveries` in the order in which it happened."""

    random: Random
    ties: bool
    second: int = 0
    labels: set[str] = field(default_factory=set[str])
    fields: dict[str, Any] = field(default_factory=lambda: {"title": TITLES[0], "body": BODIES[0], "state": "open"})
    milestone: str | None = None
    called: str = "1.0"
    touched: int = 0
    shown: int = 0
    merged: int | None = None
    closed: bool = False
    said: int = 0
    deliveries: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])

    def issue(self) -> dict[str, Any]:
        """As the API has it."""
        milestone = None if self.milestone is None else {"title": self.milestone, "number": 2}
        return issue(7, *sorted(self.labels), second=self.touched, milestone=milestone, **self.fields)

    def pull(self) -> dict[str, Any]:
        """Its pull request, as the API has it."""
        told: dict[str, Any] = {"second": self.shown, "state": "closed" if self.closed else "open"}
        if self.closed:
            told |= {"closed_at": at(self.shown)}
        if self.merged is not None:
            told |= {"merged": True, "merged_at": at(self.merged), "merge_commit_sha": sha("merge")}
        return pull(12, **told)

    def tick(self) -> None:
        self.second += self.random.randint(0 if self.ties else 1, 3)

    def of_issue(self, action: str, label: str | None = None) -> None:
        self.touched = self.second
        self.deliveries.append(("issues", issues(action, self.issue(), label=label)))

    def of_pull(self, action: str) -> None:
        self.shown = self.second
        self.deliveries.append(("pull_request", pull_request(action, self.pull())))

    def about_the_issue(self) -> None:
        """Somebody does something to the issue."""
        match self.random.choice(("label", "label", "label", "edit", "close", "milestone", "rename")):
            case "label":
                label = self.random.choice(LABELS)
                self.labels ^= {label}
                self.of_issue("labeled" if label in self.labels else "unlabeled", label)
            case "edit":
                self.fields |= {"title": self.random.choice(TITLES), "body": self.random.choice(BODIES)}
                self.of_issue("edited")
            case "close":
                opened = self.fields["state"] == "open"
                self.fields |= {
                    "state": "closed" if opened else "open",
                    "state_reason": "completed" if opened else None,
                }
                self.of_issue("closed" if opened else "reopened")
            case "milestone":
                self.milestone = None if self.milestone else self.called
                self.of_issue("milestoned" if self.milestone else "demilestoned")
            case _:
                self.second += 1  # a rename and an edit of one second are told apart by nobody
                was, self.called = self.called, f"1.{self.second}"
                self.milestone = self.called if self.milestone else None
                told = {"title": self.called, "number": 2, "updated_at": at(self.second)}
                named = {
                    "milestone": told,
                    "changes": {"title": {"from": was}},
                    "repository": {"full_name": "acme/web"},
                }
                self.deliveries.append(("milestone", body({"action": "edited", **named})))
                self.second += 1

    def about_the_pull_request(self) -> None:
        """Somebody does something to the pull request, or speaks."""
        self.said += 1
        match self.random.choice(("merge", "close", "push", "command", "review", "dismiss", "run")):
            case "merge" if self.merged is None and not self.closed:
                self.merged, self.closed = self.second, True
                self.of_pull("closed")
                if self.fields["state"] == "open":
                    self.fields |= {"state": "closed", "state_reason": "completed"}
                    self.of_issue("closed")
            case "close" if self.merged is None:
                self.second += 1
                self.closed = not self.closed
                self.of_pull("closed" if self.closed else "reopened")
                self.second += 1
            case "command":
                command = self.random.choice(("/rig stop", "/rig retry", "/rig priority high", "Thanks!"))
                told = comment(command, id=self.said, second=self.second)
                self.deliveries.append(("issue_comment", body(told)))
            case "review":
                told = review("approved", self.pull(), id=self.said, second=self.second)
                self.deliveries.append(("pull_request_review", told))
            case "dismiss":
                self.shown = self.second
                one = self.random.randint(1, self.said)
                told = review("dismissed", self.pull(), id=one, second=self.second, user=REVIEW_BOT)
                self.deliveries.append(("pull_request_review", told))
            case "run":
                conclusion = self.random.choice(("success", "failure", "cancelled"))
                self.second += 1
                self.deliveries.append(("workflow_run", workflow_run(conclusion, run_id=self.said, second=self.second)))
            case _:
                self.of_pull("synchronize")


def life(random: Random, *, ties: bool, pull_request: bool) -> Life:
    """An issue from its first day; or one that is worked on, with its pull request."""
    it = Life(random, ties)
    if pull_request:
        it.labels.add("agent-ready")
        it.of_issue("opened")
        it.second = it.shown = 150
    else:
        it.of_issue("opened")
    for _ in range(random.randint(2, 14)):
        it.tick()
        if pull_request and random.random() < 0.6:
            it.about_the_pull_request()
        else:
            it.about_the_issue()
    return it
