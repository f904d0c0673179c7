"""Which programs a command line would run, with which arguments and what on their standard input. Pure.

Every branch is taken and every function's body read; variables have all the values that they are ever given. Each
program that would run is shown to `judge`; what only starts another program is looked through first (see wrappers).
"""

from collections.abc import Callable, Iterable

from msgspec import Struct

from agents.guard import inline, wrappers
from agents.guard.blocked import Rule
from agents.guard.places import Places
from agents.guard.shell import parse
from agents.guard.stream import FETCHED, FETCHED_FILE, MANY, NOTHING, ONE, TOP, UNKNOWN, Kind, Stream, printed, unmarked
from agents.guard.syntax import (
    Command,
    Function,
    Group,
    Loop,
    Pipeline,
    Proc,
    Redirect,
    Script,
    Simple,
    TooMuch,
    Unreadable,
)
from agents.guard.words import Fields, Words

__all__ = ["Run", "read"]

PASSES = 4
"""Until all that variables may hold is known; what is still new after these counts as unknown."""
RUNS_MAX = 1_000
"""Programs that one command line may come to; one with more cannot be read."""
DEPTH_MAX = 12
"""Of programs that run programs."""


class Run(Struct, frozen=True):
    """One program that would run."""

    name: str
    """Its file's name, in small letters; marked where it is not known."""
    args: Fields
    given: Stream
    places: Places


Judge = Callable[[Run], Rule | None]


def read(text: str, places: Places, judge: Judge) -> Rule | None:
    """The first rule that it breaks. Raises Unreadable."""
    reader = _Reader(places, judge)
    try:
        return _read(parse(text), reader)
    except RecursionError:
        raise TooMuch("it is nested too deeply") from None


def _read(script: Script, reader: "_Reader") -> Rule | None:
    known = -1
    for _ in range(PASSES):
        reader.begin()
        reader.script(script, NOTHING)
        now = sum(len(values) for values in reader.words.variables.values()) + len(reader.files)
        if now == known:
            break
        known = now
    return reader.found


