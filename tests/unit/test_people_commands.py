"""What people say, typed wrongly: one clear message, exit code 2, and nothing is even connected."""

import pytest
import typer
from typer.testing import CliRunner

from bridges.terminal import BadInput, NoRig, add_commands
from bridges.terminal.fleet import fleet
from bridges.terminal.pause import not_paused, pause_scope
from schemas import Paused, Resumed
from tests.support.told import Told


@pytest.fixture
def app() -> typer.Typer:
    """The terminal on a machine where asking for the rig is a failure of the test."""

    def find_server() -> str:
        raise AssertionError("it went on to connect")

    app = typer.Typer()
    add_commands(app, find_server)
    return app


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["issue", "stop", "shop"], "rig: 'shop' is not an issue: write shop#N"),
        (["issue", "stop", "a/b#1", "--note", "x" * 70_000], "rig: Stopped: note: expected text of at most"),
        (["issue", "priority", "a/b#1", "urgent"], "rig: PriorityChanged: priority: expected one of critical, high"),
        (["issue", "priority", "a/b#1"], "Missing argument 'PRIORITY'"),
        (["issue", "assign", "a/b#1", "dev e"], "rig: AssignRequested: to: expected a name"),
        (["issue", "answer", "a/b#1"], "Missing argument 'TEXT'"),
        (["issue", "answer", "a/b#1", "\udcff"], "rig: QuestionAnswered: answer: not UTF-8 text"),
        (["gate", "approve", "a/b#1"], "Missing option '--note'"),
        (["gate", "approve", "a/b#1", "--note", " "], "rig: GateApproved: note: expected one line of 1 to 300"),
        (["gate", "reject", "a/b#1", "--note", "n", "--reason", "x"], "rig: --reason: 'x' is none of sensitive_path"),
        (
            ["gate", "bypass", "a/b#1", "--note", "n", "--head", "abc"],
            "rig: --head: 'abc' is not how a commit id begins",
        ),
        (["gate", "bypass", "a/b#1", "--note", "n", "--head", "x" * 40], "is not how a commit id begins"),
        (["gate", "list", "--repo", "a/b/c"], "rig: 'a/b/c' is not a repository"),
        (
            ["pause", "roles:dev-e"],
            "rig: 'roles:dev-e' cannot be paused: write all, a repository like acme/web, or role",
        ),
        (["pause", "a/b/c"], "rig: 'a/b/c' is not a repository"),
        (["resume", "role:"], "rig: 'role:' cannot be paused"),
        (["pause", "--note", "\udcff"], "rig: Paused: note: not UTF-8 text"),
    ],
)
def test_wrong_input_is_one_clear_message_and_exit_code_2(app: typer.Typer, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split()).replace("│ ", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["issue", "stop", "a/b#1"],
        ["issue", "retry", "a/b#1"],
        ["issue", "priority", "a/b#1", "high"],
        ["issue", "assign", "a/b#1", "dev-e"],
        ["issue", "answer", "a/b#1", "yes"],
        ["issue", "withdraw", "a/b#1"],
        ["gate", "list"],
        ["gate", "approve", "a/b#1", "--note", "read it"],
        ["pause"],
        ["resume", "role:dev-e"],
        ["why", "a/b#1"],
        ["policy", "show"],
        ["budget"],
        ["budget", "raise", "day", "5", "--for", "4h", "--note", "n"],
        ["policy", "adopt", "-"],
    ],
    ids=" ".join,
)
def test_without_a_rig_every_command_says_so(arguments: list[str]) -> None:
    def find_server() -> str:
        raise NoRig("nothing holds ~/rig")

    app = typer.Typer()
    add_commands(app, find_server)
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "rig: no rig is running here: nothing holds ~/rig; start one with `rig up`\n"


class TestPauses:
    @pytest.mark.parametrize(
        ("typed", "scope"),
        [
            ("all", "all"),
            ("acme/web", "repository:acme/web"),
            ("repository:acme/web", "repository:acme/web"),
            ("role:dev-e", "role:dev-e"),
            ("web", None),
        ],
    )
    def test_what_is_meant(self, typed: str, scope: str | None) -> None:
        assert pause_scope(typed) == scope

    @pytest.mark.parametrize("typed", ["role:dev e", "day", "issue:a/b#1"])
    def test_what_cannot_be_paused(self, typed: str) -> None:
        if typed == "day":
            assert pause_scope(typed) is None, "a repository may be called so"
        else:
            with pytest.raises(BadInput):
                pause_scope(typed)

    def test_what_is_paused_is_the_last_word_of_each_scope(self) -> None:
        told = Told()
        for event in (
            Paused(scope="all", by="ann"),
            Paused(scope="role:dev-e", by="ann"),
            Resumed(scope="all", by="bob"),
            Resumed(scope="repository:a/b", by="bob"),
        ):
            told.say(event)
        known = fleet(told.log)
        assert list(known.paused) == ["role:dev-e"]
        assert known.switched["all"].position == 3
        assert not_paused("all", known) == "all is not paused; paused are role:dev-e"
        assert not_paused("all", fleet([])) == "all is not paused, and nothing else is"
