"""What a shell's command line consists of, once it is taken apart."""

from typing import TypeAlias

from msgspec import Struct

__all__ = [
    "Assignment",
    "Command",
    "Function",
    "Group",
    "Lit",
    "Loop",
    "Part",
    "Pipeline",
    "Proc",
    "Redirect",
    "Script",
    "Simple",
    "Sub",
    "TooMuch",
    "Unreadable",
    "Var",
    "Word",
    "plain",
]


class Unreadable(Exception):
    """It is no command line that could be read here."""


class TooMuch(Unreadable):
    """It comes to more than anybody would write: it is not read to its end."""


class Lit(Struct, frozen=True):
    """Characters that stand for themselves."""

    text: str
    quoted: bool


class Var(Struct, frozen=True):
    """`$name` or `${name…}`: `change` is what follows the name there, `rest` the words of that."""

    name: str
    quoted: bool
    change: str = ""
    rest: "Word" = ()


class Sub(Struct, frozen=True):
    """`$(…)` or backquotes."""

    script: "Script"
    quoted: bool


class Proc(Struct, frozen=True):
    """`<(…)`, or `>(…)` with `into`."""

    script: "Script"
    into: bool


Part: TypeAlias = Lit | Var | Sub | Proc
Word: TypeAlias = tuple[Part, ...]


class Assignment(Struct, frozen=True):
    """`name=value`; an array has several values, or none."""

    name: str
    values: tuple[Word, ...]


class Redirect(Struct):
    """An operator (`>`, `<<<`, …) and its word; of a here-document (`<<`) its text, which is read after its line."""

    operator: str
    word: Word
    descriptor: str = ""


class Simple(Struct, frozen=True):
    """One command: what is assigned for it, its words, and where its input and output are."""

    assignments: tuple[Assignment, ...] = ()
    words: tuple[Word, ...] = ()
    redirects: tuple[Redirect, ...] = ()


class Group(Struct, frozen=True):
    """Scripts that run one after the other, or some of them, or each several times."""

    scripts: tuple["Script", ...]
    own_shell: bool = False
    """Nothing that it sets is seen outside."""
    redirects: tuple[Redirect, ...] = ()


class Loop(Struct, frozen=True):
    """`for name in words`."""

    name: str
    words: tuple[Word, ...]
    body: "Script"
    redirects: tuple[Redirect, ...] = ()


class Function(Struct, frozen=True):
    """A definition: what it holds may run."""

    name: str
    body: "Command"


Command: TypeAlias = Simple | Group | Loop | Function


class Pipeline(Struct, frozen=True):
    """Commands that feed one another, and how the next pipeline follows: `&&`, `||`, `;` or `&`."""

    commands: tuple[Command, ...]
    then: str = ";"


class Script(Struct, frozen=True):
    """What runs, in order."""

    pipelines: tuple[Pipeline, ...] = ()


def plain(word: Word) -> str:
    """The characters of a word that stand for themselves."""
    return "".join(part.text for part in word if isinstance(part, Lit))
