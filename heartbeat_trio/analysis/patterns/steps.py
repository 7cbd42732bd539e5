"""Steps: moments from which on a line's round trips take longer, or shorter, for days.

Binary segmentation. Whether there is a step is asked of blocks of a day, whose order is shuffled: whatever hangs together
within a day, hangs together in the shuffled ones too. Where it is, is asked of hours, and
of quarters of an hour around it: see `location`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from ..findings import Finding, NotEnough
from ..wording import fraction, moment
from . import chance
from .chance import Tested
from .location import locate
from .series import HOUR

if TYPE_CHECKING:
    from ..tables import Floats, Ints
    from .series import Hours

DAYS = 14
"""Fewer cannot be shuffled in a thousand ways that differ, wherever the step is."""
P = 0.001
SHORTEST = 30
"""Hours of the shortest segment ..."""
EDGE = 2
"""... and its days."""
DAY_HOURS = 12
"""Hours that a day must have."""
ROUNDS = (200, 1800, 38000)
"""Shufflings, each lot only if the ones before leave it open whether the step is one."""


@dataclass(frozen=True, slots=True)
class Level:
    """A line's hours that have a median: ``hour`` since 1970 (UTC), ``begin`` in Unix seconds, ``level`` in logarithms."""

    hour: Ints
    begin: Ints
    level: Floats

    def part(self, low: int, high: int) -> Level:
        """From one index to another."""
        return Level(self.hour[low:high], self.begin[low:high], self.level[low:high])

    def __len__(self) -> int:
        return len(self.hour)


@dataclass(frozen=True, slots=True)
class Change:
    """A step between two indexes of a `Level`, with its p."""

    index: int
    at: float
    p: float


def levels(table: Hours, level: Floats) -> Level:
    """Those hours that have a median. ``level``: without the hours of the day that are slower."""
    known = ~np.isnan(level)
    return Level(table.hour[known], table.begin[known], level[known])


def changes(series: Level, quarters: Hours, rng: np.random.Generator) -> tuple[list[Change], list[float]]:
    """All steps in the order of time, and the p of those that were asked for and are none."""
    found: list[Change] = []
    rejected: list[float] = []
    waiting = [(0, len(series))]
    while waiting:
        low, high = waiting.pop()
        part = series.part(low, high)
        tested = _split(part, rng)
        if tested is None:
            continue
        p, split = tested
        if p > P:
            rejected.append(p)
            continue
        at = locate(part.hour, part.level, split, quarters)
        index = int(np.searchsorted(part.begin, at - HOUR / 2))
        index = min(max(SHORTEST, index), len(part) - SHORTEST)
        found.append(Change(low + index, at, p))
        waiting += [(low, low + index), (low + index, high)]
    return sorted(found, key=lambda change: change.index), rejected


def _split(series: Level, rng: np.random.Generator) -> tuple[float, int] | None:
    """Whether order matters: p, and the index of the hour at which the blocks part best; None: too little to tell."""
    _, start, count = np.unique(series.hour // 24, return_index=True, return_counts=True)
    full = count >= DAY_HOURS
    if np.sum(full) < DAYS:
        return None
    rank = np.asarray(rankdata(series.level))
    means = (np.add.reduceat(rank, start) / count)[full]
    cut = _cusum(means[None, :], EDGE)
    best = int(np.argmax(cut[0]))
    p = _p(means, float(cut[0, best]), rng)
    return p, int(start[full][best + EDGE])


def _cusum(means: Floats, edge: int) -> Floats:
    """How far apart the two parts of each row are, at each place where it may be parted."""
    n = means.shape[1]
    left = np.arange(edge, n - edge + 1)
    sums = np.cumsum(means - means.mean(axis=1, keepdims=True), axis=1)[:, edge - 1 : n - edge]
    result: Floats = np.abs(sums) / np.sqrt(left * (n - left))
    return result


def _p(means: Floats, observed: float, rng: np.random.Generator) -> float:
    above, rounds = 0, 0
    for more in ROUNDS:
        rows = np.broadcast_to(means.astype(np.float32), (more, len(means)))
        shuffled = rng.permuted(rows, axis=1)
        above += int(np.sum(_cusum(shuffled, EDGE).max(axis=1) >= observed * (1 - 1e-5)))
        rounds += more
        if above > 2 + 2 * P * rounds:
            break
    return (above + 1) / (rounds + 1)


def daily(series: Level) -> tuple[Ints, Floats]:
    """Days since 1970 that have at least half of their hours, and their medians."""
    day, start, count = np.unique(series.hour // 24, return_index=True, return_counts=True)
    full = count >= DAY_HOURS
    medians = [float(np.median(series.level[at : at + size])) for at, size in zip(start[full], count[full], strict=True)]
    return day[full], np.array(medians)


def tested(line: int, series: Level, found: list[Change], rejected: list[float]) -> list[Tested]:
    """What was asked, with a finding for each step that moves enough."""
    bounds = [0, *(change.index for change in found), len(series)]
    parts = [series.part(low, high) for low, high in pairwise(bounds)]
    result = [
        Tested("step", change.p, _finding(line, change, before, after))
        for change, before, after in zip(found, parts[:-1], parts[1:], strict=True)
    ]
    return result + [Tested("step", p) for p in rejected]


def _finding(line: int, change: Change, before: Level, after: Level) -> Finding | None:
    moved = chance.shift_between(daily(before)[1], daily(after)[1])
    n = len(before) + len(after)
    effect = chance.ratio(moved, n)
    if effect.value is None or abs(moved[0]) < chance.LOG_EFFECT:
        return None
    was, now = (float(np.exp(np.median(part.level))) for part in (before, after))
    agree = all(moved[0] * (b - a) >= moved[0] ** 2 / 2 for a, b in _agreement(before, after))
    word = "longer" if moved[0] > 0 else "shorter"
    return Finding(
        kind="step",
        metric="rtt",
        line=line,
        claim=(
            f"Since {moment(change.at)} round trips take {fraction(abs(effect.value))} {word}: {1e3 * now:.3g} ms after"
            f" {1e3 * was:.3g} ms ({len(before)} hours before, {len(after)} after)."
        ),
        effect=effect,
        n=n,
        p=change.p,
        p_adjusted=change.p,
        begun_at=float(before.begin[0]),
        ended_at=float(after.begin[-1] + HOUR),
        halves_agree=agree,
        details={"moment_at": change.at, "before": was, "after": now},
    )


def _agreement(before: Level, after: Level) -> list[tuple[float, float]]:
    """Levels before and after, of every second day and of the others: halves by time cannot both hold the step."""
    pairs = []
    for odd in (0, 1):
        sides = [part.level[part.hour // 24 % 2 == odd] for part in (before, after)]
        if all(len(side) for side in sides):
            pairs.append((float(np.median(sides[0])), float(np.median(sides[1]))))
    return pairs if len(pairs) == 2 else [(0.0, 0.0)]


def missing(line: int, days: Ints) -> NotEnough | None:
    """That there are not enough days."""
    return None if len(days) >= DAYS else NotEnough(kind="step", line=line, have=len(days), need=DAYS, unit="days")
