"""Programs that run another: what they would run. Pure.

Each has its table of options that take a value; where an option is not known, what follows it is read both ways.
"""

import os.path
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from msgspec import Struct

from agents.guard import inline
from agents.guard.quoting import MARKS
from agents.guard.stream import MANY, ONE, Stream, unmarked
from agents.guard.syntax import TooMuch
from agents.guard.table import names
from agents.guard.words import Fields

__all__ = ["COMMAND_VARIABLES", "SHELLS", "Inside", "base_name", "fetched_to", "inside", "may_be"]

COMMAND_VARIABLES = ("_COMMAND", "PAGER", "EDITOR", "_ASKPASS", "BROWSER", "_SHELL", "PRELOAD_CMD", "GIT_SSH")
"""Ends of the names of variables that hold what some program then runs."""
SHELLS = frozenset(names("sh bash dash zsh ksh mksh ash fish rbash yash csh tcsh"))
_SHELL_VALUES = frozenset(names("-o +o -O +O --rcfile --init-file -C --init-command"))

DOUBTS_MAX = 12
"""Places at which one command's own command may begin."""
_GLOBS = frozenset("*?[")


class Inside(Struct, frozen=True, kw_only=True):
    """What a program runs: commands, texts for a shell, a file of them, or its standard input."""

    commands: tuple[Fields, ...] = ()
    scripts: Fields = ()
    strings: Fields = ()
    """Of some code: they may be meant for a shell, or be no command line at all."""
    file: str | None = None
    code_file: tuple[str, str] | None = None
    """An interpreter and a file of its language."""
    reads_script: bool = False
    positional: Fields = ()
    """What `$0`, `$1` … are there."""


def base_name(program: str) -> str:
    """A program's name, wherever it is."""
    return os.path.basename(program.rstrip("/")).lower() or program


def may_be(name: str, *known: str) -> bool:
    """Whether a name, of which not all may be known, can be one of these. What is not known at all is none of them."""
    if name.strip(MARKS) == "":
        return False
    if unmarked(name) and not _GLOBS & set(name):
        return name in known
    pattern = "".join("*" if char in MARKS else char for char in name)
    return any(fnmatchcase(one, pattern) for one in known)


def inside(program: str, args: Fields, given: Stream) -> Inside | None:
    """What it runs; None: itself, and nothing that is seen here."""
    name = base_name(program)
    if name.strip(MARKS) == "":
        # Whatever it is, it may run its arguments.
        return Inside(commands=_commands(args, ()), scripts=_after(args, "-c", "-lc"))
    for known, look in _BY_NAME.items():
        if may_be(name, known):
            return look(args, given)
    if may_be(name, *_PLAIN):
        options, skipped = next(_PLAIN[one] for one in _PLAIN if may_be(name, one))
        return Inside(commands=_commands(args, options, skipped))
    if may_be(name, *SHELLS):
        return _shell(args)
    if (found := inline.inside(name, args, given)) is not None:
        commands, scripts, file = found
        return Inside(commands=commands, strings=scripts, code_file=(name, file) if file else None)
    for known, words in _RUNNERS.items():
        if may_be(name, known):
            return _runner(args, words)
    return Inside(file=program, positional=(program, *args)) if "/" in program else None


def fetched_to(name: str, args: Fields) -> Fields:
    """The files that a download goes to."""
    urls = [arg.split("?")[0] for arg in args if "://" in arg]
    named = [base_name(url) for url in urls]
    match name:
        case "curl":
            files = _after(args, "-o", "--output")
            files += tuple(arg[2:] for arg in args if arg.startswith("-o") and len(arg) > 2)
            clustered = [arg for arg in args if arg.startswith("-") and not arg.startswith("--")]
            for at, arg in enumerate(args[:-1]):
                if arg in clustered and arg.endswith("o"):
                    files += (args[at + 1],)
            return files + (tuple(named) if any("O" in arg for arg in clustered) or "--remote-name" in args else ())
        case "wget":
            files = _after(args, "-O", "--output-document") + tuple(arg[2:] for arg in args if arg.startswith("-O"))
            for at, arg in enumerate(args[:-1]):
                if arg.startswith("-") and not arg.startswith("--") and arg.endswith("O"):
                    files += (args[at + 1],)
            return files or tuple(named)
        case "aria2c" | "fetch":
            return _after(args, "-o", "--out") or tuple(named)
        case _:
            return ()


