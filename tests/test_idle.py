"""Quiet connections cost little: bounded memory for each, and nobody wakes but for a ping and its pong."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections import Counter
from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from heartbeat_trio._alarm import Alarm
from heartbeat_trio._chance import CHANCE
from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.connection import open_connection
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork
from tests.benchmarks.idle import serving

CONNECTIONS = 50
LIMIT = 25 * 1024
"""Bytes of Python's heap per connection: 21 KiB on CPython 3.11, with the task that holds it, and some room."""


class Steps(trio.abc.Instrument):
    """Counts how often tasks ran, by the first word of their names."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.counts[task.name.split()[0]] += 1


async def test_memory_of_a_quiet_connection() -> None:
    """Its tasks, buffers and statistics together, over WebSocket to a server in another process."""
    standing = 0

    async def hold(url: str) -> None:
        nonlocal standing
        async with open_connection(url, heartbeat=HeartbeatPolicy(ping_interval=0.2)) as connection:
            while connection.rtt is None:
                await trio.sleep(0.02)
            standing += 1
            await trio.sleep_forever()

    async def open_up_to(count: int, url: str, nursery: trio.Nursery) -> int:
        for _ in range(count - standing):
            nursery.start_soon(hold, url)
        while standing < count:
            await trio.sleep(0.05)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    with serving() as port, trio.fail_after(20):
        url = f"ws://127.0.0.1:{port}/"
        tracemalloc.start()
        try:
            async with trio.open_nursery() as nursery:
                before = await open_up_to(1, url, nursery)
                after = await open_up_to(1 + CONNECTIONS, url, nursery)
                nursery.cancel_scope.cancel()
        finally:
            tracemalloc.stop()

    assert 4096 < (after - before) / CONNECTIONS < LIMIT


async def test_nobody_wakes_without_need(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """The pinger runs once for each ping, the reader once for each pong, the monitor not at all."""
    net = VirtualNetwork(latency=0.01)
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    steps = Steps()
    async with open_connection("tcp://server:1", connector=net.connect, rng=Random(1)) as connection:
        await trio.sleep(20)
        sent = connection.quality().sent
        trio.lowlevel.add_instrument(steps)
        await trio.sleep(500)
        trio.lowlevel.remove_instrument(steps)
        pings = connection.quality().sent - sent

    assert pings == 100
    assert (pings, 0) == (steps.counts["pinger"], steps.counts["monitor"])
    assert steps.counts["reader"] <= 2 * pings  # a virtual stream's reader gives way once with each read


async def test_an_alarm_can_be_moved(autojump_clock: MockClock) -> None:
    """To sooner or later while somebody sleeps; when nobody does, it changes nothing."""
    alarm, begin = Alarm(), trio.current_time()
    alarm.move(begin + 1)
    woken: list[float] = []

    async def sleep() -> None:
        await alarm.sleep_until(begin + 5)
        woken.append(trio.current_time() - begin)

    for due in (2.0, 9.0, 5.0):
        begin = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleep)
            await wait_all_tasks_blocked()
            alarm.move(begin + due)
            assert begin + due == alarm.due
    await alarm.sleep_until(begin)

    assert woken == [2.0, 9.0, 5.0]


async def test_an_alarm_lets_cancellation_through(autojump_clock: MockClock) -> None:
    """From outside it is raised, also at the very instant of the alarm; and what was cancelled before is not slept for."""
    alarm, begin = Alarm(), trio.current_time()
    for limit, due in ((1.0, 5.0), (5.0, 5.0)):
        with trio.move_on_after(limit) as scope:
            await alarm.sleep_until(trio.current_time() + due)
            pytest.fail("the cancellation was swallowed")
        assert scope.cancelled_caught
    with trio.CancelScope() as scope:
        scope.cancel()
        await alarm.sleep_until(trio.current_time() + 5)
        pytest.fail("the cancellation was swallowed")

    assert scope.cancelled_caught
    assert trio.current_time() - begin == 6.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_luck_of_its_own() -> None:
    """Parent and child do not ping in step."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"%d" % CHANCE.getrandbits(64))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = int(os.read(read, 64))
    os.close(read)
    os.close(write)

    assert theirs != CHANCE.getrandbits(64)
