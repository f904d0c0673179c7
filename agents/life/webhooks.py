"""What other systems wake an agent by: a request that proves that it knows a secret. This half is pure.

    POST /hooks/AGENT/NAME
    Webhook-Id, Webhook-Timestamp, Webhook-Signature: v1,HMAC       as Standard Webhooks has it
    X-Hub-Signature-256: sha256=HMAC of the body                    as GitHub and many others sign
    Authorization: Bearer SECRET                                    for who signs nothing

The first proves the delivery's id and its time with the body: what somebody has recorded wakes nobody a second time,
and counts for five minutes. GitHub's way proves the body alone, so that is all that such a delivery is known by, for an
hour. With a bearer it is known by its `Idempotency-Key`, `X-GitHub-Delivery` or `Webhook-Id`, else by its body and the
hour: an alarm that says the same words each day is another each day. A body is told to the agent as a quotation.

A signature of the first kind counts under a secret of its own form alone, `whsec_` and Base64: under any other GitHub's
way signs with the same key, and a recorded id, time and body would be a body that it signs.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.fields import Text
from schemas.refs import Name

__all__ = ["BODY_MAX", "Webhook", "delivery_key", "problems", "proves"]

BODY_MAX: Final = 60_000
"""Characters that an event can hold, with what it is told besides."""
TOLERANCE: Final = timedelta(minutes=5)
"""By so much a sender's clock may differ, either way: as Standard Webhooks' own libraries have it."""
_PREFIX: Final = "whsec_"
_KEY_BYTES: Final = 24
"""As Standard Webhooks has it; the key of a shorter one, or none, could be guessed."""
_SIGNED: Final = "webhook-signature"
_OF_BODY: Final = "x-hub-signature-256"
_IDS: Final = ("idempotency-key", "x-github-delivery", "webhook-id")
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,150}")


class Webhook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something outside that may wake it."""

    name: Name
    """Of its address: /hooks/AGENT/NAME."""
    secret: Annotated[
        str, Meta(pattern=r"\A[A-Z][A-Z0-9_]{0,60}\Z", description="the name of a secret, like PAGER: RIG_SECRET_PAGER")
    ]
    """Whoever calls must know it."""
    text: Text
    """What it is told to do; the body is told to it, too."""


def problems(hooks: Iterable[Webhook], values: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the secrets of hooks, `values` being those that are known, by name. Shows none of them."""
    for name in dict.fromkeys(hook.secret for hook in hooks):
        value = values.get(name, "")
        if value.startswith(_PREFIX) and not _key(value):
            wanted = f"the Base64 of {_KEY_BYTES} bytes or more"
            yield f"RIG_SECRET_{name} begins with {_PREFIX}, and is not {wanted} behind it"


def proves(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Whether a request comes from somebody who knows the secret. `headers` in small letters.

    Where it is signed the signature decides, whatever else there is.
    """
    if not secret:
        return False
    if _SIGNED in headers:
        return _standard(secret, headers, body, now)
    if signature := headers.get(_OF_BODY):
        wanted = "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()
        return hmac.compare_digest(wanted.encode(), signature.encode(errors="surrogateescape"))
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        secret.encode(), token.strip().encode(errors="surrogateescape")
    )


def delivery_key(name: str, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """What a delivery is known by: what its proof proves."""
    ids = ("webhook-id",) if _SIGNED in headers else () if _OF_BODY in headers else _IDS
    given = next((headers[each] for each in ids if each in headers), "")
    return f"{name}:{given if _ID.fullmatch(given) else f'{sha256(body).hexdigest()}:{now:%Y%m%d%H}'}"


def _standard(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    known_as, said = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not _ID.fullmatch(known_as) or not re.fullmatch(r"[0-9]{1,12}", said):
        return False
    if abs(now.timestamp() - int(said)) > TOLERANCE.total_seconds():
        return False
    key = _key(secret)
    if not key:
        return False
    proof = base64.b64encode(hmac.new(key, f"{known_as}.{said}.".encode() + body, sha256).digest())
    given = headers[_SIGNED].encode(errors="surrogateescape").split(b" ")
    return any(hmac.compare_digest(b"v1," + proof, each) for each in given)


def _key(secret: str) -> bytes:
    """Of Standard Webhooks; empty where the secret is none of theirs."""
    prefix, text = secret[: len(_PREFIX)], secret[len(_PREFIX) :]
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""
    return key if prefix == _PREFIX and len(key) >= _KEY_BYTES else b""