# ── shells ──


def _shell(args: Fields) -> Inside:
    texts_come, reads = False, False
    files: list[str] = []
    at = 0
    while at < len(args):
        arg = args[at]
        if arg in ("--", "-"):
            at += 1
            break
        if not arg.startswith(("-", "+")):
            break
        if arg in ("--rcfile", "--init-file"):
            files.append(args[at + 1] if at + 1 < len(args) else "")
        texts_come |= not arg.startswith("--") and "c" in arg[1:]
        texts_come |= arg in ("--command", "--commands")
        reads |= not arg.startswith("--") and "s" in arg[1:]
        takes_value = arg in _SHELL_VALUES or (arg[:2] != "--" and arg[-1] in "oO")
        at += 2 if takes_value else 1
    rest = args[at:]
    if texts_come:
        return Inside(scripts=rest[:1], positional=rest[1:])
    if rest and not reads:
        return Inside(file=rest[0], positional=rest)
    return Inside(reads_script=True, file=files[0] if files else None, positional=("sh", *rest))


def _eval(args: Fields, _given: Stream) -> Inside:
    return Inside(scripts=(" ".join(args),) if args else ())


def _source(args: Fields, _given: Stream) -> Inside:
    return Inside(file=args[0] if args else None, positional=args)


def _trap(args: Fields, _given: Stream) -> Inside:
    return Inside(scripts=tuple(arg for arg in args[:1] if not arg.startswith("-")))


def _reads(_args: Fields, _given: Stream) -> Inside:
    return Inside(reads_script=True)


# ── programs that run their arguments ──


def _commands(args: Fields, valued: Iterable[str], skipped: int = 0) -> tuple[Fields, ...]:
    """The commands that may begin after the options, and after so many more arguments."""
    found: list[Fields] = []
    doubtful = False
    at = 0
    valued = frozenset(valued)
    while at < len(args):
        arg = args[at]
        if arg == "--":
            at += 1
            break
        if not (arg.startswith("-") and len(arg) > 1):
            if not doubtful:
                break
            if len(found) == DOUBTS_MAX:
                raise TooMuch("it has more options than can be told from a command")
            found.append(args[at:])  # or the value of an option that is not known here
            doubtful = False
            at += 1
            continue
        if arg in valued:
            at += 2
            doubtful = False
        else:
            doubtful = not (arg[:2] in valued and len(arg) > 2 and not arg.startswith("--")) and "=" not in arg
            at += 1
    found.append(args[at:])
    if skipped:
        found = [command[skipped:] for command in found]
    return tuple(command for command in found if command)


def _env(args: Fields, _given: Stream) -> Inside:
    texts: list[str] = []
    at = 0
    while at < len(args):
        arg = args[at]
        if arg in ("-S", "--split-string"):
            return Inside(scripts=(" ".join(args[at + 1 :]),))
        if arg.startswith("--split-string=") or (arg.startswith("-") and not arg.startswith("--") and "S" in arg):
            text = arg.partition("=")[2] if arg.startswith("--") else arg[arg.index("S") + 1 :]
            return Inside(scripts=(" ".join((text, *args[at + 1 :])),))
        if arg in ("-u", "--unset", "-C", "--chdir", "-P", "-L", "-U"):
            at += 2
        elif arg.startswith("-"):
            at += 1
        elif "=" in arg and arg.partition("=")[0].isidentifier():
            name, _, value = arg.partition("=")
            texts += [value] if name.endswith(COMMAND_VARIABLES) else []
            at += 1
        else:
            break
    return Inside(commands=(args[at:],) if at < len(args) else (), scripts=tuple(texts))


