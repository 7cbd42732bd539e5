"""How often two equal servers change places, and how soon one that becomes twice as slow is left, by kind of noise.

The real `EndpointSelector` over the made-up lines of tests/support/selection.py, pings each 5 s, virtual time without Trio.
Days: servers within 5 % of each other, for a day each. Runs: the server in use becomes twice as slow once the dwell is over.
Goals: in no day more than one switch, and no run above 120 s.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

from heartbeat_trio.policies import BalancerPolicy
from tests.support.selection import EQUAL, HEAVY, LIGHT, MIDDLE, THEORY, Noise, switches_in_a_day, time_to_leave

LONG = 4
"""The first case has so many times the days of the others."""


class Case(NamedTuple):
    """Servers and their noise."""

    noise: Noise
    medians: Sequence[float] = EQUAL


CASES = (
    Case(THEORY),
    Case(THEORY, EQUAL[::-1]),
    Case(THEORY, (0.020, 0.021, 0.0205)),
    Case(LIGHT),
    Case(MIDDLE),
    Case(HEAVY),
)


class Row(NamedTuple):
    """What one case came to."""

    noise: str
    medians: Sequence[float]
    days: int
    switches: int
    bad_days: int
    """With two switches or more."""
    runs: int
    late: int
    """Runs above 120 s."""
    median: float
    maximum: float

    @property
    def is_met(self) -> bool:
        """The goals are."""
        return not self.bad_days and not self.late


Mapper = Callable[[Callable[[int], float], Sequence[int]], list[float]]


def measure(case: Case, policy: BalancerPolicy, *, days: Sequence[int], runs: Sequence[int], mapper: Mapper) -> Row:
    """One case; `days` and `runs` are seeds."""
    switches = mapper(partial(switches_in_a_day, case.noise, medians=case.medians, policy=policy), days)
    times = sorted(mapper(partial(time_to_leave, case.noise, medians=case.medians, policy=policy), runs))
    return Row(
        case.noise.name,
        case.medians,
        len(days),
        int(sum(switches)),
        sum(each > 1 for each in switches),
        len(runs),
        sum(each > 120 for each in times),
        times[len(times) // 2],
        times[-1],
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=160, help="of the first case; the others have a quarter of it")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--case", type=int, choices=range(len(CASES)), help="only this one, with all the days")
    parser.add_argument("--window", type=int, default=BalancerPolicy().window)
    parser.add_argument("--patience", type=int, default=BalancerPolicy().patience)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    policy = BalancerPolicy(window=options.window, patience=options.patience)
    rows = []
    with ProcessPoolExecutor(2) as pool:
        for number, case in enumerate(CASES):
            if options.case in (None, number):
                days = options.days // (LONG if number and options.case is None else 1)
                rows.append(
                    measure(
                        case,
                        policy,
                        days=range(options.seed, options.seed + days),
                        runs=range(options.seed, options.seed + options.runs),
                        mapper=lambda function, seeds: list(pool.map(function, seeds, chunksize=max(1, len(seeds) // 40))),
                    )
                )
    if options.output == "json":
        print(json.dumps([row._asdict() | {"is_met": row.is_met} for row in rows]))
        return
    print(
        "| noise | medians | days | switches | days with 2 or more | runs | left after | at the latest | later than 120 s |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        medians = " ".join(f"{1000 * each:g}" for each in row.medians) + " ms"
        times = f"{row.median:.0f} s | {row.maximum:.0f} s | {row.late} {'(met)' if row.is_met else '(NOT MET)'}"
        print(f"| {row.noise} | {medians} | {row.days} | {row.switches} | {row.bad_days} | {row.runs} | {times} |")


if __name__ == "__main__":
    main()
