"""trio-websocket: `get_message` in a loop, as its README shows, with the heartbeat of its recipes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
import trio_websocket

from ..child import serving
from ..loops import ask_and_wait, take_quotes
from ..scenarios import Line, Scenarios
from ..settings import MESSAGE, Keepalive
from ..worlds import TRIO


def ingest(*, count: int, typed: bool) -> dict[str, float]:
    """Microseconds per quote received."""

    async def main(url: str) -> dict[str, float]:
        async with trio_websocket.open_websocket_url(url) as line:
            return await take_quotes(line.get_message, count=count, typed=typed)

    with serving() as server:
        return trio.run(main, server.url(f"/flood?count={count}"))


def round_trip(*, count: int, in_flight: int) -> dict[str, float]:
    """Microseconds per answer."""

    async def main(url: str) -> dict[str, float]:
        async with trio_websocket.open_websocket_url(url) as line:
            return await ask_and_wait(
                line.get_message, partial(line.send_message, MESSAGE), count=count, in_flight=in_flight
            )

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
