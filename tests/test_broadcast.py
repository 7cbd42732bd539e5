"""Every reader gets every event, or is told how many it lost."""

from __future__ import annotations

import trio

from heartbeat_trio._broadcast import BACKLOG, HISTORY, Broadcast
from heartbeat_trio.events import Connecting, Event, EventsDropped


def event(number: int) -> Connecting:
    return Connecting(at=0.0, attempt=number)


async def test_history_first_then_everything() -> None:
    """Who comes late gets the last hundred events, then each one from then on."""
    broadcast = Broadcast()
    for number in range(150):
        broadcast.put(event(number))

    with broadcast.subscribe() as channel:
        broadcast.put(event(150))
        broadcast.close()
        got = [each async for each in channel]

    assert [event(number) for number in range(150 - HISTORY, 151)] == got


async def test_slow_reader_loses_the_oldest_and_is_told() -> None:
    """Bounded, and honest about it."""
    broadcast = Broadcast()
    with broadcast.subscribe() as channel:
        for number in range(BACKLOG + 7):
            broadcast.put(event(number))
        broadcast.close()
        got: list[Event] = [each async for each in channel]

    assert [EventsDropped(at=got[0].at, count=7), *(event(number) for number in range(7, BACKLOG + 7))] == got


async def test_readers_do_not_disturb_each_other() -> None:
    """One reads at once, another late, a third has left."""
    broadcast = Broadcast()
    seen: list[Event] = []

    async def read() -> None:
        with broadcast.subscribe() as channel:
            async for each in channel:
                seen.append(each)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            with broadcast.subscribe():
                pass
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            broadcast.put(event(1))
            await trio.testing.wait_all_tasks_blocked()
            assert [event(1)] == seen
            broadcast.close()

    with broadcast.subscribe() as late:
        assert [event(1)] == [each async for each in late]
