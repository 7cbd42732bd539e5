"""websockets on Trio: `recv(decode=False)`, as documented for a decoder that takes bytes; no compression.

Reconnecting is what its client module documents: ``async for connection in connect(...)``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec
import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import connect as open_line

from heartbeat_trio.events import Quote

from ..child import serving
from ..scenarios import Line, Scenarios
from ..settings import MESSAGE, WARM, Clock, Keepalive
from ..worlds import TRIO


def ingest(*, count: int, typed: bool) -> dict[str, float]:
    """Microseconds per quote received."""
    clock, first = Clock(), count // 10
    decode = msgspec.json.Decoder(Quote).decode

    async def main(url: str) -> dict[str, float]:
        async with open_line(url, compression=None, proxy=None) as line:
            for number in range(count):
                if number == first:
                    clock.start()
                message = await line.recv(decode=False)
                if typed:
                    _ = decode(message).seq
            return clock.stop(count - first)

    with serving() as server:
        return trio.run(main, server.url(f"/flood?count={count}"))


def round_trip(*, count: int, in_flight: int) -> dict[str, float]:
    """Microseconds per answer."""
    clock = Clock()

    async def main(url: str) -> dict[str, float]:
        async with open_line(url, compression=None, proxy=None) as line:
            for _ in range(in_flight):
                await line.send(MESSAGE)
            for number in range(-WARM, count):
                if number == 0:
                    clock.start()
                await line.recv(decode=False)
                if number < count - in_flight:
                    await line.send(MESSAGE)
            return clock.stop(count)

    with serving() as server:
        return trio.run(main, server.url("/answer"))


class _Line:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def receive(self) -> object:
        return await self._connection.recv(decode=False)

    async def send(self) -> None:
        await self._connection.send(MESSAGE)


@asynccontextmanager
async def connect(url: str, keepalive: Keepalive) -> AsyncIterator[Line]:
    """A line with the library's own keepalive."""
    async with open_line(url, proxy=None, compression=None, **_timing(keepalive)) as line:
        yield _Line(line)


async def follow(url: str, keepalive: Keepalive, tell: Callable[[], None]) -> None:
    """Every message, for ever, over whatever connection. Without `aclosing`, leaving the loop breaks Trio."""
    lines: Any = aiter(open_line(url, proxy=None, compression=None, **_timing(keepalive)))
    async with aclosing(lines):
        async for line in lines:
            try:
                while True:
                    await line.recv(decode=False)
                    tell()
            except ConnectionClosed:
                continue


def _timing(keepalive: Keepalive) -> dict[str, Any]:
    return {"ping_interval": keepalive.interval, "ping_timeout": keepalive.timeout, "close_timeout": keepalive.close}


def scenario(what: str, **arguments: Any) -> Any:
    """See `Scenarios`."""
    return Scenarios(TRIO, connect, follow).run(what, **arguments)
