"""GitHub's REST API as the npm package `emulate` plays it: a process, its seed, and who has which token there."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support import peers

__all__ = ["APP", "INSTALLATION", "PEOPLE", "PERMISSIONS", "SLUG", "emulate", "new_key", "seed"]

APP, INSTALLATION, SLUG = 1001, 77, "rig"
PERMISSIONS = dict.fromkeys(
    ("administration", "checks", "contents", "deployments", "issues", "pull_requests", "statuses"), "write"
) | dict.fromkeys(("actions", "members", "metadata"), "read")

PEOPLE = ("maria", "rita", "olaf", "ci")
"""maria owns the organization, rita reviews (write access), olaf is anybody, ci is what reports checks."""


def new_key() -> str:
    """A private key of an App."""
    return (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        .decode()
    )


def seed(
    *, key: str, secret: str, webhooks: str, repositories: Sequence[str], tokens: Mapping[str, str]
) -> dict[str, object]:
    """What GitHub knows at the beginning: people, an organization for each owner, empty repositories, the App there."""
    owners = sorted({name.partition("/")[0] for name in repositories})
    return {
        "tokens": {token: {"login": login} for token, login in tokens.items()},
        "github": {
            "users": [{"login": login, "name": login.capitalize()} for login in PEOPLE],
            "orgs": [{"login": owner, "members": [{"login": "maria", "role": "admin"}]} for owner in owners],
            "repos": [
                {"owner": owner, "name": name, "auto_init": False}
                for owner, _, name in (full.partition("/") for full in repositories)
            ],
            "apps": [
                {
                    "app_id": APP,
                    "slug": SLUG,
                    "name": "Rig",
                    "private_key": key,
                    "permissions": PERMISSIONS,
                    "events": ["*"],
                    "webhook_url": webhooks,
                    "webhook_secret": secret,
                    "installations": [
                        {"installation_id": INSTALLATION + n, "account": owner, "repository_selection": "all"}
                        for n, owner in enumerate(owners)
                    ],
                }
            ],
        },
    }


def emulate(base_url: str, seeded: Mapping[str, object]) -> AbstractContextManager[str]:
    """Serves until the end of the block; yields where. It says of itself that it is at `base_url`."""
    return peers.served("github.mjs", {"baseUrl": base_url, "seed": seeded})
