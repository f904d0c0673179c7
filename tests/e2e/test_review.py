"""The whole rig with a reviewer of its own: what is disputed is done again, and merged once it has passed."""

from pathlib import Path

import pytest

from schemas import (
    Actor,
    AssignReason,
    IssueAssigned,
    IssueDone,
    Merged,
    ModelUsed,
    RepoRef,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
)
from tests.support.models import says, served
from tests.support.reviews import MODEL, answer, finding
from tests.support.shop import new_repository, shop
from tests.support.watched import alarms

SHOP = RepoRef("demo", "shop")
CODER = """command: sh -c 'if grep -q "It must add."; then echo "a + b"; else echo "a - b"; fi > total.py'"""
"""Does right once it is told."""


async def test_a_disputed_change_is_done_again_and_merged_once_it_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = new_repository(tmp_path / "shop", {"README": "x\n"})
    async with served() as model:
        model.does[MODEL] = [says(answer("dispute", finding(text="It must add."))), says(answer("pass"))]
        monkeypatch.setenv("RIG_GATEWAY_URL", model.url)
        monkeypatch.setenv("RIG_GATEWAY_MODEL", MODEL)
        async with shop(tmp_path, coder=CODER, reviewers=1) as running:
            await running.serve(SHOP, path, "test -f total.py", reviewers=("review-e",))
            issue = await running.ask(SHOP, "Add up")
            end = await running.end_of(issue)
            log = await running.log()
    said = [item.event.data for item in log if item.event.about == issue]
    assert isinstance(end.event.data, IssueDone)
    verdicts = [data for data in said if isinstance(data, ReviewDisputed | ReviewPassed)]
    assert [type(verdict) for verdict in verdicts] == [ReviewDisputed, ReviewPassed]
    asked = [data.head_sha for data in said if isinstance(data, ReviewRequested)]
    assert [verdict.head_sha for verdict in verdicts] == asked
    assert [data.head_sha for data in said if isinstance(data, Merged)] == asked[1:]
    reasons = [data.reason for data in said if isinstance(data, IssueAssigned)]
    assert reasons == [AssignReason.NEW, AssignReason.REVIEW_DISPUTED]
    assert (path / "total.py").read_text() == "a + b\n"
    told = [each.body["messages"][1]["content"] for each in model.asked]
    reviewed = [text for text in told if text.startswith("The change is for")]
    assert len(reviewed) == 2, "and what else it was asked is what is to be learned"
    assert "total.py:1: It must add." in reviewed[1]
    used = [(item.event.actor, item.event.data) for item in log if isinstance(item.event.data, ModelUsed)]
    of_reviews = [(actor, data.issue) for actor, data in used if data.purpose == "review"]
    assert of_reviews == [(Actor.REVIEW_E, issue)] * 2
    assert alarms(log) == []
