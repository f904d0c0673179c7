"""How much work something is, counted and not timed: every line that the conductor and its heaps execute meanwhile.

The heaps are Python's own in their Python form, so that each of their steps is a line; operations of dictionaries and
sets are part of the line that asks for them. The same work counts the same on every machine.
"""

import heapq
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from unittest.mock import patch

from conductor import decide, state

_CONDUCTOR = str(Path(decide.__file__).parents[1])
_HEAPQ = str(heapq.__file__)
_WITH_HEAPS = (state.shelf, decide.assignment)


@dataclass(slots=True)
class Effort:
    """Lines so far."""

    lines: int = 0


@contextmanager
def effort() -> Iterator[Effort]:
    """Counts what runs inside. Some fifty times slower than without."""
    counted = Effort()

    def of_line(_: FrameType, event: str, __: Any) -> Any:
        counted.lines += event == "line"
        return of_line

    def of_call(frame: FrameType, _: str, __: Any) -> Any:
        file = frame.f_code.co_filename
        return of_line if file.startswith(_CONDUCTOR) or file == _HEAPQ else None

    plain, before = _heapq_in_python(), sys.gettrace()
    patches = [
        patch.object(module, name, getattr(plain, name))
        for module in _WITH_HEAPS
        for name in ("heapify", "heappop", "heappush", "heapreplace")
        if hasattr(module, name)
    ]
    for replaced in patches:
        replaced.start()
    sys.settrace(of_call)
    try:
        yield counted
    finally:
        sys.settrace(before)
        for replaced in patches:
            replaced.stop()


def _heapq_in_python() -> ModuleType:
    spec = importlib.util.spec_from_file_location("heapq", _HEAPQ)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with patch.dict(sys.modules, {"_heapq": None}):
        spec.loader.exec_module(module)
    return module
