"""When a line is replaced by a new connection, make before break. Pure; `rotating` performs it.

A replacement is wanted when the connection comes near the age at which its server closes it, when somebody says so
(`request`), and when it has been DEGRADED for too long. The new line then has some time to connect, subscribe and deliver;
both deliver for a moment; then the old one is closed. If the new one cannot be had, the old one stays.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import TYPE_CHECKING

import msgspec

from .limits import RollingLimit

if TYPE_CHECKING:
    from random import Random

    from ..policies import RotationPolicy

MAX_AGE = "max_age"
DEGRADED = "degraded"


class RotationState(Enum):
    """How far a rotation is."""

    STEADY = "steady"
    """One line."""
    PREPARING = "preparing"
    """The new line is being made."""
    OVERLAPPING = "overlapping"
    """Both lines deliver."""


class Step(Enum):
    """What happens to a rotation."""

    START = "start"
    READY = "the new line delivers"
    UNREADY = "the new line was lost again"
    FAIL = "the new line cannot be had"
    FINISH = "the overlap is over"
    TAKE_OVER = "the old line ended"


_S = RotationState
TRANSITIONS: dict[tuple[RotationState, Step], RotationState] = {
    (_S.STEADY, Step.START): _S.PREPARING,
    (_S.PREPARING, Step.READY): _S.OVERLAPPING,
    (_S.PREPARING, Step.FAIL): _S.STEADY,
    (_S.OVERLAPPING, Step.UNREADY): _S.PREPARING,
    (_S.OVERLAPPING, Step.FAIL): _S.STEADY,
    (_S.OVERLAPPING, Step.FINISH): _S.STEADY,
    (_S.PREPARING, Step.TAKE_OVER): _S.STEADY,
    (_S.OVERLAPPING, Step.TAKE_OVER): _S.STEADY,
}
"""A step that is not listed changes nothing."""


class Start(msgspec.Struct, frozen=True):
    """Make a new line. ``age`` is the old connection's, in seconds, if it has one."""

    reason: str
    age: float | None


class Finish(msgspec.Struct, frozen=True):
    """Close the old line; the new one takes its place, ``took`` seconds after the start."""

    reason: str
    took: float


class Abandon(msgspec.Struct, frozen=True):
    """Close the new line; the old one stays."""

    reason: str
    took: float
    detail: str


Command = Start | Finish | Abandon


