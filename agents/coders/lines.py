"""Output, line by line, in bounded memory, and a line as the record that it may be. Pure."""

from collections.abc import Iterator
from typing import TypeVar

import msgspec

T = TypeVar("T")

LONGEST_BYTES = 4 * 1024 * 1024
"""Of a line; a longer one is dropped whole, and counted."""


class Lines:
    """Takes output in pieces and gives its lines."""

    def __init__(self, longest: int = LONGEST_BYTES) -> None:
        self.dropped = 0
        self._longest = longest
        self._begun = bytearray()
        self._dropping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes, without their ends."""
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._add(piece)
            if not self._dropping:
                yield bytes(self._begun)
            self._begun.clear()
            self._dropping = False
        self._add(rest)

    def rest(self) -> bytes:
        """What stood there without an end when the output was over."""
        rest = bytes(self._begun)
        self._begun.clear()
        return rest

    def _add(self, piece: bytes) -> None:
        if self._dropping:
            return
        self._begun += piece
        if len(self._begun) > self._longest:
            self._dropping = True
            self.dropped += 1
            self._begun.clear()


def record(line: bytes | msgspec.Raw, shape: type[T]) -> T | None:
    """The JSON in `line`, when it has this shape."""
    try:
        return msgspec.json.decode(line, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
