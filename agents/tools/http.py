"""A tool that is one HTTP request: what the model chose goes where the template says, and an answer comes back bounded.

The model's words never become part of an address' host, of a header's name or of a path beyond their own segment. The
request goes to the address that `egress` has looked at, by no proxy; a redirect is followed if that may be reached too,
and takes no secret to another host. An answer is read as far as it may be long, as text or not at all.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Final, TypeAlias
from urllib.parse import quote, urlencode

import httpx
import msgspec

from agents.llm.messages import ToolSpec
from agents.tools.config import Egress, HttpMethod, HttpTool, Parameter, Place
from agents.tools.egress import NotReached, address
from agents.tools.schema import complaints
from agents.tools.secrets import Secrets
from agents.tools.tool import Arguments, ToolResult

__all__ = ["HttpCall"]

REDIRECTS: Final = 5
_AGENT: Final = "rig"
_HEADER: Final = re.compile(r"[\t\x20-\x7e]*")
_TEXT: Final = re.compile(
    r"text/|application/(?:[a-z0-9.+-]*\+)?(?:json|xml|yaml|x-ndjson|javascript)\b", re.IGNORECASE
)
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_KEPT: Final = frozenset({301, 302, 303})
"""Redirects after which what was sent is not sent again."""
_FOLLOWED: Final = _KEPT | {307, 308}
_HARMLESS: Final = frozenset({"accept", "accept-encoding", "user-agent"})
"""Headers that go along to another host."""

Body: TypeAlias = bytes | None


class HttpCall:
    """One tool of a character; a `Tool`."""

    def __init__(self, tool: HttpTool, egress: Egress, secrets: Secrets) -> None:
        self._tool = tool
        self._egress = egress
        self._secrets = secrets
        self.spec = ToolSpec(tool.name, tool.description, _schema(tool.parameters))
        self.safe = tool.method is HttpMethod.GET if tool.safe is None else tool.safe
        self.risky = tool.risky

    async def call(self, arguments: Arguments) -> ToolResult:
        """Makes the request."""
        if wrong := complaints(self.spec.parameters, arguments):
            return ToolResult(f"the arguments are not as the tool wants them: {'; '.join(wrong)}", error=True)
        try:
            async with asyncio.timeout(self._tool.timeout_seconds):
                result = await self._asked(arguments)
        except TimeoutError:
            return ToolResult(f"no answer within {self._tool.timeout_seconds:g} s", error=True)
        except NotReached as error:
            return ToolResult(self._secrets.taken_out(str(error)), error=True)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return ToolResult(self._secrets.taken_out(f"{type(error).__name__}: {error}"), error=True)
        return ToolResult(self._secrets.taken_out(result.text), result.error)

    async def _asked(self, arguments: Arguments) -> ToolResult:
        method, url, headers, body = self._request(arguments)
        # One client for one call: no connection, cookie or proxy is shared with another.
        async with httpx.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=self._tool.timeout_seconds
        ) as http:
            for _ in range(REDIRECTS + 1):
                async with await self._sent(http, method, url, headers, body) as answer:
                    location = answer.headers.get("location")
                    if answer.status_code not in _FOLLOWED or location is None:
                        return await self._answered(answer)
                there = url.join(location)
                if answer.status_code in _KEPT and method is not HttpMethod.GET:
                    method, body = HttpMethod.GET, None
                    headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
                if (there.scheme, there.host, there.port) != (url.scheme, url.host, url.port):
                    if body is not None:
                        raise NotReached(f"{url.host} sends the request on to {there.host}; nothing is sent there")
                    headers = {name: value for name, value in headers.items() if name.lower() in _HARMLESS}
                if there.scheme not in ("http", "https") or (url.scheme == "https" and there.scheme == "http"):
                    raise NotReached(f"{url.host} sends the request on to {there.scheme}:, which is not followed")
                url = there
        raise NotReached(f"{url.host} sends the request on and on")

    async def _sent(
        self, http: httpx.AsyncClient, method: HttpMethod, url: httpx.URL, headers: Mapping[str, str], body: Body
    ) -> "_Answer":
        port = url.port or (443 if url.scheme == "https" else 80)
        at = await address(self._egress, url.host, port)
        request = http.build_request(
            method.value,
            url.copy_with(host=at, port=port),
            headers={**headers, "Host": url.netloc.decode("ascii")},
            content=body,
            extensions={"sni_hostname": url.host},  # by which the certificate is judged
        )
        return _Answer(await http.send(request, stream=True))

    def _request(self, arguments: Arguments) -> tuple[HttpMethod, httpx.URL, dict[str, str], Body]:
        tool = self._tool
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": _AGENT}
        headers |= {name: self._secrets.put_in(text) for name, text in tool.headers.items()}
        query: list[tuple[str, str]] = []
        fields: dict[str, object] = {}
        has_body = False
        for name, parameter in tool.parameters.items():
            has_body |= parameter.place is Place.BODY
            if name not in arguments:
                continue
            value, sent_as = arguments[name], parameter.sent_as or name
            match parameter.place:
                case Place.PATH:
                    pass
                case Place.QUERY:
                    query += [(sent_as, text) for text in _texts(value)]
                case Place.HEADER:
                    text = ", ".join(_texts(value))
                    if _HEADER.fullmatch(text) is None:
                        raise ValueError(f"{name}: a header holds one line of ASCII")
                    headers[sent_as] = text
                case Place.BODY:
                    fields[sent_as] = value
        path = _PLACEHOLDER.sub(lambda found: _segment(found[1], arguments[found[1]]), tool.url)
        if query:
            path += ("&" if "?" in path else "?") + urlencode(query)
        if has_body:
            headers["Content-Type"] = "application/json"
        return tool.method, httpx.URL(path), headers, msgspec.json.encode(fields) if has_body else None

    async def _answered(self, answer: "_Answer") -> ToolResult:
        kind = self._secrets.taken_out(str(answer.headers.get("content-type", "text/plain")))
        head = f"{answer.status_code} {answer.reason}".rstrip()
        failed = answer.status_code >= 400
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            return ToolResult(f"{head}\n(it is packed, though it was asked not to be; it is not read)", error=True)
        if _TEXT.match(kind) is None:
            length = answer.headers.get("content-length", "an unknown number of")
            return ToolResult(f"{head}\n({length} bytes of {kind[:100]}, which are no text)", failed)
        body, more = await answer.read(self._tool.max_bytes)
        text = _decoded(body, answer.charset)
        # The cut may go through a secret, and even through one of its characters.
        text = self._secrets.taken_out(text.rstrip("\ufffd") if more else text, cut=more)
        cut = f"\n(… only the first {self._tool.max_bytes} bytes were read)" if more else ""
        return ToolResult(f"{head}\n\n{text}{cut}", failed)


class _Answer:
    """A response that is not read yet; leaving the block hangs up."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status_code = response.status_code
        self.reason = response.reason_phrase
        self.headers: Mapping[str, str] = response.headers
        self.charset = response.charset_encoding

    async def __aenter__(self) -> "_Answer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._response.aclose()

    async def read(self, most: int) -> tuple[bytes, bool]:
        """So many bytes of it, and whether there are more."""
        body = bytearray()
        async for chunk in self._response.aiter_raw():
            body += chunk
            if len(body) > most:
                return bytes(body[:most]), True
        return bytes(body), False


def _schema(parameters: Mapping[str, Parameter]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {name: parameter.schema for name, parameter in parameters.items()},
        "required": [name for name, parameter in parameters.items() if parameter.required],
        "additionalProperties": False,
    }


def _texts(value: object) -> list[str]:
    """A value as the parameters of a query are written; a list is one of them many times."""
    values: list[object] = list(value) if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return [one if isinstance(one, str) else msgspec.json.encode(one).decode() for one in values]


def _segment(name: str, value: object) -> str:
    """One segment of a path, whatever is in it. Raises ValueError for one that would lead elsewhere."""
    text = ",".join(_texts(value))
    if text in ("", ".", ".."):
        raise ValueError(f"{name}: {text!r} is no part of a path")
    return quote(text, safe="")


def _decoded(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):  # one that nobody knows, or that makes no text
        return body.decode("utf-8", "replace")
