"""After each loss: try again, when, or give up. Pure; `supervisor` performs it."""

from __future__ import annotations

from collections import deque
from math import isfinite
from typing import TYPE_CHECKING

import msgspec

from ..events import Attempt
from .backoff import Backoff
from .limits import RollingLimit

if TYPE_CHECKING:
    from random import Random

    from ..config import BackoffPolicy, RestartPolicy

HISTORY = 100
"""Failed attempts that are remembered for `GaveUp.history`."""

MAX_RETRY_AFTER = 300.0
"""Seconds that a server's `retry_after` may ask for at most."""


class Retry(msgspec.Struct, frozen=True):
    """Try again in ``delay`` seconds, as attempt number ``attempt``."""

    attempt: int
    delay: float


class GiveUp(msgspec.Struct, frozen=True):
    """Too many attempts failed in a row: these."""

    history: tuple[Attempt, ...]


class Restarts:
    """The rules of reconnecting, for one endpoint.

    - An attempt *failed* if it ended before any sign of life (data, or an answered ping). `max_attempts` failed ones in a
      row end it.
    - A connection was *stable* if its first and last sign of life were `stable_after` seconds apart. Only that resets the
      backoff; a mere handshake resets nothing.
    - The first loss since the last stable connection (or since the beginning, if no attempt failed before) is followed by a
      short spread, or after a mass loss by a long one, so that a thousand clients do not come back at once. All further
      delays are the backoff's; a further mass loss waits for the longer of backoff and spread, so that a server which
      sends everybody away again and again is asked less and less often, whatever `retry_after` it names.
    - At most `intensity` established connections may end unstable in any `period`; the next attempt waits for it.

    Args:
        restart: Limits.
        backoff: Delays.
    """

    def __init__(self, restart: RestartPolicy, backoff: BackoffPolicy) -> None:
        self._policy = restart
        self._backoff_policy = backoff
        self._backoff = Backoff(backoff)
        self._intensity = RollingLimit(restart.intensity, restart.period)
        self._failed: deque[Attempt] = deque(maxlen=HISTORY)
        self._failures = 0
        self._has_spread = False
        self._attempt = 0
        self._started = 0.0
        self._is_connected = False
        self._first_alive: float | None = None
        self._last_alive = 0.0

    def attempt_started(self, now: float) -> int:
        """An attempt to connect begins; its number, counted from 1 since the last stable connection."""
        self._attempt += 1
        self._started = now
        self._is_connected = False
        self._first_alive = None
        return self._attempt

    def connected(self, now: float) -> None:  # noqa: ARG002 - the same shape as its siblings
        """The connection stands, its handshake included: no sign of life yet, but its end will count for the intensity."""
        self._is_connected = True

    def alive(self, now: float) -> None:
        """A sign of life: data came, or a ping was answered."""
        if self._first_alive is None:
            self._first_alive = now
            self._failures = 0
            self._failed.clear()
        self._last_alive = now

    def ended(
        self,
        now: float,
        *,
        cause: str,
        detail: str,
        rng: Random,
        is_mass_loss: bool = False,
        retry_after: float | None = None,
    ) -> Retry | GiveUp:
        """The attempt, or the connection it led to, has ended: what now?

        Args:
            now: Trio time.
            cause: One of `exceptions.LossCause`.
            detail: For people.
            rng: Source of the jitter.
            is_mass_loss: The server sent everybody away.
            retry_after: Seconds over which it asked its clients to spread their return.
        """
        if self._first_alive is None:
            self._failures += 1
            self._failed.append(Attempt(number=self._attempt, started=self._started, ended=now, cause=cause, detail=detail))
            if self._policy.max_attempts is not None and self._failures >= self._policy.max_attempts:
                return GiveUp(tuple(self._failed))
        is_stable = self._is_stable()
        if is_stable:
            self._begin_anew()
        spread = _mass_spread(self._backoff_policy, retry_after) if is_mass_loss else None
        delay = self._delay(rng, spread)
        if self._is_connected and not is_stable:
            self._intensity.record(now)
            delay = max(delay, self._intensity.next_allowed(now) - now)
        return Retry(self._attempt + 1, delay)

    def spread(self, rng: Random, *, left: float) -> float:
        """The last loss turned out to be part of a mass loss: the new delay, in seconds, where `left` were left."""
        delay = rng.uniform(0, self._backoff_policy.mass_maximum)
        return delay if self._backoff.attempt == 0 else max(left, delay)

    def _is_stable(self) -> bool:
        return self._first_alive is not None and self._last_alive - self._first_alive >= self._policy.stable_after

    def _begin_anew(self) -> None:
        self._backoff.reset()
        self._has_spread = False
        self._attempt = 0

    def _delay(self, rng: Random, mass_spread: float | None) -> float:
        if self._first_alive is not None and not self._has_spread and self._backoff.attempt == 0:
            self._has_spread = True
            return rng.uniform(0, self._backoff_policy.first_maximum if mass_spread is None else mass_spread)
        delay = self._backoff.next_delay(rng)
        return delay if mass_spread is None else max(delay, rng.uniform(0, mass_spread))


def _mass_spread(policy: BackoffPolicy, retry_after: float | None) -> float:
    """What the server asked for, if that can be believed."""
    if retry_after is None or not isfinite(retry_after) or retry_after < 0:
        return policy.mass_maximum
    return min(retry_after, MAX_RETRY_AFTER)
