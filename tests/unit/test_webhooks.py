"""What proves that a request comes from who knows the secret, and what a delivery is known by."""

import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import new as signed
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agents.life.role import run_agent
from agents.life.webhooks import Webhook, delivery_key, problems, proves
from agents.tools.secrets import Secrets
from bus.testing import InMemoryBus
from deploy.app import app
from machine.lifecycle import Lifecycle, Misconfigured
from schemas import Actor
from tests.support.awake import ANN, character_file
from tests.support.models import gateways

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
AT = datetime(2021, 2, 25, 14, 28, 50, tzinfo=UTC)
DELIVERY = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614263330",
    "webhook-signature": "v1,GyhwKeacjF3OvbgYJBuI/I/UTeHjXKOUICCvK376bRQ=",  # by standardwebhooks 1.0 for Python
}


def test_a_delivery_of_standard_webhooks_is_proved_by_its_signature() -> None:
    assert proves(SECRET, DELIVERY, BODY, AT)
    several = DELIVERY | {"webhook-signature": f"v1,bm90 v1a,xyz {DELIVERY['webhook-signature']}"}
    assert proves(SECRET, several, BODY, AT), "while a secret is replaced there are two"
    assert delivery_key("pager", DELIVERY, BODY, AT) == "pager:msg_p5jXN8AQM9LWM0D4loKWxJek"


@pytest.mark.parametrize(
    "other",
    [
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": "1614263331"},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "-1"},
        {"webhook-id": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v2,GyhwKeacjF3OvbgYJBuI/I/UTeHjXKOUICCvK376bRQ="},
        {"webhook-signature": "\udcff"},
        {"webhook-signature": "", "authorization": f"Bearer {SECRET}"},
    ],
)
def test_its_id_and_its_time_are_proved_with_it(other: dict[str, str]) -> None:
    assert not proves(SECRET, DELIVERY | other, BODY, AT)


def test_it_counts_for_five_minutes_and_for_its_body_and_its_secret_alone() -> None:
    for minutes, counts in ((-6, False), (-4, True), (4, True), (6, False)):
        assert proves(SECRET, DELIVERY, BODY, AT + timedelta(minutes=minutes)) is counts
    assert not proves(SECRET, DELIVERY, BODY + b" ", AT)
    for secret in ("", "whsec_", "whsec_x", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"):
        assert not proves(secret, DELIVERY, BODY, AT)


def test_what_proves_the_body_alone_is_known_by_its_body() -> None:
    """Else whoever has recorded it wakes the agent as often as they like, each time under another id."""
    signature = f"sha256={signed(b'secret', BODY, sha256).hexdigest()}"
    keys = set[str]()
    for number in range(3):
        headers = {"x-hub-signature-256": signature, "x-github-delivery": f"d-{number}"}
        assert proves("secret", headers, BODY, AT)
        keys.add(delivery_key("pager", headers, BODY, AT))
    assert len(keys) == 1


@pytest.mark.parametrize("text", ["", "!!!!", "MfKQ9r8GKYqr", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", f"{SECRET[6:]}$"])
def test_a_secret_that_holds_no_key_proves_nothing_and_is_named(text: str) -> None:
    """What is no Base64 decodes to nothing, or to less: whoever knows nothing could sign with that."""
    hook, secret = Webhook(name="pager", secret="PAGER", text="Look."), f"whsec_{text}"
    for key in (b"", b64decode("MfKQ9r8GKYqr"), b64decode(SECRET[6:]), secret.encode()):
        assert not proves(secret, standard(key), BODY, AT)
    (problem,) = problems([hook, hook], {"PAGER": secret, "OTHER": "whsec_"})
    assert problem.startswith("RIG_SECRET_PAGER begins with whsec_, and is not the Base64 of 24 bytes")
    assert not list(problems([hook], {"PAGER": SECRET}))
    assert not list(problems([hook], {"PAGER": "another"}))
    assert not list(problems([hook], {}))


def test_what_was_signed_with_its_id_and_time_cannot_be_sent_again_as_a_body_of_githubs() -> None:
    """One key for both ways would make it one: whoever recorded it wakes the agent each hour."""
    for secret, key in ((SECRET, b64decode(SECRET[6:])), ("raw", b"raw")):
        sent = standard(key)
        told = b".".join((sent["webhook-id"].encode(), sent["webhook-timestamp"].encode(), BODY))
        hub = {"x-hub-signature-256": f"sha256={signed(key, told, sha256).hexdigest()}"}
        ways = (proves(secret, sent, BODY, AT), proves(secret, hub, told, AT + timedelta(hours=1)))
        assert ways == ((True, False) if secret is SECRET else (False, True))


def standard(key: bytes) -> dict[str, str]:
    """A delivery that is signed with that key."""
    said = f"{DELIVERY['webhook-id']}.{DELIVERY['webhook-timestamp']}.".encode()
    return DELIVERY | {"webhook-signature": f"v1,{b64encode(signed(key, said + BODY, sha256).digest()).decode()}"}


def test_the_check_of_a_character_and_its_start_name_such_a_secret_and_do_not_show_it(tmp_path: Path) -> None:
    file = tmp_path / "ann-e" / "character.json"
    file.parent.mkdir()
    hook = {"name": "pager", "secret": "PAGER", "text": "Look."}
    file.write_text(json.dumps({"name": "ann-e", "webhooks": [hook]}))
    kept = tmp_path / "kept"
    kept.write_text("whsec_tell-no-one\n")
    for env in ({"RIG_SECRET_PAGER": "whsec_tell-no-one"}, {"RIG_SECRET_PAGER_FILE": str(kept)}):
        told = CliRunner().invoke(app, ["agent", "check", str(file)], env=env)
        assert told.exit_code == 2
        assert "RIG_SECRET_PAGER begins with whsec_, and is not" in told.output
        assert "tell-no-one" not in told.output
    assert CliRunner().invoke(app, ["agent", "check", str(file)], env={"RIG_SECRET_PAGER": SECRET}).exit_code == 0
    assert CliRunner().invoke(app, ["agent", "check", str(file)]).exit_code == 0, "its secrets are elsewhere"


async def test_nor_does_an_agent_begin_with_one(tmp_path: Path) -> None:
    bus = await InMemoryBus().connect(Actor.AGENT, f"agent/{ANN}")
    file = character_file(tmp_path, webhooks=[{"name": "pager", "secret": "PAGER", "text": "Look."}])
    models = gateways("http://127.0.0.1:9", "a/m")
    with pytest.raises(Misconfigured, match="RIG_SECRET_PAGER begins with whsec_"):
        await run_agent(
            bus, Lifecycle(), file=file, gateways=models, secrets=Secrets({"PAGER": "whsec_"}), http="127.0.0.1:0"
        )
