"""The adaptive failure detector: two levels above the classic one, from suspicion to death in 7 probe timeouts.

A probe timeout (PTO) is SRTT + 4 RTTVAR (RFC 6298), clamped, times one more than the local-health score. When a ping has
no answer after one PTO the peer is suspect and a probe goes out; after two more it is degraded and another goes out; after
four more it is dead. Any sign of life starts anew. The cap on the PTO matters: without it one spike would blind the
detector for a minute. The score is Lifeguard's (arXiv:1707.00788): who was late himself waits longer for others.

It only says what it thinks; each ping's fate is `Heartbeat`'s business, and the classic bound stays the outer limit.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import TYPE_CHECKING

import msgspec

from .rtt import RttEstimator

if TYPE_CHECKING:
    from ..config import HeartbeatPolicy

MAX_HEALTH = 7
"""The highest score of our own ill health; 0 is well."""

PATH_CHECK = 0.9
"""Seconds after bytes were sent at which it is looked whether any acknowledgement came (two retransmissions in vain)."""


class Level(Enum):
    """What the detector thinks of the peer."""

    TRUSTED = "trusted"
    SUSPECT = "suspect"
    DEGRADED = "degraded"
    DEAD = "dead"


class Sign(Enum):
    """What makes it think so."""

    EXPIRED = "a probe timeout passed"
    PATH_DEAD = "the kernel says that nothing is acknowledged"
    LIFE = "a sign of life"


TRANSITIONS: dict[tuple[Level, Sign], Level] = {
    (Level.TRUSTED, Sign.EXPIRED): Level.SUSPECT,
    (Level.SUSPECT, Sign.EXPIRED): Level.DEGRADED,
    (Level.DEGRADED, Sign.EXPIRED): Level.DEAD,
    (Level.TRUSTED, Sign.PATH_DEAD): Level.SUSPECT,
    (Level.SUSPECT, Sign.LIFE): Level.TRUSTED,
    (Level.DEGRADED, Sign.LIFE): Level.TRUSTED,
}
"""What is not listed changes nothing."""

PATIENCE = {Level.TRUSTED: 1, Level.SUSPECT: 2, Level.DEGRADED: 4}
"""Probe timeouts until the next level."""


class AdaptiveDetector:
    """Decides between two pongs how much to trust the peer.

    Args:
        policy: `minimum_pto` and `maximum_pto` in seconds.
    """

    def __init__(self, policy: HeartbeatPolicy) -> None:
        self._minimum, self._maximum = policy.minimum_pto, policy.maximum_pto
        self._estimator = RttEstimator()
        self._deadline = inf
        self._watched = self._last_sent = -inf
        self._path_check = inf
        self.level = Level.TRUSTED
        self.health = 0
        """0 to 7: how often our own loop was late, of late."""

    @property
    def pto(self) -> float:
        """The probe timeout now, in seconds."""
        return self._estimator.timeout(minimum=self._minimum, maximum=self._maximum) * (self.health + 1)

    def next_deadline(self) -> float:
        """When `has_expired` will be true, unless there is life before; `inf` when nothing is outstanding."""
        return min(self._deadline, self._path_check)

    def has_expired(self, now: float) -> bool:
        """Whether a probe timeout has passed."""
        return self._deadline <= now

    def must_check_path(self, now: float) -> bool:
        """Whether it is time to ask the kernel about what was sent."""
        return self._path_check <= now

    @property
    def watched_since(self) -> float:
        """When the bytes left whose acknowledgement `check_path` is about."""
        return self._watched

    def sent(self, now: float) -> None:
        """Any bytes left: their acknowledgement is due before long."""
        self._last_sent = now
        if self._path_check == inf:
            self._watch(now)

    def ping_sent(self, now: float) -> None:
        """A ping left: its answer is due."""
        self.sent(now)
        if self._deadline == inf:
            self._deadline = now + self.pto

    def answered(self, rtt: float, *, is_ours: bool) -> None:
        """A pong came after so many seconds. Our own health is worse if the delay `is_ours`, else better."""
        self._estimator.add(rtt)
        self.health = min(MAX_HEALTH, self.health + 1) if is_ours else max(0, self.health - 1)

    def live(self, now: float, *, is_waiting: bool) -> bool:
        """A sign of life; `is_waiting`: an answer is still due. Returns whether that changed the level."""
        self._deadline = now + self.pto if is_waiting else inf
        return self._move(Sign.LIFE)

    def expire(self, now: float) -> bool:
        """The probe timeout has passed, and nothing is left unread. Returns whether that changed the level."""
        has_moved = self._move(Sign.EXPIRED)
        self._deadline = now + self.pto * PATIENCE.get(self.level, inf)
        return has_moved

    def excuse(self, now: float) -> None:
        """The timeout has passed while our own loop did not run: wait once more."""
        self.health = min(MAX_HEALTH, self.health + 1)
        self._deadline = now + self.pto * PATIENCE[self.level]

    def check_path(self, now: float, *, is_dead: bool) -> bool:
        """The kernel was asked. Returns whether that changed the level."""
        self._path_check = inf
        if self._last_sent > self._watched:  # what has left since is watched next
            self._watch(self._last_sent)
        if not is_dead or not self._move(Sign.PATH_DEAD):
            return False
        self._deadline = now + self.pto * PATIENCE[self.level]
        return True

    def _watch(self, sent_at: float) -> None:
        self._watched, self._path_check = sent_at, sent_at + PATH_CHECK

    def _move(self, sign: Sign) -> bool:
        old, self.level = self.level, TRANSITIONS.get((self.level, sign), self.level)
        return old is not self.level


class DetectorSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """How good the detector has been: the measures of Chen, Toueg and Aguilera (IEEE TC 51(5), 2002). Seconds.

    A mistake is a suspicion that turned out wrong: the peer spoke again on the same connection.

    Args:
        mistakes: How many.
        mistake_duration: Their mean length (T_M); None without any.
        mistake_recurrence: The mean time from one to the next (T_MR); None below two.
        query_accuracy: Part of the connected time in which a living peer was trusted (P_A).
        detections: Peers called dead.
        detection_time: The mean time from a dead peer's last sign of life to the verdict; None without any.
    """

    mistakes: int
    mistake_duration: float | None
    mistake_recurrence: float | None
    query_accuracy: float
    detections: int
    detection_time: float | None


class DetectorRecord:
    """Adds up how good a detector is, over any number of connections."""

    def __init__(self) -> None:
        self._suspected_at: float | None = None
        self._first_mistake = self._last_mistake = 0.0
        self._connected_at: float | None = None
        self._connected = self._mistaken = self._detecting = 0.0
        self._mistakes = self._detections = 0

    def connect(self, now: float) -> None:
        """A connection stands."""
        self._connected_at, self._suspected_at = now, None

    def suspect(self, now: float) -> None:
        """The peer is trusted no more: suspect or degraded."""
        if self._suspected_at is None:
            self._suspected_at = now

    def trust(self, now: float) -> None:
        """The peer is trusted again: the suspicion was a mistake."""
        if self._suspected_at is None:
            return
        self._mistaken += now - self._suspected_at
        self._first_mistake = self._suspected_at if self._mistakes == 0 else self._first_mistake
        self._last_mistake, self._suspected_at = self._suspected_at, None
        self._mistakes += 1

    def detect(self, now: float, silent_for: float) -> None:  # noqa: ARG002 - each fact is told with its time
        """The peer is called dead, so long after its last sign of life."""
        self._detections += 1
        self._detecting += silent_for

    def disconnect(self, now: float) -> None:
        """The connection ended."""
        if self._connected_at is not None:
            self._connected += now - self._connected_at
        self._connected_at = self._suspected_at = None

    def snapshot(self, now: float) -> DetectorSnapshot:
        """Everything at once, frozen."""
        connected = self._connected + (0.0 if self._connected_at is None else now - self._connected_at)
        mistakes = self._mistakes
        return DetectorSnapshot(
            mistakes=mistakes,
            mistake_duration=self._mistaken / mistakes if mistakes else None,
            mistake_recurrence=(self._last_mistake - self._first_mistake) / (mistakes - 1) if mistakes > 1 else None,
            query_accuracy=1.0 - self._mistaken / connected if connected else 1.0,
            detections=self._detections,
            detection_time=self._detecting / self._detections if self._detections else None,
        )
