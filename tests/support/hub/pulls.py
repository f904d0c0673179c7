"""Pull requests as GitHub keeps them: at their branches, with their files, and mergeable as git says.

emulate sets a pull request's head when it is opened, and never again.
"""

import re
from typing import Any

from aiohttp import web

from tests.support.hub.edge import Edge
from tests.support.hub.git import Repository
from tests.support.hub.reviews import Reviews

__all__ = ["Pulls", "name_of"]

_CLOSES = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):? #(\d+)\b", re.IGNORECASE)


def name_of(request: web.Request) -> str:
    """owner/repo."""
    return f"{request.match_info['owner']}/{request.match_info['repo']}"


class Pulls:
    """Of one edge. `at` is always where the branches of a repository are."""

    def __init__(self, edge: Edge, repositories: dict[str, Repository]) -> None:
        self._edge = edge
        self._repositories = repositories
        self._reviews = Reviews(edge, repositories)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/repos/{owner}/{repo}/pulls/{number}/files", self.files), *self._reviews.routes()]

    async def files(self, request: web.Request) -> web.Response:
        pull = await self._edge.perform_at(request, request.raw_path.partition("/files")[0])
        if not pull.ok:
            return pull.response()
        told, name = pull.json(), name_of(request)
        size, page = int(request.query.get("per_page", "30")), int(request.query.get("page", "1"))
        base = told["base"]["sha"] if not told["merged"] else f"{told['merge_commit_sha']}^"
        changes = await self._changes(name, base, told["head"]["sha"])
        listed = changes[(page - 1) * size : page * size]
        headers: dict[str, str] = {}
        if page * size < len(changes):
            following = f"{self._edge.url}{request.path}?per_page={size}&page={page + 1}"
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response(listed, headers=headers)

    async def close_issues(self, name: str, text: str, request: web.Request) -> None:
        """What a merged pull request says it closes is closed by GitHub, in the name of who merged."""
        for number in {int(found) for found in _CLOSES.findall(text)}:
            issue = await self._edge.call("GET", f"/repos/{name}/issues/{number}")
            if issue.ok and issue.json()["state"] == "open":
                closed = {"state": "closed", "state_reason": "completed"}
                await self._edge.call(
                    "PATCH",
                    f"/repos/{name}/issues/{number}",
                    closed,
                    authorization=request.headers["Authorization"],
                )

    async def get(self, name: str, number: int) -> Any:
        return (await self._edge.call("GET", f"/repos/{name}/pulls/{number}")).json()

    async def follow(self, name: str, at: dict[str, str], sender: Any) -> None:
        """Open pull requests are at their branches; one whose head moved says so."""
        for pull in (await self._edge.call("GET", f"/repos/{name}/pulls?per_page=100")).json():
            before, after = pull["head"]["sha"], at.get(pull["head"]["ref"])
            if after is None:  # the branch was deleted
                await self._edge.call("PATCH", f"/repos/{name}/pulls/{pull['number']}", {"state": "closed"})
                continue
            if before == after and pull["base"]["sha"] == at[pull["base"]["ref"]]:
                continue
            await self.judge(name, at, pull)
            if before != after:
                more = {"action": "synchronize", "number": pull["number"], "before": before, "after": after}
                told = await self.get(name, pull["number"])
                await self._edge.happened("pull_request", name, sender, more | {"pull_request": told})

    async def judge(self, name: str, at: dict[str, str], pull: Any) -> None:
        """Says what a pull request comes to, by git."""
        base, head = at[pull["base"]["ref"]], at[pull["head"]["ref"]]
        repository = self._repositories[name]
        conflicts = (await repository.attempt("merge-tree", "--write-tree", base, head))[0] != 0
        changes = await self._changes(name, base, head)
        await self._edge.set(
            "pullRequests",
            {"number": pull["number"], "repo_id": pull["base"]["repo"]["id"]},
            {
                "head_sha": head,
                "base_sha": base,
                "mergeable": not conflicts,
                "mergeable_state": "dirty" if conflicts else "clean",
                "commits": int(await repository.git("rev-list", "--count", f"{base}..{head}")),
                "changed_files": len(changes),
                "additions": sum(change["additions"] for change in changes),
                "deletions": sum(change["deletions"] for change in changes),
            },
        )

    async def _changes(self, name: str, base: str, head: str) -> list[dict[str, Any]]:
        """What a pull request changes, as GitHub lists it."""
        repository, words = self._repositories[name], ("-z", "-M", f"{base}...{head}")
        kinds = {"A": "added", "D": "removed", "M": "modified", "R": "renamed", "T": "changed"}
        told = (await repository.git("diff", "--name-status", *words)).split("\0")
        counted = (await repository.git("diff", "--numstat", *words)).split("\0")
        changes: list[dict[str, Any]] = []
        while told and told[0]:
            kind, before = told.pop(0)[0], told.pop(0)
            after = told.pop(0) if kind == "R" else before
            added, removed, _ = counted.pop(0).split("\t")
            if kind == "R":
                counted[:2] = []
            lines = [0 if number == "-" else int(number) for number in (added, removed)]
            change = {"filename": after, "status": kinds[kind], "additions": lines[0], "deletions": lines[1]}
            changes.append(change | {"changes": sum(lines)} | ({"previous_filename": before} if kind == "R" else {}))
        return changes
