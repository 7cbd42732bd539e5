"""What happens in a made-up month: the level of every line's round trips by time, and all that goes wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from math import ceil, exp, inf, log, sqrt
from random import Random
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from ..exceptions import ConfigError
from ._made_up_life import RTO, Blocked
from .made_up import (
    DAY,
    QUARTER,
    Drift,
    HourlySlowdown,
    IdleKill,
    LocalStalls,
    MissRate,
    Outages,
    PeriodicDisconnect,
    SlowEndpoint,
    Step,
    WeekdaySlowdown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from ._made_up_truth import Trouble
    from .made_up import Plant, Recipe

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]
    Span = tuple[float, float]

BREATH = 0.01
"""Seconds for which our program runs between two blocks of a stall."""
APART = 240.0
"""Seconds between the end of one trouble and the beginning of the next, so that each is itself."""


class Outage:
    """One line's outage; times are seconds since the start."""

    def __init__(self, begin: float, end: float, trouble: Trouble, *, venue_wide: bool, healed: float) -> None:
        self.begin = begin
        self.end = end
        self.trouble: Trouble = trouble
        self.venue_wide = venue_wide
        self.healed = healed
        self.lost_at: float | None = None

    @property
    def is_silent(self) -> bool:
        """Whether it is noticed only by what does not come."""
        return self.trouble in ("path_dead", "peer_silent")

    @property
    def blocked(self) -> Blocked:
        """For the connection's life."""
        return Blocked(self.begin, self.end, self.healed, self.trouble == "path_dead")


