"""What proves that a request comes from who knows the secret, and what a delivery is known by."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import new as signed

import pytest

from agents.life.webhooks import delivery_key, proves

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
