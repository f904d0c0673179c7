"""What of a CLI's words invites a person to log it in: an address where it may be, and a code that stands alone."""

import pytest

from agents.coders.device import Invitation, invitation

ORIGINS = frozenset({"https://auth.openai.com"})
CODEX = (
    "\nWelcome to Codex [v\x1b[90m0.169.0\x1b[0m]\n\n1. Open this link in your browser and sign in to your account\n"
    "   \x1b[94mhttps://auth.openai.com/codex/device\x1b[0m\n\n"
    "2. Enter this one-time code \x1b[90m(expires in 15 minutes)\x1b[0m\n   \x1b[94mABCD-EFGHI\x1b[0m\n"
)
URL = "https://auth.openai.com/codex/device"


def test_it_is_read_from_what_codex_says() -> None:
    assert invitation(CODEX.encode(), ORIGINS) == Invitation(URL, "ABCD-EFGHI")


def test_half_a_code_is_none() -> None:
    said = CODEX.encode()
    at = said.index(b"ABCD-")
    assert all(invitation(said[: at + more], ORIGINS) is None for more in range(len("ABCD-EFGHI\x1b[0m") + 1))


@pytest.mark.parametrize(
    "said",
    [
        f"{URL}\nabcd-efgh\n",
        f"{URL}\nthe code is ABCD-EFGH\n",
        "http://auth.openai.com/codex/device\nABCD-EFGH\n",
        "https://auth.openai.com.example.org/codex/device\nABCD-EFGH\n",
        "https://auth.openai.com@example.org/codex/device\nABCD-EFGH\n",
        "https://ann@auth.openai.com/codex/device\nABCD-EFGH\n",
        "https://auth.openai.com:8443/codex/device\nABCD-EFGH\n",
        f"https://auth.openai.com/{'a' * 600}\nABCD-EFGH\n",
        "https://[auth.openai.com\nABCD-EFGH\n",
        "ABCD-EFGH\n",
        "\0\x1b]8;;https://auth.openai.com/\x07\nABCD-EFGH\n",
    ],
)
def test_whatever_else_it_says_is_no_invitation(said: str) -> None:
    assert invitation(said.encode(), ORIGINS) is None
