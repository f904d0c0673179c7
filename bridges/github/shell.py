"""The bridge's shell: `rig run github`. It reads the log and the inbox, says what is news, and does what is due.

Its state is the log and GitHub, nothing else: a restart folds, looks, and does what is not yet said. Any number of
bridges may take webhooks in. One at a time, who holds the lease, translates them and acts outside: what is to be looked
at again, and how new the newest was that led to nothing, is known to whoever translated it.
"""

import asyncio
import logging
from collections import Counter
from typing import Final

from bridges.github import receive, telling
from bridges.github.api import GitHub
from bridges.github.asking import answers
from bridges.github.audit import Auditor
from bridges.github.config import GitHubConfig
from bridges.github.courtesy import Courtesy, courtesy
from bridges.github.credentials import serve_credentials
from bridges.github.doing import Doing
from bridges.github.effects import Effects, NotYet, Outcome
from bridges.github.errors import ApiError
from bridges.github.interpreting import Interpreter
from bridges.github.journal import FILTERS, Journal
from bridges.github.plan import Action, Configure, Look, ShowPush, due
from bridges.github.reconcile import Reconciler
from bridges.github.showing import serve_looks
from bridges.github.tokens import credential_of
from bus import Bus, LeaseHeld, Unavailable
from bus.leases import Lease
from bus.tracing import tracing
from machine.lifecycle import Lifecycle
from schemas import EffectRecorded, IssueRef, RepoRef

log = logging.getLogger(__name__)

LEASE: Final = "effects"
LEASE_SECONDS: Final = 10
LEASE_WAIT_SECONDS: Final = 5.0
API: Final = "github"
"""The check that fails while GitHub does not know us, or is away at the start."""
API_PAUSE_SECONDS: Final = 5.0
CHECKS_GRACE_SECONDS: Final = 30.0
"""A head that nobody checks, and that none must check, has passed after so long."""


async def run(
    bus: Bus, lifecycle: Lifecycle, config: GitHubConfig, *, grace_seconds: float = CHECKS_GRACE_SECONDS
) -> None:
    """Serves until the lifecycle says stop. Raises what makes going on impossible (a log that was recreated, say)."""
    async with GitHub.opened(config.api, credential_of(config)) as github, asyncio.TaskGroup() as group:
        bridge = Bridge(bus, lifecycle, config, github, group=group, grace_seconds=grace_seconds)
        group.create_task(_receive(bus, lifecycle, config))
        reading = group.create_task(bridge.read())
        await lifecycle.stop.wait()
        reading.cancel()
        bridge.stop()


async def _receive(bus: Bus, lifecycle: Lifecycle, config: GitHubConfig) -> None:
    """Takes webhooks in from the start: what they mean can wait, they cannot."""
    secrets = [secret.encode() for secret in config.secrets]
    await receive.serve(bus.inbox, lifecycle, address=config.http, secrets=secrets)


