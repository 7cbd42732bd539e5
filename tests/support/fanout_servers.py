"""Servers that send the same quotes to many WebSocket clients: ours, and its peers as their documentation recommends.

Usage: fanout_servers.py PEER CLIENTS SYMBOLS TICKS INTERVAL [watch]. Prints the port; begins at the first line of its input,
ends at the second, and then prints one JSON object: the CPU seconds of it all but the first ticks. With `watch`, ours also
tells the longest time (of CPU, in seconds) that one task kept the loop, and gives each client little room in the kernel.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from string import ascii_uppercase
from typing import Any, NamedTuple

import msgspec
import trio

from heartbeat_trio.config import ServerPolicy
from heartbeat_trio.events import Quote
from heartbeat_trio.server import serve_quotes
from heartbeat_trio.transports.evidence import SocketListener

SIZE = 85
"""Bytes of one quote's JSON."""
STREAM = "s"
FIRST, SPAN = 100_000, 900_000
SEND_BUFFER = 32 * 1024
"""Bytes that the kernel keeps for one client with `watch`: one that stalls is full soon."""
WARM_UP = 3
"""Ticks before the measured ones: what is done once for each client is not what is measured."""


Told = dict[str, float]


class Job(NamedTuple):
    """What is to be sent."""

    clients: int
    symbols: int
    ticks: int
    interval: float


class PeerQuote(msgspec.Struct, tag="quote", tag_field="type"):
    """The same quote for those who know nothing of ours; it is written to the same bytes."""

    symbol: str
    bid: float
    ask: float
    seq: int
    stream: str
    ts: int


def names(count: int) -> list[str]:
    """The symbols, of one letter each."""
    return list(ascii_uppercase[:count])


def fields(symbol: str, seq: int) -> tuple[str, float, float, int, str, int]:
    """A quote of always the same size, up to 9999."""
    return symbol, 1.5, 10.0 ** (4 - len(str(seq))), seq, STREAM, clock()


def clock() -> int:
    """The time in microseconds, of which six digits are enough."""
    return FIRST + time.monotonic_ns() // 1000 % SPAN


def payloads(job: Job, seq: int) -> list[bytes]:
    """One tick for a peer: written once for all clients."""
    return [msgspec.json.encode(PeerQuote(*fields(symbol, seq))) for symbol in names(job.symbols)]


def say(what: object) -> None:
    """One line to whoever started us."""
    print(what, flush=True)


def tell(told: Told) -> None:
    """What was measured, as JSON."""
    say(json.dumps(told))


