"""A fleet keeps the limits that its venues' dialects know of, without being told."""

from __future__ import annotations

from random import Random

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import SilencePolicy
from heartbeat_trio.fleet import open_fleet
from heartbeat_trio.policies import VenueLimits
from heartbeat_trio.testing import ExchangeSimulator, VirtualNetwork


@pytest.mark.parametrize(
    ("limits", "first_second", "limit"),
    [(None, 2, 2), ({"venue": VenueLimits(connects=5, connect_period=1.0)}, 4, 4), ({"venue": VenueLimits()}, 8, None)],
)
async def test_connects_keep_the_dialects_limit(
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    limits: dict[str, VenueLimits] | None,
    first_second: int,
    limit: int | None,
) -> None:
    """OKX allows 3 a second: 80 % are 2 in a second. What the user says wins, no limits at all included."""
    net = VirtualNetwork(latency=0.01)
    exchange = ExchangeSimulator("okx-v5", net.listen("venue", 80), rng=Random(1))
    await nursery.start(exchange.run)
    async with open_fleet(
        connector=net.connect, limits=limits, rng=Random(1), silence=SilencePolicy(last_step="none")
    ) as fleet:
        for number in range(8):
            fleet.add(f"s{number}", "ws://venue/#dialect=okx-v5", subscribe=["X"])
        await trio.sleep(0.9)
        assert first_second == exchange.accepted
        assert limit == fleet.snapshot().venues[0].connect_limit
        await trio.sleep(5)
        assert 8 == exchange.accepted
    nursery.cancel_scope.cancel()


async def test_messages_of_all_connections_are_limited_only_where_the_venue_counts_them_so(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Coinbase counts by address, Binance by connection: there, a hundred connections may say as much as each alone may."""
    net = VirtualNetwork(latency=0.01)
    for name in ("coinbase-exchange", "binance-spot"):
        exchange = ExchangeSimulator(name, net.listen(name, 80), rng=Random(1))
        await nursery.start(exchange.run)
    async with open_fleet(connector=net.connect, rng=Random(1)) as fleet:
        fleet.add("a", "ws://coinbase-exchange/#dialect=coinbase-exchange", subscribe=["BTC-USD"])
        fleet.add("b", "ws://binance-spot/#dialect=binance-spot", subscribe=["BTCUSDT"])
        fleet.add("c", "tcp://nobody:1")
        await trio.sleep(1)
        found = {venue.name: (venue.connect_limit, venue.message_limit) for venue in fleet.snapshot().venues}
    assert {"coinbase-exchange": (6, 80), "binance-spot": (240, None), "nobody": (None, None)} == found
    nursery.cancel_scope.cancel()
