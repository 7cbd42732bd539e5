"""A fleet over a virtual network with random faults for hours: every quote accounted for, no venue's limit exceeded.

Each venue freezes, falls into a black hole, resets its connections, restarts with a new numbering, or refuses connections,
every few minutes. Every quote must be given once and in order, or be covered by a gap; connects and messages must stay
within 80 % of the venue's limits in any window; and the same seed must give the same trace.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, NamedTuple

import trio

from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.events import Connecting, Event, Gap, Lost, Quote, SourceEvent, Throttled
from heartbeat_trio.fleet import Fleet, open_fleet
from heartbeat_trio.policies import VenueLimits
from heartbeat_trio.server import SyntheticSource, serve_quotes
from heartbeat_trio.testing import TraceEntry, VirtualNetwork, run_deterministic

HEARTBEAT = HeartbeatPolicy(ping_interval=15, pong_timeout=10, max_missed_pongs=2)
LIMITS = VenueLimits(connects=15, connect_period=300.0, messages=10, message_period=1.0)
CONNECTS, MESSAGES = 12, 8
"""What 80 % of them allow."""
SETTLE = 600.0
"""Seconds without faults at the end, after which every session must be where its venue is."""


class Result(NamedTuple):
    """What became of one run."""

    seed: int
    sessions: int
    hours: float
    quotes: int
    gaps: int
    lost: int
    connects: int
    throttled: int
    most_connects: int
    most_messages: int
    trace: str
    took: float


class Window:
    """The most events in any window of a length, counted as they come."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._times: deque[float] = deque()
        self.most = 0

    def add(self, now: float) -> None:
        times = self._times
        times.append(now)
        while now - times[0] >= self._period:
            times.popleft()
        self.most = max(self.most, len(times))


class Tracing(list[TraceEntry]):
    """A network's trace that keeps only its hash, and counts the messages that clients send to each host."""

    def __init__(self) -> None:
        super().__init__()
        self._hash = hashlib.sha256()
        self.messages: dict[str, Window] = {}

    def append(self, entry: TraceEntry) -> None:
        self._hash.update(f"{entry.time!r} {entry.what} {entry.where} {entry.size}\n".encode())
        if entry.what == "send" and entry.where.startswith("client:"):
            host = entry.where.partition(">")[2].partition(":")[0]
            self.messages.setdefault(host, Window(LIMITS.message_period)).add(entry.time)

    def digest(self) -> str:
        return self._hash.hexdigest()


class Ledger:
    """Follows every session's numbers: each once, in order, or in a gap."""

    def __init__(self) -> None:
        self.places: dict[str, tuple[str, int] | None] = {}
        self._gaps: dict[str, list[Gap]] = {}
        self.quotes = self.gaps = self.lost = self.connects = self.throttled = 0
        self.windows: dict[str, Window] = {}

    def note(self, event: Event) -> None:
        if not isinstance(event, SourceEvent):
            return
        match event.event:
            case Gap() as gap:
                self._gaps.setdefault(event.source, []).append(gap)
            case Connecting():
                venue = event.source.partition("/")[0]
                self.windows.setdefault(venue, Window(LIMITS.connect_period)).add(event.at)
                self.connects += 1
            case Lost():
                self.lost += 1
            case Throttled():
                self.throttled += 1
            case _:
                pass

    def give(self, source: str, quote: Quote) -> None:
        waiting = self._gaps.get(source, [])
        while waiting and (waiting[0].stream != quote.stream or waiting[0].first < quote.seq):
            self._follow_gap(source, waiting.pop(0))
        place = self.places.get(source)
        expected = quote.seq if source not in self.places else 1 if place is None else place[1] + 1
        stream = quote.stream if place is None else place[0]
        assert (stream, expected) == (quote.stream, quote.seq), f"{source}: {quote} after {place}"
        self.places[source] = (quote.stream, quote.seq)
        self.quotes += 1

    def _follow_gap(self, source: str, gap: Gap) -> None:
        place = self.places[source]
        begins = (gap.stream, 1) if place is None else (place[0], place[1] + 1)
        assert begins == (gap.stream, gap.first), f"{source}: {gap} after {place}"
        self.places[source] = None if gap.last is None else (gap.stream, gap.last)
        self.gaps += 1


