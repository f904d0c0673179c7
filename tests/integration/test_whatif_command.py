"""`rig whatif` on a real log, written as a story told it: what would have been otherwise, and that nothing changes."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bus import Bus, Expect
from conductor.shell import DECIDED_SUBJECT
from deploy.app import app
from deploy.embedded.nats import NatsServer
from schemas import Actor, Changes, Decided, Event, IssueAssigned, MergeRequested
from tests.conftest import Connect
from tests.support.servers import reaching
from tests.support.story import FREE, Story, sha
from tests.support.terminal import Said

SAME = "[budget]\nrun_usd = 0\n"
"""The policy of the story."""


class Typing:
    """Somebody types `rig whatif …` where the rig is."""

    def __init__(self, server: NatsServer, home: Path) -> None:
        self._env = {**reaching(server, Actor.CLI), "RIG_HOME": str(home), "TZ": "UTC"}

    async def __call__(self, *arguments: str, policy: str) -> Said:
        def invoke() -> Said:
            argv = ["whatif", "--policy", "-", *arguments]
            result = CliRunner().invoke(app, argv, input=policy, env=self._env, catch_exceptions=False)
            return Said(result.exit_code, result.stdout, result.stderr)

        return await asyncio.to_thread(invoke)


@pytest.fixture
def rig(nats: NatsServer, tmp_path: Path) -> Typing:
    return Typing(nats, tmp_path)


@pytest.fixture
async def bus(connect_freely: Connect) -> Bus:
    """May say everybody's words, as they were said then."""
    return await connect_freely(Actor.CONDUCTOR)


@pytest.fixture
async def story(bus: Bus) -> Story:
    """Three issues begin at once; the first, of two files, is merged, and a fourth has its slot."""
    story = Story(slots=3)
    first = story.approve(1)
    for number in (2, 3):
        story.approve(number)
    story.to_merging(first, changes=Changes(files=2, lines=4, paths=("cart.py", "total.py")))
    story.merge(first)
    story.approve(4, depends_on=(first,))
    story.rounds()
    await bus.log.append(story.log, expect=Expect(DECIDED_SUBJECT, 0))
    return story


async def test_the_same_policy_makes_no_difference(rig: Typing, story: Story, bus: Bus) -> None:
    said = await rig(policy=SAME)
    rounds = len(story.said(Decided))
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[0] == f"policy {FREE.digest()}: {rounds} rounds decided once more"
    assert said.out.splitlines()[-1] == "no difference"
    last = await bus.log.last()
    assert last is not None
    assert last.position == len(story.log), "nothing was written"


async def test_what_differs_is_shown_with_what_rests_on_it(rig: Typing, story: Story) -> None:
    merge, after = rounds_with(story, MergeRequested)[0], rounds_with(story, IssueAssigned)[-1]
    said = await rig(policy=f"{SAME}[gates]\nfiles_max = 1\n")
    assert said.code == 0
    assert [line.split() for line in said.out.splitlines() if line.startswith(("merge", "gate"))] == [
        ["merge", "requested", "1", "0"],
        ["gate", "triggered", "0", "1"],
    ]
    head = sha("h1")[:9]
    assert (
        said.out[said.out.index("1 difference;") :]
        == f"""\
1 difference; up to position {merge} there is none.
From there on the log tells what followed from decisions that would not have been taken. What is said
of others there is what this policy says to the facts as recorded: slots, money and trust are as they were.

{merge:>6}  2026-01-01 09:00:00  demo/shop#1
        recorded         merge of {head} onto bbbbbbbbb asked for
                         merge due by 2026-01-01 09:05:00 UTC
        would have been  waits for a person, size at {head}: 2 files, 4 lines; 1 and 500 go unseen
                         gate due by 2026-01-01 09:30:00 UTC
        1 later decision about it left out

demo/shop#4 rests on demo/shop#1 from position {after} on, and is not compared any further
3 recorded decisions not compared: what led there might have been otherwise
"""
    )
    answer = (await rig("--json", policy=f"{SAME}[gates]\nfiles_max = 1\n")).json()
    assert (answer["same_before"], answer["left_out"], len(answer["differences"])) == (merge, 3, 1)
    assert [word["kind"] for word in answer["differences"][0]["would"]] == ["gate_triggered", "deadline_set"]


async def test_as_many_differences_as_are_asked_for_and_from_when_on(rig: Typing, story: Story) -> None:
    fewer = f"repository_in_progress_max = 1\n{SAME}"
    whole = await rig(policy=fewer)
    assert "demo/shop#3\n" in whole.out
    one = await rig("--limit", "1", policy=fewer)
    assert "demo/shop#3\n" not in one.out
    assert "… and 2 more (--limit)\n" in one.out
    assert (await rig("--since", "1h", policy=fewer)).out == whole.out
    last = rounds_with(story, IssueAssigned)[-1]
    later = (await rig("--json", "--since", str(last), policy=fewer)).json()
    assert [(each["position"], each["about"]) for each in later["differences"]] == [(last, "demo/shop#4")]
    for since in (str(len(story.log) + 1), "2999-01-01"):
        nothing = await rig("--since", since, policy=fewer)
        assert nothing.out.splitlines()[-1] == "nothing to compare: no round of these rules from there on"
    length = await rig(policy=f"claim_seconds = 200\nrun_seconds = 9000\n{SAME}")
    assert "  claim: 300 s → 200 s (4, the first at position " in length.out
    assert length.out.endswith("no other difference\n")


async def test_a_bad_policy_is_refused_with_everything_that_is_wrong(rig: Typing) -> None:
    said = await rig(policy='patience = 1\nattempts_max = -1\nrun_seconds = "90m"\n')
    assert (said.code, said.out) == (2, "")
    wrong = [line.strip().partition(":")[0] for line in said.err.splitlines()]
    assert wrong == ["rig", "patience", "attempts_max", "run_seconds"]
    soon = await rig("--since", "soon", policy=SAME)
    assert (soon.code, soon.err[:28]) == (2, "rig: --since: 'soon' is no p")


async def test_an_empty_log_has_nothing_to_compare(rig: Typing, connect: Connect) -> None:
    await connect(Actor.CLI)  # makes the streams
    assert (await rig(policy="")).out.splitlines()[-1].startswith("nothing to compare")


def rounds_with(story: Story, kind: type[Event]) -> list[int]:
    """The positions of the rounds that say it."""
    found: list[int] = []
    for place, event in enumerate(story.log, start=1):
        batch = story.log[place : place + event.data.count] if isinstance(event.data, Decided) else []
        if any(isinstance(decision.data, kind) for decision in batch):
            found.append(place)
    return found
