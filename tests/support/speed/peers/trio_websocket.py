"""trio-websocket: `get_message` in a loop, as its README shows, with the heartbeat of its recipes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
import trio_websocket

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
        async with trio_websocket.open_websocket_url(url) as line:
            for number in range(count):
                if number == first:
                    clock.start()
                message = await line.get_message()
                if typed:
                    _ = decode(message).seq
            return clock.stop(count - first)

    with serving() as server:
        return trio.run(main, server.url(f"/flood?count={count}"))


def round_trip(*, count: int, in_flight: int) -> dict[str, float]:
    """Microseconds per answer."""
    clock = Clock()

    async def main(url: str) -> dict[str, float]:
        async with trio_websocket.open_websocket_url(url) as line:
            for _ in range(in_flight):
                await line.send_message(MESSAGE)
            for number in range(-WARM, count):
                if number == 0:
                    clock.start()
                await line.get_message()
                if number < count - in_flight:
                    await line.send_message(MESSAGE)
            return clock.stop(count)

    with serving() as server:
        return trio.run(main, server.url("/answer"))


class _Line:
    def __init__(self, connection: trio_websocket.WebSocketConnection) -> None:
        self._connection = connection

    async def receive(self) -> object:
        return await self._connection.get_message()

    async def send(self) -> None:
        await self._connection.send_message(MESSAGE)


@asynccontextmanager
async def connect(url: str, keepalive: Keepalive) -> AsyncIterator[Line]:
    """A line with the recipe's heartbeat."""
    async with (
        trio_websocket.open_websocket_url(url, disconnect_timeout=keepalive.close) as line,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_heartbeat, line, keepalive)
        yield _Line(line)
        nursery.cancel_scope.cancel()


async def _heartbeat(line: trio_websocket.WebSocketConnection, keepalive: Keepalive) -> None:
    while True:
        with trio.fail_after(keepalive.timeout):
            await line.ping()
        await trio.sleep(keepalive.interval)


def scenario(what: str, **arguments: Any) -> Any:
    """See `Scenarios`."""
    return Scenarios(TRIO, connect).run(what, **arguments)
