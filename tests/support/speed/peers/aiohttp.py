"""aiohttp: `async for message in connection`, with `decode_text=False`, which it has for decoders of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import msgspec

from heartbeat_trio.events import Quote

from ..child import serving
from ..loops import ask_and_wait
from ..scenarios import Line, Scenarios
from ..settings import MESSAGE, Clock, Keepalive
from ..worlds import ASYNCIO


def ingest(*, count: int, typed: bool) -> dict[str, float]:
    """Microseconds per quote received."""
    clock, first = Clock(), count // 10
    decode = msgspec.json.Decoder(Quote).decode

    async def main(url: str) -> dict[str, float]:
        number = 0
        async with aiohttp.ClientSession() as session, session.ws_connect(url, decode_text=False) as line:
            async for message in line:
                if number == first:
                    clock.start()
                if typed:
                    _ = decode(message.data).seq
                number += 1
                if number == count:
                    break
            return clock.stop(count - first)

    with serving() as server:
        return asyncio.run(main(server.url(f"/flood?count={count}")))


def round_trip(*, count: int, in_flight: int) -> dict[str, float]:
    """Microseconds per answer."""

    async def main(url: str) -> dict[str, float]:
        async with aiohttp.ClientSession() as session, session.ws_connect(url, decode_text=False) as line:
            return await ask_and_wait(line.receive, partial(line.send_bytes, MESSAGE), count=count, in_flight=in_flight)

    with serving() as server:
        return asyncio.run(main(server.url("/answer")))


class _Line:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def receive(self) -> object:
        message = await self._connection.receive()
        if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSE):
            raise ConnectionResetError(str(self._connection.exception() or self._connection.close_code))
        if message.type is aiohttp.WSMsgType.ERROR:
            raise message.data
        return message

    async def send(self) -> None:
        await self._connection.send_bytes(MESSAGE)


@asynccontextmanager
async def connect(url: str, keepalive: Keepalive) -> AsyncIterator[Line]:
    """A line with the library's heartbeat: it waits half its interval for a pong."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            url,
            heartbeat=2 * keepalive.timeout,
            timeout=aiohttp.ClientWSTimeout(ws_close=keepalive.close),
            decode_text=False,
        ) as line,
    ):
        yield _Line(line)


def scenario(what: str, **arguments: Any) -> Any:
    """See `Scenarios`."""
    return Scenarios(ASYNCIO, connect).run(what, **arguments)
