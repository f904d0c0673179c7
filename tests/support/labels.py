"""What tests ask of a scripted GitHub: a label of one repository, in played time, with a token or as an App."""

import time
from collections.abc import Awaitable, Callable

from bridges.github.api import GitHub, Priority
from bridges.github.pace import Pace
from bridges.github.payloads import Label
from bridges.github.tokens import Token
from schemas import RepoRef
from tests.support.clock import HOURS
from tests.support.scripted import Says

WEB = RepoRef("acme", "web")
LABEL, LABELS = "/repos/acme/web/labels/bug", "/repos/acme/web/labels"
ONE, GONE = "/repos/{owner}/{repo}/labels/{name}", Says(404, {"message": "Not Found"})
BUG = Says(body={"name": "bug"})
PATIENT = Pace(silence_seconds=HOURS, answer_seconds=HOURS, connect_seconds=HOURS, seed=7)
SECRET = "ghp_verysecret"
PLAIN = Token(SECRET)

Opening = Callable[..., Awaitable[GitHub]]


async def bug(github: GitHub, priority: Priority = Priority.NORMAL) -> str:
    return (await github.get(ONE, Label, repository=WEB, name="bug", priority=priority)).name


async def made(github: GitHub) -> str:
    body = {"name": "bug"}
    return (await github.post("/repos/{owner}/{repo}/labels", body, Label, repository=WEB)).name


def budget(remaining: int, *, seconds: int = 60, limit: int = 5_000) -> dict[str, str]:
    """What an answer says of the primary limit, by the server's clock."""
    reset = str(int(time.time()) + seconds)
    return {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining), "X-RateLimit-Reset": reset}
