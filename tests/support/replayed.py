"""Made-up lines on which every moment is known, our heartbeat live on them, and what a journal keeps of it.

All moments are multiples of 1/64 s, which floats and a journal's microseconds both hold exactly: so even what happens in the
very moment of a deadline has to come out the same.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from heapq import heappop, heappush
from math import inf
from random import Random

import numpy as np

from heartbeat_trio.analysis.tables import Cells, Happening, Journals, Line, Pings, SessionSpan, Sources
from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.events import Event, PingRecord, PongLate, PongMissed, PongReceived, PongVoided
from heartbeat_trio.journal.records import FATES, PingEntry, parse_line, ping_line
from heartbeat_trio.sansio.heartbeat import Heartbeat
from heartbeat_trio.sansio.pinglog import PingLog
from heartbeat_trio.sansio.pings import SendPing
from heartbeat_trio.sansio.schedule import RecordedSchedule

GRID = 64
INTERVAL = 5.0
KEPT = 2
"""Pings that are kept before and after one that was not quick."""


def on_grid(seconds: float) -> float:
    return round(seconds * GRID) / GRID


class GridRandom(Random):
    """Draws phases that are on the grid."""

    def uniform(self, a: float, b: float) -> float:
        return on_grid(super().uniform(a, b) * INTERVAL) / INTERVAL


@dataclass
class Span:
    """A stretch of weather: `dead` (nothing comes), `mute` (data, and no pongs), `slow` (late pongs), `calm`, `quiet`."""

    kind: str
    begin: float
    end: float


class Truth:
    """A line for so many seconds: what comes when, whoever listens."""

    def __init__(self, seed: int, length: float) -> None:
        self._seed = seed
        self.length = length
        rng = Random(seed)
        self.spans: list[Span] = []
        at = 0.0
        while at < length:
            kind = rng.choices(["calm", "quiet", "slow", "dead", "mute"], [4, 4, 4, 3, 1])[0]
            end = at + on_grid(rng.uniform(20, 90) if kind == "mute" else rng.uniform(3, 40))
            self.spans.append(Span(kind, at, end))
            at = end
        self.bursts = rng.random() < 0.5  # whether what was sent into a dead stretch is answered after it
        self.cuts = sorted(on_grid(rng.uniform(0, length)) for _ in range(rng.randrange(3)))
        self.data = sorted(moment for span in self.spans for moment in self._chatter(span, rng))

    def _chatter(self, span: Span, rng: Random) -> Iterable[float]:
        gap = {"calm": 1.0, "mute": 2.0, "slow": 6.0, "quiet": 15.0}.get(span.kind)
        if gap is None:
            return
        at = span.begin
        while (at := at + max(1 / GRID, on_grid(rng.expovariate(1 / gap)))) < span.end:
            yield at

    def answer(self, sent_at: float) -> float | None:
        """When the pong of a ping comes, if ever."""
        rng = Random(f"{self._seed} {sent_at}")
        span = next((span for span in self.spans if span.begin <= sent_at < span.end), self.spans[-1])
        delay = on_grid(0.04 * 2 ** rng.gauss(0, 1)) + 1 / GRID
        if span.kind == "mute":
            return None
        if span.kind == "dead":
            return span.end + delay if self.bursts else None
        if span.kind == "slow":
            return None if rng.random() < 0.2 else sent_at + on_grid(rng.expovariate(1 / 2.0)) + 1 / GRID
        return sent_at + min(delay, 0.25)


@dataclass
class Recorded:
    """One connection as it was journaled. Lists are by ping."""

    number: int
    birth: float
    ticks: list[float] = field(default_factory=list)
    records: list[PingRecord] = field(default_factory=list)
    bytes_at: list[float] = field(default_factory=list)
    end: float = 0.0
    cause: str = "closed"


def inputs_of(truth: Truth, begin: float, end: float) -> list[float]:
    return truth.data[bisect_right(truth.data, begin) : bisect_right(truth.data, end)]


def live(
    truth: Truth,
    heartbeat: Heartbeat,
    *,
    birth: float,
    until: float,
    on_ping: Callable[[int, float], None] = lambda _number, _now: None,
    on_input: Callable[[float], None] = lambda _now: None,
    on_event: Callable[[Event], None] = lambda _event: None,
    older: Iterable[float] = (),
) -> tuple[float | None, list[float]]:
    """Drive a heartbeat over the truth, as the shell does, until it is over or `until`: the verdict's time, and open pongs.

    Inputs of one instant come before its verdicts; so does the connection's end. `older` are pongs of other heartbeats.
    """
    heap: list[tuple[float, bytes]] = []
    for moment in [*inputs_of(truth, birth, until), *(each for each in older if each <= until)]:
        heappush(heap, (moment, b""))
    while True:
        now = heartbeat.next_deadline()
        if heap and heap[0][0] <= now:
            now, nonce = heappop(heap)
            if now > until:
                return None, []
            events = heartbeat.receive_pong(nonce, now) if nonce else heartbeat.receive_data(now)
            if events or not nonce:  # a pong that nobody waits for is no sign of life
                on_input(now)
            for event in events:
                on_event(event)
            continue
        if now >= until:
            return None, []
        for decision in heartbeat.handle_timer(now):
            if isinstance(decision, SendPing):
                on_ping(decision.number, now)
                heartbeat.ping_sent(decision.nonce, now)
                pong = truth.answer(now)
                if pong is not None:
                    heappush(heap, (pong, decision.nonce))
            else:
                on_event(decision)
        if heartbeat.is_over:
            return now, sorted(at for at, nonce in heap if nonce)


def record_live(truth: Truth, policy: HeartbeatPolicy, seed: int) -> list[Recorded]:
    """The client's life on the line: every connection until its end, with the records of its pings."""
    connections: list[Recorded] = []
    now = 0.0
    cuts = iter([*truth.cuts, truth.length])
    cut = next(cuts)
    while now < truth.length:
        while cut <= now:
            cut = next(cuts)
        connection = Recorded(len(connections) + 1, now)
        verdict = _record_one(truth, policy, connection, GridRandom(f"{seed} {connection.number}"), cut)
        connection.end = cut if verdict is None else verdict
        if verdict is not None:
            connection.cause = "pong_timeout"
        elif cut < truth.length:
            connection.cause = "reset"
        connections.append(connection)
        now = connection.end + 1.0
    return connections


