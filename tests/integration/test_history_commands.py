"""`rig at`, `diff`, `verify`, `rebuild`, `migrate` on a real log and a real read side."""

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from bus import Bus, Expect
from conductor.postgres import connect
from conductor.projector.talk import EFFECTS
from conductor.shell import DECIDED_SUBJECT
from deploy.app import app
from deploy.embedded.nats import NatsServer
from schemas import Actor, Draft, EffectRecorded, IssueRef, WorkStarted
from tests.conftest import Connect
from tests.support.readside import database, projecting, reached, rows
from tests.support.servers import reaching
from tests.support.story import Story, sha
from tests.support.terminal import Said


class Typing:
    """Somebody types `rig …` where the rig is."""

    def __init__(self, server: NatsServer, home: Path, postgres_url: str) -> None:
        self.env = {
            **reaching(server, Actor.CLI),
            "RIG_HOME": str(home),
            "RIG_POSTGRES_URL": postgres_url,
            "TZ": "UTC",
        }

    async def __call__(self, *arguments: str) -> Said:
        def invoke() -> Said:
            result = CliRunner().invoke(app, arguments, env=self.env, catch_exceptions=False)
            return Said(result.exit_code, result.stdout, result.stderr)

        return await asyncio.to_thread(invoke)


@pytest.fixture
def rig(nats: NatsServer, tmp_path: Path, postgres_url: str) -> Typing:
    return Typing(nats, tmp_path, postgres_url)


@pytest.fixture
async def bus(connect_freely: Connect) -> Bus:
    """May say everybody's words, as they were said then."""
    return await connect_freely(Actor.CONDUCTOR)


@pytest.fixture
async def story(bus: Bus) -> Story:
    """One issue, merged; another that has begun."""
    story = Story()
    first = story.approve(1)
    story.to_merging(first)
    story.merge(first)
    story.approve(2, depends_on=(first,))
    story.rounds()
    await bus.log.append(story.log, expect=Expect(DECIDED_SUBJECT, 0))
    return story


async def test_the_rig_as_it_was_then(rig: Typing, story: Story) -> None:
    merging = next(at for at, said in enumerate(story.log, 1) if said.data.name() == "merge_requested")
    said = await rig("at", str(merging))
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"as of position {merging} of the log",
        "",
        "ISSUE        STATE    TRY  TITLE",
        "demo/shop#1  merging  1    Issue 1",
        "",
        "agents   dev-e-1",
    ]
    now = json.loads((await rig("at", str(len(story.log)), "--json")).out)
    assert {key: row["standing"]["state"] for key, row in now["tables"]["issues"].items()} == {
        "demo/shop#1": "done",
        "demo/shop#2": "assigned",
    }
    one = json.loads((await rig("at", str(len(story.log)), "--issue", "demo/shop#1", "--json")).out)
    assert {table: [*rows] for table, rows in one["tables"].items()} == {
        "issues": ["demo/shop#1"],
        "runs": ["demo/shop#1/r-1"],
        "merges": [f"demo/shop#1/{sha('m1')}"],
    }
    shown = (await rig("at", str(len(story.log)), "--issue", "demo/shop#1")).out
    assert "  title            Issue 1" in shown.splitlines()
    long_ago = await rig("at", "2d")
    assert long_ago.out.splitlines() == ["as of position 0 of the log", "", "no issues", "", "agents   none"]


