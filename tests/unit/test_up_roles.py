"""What each role of `rig up` is told of where it was started."""

import json
from pathlib import Path
from typing import cast

import pytest

from bridges.github.config import GitHubConfig
from bridges.terminal import BadInput
from deploy.agents import found_characters
from deploy.embedded.servers import Servers
from deploy.home import Home
from deploy.up import roles_of
from machine.sandbox import Sandboxing


class _Servers:
    nats_url, postgres_url = "nats://127.0.0.1:4222", "postgresql://127.0.0.1/rig"

    def key(self, _role: str) -> None:
        return None


@pytest.fixture
def servers() -> Servers:
    return cast("Servers", _Servers())


def test_who_goes_out_goes_the_way_that_is_set_here_and_nobody_else_is_told(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = {"https_proxy": "http://me:s3cret@proxy.example:3128", "SSL_CERT_FILE": "/etc/acme.pem", "NO_PROXY": "acme"}
    for name, value in way.items():
        monkeypatch.setenv(name, value)
    told = {role.name: role.env for role in roles_of(Home(tmp_path), servers, ["dev-e-1"], {}, GitHubConfig(token="t"))}
    for role in ("github", "dev-e-1"):  # a coder has to reach its model
        assert {name: told[role].get(name) for name in way} == way
    assert {role for role, env in told.items() if way.keys() & env.keys()} == {"github", "dev-e-1"}


def test_the_logins_of_coders_are_for_who_runs_them_alone(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a secret")
    roles = roles_of(Home(tmp_path), servers, ["dev-e-1", "dev-e-2"], {}, GitHubConfig(token="t"))
    holders = {role.name: sorted(name for name, value in role.env.items() if value == "a secret") for role in roles}
    own = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"]
    assert {name: held for name, held in holders.items() if held} == {"dev-e-1": own, "dev-e-2": own}


def test_who_has_webhooks_is_told_where_they_come_in_and_two_cannot_be_told_the_same(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = {"name": "pager", "secret": "PAGER", "text": "Look."}
    for name, hooks in (("ann-e", [hook]), ("bob-e", []), ("cy-e", [hook])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "character.json").write_text(json.dumps({"name": name, "webhooks": hooks}))
    monkeypatch.setenv("RIG_CHARACTERS", str(tmp_path))
    monkeypatch.setenv("RIG_AGENT_HTTP", "127.0.0.1:8090")
    found = found_characters(["ann-e", "bob-e"])
    told = {role.name: role.env for role in roles_of(Home(tmp_path), servers, [], {}, None, characters=found)}
    assert [name for name, env in told.items() if "RIG_AGENT_HTTP" in env] == ["ann-e"]
    with pytest.raises(BadInput, match="ann-e and cy-e have webhooks, and RIG_AGENT_HTTP is one address"):
        found_characters(["ann-e", "cy-e"])
    monkeypatch.delenv("RIG_AGENT_HTTP")
    assert len(found_characters(["ann-e", "cy-e"])) == 2


def test_who_reviews_is_told_of_the_models_and_nobody_else_is(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"RIG_GATEWAY_URL": "http://127.0.0.1/v1", "RIG_GATEWAY_KEY": "s3cret", "RIG_REVIEWER": "second-look"}
    for name, value in models.items():
        monkeypatch.setenv(name, value)
    roles = roles_of(Home(tmp_path), servers, ["dev-e-1"], {}, None, reviewers=["review-e-1", "review-e-2"])
    told = {role.name: role.env for role in roles}
    for name in ("review-e-1", "review-e-2"):
        assert told[name].items() >= {**models, "RIG_AGENT": name}.items()
    assert not any(models.keys() & env.keys() for name, env in told.items() if not name.startswith("review-e"))


def test_who_runs_what_coders_wrote_is_told_of_the_sandbox(tmp_path: Path, servers: Servers) -> None:
    roles = roles_of(Home(tmp_path), servers, ["dev-e-1"], {}, None, sandboxing=Sandboxing.OFFLINE)
    told = {role.name: role.env["RIG_SANDBOX"] for role in roles if "RIG_SANDBOX" in role.env}
    assert told == {"local": "offline", "dev-e-1": "offline"}
