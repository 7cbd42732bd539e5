"""A slow consumer keeps its connection and honest round-trip times, and is told exactly what it lost."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import HeartbeatPolicy, InboxPolicy
from heartbeat_trio.events import Gap, Lost, Overrun, PongReceived, Quote
from heartbeat_trio.exceptions import SlowConsumer
from heartbeat_trio.server import QuoteServer, SyntheticSource, serve_quotes
from heartbeat_trio.session import open_session
from heartbeat_trio.testing import VirtualNetwork
from heartbeat_trio.transports.abc import Connector

pytestmark = pytest.mark.alone

POLICY = HeartbeatPolicy(ping_interval=0.25, pong_timeout=0.2)


async def consume_slowly(url: str, seconds: float, connector: Connector | None = None) -> tuple[list[float], int]:
    """Take one quote every 100 ms of 200 a second; the round-trip times, and how many quotes were lost."""
    taken: list[Quote] = []
    async with open_session(
        url, subscribe=["A"], heartbeat=POLICY, inbox=InboxPolicy(size=100), connector=connector
    ) as session:
        async with session.events() as events:
            end = trio.current_time() + seconds
            async for quote in session:
                taken.append(quote)
                await trio.sleep(0.1)
                if trio.current_time() > end:
                    break
        taken += await session.receive_batch()
    happened = events.take_nowait()
    async with session.events() as last:  # a session that has ended still tells its last events
        happened += [event for event in last.take_nowait() if event not in happened]
    dropped = sum(event.dropped for event in happened if isinstance(event, Overrun))
    assert not [event for event in happened if isinstance(event, Lost | Gap)]
    assert session.dropped == dropped
    assert len(taken) + dropped == taken[-1].seq - taken[0].seq + 1
    assert [quote.seq for quote in taken] == sorted({quote.seq for quote in taken})
    return [event.rtt for event in happened if isinstance(event, PongReceived) and event.rtt is not None], dropped


@pytest.mark.parametrize("engine", ["", "#engine=trio-websocket"])
@pytest.mark.parametrize("scheme", ["tcp", "ws"])
async def test_on_loopback(scheme: str, engine: str) -> None:
    """Round-trip times stay below 20 ms while hundreds of quotes are dropped."""
    if scheme == "tcp" and engine:
        pytest.skip("there is only one engine for lines")
    with trio.fail_after(9):
        async with trio.open_nursery() as nursery:
            source = SyntheticSource(["A"], rate=200)
            server: QuoteServer = await nursery.start(partial(serve_quotes, source, tcp="127.0.0.1:0", ws="127.0.0.1:0"))
            url = server.addresses[scheme] if scheme == "ws" else f"tcp://{server.addresses['tcp']}"
            rtts, dropped = await consume_slowly(url + engine, 4)
            nursery.cancel_scope.cancel()

    assert max(rtts) < 0.020
    assert dropped > 400


async def test_twenty_seconds_of_virtual_time(autojump_clock: MockClock) -> None:
    """The same for as long as it takes to lose thousands."""
    net = VirtualNetwork(latency=0.005)
    async with trio.open_nursery() as nursery:
        source = SyntheticSource(["A"], rate=200, seed=1)
        await nursery.start(partial(serve_quotes, source, tcp=net.listen("server", 1)))
        rtts, dropped = await consume_slowly("tcp://server:1", 20, net.connect)
        nursery.cancel_scope.cancel()

    assert max(rtts) == pytest.approx(0.010)
    assert dropped > 3500


async def test_overflow_can_end_the_session(autojump_clock: MockClock) -> None:
    """Under `close` the consumer gets `SlowConsumer`, bare, and nothing is retried."""
    net = VirtualNetwork()
    async with trio.open_nursery() as nursery:
        source = SyntheticSource(["A"], rate=200, seed=1)
        server: QuoteServer = await nursery.start(partial(serve_quotes, source, tcp=net.listen("server", 1)))
        with pytest.raises(SlowConsumer):
            async with open_session(
                "tcp://server:1", subscribe=["A"], inbox=InboxPolicy(size=50, overflow="close"), connector=net.connect
            ):
                await trio.sleep_forever()
        await trio.sleep(60)
        assert server.statistics().accepted == 1
        nursery.cancel_scope.cancel()
