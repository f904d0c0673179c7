"""What other systems wake an agent by: a request that proves that it knows a secret. This half is pure.

    POST /hooks/AGENT/NAME
    Authorization: Bearer SECRET        or X-Hub-Signature-256: sha256=HMAC of the body, as GitHub and many others sign

A body is told to the agent as a quotation. A delivery is known by its `Idempotency-Key`, `X-GitHub-Delivery` or
`Webhook-Id`, else by its body and the hour: sent again it wakes nobody a second time. An alarm that says the same words
each day is another each day.
"""

import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.fields import Text
from schemas.refs import Name

__all__ = ["BODY_MAX", "Webhook", "delivery_key", "proves"]

BODY_MAX: Final = 60_000
"""Characters that an event can hold, with what it is told besides."""
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


def proves(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a request comes from somebody who knows the secret. `headers` in small letters."""
    if not secret:
        return False
    if signature := headers.get("x-hub-signature-256"):
        wanted = "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()
        return hmac.compare_digest(wanted.encode(), signature.encode(errors="surrogateescape"))
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        secret.encode(), token.strip().encode(errors="surrogateescape")
    )


def delivery_key(name: str, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """What a delivery is known by."""
    given = next((headers[each] for each in _IDS if each in headers), "")
    return f"{name}:{given if _ID.fullmatch(given) else f'{sha256(body).hexdigest()}:{now:%Y%m%d%H}'}"
