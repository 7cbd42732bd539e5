"""A quote server to talk to, and clients that speak to it in raw bytes: nothing of ours but the server is under test."""

from __future__ import annotations

import base64
import json
import os
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from heartbeat_trio.events import Quote
from heartbeat_trio.server import QuoteServer, serve_quotes

Publish = Callable[[list[Quote]], None]


OPENED: list[trio.abc.Stream] = []
"""Streams of this test's clients, closed when the server's block ends."""


class ManualSource:
    """A source whose quotes the test makes itself."""

    def __init__(self, *symbols: str, stream: str = "s1") -> None:
        self.symbols = symbols or ("BTCUSD", "ETHUSD")
        self.stream = stream
        self._seqs = dict.fromkeys(self.symbols, 0)
        self._publish: Publish | None = None

    async def prepare(self) -> None:
        await trio.lowlevel.checkpoint()

    async def run(self, publish: Publish) -> None:
        self._publish = publish
        await trio.sleep_forever()

    def quote(self, symbol: str = "BTCUSD", count: int = 1) -> None:
        """Publish that many quotes of a symbol."""
        assert self._publish is not None
        for _ in range(count):
            self._seqs[symbol] += 1
            self._publish([Quote(symbol, 1.5, 2.5, self._seqs[symbol], self.stream, 1_700_000_000_000_000)])


@asynccontextmanager
async def running(source: Any = None, *, limit: float = 7.0, **options: Any) -> AsyncIterator[QuoteServer]:
    """Serve on loopback (or on what the options say), and leave at once."""
    options = {"tcp": "127.0.0.1:0", "ws": "127.0.0.1:0"} | options
    with trio.fail_after(limit):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(partial(serve_quotes, source or ManualSource(), **options))
            await trio.testing.wait_all_tasks_blocked()
            try:
                yield server
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):  # closing forcefully never waits
                    while OPENED:
                        await trio.aclose_forcefully(OPENED.pop())


def port_of(server: QuoteServer, protocol: str) -> int:
    return int(server.addresses[protocol].rstrip("/").rpartition(":")[2])


class LineClient:
    """Lines over any stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._rest = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def line(self) -> bytes:
        """The next line with its LF; what is left when the server closes, b"" at last."""
        while b"\n" not in self._rest:
            data = await self.stream.receive_some(65536)
            if not data:
                line, self._rest = self._rest, b""
                return line
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line + b"\n"

    async def lines(self, count: int) -> list[bytes]:
        return [await self.line() for _ in range(count)]

    async def ask(self, data: bytes) -> bytes:
        await self.send(data)
        return await self.line()

    async def is_alive(self) -> bool:
        """Whether it still answers."""
        return await self.ask(b"PING still-there\n") == b"PONG still-there\n"


Frame = tuple[int, bytes]
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def encode_frame(opcode: int, payload: bytes, *, fin: bool = True, mask: bool = True) -> bytes:
    """One frame as RFC 6455 §5.2 draws it; the mask is all zeros, so that the payload stays readable."""
    size = len(payload)
    bit = 0x80 if mask else 0
    if size < 126:
        head = bytes((opcode | 0x80 * fin, bit | size))
    elif size < 2**16:
        head = struct.pack("!BBH", opcode | 0x80 * fin, bit | 126, size)
    else:
        head = struct.pack("!BBQ", opcode | 0x80 * fin, bit | 127, size)
    return head + (bytes(4) if mask else b"") + payload


def request(*headers: str, path: str = "/", host: str = "127.0.0.1") -> bytes:
    """A WebSocket handshake."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class RawWebSocket:
    """WebSocket frames over any stream, without a library."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._rest = b""

    async def handshake(self, *headers: str, path: str = "/") -> int:
        """The status that the server answers with."""
        await self.stream.send_all(request(*headers, path=path))
        return await self.status()

    async def status(self) -> int:
        while b"\r\n\r\n" not in self._rest:
            data = await self.stream.receive_some(65536)
            assert data, f"the server closed after {self._rest!r}"
            self._rest += data
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return int(head.split()[1])

    async def send(self, opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True) -> None:
        await self.stream.send_all(encode_frame(opcode, payload, fin=fin, mask=mask))

    async def send_op(self, op: str, **fields: Any) -> None:
        await self.send(TEXT, json.dumps({"op": op, **fields}).encode())

    async def _take(self, count: int) -> bytes:
        while len(self._rest) < count:
            data = await self.stream.receive_some(65536)
            if not data:
                raise EOFError(f"closed after {self._rest!r}")
            self._rest += data
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    async def frame(self) -> Frame:
        """The next frame: opcode and payload."""
        first, second = await self._take(2)
        assert not second & 0x80, "a server never masks"
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await self._take(2 if size == 126 else 8))
        return first & 0x0F, await self._take(size)

    async def op(self) -> dict[str, Any]:
        """The next message, read from its JSON."""
        opcode, payload = await self.frame()
        assert opcode == TEXT, (opcode, payload)
        message: dict[str, Any] = json.loads(payload)
        return message

    async def close_code(self) -> int:
        """Read on until the server's Close; the code in it."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2])

    async def is_closed(self) -> bool:
        """Whether the end of the stream is next."""
        return not self._rest and await self.stream.receive_some(1) == b""

    async def is_alive(self) -> bool:
        await self.send(PING, b"still-there")
        return await self.frame() == (PONG, b"still-there")


async def open_stream(server: QuoteServer, protocol: str, ssl_context: ssl.SSLContext | None = None) -> trio.abc.Stream:
    """Connect to a server on loopback."""
    stream: trio.abc.Stream = await trio.open_tcp_stream("127.0.0.1", port_of(server, protocol))
    OPENED.append(stream)
    if ssl_context is not None:
        stream = trio.SSLStream(stream, ssl_context, server_hostname="127.0.0.1", https_compatible=True)
    return stream


async def open_lines(server: QuoteServer, ssl_context: ssl.SSLContext | None = None) -> LineClient:
    return LineClient(await open_stream(server, "tcp", ssl_context))


async def open_websocket(server: QuoteServer, *headers: str, ssl_context: ssl.SSLContext | None = None) -> RawWebSocket:
    client = RawWebSocket(await open_stream(server, "ws", ssl_context))
    assert await client.handshake(*headers) == 101
    return client
