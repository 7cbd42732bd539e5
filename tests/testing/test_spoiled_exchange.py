"""Every dialect spoken with a venue that breaks its rules: what it says in a wrong way never counts."""

from __future__ import annotations

from functools import partial
from math import inf, nan
from random import Random
from typing import NamedTuple

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.connection import open_connection
from heartbeat_trio.dialects import builtin_dialects, speakable_dialects
from heartbeat_trio.events import Event, PongMissed, PongReceived, QualitySnapshot
from heartbeat_trio.exceptions import ConfigError, ConnectionClosed, ConnectionLost, PongTimeout
from heartbeat_trio.protocol.dialect_schedule import beat_policy, heartbeat_policy
from heartbeat_trio.protocol.messages import Invalid, Message, Unknown
from heartbeat_trio.protocol.spoiling import Spoil, possible_spoils
from heartbeat_trio.testing import ExchangeSimulator, VirtualNetwork
from heartbeat_trio.venue_events import BeatMissed
from tests.support.exchanges import symbols_of

DIALECTS = builtin_dialects()
NAMES = speakable_dialects(DIALECTS)
MARKET = {"market": b'"spot"', "channel": b'"x"'}
SPOILED = [(name, kind) for name in NAMES for kind in possible_spoils(DIALECTS[name], MARKET)]


def has_spoiled_pong(name: str, kind: Spoil) -> bool:
    """Whether its pongs are spoiled; otherwise only its pings or beats are."""
    probe = DIALECTS[name].probe
    return kind == "id" or (probe is not None and probe.level == "text")


PONGS = [each for each in SPOILED if has_spoiled_pong(*each)]
BEATS = [(name, kind) for name, kind in SPOILED if kind != "id" and DIALECTS[name].expects is not None]


def test_no_dialect_is_left_out() -> None:
    """Each with a ping in words, its own or the venue's, is spoiled in one way at least; control pongs as well."""
    tested = {name for name, _ in (*PONGS, *BEATS)}
    in_words = {
        name
        for name in NAMES
        if ((probe := DIALECTS[name].probe) is not None and probe.level == "text")
        or any(ping.ping and ping.period for ping in DIALECTS[name].server_pings)
    }
    assert 16 <= len(in_words)
    assert set() == in_words - tested
    assert set() == {name for name in NAMES if DIALECTS[name].probe is not None} - {name for name, _ in PONGS}


async def start(net: VirtualNetwork, nursery: trio.Nursery, name: str) -> ExchangeSimulator:
    exchange = ExchangeSimulator(name, net.listen("venue", 443), rng=Random(name))
    await nursery.start(exchange.run)
    return exchange


class Heard(NamedTuple):
    """What a client made of a connection: its events and messages, its counts, what ended it, and when."""

    events: list[Event]
    messages: list[Message]
    quality: QualitySnapshot
    error: ConnectionClosed | ConnectionLost | None
    seconds: float


async def hear(net: VirtualNetwork, name: str, seconds: float) -> Heard:
    """Stay connected until it ends, or for so many seconds."""
    events: list[Event] = []
    messages: list[Message] = []
    error: ConnectionClosed | ConnectionLost | None = None
    begin = trio.current_time()
    try:
        async with open_connection(
            f"ws://venue:443/#dialect={name}", connector=net.connect, rng=Random(1), on_event=events.append
        ) as connection:
            for symbol in symbols_of(name):
                await connection.subscribe(symbol)
            with trio.move_on_after(seconds):
                while True:
                    messages += await connection.receive_batch()
    except (ConnectionClosed, ConnectionLost) as lost:
        error = lost
    return Heard(events, messages, connection.quality(), error, trio.current_time() - begin)


@pytest.mark.parametrize(("name", "kind"), PONGS)
async def test_a_spoiled_pong_is_no_answer(autojump_clock: MockClock, nursery: trio.Nursery, name: str, kind: Spoil) -> None:
    """Its ping is missed, it is told as unknown; where pings are due whatever else comes, the connection is lost in time."""
    net = VirtualNetwork(latency=0.02)
    exchange = await start(net, nursery, name)
    exchange.spoil = kind
    policy = heartbeat_policy(DIALECTS[name])
    is_steady = DIALECTS[name].probe is not None and policy.schedule in ("every", "negotiated")
    # What is said in a wrong way is a sign of life all the same: pongs may be missing for `max_pongless`, and no longer.
    bound = policy.bound if not is_steady else max(policy.bound, policy.max_pongless + policy.ping_interval)
    heard = await hear(net, name, bound + policy.pong_timeout + 0.1)

    assert 0 == heard.quality.answered
    assert 1 <= heard.quality.missed
    assert any(isinstance(event, PongMissed) for event in heard.events)
    assert not any(isinstance(event, PongReceived) for event in heard.events)
    unknown = [message for message in heard.messages if isinstance(message, (Unknown, Invalid))]
    if kind == "id" or (kind == "type" and not unknown):
        assert 1 <= heard.quality.unknown_pongs
    else:
        assert [] != unknown
    if is_steady:
        assert isinstance(heard.error, PongTimeout)
        assert heard.seconds <= bound + policy.pong_timeout + 0.1
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("name", "kind"), BEATS)
async def test_a_spoiled_ping_is_none(autojump_clock: MockClock, nursery: trio.Nursery, name: str, kind: Spoil) -> None:
    """It is not answered, and its absence is noticed: by us, or, where any data will do instead, by the venue."""
    net = VirtualNetwork(latency=0.02)
    exchange = await start(net, nursery, name)
    beats, begin = beat_policy(DIALECTS[name]), trio.current_time()
    assert beats is not None
    healthy = 2.5 * beats.period
    bound = max(beats.max_beatless, beats.bound) + beats.period

    async def begin_spoiling() -> None:
        await trio.sleep(healthy)
        exchange.spoil = kind

    nursery.start_soon(begin_spoiling)
    heard = await hear(net, name, healthy + bound)

    unknown = [message for message in heard.messages if isinstance(message, (Unknown, Invalid))]
    missed = [event for event in heard.events if isinstance(event, BeatMissed)]
    assert [] != unknown
    assert heard.error is not None
    assert healthy < heard.seconds <= healthy + bound
    assert all(event.at - begin > healthy for event in missed)
    if beats.data_counts:  # the venue waits for an answer that it did not ask for, and ends it
        assert DIALECTS[name].server_clock.code == exchange.dropped[0].code
    else:
        assert [] != missed
        assert exchange.dropped or isinstance(heard.error, PongTimeout)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("spoiled", [False, True])
