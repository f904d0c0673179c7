"""The HTTP client of a server of tools: it reaches what `egress` lets it, at the address that was looked at."""

from collections.abc import Mapping

import httpx2

from agents.tools.config import Egress
from agents.tools.egress import address

__all__ = ["client"]

CONNECT_SECONDS = 30.0


class _Pinned(httpx2.AsyncHTTPTransport):
    def __init__(self, egress: Egress) -> None:
        super().__init__(trust_env=False)
        self._egress = egress

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        at = await address(self._egress, url.host, port)
        pinned = httpx2.Request(
            request.method,
            url.copy_with(host=at, port=port),
            headers=request.headers,  # with the Host that was meant
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.host},  # by which the certificate is judged
        )
        return await super().handle_async_request(pinned)


def client(egress: Egress, headers: Mapping[str, str], seconds: float) -> httpx2.AsyncClient:
    """For one server. What it may not reach raises NotReached; `seconds` is how long a stream may say nothing."""
    return httpx2.AsyncClient(
        transport=_Pinned(egress),
        headers=dict(headers),
        timeout=httpx2.Timeout(CONNECT_SECONDS, read=max(seconds, CONNECT_SECONDS)),
        trust_env=False,
    )
