"""The commands without a rig: wrong input is one clear message and exit code 2, and nothing is even connected."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bridges.terminal import NoRig, add_commands


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
        (["publish", "IssueAproved"], "rig: 'IssueAproved' is no event type; did you mean IssueApproved"),
        (["publish", "Stopped", "issue=a/b#1"], "rig: Stopped: by: missing"),
        (["publish", "Stopped", "issue=a/b#1", "by=ann", "x=1"], "x: Stopped has no such field (it has by, note)"),
        (["publish", "Stopped", "a/b#1"], "rig: arguments: 'a/b#1' is not KEY=VALUE"),
        (["publish", "Merged", "issue=a/b#1"], "cli may not say Merged; local, github may"),
        (["publish", "Stopped", "by=ann", "--json", "-"], "rig: give KEY=VALUE or --json, not both"),
        (["publish", "Stopped", "--json", "/nowhere/x"], "rig: --json: cannot read /nowhere/x: No such file"),
        (["publish", "Stopped", "issue=a/b#1", "by=ann", "--id", "a b"], "rig: --id: 1 to 160 printable ASCII"),
        (["issue", "add", "a/b/c", "--title", "t"], "rig: 'a/b/c' is not a repository: write OWNER/REPO"),
        (["issue", "add", "a/b", "--title", "x" * 10_000], "rig: issue: title: expected one line of 1 to 300"),
        (["issue", "add", "a/b", "--title", "a\x1b[31m"], r"got 'a\x1b[31m'"),
        (["issue", "add", "a/b", "--title", "t", "--priority", "now"], "priority: expected one of critical, high"),
        (["issue", "add", "a/b", "--title", "t", "--depends-on", "x"], "rig: issue: depends_on: 'x' is not an issue"),
        (
            ["issue", "add", "a/b", "--title", "t", "--requires", "a b"],
            "rig: issue: requires: expected a name: 1 to",
        ),
        (["issue", "add", "a/b", "--title", "t", "--label", ""], "rig: issue: labels: expected one line of 1 to 300"),
        (["issue", "add", "a/b", "--title", "t", "--label", "\udcff"], "rig: issue: labels: not UTF-8 text"),
        (["issue", "add", "a/b", "--title", "t", "--milestone", " "], "rig: issue: milestone: expected one line of 1"),
        (["issue", "add", "a/b"], "Missing option '--title'"),
        (
            ["issue", "add", "a/b", "--title", "t", "--depends-on", "0"],
            "depends_on: '0' is not an issue: write N, from",
        ),
        (["issue", "acme/shop"], "rig: 'acme/shop' is not an issue: write acme/shop#N"),
        (["issue", "a/b#x"], "rig: 'a/b#x' is not an issue: write OWNER/REPO#NUMBER"),
        (["issue", "nonsense"], "No such command 'nonsense'"),
        (["issues", "--state", "lost"], "rig: --state: 'lost' is none of queued, assigned"),
        (["issues", "--limit", "1000"], "200"),
        (["spend", "--by", "colour"], "rig: --by: 'colour' is none of agent, role, repository, issue, day, model"),
        (["spend", "--since", "soon"], "rig: --since: 'soon' is no day (2026-01-31) and no number of days ago (7d)"),
        (["spend", "--since", "2026-02-30"], "rig: --since: '2026-02-30' is no day"),
        (["spend", "--until", "999999d"], "rig: --until: '999999d' is no day"),
        (["spend", "--since", "2026-02-02", "--until", "2026-02-01"], "--until: 2026-02-01 is before 2026-02-02"),
        (["spend", "--repository", "a/b/c"], "rig: 'a/b/c' is not a repository: write OWNER/REPO"),
        (["spend", "--limit", "1000"], "200"),
        (["tail", "--since", "soon"], "rig: --since: 'soon' is no position"),
        (["tail", "--type", "nothing"], "rig: 'nothing' is no event type"),
        (["tail", "--issue", "shop"], "rig: 'shop' is not an issue"),
        (
            ["memory", "add", "shop", "--kind", "fact", "--title", "t"],
            "rig: 'shop' is no scope: write rig, a repository",
        ),
        (["memory", "add", "user:", "--kind", "fact", "--title", "t"], "rig: 'user:' is no scope: write rig"),
        (["memory", "add", "team:a/b", "--kind", "fact", "--title", "t"], "rig: 'team:a/b' is no scope: write rig"),
        (["memory", "add", "user:a\x1bb", "--kind", "fact", "--title", "t"], "rig: 'user:ab' is no scope: write rig"),
        (["memory", "add", "rig", "--kind", "idea", "--title", "t"], "kind: expected one of learning, decision, error"),
        (["memory", "add", "rig", "--kind", "idea", "--title", ""], "rig: MemoryWritten: memory: expected one line"),
        (["memory", "add", "rig", "--kind", "fact", "--title", "t", "--tag", ""], "rig: MemoryWritten: tags: expected"),
        (["memory", "add", "rig", "--kind", "fact", "--title", "t", "--expires", "30"], "rig: --expires: '30' is not"),
        (["memory", "add", "rig", "--kind", "fact", "--title", "t", "--expires", "0d"], "rig: --expires: '0d' is not"),
        (["memory", "add", "rig", "--kind", "fact", "--title", "t", "--about", "a/b"], "rig: 'a/b' is not an issue"),
        (
            ["memory", "add", "rig", "--kind", "fact", "--title", "t", "--importance", "6"],
            "should be less than or equal to 5",
        ),
        (["memory", "add", "rig", "--kind", "fact", "--title", "t", "--text", "\udcff"], "text: not UTF-8 text"),
        (["memory", "forget", "rig"], "rig: forget what? give NAME, or --all for everything in that scope"),
        (["memory", "forget", "rig", "x", "--all"], "rig: forget what? give NAME, or --all"),
        (["memory", "forget", "rig", "x" * 301], "rig: MemoryForgotten: memory: expected one line of 1 to 300"),
        (["memory", "search"], "Missing argument 'WORDS…'"),
        (["memory", "search", "x", "--kind", "idea"], "rig: --kind: 'idea' is none of learning, decision, error"),
        (["memory", "search", "x", "--scope", "nowhere"], "rig: 'nowhere' is no scope: write rig, a repository"),
        (["memory", "search", "x" * 70_000], "rig: memory: query: expected text of at most 65536 characters"),
        (["memory", "search", "\udcff"], "rig: memory: WORDS: not UTF-8 text"),
        (["memory", "search", "x", "--limit", "51"], "should be less than or equal to 50"),
        (["memory", "list", "--tag", ""], "rig: memory: tags: expected one line of 1 to 300"),
        (["memory", "list", "--importance", "0"], "should be greater than or equal to 1"),
        (["dead", "retry", "7", "--reason", " "], "rig: --reason: one line of 1 to 300 characters"),
        (["dead", "drop", "7", "--reason", "x" * 301], "rig: --reason: one line of 1 to 300 characters"),
        (["dead", "drop", "7"], "Missing option '--reason'"),
        (["dead", "show", "x"], "should be a valid integer"),
        (["dead", "show", "0"], "should be greater than or equal to 1"),
        (["repo", "add", "/nowhere/x", "--check", "true"], "rig: /nowhere/x is not a directory"),
        (["repo", "add", ".", "--check", "true", "--name", "shop"], "rig: 'shop' is not a repository: write OWNER/"),
        (["repo", "add", ".", "--check", ""], "rig: repository: check: expected one line of 1 to 300"),
        (["repo", "add", ".", "--check", "true", "--reviewer", "a b"], "rig: repository: reviewers: "),
    ],
)
def test_wrong_input_is_one_clear_message_and_exit_code_2(app: typer.Typer, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split()).replace("│ ", "")


def test_what_is_typed_badly_does_not_steer_the_terminal(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["issue", "a\x1b]0;x\x07/b#1"])
    assert "\x1b" not in result.stderr


def test_a_directory_that_is_no_repository_is_named(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["repo", "add", str(tmp_path), "--check", "true"])
    assert result.exit_code == 2
    assert f"{tmp_path} is not a git repository" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["issues"],
        ["issue", "a/b#1"],
        ["issue", "--json", "a/b#1"],
        ["issue", "show", "a/b#1"],
        ["issue", "shop#1"],
        ["agents"],
        ["tail"],
        ["publish", "Stopped", "issue=a/b#1", "by=ann"],
        ["issue", "add", "shop", "--title", "t"],
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