class Bridge:
    """One bridge: its folds, and what it is doing now."""

    def __init__(
        self,
        bus: Bus,
        lifecycle: Lifecycle,
        config: GitHubConfig,
        github: GitHub,
        *,
        group: asyncio.TaskGroup,
        grace_seconds: float,
    ) -> None:
        self._bus = bus
        self._lifecycle = lifecycle
        self._config = config
        self._github = github
        self._group = group
        self._journal = Journal(bus)
        self._effects = Effects(github, grace_seconds=grace_seconds)
        self._work: Doing[Action] = Doing(group, self._due, self._do, self._told)
        self._courtesies: Doing[Courtesy] = Doing(
            group, lambda about: courtesy(self._journal.known, about), self._please, self._told
        )
        self._looks: Counter[IssueRef | RepoRef] = Counter()
        self._looked: Counter[IssueRef | RepoRef] = Counter()
        self._lease: Lease | None = None
        self._acting = asyncio.Event()
        """This bridge holds the lease."""
        self._introduced = asyncio.Event()
        """GitHub has said as whom we write there."""
        self._reconciler = Reconciler(
            github,
            self._journal.heard,
            answers=lambda questions: answers(github, questions),
            tell=self._journal.tell,
            look=self.look,
        )
        self._auditor = Auditor(
            bus,
            github,
            every_seconds=config.audit_seconds,
            served=lambda: [ref for ref in self._journal.known.repositories if self._journal.known.served(ref)],
            reconcile=self._reconcile,
            acting=self._acting,
        )
        self._serving: list[asyncio.Task[None]] = []

    async def read(self) -> None:
        """Folds the log; once it has caught up, serves, and considers everything that the log says more about."""
        touched: set[IssueRef | RepoRef] = set()
        async with self._bus.log.follow(FILTERS) as reader:
            while True:
                if reader.caught_up:
                    if not self._serving:
                        await self._begin()
                    for about in sorted(touched, key=str):
                        self._consider(about)
                    touched.clear()
                touched |= self._journal.fold(await reader.next())
                await self._journal.advance()

    def stop(self) -> None:
        """Puts down what is being done. What was begun at GitHub is looked up when it is begun again."""
        for task in self._serving:
            task.cancel()

    # ── serving ──────────────────────────────────────────────────────────────

    async def _begin(self) -> None:
        await serve_credentials(self._bus, self._github, self._config)
        await serve_looks(self._bus, self._github, self._config)
        works = (self._introduce(), self._act(), self._auditor.run(self._lifecycle.stop))
        self._serving = [self._group.create_task(work) for work in works]
        self._lifecycle.ready()

    async def _introduce(self) -> None:
        """Asks GitHub as whom we write there."""
        while self._journal.heard.self_login is None:
            try:
                self._journal.heard.self_login = await self._github.self_login()
                self._lifecycle.check(API, ok=True)
            except ApiError as error:
                self._lifecycle.check(API, ok=False, detail=str(error))
                await asyncio.sleep(API_PAUSE_SECONDS)
        self._introduced.set()

    async def _interpret(self) -> None:
        """Translates what is delivered, once GitHub has said as whom we write there."""
        await self._introduced.wait()
        await Interpreter(self._bus, self._github, self._journal, self.look).work(self._lifecycle.stop)

    async def _act(self) -> None:
        """Does what is due at GitHub while this bridge holds the lease, and waits for it while it does not."""
        while not self._lifecycle.stop.is_set():
            try:
                held = self._bus.leases.hold(LEASE, ttl_seconds=LEASE_SECONDS, wait_seconds=LEASE_WAIT_SECONDS)
                async with held as lease:
                    await self._hold(lease)
            except LeaseHeld as error:
                log.info("%s; this bridge takes webhooks in, and does nothing else", error)
            except Unavailable as error:
                log.warning("%s", error)
                await asyncio.sleep(LEASE_WAIT_SECONDS)

    async def _hold(self, lease: Lease) -> None:
        """What is being done has ended before another may begin."""
        self._lease = lease
        self._take_up()
        self._acting.set()
        tasks = (asyncio.create_task(self._interpret()), asyncio.create_task(lease.lost.wait()))
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            self._acting.clear()
            self._auditor.rest()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._work.rest()
            await self._courtesies.rest()
            self._lease = None

    def _take_up(self) -> None:
        """What may have changed at GitHub while nobody looked is looked at once."""
        self._work.begin()
        self._courtesies.begin()
        known = self._journal.known
        for ref, repository in known.repositories.items():
            if repository.configured is not None:
                self._looks[ref] += 1
        for ref, issue in known.issues.items():
            if issue.pull_request is not None and issue.pull_request.open:
                self._looks[ref] += 1
        for about in (*known.repositories, *known.issues):
            self._consider(about)

    async def _reconcile(self, repository: RepoRef) -> int:
        await self._introduced.wait()
        return await self._reconciler.reconcile(repository)

    # ── doing ────────────────────────────────────────────────────────────────

    def look(self, about: IssueRef | RepoRef) -> None:
        """Something may have changed about it at GitHub."""
        self._looks[about] += 1
        self._consider(about)

    def _consider(self, about: IssueRef | RepoRef) -> None:
        self._work.consider(about)
        self._courtesies.consider(about)
        if (name := _check_of(about)) in self._lifecycle.checks and self._due(about) is None:
            self._lifecycle.check(name, ok=True)

    def _due(self, about: IssueRef | RepoRef) -> Action | None:
        number = self._looks[about]
        return due(self._journal.known, about, number if number > self._looked[about] else 0)

    async def _do(self, action: Action) -> None:
        """One step, and what there is to say of it. Raises NotYet when that has not brought the issue on."""
        with tracing.answering(self._journal.causes.find(action.about, action.cause), type(action).__name__.lower()):
            if self._lease is not None:
                self._lease.check()
            outcome = await self._effects.perform(action)
            await self._tell(action, outcome)
        if isinstance(action, Look | Configure) and action.number:
            self._looked[action.about] = max(self._looked[action.about], action.number)
        if isinstance(action, ShowPush):
            self._looks[action.about] += 1  # checks may be there already
        if outcome.again is not None:
            asyncio.get_running_loop().call_later(outcome.again, self.look, action.about)
        if self._due(action.about) == action:
            raise NotYet("GitHub says nothing new of it")

    async def _please(self, action: Courtesy) -> None:
        """One thing that people look at."""
        await self._introduced.wait()
        login = self._journal.heard.self_login or ""
        with tracing.answering(self._journal.causes.find(action.about, action.cause), type(action).__name__.lower()):
            if self._lease is not None:
                self._lease.check()
            await self._tell(action, await self._effects.please(action, login))

    async def _tell(self, action: Action | Courtesy, outcome: Outcome) -> None:
        for result in outcome.results:
            await telling.tell(self._journal, action, result)

    async def _told(self, action: Action | Courtesy, error: Exception | None) -> None:
        """A person must mend something: said once in the log, and by the lifecycle for as long as it lasts."""
        about, name = action.about, _check_of(action.about)
        if error is None:
            if name in self._lifecycle.checks and isinstance(action, Action):
                self._lifecycle.check(name, ok=True)
            return
        self._lifecycle.check(name, ok=False, detail=str(error))
        if isinstance(about, IssueRef) and isinstance(action, Action) and not isinstance(action, Look):
            effect, words = type(action).__name__, " ".join(str(error).split())
            known = self._journal.known.issues[about].effects.get(effect)
            if known is not None and known.key == action.cause:
                return
            data = EffectRecorded(effect=effect, key=action.cause, outcome=f"refused: {words}"[:300])
            await telling.say(self._journal, action, data)


def _check_of(about: IssueRef | RepoRef) -> str:
    """The name of the check that fails while a person must mend something about it."""
    return f"github {about}"