@pytest.mark.parametrize("name", ["htx-spot", "deribit"])
async def test_no_spoiled_ping_is_answered(
    autojump_clock: MockClock, nursery: trio.Nursery, name: str, spoiled: bool
) -> None:
    """Nothing goes out for it, where a right one is answered each time."""
    net = VirtualNetwork(latency=0.02)
    exchange = await start(net, nursery, name)
    exchange.spoil = "case" if spoiled else None
    async with open_connection(f"ws://venue:443/#dialect={name}", connector=net.connect, rng=Random(1)):
        await trio.sleep((DIALECTS[name].server_pings[0].period or 0) + 1)
        mirror = exchange.live[0].mirror
        assert (0 if spoiled else 1) <= mirror.answered <= (0 if spoiled else 2)
        assert [] == mirror.unknown
    nursery.cancel_scope.cancel()


async def test_a_spoiled_venue_mends_its_ways(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """The switch counts from the next pong on; what the dialect leaves no room for is refused."""
    net = VirtualNetwork(latency=0.02)
    exchange = await start(net, nursery, "kraken-v2")
    async with open_connection("ws://venue:443/#dialect=kraken-v2", connector=net.connect, rng=Random(1)) as connection:
        exchange.spoil = "type"
        while connection.quality().unknown_pongs == 0:
            await trio.sleep(0.1)
        assert (0, None) == (connection.quality().answered, connection.rtt)
        exchange.spoil = None
        await trio.sleep(31)
        assert 2 <= connection.quality().answered
        assert (1, 0) == (connection.quality().unknown_pongs, connection.missed_pongs)
    assert (None, ("id", "case", "type")) == (exchange.spoil, exchange.spoils)
    okx = ExchangeSimulator("okx-v5", net.listen("other", 1))
    with pytest.raises(ConfigError, match=r"spoil = 'type' is not possible with OKX.*; possible: case"):
        okx.spoil = "type"
    nursery.cancel_scope.cancel()


async def test_recorded_messages_are_replayed(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """In their order, at their times divided by the speed, to who has subscribed, as lazily as they are asked for."""
    net = VirtualNetwork()
    exchange = await start(net, nursery, "okx-v5")
    rows: list[tuple[float, bytes | str]] = [
        (100.0, b'{"n":0}'),
        (103.0, '{"n":1}'),
        (102.0, b'{"n":2}'),
        (104.0, b'{"n":3}'),
    ]
    url = "ws://venue:443/#dialect=okx-v5"
    async with open_connection(url, connector=net.connect) as idle, open_connection(url, connector=net.connect) as reader:
        await reader.subscribe("BTC-USDT")
        await trio.sleep(1)
        await reader.receive_batch()
        for speed, times in ((1.0, [0.0, 3.0, 3.0, 5.0]), (2.0, [0.0, 1.5, 1.5, 2.5]), (inf, [0.0] * 4)):
            begin = trio.current_time()
            nursery.start_soon(partial(exchange.replay, rows, speed=speed))
            found: list[tuple[float, Message]] = []
            while len(found) < 4:
                found += [(trio.current_time() - begin, message) for message in await reader.receive_batch()]
            assert [Unknown(f'{{"n":{number}}}') for number in range(4)] == [message for _, message in found]
            assert times == pytest.approx([at for at, _ in found], abs=1e-6)
        with trio.move_on_after(2.5) as scope:
            taken = iter([(float(number), b"{}") for number in range(1000)])
            await exchange.replay(taken)
        assert scope.cancelled_caught
        assert 996 == len([*taken])
        with trio.move_on_after(1) as scope:
            await idle.receive_batch()
        assert scope.cancelled_caught
        for speed, at, reason in (
            (0.0, 1.0, "speed = 0.0 must be above 0"),
            (nan, 1.0, "speed = nan"),
            (1.0, nan, "message 1"),
        ):
            with pytest.raises(ConfigError, match=reason):
                await exchange.replay([(at, b"{}")], speed=speed)
        assert 0 == await exchange.replay([])
    nursery.cancel_scope.cancel()
