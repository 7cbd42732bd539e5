"""Where a step is, by quarters of an hour.

Around it, levels are taken as normal noise about one level before and one after: hours hang together as an
autoregressive process of order 1, hours of one day have an offset in common, and quarters scatter about their hour. All of
that is estimated from the line itself. Each moment has a likelihood then; the one told is the likeliest of those around
which, within two hours on either side, there is as much of it as anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cholesky, solve_triangular

if TYPE_CHECKING:
    from ..tables import Floats, Ints
    from .series import Hours

AROUND = 48
"""Hours on either side that are looked at."""
CLOSE = 8
"""Quarters on either side within which a moment counts as the same."""
AS_GOOD = 0.9
"""Part of the best likelihood within that which another may have and still be chosen."""
FREEDOM = 8.0
"""Degrees of freedom of the t distribution of what is left: outliers count for less."""
FAR = 3.5
"""Standard deviations from its neighbours' median beyond which an hour is off."""


def locate(hour: Ints, level: Floats, split: int, quarters: Hours) -> float:
    """The moment of a step in Unix seconds.

    Args:
        hour: Hours since 1970 (UTC), in order.
        level: Their medians' logarithms.
        split: The index near which the step is.
        quarters: The same line's quarters of an hour.
    """
    moment = float(hour[split] * 3600)
    for _ in range(4):
        before = split
        moment = _once(hour, level, split, quarters)
        split = min(max(1, int(np.searchsorted(hour, round(moment / 3600)))), len(hour) - 1)
        if split == before:
            break
    return moment


def _once(hour: Ints, level: Floats, split: int, quarters: Hours) -> float:
    old, new = float(np.median(level[:split])), float(np.median(level[split:]))
    noise = level - np.where(np.arange(len(level)) < split, old, new)
    by_hour, by_day, phi = _noise(hour, noise)
    smooth = _without_outliers(level, FAR * float(np.sqrt(by_hour)))
    low, high = max(0, split - AROUND), min(len(hour), split + AROUND)
    at = quarters.begin // 3600
    inside = (at >= hour[low]) & (at <= hour[high - 1]) & ~np.isnan(quarters.level)
    place = np.minimum(np.searchsorted(hour, at), len(hour) - 1)
    inside &= hour[place] == at
    place, at, begin = place[inside], at[inside], quarters.begin[inside]
    values = quarters.level[inside] - (level - smooth)[place]
    # `level` may be without what some hours of the day add; the quarters' own must follow it.
    medians = {int(each): float(np.median(values[place == each])) for each in np.unique(place)}
    values += np.array([smooth[each] - medians[int(each)] for each in place])
    if len(values) < 8:
        return float(hour[split] * 3600)
    covariance = _covariance(at, by_hour, by_day, phi, _scatter(at, values))
    posterior = _posterior(values, covariance, old, new)
    near = np.convolve(posterior, np.ones(2 * CLOSE + 1), mode="same")
    good = np.flatnonzero(near >= AS_GOOD * near.max())
    return float(begin[1 + good[int(np.argmax(posterior[good]))]])


def _noise(hour: Ints, noise: Floats) -> tuple[float, float, float]:
    """Variances of hours and of days, and the correlation of an hour with the one before."""
    spread = 1.4826 * float(np.median(np.abs(noise))) + 1e-6
    clipped = np.clip(noise, -2.5 * spread, 2.5 * spread)
    whole = float(np.mean(clipped**2))
    shared = [_same_day(hour, clipped, lag) for lag in range(7, 15)]
    by_day = max(0.0, float(np.mean([each for each in shared if each is not None] or [0.0])))
    by_hour = max(whole - by_day, 0.2 * whole)
    next_to = _same_day(hour, clipped, 1)
    phi = 0.0 if next_to is None else min(0.95, max(0.0, (next_to - by_day) / by_hour))
    return by_hour, by_day, phi


def _same_day(hour: Ints, values: Floats, lag: int) -> float | None:
    """The covariance of hours so far apart within a day; None: there are none."""
    pairs = (hour[lag:] - hour[:-lag] == lag) & (hour[lag:] // 24 == hour[:-lag] // 24)
    products = (values[lag:] * values[:-lag])[pairs]
    return float(np.mean(products)) if len(products) else None


def _without_outliers(level: Floats, far: float) -> Floats:
    """Hours that are far from the median of five around them are set to it; a step's edge is not."""
    padded = np.concatenate([level[:1], level[:1], level, level[-1:], level[-1:]])
    around = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    result: Floats = np.where(np.abs(level - around) > far, around, level)
    return result


def _scatter(hour: Ints, values: Floats) -> float:
    """The variance of quarters about their hour."""
    apart = np.diff(values)[np.diff(hour) == 0]
    return max(1e-6, (1.4826 * float(np.median(np.abs(apart)))) ** 2 / 2) if len(apart) else 1e-6


def _covariance(hour: Ints, by_hour: float, by_day: float, phi: float, scatter: float) -> Floats:
    apart = np.abs(hour[:, None] - hour[None, :])
    same = hour[:, None] // 24 == hour[None, :] // 24
    result: Floats = by_hour * np.power(max(phi, 1e-9), apart) + by_day * same + scatter * np.eye(len(hour))
    return result


def _posterior(values: Floats, covariance: Floats, old: float, new: float) -> Floats:
    """The likelihood of a step before each value but the first, as a part of the greatest."""
    index = np.arange(len(values))
    means = old + (new - old) * (index[:, None] >= index[None, 1:])
    root = cholesky(covariance, lower=True)
    left = solve_triangular(root, values[:, None] - means, lower=True)
    cost = np.sum((FREEDOM + 1) / 2 * np.log1p(left**2 / FREEDOM), axis=0)
    result: Floats = np.exp(cost.min() - cost)
    return result
