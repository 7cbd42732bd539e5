"""Hundreds of hostile clients on loopback, and two well-behaved ones beside them, who must not notice."""

from __future__ import annotations

import gc
import socket
import tracemalloc
from functools import partial
from typing import Any

import pytest
import trio

from heartbeat_trio import HeartbeatPolicy, ServerPolicy, Session, open_session
from heartbeat_trio.config import Overflow
from heartbeat_trio.events import Event, Gap, Lost
from heartbeat_trio.server import QuoteServer, SyntheticSource, serve_quotes
from heartbeat_trio.transports.evidence import SocketListener, listen_tcp
from tests.support.raw_clients import PING, encode_frame, port_of, request

SECONDS = 3.0
RATE = 50.0
SYMBOLS = tuple(f"SYM{number}" for number in range(10))

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("many_files")]


@pytest.fixture
def many_files() -> None:
    resource = pytest.importorskip("resource")
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 900:
        pytest.skip(f"only {soft} files may be open")


async def listener() -> SocketListener:
    """Its connections have small send buffers, so that a client that does not read is felt within seconds."""
    [made] = await listen_tcp("127.0.0.1", 0)
    made._listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
    return made


async def raw_socket(port: int, data: bytes, receive_buffer: int | None = None) -> trio.SocketStream:
    """A connection with a small receive buffer, so that not reading is felt soon."""
    sock = trio.socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await sock.connect(("127.0.0.1", port))
    stream = trio.SocketStream(sock)
    if data:
        await stream.send_all(data)
    return stream


async def flood(stream: trio.SocketStream, data: bytes) -> None:
    """Send pings as fast as they are taken, and never read a pong."""
    try:
        while True:
            await stream.send_all(data)
            await trio.lowlevel.checkpoint()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


class Good:
    """A well-behaved client: it reads, and keeps what it was told."""

    def __init__(self) -> None:
        self.seqs: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}
        self.events: list[Event] = []
        self.session: Session

    async def run(self, url: str, *, task_status: trio.TaskStatus[None]) -> None:
        heartbeat = HeartbeatPolicy(ping_interval=0.05, pong_timeout=0.5)
        async with (
            open_session(url, subscribe=SYMBOLS, heartbeat=heartbeat) as self.session,
            self.session.events() as events,
            trio.open_nursery() as nursery,
        ):
            await self.session.wait_connected()
            task_status.started()
            nursery.start_soon(self._follow, events)
            async for quote in self.session:
                self.seqs[quote.symbol].append(quote.seq)

    async def _follow(self, events: Any) -> None:
        async for event in events:
            self.events.append(event)

    def assert_served(self) -> None:
        quality = self.session.quality()
        assert quality.answered > SECONDS / 0.05 / 3
        assert quality.missed == quality.late == 0
        assert quality.p99 is not None
        assert quality.p99 < 0.05
        for seqs in self.seqs.values():
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
            assert len(seqs) > SECONDS * RATE / 2
        assert [event for event in self.events if isinstance(event, Gap | Lost)] == []


def unsent_bytes(server: QuoteServer) -> int:
    return sum(client.transport.unsent_bytes for client in server._clients)


@pytest.mark.parametrize("overflow", ["conflate", "drop_oldest"])
async def test_hostile_clients(overflow: Overflow) -> None:
    policy = ServerPolicy(outbound=overflow, outbound_size=100)
    opened: list[trio.SocketStream] = []
    with trio.fail_after(8):
        async with trio.open_nursery() as nursery:
            serve = partial(serve_quotes, SyntheticSource(SYMBOLS, rate=RATE), policy=policy)
            server: QuoteServer = await nursery.start(partial(serve, tcp=await listener(), ws=await listener()))
            tcp, ws = port_of(server, "tcp"), port_of(server, "ws")
            try:
                for port in (tcp, ws):
                    opened += [await raw_socket(port, b"") for _ in range(100)]
                subscribe = b"".join(f"SUBSCRIBE:{symbol}\n".encode() for symbol in SYMBOLS)
                operation = b'{"op":"subscribe","symbols":[%b]}' % ",".join(f'"{symbol}"' for symbol in SYMBOLS).encode()
                opened += [await raw_socket(tcp, subscribe, 4096) for _ in range(25)]
                opened += [await raw_socket(ws, request() + encode_frame(1, operation), 4096) for _ in range(25)]
                for port, head, ping in ((tcp, b"", b"PING\n"), (ws, request(), encode_frame(PING, b""))):
                    flooder = await raw_socket(port, head)
                    opened.append(flooder)
                    nursery.start_soon(flood, flooder, ping * 1000)
                good = [Good(), Good()]
                for each, url in zip(good, (f"tcp://127.0.0.1:{tcp}", f"ws://127.0.0.1:{ws}/"), strict=True):
                    await nursery.start(each.run, url)
                await trio.sleep(SECONDS)
                for each in good:
                    each.assert_served()
                assert unsent_bytes(server) < 60 * 320 * 1024
                statistics = server.statistics()
                assert statistics.clients >= 100 + 50 + 2
                stuck = sum(client.outbound.is_waiting for client in server._clients)
                assert stuck >= 50, "those that never read are felt, or this proved nothing"
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):  # closing forcefully never waits
                    for stream in opened:
                        await trio.aclose_forcefully(stream)


async def test_memory_stays_bounded() -> None:
    """Clients that never read cost the same after 500 quotes of each symbol as after 5000, and flooders as well."""
    policy = ServerPolicy(ring_size=100, control_limit=8192, max_message_rate=100_000)
    opened: list[trio.SocketStream] = []
    with trio.fail_after(8):
        async with trio.open_nursery() as nursery:
            source = SyntheticSource(SYMBOLS, rate=500)
            server: QuoteServer = await nursery.start(partial(serve_quotes, source, tcp="127.0.0.1:0", policy=policy))
            try:
                subscribe = b"".join(f"SUBSCRIBE:{symbol}\n".encode() for symbol in SYMBOLS)
                port = port_of(server, "tcp")
                opened += [await raw_socket(port, subscribe, 4096) for _ in range(20)]
                flooder = await raw_socket(port, b"", 4096)
                opened.append(flooder)
                nursery.start_soon(flood, flooder, b"PING\n" * 1000)
                while server.statistics().quotes < 500 * len(SYMBOLS):
                    await trio.sleep(0.02)
                gc.collect()
                tracemalloc.start()
                while server.statistics().quotes < 1500 * len(SYMBOLS):
                    await trio.sleep(0.02)
                gc.collect()
                grown, _peak = tracemalloc.get_traced_memory()
                # Allocated since: at most the rings anew, and what output buffers may hold.
                assert grown < 8_000_000
                assert unsent_bytes(server) < 21 * (8192 + 64 * 1024)
            finally:
                tracemalloc.stop()
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    for stream in opened:
                        await trio.aclose_forcefully(stream)
