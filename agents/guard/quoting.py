"""The words of a shell's command line: quotes, escapes, and what stands behind a dollar sign. Pure.

Source: POSIX.1-2017 Shell Command Language 2.2, 2.6, and bash's manual where bash has more. What commands are made of
them is the business of shell, which stands on this.
"""

import re
from abc import ABC, abstractmethod

from agents.guard.syntax import Lit, Part, Proc, Redirect, Script, Sub, Unreadable, Var, Word

__all__ = ["DEPTH_MAX", "END_OF_WORD", "MARKS", "Quoting"]

DEPTH_MAX = 40
"""Of what stands inside another."""
MARKS = "\ue000\ue001\ue002\ue003"
"""Characters that the guard itself puts where something is not known (see words): foreign text has none of them."""
END_OF_WORD = frozenset(" \t\n;&|()<>")
RESERVED = re.compile(r"(\[\[|[a-z]+|[{}!])(?=[\s;&|()<>]|$)")
_PARAMETER = re.compile(r"([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-])(\[[^\]]*\])?")
_ESCAPE = re.compile(
    r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|c(.)|(.))", re.DOTALL
)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v"}


class Quoting(ABC):
    """Reads words at a place in a text that moves on."""

    def __init__(self, text: str, depth: int) -> None:
        self.text = text
        self.at = 0
        self.depth: int = depth
        self._heredocs: list[tuple[Redirect, str, bool, bool]] = []
        """Their ends, whether these were quoted, and whether tabs before their lines do not count."""

    @abstractmethod
    def script(self, stops: frozenset[str]) -> Script:
        """What runs, up to one of these words, or to what closes it."""

    def whole(self) -> Script:
        """All of the text. Raises Unreadable."""
        script = self.script(frozenset())
        if self.at < len(self.text):
            raise Unreadable(f"{self.text[self.at : self.at + 20]!r} stands where a command would begin")
        return script

    @abstractmethod
    def inside(self, text: str) -> "Quoting":
        """A reader of a text that stands in this one."""

    def _bodies(self) -> None:
        """The texts of the here-documents that the line before has announced."""
        waiting, self._heredocs = self._heredocs, []
        for redirect, end, quoted, indented in waiting:
            lines: list[str] = []
            while self.at < len(self.text):
                line, newline, _ = self.text[self.at :].partition("\n")
                self.at += len(line) + len(newline)
                line = line.lstrip("\t") if indented else line
                if line == end:
                    break
                lines.append(line + newline)
            text = "".join(lines)
            redirect.word = (Lit(text, quoted=True),) if quoted else self.inside(text).quoted_until("")

    # ── words ──

    def word(self) -> Word:
        """One word, up to a blank or an operator that is not quoted. Never empty."""
        begin = self.at
        parts: list[Part] = []
        if self.text.startswith(("<(", ">("), self.at):
            into = self.text[self.at] == ">"
            self.at += 2
            parts.append(Proc(self._until(")"), into))
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "(" and self.at > begin and self.text[self.at - 1] in "?*+@!":
                parts.append(self._extended_glob())
            elif char in END_OF_WORD:
                break
            else:
                parts += self._piece(char)
        if self.at == begin:
            raise Unreadable(f"{self.text[begin : begin + 20]!r} stands where a word would be")
        return tuple(parts)

    def _piece(self, char: str) -> list[Part]:
        match char:
            case "'":
                end = self._find("'", self.at + 1)
                text = self.text[self.at + 1 : end]
                self.at = end + 1
                return [Lit(text, quoted=True)]
            case '"':
                self.at += 1
                parts = self.quoted_until('"')
                return [Lit("", quoted=True), *parts]
            case "\\":
                self.at += 2
                after = self.text[self.at - 1 : self.at]
                return [Lit(after, quoted=True)] if after != "\n" else []
            case "$" | "`":
                return self.dollar(quoted=False)
            case _:
                end = self.at + 1
                while end < len(self.text) and self.text[end] not in "'\"\\$` \t\n;&|()<>":
                    end += 1
                text = self.text[self.at : end]
                self.at = end
                return [Lit(text, quoted=False)]

    def _extended_glob(self) -> Part:
        end = self._find(")", self.at)
        text = self.text[self.at : end + 1]
        self.at = end + 1
        return Lit("*" if text else "", quoted=False)

    def quoted_until(self, end: str) -> Word:
        """What stands between double quotes, or (with no `end`) in a here-document."""
        parts: list[Part] = []
        text: list[str] = []
        while True:
            if self.at >= len(self.text):
                if end:
                    raise Unreadable(f"a {end} without its end")
                break
            char = self.text[self.at]
            if end and char == end:
                self.at += 1
                break
            if char == "\\" and self.text[self.at + 1 : self.at + 2] in ("$", "`", '"', "\\", "\n"):
                escaped = self.text[self.at + 1]
                text.append("" if escaped == "\n" else escaped if end or escaped != '"' else '\\"')
                self.at += 2
            elif char in "$`":
                parts.append(Lit("".join(text), quoted=True))
                text.clear()
                parts += self.dollar(quoted=True)
            else:
                text.append(char)
                self.at += 1
        return (*parts, Lit("".join(text), quoted=True))

    def dollar(self, *, quoted: bool) -> list[Part]:
        text, at = self.text, self.at
        if text[at] == "`":
            return [self._backquoted(quoted=quoted)]
        after = text[at + 1 : at + 2]
        if after == "'" and not quoted:
            return [self._ansi()]
        if after == '"' and not quoted:
            self.at += 1
            return []
        if text.startswith("$((", at):
            before, self.at = self.at, at + 3
            try:
                found = self.arithmetic()
            except Unreadable:  # `$((` may also be a substitution that begins with a subshell
                self.at = before + 2
                return [Sub(self._until(")"), quoted)]
            return [Var("$", quoted, "((", found)]
        if after == "(":
            self.at += 2
            return [Sub(self._until(")"), quoted)]
        if after == "{":
            return [self._parameter(quoted=quoted)]
        if found := _PARAMETER.match(text, at + 1):
            name = found[1] if found[1].isidentifier() else found[1][0]
            self.at = at + 1 + len(name)
            return [Var(name, quoted)]
        self.at += 1
        return [Lit("$", quoted)]

    def arithmetic(self) -> Word:
        """Up to `))`: the substitutions in it."""
        parts: list[Part] = []
        depth = 0
        while not (depth == 0 and self.text.startswith("))", self.at)):
            if self.at >= len(self.text):
                raise Unreadable("arithmetic without its end")
            char = self.text[self.at]
            if char in "$`":
                parts += self.dollar(quoted=True)
                continue
            depth += (char == "(") - (char == ")")
            if depth < 0:
                raise Unreadable("it is no arithmetic")
            self.at += 1
        self.at += 2
        return tuple(parts)

    def _parameter(self, *, quoted: bool) -> Part:
        self.at += 2
        indirect = self.text[self.at : self.at + 1] in "!#" and self.text[self.at + 1 : self.at + 2] != "}"
        self.at += indirect
        found = _PARAMETER.match(self.text, self.at)
        if found is None:
            raise Unreadable("a ${ without a name")
        self.at = found.end()
        change = "!" if indirect else ""
        operator = re.compile(r":?[-=+?]|[#%/^,@:]*").match(self.text, self.at)
        if operator is not None:
            change += operator[0]
            self.at = operator.end()
        parts: list[Part] = []
        while not self.take("}"):
            if self.at >= len(self.text):
                raise Unreadable("a ${ without its }")
            char = self.text[self.at]
            if char in "'\"\\$`" and not (quoted and char == "'"):
                parts += self._piece(char) if char not in "$`" else self.dollar(quoted=quoted)
            else:
                parts.append(Lit(char, quoted))
                self.at += 1
        return Var(found[1], quoted, change, tuple(parts))

    def _backquoted(self, *, quoted: bool) -> Part:
        end = self.at + 1
        while self.text[end : end + 1] != "`":
            if end >= len(self.text):
                raise Unreadable("a ` without its end")
            end += 2 if self.text[end] == "\\" else 1
        inside = re.sub(r"\\([\\`$])" if not quoted else r"\\([\\`$\"])", r"\1", self.text[self.at + 1 : end])
        self.at = end + 1
        return Sub(self.inside(inside).whole(), quoted)

    def _ansi(self) -> Part:
        end = self.at + 2
        while self.text[end : end + 1] != "'":
            if end >= len(self.text):
                raise Unreadable("a $' without its end")
            end += 2 if self.text[end] == "\\" else 1
        text = _ESCAPE.sub(_unescaped, self.text[self.at + 2 : end])
        self.at = end + 1
        return Lit(text, quoted=True)

    # ── characters ──

    def _until(self, end: str) -> Script:
        inside = self.script(frozenset())
        if not self.take(end):
            raise Unreadable(f"a ( without its {end}")
        return inside

    def _find(self, char: str, begin: int) -> int:
        end = self.text.find(char, begin)
        if end < 0:
            raise Unreadable(f"a {char} without its end")
        return end

    def blanks(self) -> None:
        while self.at < len(self.text):
            if self.text[self.at] in " \t\r":
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif self.text[self.at] == "#" and (self.at == 0 or self.text[self.at - 1] in " \t\r\n;&|()"):
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return

    def gap(self) -> None:
        """Blanks and ends of lines; what was announced for after a line is read there."""
        self.blanks()
        while self.take("\n"):
            self._bodies()
            self.blanks()

    def sees(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def take(self, text: str) -> bool:
        if found := self.sees(text):
            self.at += len(text)
        return found

    def reserved(self) -> str | None:
        found = RESERVED.match(self.text, self.at)
        return found[1] if found else None

    def expect_word(self, word: str) -> None:
        if self.reserved() != word:
            raise Unreadable(f"`{word}` is missing")
        self.at += len(word)

    def raw(self) -> str:
        found = re.compile(r"[^\s;&|()<>]+").match(self.text, self.at)
        if found is None:
            raise Unreadable("a name is missing")
        self.at = found.end()
        return found[0]


def _unescaped(found: re.Match[str]) -> str:
    for group, base in ((1, 16), (2, 16), (3, 16), (4, 8)):
        if found[group]:
            number = int(found[group], base)
            return chr(number) if number <= 0x10FFFF and chr(number) not in MARKS else ""
    if found[5]:
        return chr(ord(found[5][0]) & 0x1F)
    return _ESCAPED.get(found[6], found[6] if found[6] in "\\'\"?" else f"\\{found[6]}")
