"""Patterns in weeks of journals: what chance does not explain, and what there is not enough data for yet."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from ..spans import session_times
from ..tables import QUARTER
from . import chance, compare, drift, idle, periods, season, series, steps, together
from .lost import Loss, losses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..findings import Finding, NotEnough
    from ..spans import SessionTime
    from ..tables import Journals
    from .chance import Tested

__all__ = ["find_patterns"]


def find_patterns(
    journals: Journals, *, zone: ZoneInfo, seed: int = 0, times: Sequence[SessionTime] | None = None
) -> tuple[tuple[Finding, ...], tuple[NotEnough, ...]]:
    """Look for every kind of pattern in all lines at once.

    Args:
        journals: What was read.
        zone: In which hours and days are told; UTC is looked at as well.
        seed: Of the shufflings: the same journals and seed give the same findings.
        times: `session_times` of it, where they are known already.

    Returns:
        What was found, the least likely by chance first, and what could not be looked for yet.
    """
    utc = ZoneInfo("UTC")
    seasons = season.look(journals.cells, zone, utc)
    zones = {zone.key: zone, utc.key: utc}
    tests: list[Tested] = []
    missing = list(seasons.not_enough)
    tables = dict(series.hours(journals.cells))
    _levels(journals, tables, _alone(seasons, zone), zones, np.random.default_rng(seed), tests, missing)
    lost = losses(session_times(journals) if times is None else times)
    _of_losses(journals, lost, tests, missing)
    compared, few = compare.slower(journals.lines, tables)
    tests += compared
    missing += few
    families = [(each.family, each.p) for each in seasons.tests] + [(each.family, each.p) for each in tests]
    p_adjusted = chance.adjusted(families, days=seasons.days).tolist()
    split = len(seasons.tests)
    found = season.findings(seasons.tests, p_adjusted[:split], zone=zone.key)
    for test, adjusted in zip(tests, p_adjusted[split:], strict=True):
        if test.finding is not None and adjusted <= chance.Q:
            found.append(msgspec.structs.replace(test.finding, p_adjusted=adjusted))
    found = compare.only_the_best(found)
    return tuple(sorted(found, key=lambda each: (each.p_adjusted, each.p))), tuple(missing)


def _alone(seasons: season.Seasons, zone: ZoneInfo) -> list[Finding]:
    """What the hours would show if nothing else were tested: steps and drift are looked for without it."""
    families = [(each.family, each.p) for each in seasons.tests]
    return season.findings(seasons.tests, chance.adjusted(families, days=seasons.days).tolist(), zone=zone.key)


def _levels(
    journals: Journals,
    tables: dict[int, series.Hours],
    seasonal: list[Finding],
    zones: dict[str, ZoneInfo],
    rng: np.random.Generator,
    tests: list[Tested],
    missing: list[NotEnough],
) -> None:
    """Steps and drift of every line."""
    quarters = dict(series.hours(journals.cells, width=QUARTER))
    for line, table in tables.items():
        own = [each for each in seasonal if each.line == line]
        level = steps.levels(table, season.without(table, own, zones))
        days, medians = steps.daily(level)
        few = [each for each in (steps.missing(line, days), drift.missing(line, days)) if each is not None]
        missing += few
        found, rejected = steps.changes(level, quarters[line], rng)
        stepped = steps.tested(line, level, found, rejected)
        if len(days) >= drift.DAYS:
            trend = drift.drift_test(line, days, medians)
            told = [test.finding for test in stepped if test.finding is not None]
            moments = [float(str(each.details["moment_at"])) / series.DAY for each in told]
            is_trend = not told or drift.is_better_than_steps(days, medians, moments)
            if not is_trend:
                trend = chance.Tested("drift", trend.p)
            elif told and trend.finding is not None:
                stepped = [chance.Tested("step", test.p) for test in stepped]
            tests.append(trend)
        tests += stepped


def _of_losses(journals: Journals, lost: list[Loss], tests: list[Tested], missing: list[NotEnough]) -> None:
    """Idle times, periods, and what several lines had at once."""
    idles, intervals, by_chance = idle.idle_times(journals, lost), _intervals(journals), list[Loss]()
    for line in range(len(journals.lines)):
        explained = False
        if line in idles:
            test, few = idle.idle_test(line, idles[line])
            tests += [test] if test is not None else []
            missing += [few] if few is not None else []
            explained = test is not None and test.finding is not None and test.p <= chance.Q / 10
        own = [loss for loss in lost if loss.line == line and not loss.is_ours]
        tested, few = periods.periods(line, own, intervals.get(line, 0.0), explained=explained)
        tests += tested
        missing += [few] if few is not None else []
        by_chance += periods.unexplained(own, [test for test in tested if test.p <= chance.Q / 10])
    by_chance.sort(key=lambda loss: (loss.at, loss.line))
    tests += together.together(journals, by_chance)


def _intervals(journals: Journals) -> dict[int, float]:
    """Seconds between pings by line, as far as single ones are known."""
    pings = journals.pings
    if len(pings) < 2:
        return {}
    next_to = (np.diff(pings.ping) == 1) & (np.diff(pings.connection) == 0) & (np.diff(pings.session) == 0)
    owner = np.array([each.line for each in journals.sessions], dtype=np.int64)[pings.session[1:][next_to]]
    gaps = np.diff(pings.t)[next_to]
    return {line: float(np.median(gaps[owner == line])) for line in np.unique(owner).tolist()}
