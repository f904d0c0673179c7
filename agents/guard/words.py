"""What the words of a command come to, as far as that can be seen: variables, braces, splitting. Pure.

A word may come to several things: a variable may have been given several values. All of them are followed, up to a
limit; what cannot be known is marked (see stream).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise, product
from typing import TypeAlias

from msgspec import Struct

from agents.guard.stream import FETCHED_FILE, MANY, ONE, Kind, Stream
from agents.guard.syntax import Lit, Part, Proc, Script, Sub, Var, Word

__all__ = ["ALTERNATIVES_MAX", "Fields", "Words"]

ALTERNATIVES_MAX = 24
"""What one command may come to; beyond it, what differs counts as unknown."""

Fields: TypeAlias = tuple[str, ...]
Piece: TypeAlias = tuple[Fields, bool]
"""The values of a part, and whether they are split again where they have blanks."""


class Words:
    """The variables of a script, and what words come to with them. Assigning again adds a value: order is not known."""

    def __init__(self, output: Callable[[Script], Stream], process: Callable[[Proc], str]) -> None:
        self.variables: dict[str, set[Fields]] = {}
        self._output = output
        self._process = process

    def assign(self, name: str, values: Iterable[Word], *, array: bool) -> None:
        """`name=value`, or an array."""
        values = tuple(values)
        known = self.variables.setdefault(name, set())
        if array:
            known.update(self.fields(values))
        else:
            known.update((self.text(value),) for value in values[:1] for value in self._alternatives(value))

    def learn(self, name: str, *values: Fields) -> None:
        """A variable may have these values."""
        self.variables.setdefault(name, set()).update(values)

    def fields(self, words: Iterable[Word]) -> list[Fields]:
        """All that a list of words may come to: arguments."""
        each = [
            [_split(pieces, self._separators()) for pieces in self._alternatives(part)]
            for word in words
            for part in _braced(word)
        ]
        return _product(each)

    def texts(self, word: Word) -> list[str]:
        """All that a word may come to where nothing is split."""
        return [self.text(pieces) for pieces in self._alternatives(word)]

    @staticmethod
    def text(pieces: tuple[Piece, ...]) -> str:
        """Its pieces as one text."""
        return "".join(" ".join(values) for values, _ in pieces).replace(MANY, ONE)

    def _separators(self) -> str:
        return "".join({char for value in self.variables.get("IFS", ()) for text in value for char in text})

    def _alternatives(self, word: Word) -> list[tuple[Piece, ...]]:
        each = [self._part(part, first=index == 0) for index, part in enumerate(word)]
        count = 1
        for alternatives in each:
            count *= len(alternatives)
        if count > ALTERNATIVES_MAX:
            each = [found if len(found) == 1 else [((ONE if not found[0][1] else MANY,), False)] for found in each]
        return list(product(*each))

    def _part(self, part: Part, *, first: bool) -> list[Piece]:
        match part:
            case Lit(text=text, quoted=quoted):
                return [((f"./{text}" if first and quoted and text.startswith("~") else text,), False)]
            case Sub(script=script, quoted=quoted):
                return [self._printed(self._output(script), quoted=quoted)]
            case Proc():
                return [((self._process(part),), False)]
            case Var(quoted=quoted):
                found = dict.fromkeys(self._values(part))
                return [_unquoted(values, quoted=quoted) for values in found]

    def _printed(self, stream: Stream, *, quoted: bool) -> Piece:
        match stream.kind:
            case Kind.TEXT:
                return (stream.text.rstrip("\n"),), not quoted
            case Kind.PATHS if not quoted:
                return stream.items(), False
            case Kind.FETCHED:
                return (FETCHED_FILE,), False
            case Kind.NOTHING:
                return ("",), not quoted
            case _:
                return (ONE if quoted else MANY,), False

    def _values(self, var: Var) -> Iterator[Fields]:
        rest = [(text,) for text in self.texts(var.rest)] if var.rest else []
        known = self._known(var.name)
        match var.change:
            case "" | "?" | ":?":
                yield from known
            case "-" | ":-" | "=" | ":=":
                if "=" in var.change:
                    self.learn(var.name, *rest)
                yield from known
                yield from rest or [("",)]
            case "+" | ":+":
                yield ("",)
                yield from rest
            case _:
                yield (ONE,)

    def _known(self, name: str) -> list[Fields]:
        if name in _DIGITS:
            return [("1",)]
        given = list(self.variables.get(name, ()))
        if name in _ALWAYS:
            return [*given, (_ALWAYS[name],)]
        return sorted(given) or [(ONE,)]


_DIGITS = frozenset({"$", "?", "#", "!", "RANDOM", "UID", "EUID", "LINENO", "SECONDS", "PPID", "BASHPID", "SRANDOM"})
_ALWAYS = {"HOME": "~", "PWD": ".", "IFS": " \t\n", "SHELL": "bash", "BASH": "bash", "0": "bash", "TMPDIR": "/tmp"}  # noqa: S108 - a name, nothing is put there


def _unquoted(values: Fields, *, quoted: bool) -> Piece:
    if quoted or len(values) != 1:
        return values, False
    return ((MANY,), False) if values[0] == ONE else (values, True)


class _Field(Struct):
    text: str = ""
    begun: bool = False


def _split(pieces: Iterable[Piece], separators: str) -> Fields:
    """The arguments that one word becomes."""
    done: list[str] = []
    now = _Field()

    def flush() -> None:
        nonlocal now
        if now.begun:
            done.append(now.text)
        now = _Field()

    blank = re.compile(f"[{re.escape(f' {chr(9)}{chr(10)}{separators}')}]+")
    for values, splits in pieces:
        for index, value in enumerate(values):
            if index:
                flush()
            parts = blank.split(value) if splits else [value]
            for at, part in enumerate(parts):
                if at:
                    flush()
                if part or not splits:
                    now.text += part
                    now.begun = True
    flush()
    return tuple(done)


def _product(each: list[list[Fields]]) -> list[Fields]:
    count = 1
    for alternatives in each:
        count *= len(alternatives)
    if count > ALTERNATIVES_MAX:
        each = [found if len(found) == 1 else [(MANY,)] for found in each]
    return [tuple(field for fields in chosen for field in fields) for chosen in product(*each)]


# ── braces ──

_Token: TypeAlias = str | Part
"""A character that is not quoted, or anything else."""


def _braced(word: Word) -> list[Word]:
    """`{a,b}` is several words."""
    if not any(isinstance(part, Lit) and not part.quoted and "{" in part.text for part in word):
        return [word]
    tokens: list[_Token] = []
    for part in word:
        if isinstance(part, Lit) and not part.quoted:
            tokens += part.text
        else:
            tokens.append(part)
    return [_word(tokens) for tokens in _expanded(tokens)[:ALTERNATIVES_MAX]]


def _expanded(tokens: list[_Token]) -> list[list[_Token]]:
    for begin, char in enumerate(tokens):
        if char != "{":
            continue
        depth, cuts = 0, [begin]
        for at in range(begin, len(tokens)):
            if tokens[at] == "{":
                depth += 1
            elif tokens[at] == "," and depth == 1:
                cuts.append(at)
            elif tokens[at] == "}":
                depth -= 1
                if depth == 0:
                    cuts.append(at)
                    break
        if depth or len(cuts) < 3:
            continue
        choices = [tokens[left + 1 : right] for left, right in pairwise(cuts)]
        rest = _expanded(tokens[cuts[-1] + 1 :])
        inner = [one for choice in choices for one in _expanded(choice)]
        return [[*tokens[:begin], *one, *after] for one in inner for after in rest][: 4 * ALTERNATIVES_MAX]
    return [tokens]


def _word(tokens: list[_Token]) -> Word:
    parts: list[Part] = []
    for token in tokens:
        if not isinstance(token, str):
            parts.append(token)
        elif parts and isinstance(parts[-1], Lit) and not parts[-1].quoted:
            parts[-1] = Lit(parts[-1].text + token, quoted=False)
        else:
            parts.append(Lit(token, quoted=False))
    return tuple(parts)
