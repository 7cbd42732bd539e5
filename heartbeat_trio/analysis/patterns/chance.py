"""What chance can do: adjusted p, the Hodges-Lehmann shift with its interval, and how the budget of errors is spent.

Everything that is looked for in one run goes through one procedure of Benjamini and Hochberg at `Q` = 5 %, over all lines.
Where nothing is wrong, that is also the chance that anything at all is claimed. Families of tests get unequal parts of it
by weights (Genovese, Roeder, Wasserman: False discovery control with p-value weighting, Biometrika 93, 2006), fixed before
any p is known: see `SHARES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import false_discovery_control, rankdata, wilcoxon

from ..findings import Estimate, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..tables import Floats

Q = 0.05
"""False discovery rate over everything that is tested."""
EFFECT = 0.10
"""Effects of less are not worth a change, whatever their p."""
LOG_EFFECT = float(np.log1p(EFFECT))
EXACT = 60
"""Differences up to which ranks are judged by their exact law."""
SHORT = 12
"""Days below which nearly the whole budget goes to the hours: nine days cannot give a p below 2^-9."""

Family = Literal["hour", "hour_misses", "weekday", "weekday_misses", "step", "drift", "period", "idle", "slower", "together"]

SHARES: dict[Family, float] = {
    "hour": 0.70,
    "hour_misses": 0.10,
    "weekday": 1.40,
    "weekday_misses": 0.10,
    "step": 0.05,
    "drift": 0.03,
    "period": 0.02,
    "idle": 0.01,
    "slower": 0.02,
    "together": 0.02,
}
"""Parts of the budget, relative to each other; a family without a test spends nothing.

Ranks over days are weak evidence, so hours get most; weekdays are tested only once there are eight weeks, when hours have
power to spare and a p below 2^-8 cannot be had. The others' evidence, where there is any, is overwhelming.
"""


@dataclass(frozen=True, slots=True)
class Tested:
    """One test: its p, and the finding that it makes if chance does not explain it (None: none, whatever its p)."""

    family: Family
    p: float
    finding: Finding | None = None


def adjusted(tests: Sequence[tuple[Family, float]], *, days: int = SHORT) -> Floats:
    """Each test's p considering all the others: at most `Q` is a discovery. ``days``: of the line that has fewest."""
    if not tests:
        return np.zeros(0)
    shares: dict[Family, float] = dict(SHARES)
    if days < SHORT:
        shares["hour"] = 20 * sum(SHARES[name] for name in ("step", "drift", "period", "idle", "slower", "together"))
        shares["hour_misses"] = 0.01
    sizes: dict[Family, int] = {}
    for family, _ in tests:
        sizes[family] = sizes.get(family, 0) + 1
    total = sum(shares[family] for family in sizes)
    weights = np.array([len(tests) * shares[family] / (total * sizes[family]) for family, _ in tests])
    each = np.array([p for _, p in tests])
    result: Floats = np.asarray(false_discovery_control(np.minimum(1.0, each / weights)))
    return result


def middle(values: Floats) -> Floats:
    """The median along the last axis, NaN left out: `numpy.nanmedian`, but fast for many short rows."""
    ordered = np.sort(values, axis=-1)
    count = np.sum(~np.isnan(ordered), axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(0, (count - 1) // 2), axis=-1)
    high = np.take_along_axis(ordered, np.maximum(0, np.minimum(count // 2, ordered.shape[-1] - 1)), axis=-1)
    result: Floats = ((low + high) / 2)[..., 0]
    return result


def rank_test(differences: Floats, *, greater: bool = True) -> float:
    """Wilcoxon's signed-rank test of differences against 0: that they are greater, or that they are not 0."""
    known = differences[differences != 0]
    if not len(known):
        return 1.0
    if len(known) <= EXACT:
        return _exact_rank_test(known, greater=greater)
    return float(wilcoxon(known, alternative="greater" if greater else "two-sided", method="approx").pvalue)


def _exact_rank_test(differences: Floats, *, greater: bool) -> float:
    """By the law of the sum of ranks if each sign were tossed; SciPy's exact law knows no ties."""
    ranks = (2 * rankdata(np.abs(differences))).astype(np.int64)  # twice: ties have halves
    law = np.ones(1)
    for rank in ranks.tolist():
        longer = np.zeros(len(law) + rank)
        longer[: len(law)] = law / 2
        longer[rank:] += law / 2
        law = longer
    observed = int(ranks[differences > 0].sum())
    above, below = float(law[observed:].sum()), float(law[: observed + 1].sum())
    return min(1.0, above if greater else 2 * min(above, below))


def shift(differences: Floats) -> tuple[float, float, float]:
    """The Hodges-Lehmann shift: the median of the Walsh averages, and its 95 % interval by Wilcoxon's distribution."""
    n = len(differences)
    first, second = np.triu_indices(n)
    walsh = np.sort((differences[first] + differences[second]) / 2)
    spread = 1.96 * np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return _centre(walsh, n * (n + 1) / 4 - spread)


def shift_between(before: Floats, after: Floats) -> tuple[float, float, float]:
    """The Hodges-Lehmann shift from one sample to another, with its 95 % interval by Mann and Whitney's distribution."""
    n, m = len(before), len(after)
    walsh = np.sort((after[:, None] - before[None, :]).ravel())
    return _centre(walsh, n * m / 2 - 1.96 * np.sqrt(n * m * (n + m + 1) / 12))


def _centre(ordered: Floats, below: float) -> tuple[float, float, float]:
    cut = min(max(0, int(below)), (len(ordered) - 1) // 2)
    return float(np.median(ordered)), float(ordered[cut]), float(ordered[-1 - cut])


def ratio(logarithms: tuple[float, float, float], n: int) -> Estimate:
    """A shift of logarithms and its interval as a fraction."""
    value, low, high = np.expm1(logarithms)
    return Estimate(value=float(value), low=float(low), high=float(high), n=n)


def parts(effect: Estimate) -> tuple[float, float, float]:
    """An effect and its interval; NaN where not known."""
    value, low, high = (np.nan if each is None else each for each in (effect.value, effect.low, effect.high))
    return value, low, high


def halves(values: Floats) -> tuple[Floats, Floats]:
    """The first and the second half of what is ordered by time."""
    cut = len(values) // 2
    return values[:cut], values[cut:]


def both_halves(differences: Floats) -> bool:
    """Whether each half by itself says the same: at least half as much as all of it, and greater than 0.

    The latter at 6.5 %, since four blocks cannot give a p below 1 in 16.
    """
    whole = shift(differences)[0]
    sign = 1 if whole >= 0 else -1
    return all(
        len(part) >= 4 and rank_test(sign * part) <= Q * 1.3 and sign * shift(part)[0] >= abs(whole) / 2
        for part in halves(differences)
    )


def runs(numbers: Sequence[int], modulus: int) -> list[tuple[int, int]]:
    """Numbers on a circle as runs: first and last, such as hours 23, 0, 1 as (23, 1)."""
    ordered = sorted(numbers)
    parts: list[list[int]] = [[ordered[0]]]
    for before, number in pairwise(ordered):
        if number == before + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    if len(parts) > 1 and parts[0][0] == 0 and parts[-1][-1] == modulus - 1:
        parts[0] = parts.pop() + parts[0]
    return [(part[0], part[-1]) for part in parts]
