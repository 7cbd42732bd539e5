"""Intervals that need no assumption about how anything is distributed, but for counts of losses (Poisson). All at 95 %."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom, chi2

from .findings import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .tables import Floats, Ints

TAIL = 0.025
ONE_SIDED = 0.05
RESAMPLES = 2000
AT_ONCE = 1 << 20
"""Observations that are drawn at once."""
SEED = 20_190_823
"""The same journals give the same report."""

MINIMUM_DAYS = 3
MINIMUM_DAY = 3600.0
"""Seconds without which a day is none of them: three days from noon to noon touch four."""

MINIMUM_SAMPLE = 5
"""Observations below which resampling them says nothing."""

Z = 1.959963984540054
"""The normal quantile of 1 - TAIL."""


def wilson(successes: int, n: int) -> Estimate:
    """A share with its Wilson score interval (Wilson, JASA 22, 1927)."""
    if not n:
        return Estimate(None)
    share, square = successes / n, Z * Z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = Z / (1 + square / n) * (share * (1 - share) / n + square / (4 * n * n)) ** 0.5
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half), n)


def time_between(seconds: float, count: int) -> Estimate:
    """Mean time between events, with the exact Poisson interval; without any, ``low`` is a one-sided bound.

    Args:
        seconds: In which they were counted.
        count: How many there were.
    """
    if seconds <= 0:
        return Estimate(None, n=count)
    if not count:
        return Estimate(None, low=float(2 * seconds / chi2.isf(ONE_SIDED, 2)))
    fewest, most = count_bounds(count)
    return Estimate(seconds / count, seconds / most, seconds / fewest, count)


def count_bounds(count: int) -> tuple[float, float]:
    """The exact Poisson interval of a count that is not 0."""
    return float(chi2.ppf(TAIL, 2 * count)) / 2, float(chi2.isf(TAIL, 2 * count + 2)) / 2


def order_ranks(n: int, q: float) -> tuple[int | None, int | None]:
    """Ranks (from 0) of the observations between which the q-quantile lies; None where so few cannot bound it."""
    low, high = int(binom.ppf(TAIL, n, q)) - 1, int(binom.ppf(1 - TAIL, n, q))
    return low if low >= 0 else None, high if high < n else None


def median(values: Sequence[float]) -> Estimate:
    """The median with its order-statistic interval."""
    if not values:
        return Estimate(None)
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    low, high = order_ranks(len(ordered), 0.5)
    bounds = [None if rank is None else float(ordered[rank]) for rank in (low, high)]
    return Estimate(float(np.median(ordered)), bounds[0], bounds[1], len(ordered))


def mean(values: Sequence[float], unfinished: Sequence[float] = ()) -> Estimate:
    """The mean of lengths with a bootstrap interval, for what is skewed; without interval below `MINIMUM_SAMPLE`.

    All time is shared among those that ended (Epstein and Sobel, JASA 48, 1953), since those whose end nobody saw are often
    the longest ones; where none ended, ``low`` is a one-sided bound.

    Args:
        values: Of those that ended.
        unfinished: How long those lasted, as far as they were seen, of which no end is known.
    """
    n, size = len(values), len(values) + len(unfinished)
    sample = np.array([*values, *unfinished], dtype=np.float64)
    if not n:
        return time_between(float(sample.sum()), 0)
    value = float(sample.sum()) / n
    if size < MINIMUM_SAMPLE:
        return Estimate(value, n=n)
    has_ended = np.arange(size) < n
    draws = [sample[chosen].sum(axis=1) / np.maximum(1, has_ended[chosen].sum(axis=1)) for chosen in _resamples(size)]
    low, high = _bounds(draws)
    return Estimate(value, low, high, n)


def share_of_time(parts: Floats, wholes: Floats) -> Estimate:
    """The share of a time, with an interval over its days, which are resampled whole: what goes wrong is not independent.

    No interval below `MINIMUM_DAYS`, and none where nothing ever went wrong: resampling knows only what happened.

    Args:
        parts: Seconds of each day that count.
        wholes: Seconds of each day.
    """
    has_time = wholes > 0
    parts, wholes = parts[has_time], wholes[has_time]
    n = len(wholes)
    if not n:
        return Estimate(None)
    share = min(1.0, float(parts.sum() / wholes.sum()))
    if (wholes >= MINIMUM_DAY).sum() < MINIMUM_DAYS or np.all(parts >= wholes):
        return Estimate(share, n=n)
    low, high = _bounds([parts[chosen].sum(axis=1) / wholes[chosen].sum(axis=1) for chosen in _resamples(n)])
    return Estimate(share, low, min(1.0, high), n)


def _resamples(n: int) -> Iterator[Ints]:
    """Indexes of `RESAMPLES` samples of the size n, some at a time so that they need little memory."""
    rng = np.random.default_rng(SEED)
    left = RESAMPLES
    while left:
        some = min(left, max(1, AT_ONCE // n))
        yield rng.integers(0, n, (some, n))
        left -= some


def _bounds(figures: list[Floats]) -> tuple[float, float]:
    low, high = np.quantile(np.concatenate(figures), [TAIL, 1 - TAIL])
    return float(low), float(high)
