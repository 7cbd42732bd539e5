"""What a venue says of its connections' end has a line replaced before: its notices, its goodbye, and the age it allows."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import trio
from msgspec import structs
from trio.testing import MockClock

from heartbeat_trio.config import SilencePolicy
from heartbeat_trio.dialects import builtin_dialects
from heartbeat_trio.endpoint import Endpoint
from heartbeat_trio.events import Event, Gap, Lost, Quote, Rotated, RotationStarted, SourceEvent
from heartbeat_trio.merging import NEVER, policy_at
from heartbeat_trio.policies import RotationPolicy
from heartbeat_trio.redundant import open_redundant_feed
from heartbeat_trio.testing import ExchangeSimulator, ScriptedPeer, VirtualNetwork

PATIENT = SilencePolicy(last_step="none")
NOTICES = {
    "binance-spot": (b'{"e":"serverShutdown","E":1770123456789}', "the server shuts down"),
    "okx-v5": (b'{"event":"notice","code":"64008","msg":"soon closed"}', "a service upgrade is near"),
}


def trade_of(name: str, number: int) -> bytes:
    """A trade; Binance numbers them, OKX's have only their time."""
    if name == "binance-spot":
        return b'{"e":"trade","E":1,"s":"BTCUSDT","t":%d,"p":"%d","q":"1","T":%d}' % (
            number,
            number,
            1_700_000_000_000 + number,
        )
    return (
        b'{"arg":{"channel":"trades","instId":"BTCUSDT"},"data":[{"instId":"BTCUSDT","tradeId":"%d","px":"%d","ts":"%d"}]}'
        % (number, number, 1_700_000_000_000 + number)
    )


@pytest.mark.parametrize("engine", ["native", "trio-websocket"])
@pytest.mark.parametrize("name", NOTICES)
async def test_a_notice_leads_to_a_new_line_before_the_old_one_ends(
    autojump_clock: MockClock, nursery: trio.Nursery, name: str, engine: str
) -> None:
    """20 trades a second throughout; 3 s after the notice the old one is left: none lost, none doubled, no gap."""
    notice, reason = NOTICES[name]
    channel = "trade" if name == "binance-spot" else "trades"
    net = VirtualNetwork(latency=0.01)
    exchange = ExchangeSimulator(name, net.listen("venue", 80), rng=Random(1), parameters={"channel": channel})
    await nursery.start(exchange.run)
    quotes: list[Quote] = []
    async with open_redundant_feed(
        [f"ws://venue/#dialect={name}&engine={engine}&channel={channel}"],
        subscribe=["btcusdt"],
        rotation=RotationPolicy(),
        connector=net.connect,
        rng=Random(1),
        silence=PATIENT,
    ) as feed:
        await feed.wait_connected()
        await trio.sleep(1)
        [first] = exchange.live
        for number in range(1, 201):
            if number == 40:
                await first.send(first.mirror.push(notice, trio.current_time()))
            assert number < 100 or first not in exchange.live
            await exchange.push(trade_of(name, number))
            await trio.sleep(0.05)
        quotes += await feed.receive_batch()
        async with feed.events() as channel_of_events:
            events = channel_of_events.take_nowait()
        assert ["line-2"] == [line.name for line in feed.lines()]
    assert list(range(1, 201)) == [quote.last for quote in quotes]
    assert [reason] == [event.reason for event in events if isinstance(event, RotationStarted)]
    assert 1 == sum(isinstance(event, Rotated) for event in events)
    assert not [event for event in events if isinstance(event, Gap) or is_loss(event)]
    assert 2 == exchange.accepted
    nursery.cancel_scope.cancel()


def is_loss(event: Event) -> bool:
    return isinstance(event, SourceEvent) and isinstance(event.event, Lost)


@pytest.mark.parametrize("policy", [None, RotationPolicy(follow_venue=False)])
async def test_a_notice_is_only_told_where_nobody_asked_for_rotations(
    autojump_clock: MockClock, nursery: trio.Nursery, policy: RotationPolicy | None
) -> None:
    """Without a policy, or with one that leaves the venue's wishes alone, the line stays."""
    net = VirtualNetwork(latency=0.01)
    exchange = ExchangeSimulator("okx-v5", net.listen("venue", 80), rng=Random(1))
    await nursery.start(exchange.run)
    async with open_redundant_feed(
        ["ws://venue/#dialect=okx-v5"], subscribe=["X"], rotation=policy, connector=net.connect, silence=PATIENT
    ) as feed:
        await feed.wait_connected()
        await trio.sleep(1)
        await exchange.push(NOTICES["okx-v5"][0])
        await trio.sleep(30)
        assert 1 == exchange.accepted
    nursery.cancel_scope.cancel()


