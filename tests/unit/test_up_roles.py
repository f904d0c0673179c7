"""What each role of `rig up` is told of where it was started."""

from pathlib import Path
from typing import cast

import pytest

from bridges.github.config import GitHubConfig
from deploy.embedded.servers import Servers
from deploy.home import Home
from deploy.up import roles_of


class _Servers:
    nats_url, postgres_url = "nats://127.0.0.1:4222", "postgresql://127.0.0.1/rig"

    def key(self, _role: str) -> None:
        return None


def test_who_reaches_github_goes_the_way_out_that_is_set_here_and_nobody_else_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = {"https_proxy": "http://me:s3cret@proxy.example:3128", "SSL_CERT_FILE": "/etc/acme.pem", "NO_PROXY": "acme"}
    for name, value in way.items():
        monkeypatch.setenv(name, value)
    home, servers = Home(tmp_path), cast("Servers", _Servers())
    told = {role.name: role.env for role in roles_of(home, servers, ["dev-e-1"], {}, GitHubConfig(token="t"))}
    assert {name: told["github"].get(name) for name in way} == way
    assert not any(way.keys() & env.keys() for name, env in told.items() if name != "github")
