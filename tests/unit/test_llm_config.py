"""What the operator and a character say about models: read with all problems at once; chains, prices, circuits."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from agents.llm.chain import chain, problems
from agents.llm.config import Gateways, LlmConfig, ModelFacts, Provider, Route
from agents.llm.errors import Failure
from agents.llm.gateways import load, one, wrong_url
from agents.llm.messages import ErrorKind, TaskKind, Tokens
from agents.llm.prices import at_most, cost
from agents.llm.standing import LONGEST_OPEN, OPEN, TROUBLES, Standing
from schemas import Invalid

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
FILE = """
chain = ["openai/gpt-5", "local/qwen3"]
embedding = "openai/small"
[routes]
cheapest = ["local/qwen3"]
[providers.openai]
url = "https://api.openai.com/v1/"
key_env = "OPENAI"
[providers.local]
url = "http://127.0.0.1:11434/v1"
key_file = "key"
headers = { x-title = "rig" }
[models."openai/gpt-5"]
input_usd = 1.25
output_usd = 10.0
context_tokens = 400_000
"""


def test_a_file_says_it_all(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-local\n")
    file = tmp_path / "gateways.toml"
    file.write_text(FILE)
    found = load(file, {"OPENAI": "sk-openai"})

    assert found == Gateways(
        providers={
            "openai": Provider(url="https://api.openai.com/v1", key="sk-openai"),
            "local": Provider(url="http://127.0.0.1:11434/v1", key="sk-local", headers={"x-title": "rig"}),
        },
        chain=("openai/gpt-5", "local/qwen3"),
        routes={Route.CHEAPEST: ("local/qwen3",)},
        models={"openai/gpt-5": ModelFacts(input_usd=1.25, output_usd=10.0, context_tokens=400_000)},
        embedding="openai/small",
    )
    assert found.confidential == ("sk-openai", "sk-local")
    assert "sk-" not in repr(found)


def test_all_that_is_wrong_is_said_at_once_and_no_key(tmp_path: Path) -> None:
    file = tmp_path / "gateways.toml"
    file.write_text("""
