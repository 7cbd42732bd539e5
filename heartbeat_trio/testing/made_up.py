"""Journals of any length with planted truth, to see what an analysis makes of them.

A month of two endpoints, slower by a half each day at 9 and 10 in New York, and with an outage now and then::

    from heartbeat_trio.testing import HourlySlowdown, Outages, make_up_journal

    truth = make_up_journal(
        "month",
        days=30,
        endpoints=("ws://a.example/feed", "ws://b.example/feed"),
        planted=(
            HourlySlowdown(hours=(9, 10), factor=1.5, zone="America/New_York"),
            Outages(per_day=0.5, mean_length=40.0),
        ),
    )
    print(truth.outages)

Then ``heartbeat-trio analyze month`` should find both, and nothing else. The files are in the format of
`heartbeat_trio.journal`, as a client would have written them in that time: wherever something goes wrong, what they say was
said by `sansio.heartbeat`, `sansio.pinglog` and `sansio.restart` themselves on simulated traffic. The same arguments give
the same bytes.

Needs numpy, which the extra `analysis` brings. Times named ``..._at`` are Unix seconds; all durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import msgspec

from ..config import HeartbeatPolicy, _require, _require_one_of, _require_whole
from ..endpoint import Endpoint
from ..exceptions import ConfigError
from ._made_up_truth import Trouble, Truth

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY = 86400.0
QUARTER = 900
"""Seconds: every time zone's hours are whole numbers of them."""
PAUSE = 20.0
"""Seconds that the client is away when it is started anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """How a line behaves where nothing is planted.

    The logarithm of the round-trip time is a level and noise. The level varies from hour to hour as an autoregressive
    process of order 1, and from day to day at random; a few hours are far off, as real ones are.

    Args:
        rtt: The median round-trip time.
        sigma: Standard deviation of single pings' logarithms around the level.
        hour_sigma: ... of the hours' levels.
        phi: Correlation of an hour's level with that of the hour before.
        day_sigma: Standard deviation of the days' levels.
        outliers: Share of hours that are far off.
        outlier: Mean size of that, as a logarithm (0.6: slower by 80 %).
        spikes: Share of pings that take 2 to 20 times as long.
        misses: Probability that a ping has no answer in time, while data flows on.
        quotes: Quotes a second, at random moments.
    """

    rtt: float = 0.030
    sigma: float = 0.15
    hour_sigma: float = 0.15
    phi: float = 0.6
    day_sigma: float = 0.10
    outliers: float = 0.02
    outlier: float = 0.6
    spikes: float = 0.001
    misses: float = 0.0002
    quotes: float = 2.0

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "rtt", minimum=0, exclusive=True)
        for name in ("sigma", "hour_sigma", "day_sigma", "outlier"):
            _require(self, name, minimum=0)
        for name in ("outliers", "spikes", "misses"):
            _require(self, name, minimum=0, maximum=1)
        _require(self, "phi", minimum=0, maximum=0.999)
        _require(self, "quotes", minimum=0, exclusive=True, maximum=1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlySlowdown:
    """Round trips are ``factor`` times as long in these hours (0..23) of the zone's day. ``endpoint`` None: everywhere."""

    hours: tuple[int, ...]
    factor: float = 1.3
    zone: str = "UTC"
    endpoint: str | None = None

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "factor", minimum=0.01, maximum=1000)
        if not self.hours or not set(self.hours) <= set(range(24)):
            raise ConfigError(f"HourlySlowdown.hours = {self.hours!r} must be some of 0 to 23")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekdaySlowdown:
    """Round trips are ``factor`` times as long on this day of the week (0: Monday) of the zone."""

    weekday: int
    factor: float = 1.3
    zone: str = "UTC"
    endpoint: str | None = None

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "factor", minimum=0.01, maximum=1000)
        _require_whole(self, "weekday", minimum=0)
        _require(self, "weekday", minimum=0, maximum=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From ``at_day`` days after the start on, round trips are ``factor`` times as long."""

    at_day: float
    factor: float = 1.5
    endpoint: str | None = None

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "factor", minimum=0.01, maximum=1000)
        _require(self, "at_day", minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Round trips grow by this fraction a day (compound): 0.01 is 1 % a day."""

    per_day: float
    endpoint: str | None = None

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "per_day", minimum=-0.5, maximum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MissRate:
    """From ``from_day`` on, a ping is missed with the probability ``rate``, instead of `Law.misses`."""

    rate: float
    from_day: float = 0.0
    endpoint: str | None = None

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "rate", minimum=0, maximum=1)
        _require(self, "from_day", minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleKill:
    """A NAT or proxy forgets connections on which no byte went either way for ``after`` seconds, and tells nobody.

    Where pings are rarer than that, quotes come in bursts, ``burst_gap`` seconds apart on average (but never less than
    half a second), so that some idle times exceed it. Such a policy should have a `max_pongless` of more than
    `HeartbeatPolicy.bound`, or its first miss ends the connection.
    """

    after: float = 350.0
    burst_gap: float = 120.0
    endpoint: str | None = None

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "after", minimum=1)
        _require(self, "burst_gap", minimum=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicDisconnect:
    """The server closes every connection at an age of ``period`` (`is_age`), or all of them each ``period`` by the clock."""

    period: float = DAY
    is_age: bool = True
    endpoint: str | None = None

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "period", minimum=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStalls:
    """Our own program does not run, so often a day on average, at random moments.

    Args:
        per_day: How many stalls a day.
        length: Each block of one lasts 0.5 to 1.5 times so many seconds.
        blocks: Blocks of one stall; between two of them the program runs for a hundredth of a second, as an overloaded one
            does, so that it sends a ping and is late for the pong.
    """

    per_day: float
    length: float = 4.0
    blocks: int = 2

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "per_day", minimum=0, maximum=200)
        _require(self, "length", minimum=0.6, maximum=600)
        _require_whole(self, "blocks", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outages:
    """Trouble of the network or of the peer, so often a day on average, exponentially long.

    Args:
        per_day: How many a day.
        mean_length: Of how many seconds, on average; the shortest lasts 1 s.
        causes: What happens: one of them each time.
        venue_wide: Whether all endpoints have them at the same time; else each has its own.
        endpoint: Whose; None: everybody's.
        at: Exact ones besides: days after the start, and seconds. Those after the journal's end are left out.

    Troubles (stalls and restarts too) are kept four minutes apart on a line, so that each is itself: of those that would be
    closer, the later one is left out, or the one that is not `venue_wide`. `Truth.outages` has what is left.
    """

    per_day: float = 0.0
    mean_length: float = 30.0
    causes: tuple[Trouble, ...] = get_args(Trouble)
    venue_wide: bool = False
    endpoint: str | None = None
    at: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "per_day", minimum=0, maximum=200)
        _require(self, "mean_length", minimum=1)
        if self.venue_wide and self.endpoint is not None:
            raise ConfigError(f"Outages.endpoint = {self.endpoint!r} must be None where they are venue_wide")
        if not self.causes or not set(self.causes) <= set(get_args(Trouble)):
            raise ConfigError(f"Outages.causes = {self.causes!r} must be some of {', '.join(get_args(Trouble))}")
        if not all(0 <= day < inf and 0 < seconds < inf for day, seconds in self.at):
            raise ConfigError(f"Outages.at = {self.at!r} must be pairs of days, at least 0, and seconds above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowEndpoint:
    """One endpoint's round trips are ``factor`` times as long as the others'."""

    endpoint: str
    factor: float = 1.3

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "factor", minimum=0.01, maximum=1000)


