"""What every peer is set to in the same scenario, and what each scenario asks of it. Seconds."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path
from typing import NamedTuple

MESSAGE = b"x" * 256
"""What a client sends where only its bytes matter."""

WARM = 300
"""Round trips before those that count."""


class Keepalive(NamedTuple):
    """A ping each `interval`, an answer within `timeout`, and a close that is waited for `close` seconds."""

    interval: float = 20.0
    timeout: float = 20.0
    close: float = 1.0


DEFAULT = Keepalive()
QUICK = Keepalive(interval=1.0, timeout=1.0)
"""Detection, slow consumer, blocked writer: two seconds at most from the last sign of life, however it is counted."""

STALLED = Keepalive(interval=0.5, timeout=0.5)
"""Local stall: the answer takes 0.3 s, so a ping is on its way more often than not."""


class NotOfferedError(Exception):
    """The library has nothing of the kind."""


class Clock:
    """CPU and wall time of this process from when `start` is called, per message."""

    def __init__(self) -> None:
        self._cpu = self._wall = 0.0

    def start(self) -> None:
        """Now it counts."""
        gc.collect()
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def stop(self, count: int) -> dict[str, float]:
        """Microseconds for each of `count`."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return {"cpu": 1e6 * cpu / count, "wall": 1e6 * wall / count}


def resident() -> int:
    """Bytes of this process that lie in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Ends:
    """When each of several lines was found dead, and when something happened to them."""

    def __init__(self) -> None:
        self.times: dict[int, float] = {}
        self.causes: dict[int, str] = {}

    def note(self, line: int, error: BaseException | None = None) -> None:
        """A line ended; only the first word counts."""
        self.times.setdefault(line, time.monotonic())
        if error is not None:
            self.causes.setdefault(line, f"{type(error).__name__}: {error}"[:120])

    def after(self, since: float) -> list[float]:
        """Seconds from then to each end, sorted."""
        return sorted(each - since for each in self.times.values())
