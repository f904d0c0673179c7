"""`rig keys init`: keys that are kept and secret, and an account file without a secret, which the server takes."""

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from bus import Bus, Expect, Unavailable, make_streams
from bus.client import NatsConnection
from bus.permissions import ADMIN, PRINCIPALS
from deploy.embedded.binaries import nats_server
from deploy.embedded.nats import embedded_nats
from deploy.failures import KeysRefused
from deploy.home import Home, Running
from deploy.keys import ACCOUNTS, accounts, key_file, make_keys, public_key
from deploy.renewal import renew
from deploy.settings import Settings
from schemas import Actor, Invalid
from tests.support.rig import rig
from tests.support.saying import DECIDED, decision
from tests.support.servers import connected


def seeds(directory: Path) -> dict[str, str]:
    return {principal: key_file(directory, principal).read_text().strip() for principal in PRINCIPALS}


def test_a_key_for_everyone_closed_to_others_and_kept(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    said = rig(tmp_path / "home", "keys", "init", "--directory", str(directory))
    assert (said.returncode, said.stdout, said.stderr) == (0, f"{directory / ACCOUNTS}\n", "")
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in directory.iterdir()} == {ACCOUNTS, *(f"{name}.nk" for name in PRINCIPALS)}
    assert {path.stat().st_mode & 0o777 for path in directory.glob("*.nk")} == {0o600}
    first = seeds(directory)
    assert len(set(first.values())) == len(PRINCIPALS)
    text = (directory / ACCOUNTS).read_text()
    assert all(public_key(key_file(directory, name)) in text for name in PRINCIPALS)
    assert not any(seed in text for seed in first.values())

    (directory / ACCOUNTS).write_text("of an older version")
    key_file(directory, "query").unlink()
    assert rig(tmp_path / "home", "keys", "init", "--directory", str(directory)).returncode == 0
    assert "of an older version" not in (directory / ACCOUNTS).read_text()
    assert {name for name, seed in seeds(directory).items() if seed != first[name]} == {"query"}

    assert rig(tmp_path / "home", "keys", "init", "--directory", str(directory), "--rotate", "dev-e").returncode == 0
    assert {name for name, seed in seeds(directory).items() if seed != first[name]} == {"query", "dev-e"}
    assert rig(tmp_path / "home", "keys", "init", "--directory", str(directory), "--force").returncode == 0
    assert not {name for name, seed in seeds(directory).items() if seed == first[name]}
    said = rig(tmp_path / "home", "keys", "init", "--rotate", "nobody")
    assert (said.returncode, "'nobody' has no key" in said.stderr) == (2, True)
    assert not (tmp_path / "home").exists()


def test_without_a_directory_they_are_kept_with_the_data(tmp_path: Path) -> None:
    said = rig(tmp_path / "home", "keys", "init")
    assert said.stdout == f"{Home(tmp_path / 'home').keys / ACCOUNTS}\n"
    assert key_file(Home(tmp_path / "home").keys, ADMIN).exists()


def test_the_server_takes_the_account_file(tmp_path: Path) -> None:
    make_keys(tmp_path)
    configuration = tmp_path / "nats.conf"
    configuration.write_text(f'jetstream {{ store_dir: "{tmp_path}" }}\ninclude "{ACCOUNTS}"\n')
    tested = subprocess.run([nats_server(), "-t", "-c", configuration], capture_output=True, text=True, check=False)
    assert (tested.returncode, "is valid" in tested.stderr) == (0, True), tested.stderr


def test_many_at_once_agree(tmp_path: Path) -> None:
    leftover = tmp_path / ".cli.nk.of-a-killed-one.new"
    leftover.touch()
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(make_keys, tmp_path, rotate=["dev-e"] if number % 3 else []) for number in range(24)]
    assert {one.result() for one in tries} == {tmp_path / ACCOUNTS}
    keys = {principal: public_key(key_file(tmp_path, principal)) for principal in PRINCIPALS}
    assert (tmp_path / ACCOUNTS).read_text() == accounts(keys)
    assert {path.name for path in tmp_path.iterdir()} == {ACCOUNTS, *(f"{name}.nk" for name in PRINCIPALS)}


def test_what_has_a_name_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def noted(name: str, call: Callable[..., None], *arguments: object) -> None:
        done.append(name)
        call(*arguments)

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, partial(noted, name, getattr(os, name)))
    make_keys(tmp_path)
    assert done == ["fsync", "replace"] * (len(PRINCIPALS) + 1) + ["fsync"]


