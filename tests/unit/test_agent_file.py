"""`.rig-agent.yaml`: what it may say, and that nothing in it can do harm."""

import pytest

from bridges.agent_file import MAX_BYTES, AgentFile, read
from schemas import Invalid


def problems(body: bytes) -> tuple[str, ...]:
    with pytest.raises(Invalid) as refused:
        read(body)
    return refused.value.problems


def test_it_says_what_a_repository_needs() -> None:
    body = b"stack: [python]\ntools: [node, docker]\ntest: make test\nbuild: make\nescalate: the shop's team\n"
    assert read(body) == AgentFile(
        stack=("python",), tools=("node", "docker"), test="make test", build="make", escalate="the shop's team"
    )


@pytest.mark.parametrize("body", [b"", b"# nothing yet\n", b"---\n", b"{}"])
def test_it_may_say_nothing(body: bytes) -> None:
    assert read(body) == AgentFile()


def test_a_list_may_be_a_line() -> None:
    assert read(b"stack: python\ntools: node, docker") == AgentFile(stack=("python",), tools=("node", "docker"))


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = problems(b"stack: [1]\ntool: x\nbuild: yes\ntest: ''\ntools: {a: b}\n")
    assert [problem.partition(":")[0] for problem in found] == ["tool", "stack", "tools", "test", "build"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"a: &a {b: 1}\nc: {<<: [*a, *a]}", "line 2: *a: aliases are not read"),
        (b"[" * 60_000, "line 1: nested too deeply"),
        (b"tools: " + b"[" * 60_000, "line 1: nested too deeply"),
        (b"stack: a\nstack: b\n", "line 2: stack: said twice"),
        (b"#" * (MAX_BYTES + 1), f"{MAX_BYTES + 1} bytes, at most {MAX_BYTES} are read"),
        (b"[python]", "not a mapping of words"),
        (b"1: python", "not a mapping of words"),
        (b"a: b: c", "not YAML: mapping values are not allowed"),
        (b"stack: a\n---\nbuild: b\n", "not YAML: expected a single document"),
        (b"stack: !!python/name:os.system", "not YAML: could not determine a constructor"),
        (b"build: 2024-99-99", "not YAML: month must be in 1..12"),
        (b"build: " + b"9" * 9_000, "not YAML: Exceeds the limit"),
        (b"\xff\xfe\x00", "not YAML: unacceptable character"),
        (b'? "\\e[31m"\n: x', "[31m: AgentFile has no such field"),
    ],
)
def test_what_harms_or_hides_is_refused(body: bytes, said: str) -> None:
    (problem,) = problems(body)
    assert problem.startswith(said)


def test_of_very_many_problems_some_are_said() -> None:
    found = problems(b"".join(b"key%d: x\n" % number for number in range(100)))
    assert (len(found), found[-1]) == (21, "and 80 more")
