"""One source behind several servers: the same stream and the same numbers on each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import trio

from heartbeat_trio.events import Quote

Publish = Callable[[list[Quote]], None]


class SharedSource:
    """Numbers once; every `outlet` is a source for one server. `publish` it from a test, or let `run` do it at a rate."""

    def __init__(self, symbols: Iterable[str], *, stream: str = "shared") -> None:
        self.symbols = tuple(symbols)
        self.stream = stream
        self.seq = 0
        self._outlets: dict[Publish, None] = {}

    def outlet(self) -> Outlet:
        """A source for one more server."""
        return Outlet(self)

    def publish(self) -> None:
        """One more quote of each symbol, on every server."""
        self.seq += 1
        quotes = [Quote(symbol, 1.0, 2.0, self.seq, self.stream, time.time_ns() // 1000) for symbol in self.symbols]
        for publish in tuple(self._outlets):
            publish(quotes)

    async def run(self, rate: float) -> None:
        """Publish at so many a second, for ever."""
        tick = trio.current_time()
        while True:
            self.publish()
            tick += 1 / rate
            await trio.sleep_until(tick)

    async def attach(self, publish: Publish) -> None:
        """Publish there too, until cancelled."""
        self._outlets[publish] = None
        try:
            await trio.sleep_forever()
        finally:
            del self._outlets[publish]


class Outlet:
    """What one server serves."""

    def __init__(self, source: SharedSource) -> None:
        self._source = source
        self.stream = source.stream
        self.symbols = source.symbols

    async def prepare(self) -> None:
        await trio.lowlevel.checkpoint()

    async def run(self, publish: Publish) -> None:
        await self._source.attach(publish)