def test_keys_that_others_may_know_are_refused_and_all_of_them_named(tmp_path: Path) -> None:
    keys = tmp_path / "the keys"
    make_keys(keys)
    path = {name: key_file(keys, name) for name in PRINCIPALS}
    first = seeds(keys)
    path["cli"].chmod(0o640)
    path["dev-e"].unlink()
    path["dev-e"].symlink_to(path["conductor"])
    path["github"].write_bytes(b"")
    path["query"].write_bytes(path["local"].read_bytes())
    keys.chmod(0o770)
    with pytest.raises(KeysRefused) as refused:
        make_keys(keys)
    *problems, mend = str(refused.value).splitlines()
    assert problems == [
        "these keys will not do",
        f"{keys} is open to others (mode 770)",
        f"{path['dev-e']} is a symbolic link",
        f"{path['github']} holds no key: {public_key_error(path['github'])}",
        f"{path['cli']} is open to others (mode 640)",
        f"{path['query']} holds the key of local too",
    ]
    assert mend == (
        f"close what nobody else has read or changed: chmod -R go= '{keys}'; replace the others: "
        f"rig keys init --directory '{keys}' --rotate dev-e --rotate github --rotate cli --rotate query"
    )
    keys.chmod(0o700)
    make_keys(keys, rotate=["dev-e", "github", "cli", "query"])
    make_keys(keys)
    assert {name for name, seed in seeds(keys).items() if seed != first[name]} == {"dev-e", "github", "cli", "query"}


def public_key_error(path: Path) -> str:
    with pytest.raises(ValueError, match="holds no key") as error:
        public_key(path)
    return str(error.value).partition("holds no key: ")[2]


def test_keys_of_somebody_else_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_keys(tmp_path)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(KeysRefused) as refused:
        make_keys(tmp_path)
    everything = (tmp_path, *(key_file(tmp_path, name) for name in PRINCIPALS))
    assert refused.value.problems == [f"{path} belongs to user {owner}" for path in everything]


def test_rig_up_says_which_keys_will_not_do(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    make_keys(home.keys)
    path = key_file(home.keys, "cli")
    path.chmod(0o644)
    said = rig(home.path, "up")
    assert said.returncode == 1
    assert said.stderr.splitlines()[0] == "rig: nats-server: these keys will not do"
    assert f"{path} is open to others (mode 644)" in said.stderr
    assert "Traceback" not in said.stderr
    assert "--rotate cli" in said.stderr.splitlines()[-1]


async def test_who_runs_on_keys_that_are_replaced_has_to_be_restarted(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    async with home.lock():
        home.announce(Running("nats://127.0.0.1:1", "postgresql:", 4711, datetime.now(UTC)))
        make_keys(home.keys)
        assert renew(home, home.keys).restart == (), "nothing is new"
        assert renew(home, tmp_path / "elsewhere").restart == ()
        said = rig(home.path, "keys", "init", "--rotate", "cli")
        assert (said.returncode, said.stdout) == (0, f"{home.keys / ACCOUNTS}\n")
        assert said.stderr.splitlines() == [
            f"rig: `rig up` runs on {home.path}, and goes by the keys from before until it is restarted:",
            "  its server lets in a key that was replaced, and refuses the new one",
            "  end it with Ctrl-C or `kill -INT 4711`, and start `rig up` again",
        ]
    assert renew(home, home.keys, rotate=PRINCIPALS).restart == (), "nothing runs"


@pytest.mark.parametrize(
    "content", [b"", b"SUAX", b"\xff\xfe", b"not a seed at all, and long enough to be taken for one"]
)
def test_a_file_that_holds_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.nk"
    path.write_bytes(content)
    with pytest.raises(Invalid, match=r"RIG_NATS_KEY: .*x\.nk holds no key"):
        Settings.read({"RIG_NATS_KEY": str(path)})
    with pytest.raises(Invalid, match=r"RIG_NATS_KEY: .*gone"):
        Settings.read({"RIG_NATS_KEY": str(tmp_path / "gone")})


async def test_a_key_that_was_replaced_opens_nothing(tmp_path: Path) -> None:
    async with embedded_nats(tmp_path / "nats") as server:
        await make_streams(server.url, key=server.key(ADMIN))
        stolen = tmp_path / "stolen.nk"
        stolen.write_bytes(server.key(Actor.CLI).read_bytes())
        await server.stop()
        make_keys(server.key(ADMIN).parent, rotate=[Actor.CLI])
        await server.start()
        async with await Bus.connect(server.url, actor=Actor.CLI, source="cli", key=server.key(Actor.CLI)):
            pass
        for key, why in ((stolen, r"it refuses the key .*stolen\.nk"), (None, "it refuses the login")):
            with pytest.raises(Unavailable, match=why):
                await NatsConnection.connect(server.url, name="thief", key=key, timeout_seconds=3_600)
        for broken in (tmp_path / "gone.nk", tmp_path / "nats" / "nats.conf"):
            with pytest.raises(Unavailable, match=f"no key to connect with in {broken}"):
                await NatsConnection.connect(server.url, name="test", key=broken, timeout_seconds=1)


async def test_batches_that_one_key_leaves_open_keep_nobody_from_storing(tmp_path: Path) -> None:
    async with embedded_nats(tmp_path / "nats") as server:
        conductor = await connected(server, Actor.CONDUCTOR)
        thief = await NatsConnection.connect(server.url, name="thief", key=server.key(Actor.CLI))
        async with conductor:
            for number in range(60):
                headers = {"Nats-Batch-Id": f"open {number}", "Nats-Batch-Sequence": "1"}
                assert await thief.request("rig.fleet.cli.policy_adopted", b"{}", headers=headers) == b""
            assert await conductor.log.append(decision(1, (1, 1), (2, 1)), expect=Expect(DECIDED, 0)) == 1
        await thief.close()
        await server.kill()
