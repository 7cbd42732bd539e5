"""How long to wait before the next attempt: exponential backoff with jitter that survives at the cap."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from ..config import BackoffPolicy

PROPORTION = 0.2
"""Half the width of `proportional` jitter. With ± 10 %, 10 000 clients need over six times the ideal to return."""


class Backoff:
    """Delays that grow, in seconds.

    With b = min(maximum, initial * factor^n) for the n-th delay, n from 0, they are

    - ``full``: U(0, b)
    - ``equal``: b/2 + U(0, b/2)
    - ``decorrelated``: min(maximum, U(initial, 3 * previous)); drawn below the cap, so that it never sits on it
    - ``proportional``: b * U(0.8, 1.2), at most `maximum`
    - ``none``: b

    The first three are from "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), `decorrelated` with the cap
    inside the draw.

    Args:
        policy: The bounds and the kind.
    """

    def __init__(self, policy: BackoffPolicy) -> None:
        self._policy = policy
        self._previous = policy.initial
        self.attempt = 0
        """Delays given since the last reset."""

    def next_delay(self, rng: Random) -> float:
        """The next delay in seconds."""
        policy = self._policy
        base = self._base()
        self.attempt += 1
        match policy.jitter:
            case "full":
                return rng.uniform(0, base)
            case "equal":
                return base / 2 + rng.uniform(0, base / 2)
            case "decorrelated":
                self._previous = rng.uniform(policy.initial, min(policy.maximum, 3 * self._previous))
                return self._previous
            case "proportional":
                low, high = base * (1 - PROPORTION), min(policy.maximum, base * (1 + PROPORTION))
                return rng.uniform(low, high)
            case "none":
                return base

    def reset(self) -> None:
        """Begin anew, after a stable connection."""
        self.attempt = 0
        self._previous = self._policy.initial

    def _base(self) -> float:
        policy = self._policy
        try:
            return min(policy.maximum, policy.initial * policy.factor**self.attempt)
        except OverflowError:  # after a thousand attempts or so
            return policy.maximum
