"""Clients that say nothing, read nothing, or say too much: dropped in time, or kept from harming the others."""

from __future__ import annotations

import tracemalloc
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import HeartbeatPolicy, ServerPolicy
from heartbeat_trio.events import Event, Gap, Lost, Overrun, PongReceived
from heartbeat_trio.server import QuoteServer, SyntheticSource, serve_quotes
from heartbeat_trio.session import open_session
from heartbeat_trio.testing import VirtualNetwork

SILENT, UNREADING = 200, 50


@pytest.mark.parametrize(
    ("says", "is_dropped"),
    [(b"", True), (b"SUBSCRIBE:A\n", True), (b"garbage\n", True), (b"PING\n", False), (b"PING nonce\n", False)],
)
async def test_only_pings_count(says: bytes, is_dropped: bool, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Without a ping, dropped between 2 and 3 s whatever else it says; with one each second, not."""
    net = VirtualNetwork(latency=0.01)
    source = SyntheticSource(["A"], rate=1)
    policy = ServerPolicy(idle_timeout=2)
    await nursery.start(partial(serve_quotes, source, tcp=net.listen("server", 1), policy=policy))
    stream = await net.connect("server", 1)
    start = trio.current_time()
    heard = b""

    async def talk() -> None:
        while says:
            await stream.send_all(says)
            await trio.sleep(1)

    with trio.move_on_after(10):
        async with trio.open_nursery() as talking:
            talking.start_soon(talk)
            while data := await stream.receive_some():
                heard += bytes(data)
            talking.cancel_scope.cancel()

    if is_dropped:
        assert 2 <= trio.current_time() - start <= 3
        assert heard.rstrip().rpartition(b"\n")[2].startswith(b"ERROR:idle:")
    else:
        assert trio.current_time() - start == 10
        assert b"PONG" in heard
    await stream.aclose()


async def test_pings_of_either_kind_count_over_websocket(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Control frames keep a client; without them it is dropped, and knows why."""
    net = VirtualNetwork(latency=0.01)
    source = SyntheticSource(["A"], rate=1)
    policy = ServerPolicy(idle_timeout=2)
    server: QuoteServer = await nursery.start(partial(serve_quotes, source, ws=net.listen("server", 1), policy=policy))
    async with open_session("ws://server:1", connector=net.connect, heartbeat=HeartbeatPolicy(ping_interval=1)) as session:
        await session.wait_connected()
        await trio.sleep(30)
        assert (1, 0) == (server.clients, server.statistics().dropped_idle)
    rarely = HeartbeatPolicy(ping_interval=60)
    async with (
        open_session("ws://server:1", connector=net.connect, heartbeat=rarely) as session,
        session.events() as events,
    ):
        async for event in events:
            if isinstance(event, Lost):
                break
    assert isinstance(event, Lost)
    assert "1008" in event.detail
    assert "no ping for 2 s" in event.detail


async def connect(server: QuoteServer) -> trio.SocketStream:
    host, _, port = server.addresses["tcp"].rpartition(":")
    return await trio.open_tcp_stream(host, int(port))


async def flood(stream: trio.SocketStream) -> None:
    """Ping as fast as the socket takes it; read the answers."""
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            while await stream.receive_some():
                pass

        nursery.start_soon(read)
        while True:
            await stream.send_all(b"PING x\n" * 100)


async def test_a_well_behaved_client_beside_hostile_ones() -> None:
    """200 silent, 50 that never read, 1 that floods: p99 below 50 ms, every quote, bounded memory."""
    with trio.fail_after(9):
        async with trio.open_nursery() as nursery:
            source = SyntheticSource([f"S{number}" for number in range(20)], rate=25)
            server: QuoteServer = await nursery.start(partial(serve_quotes, source, tcp="127.0.0.1:0", ws="127.0.0.1:0"))
            streams = [await connect(server) for _ in range(SILENT + UNREADING + 1)]
            for stream in streams[SILENT:-1]:
                stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
                await stream.send_all(b"".join(b"SUBSCRIBE:S%d\n" % number for number in range(20)))
            nursery.start_soon(flood, streams[-1])
            tracemalloc.start()
            try:
                for url in (f"tcp://{server.addresses['tcp']}", server.addresses["ws"]):
                    await behave(url, 2.5)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert server.clients == len(streams)
            assert peak < 64 * 2**20
            nursery.cancel_scope.cancel()
    for stream in streams:
        with trio.move_on_after(1, shield=True):
            await trio.aclose_forcefully(stream)


async def behave(url: str, seconds: float) -> None:
    """Subscribe, ping, read everything; look at what was lost and how long pongs took."""
    got = 0
    first = last = None
    policy = HeartbeatPolicy(ping_interval=0.05, pong_timeout=0.5)
    events: list[Event] = []
    async with open_session(url, subscribe=["S7"], heartbeat=policy) as session:
        with trio.move_on_after(seconds):
            while quotes := await session.receive_batch():
                first = quotes[0].seq if first is None else first
                last = quotes[-1].seq
                got += len(quotes)
        async with session.events() as channel:
            events += channel.take_nowait()
        quality = session.quality()
    assert first is not None
    assert last is not None
    assert last - first + 1 == got > 20 * seconds
    assert not [event for event in events if isinstance(event, Gap | Overrun | Lost)]
    assert [event for event in events if isinstance(event, PongReceived)]
    assert quality.p99 is not None
    assert quality.p99 < 0.050
