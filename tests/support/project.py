"""A repository that the local forge serves, and a clone in which an agent works."""

from datetime import UTC, datetime
from pathlib import Path

from bridges.local.repository import branch_head
from machine.git import Git, Identity, branch_ref

AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
DEV = Identity("dev-e", "dev-e@localhost")


class Project:
    """A repository that is served, and a clone in which an agent works."""

    def __init__(self, path: Path, agent: Path) -> None:
        self.path = path
        self.git = Git(path, env=DEV.environment(AT))
        self.agent = Git(agent, env=DEV.environment(AT))

    async def work(self, branch: str, files: dict[str, str], *, on: str = "main") -> str:
        """An agent's commit on top of a branch, pushed to `branch`; its id."""
        await self.agent.run("fetch", "-q", "origin")
        await self.agent.run("checkout", "-q", "--detach", f"origin/{on}")
        head = await commit(self.agent, files)
        await self.agent.run("push", "-q", "origin", f"HEAD:{branch_ref(branch)}")
        return head

    async def base(self) -> str:
        return await branch_head(self.path, "main")

    async def move_base(self, files: dict[str, str]) -> str:
        """Somebody else's commit on main, so that a checkout of it follows."""
        await self.agent.run("fetch", "-q", "origin")
        await self.agent.run("checkout", "-q", "--detach", "origin/main")
        head = await commit(self.agent, files)
        receive = "git -c receive.denyCurrentBranch=updateInstead receive-pack"
        await self.agent.run("push", "-q", f"--receive-pack={receive}", "origin", "HEAD:main")
        return head


async def commit(git: Git, files: dict[str, str]) -> str:
    for name, text in files.items():
        (git.directory / name).parent.mkdir(parents=True, exist_ok=True)
        (git.directory / name).write_text(text)
    await git.run("add", "--all")
    await git.run("commit", "-q", "-m", "work")
    return await git.run("rev-parse", "HEAD")


async def new_project(tmp_path: Path, kind: str) -> Project:
    await Git(tmp_path).run("init", "-q", "-b", "main", "shop")
    await commit(
        Git(tmp_path / "shop", env=DEV.environment(AT)), {"total.py": "one\ntwo\nthree\n", "test.sh": "true\n"}
    )
    path = tmp_path / "shop"
    if kind == "bare":
        await Git(tmp_path).run("clone", "-q", "--bare", "shop", "shop.git")
        path = tmp_path / "shop.git"
    await Git(tmp_path).run("clone", "-q", str(path), "agent")
    return Project(path, tmp_path / "agent")