_XARGS = names("-n -P -L -s -d -E -a --arg-file --delimiter --max-args --max-procs --max-lines")


def _xargs(args: Fields, given: Stream) -> Inside:
    replaced = "{}" if any(arg in ("-i", "--replace") for arg in args) else None
    for at, arg in enumerate(args):
        if arg in ("-I", "-J") and at + 1 < len(args):
            replaced = args[at + 1]
        elif arg.startswith("-I") and len(arg) > 2:
            replaced = arg[2:]
        elif arg.startswith("--replace="):
            replaced = arg.partition("=")[2]
        elif not arg.startswith("-"):
            break
    from_file = any(arg in ("-a", "--arg-file") or arg.startswith("--arg-file=") for arg in args)
    items = (MANY,) if from_file else given.items() or (MANY,)
    commands = _commands(args, (*_XARGS, "-I", "-J"))
    if replaced is None:
        return Inside(commands=tuple((*command, *items) for command in commands))
    return Inside(
        commands=tuple(tuple(arg.replace(replaced, item) for arg in command) for command in commands for item in items)
    )


def _parallel(args: Fields, given: Stream) -> Inside:
    own, marker, lists = args, "", ()
    for mark in (":::", "::::", ":::+"):
        if mark in args:
            at = args.index(mark)
            own, marker, lists = args[:at], mark, args[at + 1 :]
            break
    items = lists if marker == ":::" else given.items() if not marker else (MANY,)
    commands = _commands(own, ("-j", "--jobs", "-n", "-N", "--colsep", "-a", "--timeout", "--delay", "-I"))
    items = items or (MANY,)
    if not commands:
        return Inside(scripts=items)
    texts = [" ".join(command) for command in commands]
    return Inside(
        scripts=tuple(
            text.replace("{}", item) if "{}" in text else f"{text} {item}" for text in texts for item in items
        )
    )


def _find(args: Fields, _given: Stream) -> Inside:
    roots: list[str] = []
    for arg in args:
        if arg.startswith(("-", "(", "!")):
            if arg in ("-H", "-L", "-P"):
                continue
            break
        roots.append(arg)
    paths = [f"{root}/{ONE}" for root in roots or ["."]]
    commands: list[Fields] = []
    for at, arg in enumerate(args):
        if arg in ("-exec", "-execdir", "-ok", "-okdir"):
            rest = args[at + 1 :]
            end = next((index for index, word in enumerate(rest) if word in (";", "+")), len(rest))
            commands += [tuple(word.replace("{}", path) for word in rest[:end]) for path in paths]
    return Inside(commands=tuple(commands))


def _fd(args: Fields, _given: Stream) -> Inside:
    for flag in ("-x", "--exec", "-X", "--exec-batch"):
        if flag in args:
            at = args.index(flag)
            roots = [arg for arg in args[:at] if not arg.startswith("-")][1:] or ["."]
            return Inside(commands=tuple((*args[at + 1 :], f"{root}/{ONE}") for root in roots))
    return Inside()


def _ssh(args: Fields, _given: Stream) -> Inside:
    options = _after_equals(_after(args, "-o"))
    rest = _commands(args, ("-p", "-i", "-o", "-l", "-F", "-J", "-L", "-R", "-D", "-c", "-b", "-e", "-m", "-W", "-S"))
    # What runs there, runs outside of any worktree.
    return Inside(scripts=(*options, *(f"cd / && {' '.join(command[1:])}" for command in rest if command[1:])))


def _after_equals(options: Fields) -> Fields:
    return tuple(option.partition("=")[2] for option in options if "command=" in option.lower())


def _watch(args: Fields, _given: Stream) -> Inside:
    return Inside(scripts=tuple(" ".join(command) for command in _commands(args, ("-n", "--interval"))))


