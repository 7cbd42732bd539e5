"""Thousands of quiet WebSocket connections in one process, kept alive with pings: ours, the cheapest on Trio, and peers.

Usage: idle_clients.py KIND PORT CONNECTIONS INTERVAL WINDOWS SECONDS. Prints one JSON object: bytes of resident memory per
connection, and for each window the processor time per ping that the server answered in it, in seconds.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import secrets
import socket
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from heartbeat_trio import HeartbeatPolicy, open_connection, open_session
from tests.support.speed.settings import resident

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    TrioHold = Callable[["Meter", Callable[[], None]], Awaitable[None]]
    Holder = Any
    AsyncioOpen = Callable[["Meter"], Awaitable[Holder]]

MISSES = 3
AT_ONCE = 64
"""Connections that are being opened at the same time: handshakes must not be what memory is measured by."""


def read_count(port: int) -> int:
    """Pings that the server has answered so far."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /count HTTP/1.1\r\n\r\n")
        return int(sock.recv(64))


class Meter:
    """What is measured, and how long.

    Args:
        port: The server's.
        connections: How many there are to be.
        interval: Seconds from one ping of a connection to the next.
        windows: How often the processor time is taken ...
        seconds: ... and for how long each.
    """

    def __init__(self, port: int, connections: int, interval: float, windows: int, seconds: float) -> None:
        self.port = port
        self.url = f"ws://127.0.0.1:{port}/"
        self.connections = connections
        self.interval = interval
        self._windows = windows
        self._seconds = seconds
        self._before = 0
        self._costs: list[float] = []

    def begin(self) -> None:
        """One connection was opened and closed already: what is loaded once is loaded."""
        self._before = resident()

    async def measure(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """All connections stand: measure, print the report, and end the program."""
        gc.collect()
        await sleep(1.0)
        for _ in range(self._windows):
            count, spent, answered = read_count(self.port), time.process_time(), 0
            while answered < self.connections / 4:  # some ping on all connections at the same instant
                await sleep(self._seconds)
                answered = read_count(self.port) - count
            self._costs.append((time.process_time() - spent) / answered)
        memory = (resident() - self._before) / self.connections
        print(json.dumps({"memory": memory, "costs": self._costs}), flush=True)
        os._exit(0)  # thousands of goodbyes are nobody's business here


# -- on Trio -----------------------------------------------------------------------------------------------------------


async def hold_ours(meter: Meter, opened: Callable[[], None]) -> None:
    """A connection of ours."""
    async with open_connection(meter.url, heartbeat=policy(meter.interval)):
        opened()
        await trio.sleep_forever()


async def hold_session(meter: Meter, opened: Callable[[], None]) -> None:
    """A session of ours."""
    async with open_session(meter.url, heartbeat=policy(meter.interval)) as session:
        await session.wait_connected()
        opened()
        await trio.sleep_forever()


def policy(interval: float) -> HeartbeatPolicy:
    """One for a busy machine: what is measured is the work, not how punctual others let us be."""
    return HeartbeatPolicy(ping_interval=interval, pong_timeout=3 * interval, max_missed_pongs=MISSES)


async def hold_websockets_trio(meter: Meter, opened: Callable[[], None]) -> None:
    """Websockets' client on Trio, with its keepalive."""
    from websockets.trio.client import connect

    async with connect(meter.url, ping_interval=meter.interval, ping_timeout=3 * meter.interval):
        opened()
        await trio.sleep_forever()


class Bare:
    """The least that keeps a connection alive with a reader, a pinger and a monitor, on Trio's own sockets."""

    def __init__(self, sock: trio.socket.SocketType, interval: float) -> None:
        self._sock = sock
        self._interval = interval
        self._alarm = trio.CancelScope()
        self._sent_at = 0.0
        self._payload = b""
        self.rtt = 0.0

    async def run(self) -> None:
        """The three tasks; this one is the reader."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ping)
            nursery.start_soon(self._monitor)
            while data := await self._sock.recv(4096):
                if data[0] == 0x8A and data[2:] == self._payload:
                    now = trio.current_time()
                    self.rtt = now - self._sent_at
                    self._alarm.deadline = now + (MISSES + 3) * self._interval

    async def _ping(self) -> None:
        tick, number = trio.current_time(), 0
        while True:
            number += 1
            self._payload = b"%08x" % number
            self._sent_at = trio.current_time()
            await self._sock.send(masked_ping(self._payload))
            tick += self._interval
            await trio.sleep_until(tick)

    async def _monitor(self) -> None:
        with trio.CancelScope(deadline=trio.current_time() + (MISSES + 3) * self._interval) as self._alarm:
            await trio.sleep_forever()
        raise TimeoutError("no pong")


def masked_ping(payload: bytes) -> bytes:
    """A client's ping of 8 bytes."""
    mask = secrets.token_bytes(4)
    plain = int.from_bytes(payload, "big") ^ int.from_bytes(mask * 2, "big")
    return bytes((0x89, 0x80 | 8)) + mask + plain.to_bytes(8, "big")


async def hold_bare(meter: Meter, opened: Callable[[], None]) -> None:
    """Bare sockets."""
    with trio.socket.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await sock.connect(("127.0.0.1", meter.port))
        key = base64.b64encode(os.urandom(16))
        await sock.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: " + key + b"\r\n\r\n"
        )
        await sock.recv(4096)
        opened()
        await Bare(sock, meter.interval).run()


