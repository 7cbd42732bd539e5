"""heartbeat_trio: batches, over one connection or over a session that survives it; and its frames alone."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from statistics import quantiles
from typing import Any

import trio

from heartbeat_trio import open_connection, open_session
from heartbeat_trio.config import HeartbeatPolicy, RestartPolicy
from heartbeat_trio.connection import Connection
from heartbeat_trio.events import Event, PongReceived, Quote
from heartbeat_trio.orders import Order, OrderQuery
from heartbeat_trio.protocol.frames import TextReceived, TextsReceived, WebSocketProtocol
from heartbeat_trio.protocol.ops import encode_text

from ..child import serving
from ..scenarios import Line, Scenarios
from ..settings import WARM, Clock, Keepalive
from ..worlds import TRIO

READ = 262144
QUESTION = OrderQuery(
    "q" * 64, Order("q" * 64, "BTCUSD-" + "P" * 57, "sell", 1.2512345678901, 712.1251234567891), 0.12345678901
)
"""What became of an order: 256 bytes on the wire."""


def question_size() -> int:
    """Bytes of its JSON."""
    return len(encode_text(QUESTION))


def ingest(*, count: int, typed: bool) -> dict[str, float]:
    """Microseconds per quote received, over a connection; not typed: by its frames alone, up to the decoder."""
    clock, first = Clock(), count // 10

    async def main(url: str) -> dict[str, float]:
        number, started_at = 0, None
        async with open_connection(url) as line:
            while number < count:
                batch = await line.receive_batch()
                if started_at is None and number >= first:
                    started_at = number
                    clock.start()
                for quote in batch:
                    assert isinstance(quote, Quote)
                    _ = quote.seq
                number += len(batch)
            return clock.stop(number - (started_at or 0))

    with serving() as server:
        path = f"/flood?count={count}"
        return trio.run(main, server.url(path)) if typed else trio.run(_take_frames, server.port, path, count)


async def _take_frames(port: int, path: str, count: int) -> dict[str, float]:
    clock, first = Clock(), count // 10
    number, started_at = 0, None
    protocol = WebSocketProtocol("client", host=f"127.0.0.1:{port}", path=path)
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(protocol.connect())
        while number < count:
            events = protocol.receive_runs(await stream.receive_some(READ))
            if started_at is None and number >= first:
                started_at = number
                clock.start()
            for event in events:
                if isinstance(event, TextsReceived):
                    number += len(event.payloads)
                elif isinstance(event, TextReceived):
                    number += 1
        return clock.stop(number - (started_at or 0))


def ingest_session(*, count: int, typed: bool) -> dict[str, float]:
    """The same over a session: each quote once and in order, and every gap told."""
    assert typed
    clock, first = Clock(), count // 10

    async def main(url: str) -> dict[str, float]:
        number, started_at = 0, None
        async with open_session(url, subscribe=["BTCUSD"]) as session:
            while number < count:
                batch = await session.receive_batch()
                if started_at is None and number >= first:
                    started_at = number
                    clock.start()
                for quote in batch:
                    _ = quote.seq
                number += len(batch)
            return clock.stop(number - (started_at or 0))

    with serving() as server:
        return trio.run(main, server.url(f"/flood?count={count}"))


def round_trip(*, count: int, in_flight: int) -> dict[str, float]:
    """Microseconds per answer: what became of an order?"""
    clock = Clock()

    async def main(url: str) -> dict[str, float]:
        async with open_connection(url) as line:
            for _ in range(in_flight):
                await line.send(QUESTION)
            number, started_at = -WARM, None
            while number < count:
                if started_at is None and number >= 0:
                    started_at = number
                    clock.start()
                answers = await line.receive_batch()
                for _ in answers:
                    await line.send(QUESTION)
                number += len(answers)
            return clock.stop(number - (started_at or 0))

    with serving() as server:
        return trio.run(main, server.url("/answer"))


def rtt_under_load(*, seconds: float, rate: float) -> dict[str, float]:
    """Milliseconds that our pings took, and quotes a second that were taken meanwhile; rate -1: as fast as they come."""
    pongs: list[float] = []
    began = time.monotonic()

    def note(event: Event) -> None:
        if isinstance(event, PongReceived) and event.rtt is not None and time.monotonic() > began + seconds / 10:
            pongs.append(1e3 * event.rtt)

    async def main(url: str) -> float:
        count = 0
        heartbeat = HeartbeatPolicy(ping_interval=0.01, pong_timeout=0.6)
        async with open_connection(url, heartbeat=heartbeat, on_event=note) as line:
            with trio.move_on_after(seconds):
                while True:
                    batch = await line.receive_batch()
                    for quote in batch:
                        assert isinstance(quote, Quote)
                    count += len(batch)
        return count / (time.monotonic() - began)

    path = "/quiet" if rate == 0 else f"/flood?rate={max(rate, 0)}&count=5000&again=1&buffer=16384"
    with serving() as server:
        quotes = trio.run(main, server.url(path))
    cuts = quantiles(pongs, n=100)
    return {"p50": cuts[49], "p99": cuts[98], "pongs": len(pongs), "quotes": quotes}


class _Line:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def receive(self) -> object:
        return await self._connection.receive_batch()

    async def send(self) -> None:
        await self._connection.send(QUESTION)


@asynccontextmanager
async def connect(url: str, keepalive: Keepalive) -> AsyncIterator[Line]:
    """A line whose first miss ends it, as the others' does."""
    heartbeat = HeartbeatPolicy(ping_interval=keepalive.interval, pong_timeout=keepalive.timeout, max_missed_pongs=1)
    async with open_connection(url, heartbeat=heartbeat, restart=RestartPolicy(close_timeout=keepalive.close)) as line:
        yield _Line(line)


@asynccontextmanager
async def connect_adaptive(url: str, keepalive: Keepalive) -> AsyncIterator[Line]:
    """The same with the detector that probes."""
    heartbeat = HeartbeatPolicy(
        ping_interval=keepalive.interval, pong_timeout=keepalive.timeout, max_missed_pongs=1, adaptive=True
    )
    async with open_connection(url, heartbeat=heartbeat, restart=RestartPolicy(close_timeout=keepalive.close)) as line:
        yield _Line(line)


async def follow(url: str, keepalive: Keepalive, tell: Callable[[], None]) -> None:
    """Every quote, for ever."""
    heartbeat = HeartbeatPolicy(ping_interval=keepalive.interval, pong_timeout=keepalive.timeout, max_missed_pongs=1)
    async with open_session(url, subscribe=["BTCUSD"], heartbeat=heartbeat) as session:
        while True:
            for _ in await session.receive_batch():
                tell()


def scenario(what: str, **arguments: Any) -> Any:
    """See `Scenarios`."""
    return Scenarios(TRIO, connect, follow).run(what, **arguments)


def scenario_adaptive(what: str, **arguments: Any) -> Any:
    """The same with `HeartbeatPolicy.adaptive`."""
    return Scenarios(TRIO, connect_adaptive, follow).run(what, **arguments)
