"""Axes: where a value stands between 0 and 1, and which values are written beside it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

FEW = 5
"""Marks on an axis, about."""
WIDE = 8.0
"""A range whose ends differ by more than this factor is drawn logarithmically."""


@dataclass(frozen=True, slots=True)
class Axis:
    """From ``low`` to ``high``, linear or logarithmic. ``marks`` are the values to write."""

    low: float
    high: float
    is_log: bool
    marks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Where a value stands, 0..1; what lies outside stands at the end."""
        low, high, at = (math.log(each) if self.is_log else each for each in (self.low, self.high, self._inside(value)))
        return (at - low) / (high - low)

    def _inside(self, value: float) -> float:
        return min(max(value, self.low), self.high)


def axis_of(values: list[float]) -> Axis:
    """An axis for positive values: logarithmic where they are far apart, else from 0."""
    low, high = min(values), max(values)
    if low > 0 and high / low > WIDE:
        low, high = low * 0.85, high * 1.15
        return Axis(low, high, is_log=True, marks=_log_marks(low, high))
    return linear_axis(high)


def linear_axis(high: float) -> Axis:
    """From 0 to a little above the highest value."""
    high = 1.1 * high or 1.0
    step = nice_step(high / FEW)
    return Axis(0.0, high, is_log=False, marks=tuple(step * n for n in range(1, math.floor(high / step) + 1)))


def nice_step(at_least: float) -> float:
    """1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(at_least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= at_least * 0.999)


def _log_marks(low: float, high: float) -> tuple[float, ...]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if math.log10(high / low) < 2.2 else (1,)
    return tuple(f * 10.0**n for n in decades for f in factors if low <= f * 10.0**n <= high)