class Exchange:
    """One venue, its server, and what goes wrong with it."""

    def __init__(self, net: VirtualNetwork, name: str, rng: Random, rate: float) -> None:
        self.name = name
        self.source = SyntheticSource(["A"], rate=rate, seed=1, stream=f"{name}-0")
        self._net = net
        self._rng = rng
        self._rate = rate
        self._lives = 0
        self._life = trio.CancelScope()
        self._down_for = 0.0

    async def serve(self) -> None:
        """Server after server."""
        while True:
            with trio.CancelScope() as self._life:
                await serve_quotes(self.source, tcp=self._net.listen(self.name, 1))
            self._lives += 1
            await trio.sleep(self._down_for)
            self.source = SyntheticSource(["A"], rate=self._rate, seed=1, stream=f"{self.name}-{self._lives}")

    async def suffer(self, until: float) -> None:
        """A fault every few minutes."""
        host, rng = self._net.host(self.name), self._rng
        while True:
            await trio.sleep(rng.uniform(120, 1200))
            if trio.current_time() > until:
                return
            fault = rng.choice(["freeze", "blackhole", "reset", "restart", "refuse"])
            length = rng.uniform(1, 60)
            if fault == "restart":
                self._down_for = length / 3
                self._life.cancel()
                continue
            if fault in ("reset", "refuse"):
                host.reset_all()
            switches: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
                "freeze": (host.freeze, host.thaw),
                "blackhole": (host.blackhole, host.heal),
                "refuse": (host.refuse, partial(host.refuse, False)),
            }
            if fault in switches:
                begin, end = switches[fault]
                begin()
                await trio.sleep(length)
                end()


async def live(sessions: int, hours: float, seed: int, rate: float) -> Result:
    """One fleet's life: five sessions to each venue."""
    began = time.perf_counter()
    net = VirtualNetwork(seed, latency=0.02, jitter=0.01)
    net._fabric.trace = tracing = Tracing()
    rng = Random(seed)
    exchanges = [Exchange(net, f"venue{number}", rng, rate) for number in range(max(1, sessions // 5))]
    limits = {exchange.name: LIMITS for exchange in exchanges}
    ledger = Ledger()
    until = hours * 3600

    async def drain(fleet: Fleet, events: Any) -> None:
        while True:
            batch = await fleet.receive_batch()
            for event in events.take_nowait():
                ledger.note(event)
            for source, quote in batch:
                ledger.give(source, quote)

    async def take_events(events: Any) -> None:
        while True:  # also while no quotes come, so that none is dropped
            await trio.sleep(5)
            for event in events.take_nowait():
                ledger.note(event)

    async with trio.open_nursery() as nursery:
        for exchange in exchanges:
            nursery.start_soon(exchange.serve)
        await trio.sleep(1)
        for exchange in exchanges:
            nursery.start_soon(exchange.suffer, until)
        async with (
            open_fleet(connector=net.connect, limits=limits, heartbeat=HEARTBEAT, rng=rng) as fleet,
            fleet.events() as events,
            trio.open_nursery() as followers,
        ):
            followers.start_soon(drain, fleet, events)
            followers.start_soon(take_events, events)
            for number in range(sessions):
                venue = exchanges[number % len(exchanges)].name
                fleet.add(f"{venue}/{number}", f"tcp://{venue}:1", subscribe=["A"])
            await trio.sleep_until(until + SETTLE)
            check_settled(fleet, ledger, exchanges)
            followers.cancel_scope.cancel()
        nursery.cancel_scope.cancel()
    return Result(
        seed,
        sessions,
        hours,
        ledger.quotes,
        ledger.gaps,
        ledger.lost,
        ledger.connects,
        ledger.throttled,
        max(window.most for window in ledger.windows.values()),
        max(window.most for window in tracing.messages.values()),
        tracing.digest(),
        time.perf_counter() - began,
    )


def check_settled(fleet: Fleet, ledger: Ledger, exchanges: list[Exchange]) -> None:
    """Nothing was lost at the end either: every session is where its venue is, or one quote behind."""
    sources = {exchange.name: exchange.source for exchange in exchanges}
    for session in fleet.snapshot().sessions:
        source, place = sources[session.venue], ledger.places[session.name]
        assert session.cause is None
        assert place is not None, session
        assert place[0] == source.stream, session
        assert source._seq - 1 <= place[1] <= source._seq, session


def simulate(sessions: int, hours: float, seed: int, *, rate: float = 0.05) -> Result:
    """The same seed, the same life."""
    return run_deterministic(partial(live, sessions, hours, seed, rate), seed=seed)


def check(result: Result) -> None:
    """No venue's limit was exceeded in any window."""
    assert result.most_connects <= CONNECTS, result
    assert result.most_messages <= MESSAGES, result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    results = []
    text = options.output == "text"
    if text:
        print(f"{options.sessions} sessions, {options.hours:g} virtual hours; at most {CONNECTS} connects in 300 s and")
        print(f"{MESSAGES} messages a second and venue, pings included")
        print("| seed | quotes | gaps | losses | connects | waits | most connects | most messages | trace | took |")
        print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |")
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        each = simulate(options.sessions, options.hours, seed)
        check(each)
        results.append(each)
        if text:
            counts = f"{each.quotes} | {each.gaps} | {each.lost} | {each.connects} | {each.throttled}"
            most = f"{each.most_connects} | {each.most_messages}"
            print(f"| {seed} | {counts} | {most} | {each.trace[:8]} | {each.took:.0f} s |", flush=True)
    if not text:
        print(json.dumps([each._asdict() for each in results]))


if __name__ == "__main__":
    main()
