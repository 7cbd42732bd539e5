"""picows: a listener's callbacks, and payloads decoded where they lie, as its documentation advises.

It uses aiofastnet when that is installed, as its default is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import picows

from heartbeat_trio.events import Quote

from ..child import serving
from ..scenarios import Line, Scenarios
from ..settings import MESSAGE, WARM, Clock, Keepalive
from ..worlds import ASYNCIO

TEXT = picows.WSMsgType.TEXT


class _Typed(picows.WSListener):
    """Decodes each quote in the receive buffer."""

    def __init__(self, count: int) -> None:
        self.clock = Clock()
        self.number = 0
        self.first = count // 10
        self.count = count
        self.decode = msgspec.json.Decoder(Quote).decode
        self.result: dict[str, float] = {}

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type is not TEXT:
            return
        if self.number == self.first:
            self.clock.start()
        _ = self.decode(frame.get_payload_as_memoryview()).seq
        self.number += 1
        if self.number == self.count:
            self.result = self.clock.stop(self.count - self.first)
            transport.disconnect()


class _Untyped(_Typed):
    """Takes each as bytes."""

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type is not TEXT:
            return
        if self.number == self.first:
            self.clock.start()
        frame.get_payload_as_bytes()
        self.number += 1
        if self.number == self.count:
            self.result = self.clock.stop(self.count - self.first)
            transport.disconnect()


class _Asking(picows.WSListener):
    """Sends one message for each answer."""

    def __init__(self, count: int) -> None:
        self.clock = Clock()
        self.number = -WARM
        self.count = count
        self.result: dict[str, float] = {}

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type is not TEXT:
            return
        if self.number == 0:
            self.clock.start()
        frame.get_payload_as_bytes()
        transport.send(picows.WSMsgType.BINARY, MESSAGE)
        self.number += 1
        if self.number == self.count:
            self.result = self.clock.stop(self.count)
            transport.disconnect()


def ingest(*, count: int, typed: bool) -> dict[str, float]:
    """Microseconds per quote received."""
    return _measure((_Typed if typed else _Untyped)(count), f"/flood?count={count}", 0)


def round_trip(*, count: int, in_flight: int) -> dict[str, float]:
    """Microseconds per answer."""
    return _measure(_Asking(count), "/answer", in_flight)


def _measure(listener: Any, path: str, first: int) -> dict[str, float]:
    async def main(url: str) -> None:
        transport, _ = await picows.ws_connect(lambda: listener, url)
        for _ in range(first):
            transport.send(picows.WSMsgType.BINARY, MESSAGE)
        await transport.wait_disconnected()

    with serving() as server:
        asyncio.run(main(server.url(path)))
    result: dict[str, float] = listener.result
    return result


class _Line(picows.WSListener):
    """Puts messages into a queue, and waits where the library asks to pause, as its documentation shows."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._transport: Any = None

    def on_ws_connected(self, transport: Any) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type is TEXT:
            self._queue.put_nowait(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: Any) -> None:
        self._queue.put_nowait(None)
        self._may_write.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    async def receive(self) -> object:
        message = await self._queue.get()
        if message is None:
            raise ConnectionResetError
        return message

    async def send(self) -> None:
        await self._may_write.wait()
        if self._transport.is_disconnected:
            raise ConnectionResetError
        self._transport.send(picows.WSMsgType.BINARY, MESSAGE)


@asynccontextmanager
async def connect(url: str, keepalive: Keepalive) -> AsyncIterator[Line]:
    """A line with the library's auto-ping."""
    transport, line = await picows.ws_connect(
        _Line,
        url,
        enable_auto_ping=True,
        auto_ping_idle_timeout=keepalive.interval,
        auto_ping_reply_timeout=keepalive.timeout,
    )
    try:
        yield line
    finally:
        # It has no close timeout of its own: a user who wants to leave bounds the orderly end, and aborts then.
        transport.disconnect()
        try:
            async with asyncio.timeout(keepalive.close):
                await transport.wait_disconnected()
        except TimeoutError:
            transport.disconnect(graceful=False)


def scenario(what: str, **arguments: Any) -> Any:
    """See `Scenarios`."""
    return Scenarios(ASYNCIO, connect).run(what, **arguments)