async def test_a_goodbye_leads_to_a_new_line(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Of a server of our own, which closes a while after it."""
    net = VirtualNetwork(latency=0.01)
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    async with open_redundant_feed(
        ["tcp://server:1"], subscribe=["A"], rotation=RotationPolicy(), connector=net.connect, rng=Random(1), silence=PATIENT
    ) as feed:
        await feed.wait_connected()
        await trio.sleep(1)
        await peer.send(b"GOODBYE:shutdown:5\n", peer.live[0])
        await trio.sleep(4)
        async with feed.events() as channel:
            events = channel.take_nowait()
        assert ["line-2"] == [line.name for line in feed.lines()]
    assert ["shutdown"] == [event.reason for event in events if isinstance(event, RotationStarted)]
    assert not [event for event in events if is_loss(event)]


async def test_a_venues_age_is_the_policys(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A venue that ends connections after an hour: they are replaced 2 to 6 % earlier, unasked, and it never ends one."""
    hourly = structs.replace(builtin_dialects()["binance-spot"], max_age=3600.0)
    net = VirtualNetwork(latency=0.01)
    exchange = ExchangeSimulator(hourly, net.listen("venue", 80), rng=Random(1))
    await nursery.start(exchange.run)
    where = replace(Endpoint.parse("ws://venue/#dialect=binance-spot"), record=hourly)
    async with open_redundant_feed(
        [where], subscribe=["X"], rotation=RotationPolicy(), connector=net.connect, silence=PATIENT
    ) as feed:
        await feed.wait_connected()
        for hour in range(2):
            await trio.sleep(3600 * (0.93 if hour == 0 else 0.88))
            assert 1 + hour == exchange.accepted
            await trio.sleep(3600 * (0.06 if hour == 0 else 0.1))
        assert 3 == exchange.accepted
        assert [] == exchange.dropped
    nursery.cancel_scope.cancel()


async def test_an_outage_of_the_only_line_is_told_where_nobody_numbers(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Two tickers, a loss, two tickers: one gap of the feed's own between them, and symbols in the venue's spelling."""
    net = VirtualNetwork(latency=0.01)
    exchange = ExchangeSimulator("binance-spot", net.listen("venue", 80), rng=Random(1))
    await nursery.start(exchange.run)
    async with open_redundant_feed(
        ["ws://venue/#dialect=binance-spot"], subscribe=["btcusdt"], connector=net.connect, rng=Random(1), silence=PATIENT
    ) as feed:
        quotes: list[Quote] = []
        for price in (1, 2, 3, 4):
            await feed.wait_connected()
            await trio.sleep(1)
            await exchange.push(b'{"u":%d,"s":"BTCUSDT","b":"%d","B":"1","a":"9","A":"1"}' % (price, price))
            quotes.append(await anext(feed))
            if price == 2:
                net.host("venue").reset_all()
                await trio.sleep(0.05)
        async with feed.events() as channel:
            gaps = [event for event in channel.take_nowait() if isinstance(event, Gap)]
    assert [("BTCUSDT", float(price)) for price in (1, 2, 3, 4)] == [(quote.symbol, quote.bid) for quote in quotes]
    assert [("BTCUSDT", quotes[1].stream, 3, None, "reconnected")] == [
        (gap.symbol, gap.stream, gap.first, gap.last, gap.reason) for gap in gaps
    ]
    nursery.cancel_scope.cancel()


def test_what_the_user_says_of_ages_wins() -> None:
    """The dialect's is for where nothing is said, where the venue is to be followed, and where it has one."""
    venue, other = (Endpoint.parse(f"ws://venue/#dialect={name}") for name in ("binance-spot", "okx-v5"))
    assert builtin_dialects()["binance-spot"].max_age == policy_at(venue, RotationPolicy(overlap=2.0)).max_age == 86_400
    assert 2.0 == policy_at(venue, RotationPolicy(overlap=2.0)).overlap
    assert 60.0 == policy_at(venue, RotationPolicy(max_age=60.0)).max_age
    for where, policy in ((venue, NEVER), (other, RotationPolicy()), (Endpoint.parse("tcp://h:1"), RotationPolicy())):
        assert policy_at(where, policy).max_age is None
