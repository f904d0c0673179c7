"""The keys of the rig: one nkey per principal, and the server's account file, which follows from the permissions.

    <principal>.nk    the seed: a secret, its owner's alone (mode 0600, in a directory of mode 0700)
    accounts.conf     what the server is told: public keys and permissions, no secret; written anew each time

A tenant is one such file. Who has one key of a role is that role: keys are kept, and only `rotate` replaces one. One
that others may have read or put there is refused, and not mended in silence: it may be known already.
"""

import fcntl
import json
import os
import shlex
import stat
import tempfile
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import nkeys

from bus.permissions import ANSWER_SECONDS, KEEPERS, PRINCIPALS, ROLES, STORE, Permissions, permissions, service
from bus.suitable import DURABILITY_SUBJECT
from deploy.failures import KeysRefused

__all__ = ["ACCOUNTS", "accounts", "check_keys", "key_file", "make_keys", "public_key", "signed"]

ACCOUNTS = "accounts.conf"
STREAMED: Mapping[str, Mapping[str, str]] = {
    # For each question the server keeps where its answers go: for two minutes, if nobody says otherwise, and who asks
    # without end fills its memory. A reader has its answers in an instant; a pull waits for work, and longer.
    "$JS.API.DIRECT.GET.>": {"response_threshold": "10s"},
    "$JS.API.CONSUMER.MSG.NEXT.>": {},
}
"""What the streams' account offers, and answers with any number of messages; and how."""
OFFERED = (
    *("rig.>", "inbox.>", "run.>", "presence.>", "timer.>", "lease.>", "object.>", "dead.>"),
    *("$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*", "$JS.API.CONSUMER.INFO.*.*", "$JS.ACK.>"),
)
"""What it offers beside. Offered is not given: each role's account imports the subjects of its permissions, no more."""


def key_file(directory: Path, principal: str) -> Path:
    """Where the seed of a principal is."""
    return directory / f"{principal}.nk"


def make_keys(directory: Path, *, rotate: Collection[str] = ()) -> Path:
    """Makes the keys that are missing, and those to `rotate` anew; the path of the account file, which is written.

    Several may do so at once: each finds what another has made. Raises KeysRefused, and has changed nothing then.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(directory):
        check_keys(directory, [principal for principal in PRINCIPALS if principal not in rotate])
        for principal in PRINCIPALS:
            path = key_file(directory, principal)
            if principal in rotate or not path.exists():
                _write(path, _new_seed(), mode=0o600)
        path = directory / ACCOUNTS
        keys = {principal: public_key(key_file(directory, principal)) for principal in PRINCIPALS}
        _write(path, accounts(keys).encode(), mode=0o644)
    return path


def check_keys(directory: Path, principals: Iterable[str] = PRINCIPALS) -> None:
    """Of the keys that are there each is its owner's alone, and no other's. Raises KeysRefused, which names all."""
    spoiled: dict[str, str] = {}
    holders: dict[str, str] = {}
    for principal in principals:
        path = key_file(directory, principal)
        try:
            _check_secret(path)
            key = public_key(path)
        except FileNotFoundError:
            continue
        except ValueError as error:
            spoiled[principal] = str(error)
            continue
        if (holder := holders.setdefault(key, principal)) != principal:
            spoiled[principal] = f"{path} holds the key of {holder} too"
    problems = [*_not_ours(directory), *spoiled.values()]
    if problems:
        place = shlex.quote(str(directory))
        mend = f"close what nobody else has read or changed: chmod -R go= {place}"
        if spoiled:
            again = " ".join(f"--rotate {principal}" for principal in spoiled)
            mend += f"; replace the others: rig keys init --directory {place} {again}"
        raise KeysRefused(problems, mend)


def _check_secret(path: Path) -> None:
    """Raises ValueError when the file is not its owner's alone, FileNotFoundError."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path} is {'a symbolic link' if stat.S_ISLNK(found.st_mode) else 'no file'}")
    if found.st_uid != os.geteuid():
        raise ValueError(f"{path} belongs to user {found.st_uid}")
    if found.st_mode & 0o077:
        raise ValueError(f"{path} is open to others (mode {found.st_mode & 0o777:o})")


