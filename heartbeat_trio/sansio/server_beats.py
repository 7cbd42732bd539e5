"""Whether a server that is to ping us, or to beat, still does: the verdict where we cannot ask.

Rules of this file. It knows neither clock nor transport: the shell calls `handle_timer` when `next_deadline` has come and
nothing lies unread, and tells what came. Early or repeated calls change nothing.

A beat is due every period. One that is late by more than the grace is missed. When `BeatPolicy.misses` are missed and no
other byte came either, the server is dead: `BeatPolicy.bound` seconds after its last byte. Where other bytes come, it is
dead `BeatPolicy.max_beatless` seconds after its last beat: a program that lives on only in part.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from ..venue_events import BeatMissed
from .cause import classify_peer
from .pings import Accused

if TYPE_CHECKING:
    from ..config import BeatPolicy
    from ..events import Evidence


class Watch(Enum):
    """What is expected of the server."""

    NOTHING_YET = "nothing before a subscription"
    BEATING = "beats, and they come"
    MISSING = "beats, and some are missing"
    DEAD = "dead"
    CLOSED = "closed"


class Step(Enum):
    """What can happen."""

    SUBSCRIPTION = "a subscription was acknowledged"
    BEAT = "a beat came"
    MISS = "a beat did not come in time"
    VERDICT = "too many of them, for too long"
    END = "the connection ended"


_W = Watch
TRANSITIONS: dict[tuple[Watch, Step], Watch] = {
    (_W.NOTHING_YET, Step.SUBSCRIPTION): _W.BEATING,
    (_W.NOTHING_YET, Step.BEAT): _W.BEATING,
    (_W.NOTHING_YET, Step.END): _W.CLOSED,
    (_W.BEATING, Step.BEAT): _W.BEATING,
    (_W.BEATING, Step.MISS): _W.MISSING,
    (_W.BEATING, Step.END): _W.CLOSED,
    (_W.MISSING, Step.BEAT): _W.BEATING,
    (_W.MISSING, Step.MISS): _W.MISSING,
    (_W.MISSING, Step.VERDICT): _W.DEAD,
    (_W.MISSING, Step.END): _W.CLOSED,
}
"""A step that is not listed changes nothing: what comes after the end, a second subscription."""


class ServerBeats:
    """One connection's watch over its server's beats. A server's ping is a beat.

    Args:
        policy: When beats are due, and how many may be missing.
        now: Trio time; the first beat is due one period after it, or after the first subscription.
    """

    def __init__(self, policy: BeatPolicy, *, now: float) -> None:
        self._policy = policy
        self._watch = Watch.NOTHING_YET if policy.needs_subscription else Watch.BEATING
        self._last_beat = now
        self._last_inbound = now
        self._counter: int | None = None
        self.missed = 0
        """Beats missing since the last one."""
        self.skipped = 0
        """Beats that a counter says were sent and that never came."""

    def __repr__(self) -> str:
        return f"<ServerBeats {self._watch.name} missed={self.missed}>"

    @property
    def is_over(self) -> bool:
        """Whether the server was called dead."""
        return self._watch is Watch.DEAD

    def silent_for(self, now: float) -> float:
        """Seconds since the last beat, or since the first was to be expected."""
        return now - self._last_beat

    def next_deadline(self) -> float:
        """When `handle_timer` is due; `inf` where nothing is expected."""
        if self._watch not in (Watch.BEATING, Watch.MISSING):
            return inf
        return self._next_miss() if self.missed < self._policy.misses else self._dead_at()

    def accused(self, now: float) -> Accused | None:
        """What `handle_timer` would judge now: first make sure that nothing lies unread. None: nothing."""
        if self.next_deadline() > now:
            return None
        return Accused(self._last_beat + self._policy.period, self._policy.grace, was_sent=True)

    def subscribed(self, now: float) -> None:
        """A subscription was acknowledged: beats are due from now on."""
        if self._watch is Watch.NOTHING_YET:
            self._last_beat = self._last_inbound = now
        self._step(Step.SUBSCRIPTION)

    def receive_beat(self, now: float, counter: int | None = None) -> None:
        """A beat came, or a ping. A counter that jumps tells of beats that were lost on the way."""
        if counter is not None:
            if self._counter is not None and counter > self._counter + 1:
                self.skipped += counter - self._counter - 1
            self._counter = counter
        if self._step(Step.BEAT):
            self._last_beat = self._last_inbound = now
            self.missed = 0

    def receive_data(self, now: float) -> None:
        """Any other bytes came."""
        self._last_inbound = now
        if self._policy.data_counts and self._watch is not Watch.NOTHING_YET:
            self.receive_beat(now)

    def handle_timer(self, now: float, evidence: Evidence | None = None) -> list[BeatMissed]:
        """Count what is missing. After it, `is_over` says whether the server is dead. Early calls do nothing."""
        blame = None if evidence is None else classify_peer(evidence)
        missed: list[BeatMissed] = []
        while self.missed < self._policy.misses and self.next_deadline() <= now:
            self._step(Step.MISS)
            self.missed += 1
            silent_for = self.silent_for(now)
            missed = [BeatMissed(at=now, missed=self.missed, silent_for=silent_for, blame=blame, evidence=evidence)]
        if self.missed >= self._policy.misses and self.next_deadline() <= now:
            self._step(Step.VERDICT)
        return missed

    def close(self) -> None:
        """The connection ended."""
        self._step(Step.END)

    def _next_miss(self) -> float:
        return self._last_beat + (self.missed + 1) * self._policy.period + self._policy.grace

    def _dead_at(self) -> float:
        bound = self._policy.bound
        beatless = self._last_beat + max(bound, self._policy.max_beatless)
        return max(self._last_beat + bound, min(self._last_inbound + bound, beatless))

    def _step(self, step: Step) -> bool:
        new = TRANSITIONS.get((self._watch, step))
        if new is None:
            return False
        self._watch = new
        return True
