"""`rig doctor` asks who provides models, and spends nothing."""

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from agents.llm.config import Gateways, Provider
from agents.llm.look import Judged, Seen, judge, look
from deploy.app import app
from deploy.doctor import Verdict, of_models
from deploy.settings import Settings
from tests.support.models import Does, fails, gateways, prints, served

LISTED = prints(b'{"object":"list","data":[{"id":"gpt-5","object":"model"},{"id":"small"}]}', "application/json")


@pytest.fixture(autouse=True)
def no_machine_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.llm.look.ANSWER_SECONDS", 3_600.0)


async def seen(found: Gateways) -> list[Seen]:
    return [each async for each in look(found)]


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        (LISTED, Seen(provider="a", models=frozenset({"gpt-5", "small"}), missing=("other",))),
        (None, Seen(provider="a")),
        (prints(b"<html>", "text/html"), Seen(provider="a")),
        (fails(401), Seen(provider="a", problem="does not take the key: HTTP 401")),
        (fails(503), Seen(provider="a", problem="is in trouble: HTTP 503")),
    ],
)
async def test_what_a_provider_says(lists: Does | None, expected: Seen) -> None:
    async with served() as server:
        server.lists = lists
        assert await seen(gateways(server.url, "a/gpt-5", "a/other", embedding="a/small")) == [expected]
        assert [asked.headers["Authorization"] for asked in server.asked] == ["Bearer sk-secret-1"]


async def test_one_that_is_not_there_and_the_others_all_the_same() -> None:
    async with served() as gone:
        away = gone.url
    async with served() as server:
        server.lists = LISTED
        found = replace(
            gateways(server.url, "b/gpt-5"), providers={"a": Provider(url=away), "b": Provider(url=server.url)}
        )
        first, second = await seen(found)
    assert first.problem is not None
    assert first.problem.startswith("cannot be reached")
    assert second == Seen(provider="b", models=frozenset({"gpt-5", "small"}))


async def test_the_doctor_says_it(tmp_path: Path) -> None:
    async with served() as server:
        environ = {"RIG_HOME": str(tmp_path), "RIG_GATEWAY_URL": server.url, "RIG_GATEWAY_MODEL": "gpt-5,typo"}
        verdicts: list[tuple[Verdict, str]] = []
        for server.lists in (LISTED, None, fails(401)):
            [finding] = await of_models(Settings.read(environ))
            verdicts.append((finding.verdict, finding.what))
    assert verdicts == [(verdict, "models of gateway") for verdict in (Verdict.NOTE, Verdict.OK, Verdict.PROBLEM)]
    assert await of_models(Settings.read({"RIG_HOME": str(tmp_path)})) == []


async def test_a_characters_models_are_judged_by_who_is_configured() -> None:
    async with served() as gone:
        away = gone.url
    async with served() as server:
        server.lists = LISTED
        rig = gateways(server.url, "a/other")
        named = ("a/gpt-5", "a/other", "a/typo", "b/gpt-5")
        found = await judge(replace(rig, providers={**rig.providers, "c": Provider(url=away)}), (*named, "c/any"))
        assert found.problems == (
            "b/gpt-5: there is no provider 'b' (there is a, c)",
            "a/typo: a names 2 models, and not it",
        )
        [unknown] = found.unknown
        assert unknown.startswith("c/any: c cannot be reached")
        server.asked.clear()
        assert await judge(rig, ("a/other",)) == Judged()
        assert server.asked == [], "by the operator's word it is there"
        server.lists = None
        assert await judge(rig, ("a/typo",)) == Judged(unknown=("a/typo: a names no models",))


@pytest.mark.parametrize(
    ("character", "model", "code", "shown"),
    [
        ({"name": "ann-e", "llm": {"models": ["lab/m"]}}, None, 0, "its models were not judged: none are configured"),
        ({"name": "ann-e", "llm": {"models": ["gateway/small"]}}, "gpt-5", 0, "ann-e is right\n"),
        ({"name": "ann-e"}, "gpt-5", 0, "ann-e is right\n"),
        ({"name": "ann-e", "llm": {"models": ["gateway/tiny"]}}, "gpt-5", 2, "gateway names 2 models, and not it"),
        ({"name": "ann-e", "llm": {"models": ["lab/m"]}}, "gpt-5", 2, "llm: lab/m: there is no provider 'lab'"),
        ({"name": "ann-e"}, " ", 2, "RIG_GATEWAY_MODEL is not set"),
        ({"name": "dev-e"}, "gpt-5", 0, "dev-e is right\n"),
    ],
)
async def test_the_check_of_a_character_says_it(
    tmp_path: Path, character: dict[str, object], model: str | None, code: int, shown: str
) -> None:
    file = tmp_path / str(character["name"]) / "character.json"
    file.parent.mkdir()
    file.write_text(json.dumps(character))
    async with served() as server:
        server.lists = LISTED
        env = {} if model is None else {"RIG_GATEWAY_MODEL": model, "RIG_GATEWAY_URL": server.url}
        result = await asyncio.to_thread(CliRunner().invoke, app, ["agent", "check", str(file)], env=env)
    assert (result.exit_code, shown in result.output) == (code, True), result.output