class World:
    """All that is not decided by the client. Times are seconds since the journal's start.

    Args:
        recipe: What is asked for.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        wide = [*self._shared_outages()]
        own = [[*self._own_outages(name)] for name in recipe.names]
        restarts = [(moment, moment + APART) for moment in (*recipe.restarts, recipe.length)]
        trains = _apart(sorted(self._stalls(), key=lambda train: train[0]), restarts)
        self.stalls = [block for train in trains for block in train]
        busy = [(train[0][0], train[-1][1]) for train in trains] + restarts
        drawn = _apart_outages(wide, busy)
        self.lines = [
            LineWorld(recipe, number, name, self.stalls, _apart_outages([*drawn, *own[number]], busy))
            for number, name in enumerate(recipe.names)
        ]

    def _stalls(self) -> Iterator[list[Span]]:
        """Trains of blocks, between which our loop runs for a moment."""
        for index, plant in enumerate(self.recipe.planted):
            if isinstance(plant, LocalStalls):
                rng = Random(f"{self.recipe.seed} stalls {index}")
                for begin in _moments(rng, plant.per_day, self.recipe.length):
                    train, at = [], begin
                    for _ in range(plant.blocks):
                        train.append((at, at + plant.length * rng.uniform(0.5, 1.5)))
                        at = train[-1][1] + BREATH
                    yield train

    def _shared_outages(self) -> Iterator[Outage]:
        for index, plant in enumerate(self.recipe.planted):
            if isinstance(plant, Outages) and plant.venue_wide:
                yield from _draw_outages(plant, Random(f"{self.recipe.seed} outages {index}"), self.recipe.length)

    def _own_outages(self, name: str) -> Iterator[Outage]:
        for index, plant in enumerate(self.recipe.planted):
            if isinstance(plant, Outages) and not plant.venue_wide and plant.endpoint in (None, name):
                yield from _draw_outages(plant, Random(f"{self.recipe.seed} outages {index} {name}"), self.recipe.length)


class LineWorld:
    """One line's part of the world."""

    def __init__(self, recipe: Recipe, number: int, name: str, stalls: list[Span], outages: list[Outage]) -> None:
        self.recipe, self.number, self.name = recipe, number, name
        self.endpoint = recipe.endpoints[number]
        self.law = recipe.law
        self.stalls = stalls
        self.outages = [_own(outage, self.law.rtt, f"{recipe.seed} {name}") for outage in outages]
        self.plants = [plant for plant in recipe.planted if getattr(plant, "endpoint", None) in (None, name)]
        self.vectors = np.random.default_rng([recipe.seed & 0xFFFFFFFF, number, 1])
        self.rng = Random(f"{recipe.seed} line {number}")
        self._levels = self._make_levels(np.random.default_rng([recipe.seed & 0xFFFFFFFF, number, 2]))
        self._steps = [(plant.at_day * DAY, log(plant.factor)) for plant in self.plants if isinstance(plant, Step)]
        self._growth = sum(log(1 + plant.per_day) for plant in self.plants if isinstance(plant, Drift)) / DAY
        self._rates = [(plant.from_day * DAY, plant.rate) for plant in self.plants if isinstance(plant, MissRate)]

    @cached_property
    def forgets(self) -> float:
        """Idle seconds after which a connection is forgotten on its way."""
        return min((plant.after for plant in self.plants if isinstance(plant, IdleKill)), default=inf)

    @cached_property
    def is_rare(self) -> bool:
        """Whether idle times can kill: then all is simulated moment by moment."""
        return self.recipe.heartbeat.ping_interval > self.forgets

    @cached_property
    def _burst_gap(self) -> float:
        return max(0.5, next(plant.burst_gap for plant in self.plants if isinstance(plant, IdleKill)))

    def next_quote(self, after: float) -> float:
        """When the next quote comes."""
        if not self.is_rare:
            return after + self.rng.expovariate(self.law.quotes)
        if self.rng.random() < 0.7:  # a burst goes on
            return after + self.rng.expovariate(self.law.quotes)
        return after + 0.5 + self.rng.expovariate(1 / self._burst_gap)

    def median(self, at: Floats) -> Floats:
        """The round trip that is normal at these times."""
        quarter = ((at + self.recipe.begun_at % QUARTER) // QUARTER).astype(np.int64)
        level = self._levels[np.minimum(quarter, len(self._levels) - 1)] + self._growth * at
        for begin, size in self._steps:
            level = level + size * (at >= begin)
        result: Floats = np.exp(level)
        return result

    def round_trip(self, at: float) -> float:
        """One round trip that begins at this time."""
        return float(self.median(np.array([at]))[0]) * exp(self.rng.gauss(0, self.law.sigma))

    def round_trips(self, ticks: Floats) -> tuple[Floats, Flags]:
        """The round trips of pings that are due at these times, and which of them are missed."""
        draw, count = self.vectors, len(ticks)
        rtt = self.median(ticks) * np.exp(self.law.sigma * draw.standard_normal(count))
        spiked = draw.random(count) < self.law.spikes
        rtt = np.where(spiked, rtt * draw.uniform(2, 20, count), rtt)
        missed: Flags = draw.random(count) < self.miss_rate(ticks)
        return rtt, missed

    def miss_rate(self, at: Floats) -> Floats:
        """The probability that a ping is missed while all is well."""
        rate = np.full(len(at), self.law.misses)
        for begin, planted in self._rates:
            rate = np.where(at >= begin, planted, rate)
        return rate

    def late_answer(self) -> float | None:
        """How long the pong of a missed ping takes; None: it never comes."""
        timeout = self.recipe.heartbeat.pong_timeout
        return timeout * self.rng.uniform(1.01, 1.6) if self.rng.random() < 0.7 else None

    def outage_in(self, begin: float, end: float) -> Outage | None:
        """The first outage that overlaps a time."""
        return next((each for each in self.outages if each.begin <= end and each.end > begin), None)

    def closes(self, connected: float) -> tuple[float, Outage | None]:
        """When a connection that stands since then is ended by the peer, and by which outage."""
        ends: list[tuple[float, Outage | None]] = [(inf, None)]
        ends += [(each.begin, each) for each in self.outages if each.begin >= connected and not each.is_silent][:1]
        for plant in self.plants:
            if isinstance(plant, PeriodicDisconnect):
                begun = connected if plant.is_age else (connected // plant.period) * plant.period
                ends.append((begun + plant.period, None))
        return min(ends, key=lambda each: each[0])

    def next_trouble(self, after: float) -> float:
        """When the next stall or silent outage begins."""
        begins = [begin for begin, _ in self.stalls if begin >= after][:1]
        begins += [each.begin for each in self.outages if each.begin >= after][:1]
        return min(begins, default=inf)

    def is_troubled(self, begin: float, end: float) -> bool:
        """Whether a stall or an outage overlaps a time."""
        return any(each.begin < end and max(each.end, each.healed) > begin for each in self.outages) or any(
            stall[0] < end and stall[1] > begin for stall in self.stalls
        )

    def _make_levels(self, draw: np.random.Generator) -> Floats:
        """The logarithm of the median by quarters of an hour, the first one being that of the start."""
        law = self.law
        quarters = ceil(self.recipe.length / QUARTER) + 8
        begin = self.recipe.begun_at // QUARTER * QUARTER
        hours = ((begin + QUARTER * np.arange(quarters)) // 3600 - begin // 3600).astype(np.int64)
        days = ((begin + QUARTER * np.arange(quarters)) // DAY - begin // DAY).astype(np.int64)
        by_hour = _autoregressive(draw, int(hours[-1]) + 1, law.phi, law.hour_sigma)
        off = draw.random(len(by_hour)) < law.outliers
        by_hour = by_hour + off * np.abs(draw.standard_normal(len(by_hour))) * law.outlier / sqrt(2 / np.pi)
        by_day = law.day_sigma * draw.standard_normal(int(days[-1]) + 1)
        levels: Floats = log(law.rtt) + by_hour[hours] + by_day[days]
        for plant in self.plants:
            levels = levels + _planted_level(plant, begin, quarters)
        return levels


def _autoregressive(draw: np.random.Generator, count: int, phi: float, sigma: float) -> Floats:
    """An AR(1) process with this standard deviation, stationary from the start."""
    noise = draw.standard_normal(count) * sigma
    for index in range(1, count):
        noise[index] = phi * noise[index - 1] + sqrt(1 - phi * phi) * noise[index]
    return noise


def _planted_level(plant: Plant, begin: float, quarters: int) -> Floats:
    match plant:
        case SlowEndpoint():
            return np.full(quarters, log(plant.factor))
        case HourlySlowdown():
            local = _local_times(begin, quarters, plant.zone)
            return log(plant.factor) * np.array([moment.hour in plant.hours for moment in local])
        case WeekdaySlowdown():
            local = _local_times(begin, quarters, plant.zone)
            return log(plant.factor) * np.array([moment.weekday() == plant.weekday for moment in local])
        case _:
            return np.zeros(quarters)


def _local_times(begin: float, quarters: int, zone: str) -> list[datetime]:
    try:
        where = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"zone = {zone!r} must be one such as Europe/Berlin, and the system must know it") from error
    return [datetime.fromtimestamp(begin + QUARTER * index, UTC).astimezone(where) for index in range(quarters)]


def _moments(rng: Random, per_day: float, length: float) -> Iterator[float]:
    """Moments of a Poisson process."""
    at = 0.0
    while per_day:
        at += rng.expovariate(per_day / DAY)
        if at >= length:
            return
        yield at


def _draw_outages(plant: Outages, rng: Random, length: float) -> Iterator[Outage]:
    moments = [(at, max(1.0, rng.expovariate(1 / plant.mean_length))) for at in _moments(rng, plant.per_day, length)]
    moments += [(DAY * day, seconds) for day, seconds in plant.at if DAY * day < length]
    for begin, seconds in moments:
        trouble = rng.choice(plant.causes)
        yield Outage(begin, begin + seconds, trouble, venue_wide=plant.venue_wide, healed=begin + seconds)


def _own(outage: Outage, rtt: float, seed: str) -> Outage:
    """A line's own copy, with the moment at which what was under way comes: the kernel sends again after 0.2 s, 0.6 s..."""
    healed = outage.end + rtt
    if outage.trouble == "path_dead":
        begin, wait = outage.begin + Random(f"{seed} {outage.begin}").uniform(0, 1), RTO
        while begin < outage.end:
            begin, wait = begin + wait, 2 * wait
        healed = begin + rtt
    return Outage(outage.begin, outage.end, outage.trouble, venue_wide=outage.venue_wide, healed=healed)


def _apart(trains: list[list[Span]], taken: list[Span]) -> list[list[Span]]:
    """Those that are apart from each other and from what is taken; the earlier one wins."""
    kept: list[list[Span]] = []
    for train in trains:
        others = [(each[0][0], each[-1][1]) for each in kept[-1:]] + taken
        if _is_apart(train[0][0], train[-1][1], others):
            kept.append(train)
    return kept


def _is_apart(begin: float, end: float, others: list[Span]) -> bool:
    return begin >= APART and all(begin > other[1] + APART or end + APART < other[0] for other in others)


def _apart_outages(outages: list[Outage], busy: list[Span]) -> list[Outage]:
    """Those that are apart; those of the whole venue win."""
    kept: list[Outage] = []
    for outage in sorted(outages, key=lambda each: (not each.venue_wide, each.begin)):
        if _is_apart(outage.begin, outage.end, [(each.begin, each.end) for each in kept] + busy):
            kept.append(outage)
    return sorted(kept, key=lambda each: each.begin)
