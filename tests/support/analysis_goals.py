"""How often the patterns of an analysis are right and wrong, on months whose truth is known.

Each function does one month by its seed, so that a test may do a few and a benchmark all.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from heartbeat_trio.analysis.load import load
from heartbeat_trio.analysis.patterns import find_patterns
from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.testing.made_up import IdleKill, LocalStalls, make_up_journal
from tests.support.analysis_cells import BEGIN, by_quarter, cells_of, journals_of, null_levels, null_month

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heartbeat_trio.analysis.findings import Finding
    from heartbeat_trio.testing.made_up import Plant

UTC = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")


class Hours(NamedTuple):
    """Hours that were claimed of a month in which one is slow."""

    found: bool
    exact: int
    neighbours: int
    claimed: int


class Steps(NamedTuple):
    """How far, in hours, the nearest claimed step is from the true one, and how many others there are."""

    off: float
    false: int


def null(seed: int, *, days: int = 28, lines: int = 1, zone: ZoneInfo = NEW_YORK) -> tuple[Finding, ...]:
    """What is claimed of a month in which nothing is planted. The clocks of New York change in it."""
    return find_patterns(null_month(days, seed, lines=lines), zone=zone)[0]


def slow_hour(seed: int, *, days: int = 14, factor: float = 1.3) -> Hours:
    """A random hour of the day is slower."""
    rng = np.random.default_rng([seed, 1])
    hour = int(rng.integers(24))
    level = null_levels(days, rng)
    level[hour::24] += np.log(factor)
    findings, _ = find_patterns(journals_of(cells_of([by_quarter(level)], rng)), zone=UTC)
    claimed = [number for each in findings if each.kind == "hour" for number in numbers_of(each)]
    apart = [min((number - hour) % 24, (hour - number) % 24) for number in claimed]
    return Hours(hour in claimed, sum(each == 0 for each in apart), sum(each <= 1 for each in apart), len(claimed))


def numbers_of(finding: Finding) -> tuple[int, ...]:
    """Its hours, or days."""
    numbers = finding.details["numbers"]
    return numbers if isinstance(numbers, tuple) else ()


def one_step(seed: int, *, days: int = 30, factor: float = 1.5, on_the_hour: bool = False) -> Steps:
    """Round trips take longer from a random quarter of an hour on, five days or more from either end."""
    rng = np.random.default_rng([seed, 2])
    index = int(rng.integers(5 * 96, (days - 5) * 96))
    index -= index % 4 if on_the_hour else 0
    level = by_quarter(null_levels(days, rng))
    level[index:] += np.log(factor)
    findings, _ = find_patterns(journals_of(cells_of([level], rng)), zone=UTC)
    moments = [float(str(each.details["moment_at"])) for each in findings if each.kind == "step"]
    off = sorted(abs(at - BEGIN - 900 * index) / 3600 for at in moments)
    return Steps(off[0] if off else np.inf, max(0, len(off) - 1))


def idle_kill(seed: int, *, days: float = 7, interval: float = 400.0) -> tuple[float, float] | None:
    """A NAT forgets after 350 s; the longest idle time survived and the shortest that killed, as the journal tells it."""
    policy = HeartbeatPolicy(ping_interval=interval, pong_timeout=10.0)
    found = [each for each in of_journal(seed, days, policy, [IdleKill()]) if each.kind == "idle_kill"]
    return (float(str(found[0].details["survived"])), float(str(found[0].details["killed"]))) if found else None


def local_stalls(seed: int, *, days: float = 14) -> tuple[Finding, ...]:
    """Our own program stalls four times a day, long enough to lose connections: what is claimed of that."""
    policy = HeartbeatPolicy(ping_interval=30.0, pong_timeout=10.0)
    endpoints = ("ws://a.example/feed", "ws://a.example/other", "ws://b.example/feed")
    return of_journal(seed, days, policy, [LocalStalls(per_day=4, length=60)], endpoints)


def of_journal(
    seed: int,
    days: float,
    heartbeat: HeartbeatPolicy,
    planted: Sequence[Plant],
    endpoints: Sequence[str] = ("ws://a.example/feed",),
) -> tuple[Finding, ...]:
    """A made-up journal, written, read and analysed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "desk"
        make_up_journal(path, days=days, endpoints=endpoints, seed=seed, heartbeat=heartbeat, planted=planted)
        return find_patterns(load([path], use_cache=False), zone=NEW_YORK)[0]
