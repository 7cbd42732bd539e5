"""One contract for every transport: virtual, TCP and TLS; lines, and WebSocket with both engines on either side."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
import trio
import trustme

from heartbeat_trio.endpoint import Endpoint
from heartbeat_trio.events import Quote
from heartbeat_trio.exceptions import ConnectionClosed, ConnectionLost
from heartbeat_trio.protocol.messages import Message, Ping, Pong, Subscribe, Subscribed
from heartbeat_trio.testing import VirtualNetwork
from heartbeat_trio.transports.abc import Outgoing, Transport
from heartbeat_trio.transports.connect import connect_transport
from heartbeat_trio.transports.evidence import SocketStream, listen_tcp, open_socket_stream
from heartbeat_trio.transports.tapped import TappedWebSocketTransport
from heartbeat_trio.transports.tcp import accept_tcp
from heartbeat_trio.transports.tls import wrap_tls
from heartbeat_trio.transports.websocket import accept_websocket


class Kind(NamedTuple):
    """How a pair of transports is made."""

    wire: str
    protocol: str
    client: str = ""
    server: str = ""
    deflate: str = ""

    def __str__(self) -> str:
        return "-".join(part for part in self if part)


KINDS = [
    *(Kind(wire, "lines") for wire in ("virtual", "tcp", "tls")),
    *(Kind(wire, "ws", "native", "native") for wire in ("virtual", "tcp", "tls")),
    *(Kind(wire, "ws", "native", "native", "deflate") for wire in ("virtual", "tcp")),
    *(Kind(wire, "ws", "trio-websocket", "trio-websocket") for wire in ("virtual", "tcp", "tls")),
    Kind("tcp", "ws", "native", "trio-websocket"),
    Kind("tcp", "ws", "trio-websocket", "native"),
]

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("127.0.0.1", "server")
LIMIT = 4 * 1024 * 1024


class Pair(NamedTuple):
    client: Transport
    server: Transport


def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    ours, theirs = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.configure_trust(ours)
    CERTIFICATE.configure_cert(theirs)
    return ours, theirs


async def connect_narrow(host: str, port: int) -> SocketStream:
    """Connect with small buffers, so that a peer that does not read is felt soon."""
    stream = await open_socket_stream(host, port)
    stream._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    return stream


@asynccontextmanager
async def open_pair(kind: Kind) -> AsyncIterator[Pair]:
    """A client's and a server's transport, joined."""
    with trio.fail_after(9):
        async with trio.open_nursery() as nursery:
            if kind.wire == "virtual":
                net = VirtualNetwork(latency=0.001)
                listener: trio.abc.Listener[trio.abc.Stream] = net.listen("server", 1)
                host, port, connector = "server", 1, net.connect
            else:
                [socket_listener] = await listen_tcp("127.0.0.1", 0)
                listener = socket_listener
                socket_listener._listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
                host, port, connector = "127.0.0.1", socket_listener.port, connect_narrow
            ours, theirs = tls_contexts()
            servers: list[Transport] = []

            async def accept(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
                task_status.started()
                stream: trio.abc.Stream = await listener.accept()
                if kind.wire == "tls":
                    stream = wrap_tls(stream, theirs, server_side=True)
                    await stream.do_handshake()
                if kind.protocol == "lines":
                    servers.append(await accept_tcp(stream, nursery, control_limit=LIMIT))
                elif kind.server == "native":
                    servers.append(
                        await accept_websocket(
                            stream,
                            nursery,
                            check=lambda _path, _headers: None,
                            control_limit=LIMIT,
                            deflate=bool(kind.deflate),
                        )
                    )
                else:
                    engine = TappedWebSocketTransport(stream, nursery, role="server", limit=LIMIT)
                    await engine.accept(lambda _path, _headers: None)
                    servers.append(engine)

            scheme = {"lines": "tcp", "ws": "ws"}[kind.protocol] + ("s" if kind.wire == "tls" else "")
            option = f"#engine={kind.client}" if kind.client else ""
            option += "&deflate=on" if kind.deflate else ""
            async with trio.open_nursery() as connecting:
                await connecting.start(accept)
                client = await connect_transport(
                    Endpoint.parse(f"{scheme}://{host}:{port}{option}"),
                    nursery,
                    timeout=5,
                    connector=connector,
                    ssl_context=ours,
                )
            await listener.aclose()
            [server] = servers
            try:
                yield Pair(client, server)
            finally:
                nursery.cancel_scope.cancel()
                with trio.move_on_after(1, shield=True):
                    await client.abort()
                    await server.abort()


def quote(seq: int) -> Quote:
    return Quote("BTCUSD", 100.5, 101.5, seq, "s1", 1_700_000_000_000_000)


async def collect(transport: Transport, count: int) -> list[Message]:
    """Receive until `count` messages came."""
    messages: list[Message] = []
    while len(messages) < count:
        messages += await transport.receive()
    return messages


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


async def test_messages_arrive_in_order_both_ways(kind: Kind) -> None:
    """Requests to the server, quotes to the client."""
    async with open_pair(kind) as (client, server):
        await client.send(Subscribe("BTCUSD"))
        await client.send(Subscribe("ETHUSD"))
        assert [Subscribe("BTCUSD"), Subscribe("ETHUSD")] == await collect(server, 2)

        server.put(server.encode(Subscribed("BTCUSD")))
        for seq in range(1, 501):
            server.put(server.encode(quote(seq)))
        assert [Subscribed("BTCUSD"), *map(quote, range(1, 501))] == await collect(client, 501)


async def test_encoded_once_is_sent_many_times(kind: Kind) -> None:
    """What `encode` made for one transport is good for each of the same encoding."""
    async with open_pair(kind) as (_client, server), open_pair(kind) as (other_client, other_server):
        assert server.encoding == other_server.encoding
        assert bool(kind.deflate) == ("deflate" in server.encoding)
        other_server.put(server.encode(quote(7)))
        assert [quote(7)] == await collect(other_client, 1)


async def test_ping_is_answered_and_stamped(kind: Kind) -> None:
    """The hand-over is told before the pong can be there, and the pong carries the nonce."""
    async with open_pair(kind) as (client, server):
        sent_at: list[float] = []

        async def serve() -> None:
            while True:
                for message in await server.receive():
                    if isinstance(message, Ping) and not message.is_control:
                        server.pong(message)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            client.ping(b"12345678", sent_at.append)
            [pong] = await collect(client, 1)
            assert len(sent_at) == 1
            nursery.cancel_scope.cancel()

        assert isinstance(pong, Pong)
        assert pong.nonce == b"12345678"


async def test_a_peer_that_does_not_read_blocks_only_those_who_wait(kind: Kind) -> None:
    """`put` and `ping` return at once; `send` waits, and what is cancelled before it began never arrives."""
    if kind.server == "trio-websocket":
        pytest.skip("the library reads ahead of its user")
    async with open_pair(kind) as (client, server):
        filler = [Subscribe(f"S{number}" + "x" * 50) for number in range(60)]
        total = 0
        while client.unsent_bytes < 10_000:
            for message in filler:
                client.put(client.encode(message))
            total += len(filler)
            if client.unsent_bytes >= 10_000:
                await trio.sleep(0.1)  # a delayed ACK may make room once more
            await trio.lowlevel.checkpoint()
        client.ping(b"12345678", lambda _now: None)
        with trio.move_on_after(0.05) as scope:
            await client.send(Subscribe("CANCELLED"))
        assert scope.cancelled_caught

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, Subscribe("LAST"))
            got: list[Message] = []
            while Subscribe("LAST") not in got:
                got += await server.receive()
            nursery.cancel_scope.cancel()

        assert [Subscribe("LAST")] == [
            each for each in got if isinstance(each, Subscribe) and not each.symbol.startswith("S")
        ]
        assert total + 1 == sum(isinstance(each, Subscribe) for each in got)
        assert any(isinstance(each, Ping) and each.nonce == b"12345678" for each in got)


async def test_cancelled_receive_loses_nothing(kind: Kind) -> None:
    """A consumer may time out and come back."""
    async with open_pair(kind) as (client, server):
        got: list[Message] = []
        for seq in range(1, 31):
            with trio.move_on_after(0.0005 * (seq % 3)):
                got += await client.receive()
            server.put(server.encode(quote(seq)))
        while len(got) < 30:
            got += await client.receive()

        assert [quote(seq) for seq in range(1, 31)] == got


async def test_tells_whether_it_is_caught_up(kind: Kind) -> None:
    """Only while the reader waits and nothing is unread."""
    async with open_pair(kind) as (client, server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.receive)
            await trio.sleep(0.02)
            assert client.is_caught_up()
            server.put(server.encode(quote(1)))
        if kind.client != "trio-websocket":  # its reader is a task of its own, and waits again at once
            assert not client.is_caught_up()


async def test_orderly_close_reaches_the_peer(kind: Kind) -> None:
    """What was queued arrives first; then the peer learns that it was closed, and over WebSocket why."""
    async with open_pair(kind) as (client, server):
        server.put(server.encode(quote(1)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swallow_end, server.receive)
            nursery.start_soon(close, server)
            assert [quote(1)] == await collect(client, 1)
            with pytest.raises(ConnectionClosed) as caught:
                while True:
                    assert [] == await client.receive()
            nursery.cancel_scope.cancel()

        assert caught.value.initiated_by == "peer"
        if kind.protocol == "ws":
            assert (1001, "maintenance") == (caught.value.code, caught.value.reason)


async def close(transport: Transport) -> None:
    with trio.move_on_after(1):
        await transport.aclose(code=1001, reason="maintenance")


async def swallow_end(receive: Callable[[], Awaitable[object]]) -> None:
    try:
        while True:
            await receive()
    except (ConnectionClosed, ConnectionLost):
        pass


async def test_abort_ends_both_sides(kind: Kind) -> None:
    """Without a word, and at once; repeating it does nothing."""
    async with open_pair(kind) as (client, server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swallow_end, client.receive)
            nursery.start_soon(swallow_end, server.receive)
            await trio.testing.wait_all_tasks_blocked()
            await client.abort()
            await client.abort()
        client.put(client.encode(Subscribe("X")))
        client.ping(b"12345678", lambda _now: None)
        assert client.unsent_bytes == 0
        with pytest.raises(ConnectionLost):
            await client.send(Subscribe("X"))


async def test_overflow_gives_the_peer_up(kind: Kind) -> None:
    """A peer that never reads costs bounded memory, and then its connection."""
    async with open_pair(kind) as (client, server):
        data = server.encode(quote(1)) * 200 if kind.protocol == "lines" else server.encode(quote(1))
        for _ in range(200_000):
            server.put(data)
            if _ % 100 == 0:
                await trio.lowlevel.checkpoint()
            if not server.unsent_bytes and _ > 100_000:
                break
        assert server.unsent_bytes <= 2 * LIMIT
        with pytest.raises((ConnectionLost, ConnectionClosed)):
            while True:
                await server.receive()
        assert client is not None


async def test_what_was_put_can_be_taken_back(kind: Kind) -> None:
    """Until it begins to leave: then it arrives, whole and once, and else never."""
    if kind.server == "trio-websocket":
        pytest.skip("the library reads ahead of its user")
    async with open_pair(kind) as (client, server):
        put: list[tuple[str, Outgoing]] = []
        while client.unsent_bytes < 20_000:
            for _ in range(50):
                name = f"S{len(put)}" + "x" * 50
                put.append((name, client.put(client.encode(Subscribe(name)))))
            await trio.lowlevel.checkpoint()
        withdrawn = {name for name, outgoing in put if client.withdraw(outgoing)}
        left = [name for name, outgoing in put if outgoing.has_begun]
        assert withdrawn
        assert {name for name, _ in put} == withdrawn | set(left)

        assert list(map(Subscribe, left)) == await collect(server, len(left))
        await client.wait_idle()
        client.put(client.encode(Subscribe("LAST")))
        assert [Subscribe("LAST")] == await collect(server, 1)