def _record_one(truth: Truth, policy: HeartbeatPolicy, connection: Recorded, rng: Random, until: float) -> float | None:
    heartbeat = Heartbeat(policy, now=connection.birth, rng=rng)
    log = PingLog()

    def on_input(now: float) -> None:
        connection.bytes_at.append(now)
        log.receive(now)

    def on_ping(number: int, now: float) -> None:
        connection.ticks.append(now)
        log.ping(number, now)
        log.sent(number, now)

    def on_event(event: Event) -> None:
        match event:
            case PongReceived() | PongLate():
                log.decide(event.ping, "late" if isinstance(event, PongLate) else "answered", rtt=event.rtt)
            case PongMissed():
                log.decide(event.ping, "missed")
            case PongVoided():
                log.decide(event.ping, "voided")

    verdict, _ = live(
        truth,
        heartbeat,
        birth=connection.birth,
        until=until,
        on_ping=on_ping,
        on_input=on_input,
        on_event=on_event,
    )
    log.close()
    connection.records = log.take()
    return verdict


def to_journals(connections: list[Recorded], policy: HeartbeatPolicy, *, quick: float) -> Journals:
    """What `analysis.load` would make of them: only pings near one that was not answered within `quick`."""
    entries: dict[tuple[int, int], PingEntry] = {}
    for connection in connections:
        for record in connection.records:
            line = json.dumps(ping_line("s-1", connection.number, record)).encode()
            entry = parse_line(line)
            assert isinstance(entry, PingEntry)
            entries[entry.connection, entry.ping] = entry  # a late pong's record comes after that of the miss
    kept = _near_trouble(entries, quick)
    happenings = tuple(
        Happening(
            each.end,
            each.end,
            "closed" if each.cause == "closed" else "lost",
            "s-1",
            0,
            each.number,
            {} if each.cause == "closed" else {"cause": each.cause},
        )
        for each in connections
    )
    span = SessionSpan("s-1", 0, "w", 0.0, connections[-1].end, 0.0, connections[-1].end, {"heartbeat": asdict(policy)})
    return Journals(
        sources=Sources(folders=("made up",)),
        lines=(Line("made up", "ws://host/"),),
        sessions=(span,),
        cells=_cells(list(entries.values())),
        pings=_table(kept, quick),
        quick=(quick,),
        happenings=happenings,
    )


