"""How soon the detector finds a dead peer, and how often it kills a living one, over months of made-up lines.

Our own `Heartbeat` runs over the lines of tests/support/traces.py. The fixed timeout that each adaptive policy is measured
against is one that detects a crash as soon on average: X seconds after the first unanswered ping, so X = T_D - 2.5 s.
Mistakes come in bursts on the hostile line, so it is run three times over, with a seed of its own each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import mean
from typing import NamedTuple

from heartbeat_trio.config import HeartbeatPolicy
from tests.support.traces import CLEAN, DAY, HOSTILE, PARETO, STALLS, Trace, Weather, detection_times, simulate

CLASSIC = HeartbeatPolicy()
ADAPTIVE = HeartbeatPolicy(adaptive=True)
CONSERVATIVE = HeartbeatPolicy(adaptive=True, minimum_pto=1.0, maximum_pto=1.5)
HOSTILE_RUNS = 3
PHASE = 2.5
"""Seconds from a crash to the next ping, on average."""


class Row(NamedTuple):
    """One detector on one line."""

    trace: str
    detector: str
    mean: float
    p99: float
    maximum: float
    mistakes: int
    days: float
    suspicions_per_day: float
    pings_per_hour: float

    @property
    def mistakes_per_day(self) -> float:
        """Living peers called dead."""
        return self.mistakes / self.days


class Job(NamedTuple):
    """What one process works out."""

    trace: Trace
    detector: str
    policy: HeartbeatPolicy
    days: float
    crashes: int
    seed: int
    runs: int = 1
    """Times that the days are run, with a seed of their own each."""


def measure(job: Job) -> Row:
    """One detector on one line: mistakes over the days, and detection times over the crashes."""
    runs = [
        simulate(job.policy, Weather(job.trace, days=job.days, seed=seed), seed=seed, end=job.days * DAY)
        for seed in range(job.seed, job.seed + job.runs)
    ]
    times = detection_times(job.policy, job.trace, crashes=job.crashes, seed=job.seed)
    days = job.days * job.runs
    return Row(
        job.trace.name,
        job.detector,
        mean(times),
        times[int(0.99 * (len(times) - 1) + 0.5)],
        times[-1],
        sum(run.mistakes for run in runs),
        days,
        sum(run.suspicions for run in runs) / days,
        sum(run.pings for run in runs) / days / 24,
    )


def fixed(like: Row) -> HeartbeatPolicy:
    """A single timeout that finds a crash as soon on average."""
    return HeartbeatPolicy(pong_timeout=like.mean - PHASE, max_missed_pongs=1)


def compare(*, days: float, crashes: int, seed: int, processes: int = 2) -> list[Row]:
    """The whole table."""
    jobs = [
        Job(trace, name, policy, days, crashes, seed, HOSTILE_RUNS if trace is HOSTILE else 1)
        for trace in (CLEAN, PARETO, STALLS, HOSTILE)
        for name, policy in (("classic 5/3/3", CLASSIC), ("adaptive", ADAPTIVE), ("conservative", CONSERVATIVE))
    ]
    with ProcessPoolExecutor(processes) as pool:
        rows = list(pool.map(measure, jobs))
        equals = [
            Job(HOSTILE, f"fixed, as soon as {row.detector}", fixed(row), days, crashes, seed, HOSTILE_RUNS)
            for row in rows
            if row.trace == HOSTILE.name and row.detector != "classic 5/3/3"
        ]
        return rows + list(pool.map(measure, equals))


def judge(rows: Sequence[Row]) -> list[tuple[str, bool]]:
    """The goals, and whether they are met."""
    by = {(row.trace, row.detector): row for row in rows}
    clean, stalls, hostile = (by[trace.name, "adaptive"] for trace in (CLEAN, STALLS, HOSTILE))
    equal = by[HOSTILE.name, "fixed, as soon as adaptive"]
    return [
        ("clean line: adaptive finds a crash in at most 6.1 s on average", clean.mean <= 6.1),
        ("clean line: ... and in at most 8.6 s in 99 of 100", clean.p99 <= 8.6),
        ("clean line: no mistakes", clean.mistakes == 0),
        ("own stalls: no mistakes", stalls.mistakes == 0),
        (
            "hostile line: at most half the mistakes of a fixed timeout that is as fast",
            hostile.mistakes <= equal.mistakes / 2,
        ),
    ]


def main() -> None:
    """Print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=60.0)
    parser.add_argument("--crashes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    rows = compare(days=options.days, crashes=options.crashes, seed=options.seed)
    if options.output == "json":
        print(json.dumps({"rows": [row._asdict() for row in rows], "goals": dict(judge(rows))}))
        return
    print(f"{options.days:g} days of each line, {options.crashes} crashes")
    print("| line | detector | T_D mean | p99 | max | mistakes/day | suspicions/day | pings/h |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        times = f"{row.mean:.1f} s | {row.p99:.1f} s | {row.maximum:.1f} s"
        rates = f"{row.mistakes_per_day:.2f} | {row.suspicions_per_day:.1f} | {row.pings_per_hour:.0f}"
        print(f"| {row.trace} | {row.detector} | {times} | {rates} |")
    for goal, is_met in judge(rows):
        print(f"{'met    ' if is_met else 'NOT MET'} {goal}")


if __name__ == "__main__":
    main()