Plant = (
    HourlySlowdown
    | WeekdaySlowdown
    | Step
    | Drift
    | MissRate
    | IdleKill
    | PeriodicDisconnect
    | LocalStalls
    | Outages
    | SlowEndpoint
)


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of `make_up_journal`, checked."""

    folder: Path
    begun_at: float
    length: float
    endpoints: tuple[Endpoint, ...]
    seed: int
    heartbeat: HeartbeatPolicy
    law: Law
    planted: tuple[Plant, ...]
    restarts: tuple[float, ...]
    subscribe: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The endpoints, as the journal names them."""
        return tuple(map(str, self.endpoints))


def make_up_journal(
    folder: Path | str,
    *,
    days: float,
    endpoints: Sequence[str] = ("ws://a.example/feed",),
    start: str = "2026-01-05",
    seed: int = 0,
    heartbeat: HeartbeatPolicy | None = None,
    law: Law | None = None,
    planted: Sequence[Plant] = (),
    client_restarts: Sequence[float] = (),
    subscribe: Sequence[str] = ("BTCUSD",),
) -> Truth:
    """Write one client's journal into a folder, which must not hold one yet, and return what is true of it.

    Args:
        folder: Is made if it is not there.
        days: How long.
        endpoints: URLs; the client keeps one session to each.
        start: ISO 8601, UTC; the default is a Monday.
        seed: Of everything random. Another seed is another client, or another month of the same.
        heartbeat: What the client's policy was; its schedule must be `every`, and not adaptive.
        law: Without plants, the law is all there is: random, but autocorrelated.
        planted: What is not chance.
        client_restarts: Days after the start at which the client was stopped in an orderly way.
        subscribe: Symbols.

    Raises:
        ConfigError: A value is impossible, numpy is missing, or the folder holds a journal.
        OSError: The folder cannot be written.
    """
    policy = heartbeat or HeartbeatPolicy()
    _check_policy(policy)
    if not 0.001 <= days <= 3660:
        raise ConfigError(f"days = {days!r} must be from 0.001 to 3660")
    where = tuple(Endpoint.parse(endpoint) for endpoint in endpoints)
    names = [str(endpoint) for endpoint in where]
    if not where or len(set(names)) < len(names):
        raise ConfigError(f"endpoints = {tuple(endpoints)!r} must be one or more, each once")
    recipe = Recipe(
        folder=Path(folder),
        begun_at=_start(start),
        length=days * DAY,
        endpoints=where,
        seed=seed,
        heartbeat=policy,
        law=law or Law(),
        planted=tuple(_named(plant, names) for plant in planted),
        restarts=_restarts(client_restarts, days),
        subscribe=tuple(subscribe),
    )
    try:
        import_module("numpy")
    except ImportError as error:  # pragma: no cover - the extra is installed where the tests run
        raise ConfigError("made-up journals need numpy: pip install 'heartbeat-trio[analysis]'") from error
    from ._made_up_writer import write_journal

    return write_journal(recipe)