def _texts(args: Fields, _given: Stream) -> Inside:
    """Any argument may be a command line."""
    return Inside(scripts=tuple(arg for arg in args if " " in arg and not arg.startswith("-")))


def _flock(args: Fields, _given: Stream) -> Inside:
    valued = ("-w", "--timeout", "-E", "--conflict-exit-code")
    return Inside(scripts=_after(args, "-c", "--command"), commands=_commands(args, valued, 1))


def _script(args: Fields, _given: Stream) -> Inside:
    return Inside(scripts=_after(args, "-c", "--command", "-qc", "-qec", "-ec"))


def _tar(args: Fields, _given: Stream) -> Inside:
    texts = [arg.partition("=")[2].removeprefix("exec=") for arg in args if arg.startswith(_TAR)]
    return Inside(scripts=tuple(texts) + _after(args, "-I", "--use-compress-program", "--to-command"))


_TAR = ("--checkpoint-action=", "--to-command=", "--use-compress-program=", "--rsh-command=", "--new-volume-script=")


def _rsync(args: Fields, _given: Stream) -> Inside:
    return Inside(scripts=_after(args, "-e", "--rsh", "--rsync-path"))


def _git(args: Fields, _given: Stream) -> Inside:
    texts: list[str] = []
    for setting in _after(args, "-c", "--config-env"):
        key, _, value = setting.partition("=")
        key = key.lower()
        if key.startswith("alias."):
            texts.append(value[1:] if value.startswith("!") else f"git {value}")
        elif key.endswith(_GIT_RUNS):
            texts.append(value.removeprefix("!"))
    words = [arg for arg in args if not arg.startswith("-")]
    if "config" in words:
        texts += _alias_set(words[words.index("config") + 1 :])
    for runner, first in (("submodule", "foreach"), ("bisect", "run")):
        if runner in words and first in words[words.index(runner) :]:
            rest = args[args.index(first) + 1 :]
            texts.append(" ".join(word for word in rest if word != "--recursive"))
    return Inside(scripts=(*texts, *_after(args, "--upload-pack", "--receive-pack")))


_GIT_RUNS = (".sshcommand", ".pager", ".editor", ".askpass", ".helper", ".fsmonitor", ".external", ".clean", ".smudge")


def _alias_set(words: list[str]) -> list[str]:
    words = [word for word in words if word not in ("set", "add")]
    if len(words) < 2 or not words[0].lower().startswith("alias."):
        return []
    return [words[1][1:] if words[1].startswith("!") else f"git {words[1]}"]


def _docker(args: Fields, _given: Stream) -> Inside:
    for verb in ("exec", "run"):
        if verb in args:
            rest = _commands(args[args.index(verb) + 1 :], _DOCKER, 1)
            return Inside(commands=rest)
    return Inside()


_DOCKER = names(
    """-e --env -u --user -w --workdir -v --volume -p --publish --name --network --mount --entrypoint --env-file
    -l --label -m --memory --cpus --platform -h --hostname --add-host"""
)


def _kubectl(args: Fields, _given: Stream) -> Inside:
    if "exec" in args and "--" in args:
        return Inside(commands=(args[args.index("--") + 1 :],))
    return Inside()


def _after(args: Fields, *flags: str) -> Fields:
    """What follows these options, or is joined to the long ones."""
    found = [args[at + 1] for at, arg in enumerate(args[:-1]) if arg in flags]
    joined = [arg.partition("=") for arg in args if arg.startswith("--") and "=" in arg]
    found += [value for name, _, value in joined if name in flags]
    return tuple(found)


def _runner(args: Fields, words: tuple[str, ...]) -> Inside:
    """`poetry run …`: what follows such a word; of some, everything."""
    texts = _after(args, "--call", "--run", "--command")
    commands: list[Fields] = []
    if "" in words:
        commands += _commands(args, _RUN_VALUES)
    for word in words:
        if word and word in args:
            commands += _commands(args[args.index(word) + 1 :], _RUN_VALUES)
    return Inside(commands=tuple(commands), scripts=texts)


