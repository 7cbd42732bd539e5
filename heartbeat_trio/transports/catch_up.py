"""Before anybody is called silent: is what he said lying unread on our side?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
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
