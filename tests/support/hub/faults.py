"""Faults that a test plays at GitHub's API: an answer instead of GitHub's, or something right after a call."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

__all__ = ["Faults", "answer"]

_NONE: Mapping[str, str] = {}


def answer(status: int, message: str = "", headers: Mapping[str, str] = _NONE) -> Callable[[], web.Response]:
    """An answer of GitHub's own shape, for `Faults.instead`."""
    return lambda: web.Response(
        status=status, body=json.dumps({"message": message}), content_type="application/json", headers=dict(headers)
    )


@dataclass(slots=True)
class _Fault:
    method: str
    path: re.Pattern[str]
    times: int
    instead: Callable[[], web.Response] | None = None
    then: Callable[[], None] | None = None
    silent: bool = False


class Faults:
    """Of one hub. Each is for calls of a method whose path (with its query) a pattern is found in, so many times.

    May be called from any thread.
    """

    def __init__(self) -> None:
        self._faults: list[_Fault] = []
        self.calls: list[tuple[str, str]] = []
        """Every call so far, method and path with query, also those that met a fault."""

    def instead(self, method: str, path: str, answer: Callable[[], web.Response], *, times: int = 1) -> None:
        """GitHub does nothing and answers this."""
        self._faults.append(_Fault(method, re.compile(path), times, instead=answer))

    def after(
        self, method: str, path: str, then: Callable[[], None] = lambda: None, *, times: int = 1, silent: bool = True
    ) -> None:
        """GitHub does it; before the answer is passed on, `then` is called (it may kill who asked).

        `silent`: the answer is never passed on, the connection ends.
        """
        self._faults.append(_Fault(method, re.compile(path), times, then=then, silent=silent))

    def take(self, method: str, path: str) -> "_Fault | None":
        """Which fault a call meets."""
        self.calls.append((method, path))
        for fault in self._faults:
            if fault.method == method and fault.path.search(path):
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
                return fault
        return None
