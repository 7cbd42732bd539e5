"""Makes up the month that the README shows: ``python -m tests.support.sample_month FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.testing import (
    HourlySlowdown,
    LocalStalls,
    Outages,
    PeriodicDisconnect,
    Step,
    Truth,
    make_up_journal,
)

FIRST, SECOND, SPARE = (f"wss://{name}.example/feed" for name in ("quotes-a", "quotes-b", "spare"))


def make(folder: Path) -> Truth:
    """Slow afternoons, a step on one line, a server that closes after 24 h, outages, and stalls of our own."""
    planted = (
        HourlySlowdown(hours=(14, 15), factor=1.4),
        Step(at_day=17.3, factor=1.5, endpoint=SECOND),
        Outages(per_day=0.4, mean_length=60),
        PeriodicDisconnect(period=86_400, is_age=True, endpoint=FIRST),
        LocalStalls(per_day=0.5),
    )
    heartbeat = HeartbeatPolicy(ping_interval=15, pong_timeout=5, max_missed_pongs=3)
    return make_up_journal(folder, days=30, endpoints=(FIRST, SECOND, SPARE), heartbeat=heartbeat, planted=planted, seed=4)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
