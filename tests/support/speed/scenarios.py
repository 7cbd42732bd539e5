"""What is done to each peer's lines, written once for all of them; `tests.support.speed.parts` says what it shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol

from .child import Server, answer_now, serving
from .settings import DEFAULT, QUICK, STALLED, Ends, Keepalive, NotOfferedError, resident
from .worlds import Group, Ready, World


class Line(Protocol):
    """A connection, as far as the scenarios need one."""

    async def receive(self) -> object:
        """Wait for a message; the line's end raises, or cancels."""

    async def send(self) -> None:
        """Send 256 bytes, and wait as the library waits."""


class Connect(Protocol):
    """Opens a line."""

    def __call__(self, url: str, keepalive: Keepalive) -> AbstractAsyncContextManager[Line]:
        """Leaving it closes the line."""


class Follow(Protocol):
    """Receives for ever, over one connection after the other."""

    async def __call__(self, url: str, keepalive: Keepalive, tell: Callable[[], None]) -> None:
        """Call `tell` with each message."""


class Scenarios:
    """One library's.

    Args:
        world: What it runs on.
        connect: Opens a line with it.
        follow: How it reconnects by itself; None: it does not.
    """

    def __init__(self, world: World, connect: Connect, follow: Follow | None = None) -> None:
        self._world = world
        self._connect = connect
        self._follow = follow

    def run(self, what: str, **arguments: Any) -> Any:
        """By name."""
        with serving(pinned=what == "memory") as server:
            return self._world.run(partial(getattr(self, what), server, **arguments))

    async def memory(self, server: Server, *, connections: int) -> float:
        """KiB for each of so many idle connections."""
        ends = Ends()
        async with self._world.open_group() as group:
            await self._open(group, ends, server.url("/quiet"), DEFAULT, 3)
            before = resident()
            await self._open(group, ends, server.url("/quiet"), DEFAULT, connections)
            used = resident() - before
            assert not ends.times, ends.causes
        return used / connections / 1024

    async def detect(self, server: Server, *, how: str, lines: int, limit: float, warm: float = 1.3) -> list[float]:
        """Seconds until each line's end was noticed after its server was frozen (`stop`) or ended (`kill`)."""
        ends = Ends()
        async with self._world.open_group() as group:
            await self._open(group, ends, server.url("/quiet?rate=5"), QUICK, lines)
            await self._world.sleep(warm)
            assert not ends.times, ends.causes
            since = time.monotonic()
            (server.stop if how == "stop" else server.kill)()
            await self._until(lambda: len(ends.times) >= lines, limit)
            return ends.after(since)

    async def stall(self, server: Server, *, lines: int, stalls: int, length: float, pause: float) -> dict[str, Any]:
        """How many healthy lines are lost to delays of our own loop."""
        ends = Ends()
        async with self._world.open_group() as group:
            await self._open(group, ends, server.url("/quiet?delay=0.3"), STALLED, lines, apart=STALLED.interval / lines)
            for _ in range(stalls):
                await self._world.sleep(pause)
                time.sleep(length)  # noqa: ASYNC251 - that is the point
            await self._world.sleep(pause)
            lost, causes = len(ends.times), sorted(set(ends.causes.values()))
        return {"lost": lost, "of": lines, "causes": causes[:2]}

    async def slow_consumer(self, server: Server, *, lines: int, limit: float) -> dict[str, Any]:
        """How many healthy lines are lost because we take two messages a second while a hundred come."""
        ends, since = Ends(), time.monotonic()
        async with self._world.open_group() as group:
            await self._open(group, ends, server.url("/quiet?rate=100"), QUICK, lines, pause=0.5)
            await self._world.sleep(limit)
            lost, first, causes = len(ends.times), next(iter(ends.after(since)), None), sorted(set(ends.causes.values()))
        return {"lost": lost, "of": lines, "first": first, "causes": causes[:2]}

    async def blocked_writer(self, server: Server, *, limit: float) -> float | None:
        """Seconds until a peer is found dead that reads nothing while we send all the time; None: it was not.

        The process ends with the answer: what leaving takes is another case.
        """
        ends = Ends()
        async with self._world.open_group() as group:
            await self._open(group, ends, server.url("/stuck"), QUICK, 1, is_sending=True)
            since = time.monotonic()
            await self._until(lambda: bool(ends.times), limit)
            first = next(iter(ends.after(since)), None)
            answer_now(first)
        return first

    async def leave(self, server: Server, *, warm: float) -> float:
        """Seconds to leave a line to such a peer, once cancelled. The keepalive is slow, so that it has no part in it."""
        ends = Ends()
        async with self._world.open_group() as group:
            await self._open(group, ends, server.url("/stuck"), DEFAULT, 1, is_sending=True)
            await self._world.sleep(warm)
            assert not ends.times, ends.causes
            since = time.monotonic()
        return time.monotonic() - since

    async def recover(self, server: Server, *, down: float, limit: float) -> float | None:
        """Seconds from a new server's start, `down` seconds after the old one's end, to its first message, if any."""
        follow, times = self._reconnecting(), list[float]()

        async def live(ready: Ready) -> None:
            ready()
            await follow(server.url("/quiet?rate=50"), QUICK, lambda: times.append(time.monotonic()))

        async with self._world.open_group() as group:
            await group.start(live)
            await self._until(lambda: len(times) > 10, limit)
            server.kill()
            await self._world.sleep(down)
            times.clear()
            server.start_again()
            since = time.monotonic()
            await self._until(lambda: bool(times), limit)
            first = next(iter(times), None)
        return None if first is None else first - since

    async def storm(self, server: Server, *, seconds: float) -> float:
        """Connects a second to a server that accepts each, and closes it at once with 1013, "try again later"."""
        follow = self._reconnecting()

        async def live(ready: Ready) -> None:
            ready()
            await follow(server.url("/refuse"), DEFAULT, lambda: None)

        async with self._world.open_group() as group:
            await group.start(live)
            await self._world.sleep(seconds)
            connects = server.connects()
        return connects / seconds

    def _reconnecting(self) -> Follow:
        if self._follow is None:
            raise NotOfferedError
        return self._follow

    async def _until(self, is_true: Callable[[], bool], limit: float) -> None:
        until = time.monotonic() + limit
        while not is_true() and time.monotonic() < until:
            await self._world.sleep(0.01)

    async def _open(
        self, group: Group, ends: Ends, url: str, keepalive: Keepalive, count: int, *, apart: float = 0.0, **ways: Any
    ) -> None:
        for number in range(count):
            await group.start(partial(self._live, ends, number, url, keepalive, **ways))
            await self._world.sleep(apart)

    async def _live(
        self,
        ends: Ends,
        number: int,
        url: str,
        keepalive: Keepalive,
        ready: Ready,
        *,
        pause: float = 0.0,
        is_sending: bool = False,
    ) -> None:
        """Hold a line until it ends, receive or send, and note its end as soon as we are told."""
        try:
            async with self._connect(url, keepalive) as line:
                ready()
                try:
                    while True:
                        await (line.send() if is_sending else line.receive())
                        if pause:
                            await self._world.sleep(pause)
                except Exception as error:
                    ends.note(number, error)
                    raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the line has ended
            ends.note(number, error)
