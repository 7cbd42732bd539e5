"""Months as cells, straight from hourly levels: no journal is written, so thousands of them are cheap.

Hourly medians (as logarithms) follow an autoregressive process of order 1 with phi 0.6, have an offset for each day, and 2 %
of them are far off: the law that `heartbeat_trio.testing.made_up` writes journals by, and under which naive tests find a
"pattern" in every month.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heartbeat_trio.analysis.tables import GAMMA, Cells, Journals, Line, Pings, SessionSpan, Sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heartbeat_trio.analysis.tables import Floats, Happening

BEGIN = 1_772_409_600
"""2026-03-02 00:00 UTC, a Monday."""
PHI, SIGMA, DAY_SIGMA, OUTLIERS, OUTLIER = 0.6, 0.15, 0.10, 0.02, 0.6
QUARTER_SIGMA = 0.014
"""Of the median of a quarter's pings around the hour's level."""
SPREAD = 0.05
"""Of the pings' logarithms around their level, as far as the sketch shows it."""
WEIGHTS = (18, 36, 72, 36, 18)
"""Pings of a quarter of an hour by bucket: one each 5 s."""


def null_levels(days: int, rng: np.random.Generator, *, sigma: float = SIGMA) -> Floats:
    """The logarithm of the median by hour, where nothing is planted."""
    hours = 24 * days
    noise = rng.normal(0, sigma * np.sqrt(1 - PHI**2), hours)
    level = np.empty(hours)
    level[0] = rng.normal(0, sigma)
    for hour in range(1, hours):
        level[hour] = PHI * level[hour - 1] + noise[hour]
    level += np.repeat(rng.normal(0, DAY_SIGMA, days), 24)
    far = rng.random(hours) < OUTLIERS
    level[far] += rng.exponential(OUTLIER, int(far.sum()))
    result: Floats = np.log(0.030) + level
    return result


def by_quarter(hourly: Floats) -> Floats:
    """Hours' levels as those of their quarters."""
    result: Floats = np.repeat(hourly, 4)
    return result


def null_month(days: int, seed: int, *, lines: int = 1, sigma: float = SIGMA) -> Journals:
    """A month in which there is nothing to find."""
    rng = np.random.default_rng(seed)
    levels = [by_quarter(null_levels(days, rng, sigma=sigma)) for _ in range(lines)]
    return journals_of(cells_of(levels, rng))


def journals_of(
    cells: Cells,
    *,
    lines: Sequence[Line] = (),
    happenings: Sequence[Happening] = (),
    pings: Pings | None = None,
    sessions: Sequence[SessionSpan] = (),
) -> Journals:
    """Cells with what goes with them; lines and sessions are made up where none are given."""
    count = max(int(cells.line.max()) + 1 if len(cells) else 1, len(lines))
    lines = lines or tuple(Line("desk", f"ws://host{index}.example/feed") for index in range(count))
    span = (float(cells.begin.min()), float(cells.begin.max()) + 900) if len(cells) else (float(BEGIN), float(BEGIN))
    sessions = sessions or tuple(
        SessionSpan(f"s{index}", index, "w", *span, 0.0, span[1] - span[0], {}) for index in range(count)
    )
    return Journals(
        sources=Sources(("made",)),
        lines=tuple(lines),
        sessions=tuple(sessions),
        cells=cells,
        pings=pings if pings is not None else no_pings(),
        quick=(0.5,) * count,
        happenings=tuple(happenings),
    )


def no_pings() -> Pings:
    """An empty table."""
    whole, real = np.zeros(0, dtype=np.int64), np.zeros(0)
    return Pings(
        whole, whole, whole, real, real, real, np.zeros(0, dtype="<U1"), real, np.zeros(0, dtype=np.bool_), real, real
    )


def cells_of(
    levels: Sequence[Floats], rng: np.random.Generator, *, begin: int = BEGIN, misses: float | Floats = 0.0002
) -> Cells:
    """Cells of one line for each array of levels.

    Args:
        levels: Logarithms of medians by quarter of an hour; NaN is a gap.
        rng: For the pings' own noise.
        begin: Unix time of the first.
        misses: Probability of a miss, or one for each quarter.
    """
    parts = [_line(index, level, rng, begin, misses) for index, level in enumerate(levels)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    offset = np.concatenate([[0], np.cumsum(columns.pop("size"))])
    return Cells(offset=offset, **columns)


def _line(
    index: int, level: Floats, rng: np.random.Generator, begin: int, misses: float | Floats
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    quarter = level + rng.normal(0, QUARTER_SIGMA, len(level))
    at = begin + 900 * np.arange(len(quarter))
    chance = np.broadcast_to(np.asarray(misses, dtype=np.float64), quarter.shape)
    missed = rng.binomial(180, chance)
    known = ~np.isnan(quarter)
    quarter, at, missed = quarter[known], at[known], missed[known]
    middle = np.ceil((quarter - np.log(1e-6)) / np.log(GAMMA)).astype(np.int64)
    step = max(1, round(SPREAD / np.log(GAMMA)))
    bucket = middle[:, None] + step * np.arange(-2, 3)[None, :]
    count = np.broadcast_to(np.array(WEIGHTS), bucket.shape)
    rows = len(at)
    zero = np.zeros(rows, dtype=np.int64)
    answered = np.full(rows, sum(WEIGHTS)) - missed
    return {
        "line": np.full(rows, index),
        "begin": at,
        "sent": answered + missed,
        "answered": answered,
        "late": zero,
        "missed": missed,
        "voided": zero,
        "cancelled": zero,
        "ours": zero,
        "size": np.full(rows, len(WEIGHTS)),
        "bucket": bucket.ravel(),
        "count": count.ravel(),
    }
