"""websockets, whose clients for asyncio and for Trio are alike.

`recv(decode=False)`, as documented for a decoder that takes bytes; no compression.
Reconnecting is what its client modules document: ``async for connection in connect(...)``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

from websockets.exceptions import ConnectionClosed

from ..child import serving
from ..loops import ask_and_wait, take_quotes
from ..scenarios import Line, Scenarios
from ..settings import MESSAGE, Keepalive
from ..worlds import World


class _Line:
    def __init__(self, connection: Any) -> None:
        self.receive = partial(connection.recv, decode=False)
        self.send = partial(connection.send, MESSAGE)


class Websockets:
    """One of its clients.

    Args:
        world: What it runs on.
        open_line: Its `connect`.
    """

    def __init__(self, world: World, open_line: Callable[..., Any]) -> None:
        self._world = world
        self._open_line = partial(open_line, compression=None, proxy=None)

    def ingest(self, *, count: int, typed: bool) -> dict[str, float]:
        """Microseconds per quote received."""

        async def main(url: str) -> dict[str, float]:
            async with self._open_line(url) as line:
                return await take_quotes(partial(line.recv, decode=False), count=count, typed=typed)

        return self._measure(main, f"/flood?count={count}")

    def round_trip(self, *, count: int, in_flight: int) -> dict[str, float]:
        """Microseconds per answer."""

        async def main(url: str) -> dict[str, float]:
            async with self._open_line(url) as connection:
                line = _Line(connection)
                return await ask_and_wait(line.receive, line.send, count=count, in_flight=in_flight)

        return self._measure(main, "/answer")

    def _measure(self, main: Callable[[str], Any], path: str) -> dict[str, float]:
        with serving() as server:
            result: dict[str, float] = self._world.run(partial(main, server.url(path)))
        return result

    def scenario(self, what: str, **arguments: Any) -> Any:
        """See `Scenarios`."""
        return Scenarios(self._world, self.connect, self.follow).run(what, **arguments)

    @asynccontextmanager
    async def connect(self, url: str, keepalive: Keepalive) -> AsyncIterator[Line]:
        """A line with the library's own keepalive."""
        async with self._open_line(url, **_timing(keepalive)) as line:
            yield _Line(line)

    async def follow(self, url: str, keepalive: Keepalive, tell: Callable[[], None]) -> None:
        """Every message, for ever, over whatever connection. Without `aclosing`, leaving the loop breaks Trio."""
        lines: Any = aiter(self._open_line(url, **_timing(keepalive)))
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