colour = 1
chain = ["gpt-5", "nobody/x"]
embedding = 3
[routes]
prettiest = ["openai/x"]
fastest = ["openai/a b"]
[providers.openai]
url = "http://api.openai.com/v1"
key = "sk-secret"
key_env = "OPENAI"
[providers.two]
url = "https://two.example/v1"
kee = "sk-secret"
[providers.three]
url = "https://u:sk-secret@three.example/v1"
key_file = "nowhere"
[models."openai/gpt-5"]
input_usd = -1
""")
    with pytest.raises(Invalid) as error:
        load(file, {})

    said = "\n".join(error.value.problems)
    for part in (
        "colour: there is no such part",
        "chain: 'gpt-5' names no model",
        "nobody/x: there is no provider 'nobody' (there is openai, two, three)",
        "embedding:",
        "routes: ",
        "routes.fastest: 'openai/a b' names no model",
        "providers.openai.url: http would send",
        "providers.openai: the key is said more than once",
        "providers.two: ",
        "providers.three.url: a URL without login",
        "providers.three.key_file: nowhere cannot be read",
        "models.openai/gpt-5: ",
    ):
        assert part in said
    assert "sk-secret" not in said


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        load(tmp_path / "nowhere", {})
    (tmp_path / "empty").write_text("")
    with pytest.raises(Invalid, match="providers: there is none"):
        load(tmp_path / "empty", {})


def test_one_endpoint_needs_no_file() -> None:
    found = one("http://127.0.0.1:18789/v1/", "sk-1", "openclaw/default, openai/gpt-5")
    assert found.chain == ("gateway/openclaw/default", "gateway/openai/gpt-5")
    assert found.providers == {"gateway": Provider(url="http://127.0.0.1:18789/v1", key="sk-1")}

    with pytest.raises(Invalid) as error:
        one("ftp://x", "two words", "")
    assert len(error.value.problems) == 3


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://api.openai.com/v1", False),
        ("http://localhost:11434/v1", False),
        ("http://[::1]:1/v1", False),
        ("http://10.0.0.4:8000/v1", False),
        ("http://openclaw:18789/v1", False),
        ("http://llm.models.svc.cluster.local/v1", False),
        ("http://api.openai.com/v1", True),
        ("http://8.8.8.8/v1", True),
        ("https://x.example/v1?key=1", True),
        ("https://me@x.example/v1", True),
        ("https://x.example:0/v1", True),
        ("https://x .example/v1", True),
        ("https:///v1", True),
        ("x.example/v1", True),
    ],
)
def test_a_key_goes_nowhere_in_the_clear(url: str, wrong: bool) -> None:
    assert (wrong_url(url) is not None) == wrong


def test_a_route_comes_before_the_chain_and_prices_say_what_is_cheap() -> None:
    cheap, dear = ModelFacts(input_usd=0.1, output_usd=0.4), ModelFacts(input_usd=1.0, output_usd=8.0)
    found = Gateways(
        providers={"a": Provider(url="")},
        chain=("a/unknown", "a/dear", "a/cheap"),
        routes={Route.STRONGEST: ("a/wise", "a/dear")},
        models={"a/cheap": cheap, "a/dear": dear},
    )
    llm = LlmConfig(routes={TaskKind.CHAT: Route.FASTEST, TaskKind.LEARNING: Route.CHEAPEST})

    assert chain(found, LlmConfig(), TaskKind.CHAT) == ("a/unknown", "a/dear", "a/cheap")
    assert chain(found, LlmConfig(), TaskKind.SUMMARY) == ("a/cheap", "a/dear", "a/unknown")
    assert chain(found, LlmConfig(), TaskKind.ADVICE) == ("a/wise", "a/dear", "a/unknown", "a/cheap")
    assert chain(found, LlmConfig(models=("a/own",)), TaskKind.REVIEW) == ("a/wise", "a/dear", "a/own")
    assert chain(found, llm, TaskKind.CHAT) == found.chain
    assert chain(found, llm, TaskKind.SUMMARY) == found.chain


def test_a_characters_models_are_there_or_it_is_said() -> None:
    found = Gateways(providers={"a": Provider(url="")}, chain=())
    assert list(problems(found, LlmConfig(models=("a/x",)))) == []
    assert list(problems(found, LlmConfig(models=("b/x",)))) == ["b/x: there is no provider 'b' (there is a)"]
    assert "names none" in next(problems(found, LlmConfig()))


def test_a_character_says_it_in_json() -> None:
    said = b'{"models": ["a/x"], "routes": {"chat": "fastest"}, "answerTokens": 100, "temperature": 0.2}'
    expected = LlmConfig(models=("a/x",), routes={TaskKind.CHAT: Route.FASTEST}, answer_tokens=100, temperature=0.2)
    assert msgspec.json.decode(said, type=LlmConfig) == expected
    for wrong in (
        b'{"model": "a/x"}',
        b'{"models": ["x"]}',
        b'{"routes": {"walk": "fastest"}}',
        b'{"answerTokens": 0}',
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(wrong, type=LlmConfig)


@pytest.mark.parametrize(
    ("facts", "tokens", "usd"),
    [
        (ModelFacts(input_usd=1.0, output_usd=10.0), Tokens(1_000_000, 100_000), 2.0),
        (ModelFacts(input_usd=1.0, output_usd=10.0), Tokens(0, 0, 500_000, 500_000), 1.0),
        (
            ModelFacts(input_usd=1.0, output_usd=1.0, cache_read_usd=0.1, cache_write_usd=2.0),
            Tokens(0, 0, 10**6, 10**6),
            2.1,
        ),
        (ModelFacts(input_usd=1.0), Tokens(1_000_000), 1.0),
        (ModelFacts(input_usd=1.0), Tokens(1, 1), None),
        (ModelFacts(output_usd=1.0), Tokens(0, 1), None),
        (ModelFacts(input_usd=0.0, output_usd=0.0), Tokens(5, 5), 0.0),
        (ModelFacts(input_usd=0.0, output_usd=0.0), None, 0.0),
        (ModelFacts(input_usd=1.0, output_usd=1.0), None, None),
        (ModelFacts(), Tokens(), None),
    ],
)
def test_a_price_is_known_or_it_is_not(facts: ModelFacts, tokens: Tokens | None, usd: float | None) -> None:
    assert cost(facts, tokens) == (None if usd is None else pytest.approx(usd))


def test_what_a_call_may_cost_at_most() -> None:
    facts = ModelFacts(input_usd=1.0, output_usd=10.0, cache_write_usd=2.0)
    assert at_most(facts, 1_000_000, 100_000) == pytest.approx(3.0)
    assert at_most(ModelFacts(), 1, 1) is None


def test_a_circuit_opens_for_longer_and_longer_and_one_call_closes_it() -> None:
    standing, now = Standing(), NOW
    for _ in range(TROUBLES):
        assert standing.resting("a/x", now) is None
        standing.failed("a/x", Failure(ErrorKind.OVERLOADED, "busy"), now)
    opened: list[timedelta] = []
    for _ in range(8):
        rest = standing.resting("a/x", now)
        assert rest is not None
        opened.append(rest.until - now)
        now = rest.until
        assert standing.resting("a/x", now) is None, "one may try"
        assert standing.resting("a/x", now) is not None, "and the others not"
        standing.failed("a/x", Failure(ErrorKind.NETWORK, "gone"), now)
    assert opened[:3] == [OPEN, 2 * OPEN, 4 * OPEN]
    assert opened[-1] == LONGEST_OPEN
    now += LONGEST_OPEN
    assert standing.resting("a/x", now) is None
    standing.answered("a/x")
    assert standing.resting("a/x", now) is None


def test_what_one_request_was_told_says_nothing_of_the_next() -> None:
    standing = Standing()
    for kind in (ErrorKind.TOO_LONG, ErrorKind.REFUSED, ErrorKind.INVALID) * TROUBLES:
        standing.failed("a/x", Failure(kind, "no"), NOW)
        assert standing.resting("a/x", NOW) is None
    assert standing.resting("a/y", NOW) is None
