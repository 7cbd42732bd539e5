"""How long a replay takes: 20 lines of 30 days of pings each 5 s, of which 0.5 % are slow, over the whole grid of policies.

All pings within 16 of a slow one are kept, as `analysis.load` keeps them. On an idle line nothing comes but pongs, so that
every slow one is a silence; on a busy one there are two messages a second.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from heartbeat_trio.analysis.replay import replay
from heartbeat_trio.analysis.tables import Cells, Happening, Journals, Line, Pings, SessionSpan, Sources
from heartbeat_trio.config import HeartbeatPolicy

POLICY = HeartbeatPolicy()
QUICK, SLOW = 0.25, 0.005
NEAR = 33
GOAL = 10.0
"""Seconds of one core."""


def make(lines: int, days: float, *, is_busy: bool, seed: int) -> Journals:
    """Lines whose round trips are lognormal, and Pareto beyond `QUICK` where they are slow."""
    rng = np.random.default_rng(seed)
    number = int(days * 86_400 / POLICY.ping_interval)
    columns = [_line(line, number, rng, is_busy=is_busy) for line in range(lines)]
    session, ping, t, fate, rtt, first, last = (np.concatenate(each) for each in zip(*columns, strict=True))
    one, zero, all_of = np.ones(len(t)), np.zeros(lines, dtype=np.int64), np.full(lines, number, dtype=np.int64)
    end = number * POLICY.ping_interval
    return Journals(
        sources=Sources(folders=("made up",)),
        lines=tuple(Line("made up", f"ws://host{line}/") for line in range(lines)),
        sessions=tuple(
            SessionSpan(f"s-{line}", line, "w", 0.0, end, 0.0, end, {"heartbeat": asdict(POLICY)}) for line in range(lines)
        ),
        cells=Cells(
            line=np.arange(lines),
            begin=zero,
            sent=all_of,
            answered=all_of,
            late=zero,
            missed=zero,
            voided=zero,
            cancelled=zero,
            ours=zero,
            offset=np.arange(lines + 1),
            bucket=zero + 550,
            count=all_of,
        ),
        pings=Pings(
            session, one.astype(np.int64), ping, t, t, 2e-5 * one, fate, rtt, one.astype(bool), first_in=first, last_in=last
        ),
        quick=(QUICK,) * lines,
        happenings=tuple(Happening(end, end, "closed", f"s-{line}", line, 1, {}) for line in range(lines)),
    )


def _line(line: int, number: int, rng: np.random.Generator, *, is_busy: bool) -> tuple[npt.NDArray[np.generic], ...]:
    interval = POLICY.ping_interval
    is_slow = rng.random(number) < SLOW
    rtt = np.where(is_slow, QUICK * (1 + rng.pareto(1.5, number)), rng.lognormal(-3, 0.4, number).clip(0, QUICK))
    fate = np.where(rtt > POLICY.pong_timeout, "l", "a")
    gaps = rng.exponential(0.5 if is_busy else np.inf, (2, number))
    first = np.fmin(rtt, gaps[0])
    first[first >= interval] = np.nan
    last = np.fmax(np.where(gaps[1] < interval, interval - gaps[1], np.nan), first)
    near = np.flatnonzero(np.convolve(is_slow, np.ones(NEAR), "same") > 0)
    t = interval * near + rng.uniform(0, 0.001, len(near))
    return (
        np.full(len(near), line, dtype=np.int64),
        near + 1,
        *(np.round(t, 6), fate[near], np.round(rtt[near], 6), np.round(first[near], 6), np.round(last[near], 6)),
    )


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=20)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    for name, is_busy in (("idle", False), ("busy", True)):
        journals = make(options.lines, options.days, is_busy=is_busy, seed=options.seed)
        began = time.process_time()
        curves = replay(journals)
        seconds = time.process_time() - began
        kept, policies = len(journals.pings), len(curves[0].points)
        if options.output == "json":
            print(json.dumps({"lines": name, "kept": kept, "policies": policies, "seconds": round(seconds, 2)}))
        else:
            verdict = "met    " if seconds < GOAL else "NOT MET"
            print(f"{verdict} {options.lines} {name} lines, {kept} pings kept, {policies} policies each: {seconds:.1f} s")


if __name__ == "__main__":
    main()
