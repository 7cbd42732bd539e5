"""Before anybody is called silent: is what he said lying unread on our side, and what does the kernel know?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ..events import Evidence

if TYPE_CHECKING:
    from ..sansio.pings import Accused
    from .abc import Transport

LIMIT = 1.0
"""Seconds that a verdict waits at most for the reader to work through what lies unread."""

SPINS = 256
"""Checkpoints before it begins to sleep between them; 28 were the most that a reader needed after stalls of 2 s."""

CHECKPOINTS = 3
"""Times in a row that nothing may be left unread. Two were not enough where quotes flow; three never failed."""


async def catch_up(transport: Transport) -> None:
    """Wait until no byte lies between the kernel and the transport's reader, so that a verdict is about the peer.

    Trio processes an expired deadline before a task that just became runnable: after a stall of our own, a pong that is in
    the kernel already would lose against the deadline every time.
    """
    calm = turns = 0
    with trio.move_on_after(LIMIT):
        while True:
            await trio.lowlevel.checkpoint()
            calm = calm + 1 if transport.is_caught_up() else 0
            if calm == CHECKPOINTS:
                break
            turns += 1
            if turns > SPINS:  # should the reader wait for something else than work, spinning would not help it
                await trio.sleep(0.001)


def gather_evidence(transport: Transport, accused: Accused, *, quiet_for: float, lateness: float) -> Evidence:
    """Collect what is known at this moment about a ping without an answer.

    Args:
        transport: The connection's.
        accused: What the verdict is about.
        quiet_for: Seconds since anything came.
        lateness: Seconds by which we woke too late for the verdict: the one sign of a stall that needs no real clock.
    """
    now = trio.current_time()
    below = transport.bytes_below()
    info = None if below is None else below.tcp_info()
    lag = None if below is None else below.loop_lag(accused.due)
    return Evidence(
        age=now - accused.due,
        timeout=accused.timeout,
        was_sent=accused.was_sent,
        silent_for=quiet_for,
        loop_lag=lateness if lag is None else max(lag, lateness),
        unread=None if below is None else below.unread_bytes(),
        buffered=transport.unsent_bytes,
        unsent=None if info is None else info.unsent,
        unacknowledged=None if info is None else info.unacknowledged,
        backoff=None if info is None else info.backoff,
        acknowledged_ago=None if info is None else info.acknowledged_ago,
        received_ago=None if info is None else info.received_ago,
        window=None if info is None else info.window,
        network_rtt=None if info is None else info.rtt,
    )