async def run_trio(hold: TrioHold, meter: Meter) -> None:
    """Open one for trial, then all, and measure."""
    for count in (1, meter.connections):
        places = trio.CapacityLimiter(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for number in range(count):
                await places.acquire_on_behalf_of(number)
                nursery.start_soon(hold, meter, partial(places.release_on_behalf_of, number))
            for place in range(AT_ONCE):
                await places.acquire_on_behalf_of(-1 - place)
            if count > 1:
                await meter.measure(trio.sleep)
            nursery.cancel_scope.cancel()
        meter.begin()


# -- on asyncio --------------------------------------------------------------------------------------------------------


async def open_websockets(meter: Meter) -> Holder:
    """Websockets' client on asyncio, with its keepalive."""
    from websockets.asyncio.client import connect

    return await connect(meter.url, ping_interval=meter.interval, ping_timeout=3 * meter.interval)


async def open_aiohttp(meter: Meter, client: Any) -> Holder:
    """Aiohttp's client with its heartbeat, which needs somebody who receives."""
    socket = await client.ws_connect(meter.url, heartbeat=meter.interval)
    return asyncio.create_task(socket.receive())


async def open_picows(meter: Meter) -> Holder:
    """Picows with its automatic pings."""
    from picows import WSAutoPingStrategy, WSListener, ws_connect

    return await ws_connect(
        WSListener,
        meter.url,
        enable_auto_ping=True,
        auto_ping_idle_timeout=meter.interval,
        auto_ping_reply_timeout=meter.interval,
        auto_ping_strategy=WSAutoPingStrategy.PING_PERIODICALLY,
    )


async def run_asyncio(open_one: AsyncioOpen, meter: Meter) -> None:
    """Open one for trial, then all, and measure."""
    held = [await open_one(meter)]
    meter.begin()
    places = asyncio.Semaphore(AT_ONCE)

    async def open_in_turn() -> Holder:
        async with places:
            return await open_one(meter)

    held += await asyncio.gather(*(open_in_turn() for _ in range(meter.connections)))
    await meter.measure(asyncio.sleep)
    assert held


async def run_aiohttp(meter: Meter) -> None:
    """All in one client session, as its documentation recommends."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        await run_asyncio(partial(open_aiohttp, client=client), meter)


KINDS: dict[str, Callable[[Meter], None]] = {
    "ours": lambda meter: trio.run(run_trio, hold_ours, meter),
    "session": lambda meter: trio.run(run_trio, hold_session, meter),
    "bare": lambda meter: trio.run(run_trio, hold_bare, meter),
    "websockets.trio": lambda meter: trio.run(run_trio, hold_websockets_trio, meter),
    "websockets.asyncio": lambda meter: asyncio.run(run_asyncio(open_websockets, meter)),
    "aiohttp": lambda meter: asyncio.run(run_aiohttp(meter)),
    "picows": lambda meter: asyncio.run(run_asyncio(open_picows, meter)),
}
"""What can be measured, and how it runs. trio-websocket is not here: it has no keepalive of its own."""


def main() -> None:
    """Measure one kind."""
    kind, port, connections, interval, windows, seconds = sys.argv[1:]
    meter = Meter(int(port), int(connections), float(interval), int(windows), float(seconds))
    KINDS[kind](meter)


if __name__ == "__main__":
    main()
