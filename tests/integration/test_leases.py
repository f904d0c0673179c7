"""Leases on a real server: one holder at a time, tokens that only rise, and a late holder that is refused."""

import asyncio
from collections.abc import Mapping

import pytest

from bus import Bus, Conflict, Lease, LeaseHeld, LeaseLost, Unavailable
from deploy.embedded.server import Server
from schemas import Actor
from tests.conftest import Connect
from tests.support.clock import pass_time


async def two(connect: Connect) -> tuple[Bus, Bus]:
    """Two replicas of one role."""
    return await connect(Actor.DEV_E, "dev-e/1"), await connect(Actor.DEV_E, "dev-e/2")


async def free(bus: Bus, name: str) -> None:
    """Waits until nobody holds it."""
    while await bus.leases.look(name) is not None:  # noqa: ASYNC110 - the server's fact
        await asyncio.sleep(0.02)


async def test_one_holds_and_the_other_is_told_who(connect: Connect) -> None:
    one, two_ = await two(connect)
    async with one.leases.hold("a name, with . and >", ttl_seconds=60) as lease:
        lease.check()
        with pytest.raises(LeaseHeld, match=r"held by dev-e/1 since 20\d\d-"):
            await two_.leases.acquire("a name, with . and >", ttl_seconds=60)
        held = await two_.leases.look("a name, with . and >")
        assert held is not None
        assert (held.holder, held.token, held.value) == ("dev-e/1", lease.token, b"")
    assert await two_.leases.look("a name, with . and >") is None


async def test_leases_of_two_roles_do_not_meet(connect: Connect) -> None:
    one, other = await connect(Actor.DEV_E), await connect(Actor.CONDUCTOR)
    async with one.leases.hold("x", ttl_seconds=60), other.leases.hold("x", ttl_seconds=60):
        held = await one.leases.look("x", role=Actor.CONDUCTOR)
        assert held is not None
        assert held.holder == "conductor"


async def test_a_lease_given_back_is_free_at_once_and_its_token_is_passed(connect: Connect) -> None:
    one, other = await two(connect)
    tokens: list[int] = []
    for bus in (one, other, one):
        async with bus.leases.hold("x", ttl_seconds=30) as lease:
            tokens.append(lease.token)
            await lease.write(b"something")
    assert tokens == sorted(set(tokens))
    assert lease.lost.is_set()
    with pytest.raises(LeaseLost, match="given back"):
        lease.check()


async def test_a_lease_is_renewed_while_the_block_runs(connect: Connect) -> None:
    one, other = await two(connect)
    async with one.leases.hold("x", ttl_seconds=60) as lease:
        while (held := await one.leases.look("x")) is None or held.written < 4:
            pass_time(20)
        with pytest.raises(LeaseHeld):
            await other.leases.acquire("x", ttl_seconds=1)
        lease.check()
        assert held.token == lease.token, "the token is of the tenure, not of the renewal"


async def test_who_waits_gets_it_when_it_is_given_back(connect: Connect) -> None:
    one, other = await two(connect)
    lease = await one.leases.acquire("x", ttl_seconds=30)
    waiting = asyncio.create_task(other.leases.acquire("x", ttl_seconds=60, wait_seconds=60))
    await asyncio.sleep(0)
    await lease.release()
    assert (await waiting).token > lease.token


async def test_who_waits_gets_it_when_it_runs_out_and_the_late_write_is_refused(connect: Connect) -> None:
    one, other = await two(connect)
    late = await one.leases.acquire("x", ttl_seconds=1)  # and nobody renews it
    async with other.leases.hold("x", ttl_seconds=60, wait_seconds=60) as lease:
        assert lease.token > late.token
        await lease.write(b"theirs")
        with pytest.raises(LeaseLost):
            late.check()
        assert not late.lost.is_set(), "nobody has told it yet"
        with pytest.raises(LeaseLost) as refused:
            await late.write(b"late")
        assert isinstance(refused.value.__cause__, Conflict), "the server refused"
        assert late.lost.is_set()
        held = await one.leases.look("x")
        assert held is not None
        assert (held.holder, held.value) == ("dev-e/2", b"theirs")


async def test_a_late_write_is_refused_even_if_nobody_has_taken_the_lease(connect: Connect) -> None:
    bus = await connect(Actor.DEV_E)
    late = await bus.leases.acquire("x", ttl_seconds=1)
    await free(bus, "x")
    with pytest.raises(LeaseLost) as refused:
        await late.renew()
    assert isinstance(refused.value.__cause__, Conflict)
    assert await bus.leases.look("x") is None