class _Reader:
    def __init__(self, places: Places, judge: Judge) -> None:
        self.found: Rule | None = None
        self.words = Words(self._output, self._process)
        self.files: dict[str, Stream] = {}
        """What the script itself puts into files."""
        self._judge = judge
        self._worktree = places
        self._places = places
        self._runs = 0
        self._depth = 0
        self._stops_at_errors = False
        self._fed: list[Script] = []
        """What stands in `>(…)` of the command at hand."""

    def begin(self) -> None:
        self.found = None
        self._places = self._worktree
        self._runs = 0
        self._stops_at_errors = False

    # ── scripts ──

    def script(self, script: Script, given: Stream) -> Stream:
        """What it prints, too."""
        printed_by: list[Stream] = []
        before = self._places
        for pipeline in script.pipelines:
            printed_by.append(self._pipeline(pipeline, given))
            if pipeline.then != "&&":
                # Whether `cd` worked is not known; `&&` waits for that, and so does `set -e`.
                if not (self._stops_at_errors and pipeline.then == ";"):
                    self._places = self._places.or_else(before)
                before = self._places
        self._places = self._places.or_else(before)
        return _all_of(printed_by)

    def _own_shell(self, script: Script, given: Stream) -> Stream:
        before = self._places
        try:
            return self.script(script, given)
        finally:
            self._places = before

    def _pipeline(self, pipeline: Pipeline, given: Stream) -> Stream:
        if len(pipeline.commands) == 1:
            return self._command(pipeline.commands[0], given)
        before = self._places
        for command in pipeline.commands:
            given = self._command(command, given)
            self._places = before
        return given

    def _command(self, command: Command, given: Stream) -> Stream:
        match command:
            case Simple():
                return self._simple(command, given)
            case Group(scripts=scripts, own_shell=own_shell, redirects=redirects):
                given = self._redirected(redirects, given)
                run = self._own_shell if own_shell else self.script
                said = _all_of([run(script, given) for script in scripts])
                return self._written(redirects, said)
            case Loop(name=name, words=words, body=body, redirects=redirects):
                values = {(field,) for fields in self.words.fields(words) for field in fields}
                self.words.learn(name, *((value[0].replace(MANY, ONE),) for value in values))
                return self._written(redirects, self.script(body, self._redirected(redirects, given)))
            case Function(name=name, body=body):
                if name == ":":
                    self._blame(Rule.MACHINE)  # nobody else calls a function so
                before = self._places
                self._command(body, UNKNOWN)
                self._places = before
                return NOTHING

    def _simple(self, command: Simple, given: Stream) -> Stream:
        for assignment in command.assignments:
            array = len(assignment.values) != 1
            self.words.assign(assignment.name, assignment.values, array=array)
            if assignment.name.endswith(wrappers.COMMAND_VARIABLES):
                for value in assignment.values:
                    for text in self.words.texts(value):
                        self._text(text, NOTHING)
        fed, self._fed = self._fed, []
        given = self._redirected(command.redirects, given)
        said = [self._run(fields, given) for fields in self.words.fields(command.words) if fields]
        out = self._written(command.redirects, _any_of(said))
        feeding, self._fed = self._fed, fed
        for script in feeding:
            self._own_shell(script, FETCHED if Kind.FETCHED in (given.kind, *(one.kind for one in said)) else out)
        return out

    # ── programs ──

    def _run(self, fields: Fields, given: Stream) -> Stream:
        self._runs += 1
        self._depth += 1
        try:
            if self._runs > RUNS_MAX or self._depth > DEPTH_MAX:
                raise TooMuch("it comes to too many programs")
            return self._looked_through(fields, given)
        finally:
            self._depth -= 1

    def _looked_through(self, fields: Fields, given: Stream) -> Stream:
        name, args = wrappers.base_name(fields[0]), fields[1:]
        if FETCHED_FILE in fields[0]:
            self._blame(Rule.FETCHED)
        self._builtin(name, args)
        if rule := self._judge(Run(name, args, given, self._places)):
            self._blame(rule)
        inner = wrappers.inside(fields[0], args, given)
        if inner is None or inner == wrappers.Inside():
            self._keep(name, args, given)
            return printed(name, args, given, self._file)
        said = [self._run(argv, given) for argv in inner.commands if argv]
        said += [self._text(text, NOTHING, inner.positional) for text in inner.scripts]
        said += [self._string(text) for text in inner.strings]
        if inner.code_file is not None:
            self._code(inner.code_file[1])
        if inner.file is not None:
            said.append(self._executed(self._file(inner.file), inner.positional, a_file=True))
        if inner.reads_script:
            said.append(self._executed(given, inner.positional, a_file=False))
        return _any_of(said)

    def _builtin(self, name: str, args: Fields) -> None:
        plain = tuple(arg for arg in args if not arg.startswith("-") or arg == "-")
        match name:
            case "cd" | "pushd":
                self._places = self._places.moved(plain[0] if plain else "~")
            case "popd":
                self._places = self._places.moved(MANY)
            case "read" | "mapfile" | "readarray" | "getopts":
                for variable in plain:
                    self.words.learn(variable, (ONE,))
            case "set" if args:
                self._stops_at_errors |= any(arg.startswith("-") and "e" in arg for arg in args) or "errexit" in args
                if "--" in args:
                    self._positional(("sh", *args[args.index("--") + 1 :]))
            case _:
                pass

    def _positional(self, args: Fields) -> None:
        """`$0`, `$1` …"""
        self.words.learn("@", args[1:])
        self.words.learn("*", args[1:])
        for index, arg in enumerate(args[:10]):
            self.words.learn(str(index), (arg,))

    def _text(self, text: str, given: Stream, positional: Fields = ()) -> Stream:
        """A text that a shell is told to run."""
        if FETCHED_FILE in text:
            self._blame(Rule.FETCHED)
            return UNKNOWN
        if text.strip() in (ONE, MANY):
            self._blame(Rule.HIDDEN)
            return UNKNOWN
        if positional:
            self._positional(positional)
        return self._own_shell(parse(text, self._depth), given)

    def _string(self, text: str) -> Stream:
        """A text that may be one for a shell."""
        try:
            return self._text(text, NOTHING)
        except TooMuch:
            raise
        except Unreadable:
            return UNKNOWN

    def _code(self, path: str) -> None:
        """A file of some interpreter's language."""
        stream = self._file(path)
        if stream.kind is Kind.FETCHED:
            self._blame(Rule.FETCHED)
        elif stream.kind is Kind.TEXT:
            commands, strings = inline.looked(stream.text)
            for argv in commands:
                self._run(argv, NOTHING)
            for string in strings:
                self._string(string)

    def _executed(self, stream: Stream, positional: Fields, *, a_file: bool) -> Stream:
        """What is in a stream, as a script."""
        match stream.kind:
            case Kind.TEXT:
                return self._text(stream.text, NOTHING, positional)
            case Kind.FETCHED:
                self._blame(Rule.FETCHED)
            case Kind.UNKNOWN | Kind.PATHS if not a_file:
                self._blame(Rule.HIDDEN)
            case _:
                pass
        return UNKNOWN

    def _blame(self, rule: Rule) -> None:
        self.found = self.found or rule

    # ── what flows ──

    def _output(self, script: Script) -> Stream:
        out = self._own_shell(script, NOTHING)
        if out.kind is Kind.TEXT and out.text == TOP:
            return Stream(Kind.TEXT, self._worktree.worktree)
        return out

    def _process(self, proc: Proc) -> str:
        if proc.into:
            self._fed.append(proc.script)
            return "/dev/fd/63"
        out = self._output(proc.script)
        if out.kind is Kind.FETCHED:
            return FETCHED_FILE
        path = f"/dev/fd/{64 + len(self.files)}"
        if out.kind in (Kind.TEXT, Kind.UNKNOWN):
            known = next((path for path, held in self.files.items() if held == out and path.startswith("/dev")), path)
            self.files[known] = out
            return known
        return path

    def _file(self, path: str) -> Stream:
        if FETCHED_FILE in path:
            return FETCHED
        if not unmarked(path):
            return Stream(Kind.FILE)
        return self.files.get(self._places.named(path), Stream(Kind.FILE))

    def _redirected(self, redirects: Iterable[Redirect], given: Stream) -> Stream:
        for redirect in redirects:
            match redirect.operator:
                case "<":
                    given = self._file(self.words.texts(redirect.word)[0])
                case "<<" | "<<<":
                    given = Stream(Kind.TEXT, self.words.texts(redirect.word)[0])
                    if not unmarked(given.text) and given.text.strip() in (ONE, MANY, FETCHED_FILE):
                        given = FETCHED if FETCHED_FILE in given.text else UNKNOWN
                case _:
                    pass
        return given

    def _written(self, redirects: Iterable[Redirect], said: Stream) -> Stream:
        """Notes what goes to files; what is left for the next program."""
        for redirect in redirects:
            if redirect.operator not in (">", ">>", ">|", "&>", "&>>", "<>", ">&"):
                continue
            for target in self.words.texts(redirect.word):
                if redirect.operator == ">&" and (target.isdigit() or target == "-"):
                    continue
                if not self._places.may_hold(target):
                    self._blame(Rule.WRITE)
                self._put(target, said)
                if redirect.descriptor in ("", "1"):
                    said = NOTHING
        return said

    def _put(self, path: str, said: Stream) -> None:
        if unmarked(path):
            name = self._places.named(path)
            held = self.files.get(name)
            worse = held is not None and held.kind is Kind.FETCHED
            if held is not None and held.kind is Kind.TEXT and said.kind is Kind.TEXT and said.text not in held.text:
                said = Stream(Kind.TEXT, held.text + said.text)
            elif held is not None and held.kind is Kind.TEXT and said.kind is Kind.TEXT:
                return
            if said.kind in (Kind.TEXT, Kind.FETCHED) and not worse:
                self.files[name] = said

    def _keep(self, name: str, args: Fields, given: Stream) -> None:
        """Notes what programs put into files by themselves."""
        for path in wrappers.fetched_to(name, args):
            self._put(path, FETCHED)
        if name == "tee":
            for arg in args:
                if not arg.startswith("-"):
                    self._put(arg, given)
        if name in ("cp", "mv", "ln", "install") and len(args) >= 2:
            source = self._file(args[-2])
            if source.kind in (Kind.TEXT, Kind.FETCHED):
                self._put(args[-1], source)


def _all_of(streams: list[Stream]) -> Stream:
    """One after the other."""
    said = [stream for stream in streams if stream.kind is not Kind.NOTHING]
    if not said:
        return NOTHING
    if len(said) == 1:
        return said[0]
    if any(stream.kind is Kind.FETCHED for stream in said):
        return FETCHED
    if all(stream.kind is Kind.TEXT for stream in said):
        return Stream(Kind.TEXT, "".join(stream.text for stream in said))
    return UNKNOWN


def _any_of(streams: list[Stream]) -> Stream:
    """One of them."""
    if len(set(streams)) == 1:
        return streams[0]
    if not streams:
        return NOTHING
    return FETCHED if any(stream.kind is Kind.FETCHED for stream in streams) else UNKNOWN
