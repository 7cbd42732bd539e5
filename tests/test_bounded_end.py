"""Leaving is never slow: cancelled, it is over at once, even if the peer is frozen and our send is blocked."""

from __future__ import annotations

import socket
import ssl
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme
from trio.testing import MockClock

from heartbeat_trio.config import RestartPolicy
from heartbeat_trio.connection import Connection, open_connection
from heartbeat_trio.protocol.messages import Subscribe
from heartbeat_trio.session import open_session
from heartbeat_trio.testing import VirtualNetwork
from heartbeat_trio.transports.evidence import SocketStream, listen_tcp
from heartbeat_trio.transports.tls import wrap_tls
from heartbeat_trio.transports.websocket import accept_websocket

pytestmark = pytest.mark.alone

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("127.0.0.1", "server")

ENDPOINTS = [
    "tcp://{}",
    "tcps://{}",
    "ws://{}",
    "wss://{}",
    "ws://{}#engine=trio-websocket",
    "wss://{}#engine=trio-websocket",
]


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    ours, theirs = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.configure_trust(ours)
    CERTIFICATE.configure_cert(theirs)
    return ours, theirs


OURS, THEIRS = contexts()


async def accept_and_freeze(
    listener: trio.abc.Listener[trio.abc.Stream],
    endpoint: str,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Take connections as far as the handshake, then never read again."""
    streams: list[trio.abc.Stream] = []

    async def handle(stream: trio.abc.Stream) -> None:
        if endpoint.startswith(("tcps", "wss")):
            stream = wrap_tls(stream, THEIRS, server_side=True)
            await stream.do_handshake()
        if endpoint.startswith("ws"):
            await accept_websocket(stream, nursery, check=lambda _path, _headers: None, control_limit=10_000)
        streams.append(stream)

    try:
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                nursery.start_soon(handle, await listener.accept())
    finally:
        with trio.move_on_after(5, shield=True):
            for stream in streams:
                await trio.aclose_forcefully(stream)


async def write_for_ever(connection: Connection) -> None:
    while True:
        await connection.send(Subscribe("x" * 64))


@asynccontextmanager
async def frozen_peer(endpoint: str, net: VirtualNetwork | None) -> AsyncIterator[str]:
    """An endpoint whose server does the handshake and then nothing."""
    listener: trio.abc.Listener[trio.abc.Stream]
    if net is not None:
        listener, address = net.listen("server", 1), "server:1"
    else:
        [sockets] = await listen_tcp("127.0.0.1", 0)
        listener, address = sockets, sockets.address
    async with trio.open_nursery() as nursery:
        await nursery.start(accept_and_freeze, listener, endpoint)
        yield endpoint.format(address)
        nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(listener)


def context_for(net: VirtualNetwork | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    context.check_hostname = net is None
    return context


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_cancelled_connection_takes_no_virtual_time(endpoint: str, autojump_clock: MockClock) -> None:
    """A frozen peer, a blocked send, and an end after exactly 0.0 s; nothing is left open."""
    net = VirtualNetwork(latency=0.01)
    async with frozen_peer(endpoint, net) as url:
        with trio.CancelScope() as scope:
            async with (
                open_connection(url, connector=net.connect, ssl_context=context_for(net)) as connection,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(write_for_ever, connection)
                await trio.sleep(1)
                scope.cancel()
                start = trio.current_time()
        assert trio.current_time() - start == 0.0
        assert [] == [stream for stream in net.open_streams if stream.address.startswith("client")]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_cancelled_session_takes_no_virtual_time(endpoint: str, autojump_clock: MockClock) -> None:
    """The same for a session, with its supervisor around the connection."""
    net = VirtualNetwork(latency=0.01)
    async with frozen_peer(endpoint, net) as url:
        with trio.CancelScope() as scope:
            async with open_session(
                url,
                subscribe=["S" * 60 + str(number) for number in range(9000)],
                connector=net.connect,
                ssl_context=context_for(net),
            ):
                await trio.sleep(1)
                scope.cancel()
                start = trio.current_time()
        assert trio.current_time() - start == 0.0
        assert [] == [stream for stream in net.open_streams if stream.address.startswith("client")]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_leaving_a_frozen_peer_takes_the_close_timeout(endpoint: str, autojump_clock: MockClock) -> None:
    """Left of its own accord, a session tries to say goodbye, for as long as the policy says and no longer."""
    net = VirtualNetwork(latency=0.01)
    async with frozen_peer(endpoint, net) as url:
        async with open_session(
            url, connector=net.connect, restart=RestartPolicy(close_timeout=1), ssl_context=context_for(net)
        ) as session:
            await session.wait_connected()
            net.host("server").freeze()
            start = trio.current_time()
        assert trio.current_time() - start <= 1.0


async def test_leaving_before_it_is_connected(autojump_clock: MockClock) -> None:
    """A session that is still connecting, or waiting for its next attempt, is left at once."""
    net = VirtualNetwork(latency=0.01)
    net.host("server").blackhole()
    start = trio.current_time()
    async with open_session("tcp://server:1", connector=net.connect):
        await trio.sleep(0.5)
    async with open_session("tcp://nowhere:1", connector=net.connect):
        await trio.sleep(0.5)
    assert trio.current_time() - start == 1.0
    assert not net.open_streams


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_cancelled_on_real_sockets(endpoint: str) -> None:
    """The median of 20 is below 0.1 s, and none is above 0.5 s; no file is left open."""
    took: list[float] = []
    async with frozen_peer(endpoint, None) as url:
        before = open_files()
        for _ in range(20):
            with trio.fail_after(8), trio.CancelScope() as scope:
                async with (
                    open_connection(url, ssl_context=OURS, connector=connect_narrow) as connection,
                    trio.open_nursery() as nursery,
                ):
                    nursery.start_soon(write_for_ever, connection)
                    await trio.sleep(0.03)
                    scope.cancel()
                    start = time.perf_counter()
            took.append(time.perf_counter() - start)
        assert statistics.median(took) < 0.1
        assert max(took) < 0.5
        # The peer keeps its 20 ends; none of ours is left.
        assert open_files() - before <= 20


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


async def connect_narrow(host: str, port: int) -> SocketStream:
    """Small buffers, so that a peer that does not read is felt at once."""
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    await trio.lowlevel.checkpoint()
    return SocketStream(sock)
