"""Made-up lines, each the same for the same seed, and our own heartbeat running over them without any clock.

A line is a TCP stream: pongs come in the order of their pings, a lost segment comes with its retransmission (after 0.2 s and
a round trip, doubling), and an outage ends for us with the first retransmission after it. A stall is our own loop's: nothing
happens until its end, and then what has arrived is read before anybody is judged, as the shell does it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.events import Event, Evidence, Receipt, Suspected
from heartbeat_trio.sansio.heartbeat import Heartbeat
from heartbeat_trio.sansio.pings import SendPing

DAY = 86_400.0
HOUR = 3600.0
RTO = 0.24
"""Seconds until the first retransmission: Linux's 0.2 s and a round trip."""

Spans = list[tuple[float, float]]


@dataclass(frozen=True)
class Trace:
    """One line's weather. Rates are per hour; durations in seconds."""

    name: str
    delay: Callable[[Random], float]
    loss: float = 0.0
    congestions: float = 0.0
    outages: float = 0.0
    stalls: float = 0.0


def lognormal(rng: Random) -> float:
    """Median 40 ms."""
    return 0.040 * math.exp(rng.gauss(0.0, 0.4))


def pareto(rng: Random) -> float:
    """At least 20 ms, with a heavy tail."""
    return 0.020 * rng.paretovariate(1.6)


CLEAN = Trace("clean", lognormal, loss=0.001)
PARETO = Trace("pareto", pareto, loss=0.01)
STALLS = Trace("stalls", lognormal, stalls=4)
HOSTILE = Trace("hostile", lognormal, loss=0.01, congestions=2, outages=2 / 24, stalls=4)
TRACES = (CLEAN, PARETO, STALLS, HOSTILE)


def spans(rng: Random, per_hour: float, length: Callable[[], float], days: float) -> Spans:
    """Begin and end of what happens so often, in order and apart from each other."""
    found: Spans = []
    at = 0.0
    while per_hour > 0:
        at += rng.expovariate(per_hour / HOUR)
        if at >= days * DAY:
            break
        found.append((at, at + length()))
        at = found[-1][1]
    return found


class Weather:
    """A trace of so many days, as it happened."""

    def __init__(self, trace: Trace, *, days: float, seed: int) -> None:
        rng = Random(seed)
        self.trace = trace
        self.rng = rng
        self.end = days * DAY
        self._congestions = _Spans(spans(rng, trace.congestions, lambda: 20.0, days))
        self.outages = _Spans(spans(rng, trace.outages, lambda: 2.0 * rng.paretovariate(1.5), days))
        self.stalls = _Spans(spans(rng, trace.stalls, lambda: min(30.0, 0.3 * rng.paretovariate(1.2)), days))

    def answer(self, sent_at: float) -> float:
        """When the pong of a ping reaches our kernel, were it alone."""
        rng, trace = self.rng, self.trace
        at, timeout = sent_at, RTO
        while self.outages.at(at) is not None or rng.random() < trace.loss:
            at += timeout
            timeout *= 2
        congestion = rng.expovariate(1 / 1.5) if self._congestions.at(at) is not None else 0.0
        return at + trace.delay(rng) + congestion


class _Spans:
    def __init__(self, found: Spans) -> None:
        self._begins = [begin for begin, _ in found]
        self._ends = [end for _, end in found]

    def at(self, when: float) -> tuple[float, float] | None:
        """The one that is under way."""
        index = bisect_right(self._begins, when) - 1
        if index < 0 or self._ends[index] <= when:
            return None
        return self._begins[index], self._ends[index]

    def overlap(self, since: float, until: float) -> float:
        """Seconds of them in a window that is short beside their distance."""
        index = bisect_right(self._begins, until) - 1
        total = 0.0
        while index >= 0 and self._ends[index] > since:
            total += min(self._ends[index], until) - max(self._begins[index], since)
            index -= 1
        return total


@dataclass
class Run:
    """What a detector did on a line."""

    mistakes: int = 0
    suspicions: int = 0
    pings: int = 0
    dead_at: float | None = None
    died: list[float] = field(default_factory=list)
    """When it called a living peer dead."""


def simulate(
    policy: HeartbeatPolicy, weather: Weather, *, seed: int, begin: float = 0.0, end: float, crash: float = math.inf
) -> Run:
    """Run our heartbeat over the line, from time to time, reconnecting after each mistake. Ends when a crash is found."""
    run, rng, now = Run(), Random(seed), begin
    while now < end:
        now = _connection(policy, weather, run, rng, now, end, crash)
        if now < crash and now < end:
            run.mistakes += 1
            run.died.append(now)
            outage = weather.outages.at(now)
            now = now if outage is None else outage[1]
        elif now < end or crash < end:
            run.dead_at = now
            return run
    return run


def _connection(
    policy: HeartbeatPolicy, weather: Weather, run: Run, rng: Random, now: float, end: float, crash: float
) -> float:
    """One connection; returns when it was called dead, or the end."""
    heartbeat = Heartbeat(policy, now=now, rng=rng)
    pongs: deque[tuple[float, bytes]] = deque()
    last = now
    while not heartbeat.is_over and now < end:
        timer = heartbeat.next_deadline()
        now = max(now, min(timer, pongs[0][0] if pongs else timer))
        stall = weather.stalls.at(now)
        now = now if stall is None else stall[1]
        events: list[Event | SendPing] = []
        while pongs and pongs[0][0] <= now:  # what lies in the kernel is read before anybody is judged
            at, nonce = pongs.popleft()
            events += heartbeat.receive_pong(nonce, now, receipt=Receipt(at, True))
        if heartbeat.next_deadline() <= now:
            events += heartbeat.handle_timer(now, _evidence(heartbeat, weather, now))
        for event in events:
            if isinstance(event, SendPing):
                run.pings += 1
                heartbeat.ping_sent(event.nonce, now)
                last = max(last, weather.answer(now))
                if last < crash:
                    pongs.append((last, event.nonce))
            elif isinstance(event, Suspected) and event.is_suspect:
                run.suspicions += 1
    return now


def _evidence(heartbeat: Heartbeat, weather: Weather, now: float) -> Evidence | None:
    accused = heartbeat.accused(now)
    if accused is None:
        return None
    return Evidence(
        age=now - accused.due,
        timeout=accused.timeout,
        was_sent=accused.was_sent,
        silent_for=heartbeat.quiet_for(now),
        loop_lag=weather.stalls.overlap(accused.due, now),
        unread=0,
    )


def detection_times(policy: HeartbeatPolicy, trace: Trace, *, crashes: int, seed: int) -> list[float]:
    """Seconds from a crash to its detection, sorted: each at a random moment, on weather of its own."""
    found: list[float] = []
    rng = Random(seed)
    for number in range(crashes):
        weather = Weather(trace, days=0.05, seed=rng.randrange(2**31))
        crash = rng.uniform(300, 1800)
        run = simulate(policy, weather, seed=number, begin=crash - rng.uniform(200, 300), end=crash + 300, crash=crash)
        assert run.dead_at is not None
        found.append(run.dead_at - crash)
    return sorted(found)
