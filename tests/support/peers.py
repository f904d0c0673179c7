"""What the rig is checked against that is no Python: packages from npm, pinned by the lock file in tests/peers/.

They are installed once for each machine and lock file, outside the repository. Where that cannot be done a test skips
and says why; under RIG_REQUIRE_PEERS=1 (`.ci/run`) it fails.
"""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import pytest

PEERS = Path(__file__).parents[1] / "peers"
INSTALL_SECONDS = 240
RUN_SECONDS = 120
_FILES = ("package.json", "package-lock.json")


def run(script: str, question: Mapping[str, object]) -> Any:
    """What a script of tests/peers/ answers to JSON on its standard input."""
    command, environment = ready(script)
    done = subprocess.run(
        command,
        input=json.dumps(question).encode(),
        capture_output=True,
        env=environment,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@contextmanager
def served(script: str, question: Mapping[str, object]) -> Generator[str]:
    """Where a script of tests/peers/ serves what it was told on its standard input, until the end of the block."""
    command, environment = ready(script)
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
            said = process.stdout.readline()
            if not said:
                assert process.stderr is not None
                raise AssertionError(f"{script} did not start: {process.stderr.read().decode()}")
            yield f"http://127.0.0.1:{json.loads(said)['port']}"
        finally:
            process.kill()


def ready(script: str) -> tuple[list[str], dict[str, str]]:
    """The command that runs a script of tests/peers/ and its environment; the packages are installed."""
    node, place = shutil.which("node"), packages()
    return [str(node), str(PEERS / script)], {**os.environ, "NODE_PATH": str(place)}


def packages() -> Path:
    """Where the packages are; installed, if they were not."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        _without("there is no node with npm here")
    return _installed(npm) / "node_modules"


def _installed(npm: str) -> Path:
    """Where the packages are. Two who ask at once: one installs, the other waits for it."""
    digest = sha256(b"".join((PEERS / name).read_bytes() for name in _FILES)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rig-peers"
    place = cache / digest
    try:
        place.mkdir(parents=True, exist_ok=True)
        with (place / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (place / "installed").exists():
                _install(npm, place)
                (place / "installed").touch()
    except OSError as error:
        _without(f"{place}: {error.strerror}")
    return place


def _install(npm: str, place: Path) -> None:
    for name in _FILES:
        shutil.copy(PEERS / name, place)
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=60000")
    try:
        done = subprocess.run(
            [npm, "ci", *options], cwd=place, capture_output=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        _without(f"npm ci took more than {INSTALL_SECONDS} s")
    if done.returncode != 0:
        _without(f"npm ci failed: {done.stderr.decode(errors='replace')[-600:]}")


def _without(why: str) -> NoReturn:
    if os.environ.get("RIG_REQUIRE_PEERS") == "1":
        pytest.fail(f"a peer from npm is required (RIG_REQUIRE_PEERS=1): {why}")
    pytest.skip(f"needs a peer from npm: {why}")