def _not_ours(directory: Path) -> Iterator[str]:
    """Whoever can write there can give a role another key."""
    found = directory.stat()
    if found.st_uid != os.geteuid():
        yield f"{directory} belongs to user {found.st_uid}"
    if found.st_mode & 0o022:
        yield f"{directory} is open to others (mode {found.st_mode & 0o777:o})"


def public_key(seed: Path) -> str:
    """Of the key in a file. Raises OSError, or ValueError when there is no user's seed in it."""
    key = cast("bytes", _pair(seed).public_key).decode()
    if not key.startswith("U"):
        raise ValueError(f"{seed} holds no key: it is not of a user")
    return key


def signed(seed: Path, nonce: str) -> bytes:
    """The signature of what a server wants signed."""
    return _pair(seed).sign(nonce.encode())  # pyright: ignore[reportUnknownMemberType]


def accounts(keys: Mapping[str, str]) -> str:
    """The server's accounts for these public keys, as text for its configuration."""
    blocks = [_store({name: keys[name] for name in KEEPERS}), *(_role(role, keys[role]) for role in ROLES), _system()]
    return "# Written by rig: changes made here are lost.\naccounts {\n" + "".join(blocks) + "}\nsystem_account: SYS\n"


def _store(keys: Mapping[str, str]) -> str:
    heard = {subject for role in ROLES for subject in permissions(role).subscribe}
    offered = [
        *({"service": subject} for subject in OFFERED),
        *({"service": subject, "response_type": "stream", **how} for subject, how in STREAMED.items()),
        *({"stream": subject} for subject in sorted(heard)),
    ]
    users = {key: permissions(name) for name, key in keys.items()}
    return _account(STORE, users, [_import("SYS", DURABILITY_SUBJECT)], offered, jetstream=True)


def _role(role: str, key: str) -> str:
    may = permissions(role)
    imports = [
        *(_import(STORE, subject) for subject in may.publish),
        *({"stream": {"account": STORE, "subject": subject}} for subject in may.subscribe),
        *(_import(name, service(name)) for name in may.asks),
        _import("SYS", DURABILITY_SUBJECT),
    ]
    who_asks = [other for other in ROLES if may.serves in permissions(other).asks]
    serves = [{"service": service(may.serves), "accounts": who_asks}] if may.serves is not None else []
    return _account(role, {key: may}, imports, serves)


def _account(
    name: str,
    users: Mapping[str, Permissions],
    imports: Iterable[object],
    exports: Iterable[object],
    *,
    jetstream: bool = False,
) -> str:
    parts = {
        "users": [_user(key, may) for key, may in users.items()],
        "imports": list(imports),
        "exports": list(exports),
    }
    lines = ["    jetstream: enabled"] if jetstream else []
    for part, items in parts.items():
        lines += [f"    {part}: [", *(f"      {json.dumps(item)}" for item in items), "    ]"]
    return "\n".join([f"  {json.dumps(name)}: {{", *lines, "  }", ""])


def _user(key: str, may: Permissions) -> dict[str, object]:
    allowed: dict[str, object] = {
        "publish": {"allow": may.may_publish},
        "subscribe": {"allow": may.may_subscribe},
    }
    if may.serves is not None:
        allowed["allow_responses"] = {"max": 1, "expires": f"{ANSWER_SECONDS}s"}
    return {"nkey": key, "permissions": allowed}


def _system() -> str:
    # Of a cluster every server answers.
    exports = [{"service": DURABILITY_SUBJECT, "response_type": "stream", "accounts": [STORE, *ROLES]}]
    return f"  SYS: {{ exports: {json.dumps(exports)} }}\n"


def _import(account: str, subject: str) -> dict[str, object]:
    return {"service": {"account": account, "subject": subject}}


def _pair(seed: Path) -> nkeys.KeyPair:
    try:
        return nkeys.from_seed(bytearray(seed.read_bytes().strip()))  # pyright: ignore[reportUnknownMemberType]
    except nkeys.NkeysError as error:
        raise ValueError(f"{seed} holds no key: {error}") from None


def _new_seed() -> bytes:
    return nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)  # pyright: ignore[reportUnknownMemberType]


@contextmanager
def _locked(directory: Path) -> Generator[None]:
    """One at a time; and what was put there is there after a power loss, too."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Whole or not at all, and never readable by more than `mode` says. For who holds the lock."""
    for left_behind in path.parent.glob(f".{path.name}.*.new"):
        left_behind.unlink()
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    os.replace(draft, path)
