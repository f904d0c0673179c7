"""`rig keys init`: keys that are kept and secret, and an account file without a secret, which the server takes."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from bus import Bus, Expect, Unavailable, make_streams
from bus.client import NatsConnection
from bus.permissions import ADMIN, PRINCIPALS
from deploy.embedded.binaries import nats_server
from deploy.embedded.nats import embedded_nats
from deploy.home import Home
from deploy.keys import ACCOUNTS, key_file, make_keys, public_key
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
                async with asyncio.timeout(5):
                    await NatsConnection.connect(server.url, name="thief", key=key, timeout_seconds=30)
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
