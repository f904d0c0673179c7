"""Code that stands on a command line: `python -c`, `perl -e`, `node -e`, awk. Pure, and rough.

It looks for what starts programs and for what removes trees, and reads the strings beside it; what such code computes
first is not followed.
"""

import re

from agents.guard.stream import FETCHED_FILE, Kind, Stream
from agents.guard.words import Fields

__all__ = ["inside", "looked"]

Found = tuple[tuple[Fields, ...], Fields, str | None]

_LANGUAGES: tuple[tuple[re.Pattern[str], tuple[str, ...], tuple[str, ...]], ...] = (
    (re.compile(r"(python|pypy)[0-9.]*w?$"), ("c",), ("-W", "-X", "-m")),
    (re.compile(r"perl[0-9.]*$"), ("e", "E"), ("-I", "-M")),
    (re.compile(r"ruby[0-9.]*$"), ("e",), ("-I", "-r")),
    (re.compile(r"(node|nodejs|bun|tsx|ts-node)$"), ("e", "p", "eval", "print"), ("-r", "--require", "--import")),
    (re.compile(r"deno$"), ("eval",), ()),
    (re.compile(r"php[0-9.]*$"), ("r",), ("-d", "-c")),
    (re.compile(r"(lua|luajit)[0-9.]*$"), ("e",), ("-l",)),
    (re.compile(r"(pwsh|powershell|osascript|rscript|elixir|iex|groovy|scala|julia)$"), ("c", "e", "Command"), ()),
    (re.compile(r"(tclsh|expect)$"), ("c",), ()),
)
_AWK = re.compile(r"(g|m|n)?awk$")

_STARTS = re.compile(
    r"\b(system|popen|subprocess|exec[lv]?[pe]*|execSync|execFile\w*|spawn\w*|shell_exec|passthru|proc_open|qx|Popen|"
    r"check_output|check_call|child_process|getoutput|IO\.popen|Kernel)\b|`|%x"
)
_REMOVES = re.compile(
    r"\b(rmtree|rm_rf|rm_r|rmSync|rmdirSync|rmdir|rm|remove_tree|remove_dir_all|removeSync|rimraf|rimrafSync)\b"
)
_RECURSES = re.compile(r"recursive|rmtree|rm_r|remove_tree|remove_dir_all|removeSync|rimraf")
_STRING = re.compile(
    r"\'\'\'(.*?)\'\'\'|\"\"\"(.*?)\"\"\"|\"((?:[^\"\\]|\\.)*)\"|\'((?:[^\'\\]|\\.)*)\'"
    r"|`([^`]*)`|q[xqw]?\{([^}]*)\}|%x\(([^)]*)\)",
    re.DOTALL,
)
_QUOTED = r"(?:'[^']*'|\"[^\"]*\")"
_LIST = re.compile(rf"\[\s*((?:{_QUOTED}\s*,?\s*)+)\]|\(\s*({_QUOTED}\s*(?:,\s*\[?{_QUOTED}\s*)+)")
_ITEM = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_HOME = re.compile(r"expanduser|homedir|Path\.home|Dir\.home|ENV\[.HOME|environ\[.HOME|process\.env\.HOME")


def inside(name: str, args: Fields, given: Stream) -> Found | None:
    """Commands, shell texts and the file of code that an interpreter is given; None: it is no interpreter."""
    if _AWK.match(name):
        codes = [arg for arg in args if "system" in arg or "|" in arg]
        return _of(codes)
    for pattern, flags, valued in _LANGUAGES:
        if pattern.match(name):
            return _interpreter(args, flags, valued, given)
    return None


def _interpreter(args: Fields, flags: tuple[str, ...], valued: tuple[str, ...], given: Stream) -> Found:
    codes: list[str] = []
    at = 0
    while at < len(args):
        arg = args[at]
        if arg == "-m":
            return (), (), None  # a module: see services
        if arg.startswith("--") and arg.partition("=")[0][2:] in flags:
            codes.append(arg.partition("=")[2] or "".join(args[at + 1 : at + 2]))
            at += 2
        elif arg in flags:  # deno eval
            codes += args[at + 1 :]
            break
        elif arg[:2] in valued and len(arg) > 2:
            at += 1
        elif letters := _letters(arg, flags):
            place = min(arg.index(letter, 1) for letter in letters)
            codes.append(arg[place + 1 :] or "".join(args[at + 1 : at + 2]))
            at += 1 if arg[place + 1 :] else 2
        elif arg in valued:
            at += 2
        elif arg.startswith("-") and arg != "-":
            at += 1
        else:
            break
    if codes:
        return _of(codes)
    rest = args[at:]
    if rest and rest[0] != "-":
        return (), (), rest[0]
    match given.kind:
        case Kind.TEXT:
            return _of([given.text])
        case Kind.FETCHED:
            return (), (FETCHED_FILE,), None
        case _:
            return (), (), None


def _letters(arg: str, flags: tuple[str, ...]) -> list[str]:
    """The short options among these that stand in an argument."""
    if arg.startswith("--") or not arg.startswith("-"):
        return []
    return [flag for flag in flags if len(flag) == 1 and flag in arg[1:]]


def _of(codes: list[str]) -> Found:
    commands: list[Fields] = []
    scripts: list[str] = []
    for code in codes:
        more, texts = looked(code)
        commands += more
        scripts += texts
    return tuple(commands), tuple(scripts), None


def looked(code: str) -> tuple[tuple[Fields, ...], Fields]:
    """The commands and shell texts that a piece of code may start. What removes a tree counts as `rm -r`."""
    if FETCHED_FILE in code:
        return (), (FETCHED_FILE,)
    strings = [next(group for group in found.groups() if group is not None) for found in _STRING.finditer(code)]
    commands: list[Fields] = []
    scripts: list[str] = []
    if _STARTS.search(code):
        for found in _LIST.finditer(code):
            items = tuple(one or other for one, other in _ITEM.findall(found[1] or found[2]))
            commands.append(items)
        scripts += [
            text.encode().decode("unicode_escape", "ignore") if "\\" in text else text
            for text in strings
            if " " in text
        ]
    if _REMOVES.search(code) and _RECURSES.search(code):
        commands += [("rm", "-r", "--", text) for text in strings if text.startswith(("/", "~", "..")) or "/.." in text]
        if _HOME.search(code):
            commands.append(("rm", "-r", "--", "~"))
    return tuple(commands), tuple(scripts)
