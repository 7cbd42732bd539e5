"""How soon a heartbeat policy finds a dead peer, by `sansio.heartbeat` itself."""

from __future__ import annotations

from functools import lru_cache
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from ..sansio.heartbeat import Heartbeat
from ..sansio.pings import SendPing
from ..sansio.schedule import RecordedSchedule

if TYPE_CHECKING:
    from ..config import HeartbeatPolicy

PHASES = 50
"""Moments of an interval at which a peer dies."""


def detection(policy: HeartbeatPolicy, p50: float) -> tuple[float, float]:
    """Seconds from a peer's last byte to the verdict, on average and at most, over when in an interval it dies.

    Args:
        policy: On a steady schedule.
        p50: The usual round trip, in seconds; it matters hardly at all, and is rounded up to the grid of moments.
    """
    step = policy.ping_interval / PHASES
    return _detection(policy, min(np.ceil(p50 / step) * step, policy.pong_timeout))


@lru_cache(maxsize=4096)
def _detection(policy: HeartbeatPolicy, p50: float) -> tuple[float, float]:
    interval = policy.ping_interval
    times = [_detect(policy, p50, p50 + (phase + 0.5) / PHASES * interval) for phase in range(PHASES)]
    return float(np.mean(times)), max(times)


def _detect(policy: HeartbeatPolicy, p50: float, death: float) -> float:
    """A peer answers until it dies, and says its last word then."""
    heartbeat = Heartbeat(
        policy,
        now=0.0,
        rng=Random(0),
        schedule=RecordedSchedule(policy.ping_interval * n for n in count()),
    )
    inputs: list[tuple[float, bytes]] = [(death, b"")]
    while True:
        now = heartbeat.next_deadline()
        if inputs and inputs[0][0] <= now:
            now, nonce = heappop(inputs)
            if nonce:
                heartbeat.receive_pong(nonce, now)
            else:
                heartbeat.receive_data(now)
            continue
        for decision in heartbeat.handle_timer(now):
            if isinstance(decision, SendPing):
                heartbeat.ping_sent(decision.nonce, now)
                if now + p50 <= death:
                    heappush(inputs, (now + p50, decision.nonce))
        if heartbeat.is_over:
            return now - death
