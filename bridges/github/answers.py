"""Answers kept for conditional requests: what has not changed since costs nothing of GitHub's limit. Bounded. Pure."""

from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from typing import TypeAlias

import msgspec

Answer: TypeAlias = tuple[str | None, str | None, object, str | None]
"""ETag, Last-Modified, what was answered, and where the next page is: gidgethub's own."""


class Answers(MutableMapping[str, Answer]):
    """By URL, the most recently used ones; gidgethub asks it and fills it.

    They are kept as JSON: so their size is known, and nobody changes what another reads.
    """

    def __init__(self, *, entries: int, size: int) -> None:
        self._kept: OrderedDict[str, tuple[str | None, str | None, bytes, str | None]] = OrderedDict()
        self._entries = entries
        self._most = size
        self.size = 0
        """Bytes."""

    def __getitem__(self, url: str) -> Answer:
        etag, modified, body, more = self._kept[url]
        self._kept.move_to_end(url)
        return etag, modified, msgspec.json.decode(body), more

    def __setitem__(self, url: str, answer: Answer) -> None:
        self._drop(url)
        etag, modified, said, more = answer
        body = msgspec.json.encode(said)
        if len(body) > self._most // 8:  # one huge answer would push out all others
            return
        self._kept[url] = (etag, modified, body, more)
        self.size += len(body)
        while len(self._kept) > self._entries or self.size > self._most:
            self._drop(next(iter(self._kept)))

    def __delitem__(self, url: str) -> None:
        if url not in self._kept:
            raise KeyError(url)
        self._drop(url)

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def _drop(self, url: str) -> None:
        if (gone := self._kept.pop(url, None)) is not None:
            self.size -= len(gone[2])
