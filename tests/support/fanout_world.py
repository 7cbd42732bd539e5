"""A hub with clients over streams that take just as many bytes as a test allows: no network, no reader, no server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import trio

from heartbeat_trio._background import open_background
from heartbeat_trio.config import ServerPolicy
from heartbeat_trio.events import Quote
from heartbeat_trio.protocol.frames import WebSocketProtocol
from heartbeat_trio.protocol.messages import Ping, Resume, Subscribe, Unsubscribe
from heartbeat_trio.server.client import Client
from heartbeat_trio.server.hub import Hub
from heartbeat_trio.server.order_desk import OrderDesk
from heartbeat_trio.server.sources import SyntheticSource
from heartbeat_trio.transports.abc import ByteStream
from heartbeat_trio.transports.over_stream import StreamTransport
from heartbeat_trio.transports.tcp import LineTransport
from heartbeat_trio.transports.websocket import WebSocketTransport
from tests.support.raw_clients import request

STREAM = "s"
LIMIT = 1_000_000


class Narrow(ByteStream):
    """Takes `room` bytes, then none until there is more room.

    Args:
        on_send: Called with what every attempt to send brings.
    """

    def __init__(self, on_send: Callable[[bytes], None] | None = None) -> None:
        self.peer = "narrow"
        self.is_waiting = True
        self.on_handed_over = None
        self.room = LIMIT
        self.taken = bytearray()
        self.is_broken = False
        self._on_send = on_send
        self._widened = trio.Event()

    def widen(self, room: int) -> None:
        """Take so many bytes from now on."""
        self.room = room
        self._widened.set()
        self._widened = trio.Event()

    def unread_bytes(self) -> int:
        return 0

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        if self.is_broken:
            raise trio.BrokenResourceError
        if self._on_send is not None:
            self._on_send(bytes(data) if not isinstance(data, bytes) else data)
        size = min(self.room, len(data))
        self.room -= size
        self.taken += data[:size]
        return size

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(bytes(data))
        await trio.lowlevel.checkpoint()
        while True:
            rest = rest[self.send_nowait(rest) :]
            if not rest:
                break
            await self._widened.wait()
        if self.on_handed_over is not None:
            self.on_handed_over()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.sleep_until(float("inf"))
        return b""

    async def aclose(self) -> None:
        self.is_broken = True
        await trio.lowlevel.checkpoint()


class Alone(LineTransport):
    """The line protocol of a client that always goes its own way."""

    def lend(self, recall: Callable[[], None]) -> None:
        return None


class AloneWebSocket(WebSocketTransport):
    """The same over WebSocket."""

    def lend(self, recall: Callable[[], None]) -> None:
        return None


class FanoutWorld:
    """A hub, its clients and their streams."""

    def __init__(self, background: Any, symbols: tuple[str, ...], policy: ServerPolicy, *, alone: bool) -> None:
        self.hub = Hub(SyntheticSource(symbols, stream=STREAM), policy.ring_size)
        self.clients: list[Client] = []
        self.streams: list[Narrow] = []
        self._background = background
        self._policy = policy
        self._alone = alone
        self._seqs = dict.fromkeys(symbols, 0)

    def add(self, wire: Literal["line", "ws"] = "line", on_send: Callable[[bytes], None] | None = None) -> Client:
        """One more client."""
        stream = Narrow(on_send)
        client = Client(
            self._transport(stream, wire), self._background, self.hub, self._policy, None, OrderDesk(None, frozenset())
        )
        self.clients.append(client)
        self.streams.append(stream)
        return client

    def _transport(self, stream: Narrow, wire: Literal["line", "ws"]) -> StreamTransport:
        nursery = self._background.nursery
        if wire == "line":
            kind = Alone if self._alone else LineTransport
            return kind(stream, nursery, role="server", limit=LIMIT)
        protocol = WebSocketProtocol("server")
        protocol.receive_runs(request())
        protocol.accept()
        kind_of_websocket = AloneWebSocket if self._alone else WebSocketTransport
        return kind_of_websocket(stream, nursery, protocol, role="server", limit=LIMIT)

    def subscribe(self, number: int, symbol: str, seq: int | None = None) -> None:
        """As if the client had asked for it; `seq`: to resume after."""
        resume = None if seq is None else Resume(STREAM, seq)
        self.clients[number]._receive(Subscribe(symbol, resume))

    def unsubscribe(self, number: int, symbol: str) -> None:
        """The same."""
        self.clients[number]._receive(Unsubscribe(symbol))

    def ping(self, number: int) -> None:
        """The same."""
        transport = self.clients[number].transport
        transport.pong(Ping(b"nonce-12", is_control=isinstance(transport, WebSocketTransport)))

    def publish(self, *symbols: str) -> None:
        """One tick, with a quote of each."""
        quotes = []
        for symbol in symbols:
            self._seqs[symbol] += 1
            quotes.append(Quote(symbol, 1.5, 2.5, self._seqs[symbol], STREAM, 0))
        self.hub.publish(quotes)

    @property
    def delivered(self) -> int:
        """Quotes that were sent, by the server's count."""
        return self.hub.delivered + sum(client.delivered for client in self.clients)

    def newest(self, number: int) -> dict[str, int | None]:
        """The number of the newest quote of each symbol that a client is subscribed to."""
        return {symbol: self._seqs[symbol] for symbol in self.clients[number].outbound.symbols}

    def grouped(self) -> int:
        """How many clients are in groups."""
        return sum(len(group) for group in self.hub._groups.values())


async def settle() -> None:
    """Let all tasks do what they can."""
    await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def fanout_world(*symbols: str, alone: bool = False, policy: ServerPolicy | None = None) -> AsyncIterator[FanoutWorld]:
    """Open it, with the hub's task running."""
    async with open_background() as background:
        world = FanoutWorld(background, symbols, policy or ServerPolicy(), alone=alone)
        background.start_soon(world.hub.run, name="hub")
        await settle()
        yield world
