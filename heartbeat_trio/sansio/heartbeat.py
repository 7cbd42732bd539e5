"""One connection's heartbeat: when to ping, what the missing pongs mean, and the connection's state.

Rules of this file. It knows neither clock nor transport: the shell calls `handle_timer` when `next_deadline` has come,
`receive_data` and `receive_pong` when bytes came, `ping_sent` when a ping's bytes were handed to the kernel, and performs
what it is told. Early or repeated calls change nothing. What a ping can become is the business of `pings`.

A missed pong is a local observation. Before the shell calls `handle_timer` for a verdict (`accused`), it makes sure that
nothing lies unread, and gathers evidence; a pong that it finds then is older than our delay, so its ping is voided: neither
a miss nor a measurement. So is, once between two pongs, a ping during whose time our own loop hardly ran.

With `HeartbeatPolicy.adaptive` a detector (`detector`) stands on top: it sends probes, which are pings like any other
except that their misses do not count towards the end, and may call the peer dead sooner.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..events import (
    Cause,
    ConnectionState,
    Event,
    Evidence,
    PongLate,
    PongMissed,
    PongReceived,
    PongVoided,
    StateChanged,
    Suspected,
)
from .cause import STALL, classify, classify_peer, is_path_dead
from .detector import AdaptiveDetector, Level
from .limits import RollingLimit
from .pings import REMEMBERED, Accused, Fate, Happening, PingLedger, SendPing, SentPing, always
from .schedule import PingSchedule

if TYPE_CHECKING:
    from random import Random

    from ..config import HeartbeatPolicy
    from ..events import Receipt
    from .pings import TryProbe

NOTICEABLE = 0.05
"""Seconds from the kernel's receipt of a pong to ours from which on the delay is blamed on our own loop."""

PROBE_PERIOD = 60.0
"""Seconds in which `HeartbeatPolicy.max_probes` may be sent."""


