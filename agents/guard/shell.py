"""A shell's command line, taken apart as bash would: quotes, substitutions, pipes, groups, here-documents. Pure.

It is for looking, not for running: compound commands come out as what they would run, and a `case` is all its branches.
Sources: POSIX.1-2017 Shell Command Language, and bash's manual where bash has more. What cannot be read raises
`Unreadable`; bash would refuse most of that as well.
"""

import re

from agents.guard.quoting import DEPTH_MAX, END_OF_WORD, Quoting
from agents.guard.syntax import (
    Assignment,
    Command,
    Function,
    Group,
    Lit,
    Loop,
    Pipeline,
    Redirect,
    Script,
    Simple,
    TooMuch,
    Unreadable,
    Var,
    Word,
    plain,
)

__all__ = ["parse"]


def parse(text: str, depth: int = 0) -> Script:
    """Raises Unreadable."""
    try:
        return _Parser(text, depth).whole()
    except RecursionError:
        raise TooMuch("it is nested too deeply") from None


_ASSIGNED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[[^\]\s]*\])?\+?=")
_REDIRECT = re.compile(r"([0-9]+|\{[A-Za-z_]\w*\})?(&>>|&>|<<<|<<-|<<|<>|<&|>&|>>|>\||[<>])")
_DEFINES = re.compile(r"[ \t]*\([ \t]*\)")


