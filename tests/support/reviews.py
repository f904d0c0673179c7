"""review-e on a real log, with real git and a model over HTTP that says what a script tells it; and everybody else."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from agents.llm.config import LlmConfig
from agents.llm.gateway import Gateway
from agents.llm.messages import Model
from agents.review_e.reviewer import Identity
from agents.review_e.role import run_review_e
from bus import Bus
from deploy.embedded.nats import NatsServer, embedded_nats
from machine import process
from machine.lifecycle import Lifecycle
from schemas import (
    FLEET,
    Actor,
    Draft,
    Event,
    IssueApproved,
    IssueRef,
    Policy,
    PolicyAdopted,
    PullRequestOpened,
    Recorded,
    Ref,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
)
from schemas.queries import ALLOWANCE, Allowance, AllowanceRequest
from tests.support.models import ModelServer, TestClock, TestPurse, gateways, served
from tests.support.patience import impatient
from tests.support.saying import assigned, pushed, started
from tests.support.servers import connected, reaching
from tests.support.shop import git, new_repository

SHOP = RepoRef("demo", "shop")
ISSUE = IssueRef("demo", "shop", 1)
MODEL = "judge"
_ROOT = Path(__file__).parents[2]
VERDICTS = (ReviewPassed, ReviewDisputed, ReviewAbstained)
POLICY = Policy(heartbeat_seconds=1)


def answer(verdict: str, *findings: dict, summary: str = "So it is.") -> str:
    return json.dumps({"findings": findings, "summary": summary, "verdict": verdict})


def finding(line: int = 1, *, file: str = "total.py", blocking: bool = True, text: str = "Wrong sign.") -> dict:
    return {"file": file, "line": line, "blocking": blocking, "text": text}


class Desk:
    """A log, a repository with a change, a scripted model, and everybody but review-e."""

    def __init__(self, tmp_path: Path, server: NatsServer, voices: dict[Actor, Bus], model: ModelServer) -> None:
        self.tmp_path = tmp_path
        self.server = server
        self.bus = voices[Actor.REVIEW_E]
        self.model = model
        self.shop = tmp_path / "shop"
        self.life = Lifecycle()
        self.purse = TestPurse()
        self.charged: list[IssueRef] = []
        self._voices = voices
        self._running: list[asyncio.Task[None]] = []
        self._said = 0

    async def say(self, actor: Actor, about: Ref, data: Event) -> Recorded:
        self._said += 1
        position = await self._voices[actor].log.publish(Draft(about=about, data=data), f"t-{self._said}")
        recorded = await self.bus.log.at(position)
        assert isinstance(recorded, Recorded)
        return recorded

    async def serve(self, files: dict[str, str] | None = None, *, policy: Policy = POLICY) -> None:
        """A policy, a repository under the rig, an approved issue."""
        new_repository(self.shop, {"total.py": "a - b\n", **(files or {})})
        base, url = git(self.shop, "rev-parse", "HEAD"), str(self.shop)
        await self.say(Actor.CLI, FLEET, PolicyAdopted(policy=policy, hash=policy.digest(), by="ann"))
        await self.say(Actor.CLI, SHOP, RepositoryAdded(clone_url=url, check="make test", by="ann"))
        configured = RepositoryConfigured(base_branch="main", base_sha=base, clone_url=url, check="make test")
        await self.say(Actor.LOCAL, SHOP, configured)

    def commit(self, branch: str, path: str, content: str) -> str:
        git(self.shop, "switch", "-q", "-C", branch)
        (self.shop / path).write_text(content)
        git(self.shop, "add", "--all")
        git(self.shop, "commit", "-q", "-m", "A change")
        return git(self.shop, "rev-parse", "HEAD")

    async def work(
        self, content: str = "a + b\n", *, number: int = 1, agent: str = "dev-e-1", approve: bool = True
    ) -> str:
        """An issue that was worked on, up to its pull request; the head."""
        issue = IssueRef("demo", "shop", number)
        if approve:
            approved = IssueApproved(title=f"Fix number {number}", body="Acceptance: it adds.", author="ann")
            await self.say(Actor.CLI, issue, approved)
        run, branch = f"r-{number}", f"rig/{number}/1-r-{number}"
        head = self.commit(branch, "total.py", content)
        await self.say(Actor.CONDUCTOR, issue, assigned())
        await self.say(Actor.DEV_E, issue, started(run=run, agent=agent, number=number))
        await self.say(Actor.DEV_E, issue, pushed(run=run, head=head, number=number))
        opened = PullRequestOpened(pull_request=number, url="", branch=branch, head_sha=head, author="rig")
        await self.say(Actor.LOCAL, issue, opened)
        return head

    async def ask(self, head: str, *, number: int = 1, reviewer: str = "review-e", iteration: int = 1) -> Recorded:
        requested = ReviewRequested(epoch=1, pull_request=number, head_sha=head, reviewer=reviewer, iteration=iteration)
        return await self.say(Actor.CONDUCTOR, IssueRef("demo", "shop", number), requested)

    def start(self, name: str = "review-e-1", *, slots: int = 1, identity: Identity | None = None) -> None:
        """One replica, or one more."""
        llm = LlmConfig(models=(f"lab/{MODEL}",))

        def models(issue: IssueRef) -> AbstractAsyncContextManager[Model]:
            self.charged.append(issue)
            return Gateway.opened(gateways(self.model.url, f"lab/{MODEL}"), llm, self.purse, clock=TestClock())

        running = run_review_e(
            self.bus,
            self.life,
            name=name,
            slots=slots,
            data_dir=self.tmp_path / "agents",
            models=models,
            learners=models,
            provider="lab",
            identity=identity or Identity(),
            pauses=(0.0, 0.0),
        )
        self._running.append(asyncio.ensure_future(running))

    @asynccontextmanager
    async def process(self, name: str = "review-e-1") -> AsyncGenerator[asyncio.subprocess.Process]:
        """A replica as `rig run review-e` is one; gone in the end, whatever it does then."""
        env = {
            **process.environment({}),
            **reaching(self.server, Actor.REVIEW_E),
            "RIG_HOME": str(self.tmp_path / "home"),
            "RIG_AGENT": name,
            "RIG_GATEWAY_URL": self.model.url,
            "RIG_GATEWAY_MODEL": MODEL,
            "PYTHONPATH": str(_ROOT),
        }
        argv = (sys.executable, "-m", "deploy.roles", "review-e")
        with (self.tmp_path / "review-e.log").open("ab") as log:
            started = await asyncio.create_subprocess_exec(*argv, env=env, stdout=log, stderr=log)
        try:
            yield started
        finally:
            with suppress(ProcessLookupError):
                started.kill()
            await started.wait()

    async def grant(self) -> None:
        """What a conductor says of money: that there is some."""

        async def answer(asked: AllowanceRequest) -> Allowance:
            return Allowance(granted=True, scope="day", limit_usd=None, committed_usd=asked.amount_usd)

        await self._voices[Actor.CONDUCTOR].services.serve("conductor", ALLOWANCE, AllowanceRequest, answer)

    async def verdict(self, request: Recorded) -> Recorded:
        """The answer to a request; not waited for when the agent has died."""
        waiting = asyncio.ensure_future(self._verdict(request))
        await asyncio.wait((waiting, *self._running), return_when=asyncio.FIRST_COMPLETED)
        for task in self._running:
            if task.done():
                waiting.cancel()
                task.result()
        return await waiting

    async def _verdict(self, request: Recorded) -> Recorded:
        async with self.bus.log.follow() as reader:
            async for item in reader:
                if isinstance(item, Recorded) and item.event.causationid == request.event.id and _is_verdict(item):
                    return item
        raise AssertionError("a reader does not end")

    async def verdicts(self) -> list[Recorded]:
        return [item for item in await self.bus.log.history(["rig.issue.>"]) if _is_verdict(item)]

    def told(self, turn: int = 0) -> str:
        """What the model was told in its turn, by the user."""
        messages = self.model.asked[turn].body["messages"]
        return "\n".join(message["content"] for message in messages if message["role"] == "user")

    async def stop(self) -> None:
        self.life.stop.set()
        await asyncio.gather(*self._running)


def _is_verdict(item: Recorded) -> bool:
    return isinstance(item.event.data, VERDICTS) and item.event.actor == Actor.REVIEW_E


@asynccontextmanager
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    """A log of its own; what runs on it is stopped in the end."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(embedded_nats(tmp_path / "nats"))
        model = await stack.enter_async_context(served())
        voices: dict[Actor, Bus] = {}
        for actor in (Actor.CLI, Actor.LOCAL, Actor.GITHUB, Actor.CONDUCTOR, Actor.DEV_E, Actor.REVIEW_E):
            with impatient():
                voices[actor] = await stack.enter_async_context(await connected(server, actor, f"{actor.value}/test"))
        it = Desk(tmp_path, server, voices, model)
        yield it
        await it.stop()
