"""Losses with a fixed period: at one age of the connection (such as a rotation after 24 h), or by the clock.

Ages: of connections that are lost by chance, at a constant rate whatever it is, at most a fraction ``w`` dies within any
window of ages ``[c, c + w c]``: the law of their ages falls from 0 on, even if a client that starts anew each day shows none
of the old ones. More than a binomial law allows, considering every window that begins at an age seen, is a pattern.

The clock: cycles are turned against each other at random in thought; a part of the cycle then has as many losses as a
binomial law gives it. Losses that come in bursts count once for each cycle and part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from ..findings import Estimate, Finding, NotEnough
from ..wording import seconds
from .chance import Tested, parts
from .series import DAY, HOUR

if TYPE_CHECKING:
    from .lost import Loss

FEW = 5
"""Losses that show a period."""
WIDTH = 0.05
"""Of a window of ages, as a fraction."""
YOUNGEST = 60.0
"""Seconds; what is lost sooner was never well."""
PART = 0.3
"""Of all losses that must be of one age."""
CLOCK = tuple(hours * HOUR for hours in (1, 2, 3, 4, 6, 8, 12, 24, 168))
PARTS = 48
"""Of a cycle, each tried in two places."""
CYCLES = 0.6
"""Of all cycles that must have the loss; of those of half the period only half have."""


def periods(line: int, lost: list[Loss], interval: float, *, explained: bool) -> tuple[list[Tested], NotEnough | None]:
    """Test one line's losses.

    Args:
        line: Which.
        lost: Its losses that are not our own fault, in the order of time.
        interval: Seconds between pings, by which a loss may be noticed late.
        explained: Whether idle times explain the losses already: then there is no finding.
    """
    if len(lost) < FEW:
        missing = NotEnough(kind="period", line=line, have=len(lost), need=FEW, unit="losses")
        return [], missing if lost else None
    by_age, by_clock = _ages(line, lost, interval), _clock(line, lost)
    age, clock = by_age.finding, by_clock.finding
    if age is not None and clock is not None and _is_same(age, clock):
        if _spread(age) <= _spread(clock):
            by_clock = Tested("period", by_clock.p)
        else:
            by_age = Tested("period", by_age.p)
    if explained:
        by_age, by_clock = Tested("period", by_age.p), Tested("period", by_clock.p)
    return [by_age, by_clock], None


def unexplained(lost: list[Loss], tests: list[Tested]) -> list[Loss]:
    """Losses that no test's age explains."""
    ages = [parts(test.finding.effect)[0] for test in tests if test.finding and test.finding.details["is_age"]]
    return [loss for loss in lost if not any(abs(loss.age - age) <= WIDTH * age for age in ages)]


def _is_same(age: Finding, clock: Finding) -> bool:
    multiple = parts(age.effect)[0] / parts(clock.effect)[0]
    return round(multiple) >= 1 and abs(multiple - round(multiple)) < 0.1


def _spread(finding: Finding) -> float:
    _, low, high = parts(finding.effect)
    return high - low


def _ages(line: int, lost: list[Loss], interval: float) -> Tested:
    ages = np.array([loss.age for loss in lost])
    order = np.argsort(ages)
    ordered = ages[order]
    n = len(ordered)
    late = interval if any(loss.cause == "pong_timeout" for loss in lost) else 0.0
    width = np.maximum(WIDTH * ordered, max(10.0, late))
    count = np.searchsorted(ordered, ordered + width, side="right") - np.arange(n)
    chance = np.minimum(1.0, width / np.maximum(1.0, ordered))
    p = np.where(ordered >= YOUNGEST, np.minimum(1.0, n * binom.sf(count - 2, n - 1, chance)), 1.0)
    best = int(np.argmin(p))
    few = count[best] < max(FEW, PART * n)
    chosen = [lost[index] for index in sorted(order[best : best + count[best]])]
    return Tested(
        "period", float(p[best]), None if few or ordered[best] < YOUNGEST else _age_finding(line, chosen, n, p[best])
    )


def _age_finding(line: int, chosen: list[Loss], n: int, p: float) -> Finding:
    ages = np.array([loss.age for loss in chosen])
    low, period, high = (float(each) for each in np.quantile(ages, [0.025, 0.5, 0.975]))
    spread = f"{seconds(low)} to {seconds(high)}"
    claim = f"{len(chosen)} of {n} losses came when the connection was {seconds(period)} old ({spread})."
    effect = Estimate(value=period, low=low, high=high, n=len(chosen))
    return _finding(line, claim, effect, [loss.at for loss in chosen], p, is_age=True)


def _clock(line: int, lost: list[Loss]) -> Tested:
    at = np.array([loss.at for loss in lost])
    best: tuple[float, int, float] = (1.0, CLOCK[0], 0.0)
    found: list[tuple[float, int, float]] = []
    for period in CLOCK:
        each = min(_phases(at, period, place) for place in (0.0, 0.5))
        best = min(best, (each[0], period, each[1]))
        if each[2] >= max(FEW, CYCLES * (at[-1] - at[0]) / period) and each[0] <= 0.01:
            found.append((each[0], period, each[1]))
    if not found:
        return Tested("period", best[0])
    p, period, phase = next(each for each in found)  # the shortest: its multiples fit as well
    return Tested("period", p, _clock_finding(line, at, period, phase, p))


def _phases(at: np.ndarray[tuple[int], np.dtype[np.float64]], period: int, place: float) -> tuple[float, float, int]:
    """The part of the cycle that chance explains least: p, considering all that is tried; where it begins; its cycles."""
    part = period / PARTS
    moved = at + place * part
    pairs = np.unique(np.stack([moved // period, moved % period // part], axis=1).astype(np.int64), axis=0)
    cycles, hit = np.unique(pairs[:, 0], return_counts=True)
    counts = np.bincount(pairs[:, 1], minlength=PARTS)
    most = int(np.argmax(counts))
    p = float(binom.sf(counts[most] - 1, len(cycles), min(1.0, float(np.mean(hit)) / PARTS)))
    return min(1.0, p * 2 * PARTS * len(CLOCK)), (most - place) * part, int(counts[most])


def _clock_finding(
    line: int, at: np.ndarray[tuple[int], np.dtype[np.float64]], period: int, phase: float, p: float
) -> Finding:
    after = (at - phase) % period
    chosen = after <= period / PARTS
    spread = float(np.std(after[chosen]))
    when = float(np.median(after[chosen]) + phase) % period
    place = f"at {_clock_text(when)} UTC" if period == DAY else f"{seconds(when)} into each {seconds(period)} of UTC"
    claim = f"{int(np.sum(chosen))} of {len(at)} losses came every {seconds(period)}, {place}."
    effect = Estimate(value=float(period), low=period - 2 * spread, high=period + 2 * spread, n=int(np.sum(chosen)))
    return _finding(line, claim, effect, at[chosen].tolist(), p, is_age=False)


def _finding(line: int, claim: str, effect: Estimate, at: list[float], p: float, *, is_age: bool) -> Finding:
    middle = (at[0] + at[-1]) / 2
    early = sum(moment <= middle for moment in at)
    return Finding(
        kind="period",
        metric="losses",
        line=line,
        claim=claim,
        effect=effect,
        n=effect.n,
        p=float(p),
        p_adjusted=float(p),
        begun_at=at[0],
        ended_at=at[-1],
        halves_agree=min(early, len(at) - early) >= 2 and min(early, len(at) - early) >= len(at) / 4,
        details={"period": parts(effect)[0], "is_age": is_age},
    )


def _clock_text(time: float) -> str:
    return f"{int(time // 3600):02}:{int(time % 3600 // 60):02}"
