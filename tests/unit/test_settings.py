"""What a person configures: read from the environment, everything that is wrong at once."""

from pathlib import Path

import pytest

from deploy.home import Home
from deploy.redact import redacted
from deploy.settings import Settings, nats_server
from schemas import Invalid

NATS = "nats://rig:s3cret@127.0.0.1:4222"
POSTGRES = "postgresql://rig:s3cret@127.0.0.1:5432/rig"


def problems(environ: dict[str, str], *, needs: tuple[str, ...] = (), **options: str) -> tuple[str, ...]:
    with pytest.raises(Invalid) as wrong:
        Settings.read(environ, options, needs=needs)
    return wrong.value.problems


class TestSettings:
    def test_nothing_need_be_set(self):
        settings = Settings.read({"XDG_DATA_HOME": "/data"})
        assert settings.home == Home(Path("/data/rig"))
        assert (settings.nats_url, settings.postgres_url, settings.coder, settings.health) == (None, None, None, None)
        assert (settings.agent, settings.slots, settings.capabilities) == ("dev-e-1", 1, ())

    def test_what_is_set_is_taken(self):
        settings = Settings.read(
            {
                "RIG_NATS_URL": NATS,
                "RIG_NATS_REPLICAS": "3",
                "RIG_POSTGRES_URL": POSTGRES,
                "RIG_HOME": "/srv/rig",
                "RIG_AGENT": "dev-e-2",
                "RIG_SLOTS": "3",
                "RIG_CAPABILITIES": "node, docker gpu,node",
                "RIG_CODER": "command: true --fast",
                "RIG_HEALTH": "[::1]:8080",
            }
        )
        assert (settings.nats_url, settings.nats_replicas, settings.postgres_url) == (NATS, 3, POSTGRES)
        assert (settings.home, settings.agent, settings.slots) == (Home(Path("/srv/rig")), "dev-e-2", 3)
        assert settings.capabilities == ("node", "docker", "gpu")
        assert (settings.coder, settings.health) == ("command: true --fast", "[::1]:8080")

    def test_a_cluster_is_named_server_by_server(self):
        cluster = f"{NATS}, nats://[::1]:4223,nats://b"
        assert Settings.read({"RIG_NATS_URL": cluster}).nats_url == cluster
        assert Settings.read({}).nats_replicas is None
        (said,) = problems({"RIG_NATS_URL": f"{NATS},http://b"})
        assert said.startswith("RIG_NATS_URL: not a URL like")
        assert "s3cret" not in said
        (said,) = problems({"RIG_NATS_REPLICAS": "2"})
        assert said == "RIG_NATS_REPLICAS: '2' is none of 1, 3 and 5"

    def test_a_variable_that_is_empty_is_not_set(self):
        settings = Settings.read({"RIG_NATS_URL": "", "RIG_SLOTS": " ", "RIG_CODER": ""})
        assert (settings.nats_url, settings.slots, settings.coder) == (None, 1, None)

    def test_a_url_may_be_in_a_file_where_secrets_are_kept(self, tmp_path: Path):
        (tmp_path / "url").write_text(f"{NATS}\n")
        environ = {"RIG_NATS_URL_FILE": str(tmp_path / "url")}
        assert Settings.read(environ, needs=("RIG_NATS_URL",)).nats_url == NATS
        assert nats_server(environ) == (NATS, None)

    def test_everything_that_is_wrong_is_said_at_once(self, tmp_path: Path):
        found = problems(
            {
                "RIG_NATS_URL": "http://rig:s3cret@127.0.0.1",
                "RIG_POSTGRES_URL_FILE": str(tmp_path / "gone"),
                "RIG_AGENT": "dev e",
                "RIG_SLOTS": "0",
                "RIG_CAPABILITIES": "node, a/b",
                "RIG_CODER": "no-such-kind",
                "RIG_HEALTH": "8080",
            }
        )
        assert [problem.partition(":")[0] for problem in found] == [
            "RIG_NATS_URL",
            "RIG_POSTGRES_URL_FILE",
            "RIG_CODER",
            "RIG_SLOTS",
            "RIG_CAPABILITIES",
            "RIG_AGENT",
            "RIG_HEALTH",
        ]
        assert "s3cret" not in "".join(found)

    @pytest.mark.parametrize("url", ["nats://", "127.0.0.1:4222", "nats://host:port", "nats://host:0"])
    def test_what_is_no_url_is_refused(self, url: str):
        assert problems({"RIG_NATS_URL": url})[0].startswith("RIG_NATS_URL: not a URL like nats://")

    def test_a_url_given_twice_is_refused(self, tmp_path: Path):
        both = {"RIG_NATS_URL": NATS, "RIG_NATS_URL_FILE": str(tmp_path / "url")}
        assert problems(both) == ("RIG_NATS_URL and RIG_NATS_URL_FILE are both set; unset one",)

    def test_what_a_role_needs_and_lacks_is_named(self):
        found = problems({"RIG_SLOTS": "many"}, needs=("RIG_NATS_URL", "RIG_CODER"))
        assert [problem.split()[0] for problem in found] == ["RIG_SLOTS:", "RIG_NATS_URL", "RIG_CODER"]
        assert "nats://HOST:4222" in found[1]

    def test_the_command_line_goes_first_and_is_called_by_its_own_name(self):
        assert Settings.read({"RIG_SLOTS": "2"}, {"RIG_SLOTS": "3", "RIG_CODER": None}).slots == 3
        assert problems({}, RIG_SLOTS="65") == ("--slots: '65' is not a number from 1 to 64",)


class TestRedacted:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            (f"no answer at {NATS}: refused", "no answer at nats://127.0.0.1:4222: refused"),
            ("postgresql://rig:p@ss@db/rig?password=x&sslmode=off", "postgresql://db/rig?password=***&sslmode=off"),
            ("nats://rig:a@a:1,nats://rig:b@b:2", "nats://a:1,nats://b:2"),
            ("https://example.org/a@b stays", "https://example.org/a@b stays"),
        ],
    )
    def test_logins_are_taken_out_of_urls(self, text: str, shown: str):
        assert redacted(text) == shown
