"""Reviews as GitHub takes them: with comments at lines that the pull request shows, or not at all; their text edited.

emulate knows only positions, keeps a review whose comments it refuses, and edits none that was submitted.
"""

import json
import re

from aiohttp import web

from tests.support.hub.edge import Edge, refused
from tests.support.hub.git import Repository

__all__ = ["Reviews"]

_HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", re.MULTILINE)


class Reviews:
    """Of one edge."""

    def __init__(self, edge: Edge, repositories: dict[str, Repository]) -> None:
        self._edge = edge
        self._repositories = repositories

    def routes(self) -> list[web.RouteDef]:
        reviews = "/repos/{owner}/{repo}/pulls/{number}/reviews"
        return [web.post(reviews, self._review), web.put(reviews + "/{review:\\d+}", self._edit)]

    async def _review(self, request: web.Request) -> web.Response:
        """Who has reviewed is not asked any more."""
        asked = await request.json()
        comments = asked.pop("comments", [])
        name, number = f"{request.match_info['owner']}/{request.match_info['repo']}", request.match_info["number"]
        pull = (await self._edge.call("GET", f"/repos/{name}/pulls/{number}")).json()
        for comment in comments:
            if not await self._shows(name, pull["base"]["sha"], asked["commit_id"], comment):
                return refused(422, "Unprocessable Entity: Line could not be resolved")
        placed = [{"path": each["path"], "position": each["line"], "body": each["body"]} for each in comments]
        answer = await self._edge.perform_with(request, json.dumps({**asked, "comments": placed}).encode())
        if answer.ok:
            by = answer.json()["user"]["login"]
            left = [each["id"] for each in pull["requested_reviewers"] if each["login"] != by]
            where = {"number": pull["number"], "repo_id": pull["base"]["repo"]["id"]}
            await self._edge.set("pullRequests", where, {"requested_reviewer_ids": left})
        return answer.response()

    async def _edit(self, request: web.Request) -> web.Response:
        body = (await request.json())["body"]
        await self._edge.set("reviews", {"id": int(request.match_info["review"])}, {"body": body})
        return (await self._edge.call("GET", request.path, authorization=request.headers["Authorization"])).response()

    async def _shows(self, name: str, base: str, head: str, comment: dict[str, object]) -> bool:
        """Whether a line stands in the changes, or in the three around them."""
        diff = await self._repositories[name].git(
            "diff", "-U3", f"{base}...{head}", "--", f":(literal){comment['path']}"
        )
        hunks = [(int(start), int(count or 1)) for start, count in _HUNK.findall(diff)]
        line = comment["line"]
        assert isinstance(line, int)
        return any(start <= line < start + count for start, count in hunks)
