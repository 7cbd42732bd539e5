"""A silent peer is found within the stated bound: in virtual time, over whole connections, whatever it did before."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from random import Random

import pytest
import trio
import trustme
from trio.testing import MockClock

from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.connection import Connection, open_connection
from heartbeat_trio.events import Event, PongLate, PongReceived
from heartbeat_trio.exceptions import PongTimeout
from heartbeat_trio.protocol.messages import Subscribe
from heartbeat_trio.server import SyntheticSource, serve_quotes
from heartbeat_trio.testing import ScriptedPeer, TutorialPeer, VirtualHost, VirtualNetwork

AUTHORITY = trustme.CA()
RTT = 0.1
PHASES = 1000

Misbehaviour = Callable[[ScriptedPeer, VirtualHost], None]


def well_behaved(_peer: ScriptedPeer, _host: VirtualHost) -> None:
    """Nothing odd before it falls silent."""


def late_pongs(peer: ScriptedPeer, _host: VirtualHost) -> None:
    """Each pong takes longer than the timeout."""
    peer.pong_delay = 3.4


def duplicate_pongs(peer: ScriptedPeer, _host: VirtualHost) -> None:
    """Each pong comes 14 times: 13 are surplus."""
    peer.duplicate_pongs = 13


def split_pongs(_peer: ScriptedPeer, host: VirtualHost) -> None:
    """Our reads get a byte at a time."""
    host.split_reads()


async def crash(net: VirtualNetwork, number: int, seed: int, misbehave: Misbehaviour, results: list[float]) -> None:
    """Open a connection, silence its peer at a random time, and note how long it took until it was called dead."""
    rng = Random(f"{seed}-{number}")
    host = net.host(f"server{number}")
    peer = ScriptedPeer(net.listen(host.name, 1))
    misbehave(peer, net.host("client"))
    last_byte = trio.current_time()

    def note(event: Event) -> None:
        nonlocal last_byte
        if isinstance(event, PongReceived | PongLate):
            assert event.rtt is None or event.rtt >= RTT - 1e-9  # never a round trip of 0
            last_byte = event.at

    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        await trio.sleep(rng.uniform(0, 5))
        with pytest.raises(PongTimeout):
            async with open_connection(f"tcp://{host.name}:1", connector=net.connect, rng=rng, on_event=note):
                last_byte = trio.current_time()
                await trio.sleep(rng.uniform(6, 40))
                host.freeze()
                await trio.sleep_forever()
        results.append(trio.current_time() - last_byte)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("misbehave", [well_behaved, duplicate_pongs, split_pongs, late_pongs])
def test_silent_peer_is_lost_within_the_bound(misbehave: Misbehaviour) -> None:
    """5/3/3 over 1000 random phases: 13 s less one round trip at the least, 18 s at the most."""
    results: list[float] = []

    async def main() -> None:
        net = VirtualNetwork(latency=RTT / 2)
        async with trio.open_nursery() as nursery:
            for number in range(PHASES if misbehave is well_behaved else PHASES // 5):
                nursery.start_soon(crash, net, number, 1, misbehave, results)

    trio.run(main, clock=MockClock(autojump_threshold=0))

    assert 13 - RTT - 1e-6 <= min(results)
    assert max(results) <= 18 + 1e-6
    assert len(results) >= PHASES // 5


async def write_until_blocked(connection: Connection) -> None:
    """Send what the peer never reads: sooner or later a send blocks."""
    while True:
        await connection.send(Subscribe("x" * 64))


@pytest.mark.parametrize("scheme", ["tcp", "tcps"])
def test_a_blocked_send_does_not_hide_a_dead_peer(scheme: str) -> None:
    """The peer stops reading while we write: the pings cannot leave, and it is found dead all the same."""
    results: list[float] = []
    ours, theirs = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.configure_trust(ours)
    AUTHORITY.issue_cert("server").configure_cert(theirs)

    async def one(seed: int) -> None:
        net = VirtualNetwork(latency=RTT / 2)
        rng = Random(seed)
        listener: trio.abc.Listener[trio.abc.Stream] = net.listen("server", 1)
        if scheme == "tcps":
            listener = trio.SSLListener(listener, theirs)
        last_byte = 0.0

        def note(event: Event) -> None:
            nonlocal last_byte
            if isinstance(event, PongReceived):
                last_byte = event.at

        async with trio.open_nursery() as nursery:
            await nursery.start(ScriptedPeer(listener).run)
            with pytest.raises(PongTimeout):
                async with (
                    open_connection(
                        f"{scheme}://server:1", connector=net.connect, rng=rng, ssl_context=ours, on_event=note
                    ) as connection,
                    trio.open_nursery() as writers,
                ):
                    await trio.sleep(rng.uniform(6, 30))
                    net.host("server").freeze()
                    for _ in range(3):
                        writers.start_soon(write_until_blocked, connection)
            results.append(trio.current_time() - last_byte)
            assert not net.open_streams or all(stream.peer.startswith("client") for stream in net.open_streams)
            nursery.cancel_scope.cancel()

    for seed in range(10):
        trio.run(one, seed, clock=MockClock(autojump_threshold=0))

    assert 13 - 2 * RTT - 1e-6 <= min(results)
    assert max(results) <= 18 + 1e-6


async def test_pongs_glued_to_quotes_count(autojump_clock: MockClock) -> None:
    """A pong in the middle of a read is a pong, with its own round-trip time."""
    net = VirtualNetwork(latency=RTT / 2)
    rtts: list[float | None] = []

    def answer(line: str) -> bytes | None:
        quote = b'QUOTE:{"symbol":"A","bid":1.0,"ask":2.0,"seq":1,"stream":"s","ts":0}\n'
        return quote + line.replace("PING", "PONG").encode() + b"\n" + quote if line.startswith("PING") else None

    async with trio.open_nursery() as nursery:
        await nursery.start(ScriptedPeer(net.listen("server", 1), on_line=answer).run)
        async with open_connection(
            "tcp://server:1",
            connector=net.connect,
            on_event=lambda event: rtts.append(event.rtt) if isinstance(event, PongReceived) else None,
        ) as connection:
            await trio.sleep(60)
            quality = connection.quality()
        nursery.cancel_scope.cancel()

    assert [pytest.approx(RTT)] * quality.answered == rtts[: quality.answered]
    assert quality.answered >= 12
    assert (0, 0) == (quality.missed, quality.unknown_pongs)


async def test_a_virtual_day_with_the_tutorials_server(autojump_clock: MockClock) -> None:
    """Bare pings, one message per write, silence otherwise: a day without a false loss, and not one miss."""
    net = VirtualNetwork(latency=0.02)
    async with trio.open_nursery() as nursery:
        await nursery.start(TutorialPeer(net.listen("tutorial", 8080)).run)
        async with open_connection("tcp://tutorial:8080#dialect=tutorial", connector=net.connect) as connection:
            await connection.subscribe("BTC")
            await trio.sleep(24 * 3600)
            quality = connection.quality()
        nursery.cancel_scope.cancel()

    assert quality.answered >= 24 * 3600 / 5 - 1
    assert (0, 0, 0, 0) == (quality.missed, quality.late, quality.voided, quality.unknown_pongs)
    assert quality.p99 == pytest.approx(0.04)


async def test_the_tutorials_server_found_dead_and_late_pongs_do_not_hide_it(autojump_clock: MockClock) -> None:
    """Without nonces an old pong could answer for a new ping for ever; it does not."""
    net = VirtualNetwork(latency=0.02)
    async with trio.open_nursery() as nursery:
        await nursery.start(TutorialPeer(net.listen("tutorial", 8080)).run)
        start = trio.current_time()
        with pytest.raises(PongTimeout):
            async with open_connection("tcp://tutorial:8080#dialect=tutorial", connector=net.connect):
                await trio.sleep(20)
                net.host("tutorial").freeze()
                await trio.sleep(4)
                net.host("tutorial").thaw()
                await trio.sleep(30)
                net.host("tutorial").freeze()
                start = trio.current_time()
                await trio.sleep_forever()
        assert trio.current_time() - start <= 18
        nursery.cancel_scope.cancel()


async def test_tasks_are_named(autojump_clock: MockClock) -> None:
    """A dump of the task tree says what is what."""
    net = VirtualNetwork()
    async with trio.open_nursery() as nursery:
        await nursery.start(ScriptedPeer(net.listen("server", 1)).run)
        async with open_connection("tcp://server:1", connector=net.connect, heartbeat=HeartbeatPolicy()):
            task = trio.lowlevel.current_task()
            names = {child.name for nursery in task.child_nurseries for child in nursery.child_tasks}
            expected = {"reader tcp://server:1", "pinger tcp://server:1", "monitor tcp://server:1"}
            assert expected <= names
        nursery.cancel_scope.cancel()


async def crash_websocket(net: VirtualNetwork, number: int, engine: str, results: list[float]) -> None:
    """The same over WebSocket, where the ping is a control frame."""
    rng = Random(f"{engine}-{number}")
    host = net.host(f"server{number}")
    last_byte = 0.0

    def note(event: Event) -> None:
        nonlocal last_byte
        if isinstance(event, PongReceived):
            last_byte = event.at

    async with trio.open_nursery() as nursery:
        source = SyntheticSource(["A"], rate=1)
        await nursery.start(partial(serve_quotes, source, ws=net.listen(host.name, 1)))
        await trio.sleep(rng.uniform(0, 5))
        with pytest.raises(PongTimeout):
            async with open_connection(f"ws://{host.name}:1/{engine}", connector=net.connect, rng=rng, on_event=note):
                await trio.sleep(rng.uniform(6, 40))
                host.freeze()
                await trio.sleep_forever()
        results.append(trio.current_time() - last_byte)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ["", "#engine=trio-websocket"])
def test_silent_websocket_peer_is_lost_within_the_bound(engine: str) -> None:
    """The same bound with either engine."""
    results: list[float] = []

    async def main() -> None:
        net = VirtualNetwork(latency=RTT / 2)
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(crash_websocket, net, number, engine, results)

    trio.run(main, clock=MockClock(autojump_threshold=0))

    assert len(results) == 100
    assert 13 - RTT - 1e-6 <= min(results)
    assert max(results) <= 18 + 1e-6
