"""Drift: round trips that grow, or shrink, from day to day over the whole of the data.

Mann and Kendall's test of daily medians, whose variance is corrected for their autocorrelation (Hamed and Rao, Journal of
Hydrology 204, 1998), and the slope of Theil and Sen. A step is no drift: where the line shows steps, the one of the two that
describes the days better is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import kendalltau, norm, rankdata, theilslopes

from ..findings import Estimate, Finding, NotEnough
from ..wording import fraction
from . import chance
from .chance import Tested
from .series import DAY

if TYPE_CHECKING:
    from ..tables import Floats, Ints

DAYS = 9
CLEARLY = 5.0
"""By how much a straight line must be better than steps, which are the commoner of the two."""


def missing(line: int, days: Ints) -> NotEnough | None:
    """That there are not enough days."""
    return None if len(days) >= DAYS else NotEnough(kind="drift", line=line, have=len(days), need=DAYS, unit="days")


def drift_test(line: int, days: Ints, level: Floats) -> Tested:
    """Test the logarithms of daily medians."""
    p = trend_p(days, level)
    slope, _, low, high = (float(each) for each in theilslopes(level, days))
    length = float(days[-1] - days[0])
    moved = (slope * length, low * length, high * length)
    finding = _finding(line, days, level, slope, moved, p) if abs(moved[0]) >= chance.LOG_EFFECT else None
    return Tested("drift", p, finding)


def trend_p(days: Ints, level: Floats) -> float:
    """Two-sided p of Mann and Kendall's test; autocorrelation can only make it larger."""
    plain = float(kendalltau(days, level).pvalue)
    z = float(norm.isf(plain / 2)) / np.sqrt(max(1.0, _inflation(days, level)))
    return max(plain, float(2 * norm.sf(z))) if np.isfinite(z) else plain


def _inflation(days: Ints, level: Floats) -> float:
    """By how much the test's variance grows through the correlation of the ranks of what is left beside the trend."""
    n = len(level)
    slope = float(theilslopes(level, days)[0])
    ranks = np.asarray(rankdata(level - slope * days)) - (n + 1) / 2
    variance = float(np.sum(ranks**2))
    total = 0.0
    for lag in range(1, min(n - 1, 10)):
        correlation = float(np.sum(ranks[lag:] * ranks[:-lag])) / variance
        if abs(correlation) > 1.96 / np.sqrt(n):
            total += (n - lag) * (n - lag - 1) * (n - lag - 2) * correlation
    return 1 + 2 * total / (n * (n - 1) * (n - 2))


def is_better_than_steps(days: Ints, level: Floats, step_days: list[float]) -> bool:
    """Whether a straight line describes the days better than levels between the steps do.

    By Schwarz's criterion, with Laplace's law of what is left, since days may be far off.
    ``step_days``: the moments of the steps in days since 1970.
    """
    slope, cut = (float(each) for each in theilslopes(level, days)[:2])
    straight = level - cut - slope * days
    part = np.searchsorted(np.array(step_days), days + 0.5)
    stairs = level.copy()
    for each in np.unique(part):
        stairs[part == each] -= np.median(stairs[part == each])
    n = len(level)

    def criterion(residuals: Floats, parameters: int) -> float:
        return float(2 * n * np.log(np.mean(np.abs(residuals)) + 1e-9) + parameters * np.log(n))

    return criterion(straight, 2) + CLEARLY < criterion(stairs, 2 * len(step_days) + 1)


def _finding(line: int, days: Ints, level: Floats, slope: float, moved: tuple[float, float, float], p: float) -> Finding:
    effect: Estimate = chance.ratio(moved, len(days))
    cut = len(days) // 2
    agree = all(float(theilslopes(level[part], days[part])[0]) / slope >= 0.5 for part in (slice(cut), slice(cut, None)))
    word = "longer" if slope > 0 else "shorter"
    return Finding(
        kind="drift",
        metric="rtt",
        line=line,
        claim=(
            f"Round trips grow {word} by {fraction(abs(float(np.expm1(slope))))} a day,"
            f" by {fraction(abs(chance.parts(effect)[0]))} over {len(days)} days."
        ),
        effect=effect,
        n=len(days),
        p=p,
        p_adjusted=p,
        begun_at=float(days[0] * DAY),
        ended_at=float((days[-1] + 1) * DAY),
        halves_agree=agree,
        details={"per_day": float(np.expm1(slope))},
    )