def _near_trouble(entries: dict[tuple[int, int], PingEntry], quick: float) -> list[PingEntry]:
    keys = sorted(entries)
    kept: set[tuple[int, int]] = set()
    for connection, ping in keys:
        if not _is_quick(entries[connection, ping], quick):
            kept |= {(connection, ping + step) for step in range(-KEPT, KEPT + 1)}
    return [entries[key] for key in keys if key in kept]


def _is_quick(entry: PingEntry, quick: float) -> bool:
    return entry.fate == "answered" and entry.rtt is not None and (entry.sent_after or 0.0) + entry.rtt <= quick


def _table(entries: list[PingEntry], quick: float) -> Pings:
    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        values = [getattr(each, name) for each in entries]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    return Pings(
        session=np.zeros(len(entries), dtype=np.int64),
        connection=column("connection").astype(np.int64),
        ping=column("ping").astype(np.int64),
        t=column("t"),
        at=column("t"),
        sent_after=column("sent_after"),
        fate=np.array([FATES[each.fate] for each in entries], dtype=np.str_),
        rtt=column("rtt"),
        is_exact=np.ones(len(entries), dtype=bool),
        first_in=column("first_in"),
        last_in=column("last_in"),
    )


def _cells(entries: list[PingEntry]) -> Cells:
    """One cell of everything, with an empty sketch."""
    counts = {letter: sum(FATES[each.fate] == letter for each in entries) for letter in "almvc"}
    one = {name: np.array([value], dtype=np.int64) for name, value in {"line": 0, "begin": 0, "ours": 0}.items()}
    named = {"answered": "a", "late": "l", "missed": "m", "voided": "v", "cancelled": "c"}
    fates = {name: np.array([counts[letter]], dtype=np.int64) for name, letter in named.items()}
    none = np.empty(0, dtype=np.int64)
    return Cells(
        **one, sent=np.array([len(entries)], dtype=np.int64), **fates, offset=np.array([0, 0]), bucket=none, count=none
    )


def judge_live(
    truth: Truth, connections: list[Recorded], policy: HeartbeatPolicy, *, every: int = 1, phase: int = 0
) -> tuple[int, int]:
    """Losses, and false ones, of another policy live on the same line, with the ticks of the recorded one (or some).

    After a verdict it begins anew with the next tick of the same connection; pongs of older pings are bytes to it, if
    anybody waited for them.
    """
    losses = false = 0
    for connection in connections:
        all_ticks = connection.ticks
        ticks = [tick for number, tick in enumerate(all_ticks, 1) if (number - phase) % every == 0]
        last_byte = max(connection.bytes_at, default=-inf)
        until = connection.end + (1 / GRID / 2 if connection.cause == "pong_timeout" else 0.0)
        at, older = 0, list[float]()
        while at < len(ticks):
            heartbeat = Heartbeat(policy, now=ticks[at], rng=Random(0), schedule=RecordedSchedule(ticks[at:]))
            verdict, open_pongs = live(truth, heartbeat, birth=ticks[at], until=until, older=older)
            if verdict is None:
                break
            losses += 1
            false += last_byte > verdict
            at = max(at + 1, bisect_left(ticks, verdict))
            older = sorted([*open_pongs, *(each for each in older if each > verdict)])
            older = [each for each in older if at < len(ticks) and each > ticks[at] and each in connection.bytes_at]
    return losses, false