class Heartbeat:
    """Decides when to ping, what became of each ping, and when the peer is dead.

    When pings are due is the business of `schedule`. A tick missed asleep is skipped; a long sleep moves the rest.

    A miss counts towards the end only if its ping was due after the last sign of life, so that a silent peer is called
    dead between ``(max_missed_pongs - 1) * ping_interval + pong_timeout`` and `HeartbeatPolicy.bound` seconds after the
    last byte that counted. A stall of our own may make it `SPREAD` seconds sooner; the ping it excuses, one timeout later.

    Args:
        policy: Intervals, limits, and what counts as life.
        now: Trio time; the connection's birth counts as a sign of life.
        rng: Source of the phase and of the nonces.
        remembered: Unanswered pings to remember. A dialect whose pongs carry no nonce sets it to `max_missed_pongs`:
            an unanswered ping older than that would take every later pong for its own.
        try_probe: Whether a probe may be sent now; if so, it is counted by this call. Called with the time.
        schedule: When pings are due, such as when they were in a recording; by default as the policy says.
    """

    def __init__(
        self,
        policy: HeartbeatPolicy,
        *,
        now: float,
        rng: Random,
        remembered: int = REMEMBERED,
        try_probe: TryProbe = always,
        schedule: PingSchedule | None = None,
    ) -> None:
        self._policy = policy
        self._rng = rng
        self._pings = PingLedger(remembered)
        self._schedule = PingSchedule(policy, now=now, rng=rng) if schedule is None else schedule
        self._probe_at = inf
        self._try_probe = try_probe
        self._probes: RollingLimit | None = None
        self._detector = AdaptiveDetector(policy) if policy.adaptive else None
        self._misses_since_life = 0
        self._last_life = self._last_pong = now
        self._last_inbound = self._last_sent = now
        self._has_excused = False
        self.unknown_pongs = 0
        """Pongs that matched no unanswered ping: duplicates, strangers, and those too old to be remembered."""
        self.missed_pongs = 0
        """Misses since the last pong."""
        self.state = ConnectionState.CONNECTED
        self.blame: Cause | None = None
        """Whose fault the last miss or suspicion was."""
        self.evidence: Evidence | None = None
        """What that rests on."""

    def __repr__(self) -> str:
        return f"<Heartbeat {self.state.value} sent={self.sent} in_flight={self.in_flight} missed_pongs={self.missed_pongs}>"

    @property
    def sent(self) -> int:
        """Pings that were due, handed over or not."""
        return self._pings.sent

    @property
    def in_flight(self) -> int:
        """Pings whose fate is open."""
        return self._pings.count(Fate.IN_FLIGHT)

    def count(self, fate: Fate) -> int:
        """How many pings have this fate now."""
        return self._pings.count(fate)

    @property
    def is_over(self) -> bool:
        """Whether the peer was called dead, or the connection was closed."""
        return self.state is ConnectionState.DISCONNECTED

    @property
    def is_suspect(self) -> bool:
        """Whether the adaptive detector trusts the peer less than fully."""
        return self._detector is not None and self._detector.level is not Level.TRUSTED

    def silent_for(self, now: float) -> float:
        """Seconds since the last byte that counted as life."""
        return now - self._last_life

    def quiet_for(self, now: float) -> float:
        """Seconds since any byte came that was no unmatched pong."""
        return now - self._last_inbound

    def next_deadline(self) -> float:
        """When `handle_timer` is due: the next tick, probe or check, or the earliest deadline; `inf` once it is over.

        It may change after every call of any method.
        """
        if self.state is ConnectionState.DISCONNECTED:
            return inf
        doubt = inf if self._detector is None else self._detector.next_deadline()
        return min(self._schedule.next_tick, self._probe_at, self._pings.earliest_deadline(), doubt)

    def accused(self, now: float) -> Accused | None:
        """What `handle_timer` would judge now: first make sure that nothing lies unread, and gather evidence about this.

        None if there is no verdict to be found.
        """
        has_expired = self._pings.earliest_deadline() <= now
        return self.suspected(now) if has_expired or self._has_doubt(now) else None

    def suspected(self, now: float) -> Accused:
        """What a verdict would be about if there had to be one: the oldest ping in flight, or what was sent last."""
        ping = self._pings.oldest_in_flight()
        if ping is None:
            return Accused(self._last_sent, now - self._last_sent, was_sent=True)
        return Accused(ping.tick, ping.deadline - ping.tick, ping.sent_at is not None)

    def handle_timer(self, now: float, evidence: Evidence | None = None) -> list[Event | SendPing]:
        """Judge expired pings, and send the ping that is due. Early calls do nothing.

        The last event is a `StateChanged` to DISCONNECTED when the peer is dead.
        """
        if self.is_over:
            return []
        done = self._judge(now, evidence) + self._doubt(now, evidence)
        if not self.is_over:
            done += self._ping(now)
        return done

    def request_probe(self, now: float) -> None:
        """Somebody has a doubt: let a ping be sent now, within `HeartbeatPolicy.max_probes` and what the venue allows."""
        if self._probe_at <= now or not self._policy.max_probes:
            return
        probes = self._probes = self._probes or RollingLimit(self._policy.max_probes, PROBE_PERIOD)
        if probes.next_allowed(now) <= now and self._try_probe(now):
            probes.record(now)
            self._probe_at = now

    def bytes_sent(self, now: float) -> None:
        """Bytes that are no ping left us: the adaptive detector watches for their acknowledgement."""
        self._last_sent = now
        self._schedule.send(now)
        if self._detector is not None:
            self._detector.sent(now)

    def negotiate(self, interval: float, now: float) -> None:
        """The server named the interval (in seconds) that it wants; it counts where the schedule is `negotiated`."""
        self._schedule.negotiate(interval, now)

    def ping_sent(self, nonce: bytes, now: float) -> None:
        """A ping's bytes were handed to the kernel: its round trip begins here (its deadline began at its tick)."""
        ping = self._pings.get(nonce)
        if ping is None or ping.sent_at is not None:
            return
        ping.sent_at = self._last_sent = now
        self._schedule.send(now)
        if self._detector is not None:
            self._detector.ping_sent(now)

    def receive_data(self, now: float) -> list[Event]:
        """Bytes came that belong to no pong. They are a sign of life unless `liveness` is `pong_only`."""
        self._last_inbound = now
        self._schedule.receive(now)
        return self._live(now) if self._policy.liveness == "any_inbound" else []

    def receive_pong(
        self,
        nonce: bytes,
        now: float,
        *,
        receipt: Receipt | None = None,
        network: float | None = None,
        evidence: Evidence | None = None,
    ) -> list[Event]:
        """A pong came; b"" is one without a nonce, which answers the oldest unanswered ping (TCP keeps order).

        It acknowledges every older ping as well (RFC 6455 §5.5.3), those without a measurement. Returns [] for a pong
        that matches nothing: it is counted, and changes nothing else.

        Args:
            nonce: Whose it is.
            now: When our program saw it.
            receipt: When our kernel had it, where known.
            network: The kernels' own round-trip time in seconds, where known.
            evidence: What is known, should the pong have come after its ping's deadline.
        """
        nonce = nonce or self._pings.oldest_sent()
        matched = self._pings.get(nonce)
        if matched is None or matched.sent_at is None or self.is_over:
            self.unknown_pongs += 1
            return []
        *older, ping = self._pings.take_until(nonce)
        events = [self._acknowledge(each, now, evidence) for each in older]
        events.append(self._answer(ping, matched.sent_at, now, receipt, network, evidence))
        self._last_inbound = self._last_pong = now
        self._has_excused = False  # data alone does not earn another excuse: a peer that answers nothing must be missed
        self._schedule.receive(now)
        self.missed_pongs = 0
        return [*events, *self._live(now), *self._change_state(ConnectionState.CONNECTED, now)]

    def close(self, now: float) -> list[Event]:
        """The connection ended: what is in flight is cancelled."""
        self._pings.cancel()
        return self._change_state(ConnectionState.DISCONNECTED, now)

    # -- pinging -------------------------------------------------------------------------------------------------------

    def _ping(self, now: float) -> list[Event | SendPing]:
        """The ping that is due: that of the tick, which makes a probe superfluous, or a probe."""
        if min(self._schedule.next_tick, self._probe_at) > now:
            return []
        is_probe, self._probe_at = self._schedule.next_tick > now, inf
        tick = now if is_probe else self._schedule.take(now)
        key = self._rng.getrandbits(16)
        return [SendPing(*self._pings.add(key, tick, tick + self._policy.pong_timeout, is_probe=is_probe), is_probe)]

    # -- judging -------------------------------------------------------------------------------------------------------

    def _judge(self, now: float, evidence: Evidence | None) -> list[Event | SendPing]:
        """Decide the pings whose deadline has passed: the fault is ours, once in a row, or they are missed."""
        is_ours = evidence is not None and classify(evidence) is Cause.LOCAL_STALL and not self._has_excused
        done: list[Event | SendPing] = []
        for nonce, ping in self._pings.expired(now):
            if ping.sent_at is not None and ping.sent_at > ping.deadline:
                # It left only while we were catching up: a stall of ours came between the tick and the hand-over.
                ping.deadline = ping.sent_at + self._policy.pong_timeout
            elif is_ours:
                done.append(self._excuse(nonce, ping, now, evidence))
            else:
                done += self._miss(ping, now, evidence)
        return done

    def _excuse(self, nonce: bytes, ping: SentPing, now: float, evidence: Evidence | None) -> Event:
        self._pings.move(ping, Happening.STALL)
        self._pings.forget(nonce)
        self._has_excused = True  # a stall must not excuse a dead peer again and again
        self._schedule.hurry(now)  # the next ping takes its place
        return PongVoided(at=now, ping=ping.number, evidence=evidence)

    def _miss(self, ping: SentPing, now: float, evidence: Evidence | None) -> list[Event]:
        self._pings.move(ping, Happening.DEADLINE)
        self.missed_pongs += 1
        if ping.tick >= self._last_life and not ping.is_probe:
            self._misses_since_life += 1
        self._blame(evidence)
        if self._is_pongless(now):
            self.blame = Cause.PEER_SLOW  # its program says something all the time
        ping.blame, ping.evidence = self.blame, evidence
        state = ConnectionState.DISCONNECTED if self._is_dead(now) else ConnectionState.DEGRADED
        missed = PongMissed(at=now, ping=ping.number, missed=self.missed_pongs, blame=self.blame, evidence=evidence)
        return [missed, *self._change_state(state, now)]

    def _blame(self, evidence: Evidence | None) -> None:
        self.blame = None if evidence is None else classify_peer(evidence)
        self.evidence = evidence

    def _is_dead(self, now: float) -> bool:
        return self._is_pongless(now) or self._misses_since_life >= self._policy.max_missed_pongs

    def _is_pongless(self, now: float) -> bool:
        """Whether data alone has kept the connection for too long. An idle schedule has no pongs while data comes."""
        policy, is_steady = self._policy, self._schedule.is_steady
        may_be = policy.liveness == "any_inbound" and is_steady and self._misses_since_life < policy.max_missed_pongs
        return may_be and now - self._last_pong >= policy.pongless_bound

    def _has_doubt(self, now: float) -> bool:
        detector = self._detector
        return detector is not None and (detector.has_expired(now) or detector.must_check_path(now))

    def _doubt(self, now: float, evidence: Evidence | None) -> list[Event | SendPing]:
        """Let the adaptive detector think again, and do what that calls for."""
        detector = self._detector
        if detector is None or self.is_over:
            return []
        has_moved = False
        if detector.must_check_path(now):
            age = now - detector.watched_since
            has_moved = detector.check_path(now, is_dead=evidence is not None and is_path_dead(evidence, age=age))
        if not has_moved and detector.has_expired(now):
            if evidence is not None and (evidence.loop_lag or 0.0) >= STALL and not self._has_excused:
                self._has_excused = True
                detector.excuse(now)
            else:
                has_moved = detector.expire(now)
        return self._act_on(detector.level, now, evidence) if has_moved else []

    def _act_on(self, level: Level, now: float, evidence: Evidence | None) -> list[Event | SendPing]:
        self._blame(evidence)
        if level is Level.DEAD:
            return [*self._change_state(ConnectionState.DISCONNECTED, now)]
        self.request_probe(now)
        if level is Level.SUSPECT:
            return [Suspected(at=now, is_suspect=True, blame=self.blame, evidence=evidence)]
        return [*self._change_state(ConnectionState.DEGRADED, now)]

    # -- answers -------------------------------------------------------------------------------------------------------

    def _answer(
        self,
        ping: SentPing,
        sent_at: float,
        now: float,
        receipt: Receipt | None,
        network: float | None,
        evidence: Evidence | None,
    ) -> Event:
        """The pong of this very ping came."""
        rtt = max(0.0, (now if receipt is None else receipt.at) - sent_at)
        local = None if receipt is None else max(0.0, now - receipt.at)
        is_exact = None if receipt is None else receipt.is_exact
        is_ours = local is not None and local > NOTICEABLE
        fate = self._settle(ping, now)
        if self._detector is not None:
            self._detector.answered(rtt, is_ours=is_ours or fate is Fate.VOIDED)
        if fate is Fate.LATE:
            return PongLate(at=now, ping=ping.number, rtt=rtt, is_exact=is_exact, blame=ping.blame, evidence=ping.evidence)
        if fate is Fate.VOIDED:
            return PongVoided(at=now, ping=ping.number, evidence=evidence, is_answered=True, local=local)
        network = None if network is None else min(network, rtt)
        peer = None if network is None else rtt - network
        blame = Cause.LOCAL_STALL if is_ours else None
        return PongReceived(
            at=now, ping=ping.number, rtt=rtt, is_exact=is_exact, network=network, peer=peer, local=local, blame=blame
        )

    def _acknowledge(self, ping: SentPing, now: float, evidence: Evidence | None) -> Event:
        """A later pong acknowledged this ping as well."""
        fate = self._settle(ping, now)
        if fate is Fate.LATE:
            return PongLate(at=now, ping=ping.number, rtt=None, blame=ping.blame, evidence=ping.evidence)
        if fate is Fate.VOIDED:
            return PongVoided(at=now, ping=ping.number, evidence=evidence, is_answered=True)
        return PongReceived(at=now, ping=ping.number, rtt=None)

    def _settle(self, ping: SentPing, now: float) -> Fate:
        # At the very instant of the deadline, what was called missed already stays so.
        in_time = ping.fate is Fate.IN_FLIGHT and now <= ping.deadline
        return self._pings.move(ping, Happening.PONG_IN_TIME if in_time else Happening.PONG_AFTER_DEADLINE)

    def _live(self, now: float) -> list[Event]:
        self._last_life = now
        self._misses_since_life = 0
        if self._detector is None or not self._detector.live(now, is_waiting=self.in_flight > 0):
            return []
        ended: list[Event] = [Suspected(at=now, is_suspect=False)]
        if self.missed_pongs or self.is_over:  # only a pong ends the misses
            return ended
        return ended + self._change_state(ConnectionState.CONNECTED, now)

    def _change_state(self, new: ConnectionState, now: float) -> list[Event]:
        old, self.state = self.state, new
        if new is old and new is not ConnectionState.DEGRADED:
            return []
        return [StateChanged(at=now, old=old, new=new, missed_pongs=self.missed_pongs)]
