"""What a person configures: read from the environment, everything that is wrong at once."""

from pathlib import Path

import pytest

from agents.llm.gateways import variables
from bridges.github.config import GitHubConfig
from deploy import redact
from deploy.home import Home
from deploy.redact import hide, redacted
from deploy.settings import GATEWAY, GITHUB, Settings, github_place, github_variables, nats_server
from schemas import Invalid, RepoRef
from tests.support.pem import EC_KEY, RSA_KEY

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
                "RIG_REVIEWER": "not a name",
                "RIG_REVIEWER_OWN": "claude/*, opus",
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
            "RIG_REVIEWER",
            "RIG_REVIEWER_OWN",
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


class TestGitHub:
    def test_no_account_need_be_configured_and_then_nothing_is_needed(self):
        assert Settings.read({"RIG_HTTP": "0.0.0.0:80", "RIG_GITHUB_API": "https://ghe.example/api/v3"}).github is None

    def test_with_a_token(self):
        environ = {"RIG_GITHUB_TOKEN": "ghp_abcd", "RIG_GITHUB_WEBHOOK_SECRET": "one, two,"}
        assert Settings.read(environ).github == GitHubConfig(token="ghp_abcd", secrets=("one", "two"))

    def test_as_an_app_with_secrets_in_files(self, tmp_path: Path):
        (tmp_path / "key").write_text(RSA_KEY)
        (tmp_path / "secret").write_text("one\n")
        environ = {
            "RIG_GITHUB_APP_ID": "123",
            "RIG_GITHUB_APP_KEY_FILE": str(tmp_path / "key"),
            "RIG_GITHUB_WEBHOOK_SECRET_FILE": str(tmp_path / "secret"),
            "RIG_GITHUB_API": "https://ghe.example/api/v3/",
            "RIG_GITHUB_AUDIT_SECONDS": "30",
            "RIG_HTTP": "[::]:8081",
        }
        config = Settings.read(environ, needs=(GITHUB,)).github
        assert config is not None
        assert config == GitHubConfig(
            http="[::]:8081",
            api="https://ghe.example/api/v3",
            app_id="123",
            app_key=RSA_KEY.strip(),
            secrets=("one",),
            audit_seconds=30,
        )
        assert config.address == ("::", 8081)
        assert Settings.read(github_variables(config)).github == config

    def test_a_key_may_stand_on_one_line(self):
        environ = {"RIG_GITHUB_APP_ID": "123", "RIG_GITHUB_WEBHOOK_SECRET": "s"}
        config = Settings.read({**environ, "RIG_GITHUB_APP_KEY": RSA_KEY.strip().replace("\n", "\\n")}).github
        assert config is not None
        assert config.app_key == RSA_KEY.strip()

    def test_everything_that_is_wrong_is_said_at_once_and_no_secret(self):
        found = problems(
            {
                "RIG_GITHUB_TOKEN": "ghp_s3cret",
                "RIG_GITHUB_APP_KEY": "s3cret",
                "RIG_GITHUB_API": "http://github.example",
                "RIG_GITHUB_AUDIT_SECONDS": "0",
                "RIG_HTTP": "8080",
            }
        )
        assert [problem.split()[0].rstrip(":") for problem in found] == [
            "RIG_HTTP",
            "RIG_GITHUB_API",
            "RIG_GITHUB_AUDIT_SECONDS",
            "RIG_GITHUB_TOKEN",
            "RIG_GITHUB_APP_ID",
            "RIG_GITHUB_APP_KEY",
            "RIG_GITHUB_WEBHOOK_SECRET",
        ]
        assert "s3cret" not in "".join(found)

    @pytest.mark.parametrize(
        ("environ", "named"),
        [
            ({}, ["RIG_GITHUB_APP_ID", "RIG_GITHUB_WEBHOOK_SECRET"]),
            ({"RIG_GITHUB_APP_ID": "1"}, ["RIG_GITHUB_APP_KEY", "RIG_GITHUB_WEBHOOK_SECRET"]),
            ({"RIG_GITHUB_TOKEN": "two words"}, ["RIG_GITHUB_TOKEN:", "RIG_GITHUB_WEBHOOK_SECRET"]),
            ({"RIG_GITHUB_TOKEN_FILE": "/gone"}, ["RIG_GITHUB_TOKEN_FILE:", "RIG_GITHUB_WEBHOOK_SECRET"]),
            ({"RIG_GITHUB_TOKEN": "t", "RIG_GITHUB_WEBHOOK_SECRET": " , "}, ["RIG_GITHUB_WEBHOOK_SECRET"]),
            ({"RIG_GITHUB_TOKEN": "t", "RIG_GITHUB_WEBHOOK_SECRET_FILE": "/gone"}, ["RIG_GITHUB_WEBHOOK_SECRET_FILE:"]),
            (
                {"RIG_GITHUB_APP_ID": "1", "RIG_GITHUB_APP_KEY": EC_KEY, "RIG_GITHUB_WEBHOOK_SECRET": "s"},
                ["RIG_GITHUB_APP_KEY:"],
            ),
        ],
    )
    def test_what_is_missing_or_no_key_is_named(self, environ: dict[str, str], named: list[str]):
        assert [problem.split()[0] for problem in problems(environ, needs=(GITHUB,))] == named

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("http://github.example", "write https"),
            ("github.com", "not a URL"),
            ("https://me:s3cret@github.example", "without login"),
            ("https://github.example?a", "without login"),
            ("https://github.example:no", "not a URL"),
        ],
    )
    def test_an_api_is_a_url_that_keeps_secrets(self, url: str, why: str):
        with pytest.raises(Invalid, match=why) as wrong:
            github_place({"RIG_GITHUB_API": url})
        assert "s3cret" not in str(wrong.value)

    @pytest.mark.parametrize(
        ("api", "clone_url"),
        [
            ("https://api.github.com", "https://github.com/acme/web.git"),
            ("https://ghe.example/api/v3", "https://ghe.example/acme/web.git"),
            ("https://api.acme.ghe.com", "https://acme.ghe.com/acme/web.git"),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000/acme/web.git"),
        ],
    )
    def test_where_git_finds_a_repository_follows_from_the_api(self, api: str, clone_url: str):
        assert github_place({"RIG_GITHUB_API": api}).clone_url(RepoRef("acme", "web")) == clone_url

    def test_how_a_configuration_prints_shows_no_secret(self):
        assert "s3cret" not in repr(GitHubConfig(token="s3cret", secrets=("s3cret",)))
        assert "s3cret" not in str(GitHubConfig(app_id="1", app_key="s3cret", secrets=("s3cret",)))


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

    @pytest.mark.parametrize(
        "secret",
        [
            "ghp_" + "a1B2" * 9,
            "ghs_" + "a1B2" * 9,
            "ghs_123456_eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2ln-_bmF0dXJl",
            "github_pat_" + "a1B2_" * 16,
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2ln-_bmF0dXJl",
            RSA_KEY.strip(),
            RSA_KEY.strip().replace("\n", "\\n"),
            RSA_KEY[:200],
        ],
    )
    def test_tokens_and_keys_are_hidden_wherever_they_stand(self, secret: str):
        assert redacted(f"the token ({secret}") == "the token (***"

    def test_what_was_configured_is_hidden_as_it_is(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(redact, "_hidden", set[str]())
        hide(GitHubConfig(token="plain words", secrets=("plain", "x.*")).confidential)
        assert redacted("plain words, plain, x.*, xyz") == "***, ***, ***, xyz"


class TestGateways:
    def test_one_endpoint_from_variables(self, tmp_path: Path):
        (tmp_path / "key").write_text("sk-1\n")
        place = {"RIG_GATEWAY_URL": "http://127.0.0.1:18789/v1", "RIG_GATEWAY_MODEL": "openclaw/default"}
        settings = Settings.read(place | {"RIG_GATEWAY_KEY_FILE": str(tmp_path / "key")}, needs=(GATEWAY,))
        assert settings.gateways is not None
        assert settings.gateways.chain == ("gateway/openclaw/default",)
        assert settings.confidential == ("sk-1",)

    def test_several_from_a_file(self, tmp_path: Path):
        file = tmp_path / "gateways.toml"
        file.write_text('chain = ["a/x"]\n[providers.a]\nurl = "https://a.example/v1"\nkey_env = "A_KEY"\n')
        environ = {"RIG_GATEWAYS": str(file), "A_KEY": "sk-2", "HOME": "/"}
        settings = Settings.read(environ)
        assert settings.gateways is not None
        assert settings.gateways.confidential == ("sk-2",)
        assert variables(environ) == {"RIG_GATEWAYS": str(file), "A_KEY": "sk-2"}

    def test_none_is_none_unless_it_is_needed(self):
        assert Settings.read({}).gateways is None
        (said,) = problems({}, needs=(GATEWAY,))
        assert said.startswith("RIG_GATEWAY_URL is not set")

    def test_all_that_is_wrong_at_once(self, tmp_path: Path):
        said = problems({"RIG_GATEWAY_URL": "http://api.example.com", "RIG_GATEWAY_KEY": "a b"})
        assert [each.split(":")[0].split(" ")[0] for each in said] == [
            "RIG_GATEWAY_URL",
            "RIG_GATEWAY_MODEL",
            "RIG_GATEWAY_KEY",
        ]
        (said,) = problems({"RIG_GATEWAYS": "x", "RIG_GATEWAY_MODEL": "m"})
        assert said.startswith("RIG_GATEWAYS and RIG_GATEWAY_")
        (said,) = problems({"RIG_GATEWAYS": str(tmp_path / "nowhere")})
        assert said.startswith("RIG_GATEWAYS: ")
