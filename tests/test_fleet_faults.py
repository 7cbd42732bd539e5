"""A fleet with faults every few minutes: the smallest run of the benchmark of the same name."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.events import ConnectionState, SourceEvent, Throttled
from heartbeat_trio.fleet import open_fleet
from heartbeat_trio.server import SyntheticSource, serve_quotes
from heartbeat_trio.testing import VirtualNetwork
from tests.benchmarks.fleet import LIMITS, MESSAGES, Tracing, check, simulate


def test_an_hour_of_faults_twice() -> None:
    """Each quote once and in order or in a gap, no limit exceeded, and the same seed gives the same trace."""
    first = simulate(10, 1.0, 2)
    check(first)
    assert first.quotes > 1500
    assert first.gaps > 0
    assert first.lost > 20
    assert first.throttled > 0
    again = simulate(10, 1.0, 2)
    assert first._replace(took=0.0) == again._replace(took=0.0)


@pytest.mark.parametrize(("adaptive", "sessions"), [(True, 6), (True, 7), (False, 12)])
async def test_probes_and_too_many_sessions_exceed_nothing(
    adaptive: bool, sessions: int, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A server freezes: its sessions probe while the venue has room, and those whose pings find none wait from the start."""
    net = VirtualNetwork(1, latency=0.02)
    net._fabric.trace = tracing = Tracing()
    await nursery.start(partial(serve_quotes, SyntheticSource(["A"], rate=5, seed=1), tcp=net.listen("s", 1)))
    heartbeat = HeartbeatPolicy(ping_interval=5, pong_timeout=3, adaptive=adaptive)
    limits = {"s": replace(LIMITS, connects=200)}
    async with open_fleet(connector=net.connect, rng=Random(1), limits=limits, heartbeat=heartbeat) as fleet:
        for number in range(sessions):
            fleet.add(f"x{number}", "tcp://s:1", subscribe=["A"])
        async with fleet.events() as events:
            await trio.sleep(60)
            waits = [each for each in events.take_nowait() if isinstance(each, SourceEvent)]
        for _ in range(3):
            net.host("s").freeze()
            await trio.sleep(9)
            net.host("s").thaw()
            await trio.sleep(60)
        states = [each.state for each in fleet.snapshot().sessions]
        if sessions >= MESSAGES:
            without = [each for each in fleet.snapshot().sessions if each.connections == 0]
            assert sessions - (MESSAGES - 1) == len(without)
            told = [e.source for e in waits if isinstance(e.event, Throttled) and e.event.kind == "connect"]
            assert {each.name for each in without} <= set(told)
            first = next(each.name for each in fleet.snapshot().sessions if each.connections)
            await fleet.remove(first)
            await trio.sleep(10)
            assert sessions - MESSAGES == sum(each.connections == 0 for each in fleet.snapshot().sessions)
    assert min(sessions, MESSAGES - 1) == sum(state is ConnectionState.CONNECTED for state in states)
    assert tracing.messages["s"].most <= MESSAGES
    nursery.cancel_scope.cancel()
