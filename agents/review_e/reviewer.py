"""One request of a review, from its look at the log to its one answer there.

What the verdict is about is read from git, what is wanted from the log. A model judges (judge.py), within limits that
are ours: a change that is too large, work of its own, a model that does not answer or answers with something else are
abstentions with their reason, and another reviewer is asked. While it judges it follows the issue: once the pull
request is at another head it says nothing at all. Nothing is checked out and nothing is run.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from msgspec import Struct

from agents.brief import NotReady, Where, brief
from agents.llm.messages import ErrorKind, Model, ModelError
from agents.remember import Recalled, recall, repository_scopes, told
from agents.review_e.answer import Judgement, Unusable, Verdict
from agents.review_e.change import Change
from agents.review_e.judge import PAUSES, judge
from agents.review_e.learning import Learning, Reviewed
from agents.review_e.look import TooLarge, look
from agents.review_e.prompt import Matter
from agents.review_e.request import ROLE, Request, Standing, asked
from agents.review_e.verdict import Said, abstained, said
from agents.runtime import Replica
from agents.workspace import Workspace, WorkspaceFailed
from agents.workspace.access import access
from agents.workspace.conventions import FILES, conventions
from bus import Bus, BusError, Done, Drop, DuplicateMismatch, Outcome, Retry, trace_of
from bus.tracing import tracing
from schemas import (
    AgentEvent,
    AgentRef,
    Draft,
    IssueRef,
    LoginRequired,
    QuotaReported,
    Recorded,
    RepoRef,
    event_id,
    everything_about,
)

__all__ = ["Identity", "Models", "ReviewE"]

log = logging.getLogger(__name__)

BUS_AWAY_SECONDS: Final = 2.0
"""After which a request is tried again when the bus went away in the middle."""
_SHORT_QUOTA: Final = timedelta(hours=5)
"""What resets later than that is the quota of a week."""

Models: TypeAlias = Callable[[IssueRef], AbstractAsyncContextManager[Model]]
"""Who is asked about an issue, which is charged with it."""


class Identity(Struct, frozen=True, kw_only=True):
    """As whom a replica reviews. All replicas of the role are one reviewer."""

    name: str = ROLE
    """As repositories name it among their reviewers."""
    own_models: tuple[str, ...] = ()
    """Patterns of PROVIDER/MODEL: what these have written counts as work of its own."""
    persona: str = ""
    """What its model is told of who it is."""
    seconds: float = 1_200.0
    """How long one review may take, from the change on."""
    recall: int = 6
    """So many memories are shown to the model."""
    learn: bool = False
    """Whether it is asked afterwards what is worth remembering."""
    keep: timedelta | None = None
    """For how long that is; None: as the rig forgets."""


class _Judged(Struct, frozen=True):
    """A verdict, and what it was formed from."""

    judgement: Judgement
    matter: Matter
    found: tuple[Recalled, ...]


class Over(Exception):
    """There is nothing to say any more."""


class Abstained(Exception):
    """No verdict can be given; the message says why."""


class ReviewE:
    """What review-e does with a request."""

    def __init__(
        self,
        bus: Bus,
        replica: Replica,
        workspace: Workspace,
        models: Models,
        identity: Identity,
        *,
        learning: Learning | None = None,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._bus = bus
        self._replica = replica
        self._workspace = workspace
        self._models = models
        self._identity = identity
        self._learning = learning
        self._pauses = pauses
        self._slots = asyncio.Semaphore(replica.config.slots)

    async def work(self, recorded: Recorded) -> Outcome:
        """Answers one request, or leaves it; a `runtime.Work`."""
        request = asked(recorded)
        if request is None:
            return Drop(f"{recorded.event.data.name()} about {recorded.event.about} asks for no review")
        if request.reviewer != self._identity.name:
            return Done()
        outcome = Done()
        try:
            async with self._slots:
                standing = await self._standing(request)
                with self._replica.working_on(request.issue):
                    async with asyncio.TaskGroup() as group:
                        watch = group.create_task(self._watch(request))
                        words, judged = await self._opinion(request, standing)
                        await self._standing(request)  # as the log is now
                        await self._say(request, words, trace_of(recorded.event))
                        watch.cancel()
                        self._learn(request, judged)
        except* Over as over:
            log.info("%s: %s", request, over.exceptions[0])
        except* BusError as away:
            log.warning("%s is put down: %s", request, away.exceptions[0])
            outcome = Retry(BUS_AWAY_SECONDS)
        return outcome

    async def _standing(self, request: Request) -> Standing:
        """Where the request stands in the log. Raises Over."""
        standing = Standing.of(request, await self._events(request.issue))
        if standing.over is not None:
            raise Over(standing.over)
        return standing

    async def _watch(self, request: Request) -> None:
        """Follows the issue while it is judged. Raises Over when that is for nothing."""
        standing = Standing(request)
        async with self._bus.log.follow([everything_about(request.issue)]) as reader:
            async for item in reader:
                if isinstance(item, Recorded):
                    if item.event.id == request.verdict_id:
                        return
                    standing.apply(item)
                    if standing.over is not None:
                        raise Over(standing.over)

    def _learn(self, request: Request, judged: _Judged | None) -> None:
        """Of what was said, later; nothing of the work of somebody else, who could have it remembered what he likes."""
        if self._learning is None or judged is None or request.author is not None:
            return
        if judged.judgement.verdict is Verdict.ABSTAIN:
            return
        self._learning.add(
            Reviewed(
                issue=request.issue,
                verdict_id=request.verdict_id,
                matter=judged.matter,
                judgement=judged.judgement,
                found=judged.found,
            )
        )

    async def _opinion(self, request: Request, standing: Standing) -> tuple[Said, _Judged | None]:
        """The answer, whatever happens, and what it was formed from."""
        try:
            own = standing.own_work((self._identity.name, self._replica.config.name), self._identity.own_models)
            if own is not None:
                raise Abstained(f"It does not review its own work: {own}.")
            judged = await self._judgement(request, standing)
            return said(request, judged.judgement), judged
        except BusError:
            raise
        except (Abstained, TooLarge, WorkspaceFailed, NotReady) as error:
            why = str(error)
        except Unusable as error:
            why = f"The model has given no verdict: {error}"
        except ModelError as error:
            await self._tell(request, error)
            why = f"No model answers ({error.kind.value}): {error}"
        except Exception as error:
            log.exception("%s failed", request)
            why = f"{type(error).__name__}: {error}"
        log.info("%s: it abstains: %s", request, why)
        return abstained(request, why), None

    async def _judgement(self, request: Request, standing: Standing) -> _Judged:
        issue = request.issue
        repository = await self._events(issue.repository)
        where = Where.of(repository)
        title, body, base = request.title, "", where.base_branch
        if title is None:
            what = brief(issue, await self._events(issue), repository)
            title, body, base = what.title, what.body, what.base_branch
        if where.clone_url is None or base is None:
            raise NotReady(f"{issue.repository} is not under the rig, or its forge has not looked at it yet")
        reading = self._workspace.reading(
            issue.repository,
            where.clone_url,
            base=base,
            head=request.head_sha,
            access=access(self._bus, issue.repository, where.forge, where.clone_url),
        )
        with tracing.step("prepare"):
            async with reading as opened:
                change = await look(opened, self._replica.policy.gates)
                ways = conventions(await opened.base_texts(FILES))
            if not change.files:
                raise Abstained(f"It changes nothing of {base}.")
            scopes, query = repository_scopes(issue.repository), f"{title}\n{body}"
            key, limit = request.verdict_id, self._identity.recall
            found = await recall(self._bus, scopes=scopes, query=query, key=key, limit=limit)
        last = standing.disputed[-1:]
        matter = Matter(
            about=str(issue),
            title=title,
            body=body,
            guides=ways.guides,
            remembered=told(found),
            check=where.check or "",
            earlier=tuple(line for said in last for line in (said.summary, *said.comments)),
        )
        with tracing.step("judge"):
            async with self._models(issue) as model:
                return _Judged(await self._judge(model, matter, change), matter, found)

    async def _judge(self, model: Model, matter: Matter, change: Change) -> Judgement:
        clock = asyncio.timeout(self._identity.seconds)
        try:
            async with clock:
                return await judge(model, matter, change, persona=self._identity.persona, pauses=self._pauses)
        except TimeoutError:
            if not clock.expired():
                raise
            raise Abstained(f"It has not come to a verdict within {self._identity.seconds:g} s.") from None

    async def _events(self, about: IssueRef | RepoRef) -> list[Recorded]:
        return await self._bus.log.history([everything_about(about)])

    async def _say(self, request: Request, words: Said, traceparent: str | None) -> None:
        draft = Draft(
            about=request.issue, data=words, cause=request.id, correlation=request.correlation, traceparent=traceparent
        )
        try:
            await self._bus.log.publish(draft, request.verdict_id)
        except DuplicateMismatch:  # another replica has had the request, too, and was first
            raise Over("it is answered") from None
        log.info("%s: %s", request, words.name())

    async def _tell(self, request: Request, error: ModelError) -> None:
        """What the conductor, or a person, must know of a model that does not answer."""
        provider = next((each.provider for each in error.tries if each.kind is error.kind), "") or "gateway"
        match error.kind:
            case ErrorKind.QUOTA:
                late = error.retry_at is not None and error.retry_at - datetime.now(UTC) > _SHORT_QUOTA
                hours, week = (0.0, 100.0) if late else (100.0, 0.0)
                await self._tell_all(
                    request,
                    QuotaReported(
                        provider=provider, five_hour_percent=hours, weekly_percent=week, resets_at=error.retry_at
                    ),
                )
            case ErrorKind.AUTH:
                await self._tell_all(request, LoginRequired(provider=provider))
            case _:
                pass

    async def _tell_all(self, request: Request, event: AgentEvent) -> None:
        """Of a reviewer that goes by its role's name the conductor reads what its replicas say, else what it says."""
        name = self._replica.config.name if self._identity.name == ROLE else self._identity.name
        draft = Draft(about=AgentRef(name), data=event, cause=request.id)
        await self._bus.log.publish(draft, event_id(ROLE, name, request.id, event.name()))