_RUN_VALUES = names(
    """-p --package --from --with --python --extra --group --project --directory --env-file -n --name --prefix
    --cwd -C -w --workspace --filter --with-requirements"""
)

_RUNNERS: dict[str, tuple[str, ...]] = {
    "npx": ("",),
    "pnpx": ("",),
    "bunx": ("",),
    "uvx": ("",),
    "dotenv": ("",),
    "npm": ("exec", "x"),
    "pnpm": ("exec", "dlx", ""),
    "yarn": ("exec", "dlx", "run", ""),
    "bun": ("x", "run"),
    "poetry": ("run",),
    "pipenv": ("run",),
    "pdm": ("run",),
    "hatch": ("run",),
    "rye": ("run",),
    "uv": ("run",),
    "pipx": ("run",),
    "bundle": ("exec",),
    "conda": ("run",),
    "mamba": ("run",),
    "micromamba": ("run",),
    "mise": ("exec", "x"),
    "asdf": ("exec",),
    "nix-shell": (),
    "nix": ("-c", "--command"),
    "perf": ("stat", "record"),
    "gdb": ("--args",),
    "aws-vault": ("exec",),
    "doppler": ("run",),
    "op": ("run",),
    "coverage": (),
}

_TABLE = """
command builtin nohup setsid linux64 unbuffer chronic busybox toybox fakeroot valgrind firejail rlwrap entr setpriv ts
prlimit winpty catchsegv torsocks torify proxychains proxychains4 systemd-inhibit unshare dbus-run-session
exec         -a
time gtime   -f -o --format --output
nice         -n --adjustment
ionice       -c -n -p --class --classdata
timeout      1 -k -s --kill-after --signal
gtimeout     1 -k -s --kill-after --signal
stdbuf       -i -o -e --input --output --error
strace       -e -o -s -p -P -a -u -E -O -S -I
ltrace       -e -o -s -p -a -u -n
taskset chrt setarch chroot faketime 1
caffeinate   -t -w
systemd-run  -p --property --unit -u -E --setenv
nsenter      -t --target
bwrap        --chdir --setenv
proot        -r -b -w
xvfb-run     -n -s -e -f -w --server-num --server-args
direnv       2
cpulimit     -l
sudo doas    -u -g -h -p -C -D -R -T -U -r -t
"""
"""Programs, how many arguments of their own come before the command, and their options with a value."""


def _table() -> dict[str, tuple[Fields, int]]:
    found: dict[str, tuple[Fields, int]] = {}
    for line in _TABLE.split("\n"):
        words = line.split()
        options = tuple(word for word in words if word.startswith("-"))
        skipped = next((int(word) for word in words if word.isdigit()), 0)
        found |= {word: (options, skipped) for word in words if word not in options and not word.isdigit()}
    return found


_PLAIN = _table()

_BY_NAME: dict[str, Callable[[Fields, Stream], Inside]] = {
    "eval": _eval,
    "source": _source,
    ".": _source,
    "trap": _trap,
    "at": _reads,
    "batch": _reads,
    "crontab": _reads,
    "env": _env,
    "genv": _env,
    "xargs": _xargs,
    "gxargs": _xargs,
    "parallel": _parallel,
    "find": _find,
    "gfind": _find,
    "fd": _fd,
    "fdfind": _fd,
    "ssh": _ssh,
    "watch": _watch,
    "flock": _flock,
    "script": _script,
    "tmux": _texts,
    "screen": _texts,
    "hyperfine": _texts,
    "concurrently": _texts,
    "tar": _tar,
    "gtar": _tar,
    "rsync": _rsync,
    "git": _git,
    "docker": _docker,
    "podman": _docker,
    "nerdctl": _docker,
    "docker-compose": _docker,
    "kubectl": _kubectl,
    "oc": _kubectl,
}
