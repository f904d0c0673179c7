"""dev-e with the real Claude Code CLI, from a labelled issue to a merged pull request; its model reads from a script.

GitHub is the one of tests/support/hub. A reviewer asks for changes once: the second run goes on with the conversation
of the first, or the model has nothing to say to it (see tests/peers/model.mjs).
"""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conductor.replay import history_of, replay
from schemas import (
    AssignReason,
    CommandBlocked,
    IssueAssigned,
    IssueDone,
    IssueRef,
    Merged,
    PullRequestOpened,
    PullRequestUpdated,
    ReviewDisputed,
    ReviewPassed,
    TokensUsed,
    WorkPushed,
    WorkStarted,
)
from tests.e2e.test_github_story import API, put_under_the_rig, text_at
from tests.support import sandboxes
from tests.support.bridge import config
from tests.support.claude import program
from tests.support.hub import Delivery, Hub, hub
from tests.support.model import model, says, uses
from tests.support.shop import shop
from tests.support.watched import alarms

pytestmark = pytest.mark.peer

ISSUE = IssueRef("acme", "shop", 1)
WISH = "Please say `right`, and nothing else."
FIRST = [
    uses("Read", file_path="total.txt"),
    uses("Edit", file_path="total.txt", old_string="broken", new_string="nearly"),
    uses("Bash", command="sudo reboot", description="Try"),
    says("The total is mended."),
]
SECOND = [
    uses("Read", file_path="total.txt"),
    uses("Edit", file_path="total.txt", old_string="nearly", new_string="right"),
    says("It says right now."),
]


async def test_changes_that_a_reviewer_asks_for_are_made_in_the_same_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandboxed, keys = sandboxes.offered(monkeypatch), tmp_path / "home" / "keys"
    look = uses("Bash", command=f"ls {keys}", description="Look for keys")
    rounds = [*FIRST[:-1], look, FIRST[-1]], SECOND
    with hub(tmp_path / "git", files={"total.txt": "broken\n"}) as github, model(*rounds) as served:
        for name, value in {"BASE_URL": served.url, "API_KEY": "none"}.items():
            monkeypatch.setenv(f"ANTHROPIC_{name}", value)
        monkeypatch.setenv("IS_SANDBOX", "1")
        maria, configured = github.person("maria"), config(github)
        github.deliver_to(f"http://{configured.http}/webhooks/github")
        coder = f"claude: program={program()}"
        async with shop(tmp_path, coder=coder, github=configured, agents=2) as running:
            reviewing = asyncio.create_task(review(github))
            await put_under_the_rig(tmp_path / "home", "--check", "grep -v broken total.txt", "--reviewer", "rita")
            maria.post(f"{API}/issues", {"title": "The total is wrong", "body": "It is broken."})
            maria.post(f"{API}/issues/1/labels", {"labels": ["agent-ready"]})
            end = await running.end_of(ISSUE)
            reviewing.cancel()
            assert isinstance(end.event.data, IssueDone), end.event.data
            log = await running.log()
        asked, total = served.asked(), text_at(github, "main")
        assert maria.get(f"{API}/issues/1")["state"] == "closed"

    said = [item.event.data for item in log if item.event.about == ISSUE]
    counts = Counter(type(event) for event in said)
    assert (counts[PullRequestOpened], counts[PullRequestUpdated], counts[Merged]) == (1, 1, 1)
    assert (counts[ReviewDisputed], counts[ReviewPassed], counts[WorkPushed]) == (1, 1, 2)
    again = [event for event in said if isinstance(event, IssueAssigned)][1]
    assert again.reason is AssignReason.REVIEW_DISPUTED
    first, second = (event for event in said if isinstance(event, WorkStarted))
    assert first.session == again.resume == second.session
    assert first.provider == second.provider == "claude"
    assert total == "right"

    first_prompt, last = str(asked[0]["messages"]), str(asked[-1]["messages"])
    assert "It is broken." in first_prompt
    assert WISH in last
    assert "The total is mended." in last, "the model remembers what it has said before"
    (blocked,) = (event for event in said if isinstance(event, CommandBlocked))
    assert (blocked.run, blocked.command) == (first.run, "sudo reboot")
    seen = [message["content"] for message in asked[-1]["messages"] if message["role"] == "tool"][len(FIRST) - 1]
    assert (f"cannot access '{keys}'" in seen) == (sandboxed is not None), "where there is a sandbox, it is kept in it"
    used = [event for event in said if isinstance(event, TokensUsed)]
    assert [(event.provider, event.input, event.output) for event in used] == [("claude", 500, 50), ("claude", 300, 30)]
    assert used[0].cost_usd == pytest.approx((used[1].cost_usd or 0) / 3 * 5), "of this run, not of the conversation"
    assert used[0].model.startswith("claude-")
    assert replay(history_of(log)).differences == ()
    assert alarms(log) == [], "the watch was content all the time"


async def review(github: Hub) -> None:
    """A CI to which all is well, and rita: she asks for changes until it says `right`."""
    seen, reviewed = 0, set[str]()
    while True:
        for delivery in github.log[seen:]:
            seen += 1
            await asyncio.to_thread(react, github, delivery, reviewed)
        await asyncio.sleep(0.01)


def react(github: Hub, delivery: Delivery, reviewed: set[str]) -> None:
    if delivery.event != "pull_request":
        return
    pull: dict[str, Any] = delivery.parsed["pull_request"]
    action, head = delivery.parsed["action"], pull["head"]["sha"]
    if action in ("opened", "synchronize"):
        run = {"name": "total", "head_sha": head, "status": "completed", "conclusion": "success"}
        github.person("ci").post(f"{API}/check-runs", run)
    asked = "rita" in [reviewer["login"] for reviewer in pull["requested_reviewers"]]
    if action in ("synchronize", "review_requested") and asked and head not in reviewed:
        reviewed.add(head)
        right = text_at(github, head) == "right"
        verdict = {"event": "APPROVE", "body": "Good."} if right else {"event": "REQUEST_CHANGES", "body": WISH}
        github.person("rita").post(f"{API}/pulls/{pull['number']}/reviews", verdict)