class Steps(trio.abc.Instrument):
    """The longest time that a task kept the loop, in CPU seconds: that others want this core is not our doing."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._began = 0.0

    def begin(self) -> None:
        """Measure from here on."""
        self._began = time.thread_time()
        trio.lowlevel.add_instrument(self)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Trio calls it."""
        self._began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Trio calls it."""
        self.longest = max(self.longest, time.thread_time() - self._began)


# -- on Trio ------------------------------------------------------------------------------------------------------------


async def measure(job: Job, tick: Callable[[int], Awaitable[None]], *, watch: bool = False) -> Told:
    """Wait for the begin, tick on schedule, wait for the end; what it cost."""
    await trio.to_thread.run_sync(sys.stdin.readline)
    began, start, steps = 0.0, trio.current_time(), Steps()
    for number in range(WARM_UP + job.ticks):
        await trio.sleep_until(start + number * job.interval)
        if number == WARM_UP:
            began = time.process_time()
            if watch:
                steps.begin()
        await tick(number + 1)
    await trio.to_thread.run_sync(sys.stdin.readline)
    return {"cpu": time.process_time() - began, "longest": steps.longest}


class TickSource:
    """Publishes the ticks when it is told to begin."""

    stream = STREAM

    def __init__(self, job: Job, *, watch: bool) -> None:
        self.symbols = names(job.symbols)
        self._job = job
        self._watch = watch
        self.has_ended = trio.Event()
        self.told: Told = {}

    async def prepare(self) -> None:
        """Nothing to do."""
        await trio.lowlevel.checkpoint()

    async def run(self, publish: Callable[[list[Quote]], None]) -> None:
        """Publish it all."""

        async def tick(seq: int) -> None:
            publish([Quote(*fields(symbol, seq)) for symbol in self.symbols])

        self.told = await measure(self._job, tick, watch=self._watch)
        self.has_ended.set()


async def serve_ours(job: Job, *, watch: bool) -> None:
    """heartbeat_trio."""
    [below] = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=2048)
    if watch:
        below.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listener: Any = SocketListener(below)
    source = TickSource(job, watch=watch)
    policy = ServerPolicy(max_clients=job.clients + 1, idle_timeout=600)
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_quotes, source, ws=listener, policy=policy))
        say(listener.port)
        await source.has_ended.wait()
        tell(source.told | {"delivered": server.statistics().delivered})
        nursery.cancel_scope.cancel()


async def serve_bare(job: Job) -> None:
    """The least that can be done: one `send` for each socket and quote, and nothing else at all."""
    from heartbeat_trio.protocol.frames import WebSocketProtocol

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=2048)
    say(listener.socket.getsockname()[1])
    streams = []
    for _ in range(job.clients):
        stream = await listener.accept()
        protocol = WebSocketProtocol("server")
        protocol.receive_data(bytes(await stream.receive_some(65536)))
        await stream.send_all(protocol.accept())
        streams.append(stream)
    sockets = [socket.socket(fileno=stream.socket.detach()) for stream in streams]
    for each in sockets:
        each.setblocking(False)

    async def tick(seq: int) -> None:
        frame = b"".join(protocol.encode_text(payload) for payload in payloads(job, seq))
        for each in sockets:
            each.send(frame)

    tell(await measure(job, tick))


async def serve_trio_websocket(job: Job, *, in_turn: bool = False) -> None:
    """trio-websocket: it has no broadcast, so a task each, or one after the other, where one that stalls stops them all."""
    import trio_websocket

    clients: list[trio_websocket.WebSocketConnection] = []

    async def handle(request: trio_websocket.WebSocketRequest) -> None:
        clients.append(await request.accept())
        await trio.sleep_forever()

    async def tick(seq: int) -> None:
        for payload in payloads(job, seq):
            text = payload.decode()
            if in_turn:
                for client in clients:
                    await client.send_message(text)
                continue
            async with trio.open_nursery() as sending:
                for client in clients:
                    sending.start_soon(client.send_message, text)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(trio_websocket.serve_websocket, handle, "127.0.0.1", 0, None))
        say(server.port)
        tell(await measure(job, tick))
        nursery.cancel_scope.cancel()


async def serve_websockets_trio(job: Job) -> None:
    """The websockets library on Trio: its `broadcast`."""
    from websockets.trio.server import broadcast, serve

    clients: set[Any] = set()

    async def handle(client: Any) -> None:
        clients.add(client)
        await trio.sleep_forever()

    async def tick(seq: int) -> None:
        for payload in payloads(job, seq):
            await broadcast(clients, payload, text=True)

    async with trio.open_nursery() as nursery:
        options: dict[str, Any] = {"host": "127.0.0.1", "ping_interval": None, "compression": None}
        server = await nursery.start(partial(serve, handle, 0, **options))
        say(server.listeners[0].socket.getsockname()[1])
        tell(await measure(job, tick))
        nursery.cancel_scope.cancel()


# -- on asyncio ---------------------------------------------------------------------------------------------------------


async def measure_asyncio(job: Job, tick: Callable[[int], Awaitable[None]]) -> Told:
    """The same as `measure`."""
    await asyncio.to_thread(sys.stdin.readline)
    began, start = 0.0, time.monotonic()
    for number in range(WARM_UP + job.ticks):
        await asyncio.sleep(max(0, start + number * job.interval - time.monotonic()))
        if number == WARM_UP:
            began = time.process_time()
        await tick(number + 1)
    await asyncio.to_thread(sys.stdin.readline)
    return {"cpu": time.process_time() - began}


async def serve_picows(job: Job) -> None:
    """picows: `send` on each transport."""
    import picows

    transports: list[Any] = []

    class Listener(picows.WSListener):  # type: ignore[misc]  # nothing is known of the peers
        def on_ws_connected(self, transport: Any) -> None:
            transports.append(transport)

    async def tick(seq: int) -> None:
        for payload in payloads(job, seq):
            for transport in transports:
                transport.send(picows.WSMsgType.TEXT, payload)

    server = await picows.ws_create_server(lambda _request: Listener(), "127.0.0.1", 0, backlog=2048)
    say(server.sockets[0].getsockname()[1])
    tell(await measure_asyncio(job, tick))


async def serve_websockets_asyncio(job: Job) -> None:
    """The websockets library on asyncio: its `broadcast`."""
    from websockets.asyncio.server import broadcast, serve

    clients: set[Any] = set()

    async def handle(client: Any) -> None:
        clients.add(client)
        await client.wait_closed()

    async def tick(seq: int) -> None:
        for payload in payloads(job, seq):
            broadcast(clients, payload, text=True)

    options: dict[str, Any] = {"ping_interval": None, "compression": None, "backlog": 2048}
    server = await serve(handle, "127.0.0.1", 0, **options)
    say(next(iter(server.sockets)).getsockname()[1])
    tell(await measure_asyncio(job, tick))


async def serve_aiohttp(job: Job) -> None:
    """aiohttp: `send_str` to each response, one after the other."""
    from aiohttp import WSMsgType, web

    clients: list[Any] = []

    async def handle(request: Any) -> Any:
        client = web.WebSocketResponse()
        await client.prepare(request)
        clients.append(client)
        async for message in client:
            assert message.type == WSMsgType.TEXT
        return client

    async def tick(seq: int) -> None:
        for payload in payloads(job, seq):
            text = payload.decode()
            for client in clients:
                await client.send_str(text)

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
    await site.start()
    say(runner.addresses[0][1])
    tell(await measure_asyncio(job, tick))


TRIO: dict[str, Callable[[Job], Awaitable[None]]] = {
    "bare send": serve_bare,
    "trio-websocket": serve_trio_websocket,
    "trio-websocket, in turn": partial(serve_trio_websocket, in_turn=True),
    "websockets.trio": serve_websockets_trio,
}
ASYNCIO: dict[str, Callable[[Job], Any]] = {
    "picows": serve_picows,
    "websockets.asyncio": serve_websockets_asyncio,
    "aiohttp": serve_aiohttp,
}


def main() -> None:
    """See the module."""
    peer, clients, symbols, ticks, interval, *watch = sys.argv[1:]
    job = Job(int(clients), int(symbols), int(ticks), float(interval))
    try:
        if peer == "ours":
            trio.run(partial(serve_ours, job, watch=bool(watch)))
        elif peer in TRIO:
            trio.run(TRIO[peer], job)
        else:
            asyncio.run(ASYNCIO[peer](job))
    except ModuleNotFoundError as error:
        say(f"{error.name} is not installed")
    sys.stdout.flush()
    os._exit(0)  # closing a thousand connections in good order is not what is measured


if __name__ == "__main__":
    main()