class _Parser(Quoting):
    def inside(self, text: str) -> Quoting:
        return _Parser(text, self.depth)

    # ── lists, pipelines, commands ──

    def script(self, stops: frozenset[str]) -> Script:
        """Up to the end, a `)`, `;;`, or a reserved word that is awaited."""
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise TooMuch("it is nested too deeply")
        pipelines: list[Pipeline] = []
        while True:
            self.gap()
            if self.at >= len(self.text) or self.sees(")") or self.sees(";;") or self.sees(";&"):
                break
            if self.reserved() in stops:
                break
            if self.sees(";") or self.sees("&"):
                raise Unreadable(f"{self.text[self.at]!r} stands where a command would begin")
            commands = [self._command()]
            while self._pipe():
                self.gap()
                commands.append(self._command())
            pipelines.append(Pipeline(tuple(commands), self._connector()))
        self.depth -= 1
        return Script(tuple(pipelines))

    def _pipe(self) -> bool:
        self.blanks()
        if self.sees("||") or not self.sees("|"):
            return False
        self.at += 2 if self.sees("|&") else 1
        return True

    def _connector(self) -> str:
        self.blanks()
        for operator in ("&&", "||"):
            if self.take(operator):
                return operator
        if self.sees(";;") or self.sees(";&"):
            return ";"
        background = self.take("&")
        _ = background or self.take(";")
        return "&" if background else ";"

    def _command(self) -> Command:
        self.blanks()
        if self.sees("((") and (arithmetic := self._arithmetic()) is not None:
            return arithmetic
        if self.take("("):
            return self._redirected((self._until(")"),), own_shell=True)
        word = self.reserved()
        match word:
            case "!" | "time" | "coproc":
                self.at += len(word)
                self._options_of_time() if word == "time" else None
                self.blanks()
                at_end = self.at >= len(self.text) or self.text[self.at] in "\n;&|)"
                return Simple() if at_end else self._command()
            case "{":
                return self._redirected((self._block("{", "}"),))
            case "if":
                return self._redirected(self._branches("if", {"then", "elif", "else"}, "fi"))
            case "while" | "until":
                return self._redirected(self._branches(word, {"do"}, "done"))
            case "for" | "select":
                return self._for(word)
            case "case":
                return self._case()
            case "function":
                self.at += len(word)
                self.blanks()
                return self._function(self.raw())
            case "[[":
                return self._condition()
            case _:
                return self._simple()

    def _options_of_time(self) -> None:
        self.blanks()
        self.take("-p")

    def _block(self, opens: str, closes: str) -> Script:
        self.at += len(opens)
        inside = self.script(frozenset({closes}))
        self.expect_word(closes)
        return inside

    def _branches(self, opens: str, between: set[str], closes: str) -> tuple[Script, ...]:
        self.at += len(opens)
        stops = frozenset(between | {closes})
        scripts = [self.script(stops)]
        while (word := self.reserved()) is not None and word in between:
            self.at += len(word)
            scripts.append(self.script(stops))
        self.expect_word(closes)
        return tuple(scripts)

    def _for(self, opens: str) -> Command:
        self.at += len(opens)
        self.blanks()
        if self.sees("(("):
            head = self._arithmetic() or Group(())
            self.gap()
            self.take(";")
            body = self._do()
            return self._redirected((*head.scripts, body))
        name = self.raw()
        words: list[Word] = []
        self.gap()
        if self.reserved() == "in":
            self.at += 2
            self.blanks()
            while self.at < len(self.text) and self.text[self.at] not in ";\n&|)":
                words.append(self.word())
                self.blanks()
        else:
            words.append((Var("@", quoted=True),))
        self.blanks()
        self.take(";")
        body = self._do()
        return Loop(name, tuple(words), body, self._redirects())

    def _do(self) -> Script:
        self.gap()
        if self.reserved() == "{":
            return self._block("{", "}")
        if self.reserved() != "do":
            raise Unreadable("a loop without its `do`")
        return self._block("do", "done")

    def _case(self) -> Command:
        self.at += len("case")
        self.blanks()
        scripts = [_of_word(self.word())]
        self.gap()
        self.expect_word("in")
        while True:
            self.gap()
            if self.reserved() == "esac":
                self.at += len("esac")
                return self._redirected(tuple(scripts))
            self.take("(")
            while not self.take(")"):
                self.blanks()
                if self.at >= len(self.text):
                    raise Unreadable("a `case` without its end")
                if not self.take("|"):
                    scripts.append(_of_word(self.word()))
                self.blanks()
            scripts.append(self.script(frozenset({"esac"})))
            for end in (";;&", ";;", ";&"):
                if self.take(end):
                    break

    def _function(self, name: str) -> Command:
        self.blanks()
        if self.take("("):
            self.blanks()
            if not self.take(")"):
                raise Unreadable("a function's parentheses do not close")
        self.gap()
        return Function(name, self._command())

    def _condition(self) -> Command:
        self.at += len("[[")
        words: list[Word] = [(Lit("[[", quoted=False),)]
        while True:
            self.gap()
            if self.at >= len(self.text):
                raise Unreadable("a `[[` without its end")
            if self.text.startswith("]]", self.at):
                self.at += 2
                return Simple(words=tuple(words), redirects=self._redirects())
            if self.text[self.at] in ";&|()<>" and not self.text.startswith(("<(", ">("), self.at):
                self.at += 1
            else:
                words.append(self.word())

    def _arithmetic(self) -> Group | None:
        """None: it only begins like that, and is a shell of its own in another."""
        begin, self.at = self.at, self.at + 2
        try:
            found = self.arithmetic()
        except Unreadable:
            self.at = begin
            return None
        return Group((_of_word(found),), redirects=self._redirects())

    def _simple(self) -> Command:
        assignments: list[Assignment] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            self.blanks()
            if self.at >= len(self.text):
                break
            if self._is_redirect():
                redirects.append(self._redirect())
            elif self.text[self.at] in END_OF_WORD and not self.text.startswith(("<(", ">("), self.at):
                break
            elif (found := _ASSIGNED.match(self.text, self.at)) and (not words or _declares(words)):
                assignments.append(self._assignment(found))
            else:
                words.append(self.word())
                if len(words) == 1 and not assignments and self._is_definition():
                    return self._function(plain(words[0]))
        if not (assignments or words or redirects):
            raise Unreadable(f"{self.text[self.at : self.at + 20]!r} stands where a command would begin")
        return Simple(tuple(assignments), tuple(words), tuple(redirects))

    def _is_definition(self) -> bool:
        return _DEFINES.match(self.text, self.at) is not None

    def _assignment(self, found: re.Match[str]) -> Assignment:
        self.at = found.end()
        if not self.take("("):
            at_end = self.at >= len(self.text) or self.text[self.at] in END_OF_WORD
            return Assignment(found[1], ((),) if at_end else (self.word(),))
        values: list[Word] = []
        while True:
            self.gap()
            if self.take(")"):
                return Assignment(found[1], tuple(values))
            if self.at >= len(self.text) or self.text[self.at] in ";&|(":
                raise Unreadable("an array without its end")
            values.append(self.word())

    def _redirected(self, scripts: tuple[Script, ...], *, own_shell: bool = False) -> Group:
        return Group(scripts, own_shell, self._redirects())

    def _redirects(self) -> tuple[Redirect, ...]:
        found: list[Redirect] = []
        self.blanks()
        while self._is_redirect():
            found.append(self._redirect())
            self.blanks()
        return tuple(found)

    def _is_redirect(self) -> bool:
        found = _REDIRECT.match(self.text, self.at)
        return found is not None and not (found[2] in "<>" and self.text.startswith("(", found.end()))

    def _redirect(self) -> Redirect:
        found = _REDIRECT.match(self.text, self.at)
        assert found is not None  # noqa: S101 - asked before
        self.at = found.end()
        operator, descriptor = found[2], found[1] or ""
        self.blanks()
        if operator not in ("<<", "<<-"):
            return Redirect(operator, self.word(), descriptor)
        begin = self.at
        end = plain(self.word())
        quoted = any(char in self.text[begin : self.at] for char in "'\"\\")
        redirect = Redirect("<<", (), descriptor)
        self._heredocs.append((redirect, end, quoted, operator == "<<-"))
        return redirect


def _of_word(word: Word) -> Script:
    """What runs to make a word."""
    return Script((Pipeline((Simple(words=((Lit(":", quoted=False),), word)),)),)) if word else Script()


def _declares(words: list[Word]) -> bool:
    return plain(words[0]) in ("export", "declare", "local", "readonly", "typeset", "alias")
