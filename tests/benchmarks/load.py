"""A month of pings of many endpoints, analysed by the command itself: the first time, and again from its cells.

Makes the journal (about 1.2 GB at full size) in a temporary folder, then runs `heartbeat-trio analyze` by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from heartbeat_trio.testing import make_up_journal

GOALS = {"first": 60.0, "again": 5.0}
"""Seconds, on two cores."""
MEMORY = 1024.0
"""MiB, at most."""


class Run(NamedTuple):
    """One run of the command: seconds by the wall clock and of processor time, and its largest memory in MiB."""

    seconds: float
    cpu: float
    memory: float


def analyse(folder: Path) -> Run:
    """Run the command, and measure it alone."""
    command = [sys.executable, "-m", "heartbeat_trio", "analyze", str(folder), "--output", "json"]
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"analyze ended with {process.returncode}")
    return Run(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    """Print the table; exit code 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--endpoints", type=int, default=20)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        endpoints = tuple(f"ws://s{number}.example/feed" for number in range(options.endpoints))
        truth = make_up_journal(folder, days=options.days, endpoints=endpoints, seed=1)
        runs = {"first": analyse(folder), "again": analyse(folder)}
    pings = sum(truth.pings.values())
    is_met = all(run.seconds < GOALS[which] and run.memory < MEMORY for which, run in runs.items())
    if options.output == "json":
        print(
            json.dumps({"pings": pings, "bytes": truth.size, "is_met": is_met, **{k: v._asdict() for k, v in runs.items()}})
        )
    else:
        print(f"{pings} pings of {options.endpoints} endpoints over {options.days:g} days, {truth.size / 1e6:.0f} MB")
        print("| run | seconds | goal | processor | memory |\n| --- | ---: | ---: | ---: | ---: |")
        for which, run in runs.items():
            print(f"| {which} | {run.seconds:.1f} | {GOALS[which]:g} | {run.cpu:.1f} s | {run.memory:.0f} MiB |")
    sys.exit(not is_met)


if __name__ == "__main__":
    main()
