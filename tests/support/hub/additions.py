"""Calls that GitHub answers and emulate does not, or not so: the delivery log, statuses, permissions, blockers."""

from typing import Any

from aiohttp import web

from tests.support.hub.edge import Edge, refused

__all__ = ["Additions"]

_WORST = ("error", "failure", "pending", "success")


class Additions:
    """Of one edge."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._statuses: dict[str, list[dict[str, Any]]] = {}
        self.blocked_by: dict[tuple[str, int], list[int]] = {}
        """GitHub's own links between issues of one repository: (owner/repo, number) → numbers."""

    def routes(self) -> list[web.RouteDef]:
        repo = "/repos/{owner}/{repo}"
        return [
            web.get("/app/hook/deliveries", self._deliveries),
            web.get("/app/hook/deliveries/{id}", self._delivery),
            web.post("/app/hook/deliveries/{id}/attempts", self._attempt),
            web.get("/app/hook/config", self._hook_config),
            web.get("/installation/repositories", self._repositories),
            web.get(repo + "/collaborators/{login}/permission", self._permission),
            web.get(repo + "/issues/{number}/dependencies/blocked_by", self._blockers),
            web.get(repo + "/issues", self._none_yet),
            web.get(repo + "/pulls", self._none_yet),
            web.post(repo + "/statuses/{sha}", self._set_status),
            web.get(repo + "/commits/{sha:.+}/status", self._combined),
            web.get(repo + "/commits/{sha:.+}/statuses", self._listed),
        ]

    # ── the delivery log of the App ──────────────────────────────────────────

    async def _deliveries(self, request: web.Request) -> web.Response:
        if not await self._is_app(request):
            return refused(401, "A JSON web token could not be decoded")
        size = min(int(request.query.get("per_page", "30")), 100)
        before = int(request.query.get("cursor") or len(self._edge.deliveries.log) + 1)
        known = [] if self._edge.deliveries.hidden else self._edge.deliveries.log
        older = [each for each in reversed(known) if each.number < before]
        page = older[:size]
        headers: dict[str, str] = {}
        if len(older) > size:
            following = f"{self._edge.url}/app/hook/deliveries?per_page={size}&cursor={page[-1].number}"
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response([each.listed() for each in page], headers=headers)

    async def _delivery(self, request: web.Request) -> web.Response:
        if not await self._is_app(request):
            return refused(401, "A JSON web token could not be decoded")
        for each in self._edge.deliveries.log:
            if each.number == int(request.match_info["id"]):
                return web.json_response(each.whole(self._edge.deliveries.headers(each)))
        return refused(404, "Not Found")

    async def _attempt(self, request: web.Request) -> web.Response:
        if not await self._is_app(request):
            return refused(401, "A JSON web token could not be decoded")
        await self._edge.deliveries.again(self._edge.deliveries.log[int(request.match_info["id"]) - 1])
        return web.json_response({}, status=202)

    async def _hook_config(self, request: web.Request) -> web.Response:
        if not await self._is_app(request):
            return refused(401, "A JSON web token could not be decoded")
        url = self._edge.deliveries.receiver or ""
        return web.json_response({"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": url})

    async def _is_app(self, request: web.Request) -> bool:
        authorization = request.headers.get("Authorization", "")
        return (await self._edge.call("GET", "/app", authorization=authorization or "none")).ok

    # ── what a token may see, and a person may do ────────────────────────────

    async def _repositories(self, request: web.Request) -> web.Response:
        login = self._edge.tokens.get(request.headers.get("Authorization", "").rpartition(" ")[2], "")
        if not login.startswith("installation "):
            return refused(403, "You must authenticate with an installation access token")
        installations = {}
        for name in self._edge.repositories:
            about = (await self._edge.call("GET", f"/repos/{name}/installation")).json()
            installations[name] = about["id"]
        mine = [name for name, number in installations.items() if str(number) == login.rpartition(" ")[2]]
        found = [(await self._edge.call("GET", f"/repos/{name}")).json() for name in mine]
        return web.json_response({"total_count": len(found), "repository_selection": "all", "repositories": found})

    async def _permission(self, request: web.Request) -> web.Response:
        answer = await self._edge.perform(request)
        if answer.status == 404:  # everybody may read what is public
            user = await self._edge.call("GET", f"/users/{request.match_info['login']}")
            if user.ok:
                return web.json_response({"permission": "read", "role_name": "read", "user": user.json()})
        if answer.ok and answer.json()["permission"] == "push":
            return web.json_response(answer.json() | {"permission": "write"})
        return answer.response()

    async def _blockers(self, request: web.Request) -> web.Response:
        name, number = _name(request), int(request.match_info["number"])
        found = [
            (await self._edge.call("GET", f"/repos/{name}/issues/{each}")).json()
            for each in self.blocked_by.get((name, number), ())
        ]
        return web.json_response(found)

    async def _none_yet(self, request: web.Request) -> web.Response:
        if self._edge.deliveries.hidden and request.query.get("state", "open") == "open":
            return web.json_response([])
        return (await self._edge.perform(request)).response()

    # ── commit statuses ──────────────────────────────────────────────────────

    async def _set_status(self, request: web.Request) -> web.Response:
        asked, sha, name = await request.json(), request.match_info["sha"], _name(request)
        if not (await self._edge.call("GET", f"/repos/{name}/git/commits/{sha}")).ok:
            return refused(422, f"No commit found for SHA: {sha}")
        stated = {
            "id": sum(map(len, self._statuses.values())) + 1,
            "context": asked.get("context", "default"),
            "state": asked["state"],
            "target_url": asked.get("target_url"),
            "description": asked.get("description"),
            "created_at": self._edge.now(),
            "updated_at": self._edge.now(),
        }
        self._statuses.setdefault(sha, []).append(stated)
        more = {name: value for name, value in stated.items() if name != "id"} | {"id": stated["id"], "sha": sha}
        await self._edge.happened("status", name, await self._edge.sender(request), more | {"branches": []})
        return web.json_response(stated, status=201)

    async def _listed(self, request: web.Request) -> web.Response:
        sha = await self._commit(request)
        return web.json_response(list(reversed(self._statuses.get(sha, []))))

    async def _combined(self, request: web.Request) -> web.Response:
        sha = await self._commit(request)
        latest = {each["context"]: each for each in self._statuses.get(sha, [])}
        states = {each["state"] for each in latest.values()}
        state = next((each for each in _WORST if each in states), "pending")
        return web.json_response(
            {
                "state": "failure" if state == "error" else state,
                "statuses": list(latest.values()),
                "sha": sha,
                "total_count": len(latest),
            }
        )

    async def _commit(self, request: web.Request) -> str:
        """A branch's head, or the commit itself."""
        asked = request.match_info["sha"]
        branch = await self._edge.call("GET", f"/repos/{_name(request)}/branches/{asked}")
        return branch.json()["commit"]["sha"] if branch.ok else asked


def _name(request: web.Request) -> str:
    return f"{request.match_info['owner']}/{request.match_info['repo']}"
