"""Credentials in a diff: found where they are real, and left alone where they are examples."""

import random
import string

import pytest

from agents.guard.secrets import FINDINGS_MAX, Finding, found, held

R = random.Random(7)  # noqa: S311 - for tests


def some(alphabet: str, count: int) -> str:
    return "".join(R.choice(alphabet) for _ in range(count))


WORD = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
# Put together here, so that this file holds none.
SECRETS = {
    "a private key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
    "an AWS access key": "key = AKI" + "A" + some(BASE32, 16),
    "a GitHub token": "gh" + "p_" + some(WORD, 36),
    "a GitLab token": "gl" + "pat-" + some(WORD, 20),
    "a Slack token": "xox" + "b-" + some(string.digits, 12) + "-" + some(WORD, 24),
    "a Stripe key": "sk" + "_live_" + some(WORD, 24),
    "a Google key": "AI" + "za" + some(WORD, 35),
    "an Anthropic key": "sk-" + "ant-api03-" + some(WORD, 80),
    "an OpenAI key": "sk-" + "proj-" + some(WORD, 20) + "T3Blbk" + "FJ" + some(WORD, 20),
    "an npm token": "npm" + "_" + some(WORD, 36),
    "a PyPI token": "pypi-" + "AgEIcHlwaS5vcmc" + some(WORD, 80),
    "a Hugging Face token": "hf" + "_" + some(string.ascii_letters, 34),
    "a NATS seed": "S" + "U" + some(BASE32, 56),
    "a Vault token": "hv" + "s." + some(WORD, 24),
    "a password in an address": "DATABASE_URL=postgres://shop:" + some(WORD, 12) + "@db.shop.internal.net/shop",
    "a value that looks secret": 'API_KEY = "' + "q7Rz9LxW2mKt8VbN4cYh6DsF" + '"',
    "an npm login": "//packages.example.org/:_authToken=" + some(HEX, 36).replace("0000", "1212"),
}


def diff(*lines: str, path: str = "src/x.py") -> str:
    head = f"diff --git a/{path} b/{path}\nindex 1..2 100644\n--- a/{path}\n+++ b/{path}\n"
    return f"{head}@@ -3,0 +4,{len(lines)} @@ def f():\n" + "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("kind", SECRETS)
def test_is_found_where_it_is_added(kind: str) -> None:
    secret = SECRETS[kind]
    added = found(diff("+a = 1", f"+x = '{secret}' # for now"))
    assert added == (Finding(kind, "src/x.py", 5),)
    assert str(added[0]) == f"src/x.py:5: {kind}"
    assert found(diff(f"-{secret}", f" {secret}")) == ()
    assert found(diff(f"+{secret}").encode()) == (Finding(kind, "src/x.py", 4),)


@pytest.mark.parametrize(
    "line",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "x" * 36,
        "sk-ant-your-key-here-your-key-here-12",
        "postgres://user:password@localhost/db",
        "postgres://shop:s3cr3tvalue@localhost:5432/shop",
        "postgres://shop:${PASSWORD}@db.shop.net/shop",
        "https://example.com/path:8080/@scope/package",
        "password = get_password_from_environment()",
        "api_key = os.environ['SERVICE_API_KEY_FOR_THE_SHOP']",
        "token = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
        "secret: ${{ secrets.DEPLOY_TOKEN_FOR_PRODUCTION }}",
        "integrity sha512-q7Rz9LxW2mKt8VbN4cYh6DsFq7Rz9LxW2mKt8VbN4cYh6DsF==",
        "commit 3b18e512dba79e4c8300dd08aeb37f8e728b8dad",
        "access_token_expires_at = models.DateTimeField()",
        "-----BEGIN PUBLIC KEY-----",
        "//packages.example.org/:_authToken=${NPM_TOKEN}",
        "client_secret = self.settings.client_secret_value",
    ],
)
def test_an_example_is_left_alone(line: str) -> None:
    assert found(diff(f"+{line}")) == ()


def test_what_the_machine_holds_is_known_by_its_value() -> None:
    assert found(diff("+print('correct horse')"), known=["correct horse", "print"]) == (
        Finding("a secret of this machine", "src/x.py", 4),
    )


def test_a_merge_and_several_files_are_read() -> None:
    secret = SECRETS["a GitHub token"]
    merge = (
        f"diff --cc a.py\nindex 1,2..3\n--- a/a.py\n+++ b/a.py\n@@@ -1,1 -1,1 +1,3 @@@\n  same\n +theirs\n++{secret}\n"
    )
    assert found(merge + diff(f"+{secret}", path="b c.py")) == (
        Finding("a GitHub token", "a.py", 3),
        Finding("a GitHub token", "b c.py", 4),
    )


def test_a_line_that_only_looks_like_a_head_is_a_line() -> None:
    assert found(diff(f"+++ b/{SECRETS['a GitHub token']}")) == (Finding("a GitHub token", "src/x.py", 4),)


def test_a_long_line_is_read_to_its_end_and_many_findings_are_enough() -> None:
    secret = SECRETS["a GitHub token"]
    assert len(found(diff("+" + "y " * 100_000 + secret))) == 1
    assert len(found(diff(*[f"+{secret}"] * 1_000))) == FINDINGS_MAX


def test_nothing_of_a_secret_is_told() -> None:
    secret = SECRETS["a GitHub token"]
    assert secret not in repr(found(diff(f"+{secret}")))


def test_what_this_machine_holds_is_known_by_its_name_and_is_no_word() -> None:
    secret = some(WORD, 24)
    assert held({"DEPLOY_TOKEN": secret, "HOME": "/root", "EDITOR": secret[::-1]}) == {secret}
    words = {"PGPASSWORD": "postgres", "DB_PASSWORD": "Password", "API_TOKEN": "disabled", "APP_KEY": "12345678"}
    assert held({**words, "TLS_KEY": "/etc/tls/server.key"}) == frozenset()
