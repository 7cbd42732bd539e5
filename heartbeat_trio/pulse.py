"""The pinger's side of a connection: a pure timer over `sansio.heartbeat`, evidence for its verdicts, each ping's record.

It sleeps until `Heartbeat.next_deadline()`, which the reader moves; a blocked send does not extend it, because a ping is
only put into the output buffer.
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING

import trio

from ._alarm import Alarm
from .events import (
    ConnectionState,
    Event,
    PongLate,
    PongMissed,
    PongReceived,
    PongVoided,
    StateChanged,
    Suspected,
)
from .exceptions import PongTimeout
from .protocol.messages import Beat, Ping
from .sansio.cause import explain
from .sansio.heartbeat import Heartbeat
from .sansio.pinglog import PingLog
from .sansio.pings import SendPing, always
from .sansio.schedule import PUNCTUAL
from .sansio.server_beats import ServerBeats
from .transports.catch_up import catch_up, gather_evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from .config import BeatPolicy, HeartbeatPolicy
    from .events import Cause, Evidence, PingRecord
    from .protocol.messages import Pong
    from .sansio.pings import Accused
    from .sansio.quality import ConnectionQuality
    from .transports.abc import Transport
    from .venue import Venue


class Pulse:
    """One connection's heartbeat at work.

    Args:
        transport: Where pings go.
        policy: When to ping, and when to call the peer dead.
        quality: What happens is counted here.
        rng: Source of the phase and of the nonces.
        remembered: See `Heartbeat`.
        beats: When the server's own pings or beats are due, where they are.
        on_event: Called with each event.
        on_ping: Called with each ping's record.
        venue: Counts what is sent, and says whether a probe may be.
    """

    def __init__(
        self,
        transport: Transport,
        policy: HeartbeatPolicy,
        quality: ConnectionQuality,
        *,
        rng: Random,
        remembered: int,
        beats: BeatPolicy | None = None,
        on_event: Callable[[Event], None],
        on_ping: Callable[[PingRecord], None] | None,
        venue: Venue | None = None,
    ) -> None:
        now = trio.current_time()
        self._transport = transport
        self._quality = quality
        self._on_event = on_event
        self._on_ping = on_ping
        self._venue = venue
        self._log = None if on_ping is None else PingLog()
        self._beat_blame: Cause | None = None
        self._beat_evidence: Evidence | None = None
        self._alarm = Alarm()
        try_probe = always if venue is None else venue.try_probe
        self.heartbeat = Heartbeat(policy, now=now, rng=rng, remembered=remembered, try_probe=try_probe)
        self.beats = None if beats is None else ServerBeats(beats, now=now)
        self._control_counts = beats is not None and beats.control_counts
        self._pongs_count = beats is not None and beats.pongs_count
        self.rtt: float | None = None
        """The last round-trip time in seconds, None before the first."""
        quality.detector.connect(now)

    async def run(self) -> None:
        """The pinger task; it returns when the peer is dead."""
        heartbeat = self.heartbeat
        while True:
            await self._alarm.sleep_until(self._next_deadline())
            now, evidence = trio.current_time(), None
            if self._accused(now) is not None:
                evidence = await self._investigate(now)
                now = trio.current_time()
            self._perform(heartbeat.handle_timer(now, evidence), now)
            self._judge_beats(evidence)
            if heartbeat.is_over:
                return

    def receive(self, now: float) -> None:
        """Bytes came that belong to no pong."""
        if self._log is not None:
            self._log.receive(now)
        self._perform(self.heartbeat.receive_data(now), now)
        if self.beats is not None:
            self.beats.receive_data(now)

    def receive_beat(self, beat: Ping | Beat, now: float) -> bool:
        """The server pinged us, or beat. Whether that is what is expected of it."""
        if isinstance(beat, Ping):
            counts, counter = self._control_counts or not beat.is_control, None
        else:
            counts, counter = beat.is_scheduled, beat.counter
        if self.beats is None or not counts:
            return False
        self.beats.receive_beat(now, counter)
        return True

    def subscribed(self, now: float) -> None:
        """The server acknowledged a subscription."""
        if self.beats is not None:
            self.beats.subscribed(now)

    def negotiate(self, interval: float) -> None:
        """The server named the interval, in seconds, at which it wants to be pinged."""
        self.heartbeat.negotiate(interval, trio.current_time())
        self._move_timer()

    def receive_pong(self, pong: Pong, now: float) -> None:
        """A pong came."""
        below = self._transport.bytes_below()
        network = None if below is None else below.network_rtt()
        accused = self.heartbeat.accused(now)
        evidence = None if accused is None else self._gather(accused, now)
        events = self.heartbeat.receive_pong(pong.nonce, now, receipt=pong.receipt, network=network, evidence=evidence)
        if not events:
            self._quality.record_unknown_pong(now)
        else:
            if self._log is not None:
                self._log.receive(now)
            if self.beats is not None and self._pongs_count:
                self.beats.receive_data(now)
        self._perform(events, now)

    def note_batch(self) -> None:
        """A read was handled: the timer follows."""
        self._move_timer()

    def note_sent(self) -> None:
        """A message that is no ping was sent."""
        self._count(is_ping=False)
        self.heartbeat.bytes_sent(trio.current_time())
        self._move_timer()

    def request_probe(self) -> bool:
        """Send a ping now, ahead of the schedule; whether one leaves now (that of a tick will do)."""
        now = trio.current_time()
        self.heartbeat.request_probe(now)
        self._move_timer()
        return self.heartbeat.next_deadline() <= now

    def close(self) -> None:
        """The connection ended: pings in flight are cancelled."""
        now = trio.current_time()
        self._end_heartbeat(now)
        if self.beats is not None:
            self.beats.close()
        self._quality.detector.disconnect(now)
        if self._log is not None:
            self._log.close()
        self._hand_on_records()

    def evidence(self) -> Evidence:
        """What is known now, whatever ends the connection."""
        now = trio.current_time()
        return self._gather(self.heartbeat.suspected(now), now)

    def why_dead(self, name: str) -> PongTimeout:
        """The peer's death in words, with whose fault it was."""
        heartbeat, beats, now = self.heartbeat, self.beats, trio.current_time()
        silent_for = heartbeat.silent_for(now)
        if beats is not None and beats.is_over:
            return PongTimeout(
                f"no ping or beat from {name} for {beats.silent_for(now):.1f} s, {beats.missed} were due; last sign of life "
                f"{silent_for:.1f} s ago",
                missed=beats.missed,
                silent_for=silent_for,
                blame=self._beat_blame,
                evidence=self._beat_evidence,
            )
        why = "" if heartbeat.blame is None else f": {explain(heartbeat.blame, heartbeat.evidence)}"
        return PongTimeout(
            f"no pong from {name}, {heartbeat.missed_pongs} missed; last sign of life {silent_for:.1f} s ago{why}",
            missed=heartbeat.missed_pongs,
            silent_for=silent_for,
            blame=heartbeat.blame,
            evidence=heartbeat.evidence,
        )

    # -- inside --------------------------------------------------------------------------------------------------------

    async def _investigate(self, woken: float) -> Evidence | None:
        """A verdict is due: make sure that nothing lies unread, then gather what is known. `woken`: when we woke for it."""
        due = self._alarm.due
        await catch_up(self._transport)
        now = trio.current_time()
        accused = self._accused(now)
        if accused is None:  # the answer lay unread
            return None
        return self._gather(accused, now, lateness=woken - due if woken - due > PUNCTUAL else 0.0)

    def _gather(self, accused: Accused, now: float, *, lateness: float = 0.0) -> Evidence:
        quiet_for = self.heartbeat.quiet_for(now)
        return gather_evidence(self._transport, accused, quiet_for=quiet_for, lateness=lateness)

    def _accused(self, now: float) -> Accused | None:
        accused = self.heartbeat.accused(now)
        return self.beats.accused(now) if accused is None and self.beats is not None else accused

    def _judge_beats(self, evidence: Evidence | None) -> None:
        """What is missing of the server's own pings and beats; the heartbeat ends when it is too much.

        Without evidence nobody has looked for unread bytes: what became due a moment ago is judged after that.
        """
        if self.beats is None or evidence is None or self.heartbeat.is_over:
            return
        now = trio.current_time()
        for event in self.beats.handle_timer(now, evidence):
            self._beat_blame, self._beat_evidence = event.blame, event.evidence
            self._on_event(event)
        if self.beats.is_over:
            self._end_heartbeat(now)
            self._judge_detector(now)

    def _end_heartbeat(self, now: float) -> None:
        for _ in range(self.heartbeat.in_flight):
            self._quality.record_cancelled(now)
        for event in self.heartbeat.close(now):
            self._on_event(event)

    def _move_timer(self) -> None:
        if self._alarm.is_set:  # else the pinger is at work, and looks by itself before it sleeps again
            self._alarm.move(self._next_deadline())

    def _next_deadline(self) -> float:
        beats = inf if self.beats is None else self.beats.next_deadline()
        return min(self.heartbeat.next_deadline(), beats)

    def _perform(self, decisions: Sequence[Event | SendPing], now: float) -> None:
        for decision in decisions:
            if isinstance(decision, SendPing):
                self._quality.record_ping(now)
                if self._log is not None:
                    self._log.ping(decision.number, now)
                if not decision.is_probe:
                    self._count(is_ping=True)
                self._transport.ping(decision.nonce, partial(self._ping_sent, decision))
            else:
                self._record(decision)
        self._hand_on_records()

    def _ping_sent(self, command: SendPing, now: float) -> None:
        self.heartbeat.ping_sent(command.nonce, now)
        if self._log is not None:
            self._log.sent(command.number, now)
        self._move_timer()

    def _count(self, *, is_ping: bool) -> None:
        if self._venue is not None:
            self._venue.record_message(trio.current_time(), is_ping=is_ping)

    def _hand_on_records(self) -> None:
        if self._log is not None and self._on_ping is not None:
            for record in self._log.take():
                self._on_ping(record)

    def _record(self, event: Event) -> None:
        """Count a decision, and tell it."""
        quality, now = self._quality, event.at
        extra: list[Event] = []
        match event:
            case PongReceived():
                self.rtt = event.rtt if event.rtt is not None else self.rtt
                extra = quality.record_pong(event.rtt, now, is_exact=event.is_exact, local=event.local)
                self._log_fate(event, "answered", rtt=event.rtt, is_exact=event.is_exact)
            case PongLate():
                quality.record_late_pong(event.rtt, now, is_exact=event.is_exact)
                self._log_fate(event, "late", rtt=event.rtt, is_exact=event.is_exact)
            case PongMissed():
                extra = quality.record_missed_pong(now)
                self._log_fate(event, "missed")
            case PongVoided():
                quality.record_voided(now, is_answered=event.is_answered, local=event.local)
                self._log_fate(event, "voided")
            case Suspected() | StateChanged():
                self._judge_detector(now)
            case _:
                pass
        for each in (event, *extra):
            self._on_event(each)

    def _log_fate(
        self,
        event: PongReceived | PongLate | PongMissed | PongVoided,
        fate: str,
        *,
        rtt: float | None = None,
        is_exact: bool | None = None,
    ) -> None:
        if self._log is not None:
            self._log.decide(event.ping, fate, rtt=rtt, is_exact=is_exact, blame=event.blame)

    def _judge_detector(self, now: float) -> None:
        heartbeat, record = self.heartbeat, self._quality.detector
        if heartbeat.is_over:
            record.detect(now, heartbeat.silent_for(now))
        elif heartbeat.is_suspect or heartbeat.state is ConnectionState.DEGRADED:
            record.suspect(now)
        else:
            record.trust(now)
