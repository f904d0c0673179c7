"""Answers kept for conditional requests: what has not changed since costs nothing of GitHub's limit. Bounded. Pure."""

from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from typing import TypeAlias

import msgspec

Answer: TypeAlias = tuple[str | None, str | None, object, str | None]
"""ETag, Last-Modified, what was answered, and where the next page is: gidgethub's own."""
_Key: TypeAlias = tuple[object, str]
"""Whose answer, and its URL."""


class Kept:
    """The answers that were used most recently, whoever asked.

    They are kept as JSON: so their size is known, and nobody changes what another reads.
    """

    def __init__(self, *, entries: int, size: int) -> None:
        self._answers: OrderedDict[_Key, tuple[str | None, str | None, bytes, str | None]] = OrderedDict()
        self._entries = entries
        self._most = size
        self.size = 0
        """Bytes."""

    def get(self, key: _Key) -> Answer | None:
        if (found := self._answers.get(key)) is None:
            return None
        self._answers.move_to_end(key)
        etag, modified, body, more = found
        return etag, modified, msgspec.json.decode(body), more

    def put(self, key: _Key, answer: Answer) -> None:
        self.drop(key)
        etag, modified, said, more = answer
        body = msgspec.json.encode(said)
        if len(body) > self._most // 8:  # one huge answer would push out all others
            return
        self._answers[key] = (etag, modified, body, more)
        self.size += len(body)
        while len(self._answers) > self._entries or self.size > self._most:
            self.drop(next(iter(self._answers)))

    def drop(self, key: _Key) -> None:
        if (gone := self._answers.pop(key, None)) is not None:
            self.size -= len(gone[2])

    def of(self, whose: object) -> list[str]:
        """The URLs of which one identity's answers are kept."""
        return [url for owner, url in self._answers if owner is whose]


class Answers(MutableMapping[str, Answer]):
    """One identity's, by URL: gidgethub asks it and fills it."""

    def __init__(self, kept: Kept, whose: object) -> None:
        self._kept = kept
        self._whose = whose

    def __getitem__(self, url: str) -> Answer:
        if (found := self._kept.get((self._whose, url))) is None:
            raise KeyError(url)
        return found

    def __setitem__(self, url: str, answer: Answer) -> None:
        self._kept.put((self._whose, url), answer)

    def __delitem__(self, url: str) -> None:
        self._kept.drop((self._whose, url))

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept.of(self._whose))

    def __len__(self) -> int:
        return len(self._kept.of(self._whose))
