"""Git and emulate kept at one: what is pushed is taught to emulate, what emulate commits is brought to git.

emulate has git's objects and no git. It computes the same ids as git does of the same content, and is held to that.
"""

import asyncio
import base64
import json
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from aiohttp import web

from tests.support.hub.edge import Edge, refused
from tests.support.hub.git import Repository, backend, password
from tests.support.hub.pulls import Pulls, name_of

__all__ = ["Mirror"]


class Mirror:
    """Of one edge: its repositories by name (owner/repo)."""

    def __init__(self, edge: Edge, repositories: dict[str, Repository]) -> None:
        self._edge = edge
        self._repositories = repositories
        self._pulls = Pulls(edge, repositories)
        self._known: dict[str, set[str]] = {name: set() for name in repositories}
        """Blobs and trees that emulate knows."""
        self._at: dict[str, dict[str, str]] = {name: {} for name in repositories}
        """Where the branches are, as both know."""
        self._turn = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        repo = "/repos/{owner}/{repo}"
        return [
            web.route("*", "/{owner}/{repo}.git/{tail:.*}", self._git),
            web.post(repo + "/git/refs", self._moving),
            web.patch(repo + "/git/refs/{ref:.+}", self._moving),
            web.delete(repo + "/git/refs/{ref:.+}", self._moving),
            web.put(repo + "/contents/{path:.+}", self._moving),
            web.put(repo + "/pulls/{number}/update-branch", self._moving),
            web.post(repo + "/pulls", self._open),
            web.put(repo + "/pulls/{number}/merge", self._merge),
            *self._pulls.routes(),
        ]

    async def pushed(self, name: str, token: str | None = None) -> None:
        """Something changed on disk, pushed by who has the token."""
        async with self._turn:
            await self._teach(name, token or self._edge.root_token)

    # ── what is called ───────────────────────────────────────────────────────

    async def _git(self, request: web.Request) -> web.Response:
        name = f"{request.match_info['owner']}/{request.match_info['repo']}"
        token, repository = password(request), self._repositories.get(name)
        if token is None or token not in self._edge.tokens:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="GitHub"'})
        if repository is None:
            return web.Response(status=404)
        answer = await backend(request, repository, "/" + request.match_info["tail"])
        if request.match_info["tail"] == "git-receive-pack":
            await self.pushed(name, token)
        return answer

    async def _moving(self, request: web.Request) -> web.Response:
        """A call that may move branches."""
        async with self._turn:
            answer = await self._edge.perform(request)
            if answer.ok:
                await self._learn(name_of(request), request)
            return answer.response()

    async def _open(self, request: web.Request) -> web.Response:
        async with self._turn:
            name, asked = name_of(request), await request.json()
            head, base = str(asked.get("head")).rpartition(":")[2], str(asked.get("base"))
            at = self._at[name]
            if head not in at or base not in at or at[head] == at[base]:
                return refused(422, "Validation Failed")
            for each in (await self._edge.call("GET", f"/repos/{name}/pulls?per_page=100")).json():
                if (each["head"]["ref"], each["base"]["ref"]) == (head, base):
                    return refused(422, f"Validation Failed: A pull request already exists for {head}.")
            answer = await self._edge.perform(request)
            if not answer.ok:
                return answer.response()
            await self._pulls.judge(name, self._at[name], answer.json())
            return web.json_response(await self._pulls.get(name, answer.json()["number"]), status=201)

    async def _merge(self, request: web.Request) -> web.Response:
        async with self._turn:
            name, number, asked = name_of(request), int(request.match_info["number"]), json.loads(await request.read())
            if not (await self._edge.call("GET", f"/repos/{name}/pulls/{number}")).ok:
                return refused(404, "Not Found")
            pull, repository = await self._pulls.get(name, number), self._repositories[name]
            if pull["merged"] or pull["state"] == "closed" or pull["draft"]:
                return refused(405, "Pull Request is not mergeable")
            if asked.get("sha") not in (None, pull["head"]["sha"]):
                return refused(409, "Head branch was modified. Review and try the merge again.")
            base, head = self._at[name][pull["base"]["ref"]], pull["head"]["sha"]
            code, out, _ = await repository.attempt("merge-tree", "--write-tree", base, head)
            if code != 0:
                return refused(405, "Pull Request is not mergeable")
            # emulate takes the head's tree for the merge's, so for this moment the head has the tree of the merge.
            merged, tree = out.decode().strip(), await repository.git("rev-parse", f"{head}^{{tree}}")
            await self._teach_tree(name, merged, self._edge.root_token)
            await self._edge.set("commits", {"sha": head}, {"tree_sha": merged})
            answer = await self._edge.perform(request)
            await self._edge.set("commits", {"sha": head}, {"tree_sha": tree})
            if not answer.ok:
                status = 405 if answer.status == 422 else answer.status
                return refused(status, answer.json()["message"])
            await self._learn(name, request)
            moved = {"ref": f"refs/heads/{pull['base']['ref']}", "before": base, "after": answer.json()["sha"]}
            await self._edge.happened("push", name, await self._edge.sender(request), moved | {"commits": []})
            if pull["base"]["ref"] == pull["base"]["repo"]["default_branch"]:
                await self._pulls.close_issues(name, f"{pull['title']}\n{pull['body'] or ''}", request)
            return answer.response()

    # ── from git to emulate ──────────────────────────────────────────────────

    async def _teach(self, name: str, token: str) -> None:
        repository, before = self._repositories[name], self._at[name]
        now = await repository.branches()
        new = [head for branch, head in now.items() if before.get(branch) != head]
        if new:
            old = [f"^{head}" for head in before.values()]
            commits = await repository.git("rev-list", "--topo-order", "--reverse", *new, *old)
            for commit in commits.split():
                await self._teach_commit(name, commit, token)
        self._at[name] = now
        for branch in sorted({*before, *now}):
            await self._teach_branch(name, branch, before.get(branch), now.get(branch), token)
        await self._pulls.follow(name, self._at[name], await self._edge.who_has(token))

    async def _teach_branch(self, name: str, branch: str, before: str | None, now: str | None, token: str) -> None:
        if before == now:
            return
        path, authorization = f"/repos/{name}/git/refs", f"Bearer {token}"
        if now is None:
            answer = await self._edge.call("DELETE", f"{path}/heads/{branch}", authorization=authorization)
        elif before is None:
            new = {"ref": f"refs/heads/{branch}", "sha": now}
            answer = await self._edge.call("POST", path, new, authorization=authorization)
        else:
            moved = {"sha": now, "force": True}
            answer = await self._edge.call("PATCH", f"{path}/heads/{branch}", moved, authorization=authorization)
        assert answer.ok, answer.body

    async def _teach_commit(self, name: str, commit: str, token: str) -> None:
        raw = (await self._repositories[name].raw("cat-file", "commit", commit)).decode()
        head, _, message = raw.partition("\n\n")
        lines = [line.partition(" ") for line in head.splitlines()]
        told = {key: value for key, _, value in lines}
        await self._teach_tree(name, told["tree"], token)
        body = {
            "message": message,
            "tree": told["tree"],
            "parents": [value for key, _, value in lines if key == "parent"],
            "author": _person(told["author"]),
            "committer": _person(told["committer"]),
        }
        answer = await self._edge.call("POST", f"/repos/{name}/git/commits", body, authorization=f"Bearer {token}")
        assert answer.ok, answer.body
        assert answer.json()["sha"] == commit, "emulate's id of a commit is git's"

    async def _teach_tree(self, name: str, tree: str, token: str) -> None:
        known, repository = self._known[name], self._repositories[name]
        if tree in known:
            return
        entries: list[dict[str, str]] = []
        for line in (await repository.git("ls-tree", "-r", "-z", tree)).split("\0"):
            if not line:
                continue
            about, _, path = line.partition("\t")
            mode, kind, sha = about.split(" ")
            entries.append({"path": path, "mode": mode, "type": kind, "sha": sha})
            if kind == "blob" and sha not in known:
                await self._teach_blob(name, sha, token)
        body = {"tree": entries}
        answer = await self._edge.call("POST", f"/repos/{name}/git/trees", body, authorization=f"Bearer {token}")
        assert answer.ok, answer.body
        assert answer.json()["sha"] == tree, "emulate's id of a tree is git's"
        known.add(tree)

    async def _teach_blob(self, name: str, sha: str, token: str) -> None:
        content = await self._repositories[name].raw("cat-file", "blob", sha)
        body = {"content": base64.b64encode(content).decode(), "encoding": "base64"}
        answer = await self._edge.call("POST", f"/repos/{name}/git/blobs", body, authorization=f"Bearer {token}")
        assert answer.json()["sha"] == sha, "emulate's id of a blob is git's"
        self._known[name].add(sha)

    # ── from emulate to git ──────────────────────────────────────────────────

    async def _learn(self, name: str, request: web.Request) -> None:
        repository, now = self._repositories[name], dict[str, str]()
        for ref in (await self._edge.call("GET", f"/repos/{name}/git/matching-refs/heads/")).json():
            branch, sha = ref["ref"].removeprefix("refs/heads/"), ref["object"]["sha"]
            now[branch] = sha
            await self._learn_commit(name, sha)
            if self._at[name].get(branch) != sha:
                await repository.git("update-ref", f"refs/heads/{branch}", sha)
        for branch in self._at[name].keys() - now.keys():
            await repository.git("update-ref", "-d", f"refs/heads/{branch}")
        self._at[name] = now
        await self._pulls.follow(name, self._at[name], await self._edge.sender(request))

    async def _learn_commit(self, name: str, sha: str) -> None:
        repository = self._repositories[name]
        if await repository.has(sha):
            return
        told = (await self._edge.call("GET", f"/repos/{name}/git/commits/{sha}")).json()
        for parent in told["parents"]:
            await self._learn_commit(name, parent["sha"])
        await self._learn_tree(name, told["tree"]["sha"])
        message = told["message"] if told["message"].endswith("\n") else told["message"] + "\n"
        raw = "\n".join(
            [
                f"tree {told['tree']['sha']}",
                *(f"parent {parent['sha']}" for parent in told["parents"]),
                f"author {_identity(told['author'])}",
                f"committer {_identity(told['committer'])}",
                "",
                message,
            ]
        )
        made = await repository.git("hash-object", "-w", "-t", "commit", "--stdin", stdin=raw.encode())
        assert made == sha, "git's id of a commit is emulate's"

    async def _learn_tree(self, name: str, tree: str) -> None:
        repository = self._repositories[name]
        if await repository.has(tree):
            return
        told = (await self._edge.call("GET", f"/repos/{name}/git/trees/{tree}?recursive=1")).json()
        lines: list[str] = []
        for entry in told["tree"]:
            if entry["type"] == "tree":
                continue
            if not await repository.has(entry["sha"]):
                blob = (await self._edge.call("GET", f"/repos/{name}/git/blobs/{entry['sha']}")).json()
                content = base64.b64decode(blob["content"])
                await repository.git("hash-object", "-w", "--stdin", stdin=content)
            lines.append(f"{entry['mode']} {entry['sha']}\t{entry['path']}\n")
        with tempfile.TemporaryDirectory() as scratch:
            index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
            await repository.git("update-index", "--index-info", stdin="".join(lines).encode(), env=index)
            assert await repository.git("write-tree", env=index) == tree, "git's id of a tree is emulate's"


def _person(line: str) -> dict[str, str]:
    """Of a line of a commit, as the API has it."""
    name, _, rest = line.partition(" <")
    email, _, when = rest.partition("> ")
    seconds, zone = when.split(" ")
    minutes = (int(zone[1:3]) * 60 + int(zone[3:5])) * (-1 if zone[0] == "-" else 1)
    at = datetime.fromtimestamp(int(seconds), timezone(timedelta(minutes=minutes)))
    return {"name": name, "email": email, "date": at.isoformat()}


def _identity(person: dict[str, str]) -> str:
    """The line of a commit."""
    at = datetime.fromisoformat(person["date"])
    return f"{person['name']} <{person['email']}> {int(at.timestamp())} {at:%z}"
