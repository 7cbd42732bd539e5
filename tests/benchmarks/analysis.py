"""How often an analysis claims what is not so, and finds what is, on months whose truth is known.

Null months and months with a slow hour or a step are made as cells; idle kills, local stalls and some null months are
written as journals, and read. ``--share 0.1`` does a tenth of each.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from heartbeat_trio.analysis.patterns import find_patterns
from heartbeat_trio.config import HeartbeatPolicy
from tests.support import analysis_goals as goals
from tests.support.analysis_cells import null_month

if TYPE_CHECKING:
    from collections.abc import Callable


class Row(NamedTuple):
    """One line of the table."""

    what: str
    months: int
    figure: str
    goal: str
    is_met: bool


def null(months: range, *, lines: int = 1, days: int = 28) -> Row:
    """Months in which there is nothing."""
    claims = [goals.null(seed, lines=lines, days=days) for seed in months]
    kinds = Counter(each.kind for found in claims for each in found)
    share = sum(map(bool, claims)) / len(claims)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
    what = f"nothing, {days} days, {lines} line{'s' if lines > 1 else ''}"
    return Row(what, len(claims), f"{share:.1%} with any finding ({told})", "at most 7 %", share <= 0.07)


def null_journals(months: range) -> Row:
    """Months in which there is nothing, written and read."""
    policy = HeartbeatPolicy(ping_interval=20.0)
    wrong = sum(bool(goals.of_journal(seed, 28, policy, [])) for seed in months)
    share = wrong / len(months)
    return Row(
        "nothing, 28 days, through journals", len(months), f"{share:.1%} with any finding", "at most 7 %", share <= 0.07
    )


def short(months: range) -> Row:
    """Eight days with an hour that is three times as slow."""
    wrong = sum(goals.slow_hour(seed, days=8, factor=3.0).claimed for seed in months)
    return Row("an hour +200 %, 8 days", len(months), f"{wrong} claims of hours", "none", wrong == 0)


def hour(months: range) -> list[Row]:
    """Two weeks with an hour that is slower by 30 %."""
    each = [goals.slow_hour(seed) for seed in months]
    claimed = max(1, sum(one.claimed for one in each))
    recall = sum(one.found for one in each) / len(each)
    exact, near = (sum(values) / claimed for values in zip(*((one.exact, one.neighbours) for one in each), strict=True))
    what = "an hour +30 %, 14 days"
    return [
        Row(what, len(each), f"recall {recall:.1%}", "at least 90 %", recall >= 0.9),
        Row(what, len(each), f"precision {exact:.1%}", "at least 80 %", exact >= 0.8),
        Row(what, len(each), f"precision with neighbours {near:.1%}", "at least 90 %", near >= 0.9),
    ]


def step(months: range, *, on_the_hour: bool = False) -> list[Row]:
    """A month with a step of 50 %."""
    each = [goals.one_step(seed, on_the_hour=on_the_hour) for seed in months]
    near = sum(one.off <= 2 for one in each) / len(each)
    false = max(one.false for one in each)
    what = f"a step +50 %, 30 days{', on the hour' if on_the_hour else ''}"
    return [
        Row(what, len(each), f"{near:.1%} within 2 h", "at least 95 %", near >= 0.95),
        Row(what, len(each), f"at most {false} false steps a month", "at most 1", false <= 1),
    ]


def idle(months: range) -> Row:
    """Weeks in which connections die after 350 s of silence."""
    each = [goals.idle_kill(seed, interval=(400.0, 600.0)[seed % 2]) for seed in months]
    right = sum(one is not None and one[0] < 350 <= one[1] for one in each) / len(each)
    return Row("idle kill at 350 s, 7 days", len(each), f"{right:.1%} tell it", "at least 99 %", right >= 0.99)


def stalls(months: range) -> Row:
    """Weeks in which our own program stalls."""
    each = [goals.local_stalls(seed) for seed in months]
    blamed = sum(any(one.kind != "local" and one.metric != "rtt" for one in found) for found in each)
    told = sum(any(one.kind == "local" for one in found) for found in each)
    return Row("local stalls, 14 days", len(each), f"{blamed} blame others, {told} tell it", "0 blame others", blamed == 0)


def speed() -> Row:
    """All detectors over 20 lines of 30 days."""
    journals = null_month(30, 1, lines=20)
    begin = time.process_time()
    find_patterns(journals, zone=goals.NEW_YORK)
    took = time.process_time() - begin
    return Row("20 lines, 30 days", 1, f"{took:.2f} s of CPU time", "under 4 s", took < 4)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the first month")
    parser.add_argument("--share", type=float, default=1.0, help="of the months")
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()

    def months(count: int) -> range:
        return range(options.seed, options.seed + max(1, round(count * options.share)))

    parts: list[Callable[[], list[Row]]] = [
        lambda: [null(months(2000))],
        lambda: [null(months(100), lines=10)],
        lambda: [null(months(200), days=70)],
        lambda: [null(months(500), days=9)],
        lambda: [null(months(500), days=14)],
        lambda: [null_journals(months(200))],
        lambda: [short(months(200))],
        lambda: hour(months(500)),
        lambda: step(months(500)),
        lambda: step(months(200), on_the_hour=True),
        lambda: [idle(months(100))],
        lambda: [stalls(months(20))],
        lambda: [speed()],
    ]
    rows = []
    for part in parts:
        rows += part()
        print(f"{time.process_time():.0f} s: {rows[-1].what}: {rows[-1].figure}", file=sys.stderr)
    if options.output == "json":
        print(json.dumps([row._asdict() for row in rows]))
        return
    print(f"seeds from {options.seed}")
    print("| planted | months | measured | goal | |")
    print("| --- | ---: | --- | --- | --- |")
    for row in rows:
        print(f"| {row.what} | {row.months} | {row.figure} | {row.goal} | {'met' if row.is_met else 'MISSED'} |")


if __name__ == "__main__":
    main()
