"""One made-up session: connection after connection, calm hours at one go, trouble moment by moment."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from ..config import BackoffPolicy, RestartPolicy
from ..events import (
    Closed,
    Connected,
    Connecting,
    Event,
    Gap,
    Lost,
    RetryScheduled,
    Stalled,
    Subscribed,
)
from ..journal.records import ping_line
from ..observe import jsonlines
from ..sansio.cause import explain
from ..sansio.restart import Restarts, Retry
from ._made_up_calm import CalmPings, Figures, Piece
from ._made_up_life import Circumstances, Life
from ._made_up_truth import TrueKill, TrueLoss
from .made_up import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from ..events import Evidence
    from ._made_up_world import LineWorld, Outage

CALM = 3
"""Pings before the next trouble at which the moment-by-moment simulation begins."""
RING = 60.0
"""Seconds of quotes that the server keeps for those who come back."""
NOTICED = 0.0004
"""Seconds after a stall of our own at which it is told."""
REFUSED, RESET = "[Errno 111] Connection refused", "[Errno 104] Connection reset by peer"


class Ending(NamedTuple):
    """Why a connection ended."""

    at: float
    broke: float
    cause: str
    detail: str
    blame: Any
    evidence: Evidence | None
    why: Any
    is_mass_loss: bool = False


class MadeUpSession:
    """One session of one run of the client.

    Args:
        line: Its world.
        name: The session's.
        begin: When the client started, in seconds since the journal's start.
        end: When it was stopped.
        shift: What the client's monotonic clock was ahead of that.
    """

    def __init__(self, line: LineWorld, name: str, *, begin: float, end: float, shift: float) -> None:
        self._line = line
        self._recipe = line.recipe
        self._policy = line.recipe.heartbeat
        self.name = name
        self._begin, self._end, self._shift = begin, end, shift
        self._restart_policy = RestartPolicy()
        self._restarts = Restarts(self._restart_policy, BackoffPolicy())
        self.connections = 0
        self._times: list[float] = []
        self._lines: list[str] = []
        self._broke: float | None = None
        self._seq = 1
        self.pings = 0
        self.figures = Figures()
        self.losses: list[TrueLoss] = []
        self.kills: list[TrueKill] = []
        self.survived = 0.0

    # -- the session ---------------------------------------------------------------------------------------------------

    def pieces(self) -> Iterator[Piece]:
        """All that it writes but its statistics, in the order of time."""
        stalls = [stall for stall in self._line.stalls if self._begin <= stall[0] < self._end]
        for piece in self._connect_again_and_again():
            while stalls and stalls[0][1] < piece.begin:
                begin, end = stalls.pop(0)
                self._put(Stalled(at=end + NOTICED, seconds=end - begin), end + NOTICED)
            noticed = self._piece(piece.begin)
            yield Piece(piece.begin, np.append(piece.times, noticed.times), piece.lines + noticed.lines)

    def _connect_again_and_again(self) -> Iterator[Piece]:
        now = self._begin + 0.001
        while now < self._end:
            connected = self._attempt(now)
            if isinstance(connected, Ending):
                ending: Ending | None = connected
            elif connected >= self._end:
                break
            else:
                ending = yield from self._live(connected)
            if ending is None or ending.at >= self._end:
                break
            now = self._lose(ending)
            yield self._piece(min(now, self._end))
        self._put(Closed(at=self._end), self._end)
        yield self._piece(self._end)

    def _attempt(self, now: float) -> float | Ending:
        """Try to connect: when the connection stands, or why it does not."""
        number = self._restarts.attempt_started(now)
        self._put(Connecting(at=now, attempt=number), now)
        timeout, rtt = self._restart_policy.connect_timeout, self._line.round_trip(now)
        outage = self._line.outage_in(now, now + 2 * rtt)
        if outage is None:
            return now + 2 * rtt
        if not outage.is_silent:
            return self._failed(now + rtt, "connect_refused", f"failed: {REFUSED}")
        # The kernel asks again after 1 s and 3 s; a frozen program's kernel answers, and the program once it runs again.
        asked = next((now + wait for wait in (1.0, 3.0) if now + wait >= outage.end), inf)
        stands = (asked if outage.trouble == "path_dead" else max(now, outage.end)) + 2 * rtt
        if stands < now + timeout:
            return stands
        return self._failed(now + timeout, "connect_timeout", f"took longer than {timeout:g} s")

    def _failed(self, at: float, cause: str, detail: str) -> Ending:
        return Ending(at, at, cause, f"connecting to {self._line.name} {detail}", None, None, None)

    def _lose(self, ending: Ending) -> float:
        """Tell a loss, and when the next attempt begins."""
        at = ending.at
        lost = Lost(at=at, cause=ending.cause, detail=ending.detail, blame=ending.blame, evidence=ending.evidence)
        self._put(lost, at)
        if ending.why is not None:
            self._remember(ending)
        retry = self._restarts.ended(
            at, cause=ending.cause, detail=ending.detail, rng=self._line.rng, is_mass_loss=ending.is_mass_loss
        )
        assert isinstance(retry, Retry)  # noqa: S101 - the policy never gives up
        self._put(RetryScheduled(at=at, attempt=retry.attempt, delay=retry.delay), at)
        return at + retry.delay

    def _remember(self, ending: Ending) -> None:
        start = self._recipe.begun_at
        blame = None if ending.blame is None else ending.blame.value
        self._broke = ending.broke
        self.losses.append(
            TrueLoss(
                endpoint=self._line.name,
                at=start + ending.at,
                begun_at=start + ending.broke,
                cause=ending.cause,
                blame=blame,
                why=ending.why,
            )
        )

    # -- one connection ------------------------------------------------------------------------------------------------

    def _live(self, now: float) -> Generator[Piece, None, Ending | None]:
        """A connection from its first moment to its end, which is returned; None: the client ended it."""
        line = self._line
        self.connections += 1
        self._restarts.connected(now)
        self.figures.connected.append(now)
        self._put(Connected(at=now), now)
        self._subscribe(now)
        closes, outage = line.closes(now)
        until = min(closes, self._end)
        life, stop = self._life(now, 1, lambda _number, at: line.round_trip(at), is_new=True), until
        while True:
            if line.is_rare:  # all of it moment by moment, told once a day
                stop = min(until, DAY * (now // DAY + 1))
            if life.run(stop, lambda _number, tick: self._may_rest(tick, until)):
                yield self._flush(life, life.next_tick)
                life = yield from self._rest(life.next_tick, life.number, until)
            elif life.heartbeat.is_over:
                return self._die(life)
            elif stop < until:
                now = stop
                yield self._flush(life, now)
            else:
                return self._cut(life, until, None if until < closes else outage)

    def _life(self, now: float, number: int, answer: Callable[[int, float], float | None], *, is_new: bool = False) -> Life:
        line = self._line
        near = inf if line.is_rare else now + DAY
        blocked = [each.blocked for each in line.outages if each.is_silent and each.end > now and each.begin < near]
        stalls = [each for each in line.stalls if each[1] > now and each[0] < near]
        meets = Circumstances(answer, line.next_quote, blocked, stalls, line.forgets)
        seed = line.rng.getrandbits(32)
        return Life(self._policy, now=now, number=number, is_new=is_new, seed=seed, meets=meets)

    def _may_rest(self, tick: float, until: float) -> bool:
        """Whether what comes can be told at one go: nothing but chance happens for a while."""
        near = tick + (2 * CALM + 1) * self._policy.ping_interval
        return not self._line.is_rare and near < until and not self._line.is_troubled(tick, near)

    def _rest(self, tick: float, number: int, until: float) -> Generator[Piece, None, Life]:
        """Calm hours, but for single pings; returns the life that goes on where there is trouble."""
        line, interval = self._line, self._policy.ping_interval
        while True:
            horizon = min(until, line.next_trouble(tick))
            count = min(int((horizon - tick) / interval) - CALM, int((DAY * (tick // DAY + 1) - tick) / interval) + 1)
            if count < CALM:
                return self._life(tick, number, lambda _number, at: line.round_trip(at))
            calm = CalmPings(line, tick, number, count)
            end = self._watch_odd(calm, horizon)
            yield self._tell_calm(calm, calm.ticks[-1])
            if isinstance(end, Life):
                return end
            tick, number = tick + interval * (end - number), end

    def _watch_odd(self, calm: CalmPings, horizon: float) -> Life | int:
        """Live through what is odd; the number of the next ping, or the life that did not become calm again."""
        after = calm.first
        for odd in calm.odd_numbers():
            if odd <= after:
                continue
            life = self._life(calm.tick(odd - 1), odd - 1, calm.answer)
            is_calm = life.run(horizon, lambda number, _tick: not calm.is_odd(number))
            if not is_calm:
                calm.cut(odd - 1)
                return life
            after = life.number
            calm.leave_out(odd - 1, after)
            self._flush_lines(life)
        return max(after, calm.first + len(calm.ticks))

    def _tell_calm(self, calm: CalmPings, begin: float) -> Piece:
        self.figures.sent.append(calm.sent())
        self.figures.put(*calm.decisions())
        self.pings += len(calm.sent())
        self._restarts.alive(float(calm.ticks[-1]) + self._line.law.rtt)
        times, lines = calm.lines(self.name, self.connections, self._shift)
        mine = self._piece(begin)
        return Piece(begin, np.append(times, mine.times), lines + mine.lines)

    def _flush(self, life: Life, begin: float) -> Piece:
        self._flush_lines(life)
        return self._piece(begin)

    def _flush_lines(self, life: Life) -> None:
        """Write down what a life has said since the last time."""
        for at, event in life.events:
            self._put(event, at)
        for at, record in life.records:
            moved = msgspec.structs.replace(record, at=record.at + self._shift)
            self._times.append(at)
            self._lines.append(msgspec.json.encode(ping_line(self.name, self.connections, moved)).decode())
        self.figures.add(life.pings, life.decisions)
        self.pings += len(life.pings)
        self.survived = max(self.survived, life.survived)
        for alive in (life.first_pong, life.last_pong):
            if alive is not None:
                self._restarts.alive(alive)
        for told in (life.events, life.records, life.pings, life.decisions):
            told.clear()

    # -- its end -------------------------------------------------------------------------------------------------------

    def _die(self, life: Life) -> Ending:
        """The heartbeat has called the peer dead."""
        heartbeat, line = life.heartbeat, self._line
        at = max([at for at, _ in life.events], default=self._end)
        silent_for, killed = heartbeat.silent_for(at), life.killed_at
        life.end(at)
        self._flush_lines(life)
        why = "" if heartbeat.blame is None else f": {explain(heartbeat.blame, heartbeat.evidence)}"
        detail = f"no pong from {line.name}, {heartbeat.missed_pongs} missed; last sign of life {silent_for:.1f} s ago{why}"
        heard_at = at - silent_for
        silent = [each for each in line.outages if each.is_silent and each.begin < at and each.end > heard_at]
        outage = silent[-1] if silent else None
        broke, reason = heard_at, "misses"
        if killed is not None:
            broke, reason = killed, "idle_kill"
            start = self._recipe.begun_at
            self.kills.append(TrueKill(line.name, start + life.idle_since, start + killed))
        elif outage is not None:
            broke, reason = outage.begin, "outage"
            outage.lost_at = at
        return Ending(at, broke, "pong_timeout", detail, heartbeat.blame, heartbeat.evidence, reason)

    def _cut(self, life: Life, at: float, outage: Outage | None) -> Ending | None:
        """The connection is closed: by the client, which is no loss, by the server, or by whatever resets it."""
        evidence = life.evidence(at)
        life.end(at)
        self._flush_lines(life)
        if at >= self._end:
            return None
        where = self._line.endpoint.authority
        if outage is None:
            detail = f"{where} closed the connection with code 1000"
            return Ending(at, at, "closed_by_peer", detail, None, evidence, "rotation")
        outage.lost_at = at
        if outage.trouble == "reset":
            detail = f"the connection to {where} broke: {RESET}"
            return Ending(at, at, "reset", detail, None, evidence, "outage")
        detail = f"{where} closed the connection with code 1001"
        return Ending(at, at, "closed_by_peer", detail, None, evidence, "outage", is_mass_loss=True)

    # -- writing -------------------------------------------------------------------------------------------------------

    def _subscribe(self, connected: float) -> None:
        """The server acknowledges each symbol, and tells what it no longer has."""
        at = connected + self._line.round_trip(connected)
        away = 0.0 if self._broke is None else connected - self._broke
        missing = int(max(0.0, away - RING) * self._line.law.quotes)
        for symbol in self._recipe.subscribe:
            self._put(Subscribed(at=at, symbol=symbol), at)
            if missing:
                first, last = self._seq, self._seq + missing - 1
                self._put(Gap(at=at, symbol=symbol, stream="s1", first=first, last=last, reason="expired"), at)
        self._seq += missing
        self._broke = None

    def _put(self, event: Event, at: float) -> None:
        described = jsonlines.describe(event)
        if described is not None:
            fields = {"connection": self.connections} | described[1]
            self._times.append(at)
            self._lines.append(jsonlines.to_line(self.head(described[0], at) | fields))

    def head(self, event: str, at: float) -> dict[str, Any]:
        """What each record of the session begins with."""
        return {
            "event": event,
            "at": jsonlines.timestamp(self._recipe.begun_at + at),
            "t": round(at + self._shift, 6),
            "session": self.name,
            "endpoint": self._line.name,
        }

    def _piece(self, begin: float) -> Piece:
        piece = Piece(begin, np.array(self._times, dtype=np.float64), self._lines)
        self._times, self._lines = [], []
        return piece