class Rotation:
    """Decides about the rotations of one line.

    Whoever drives it calls `handle_timer` at `next_deadline`.

    Args:
        policy: When, and how often at most.
    """

    def __init__(self, policy: RotationPolicy) -> None:
        self._policy = policy
        self._intensity = RollingLimit(policy.intensity, policy.period)
        self.state = RotationState.STEADY
        self._connected_at: float | None = None
        self._old_at = inf
        """When the present connection is old enough."""
        self._new_connected_at: float | None = None
        self._new_old_at = inf
        self._degraded_since: float | None = None
        self._has_many_misses = False
        self._wanted: str | None = None
        self._new_wanted: str | None = None
        """What speaks for replacing the new line once it has taken over."""
        self._not_before = -inf
        self._rotated_at = -inf
        self._reason = ""
        self._started = 0.0
        self._ready_at = 0.0

    # -- what happens to the line --------------------------------------------------------------------------------

    def connected(self, now: float, rng: Random) -> None:
        """The line has a new connection."""
        self._connected_at, self._old_at = now, self._draw_old_at(now, rng)

    def lost(self) -> None:
        """The line has lost its connection: whatever spoke for replacing it is gone with it."""
        self._connected_at, self._old_at = None, inf
        self._degraded_since, self._wanted = None, None

    def degraded(self, now: float, missed: int) -> None:
        """The line is DEGRADED, or still is with one more miss."""
        if self._connected_at is None:
            return
        self._degraded_since = now if self._degraded_since is None else self._degraded_since
        self._has_many_misses = missed >= self._policy.degraded_misses

    def ended(self, now: float) -> list[Command]:
        """The line is over for good: a new one that is being made takes its place at once."""
        return self._finish(now, Step.TAKE_OVER)

    def recovered(self) -> None:
        """The line is CONNECTED again."""
        self._degraded_since = None
        if self._wanted == DEGRADED:
            self._wanted = None

    def request(self, reason: str) -> None:
        """Somebody says that the line will end: replace it as soon as that is allowed."""
        if self.state is RotationState.STEADY:
            self._wanted = reason

    # -- what happens to the new line ------------------------------------------------------------------------------

    def new_connected(self, now: float, rng: Random) -> None:
        """The new line has a connection."""
        self._new_connected_at, self._new_old_at = now, self._draw_old_at(now, rng)

    def new_ready(self, now: float) -> None:
        """The new line delivers everything that is wanted."""
        if self._advance(Step.READY):
            self._ready_at = now

    def new_lost(self) -> None:
        """The new line has lost its connection; it may have another one in time."""
        self._new_connected_at, self._new_old_at, self._new_wanted = None, inf, None
        self._advance(Step.UNREADY)

    def new_request(self, reason: str) -> None:
        """Somebody says that the new line will end, too: it is replaced in its turn."""
        self._new_wanted = reason

    def new_ended(self, now: float, detail: str) -> list[Command]:
        """The new line gave up."""
        return self._fail(now, detail)

    # -- decisions ---------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When `handle_timer` has something to do; `inf` if nothing is coming up."""
        if self.state is RotationState.PREPARING:
            return self._started + self._policy.timeout
        if self.state is RotationState.OVERLAPPING:
            return self._ready_at + self._policy.overlap
        return self._due_at()

    def handle_timer(self, now: float) -> list[Command]:
        """What is to be done now; [] if it is too early."""
        if now < self.next_deadline():
            return []
        if self.state is RotationState.PREPARING:
            return self._fail(now, f"it did not deliver within {self._policy.timeout:g} s")
        if self.state is RotationState.OVERLAPPING:
            return self._finish(now, Step.FINISH)
        self._wanted = self._wanted or (MAX_AGE if now >= self._old_at else DEGRADED)
        allowed = self._intensity.next_allowed(now)
        if allowed > now:
            self._not_before = allowed
            return []
        return self._start(now)

    def _start(self, now: float) -> list[Command]:
        self._intensity.record(now)
        self._advance(Step.START)
        self._reason, self._started = self._wanted or "", now
        self._wanted, self._new_wanted, self._new_connected_at, self._new_old_at = None, None, None, inf
        return [Start(self._reason, None if self._connected_at is None else now - self._connected_at)]

    def _finish(self, now: float, step: Step) -> list[Command]:
        if not self._advance(step):
            return []
        self._connected_at, self._old_at = self._new_connected_at, self._new_old_at
        self._degraded_since, self._wanted = None, self._new_wanted
        self._rotated_at = now
        return [Finish(self._reason, now - self._started)]

    def _fail(self, now: float, detail: str) -> list[Command]:
        if not self._advance(Step.FAIL):
            return []
        self._not_before = now + self._policy.stable_after
        # What was wrong with the old line still is, unless it has a new connection by now, or says so itself.
        if self._reason not in (MAX_AGE, DEGRADED) and self._connected_at is not None and self._connected_at < self._started:
            self._wanted = self._reason
        return [Abandon(self._reason, now - self._started, detail)]

    def _due_at(self) -> float:
        due = -inf if self._wanted is not None else min(self._old_at, self._degraded_at())
        return max(due, self._not_before) if due < inf else inf

    def _degraded_at(self) -> float:
        if self._degraded_since is None:
            return inf
        since = self._degraded_since + (0.0 if self._has_many_misses else self._policy.degraded_for)
        return max(since, self._rotated_at + self._policy.stable_after)

    def _draw_old_at(self, now: float, rng: Random) -> float:
        policy = self._policy
        if policy.max_age is None:
            return inf
        return now + policy.max_age * (1 - policy.margin + rng.uniform(-policy.jitter, policy.jitter))

    def _advance(self, step: Step) -> bool:
        new = TRANSITIONS.get((self.state, step))
        if new is None:
            return False
        self.state = new
        return True
