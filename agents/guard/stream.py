"""What flows from one program to the next, as far as it can be seen. Pure."""

import re
import shlex
from collections.abc import Callable
from enum import Enum

from msgspec import Struct

from agents.guard.quoting import MARKS
from agents.guard.table import names

__all__ = [
    "FETCHED",
    "FETCHED_FILE",
    "FRESH",
    "MANY",
    "NOTHING",
    "ONE",
    "TOP",
    "UNKNOWN",
    "Kind",
    "Stream",
    "printed",
    "unmarked",
]

ONE, MANY, FRESH, FETCHED_FILE = MARKS
"""What stands for something that cannot be known: within one argument; of any number of arguments; a directory that
was just made for the purpose (mktemp); a file with what was fetched from elsewhere."""

TOP = f"{ONE}TOP\n"
"""What `git rev-parse --show-toplevel` prints, whatever that is."""

FETCHERS = frozenset(names("curl wget fetch aria2c http https httpie xh lynx nc ncat netcat"))
FILTERS = frozenset(names("cat tee grep egrep fgrep rg sort uniq head tail shuf tac pv sponge nl"))
"""What comes out of these is some of what goes in. Out of any other comes what is made of it."""
SETTERS = frozenset(
    names(
        """ssh-agent gpg-agent pyenv rbenv nodenv goenv jenv direnv brew dircolors mise fnm zoxide starship opam conda
        minikube docker-machine lesspipe luarocks register-python-argcomplete"""
    )
)
"""What these print is meant to be run: it sets variables."""


class Kind(Enum):
    """What is known of it."""

    NOTHING = "nothing"
    TEXT = "text"
    """All of it."""
    PATHS = "paths"
    """Files below some directories."""
    FILE = "file"
    """What a file of the machine holds."""
    FETCHED = "fetched"
    """It comes from another machine."""
    UNKNOWN = "unknown"


class Stream(Struct, frozen=True):
    """Some program's output, another's input."""

    kind: Kind
    text: str = ""
    roots: tuple[str, ...] = ()

    def items(self) -> tuple[str, ...]:
        """What `xargs` makes of it."""
        match self.kind:
            case Kind.NOTHING:
                return ()
            case Kind.TEXT:
                return tuple(re.split(r"[\s\0]+", self.text.replace("'", "").replace('"', "").strip()))
            case Kind.PATHS:
                return tuple(f"{root}/{ONE}" for root in self.roots)
            case Kind.FETCHED:
                return (FETCHED_FILE,)
            case _:
                return (MANY,)


NOTHING = Stream(Kind.NOTHING)
UNKNOWN = Stream(Kind.UNKNOWN)
FETCHED = Stream(Kind.FETCHED)


def unmarked(text: str) -> bool:
    """Whether all of it is known."""
    return not any(mark in text for mark in MARKS)


def printed(name: str, args: tuple[str, ...], given: Stream, file: Callable[[str], Stream]) -> Stream:
    """What a program prints; `file` says what is known of a file."""
    plain = tuple(arg for arg in args if not arg.startswith("-"))
    if name in FETCHERS:
        return FETCHED
    match name:
        case "echo":
            return Stream(Kind.TEXT, _echoed(args))
        case "printf" if args:
            return Stream(Kind.TEXT, _formatted(plain[0], plain[1:])) if plain else NOTHING
        case _ if name in SETTERS:
            return Stream(Kind.TEXT, "")
        case "pwd":
            return Stream(Kind.TEXT, ".\n")
        case "mktemp":
            return Stream(Kind.TEXT, f"{FRESH}\n")
        case "git" if args[:2] == ("rev-parse", "--show-toplevel"):
            return Stream(Kind.TEXT, TOP)
        case "git" if args[:1] in (("ls-files",), ("diff",), ("ls-tree",), ("grep",)):
            return Stream(Kind.PATHS, roots=(".",))
        case "cat" if plain and plain != ("-",):
            return _joined([file(arg) for arg in plain])
        case "ls":
            return Stream(Kind.PATHS, roots=plain or (".",))
        case "find":
            return Stream(Kind.PATHS, roots=_roots(args))
        case "fd" | "fdfind":
            return Stream(Kind.PATHS, roots=plain[1:] or (".",))
        case "grep" | "egrep" | "rg" | "ag" if given.kind is Kind.NOTHING:
            return Stream(Kind.PATHS, roots=plain[1:] or (".",))
        case _ if given.kind is Kind.FETCHED:
            return FETCHED
        case "cat" | "tee":
            return given
        case _ if name in FILTERS and given.kind is Kind.PATHS:
            return given
        case _:
            return UNKNOWN


def _joined(streams: list[Stream]) -> Stream:
    for kind in (Kind.FETCHED, Kind.UNKNOWN, Kind.FILE):
        if any(stream.kind is kind for stream in streams):
            return Stream(kind)
    return Stream(Kind.TEXT, "".join(stream.text for stream in streams))


def _roots(args: tuple[str, ...]) -> tuple[str, ...]:
    roots: list[str] = []
    for arg in args:
        if arg in ("-H", "-L", "-P"):
            continue
        if arg.startswith(("-", "(", "!")):
            break
        roots.append(arg)
    return tuple(roots) or (".",)


def _echoed(args: tuple[str, ...]) -> str:
    at = next((at for at, arg in enumerate(args) if re.fullmatch("-[neE]+", arg) is None), len(args))
    text = " ".join(args[at:]) + "\n"
    return _unescaped(text) if any("e" in arg for arg in args[:at]) else text


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        if found[2]:
            return chr(int(found[2], 8))
        return {"n": "\n", "t": "\t", "\\": "\\"}.get(found[3], found[0])

    return re.sub(r"\\(?:x([0-9A-Fa-f]{1,2})|0?([0-7]{1,3})|(.))", one, text)


def _formatted(pattern: str, args: tuple[str, ...]) -> str:
    """What printf makes of it: `%s` and the escapes; of any other conversion, that it is not known."""
    pieces = re.split(r"(%%|%[-0-9.*]*[a-zA-Z])", _unescaped(pattern))
    wanted = sum(piece.startswith("%") and piece != "%%" for piece in pieces)
    rounds = [args[at : at + wanted] for at in range(0, len(args), wanted)] if wanted and args else [()]
    text: list[str] = []
    for round_ in rounds:
        rest = list(round_)
        for piece in pieces:
            if piece == "%%":
                text.append("%")
            elif piece.startswith("%") and len(piece) > 1:
                arg = rest.pop(0) if rest else ""
                match piece[-1]:
                    case "s":
                        text.append(arg)
                    case "b":
                        text.append(_unescaped(arg))
                    case "q":
                        text.append(shlex.quote(arg))
                    case _:
                        text.append(ONE)
            else:
                text.append(piece)
    return "".join(text)
