"""When our own loop did not run: only absences that matter count."""

from __future__ import annotations

import time

import trio

from heartbeat_trio.transports.loop_watch import LATE, LoopWatch


async def watch_while(absences: list[float]) -> tuple[LoopWatch, float]:
    """Block the loop for so long each time, with a look at the world in between."""
    watch = LoopWatch()
    trio.lowlevel.add_instrument(watch)
    try:
        begin = trio.current_time()
        for seconds in absences:
            time.sleep(seconds)  # noqa: ASYNC251 - the absence is what this is about
            await trio.sleep(0.001)
    finally:
        trio.lowlevel.remove_instrument(watch)
    return watch, begin


async def test_one_long_absence_counts() -> None:
    """To within what a wake-up takes."""
    watch, begin = await watch_while([0.3])

    assert 0.3 <= watch.lag(begin, trio.current_time()) < 0.45
    assert watch.lag(begin - 1, begin) < 0.001


async def test_many_short_ones_do_not() -> None:
    """Between them the loop looked for news, so that a pong would have been found."""
    watch, begin = await watch_while([0.03] * 20)

    assert 0.0 == watch.lag(begin, watch.last_poll)
    assert watch.lateness < 0.25
    assert LATE < 0.03


async def test_an_absence_that_has_not_ended_counts() -> None:
    """Who asks in the middle of it is told."""
    watch, begin = await watch_while([])
    time.sleep(0.26)  # noqa: ASYNC251

    assert watch.lag(begin, trio.current_time()) >= 0.26
