"""A stretch of one made-up connection's life, moment by moment: the real heartbeat and ping log on simulated traffic."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from math import floor, inf, log2
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..events import (
    ConnectionState,
    Event,
    Evidence,
    PongLate,
    PongMissed,
    PongReceived,
    PongVoided,
    Receipt,
)
from ..sansio.heartbeat import Heartbeat
from ..sansio.pinglog import PingLog
from ..sansio.pings import SendPing

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import HeartbeatPolicy
    from ..events import PingRecord

HANDED_OVER = 0.00002
"""Seconds from a ping's tick to its hand-over."""
RTO = 0.2
"""Seconds after which the kernel sends again what was not acknowledged, at first."""
FATES = {PongReceived: "answered", PongLate: "late", PongMissed: "missed", PongVoided: "voided"}


class Blocked(NamedTuple):
    """A time in which nothing came from the peer. What was under way then comes at ``healed``."""

    begin: float
    end: float
    healed: float
    is_path: bool


class Decision(NamedTuple):
    """What a ping became, when, and the round trip where that is a sample."""

    at: float
    fate: str
    sample: float | None


class _FromTheTick(Random):
    """Resumes a schedule: the interval after the first ping is a whole one."""

    has_begun = False

    def uniform(self, a: float, b: float) -> float:
        if self.has_begun:
            return super().uniform(a, b)
        self.has_begun = True
        return b


class Circumstances(NamedTuple):
    """What a connection meets. Times are seconds since the journal's start.

    Args:
        answer: Called with a ping's number and when it left: its round-trip time, None: it is never answered.
        next_quote: Called with a time: when the next quote comes after it.
        blocked: Times without anything from the peer, oldest first.
        stalls: Times in which our own program did not run, oldest first.
        forgets: A NAT's idle time, `inf` where there is none.
    """

    answer: Callable[[int, float], float | None]
    next_quote: Callable[[float], float]
    blocked: list[Blocked]
    stalls: list[tuple[float, float]]
    forgets: float = inf


