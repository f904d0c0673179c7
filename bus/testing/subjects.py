"""Subjects as the server reads them (`*` is any one token, `>` the rest), and who listens where."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Generic, TypeVar

Listener = TypeVar("Listener")

_SUBJECT: Final = re.compile(r"[^\s.]+(\.[^\s.]+)*")

__all__ = ["Interest", "has_wildcard", "is_literal", "is_subject", "matches", "overlap"]


@lru_cache(maxsize=65_536)
def matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a pattern. A subset test: a wildcard in `subject` is one token like any other."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, want in enumerate(wanted):
        if want == ">":
            return len(given) > index
        if index >= len(given) or want not in ("*", given[index]):
            return False
    return len(wanted) == len(given)


def overlap(one: str, other: str) -> bool:
    """Whether any subject falls under both patterns."""
    left, right = one.split("."), other.split(".")
    for ours, theirs in zip(left, right, strict=False):
        if ">" in (ours, theirs):
            return True
        if ours != theirs and "*" not in (ours, theirs):
            return False
    return len(left) == len(right)


def is_subject(subject: str) -> bool:
    """Whether a client may say or hear it: no empty token, no white space."""
    return _SUBJECT.fullmatch(subject) is not None


def has_wildcard(subject: str) -> bool:
    return any(token in ("*", ">") for token in subject.split("."))


def is_literal(subject: str) -> bool:
    """Whether it is one subject and no pattern."""
    return is_subject(subject) and not has_wildcard(subject)


class _Node(Generic[Listener]):
    __slots__ = ("listeners", "next")

    def __init__(self) -> None:
        self.next: dict[str, _Node[Listener]] = {}
        self.listeners: dict[int, Listener] = {}


class Interest(Generic[Listener]):
    """Who listens on which pattern, found by subject."""

    def __init__(self) -> None:
        self._root: _Node[Listener] = _Node()

    def add(self, pattern: str, key: int, listener: Listener) -> None:
        node = self._root
        for token in pattern.split("."):
            node = node.next.setdefault(token, _Node())
        node.listeners[key] = listener

    def remove(self, pattern: str, key: int) -> None:
        path = [self._root]
        tokens = pattern.split(".")
        for token in tokens:
            if token not in path[-1].next:
                return
            path.append(path[-1].next[token])
        path[-1].listeners.pop(key, None)
        for parent, token, node in reversed(list(zip(path, tokens, path[1:], strict=False))):
            if node.next or node.listeners:
                return
            del parent.next[token]

    def on(self, subject: str) -> list[Listener]:
        """Everyone who hears this subject, in the order in which they began to listen."""
        found: dict[int, Listener] = {}
        for node in self._walk(self._root, subject.split("."), 0):
            found |= node.listeners
        return [found[key] for key in sorted(found)]

    def _walk(self, node: _Node[Listener], tokens: list[str], index: int) -> Iterator[_Node[Listener]]:
        if index == len(tokens):
            yield node
            return
        if ">" in node.next:
            yield node.next[">"]
        for token in {tokens[index], "*"}:
            if token in node.next:
                yield from self._walk(node.next[token], tokens, index + 1)
