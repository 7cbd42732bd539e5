"""Kill -9 a program that keeps a journal, and look at what is left."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from heartbeat_trio.journal import PingEntry, read_journal

ROOT = Path(__file__).parents[2]
RATE = 10_000


class Remains(NamedTuple):
    """What a kill left behind."""

    put: int
    """Records that the program had put."""
    due: int
    """Of those, the ones more than a second old."""
    found: int
    torn: int
    is_in_order: bool
    """Whether every record up to the last one is there."""

    @property
    def is_good(self) -> bool:
        """Nothing older than a second is lost, and nothing but the last line is torn."""
        return self.found >= self.due and self.torn <= 1 and self.is_in_order


def kill_many(folder: Path, times: Sequence[float]) -> list[Remains]:
    """Kill a program after each of these times, two at a time, each with a folder of its own."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda numbered: kill_after(folder / str(numbered[0]), numbered[1]), enumerate(times)))


def kill_after(folder: Path, seconds: float) -> Remains:
    """Let it write for so long, kill it, and read what it wrote."""
    command = [sys.executable, "-m", "tests.support.journal_child", str(folder), str(RATE)]
    folder.mkdir(parents=True)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "the program did not begin"
        time.sleep(seconds)
    finally:
        process.kill()
        told, _ = process.communicate()
    put, due = (int(word) for word in told.split("\n")[-2].split()) if told else (0, 0)
    reader = read_journal(folder)
    pings = [record.ping for record in reader.records() if isinstance(record, PingEntry)]
    return Remains(put, due, len(pings), reader.torn, pings == list(range(len(pings))))