def _check_policy(policy: HeartbeatPolicy) -> None:
    _require_one_of(policy, "schedule", ("every",))
    if policy.adaptive:
        raise ConfigError("HeartbeatPolicy.adaptive = True must be False: made-up journals have no probes")


def _restarts(moments: Sequence[float], days: float) -> tuple[float, ...]:
    edges = [0.0, *sorted(moments), days]
    if not all(later - earlier >= 2 * PAUSE / DAY for earlier, later in pairwise(edges)):
        raise ConfigError(f"client_restarts = {tuple(moments)!r} must be days of the journal, and apart from each other")
    return tuple(DAY * moment for moment in edges[1:-1])


def _start(text: str) -> float:
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"start = {text!r} must be a time in UTC such as 2026-01-05 or 2026-01-05T10:00") from error
    return when.replace(tzinfo=when.tzinfo or UTC).timestamp()


def _named(plant: Plant, names: Sequence[str]) -> Plant:
    """The plant with its endpoint as the journal names it."""
    if isinstance(plant, LocalStalls) or plant.endpoint is None:
        return plant
    name = str(Endpoint.parse(plant.endpoint))
    if name not in names:
        raise ConfigError(f"{type(plant).__name__}.endpoint = {plant.endpoint!r} must be one of {', '.join(names)}")
    return replace(plant, endpoint=name)
