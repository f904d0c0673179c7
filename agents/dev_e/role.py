"""Being a replica of dev-e: its configuration, its workspace, its coder, until it is asked to stop."""

from pathlib import Path

import msgspec

from agents import runtime
from agents.coders import program
from agents.coders.coder import coder as coder_of
from agents.coders.driver import Driver, LoginMissing
from agents.dev_e.fitness import Fitness
from agents.dev_e.login import Login
from agents.dev_e.manner import PLAIN, Manner
from agents.dev_e.run import ROLE
from agents.dev_e.work import DevE
from agents.runtime import AgentConfig, Replica
from agents.workspace import Workspace
from bus import Bus
from machine.git import Identity
from machine.lifecycle import Lifecycle, Misconfigured
from machine.sandbox import Sandbox
from schemas import Invalid, escape
from schemas.refs import Name

MAX_SLOTS = 64
HOMES = ".coders"
"""In the workspace: what coding CLIs keep there. No owner of a repository is called so."""


async def run_dev_e(
    bus: Bus,
    life: Lifecycle,
    *,
    name: str,
    slots: int,
    coder: str,
    data_dir: Path,
    capabilities: tuple[str, ...] = (),
    sandbox: Sandbox | None = None,
    disk_bytes: int | None = None,
    manner: Manner = PLAIN,
) -> None:
    """Is the replica `name` until `life.stop`; its workspace is `data_dir/<name>`.

    Its coder, and the checks of what that wrote, are kept in the `sandbox`; its workspace takes no more than
    `disk_bytes` when a run begins. It takes work that needs no more than its `capabilities`, and none while nobody has
    logged its coder in. Raises Misconfigured with all that is wrong about name, slots and coder (see coders.coder),
    WorkspaceInUse when the replica runs already, and what runtime.run raises.
    """
    driver = _configured(name, slots, coder)
    fitness = Fitness(driver, life)
    await fitness.look()
    if fitness.problem is not None and not isinstance(fitness.problem, LoginMissing):
        raise Misconfigured(str(fitness.problem))
    config = AgentConfig(
        name=name,
        role=ROLE,
        slots=slots,
        provider=driver.provider,
        models=fitness.checked.models,
        capabilities=capabilities,
    )
    identity = Identity(name, f"{name}@rig.invalid")
    async with Workspace.taken(data_dir / escape(name), identity, quota_bytes=disk_bytes) as workspace:
        home = data_dir / escape(name) / HOMES / escape(driver.provider)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        await program.sweep(home)  # of one that was killed here: its coder may be at work in what we take up

        def work(replica: Replica) -> runtime.Work:
            return DevE(bus, replica, workspace, driver, fitness, home=home, sandbox=sandbox, manner=manner).work

        login = Login(bus, driver, home)
        await runtime.run(bus, config, work, life, beside=[lambda replica: fitness.watch(replica, login)])


def _configured(name: str, slots: int, coder: str) -> Driver:
    problems: list[str] = []
    try:
        msgspec.convert(name, Name)
    except msgspec.ValidationError:
        problems.append(f"name {name!r}: write letters, digits, dots and dashes, like dev-e-1")
    if not 1 <= slots <= MAX_SLOTS:
        problems.append(f"slots {slots}: write 1 to {MAX_SLOTS}")
    try:
        driver = coder_of(coder)
    except Invalid as error:
        problems += [f"coder: {problem}" for problem in error.problems]
    else:
        if not problems:
            return driver
    raise Misconfigured(str(Invalid(ROLE, problems)))