class Life:
    """Runs a connection from a ping that is due now.

    Args:
        policy: The heartbeat's.
        now: The tick of its first ping.
        number: That ping's number.
        is_new: Whether the connection is new; else what was before is known to have been calm.
        seed: Of phase and nonces.
        meets: What happens to it.
    """

    def __init__(
        self, policy: HeartbeatPolicy, *, now: float, number: int, is_new: bool, seed: int, meets: Circumstances
    ) -> None:
        rng = Random(seed) if is_new else _FromTheTick(seed)
        self.heartbeat = Heartbeat(policy, now=now, rng=rng)
        self._log = PingLog()
        self._policy = policy
        self._before = number - 1
        self._meets = meets
        self._stalls, self._blocked = deque(meets.stalls), deque(meets.blocked)
        self._known_stalls = meets.stalls
        self._inbound: list[tuple[float, int, bytes]] = []
        self._order = 0
        self._last_arrival = now
        self._last_byte = now
        self._sent = 0
        self.next_tick = now
        self.killed_at: float | None = None
        """When a NAT forgot the connection."""
        self.survived = 0.0
        """The longest time without any byte that it survived."""
        self.last_pong: float | None = None
        self.first_pong: float | None = None
        self.events: list[tuple[float, Event]] = []
        self.records: list[tuple[float, PingRecord]] = []
        self.decisions: list[Decision] = []
        self.pings: list[float] = []
        """When pings were sent."""
        self._expect_quote(now)

    @property
    def number(self) -> int:
        """The number of the next ping."""
        return self._before + self._sent + 1

    def run(self, until: float, is_calm: Callable[[int, float], bool]) -> bool:
        """Go on until the peer is called dead, until a time, or to a ping before which all is calm.

        Args:
            until: When to stop at the latest.
            is_calm: Called with the next ping's number and tick, where nothing is open: whether to stop before it.

        Returns:
            Whether it is calm: then `number` and `next_tick` say where to go on, and all records are complete.
        """
        heartbeat = self.heartbeat
        while not heartbeat.is_over:
            timer = heartbeat.next_deadline()
            due = min(timer, self._inbound[0][0] if self._inbound else inf)
            if due >= until:
                return False
            if timer == due and self._sent and self._is_settled() and is_calm(self.number, timer):
                self.next_tick = timer
                self._log.ping(self._sent + 1, timer)
                self._take_records(timer)
                return True
            self._step(due)
        return False

    def end(self, now: float) -> None:
        """The connection is closed."""
        for _ in range(self.heartbeat.in_flight):
            self.decisions.append(Decision(now, "cancelled", None))
        self._tell(self.heartbeat.close(now), now)
        self._log.close()
        self._take_records(now)

    def evidence(self, now: float) -> Evidence:
        """What is known at the connection's end."""
        return self._gather(now, 0.0)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _is_settled(self) -> bool:
        heartbeat = self.heartbeat
        return heartbeat.state is ConnectionState.CONNECTED and not heartbeat.in_flight

    def _step(self, due: float) -> None:
        while self._stalls and self._stalls[0][1] <= due:
            self._stalls.popleft()
        while self._blocked and self._blocked[0].healed < due:
            self._blocked.popleft()
        now = self._stalls[0][1] if self._stalls and self._stalls[0][0] <= due else due
        if now > due:
            self._wake_up(now, lag=self._lag(now))
        elif self._inbound and self._inbound[0][0] <= due:
            self._receive([heappop(self._inbound)], now)
        else:
            self._handle_timer(now, lag=0.0)

    def _wake_up(self, now: float, lag: float) -> None:
        """After a stall: what lies unread comes first, then the timers."""
        batch = []
        while self._inbound and self._inbound[0][0] <= now:
            batch.append(heappop(self._inbound))
            if not batch[-1][2]:
                self._expect_quote(batch[-1][0])
        self._receive(batch, now, has_waited=True)
        if not self.heartbeat.is_over and self.heartbeat.next_deadline() <= now:
            self._handle_timer(now, lag)

    def _lag(self, now: float) -> float:
        accused = self.heartbeat.suspected(now)
        return sum(max(0.0, min(end, now) - max(begin, accused.due)) for begin, end in self._known_stalls)

    def _handle_timer(self, now: float, lag: float) -> None:
        accused = self.heartbeat.accused(now)
        evidence = None if accused is None else self._gather(now, lag)
        for decision in self.heartbeat.handle_timer(now, evidence):
            if isinstance(decision, SendPing):
                self._send(decision, now)
            else:
                self._tell([decision], now)

    def _send(self, ping: SendPing, now: float) -> None:
        self._sent = ping.number
        self.pings.append(now)
        self._log.ping(ping.number, now)
        self._take_records(now)
        sent_at = now + HANDED_OVER
        self.heartbeat.ping_sent(ping.nonce, sent_at)
        self._log.sent(ping.number, sent_at)
        self._pass_byte(sent_at)
        rtt = self._meets.answer(self._before + ping.number, sent_at)
        if rtt is not None and self.killed_at is None:
            self._arrive(self._delayed(sent_at, sent_at + rtt), ping.nonce)

    def _delayed(self, sent_at: float, at: float) -> float:
        """When what left at a time, and would come at another, comes."""
        for blocked in self._blocked:
            if sent_at < blocked.end and at >= blocked.begin:
                at = max(at, blocked.healed)
        return at

    def _arrive(self, at: float, what: bytes) -> None:
        at = self._last_arrival = max(at, self._last_arrival)  # TCP keeps the order
        self._order += 1
        heappush(self._inbound, (at, self._order, what))

    def _expect_quote(self, after: float) -> None:
        at = self._meets.next_quote(after)
        if at < inf:
            self._order += 1
            heappush(self._inbound, (self._delayed(at, at), self._order, b""))

    def _pass_byte(self, now: float) -> bool:
        """A byte goes either way; False: the connection is forgotten."""
        if self.killed_at is not None:
            return False
        idle = now - self._last_byte
        if idle > self._meets.forgets:
            self.killed_at = self._last_byte + self._meets.forgets
            return False
        self.survived = max(self.survived, idle)
        self._last_byte = now
        return True

    @property
    def idle_since(self) -> float:
        """When the last byte passed."""
        return self._last_byte

    def _receive(self, batch: list[tuple[float, int, bytes]], now: float, *, has_waited: bool = False) -> None:
        """One read: pongs first, then the data."""
        arrived = [each for each in batch if self._pass_byte(each[0])]
        for at, _, nonce in arrived:
            if nonce:
                last = arrived[-1][0]
                receipt = Receipt(last, is_exact=last == at) if has_waited else Receipt(now, is_exact=True)
                evidence = None if self.heartbeat.accused(now) is None else self._gather(now, self._lag(now))
                events = self.heartbeat.receive_pong(nonce, now, receipt=receipt, evidence=evidence)
                self.last_pong = now if events else self.last_pong
                self.first_pong = self.first_pong or self.last_pong
                self._tell(events, now)
        if any(not nonce for _, _, nonce in arrived):
            self._tell(self.heartbeat.receive_data(now), now)
        if arrived:
            self._log.receive(now)
        if not has_waited and batch and not batch[0][2] and self.killed_at is None:
            self._expect_quote(max(batch[0][0], now))

    def _gather(self, now: float, lag: float) -> Evidence:
        accused, quiet = self.heartbeat.suspected(now), self.heartbeat.quiet_for(now)
        age = now - accused.due
        blocked = next((each for each in self._blocked if each.begin <= now < each.healed), None)
        is_path = self.killed_at is not None or (blocked is not None and blocked.is_path)
        return Evidence(
            age=age,
            timeout=accused.timeout,
            silent_for=quiet,
            loop_lag=lag,
            unread=0,
            unsent=0,
            unacknowledged=1 if is_path else 0,
            backoff=min(10, max(0, floor(log2(age / RTO + 1)))) if is_path else 0,
            acknowledged_ago=quiet if is_path else min(quiet, max(0.0, age - 0.03)),
            received_ago=quiet,
            window=65535,
        )

    def _tell(self, events: list[Event], now: float) -> None:
        for event in events:
            fate = FATES.get(type(event))
            if fate is not None:
                self._decide(event, fate)
            if not isinstance(event, PongReceived):
                self.events.append((now, self._numbered(event)))
        self._take_records(now)

    def _decide(self, event: Event, fate: str) -> None:
        number: int = event.ping  # type: ignore[attr-defined]  # all of `FATES` have one
        rtt, is_exact = getattr(event, "rtt", None), getattr(event, "is_exact", None)
        self._log.decide(number, fate, rtt=rtt, is_exact=is_exact, blame=event.blame)  # type: ignore[attr-defined]
        sample = self._policy.pong_timeout if fate == "missed" else None if is_exact is False else rtt
        self.decisions.append(Decision(event.at, fate, sample))

    def _numbered(self, event: Event) -> Event:
        if self._before and isinstance(event, PongLate | PongMissed | PongVoided):
            return msgspec.structs.replace(event, ping=event.ping + self._before)
        return event

    def _take_records(self, now: float) -> None:
        for record in self._log.take():
            if self._before:
                record = msgspec.structs.replace(record, ping=record.ping + self._before)
            self.records.append((now, record))
