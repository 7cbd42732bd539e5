"""Every public await can be cancelled at every checkpoint: no task, stream or message is left behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import RestartPolicy
from heartbeat_trio.connection import Connection, open_connection
from heartbeat_trio.fleet import open_fleet
from heartbeat_trio.policies import VenueLimits
from heartbeat_trio.redundant import open_redundant_feed
from heartbeat_trio.session import open_session
from heartbeat_trio.supervisor import run_session
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork

Scenario = Callable[[str, VirtualNetwork], Awaitable[None]]

LIMIT = 1500
"""No scenario has more steps than this."""


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope before the n-th step that any task makes, wherever that is."""

    def __init__(self, step: int) -> None:
        self.left = step
        self.scope = trio.CancelScope()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


async def use_connection(url: str, net: VirtualNetwork) -> None:
    async with open_connection(url, connector=net.connect, rng=Random(1)) as connection:
        await connection.subscribe("A")
        await connection.receive_batch()
        async for _message in connection:
            break
        await connection.unsubscribe("A")


async def use_session(url: str, net: VirtualNetwork) -> None:
    async with open_session(url, subscribe=["A"], connector=net.connect, rng=Random(1)) as session:
        await session.wait_connected()
        async with session.events() as events:
            async for _event in events:
                break
        await session.receive_batch()
        async for _quote in session:
            break
        await session.subscribe("B")
        await session.unsubscribe("A")


async def reconnect(url: str, net: VirtualNetwork) -> None:
    async with open_session(url, subscribe=["A"], connector=net.connect, rng=Random(1)) as session:
        await session.receive_batch()
        net.host("server").reset_all()
        await session.wait_connected()
        await trio.sleep(2)
        await session.receive_batch()


async def handle_connections(url: str, net: VirtualNetwork) -> None:
    async def handler(connection: Connection) -> None:
        await connection.subscribe("A")
        async for _message in connection:
            break

    await run_session(url, handler, connector=net.connect, rng=Random(1), restart=RestartPolicy(max_attempts=3))


async def use_redundant_feed(url: str, net: VirtualNetwork) -> None:
    async with open_redundant_feed([url, url], subscribe=["A"], connector=net.connect, rng=Random(1)) as feed:
        await feed.wait_connected()
        await feed.receive_batch()
        async with feed.events() as events:
            async for _event in events:
                break
        feed.rotate("test", line="line-1")
        await trio.sleep(1.6)
        async for _quote in feed:
            break
        await feed.subscribe("B")
        await feed.unsubscribe("B")
        await feed.remove_line("line-2")


async def use_fleet(url: str, net: VirtualNetwork) -> None:
    limits = {"server": VenueLimits(connects=1, connect_period=0.5, messages=2)}
    async with open_fleet(connector=net.connect, rng=Random(1), limits=limits) as fleet:
        fleet.add("a", url, subscribe=["A", "B"])
        fleet.add("b", url, subscribe=["A"])
        async for name, _quote in fleet:
            if name == "b":
                break
        async with fleet.events() as events:
            async for _event in events:
                break
        await fleet.receive_batch()
        await fleet.remove("a")


async def quote_for_ever(peer: ScriptedPeer) -> None:
    while True:
        await peer.send_quote("A", 1.0, 2.0)
        await trio.sleep(0.25)


@pytest.mark.parametrize(
    "scenario", [use_connection, use_session, reconnect, handle_connections, use_redundant_feed, use_fleet]
)
def test_cancelled_at_every_step(scenario: Scenario) -> None:
    """Whenever the cancellation comes, afterwards nothing of ours is open, and nothing but `Cancelled` came out."""

    async def run(step: int) -> bool:
        net = VirtualNetwork(latency=0.05, seed=step)
        canceller = CancelAtStep(step)
        async with trio.open_nursery() as nursery:
            peer = ScriptedPeer(net.listen("server", 1))
            await nursery.start(peer.run)
            nursery.start_soon(quote_for_ever, peer)
            trio.lowlevel.add_instrument(canceller)
            with canceller.scope:
                await scenario("tcp://server:1", net)
            trio.lowlevel.remove_instrument(canceller)
            has_fired = canceller.left <= 0
            assert [] == [stream for stream in net.open_streams if stream.address.startswith("client")]
            await trio.sleep(1)
            names = {task.name for task in nursery.child_tasks}
            assert not [name for name in names if name.startswith(("reader", "pinger", "monitor", "supervisor", "writer"))]
            nursery.cancel_scope.cancel()
        return has_fired

    steps = 0
    while trio.run(run, steps + 1, clock=MockClock(autojump_threshold=0)):
        steps += 1
        assert steps < LIMIT
    assert steps > 30