async def test_of_many_who_want_it_at_once_one_gets_it(connect: Connect) -> None:
    buses = [await connect(Actor.DEV_E, f"dev-e/{number}") for number in range(4)]
    tries = await asyncio.gather(
        *(bus.leases.acquire("x", ttl_seconds=60) for bus in buses for _ in range(4)), return_exceptions=True
    )
    assert len([lease for lease in tries if isinstance(lease, Lease)]) == 1
    assert len([error for error in tries if isinstance(error, LeaseHeld)]) == 15


async def test_all_who_wait_get_it_in_turn_and_never_two_at_once(connect: Connect) -> None:
    buses = [await connect(Actor.DEV_E, f"dev-e/{number}") for number in range(3)]
    holding, tokens = 0, list[int]()

    async def work(bus: Bus) -> None:
        nonlocal holding
        for _ in range(3):
            async with bus.leases.hold("x", ttl_seconds=60, wait_seconds=60) as lease:
                holding += 1
                assert holding == 1
                tokens.append(lease.token)
                await lease.write(b"here")
                holding -= 1

    await asyncio.gather(*map(work, buses))
    assert len(tokens) == 9
    assert tokens == sorted(set(tokens))


# ── acknowledgements that are lost ───────────────────────────────────────────


def deaf(bus: Bus, monkeypatch: pytest.MonkeyPatch, *losses: bool) -> None:
    """Loses the answers to what is said on leases, one after the other as told; then none."""
    real, left = bus.connection.request, list(losses)

    async def request(
        subject: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None, timeout_seconds: float = 5.0
    ) -> bytes:
        answer = await real(subject, body, headers=headers, timeout_seconds=timeout_seconds)
        if subject.startswith("lease.") and left and left.pop(0):
            raise Unavailable("the acknowledgement was lost")
        return answer

    monkeypatch.setattr(bus.connection, "request", request)


async def test_a_lost_acknowledgement_neither_loses_nor_doubles_a_lease(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, other = await two(connect)
    deaf(bus, monkeypatch, True, False, True, True, False, True)
    lease = await bus.leases.acquire("x", ttl_seconds=60)
    await lease.write(b"one")
    await lease.write(b"two")
    lease.check()
    held = await other.leases.look("x")
    assert held is not None
    assert (held.holder, held.value, held.written, held.token) == ("dev-e/1", b"two", 3, lease.token)
    await lease.release()
    assert (await other.leases.acquire("x", ttl_seconds=60)).token > lease.token


async def test_what_a_cancelled_try_left_behind_is_recognized(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = await connect(Actor.DEV_E)
    lease = await bus.leases.acquire("x", ttl_seconds=60)
    real = bus.connection.request

    async def request(subject: str, *arguments: object, **options: object) -> bytes:
        await real(subject, *arguments, **options)  # pyright: ignore[reportArgumentType]
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(bus.connection, "request", request)
        with pytest.raises(asyncio.CancelledError):
            await lease.write(b"cancelled")
    await lease.write(b"said again")
    held = await bus.leases.look("x")
    assert held is not None
    assert held.value == b"said again"


# ── a server that is away ────────────────────────────────────────────────────


async def test_a_lease_survives_a_quick_restart_of_the_server(connect: Connect, nats: Server) -> None:
    bus = await connect(Actor.DEV_E)
    async with bus.leases.hold("x", ttl_seconds=60) as lease:
        await nats.kill()
        await nats.start()
        await lease.write(b"still here")
        lease.check()


async def test_a_holder_that_cannot_ask_knows_that_it_has_lost(
    connect: Connect, nats: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = await connect(Actor.DEV_E)
    async with bus.leases.hold("x", ttl_seconds=60) as lease:
        await nats.stop()
        clock = bus.connection.clock
        monkeypatch.setattr(bus.connection, "clock", lambda: clock() + 60)
        while not lease.lost.is_set():
            pass_time(20)
            await asyncio.sleep(0.002)
        with pytest.raises(LeaseLost) as lost:
            lease.check()
        assert isinstance(lost.value.__cause__, Unavailable)
    await nats.start()
    await bus.connection.request("lease.dev-e.x", b"nobody's")  # as when it runs out
    async with bus.leases.hold("x", ttl_seconds=60, wait_seconds=60) as again:
        assert again.token > lease.token


async def test_waiting_for_a_server_that_is_away_ends_at_the_deadline(connect: Connect, nats: Server) -> None:
    bus = await connect(Actor.DEV_E)
    await nats.stop()
    with pytest.raises(Unavailable):
        await bus.leases.acquire("x", ttl_seconds=1)


async def test_what_is_no_lease_holds_nothing(connect: Connect) -> None:
    bus = await connect(Actor.DEV_E)
    await bus.connection.request("lease.dev-e.x", b"not a lease")
    assert await bus.leases.look("x") is None
    async with bus.leases.hold("x", ttl_seconds=60) as lease:
        lease.check()
    with pytest.raises(ValueError, match="1 s is the shortest"):
        await bus.leases.acquire("x", ttl_seconds=0)