async def test_what_the_read_side_leaves_out_is_left_out_there_too(
    rig: Typing, bus: Bus, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a table refuses, as its dead letter says; and what a model cannot take, also before any projector met it."""
    await (await connect(postgres_url, name="test")).close()
    async with database(postgres_url) as db:
        await db.execute("alter table rig.issues add constraint odd check (key <> 'demo/shop#2')")

    def fails(*_: object) -> None:
        raise ZeroDivisionError("one too many")

    monkeypatch.setattr("conductor.projector.projection.EFFECTS", replace(EFFECTS, fold=fails))
    story = Story()
    for number in (1, 2, 3):
        story.approve(number)
    story.say(Actor.LOCAL, IssueRef("demo", "shop", 1), EffectRecorded(effect="merge", key="1", outcome="done"))
    last = len(story.log)
    await bus.log.append(story.log, expect=Expect(DECIDED_SUBJECT, 0))
    early = await rig("at", str(last), "--json")
    assert (early.code, "demo/shop#2" in early.out) == (0, True), "nobody has refused it yet"
    async with projecting(bus, postgres_url):
        await reached(postgres_url, last)
        while len(await bus.dead.all()) < 2:
            pass
    found = json.loads((await rig("at", str(last), "--json")).out)["tables"]
    live = await rows(postgres_url, "select key, row::text from rig.issues")
    assert found["issues"] == {key: json.loads(row) for key, row in live}
    assert found["issues"].keys() == {"demo/shop#1", "demo/shop#3"}
    assert (await rig("diff", "1", str(last))).code == 0


async def test_another_issue_whose_name_ends_alike_is_not_shown_with_it(
    rig: Typing, connect_freely: Connect, story: Story
) -> None:
    dev_e = await connect_freely(Actor.DEV_E)
    begun = WorkStarted(epoch=1, run="r-9", agent="dev-e-9", branch="rig/9", session="s", provider="p")
    for owner in ("my-demo", "demo"):
        at = await dev_e.log.publish(Draft(about=IssueRef(owner, "shop", 2), data=begun), f"{owner}-began")
    found = json.loads((await rig("at", str(at), "--issue", "demo/shop#2", "--json")).out)
    assert [*found["tables"]["runs"]] == ["demo/shop#2/r-9"]
    everything = json.loads((await rig("at", str(at), "--json")).out)
    assert "my-demo/shop#2/r-9" in everything["tables"]["runs"]


async def test_what_changed_between_two_positions(rig: Typing, story: Story) -> None:
    last = len(story.log)
    said = await rig("diff", str(last), str(last))
    assert (said.code, said.out) == (0, f"from position {last} to {last}: no rows changed\n")
    approved = next(at for at, said in enumerate(story.log, 1) if said.about.__str__() == "demo/shop#2")
    found = json.loads((await rig("diff", str(approved - 1), str(approved), "--json")).out)
    (change,) = [change for change in found["changes"] if change["key"] == "demo/shop#2"]
    assert (change["table"], change["before"], change["after"]["title"]) == ("issues", None, "Issue 2")
    shown = (await rig("diff", str(approved - 1), str(last))).out.splitlines()
    assert "issues  demo/shop#2  is new" in shown


@pytest.mark.parametrize(
    ("typed", "code", "why"),
    [
        (("at", "999"), 2, "nobody knows yet what stands at 999"),
        (("at", "1", "--issue", "demo/shop#1"), 2, "there is no issue demo/shop#1 as of position 1"),
        (("at", "1", "--issue", "shop"), 2, "write OWNER/REPO#NUMBER"),
        (("at", "yesterday"), 2, "yesterday"),
        (("rebuild", "dead_letters"), 2, "dead_letters is of RIG_DEAD and not of the log: the projector makes it anew"),
        (("rebuild", "issues", "nonsense"), 2, "nonsense: no read model; there are issues, agents"),
    ],
)
async def test_what_was_asked_wrongly_is_named(
    rig: Typing, story: Story, typed: tuple[str, ...], code: int, why: str
) -> None:
    said = await rig(*typed)
    assert said.code == code
    assert why in said.err


async def test_the_read_side_is_compared_and_made_anew(rig: Typing, bus: Bus, story: Story, postgres_url: str) -> None:
    due = await rig("migrate", "--check", "--json")
    assert (due.code, json.loads(due.out)["applied"][0]) == (1, "0001_read_side.sql")
    assert (await rig("migrate")).out.splitlines()[0] == "done   0001_read_side.sql"
    assert (await rig("migrate")).out == "the tables are as this version needs them\n"
    assert (await rig("migrate", "--check")).code == 0
    early = await rig("migrate", "--post")
    assert (early.code, "the read side is at position 0 and the log at" in early.err) == (1, True)
    async with projecting(bus, postgres_url):
        await reached(postgres_url, len(story.log))
    assert (await rig("migrate", "--post")).code == 0
    assert (await rig("verify")).code == 0
    async with database(postgres_url) as db:
        await db.execute("delete from rig.runs")
    said = await rig("verify")
    assert said.code == 1
    assert said.out.splitlines()[-1] == "runs: 1 not as the log says: demo/shop#1/r-1"
    made = json.loads((await rig("rebuild", "runs", "--json")).out)
    assert made == {"position": len(story.log), "rows": {"runs": 1}}
    again = await rig("verify", "--json")
    assert (again.code, json.loads(again.out)["differs"]) == (0, {})


async def test_without_a_read_side_it_is_said_where_one_is_looked_for(rig: Typing) -> None:
    rig.env["RIG_POSTGRES_URL"] = "postgresql://rig@127.0.0.1:1/rig"
    said = await rig("migrate")
    assert said.code == 1
    assert "PostgreSQL" in said.err
    rig.env["RIG_POSTGRES_URL"] = ""
    said = await rig("verify")
    assert said.code == 1
    assert "no rig runs here, and RIG_POSTGRES_URL is not set" in said.err
