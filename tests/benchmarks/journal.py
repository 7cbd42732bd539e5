"""Kills programs that keep a journal at random moments, and measures what a journal costs.

A kill may lose the last second and tear the last line, nothing else. The cost is the CPU time of event loop and writer
thread together for 10 000 ping records a second, against the same program without a journal.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from random import Random

import trio

from heartbeat_trio.events import PingRecord
from heartbeat_trio.journal import open_journal
from tests.support.journal_child import nothing
from tests.support.kills import RATE, kill_many

SLICE = 0.1


async def write_for(seconds: float, folder: str | None) -> float:
    """CPU seconds per second of making ping records, and of keeping them if a folder is given."""
    begin, cpu, number = trio.current_time(), time.process_time(), 0

    async def work(keep: object) -> None:
        nonlocal number
        while trio.current_time() < begin + seconds:
            await trio.sleep(SLICE)
            for _ in range(int(RATE * SLICE)):
                number += 1
                record = PingRecord(ping=number, at=trio.current_time(), sent_after=1e-5, fate="answered", rtt=2e-4)
                if keep is not None:
                    keep(1, record)  # type: ignore[operator]  # the recorder's method

    if folder is None:
        await work(None)
    else:
        async with open_journal(folder) as journal:
            await work(journal.start_session("tcp://127.0.0.1:1", {}, nothing).record_ping)
    return (time.process_time() - cpu) / seconds


def measure_cost(seconds: float) -> float:
    """The journal's part of one core at 10 000 records a second."""
    with tempfile.TemporaryDirectory() as folder:
        return trio.run(write_for, seconds, folder) - trio.run(write_for, seconds, None)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    cost = measure_cost(options.seconds)
    rng = Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:  # before a second is over nothing is old enough to be missed
        remains = kill_many(Path(folder), [rng.uniform(1, 3) for _ in range(options.runs)])
    result = {
        "kills": len(remains),
        "with_something_due": sum(each.due > 0 for each in remains),
        "good": sum(each.is_good for each in remains),
        "torn_last_lines": sum(each.torn for each in remains),
        "lost_older_than_a_second": sum(max(0, each.due - each.found) for each in remains),
        "most_lost_seconds": round(max(each.put - each.found for each in remains) / RATE, 3),
        "core": round(cost, 4),
    }
    if options.output == "json":
        print(json.dumps(result))
        return
    print("| kills | good | torn last lines | records lost older than 1 s | most lost | core at 10 000 pings/s |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    print(
        f"| {result['kills']} | {result['good']} | {result['torn_last_lines']} | {result['lost_older_than_a_second']} "
        f"| {result['most_lost_seconds']:.2f} s | {cost:.1%} |"
    )


if __name__ == "__main__":
    main()
