"""Being a replica of review-e: a workspace of its own, a model behind a gateway, and the requests that come."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

from agents import runtime
from agents.character import Character
from agents.character.prompt import persona
from agents.llm.capped import CappedPurse
from agents.llm.config import Gateways, LlmConfig
from agents.llm.gateway import Gateway
from agents.llm.messages import Model
from agents.llm.rig_purse import BusPurse
from agents.llm.standing import Standing
from agents.review_e.judge import PAUSES
from agents.review_e.learning import Learning
from agents.review_e.request import ROLE
from agents.review_e.reviewer import Identity, Models, ReviewE
from agents.runtime import AgentConfig
from agents.workspace import Workspace
from bus import WANTED, Bus
from machine.git import Identity as GitIdentity
from machine.lifecycle import Lifecycle
from schemas import IssueRef

__all__ = ["by_gateways", "identity_of", "run_review_e"]


async def run_review_e(
    bus: Bus,
    life: Lifecycle,
    *,
    name: str,
    slots: int,
    data_dir: Path,
    models: Models,
    learners: Models,
    provider: str,
    identity: Identity,
    disk_bytes: int | None = None,
    pauses: Sequence[float] = PAUSES,
) -> None:
    """Is the replica `name` until `life.stop`; its workspace is `data_dir/<name>`.

    `learners` say what was learned: what is known of them, and that they are in trouble, is nothing to a review.
    Raises WorkspaceInUse when the replica runs already, and what runtime.run raises.
    """
    who = GitIdentity("rig review-e", f"{name}@rig.invalid")  # it commits nothing
    async with Workspace.taken(data_dir / name, who, quota_bytes=disk_bytes) as workspace:
        learning = Learning(bus, learners, keep=identity.keep) if identity.learn else None
        await runtime.run(
            bus,
            AgentConfig(name=name, role=ROLE, slots=slots, provider=provider),
            lambda replica: ReviewE(bus, replica, workspace, models, identity, learning=learning, pauses=pauses).work,
            life,
            also=(WANTED,),
            beside=() if learning is None else (learning.always,),
        )


def identity_of(character: Character, *, name: str, own_models: tuple[str, ...] = ()) -> Identity:
    """Who a character is as a reviewer."""
    return Identity(
        name=name,
        own_models=own_models,
        persona=persona(character),
        seconds=character.budget.seconds,
        recall=character.memory.recall,
        learn=character.memory.learn,
        keep=None if character.memory.keep_days is None else timedelta(days=character.memory.keep_days),
    )


def by_gateways(bus: Bus, gateways: Gateways, llm: LlmConfig, *, agent: str, limit_usd: float | None = None) -> Models:
    """The operator's models, paid for by the issue that is reviewed; what is known of them is known to all calls.

    What is done for one issue at a time may use `limit_usd`; None: whatever the rig grants.
    """
    standing = Standing()

    def models(issue: IssueRef) -> AbstractAsyncContextManager[Model]:
        purse = BusPurse(bus, agent=agent, role=ROLE, issue=issue)
        capped = purse if limit_usd is None else CappedPurse(purse, limit_usd)
        return Gateway.opened(gateways, llm, capped, standing=standing)

    return models
