"""A GitHub that runs here: stateful, with webhooks over HTTP, a delivery log and git, for as long as a test.

emulate       the REST API, by the npm package `emulate`
edge          what stands in front of it: one address for all
additions     what emulate does not answer: the delivery log, commit statuses, blockers
mirror, git   repositories on disk, served over smart HTTP, and emulate told what is in them
pulls         pull requests, which follow their branches
reviews       reviews, with comments at lines
day           a day of many happenings
deliveries    webhooks on their way: signed, logged, lost and shuffled on command
faults        what a test does to calls
"""

import asyncio
import threading
from collections.abc import Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.support.hub.additions import Additions
from tests.support.hub.deliveries import Deliveries, Delivery, Disorder
from tests.support.hub.edge import WEBHOOKS, Edge
from tests.support.hub.emulate import APP, INSTALLATION, PEOPLE, SLUG, emulate, new_key, seed
from tests.support.hub.faults import Faults, answer
from tests.support.hub.git import Repository
from tests.support.hub.mirror import Mirror

__all__ = ["APP", "INSTALLATION", "PEOPLE", "SLUG", "Delivery", "Disorder", "Faults", "Hub", "Person", "answer", "hub"]

SECRET = "a secret of the test's own"
PATIENCE_SECONDS = 60
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a token, who calls the API. What is refused fails the test."""

    login: str
    token: str
    _client: httpx.Client

    def get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def post(self, path: str, body: object = None) -> Any:
        return self._call("POST", path, body)

    def patch(self, path: str, body: object) -> Any:
        return self._call("PATCH", path, body)

    def put(self, path: str, body: object = None) -> Any:
        return self._call("PUT", path, body)

    def delete(self, path: str, body: object = None) -> Any:
        return self._call("DELETE", path, body)

    def _call(self, method: str, path: str, body: object) -> Any:
        answer = self.ask(method, path, body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        """The same, whatever the answer is."""
        return self._client.request(method, path, json=body, headers={"Authorization": f"Bearer {self.token}"})


class Hub:
    """One GitHub. Its methods may be called from any thread but its own."""

    def __init__(
        self, place: Path, edge: Edge, additions: Additions, mirror: Mirror, *, key: str, client: httpx.Client
    ):
        self.url = edge.url
        """Of the API; of git with /owner/repo.git behind it."""
        self.app_key = key
        self.secret = SECRET
        self.faults = edge.faults
        self.place = place
        self.blocked_by = additions.blocked_by
        self._edge, self._mirror, self._client = edge, mirror, client
        self._loop = asyncio.get_running_loop()

    def person(self, login: str) -> Person:
        return Person(login, token_of(login), self._client)

    def path(self, name: str) -> Path:
        """Of the bare repository owner/repo. Whoever changes it there says `pushed`."""
        return self.place / f"{name}.git"

    def pushed(self, name: str, by: str = "maria") -> None:
        """Something was pushed on disk."""
        self._run(self._mirror.pushed(name, token_of(by)))

    # ── webhooks ─────────────────────────────────────────────────────────────

    @property
    def log(self) -> list[Delivery]:
        """Every delivery so far, oldest first."""
        return list(self._edge.deliveries.log)

    def deliver_to(self, url: str | None) -> None:
        """Where webhooks go from now on."""
        self._edge.deliveries.receiver = url

    def hold(self, on: bool = True) -> None:
        """What happens from now on is logged, and not sent."""
        self._edge.deliveries.holding = on

    def release(self, disorder: Disorder | None = None) -> tuple[int, int, int]:
        """Sends what was held, all in order or in this disorder: how many were held, dropped and doubled.

        It can be sent again, to somebody else.
        """
        return self._run(self._edge.deliveries.release(disorder))

    def hide(self, on: bool = True) -> None:
        """It is morning still: lists of issues, pull requests and deliveries show nothing of what has happened."""
        self._edge.deliveries.hidden = on

    def set_clock(self, ahead: timedelta) -> None:
        """Its clock is so far ahead of the real one, or behind. Tokens it gives then end by that clock."""
        self._run(self._edge.set_clock(ahead))

    def wait_logged(self, count: int) -> None:
        """Until so many deliveries were made."""
        self._run(self._edge.deliveries.wait_logged(count))

    def wait_forwarded(self) -> None:
        """Until all that were made and are not held have been sent."""
        self._run(self._edge.deliveries.wait_forwarded())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)


def token_of(login: str) -> str:
    return f"ghp_of_{login}"


@contextmanager
def hub(
    place: Path, *, repositories: Sequence[str] = ("acme/shop",), files: Mapping[str, str] | None = None
) -> Generator[Hub]:
    """A GitHub with these repositories, each with a first commit of `files` on main, and an App that is installed.

    It lives in a thread of its own, so that a test may wait for a process that calls it.
    """
    ready: list[Hub | BaseException] = []
    up, down = threading.Event(), threading.Event()

    async def live() -> None:
        deliveries, faults = Deliveries(SECRET), Faults()
        tokens = {token_of(login): login for login in PEOPLE}
        edge = Edge(deliveries, faults, repositories=repositories, root_token=token_of("maria"), tokens=tokens)
        on_disk = {name: Repository(place / f"{name}.git") for name in repositories}
        additions, mirror, key = Additions(edge), Mirror(edge, on_disk), new_key()
        async with edge.listening([*additions.routes(), *mirror.routes()]) as url:
            seeded = seed(key=key, secret=SECRET, webhooks=url + WEBHOOKS, repositories=repositories, tokens=tokens)
            with emulate(url, seeded) as edge.emulate, httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as client:
                for name, repository in on_disk.items():
                    await repository.create()
                    for login, permission in {"rita": "push", "ci": "push"}.items():
                        given = {"permission": permission}
                        assert (await edge.call("PUT", f"/repos/{name}/collaborators/{login}", given)).ok
                    await first_commit(repository, files or {"README.md": f"# {name}\n"})
                    await mirror.pushed(name)
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await deliveries.wait_logged(len(repositories))  # that main is there now is told by and by
                ready.append(Hub(place, edge, additions, mirror, key=key, client=client))
                up.set()
                await asyncio.to_thread(down.wait)

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:  # noqa: BLE001 (told to who waits)
            ready.append(error)
            up.set()

    thread = threading.Thread(target=run, name="hub")
    thread.start()
    up.wait()
    try:
        if not isinstance(ready[0], Hub):
            raise ready[0]
        yield ready[0]
    finally:
        down.set()
        thread.join()
    if isinstance(ready[-1], BaseException):
        raise ready[-1]


async def first_commit(repository: Repository, files: Mapping[str, str]) -> None:
    """On main, at a time that is always the same."""
    lines: list[str] = []
    for path, text in files.items():
        blob = await repository.git("hash-object", "-w", "--stdin", stdin=text.encode())
        lines.append(f"100644 {blob}\t{path}\n")
    index = {"GIT_INDEX_FILE": str(repository.path / "index")}
    await repository.git("update-index", "--index-info", stdin="".join(lines).encode(), env=index)
    tree = await repository.git("write-tree", env=index)
    when = {"GIT_AUTHOR_DATE": "1700000000 +0100", "GIT_COMMITTER_DATE": "1700000000 +0100"}
    commit = await repository.git("commit-tree", tree, "-m", "The first commit", env=when)
    await repository.git("update-ref", "refs/heads/main", commit)
