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
    - ``equal``: U(b/2, b)
    - ``decorrelated``: U(initial, min(maximum, 3 * previous)), where the delay previous to the first is `initial`
    - ``proportional``: U(0.8 b, min(maximum, 1.2 b))
    - ``none``: b

    The first three are from "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), but there `decorrelated` is
    cut off at the cap after the draw, so that most clients end up exactly on it and beat in step again. Here every
    bound is inside the draw: no delay exceeds `maximum`, and at the cap all kinds but ``none`` still vary.

    Args:
        policy: The bounds and the kind.
    """

    def __init__(self, policy: BackoffPolicy) -> None:
        self._policy = policy
        self.reset()

    def reset(self) -> None:
        """Begin anew, after a stable connection."""
        self.attempt = 0
        """Delays given since the last reset."""
        self._base = self._previous = self._policy.initial

    def next_delay(self, rng: Random) -> float:
        """The next delay in seconds, drawn from `rng`."""
        self._previous = rng.uniform(*self._bounds())
        # Step by step: initial * factor**n would overflow after a thousand attempts.
        self._base = min(self._policy.maximum, self._base * self._policy.factor)
        self.attempt += 1
        return self._previous

    def _bounds(self) -> tuple[float, float]:
        policy, base = self._policy, self._base
        match policy.jitter:
            case "full":
                return 0.0, base
            case "equal":
                return base / 2, base
            case "decorrelated":
                return policy.initial, min(policy.maximum, 3 * self._previous)
            case "proportional":
                return base * (1 - PROPORTION), min(policy.maximum, base * (1 + PROPORTION))
            case _:
                return base, base
