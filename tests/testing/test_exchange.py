"""Every dialect spoken with a simulated exchange that behaves as the venue does, by both engines, in virtual time."""

from __future__ import annotations

from random import Random

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import HeartbeatPolicy, SilencePolicy
from heartbeat_trio.connection import open_connection
from heartbeat_trio.dialects import builtin_dialects, speakable_dialects
from heartbeat_trio.events import Event
from heartbeat_trio.exceptions import ConfigError, ConnectError, ConnectionClosed, ConnectionLost, PongTimeout
from heartbeat_trio.protocol.dialect_schedule import beat_policy, heartbeat_policy
from heartbeat_trio.protocol.messages import Unknown
from heartbeat_trio.session import open_session
from heartbeat_trio.testing import ExchangeSimulator, VirtualNetwork
from heartbeat_trio.transports.evidence import listen_tcp
from heartbeat_trio.venue_events import BeatMissed
from tests.support.exchanges import live_through, symbols_of

DIALECTS = builtin_dialects()
NAMES = speakable_dialects(DIALECTS)
ENGINES = ["", "&engine=trio-websocket"]
PATIENT = SilencePolicy(last_step="none")


async def start(
    net: VirtualNetwork, nursery: trio.Nursery, name: str, *, pong: int = 0, **parameters: str | float
) -> ExchangeSimulator:
    exchange = ExchangeSimulator(name, net.listen("venue", 443), rng=Random(name), pong=pong, parameters=parameters)
    await nursery.start(exchange.run)
    return exchange


@pytest.mark.parametrize("engine", ["native", "trio-websocket"])
@pytest.mark.parametrize("name", NAMES)
async def test_an_hour_with_every_venue(autojump_clock: MockClock, name: str, engine: str) -> None:
    """One connection, every ping answered on both sides, nothing that the venue did not understand."""
    outcome = await live_through(name, 3600, engine=engine)

    assert (1, (), 0, 0) == (outcome.connections, outcome.dropped, outcome.lost, outcome.unanswered)
    assert outcome.sent - outcome.answered in (0, 1)
    assert outcome.answered in (outcome.pings_received, outcome.pings_received - 1)
    assert symbols_of(name) == [each.upper() for each in outcome.subscribed]
    assert 0 == outcome.unknown
    periods = [ping.period for ping in DIALECTS[name].server_pings if ping.period and ping.level == "text"]
    if periods:
        assert 3600 / periods[0] - 2 <= outcome.asked <= 3600 / periods[0] + 1


@pytest.mark.parametrize("name", NAMES)
async def test_a_frozen_venue_is_dead_within_the_bound(autojump_clock: MockClock, nursery: trio.Nursery, name: str) -> None:
    """Whether it is asked or expected to beat: counted from its last byte, and not sooner than half of it."""
    net = VirtualNetwork(latency=0.02)
    await start(net, nursery, name)
    policy, beats = heartbeat_policy(DIALECTS[name]), beat_policy(DIALECTS[name])
    bound = policy.bound if beats is None else min(policy.bound, beats.bound)
    with pytest.raises(PongTimeout) as caught:
        async with open_connection(f"ws://venue:443/#dialect={name}", connector=net.connect, rng=Random(1)) as connection:
            for symbol in symbols_of(name):
                await connection.subscribe(symbol)
            await trio.sleep(123.456)
            frozen = trio.current_time()
            net.host("venue").freeze()
            await trio.sleep_forever()
    assert frozen + bound / 3 <= trio.current_time() <= frozen + 0.02 + bound
    assert caught.value.silent_for <= bound + 0.001
    assert "venue" in str(caught.value)
    nursery.cancel_scope.cancel()


BEATING = [name for name in NAMES if DIALECTS[name].expects is not None]


@pytest.mark.parametrize("name", BEATING)
async def test_pings_that_stop_while_data_flows(autojump_clock: MockClock, nursery: trio.Nursery, name: str) -> None:
    """It is noticed; a venue that may leave them out is forgiven, any other is dead after a minute, or its bound."""
    net = VirtualNetwork(latency=0.02)
    exchange = await start(net, nursery, name)
    beats = beat_policy(DIALECTS[name])
    assert beats is not None
    events: list[Event] = []
    stopped = 0.0

    async def converse() -> None:
        nonlocal stopped
        async with open_connection(
            f"ws://venue:443/#dialect={name}", connector=net.connect, rng=Random(1), on_event=events.append
        ) as connection:
            await connection.subscribe("BTCUSD")
            await trio.sleep(100)
            exchange.pings_clients = False
            stopped = trio.current_time()
            with trio.move_on_after(200):
                while True:
                    await exchange.push(b'{"some":"data"}')
                    await trio.sleep(1)

    if beats.data_counts:
        await converse()
        assert [] == [event for event in events if isinstance(event, BeatMissed)]
    else:
        with pytest.raises(PongTimeout, match="no ping or beat from"):
            await converse()
        assert stopped + max(beats.bound, 60) - beats.period <= trio.current_time() <= stopped + 0.1 + max(beats.bound, 60)
        assert [*range(1, beats.misses + 1)] == [event.missed for event in events if isinstance(event, BeatMissed)]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("name", "within", "code"),
    [
        ("binance-spot", 60, None),
        ("htx-spot", 15, None),
        ("bitget", 120, None),
        ("deribit", 60, 4000),
        ("dydx-v4", 40, None),
    ],
)
async def test_a_client_that_does_not_heartbeat_is_dropped(
    autojump_clock: MockClock, nursery: trio.Nursery, name: str, within: float, code: int | None
) -> None:
    """A plain client that neither pings nor answers: the simulator ends it as the venue would."""
    net = VirtualNetwork()
    exchange = await start(net, nursery, name)
    stream = await net.connect("venue", 443)
    await stream.send_all(
        b"GET / HTTP/1.1\r\nHost: venue\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    if name == "deribit":  # it pings nobody who did not ask for it
        text = b'{"jsonrpc":"2.0","id":1,"method":"public/set_heartbeat","params":{"interval":30}}'
        await stream.send_all(b"\x81" + bytes([0x80 | len(text)]) + b"\0\0\0\0" + text)
    start_time = trio.current_time()
    while await stream.receive_some():
        pass
    assert 10 <= trio.current_time() - start_time <= within
    [dropped] = exchange.dropped
    assert (code or None, 1) == (dropped.code, dropped.connection)
    assert (1, ()) == (exchange.accepted, exchange.live)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("pong", range(4))
async def test_all_of_bybits_pongs(autojump_clock: MockClock, nursery: trio.Nursery, pong: int) -> None:
    """Spot, linear, options and private connections answer in four ways; each is an answer."""
    net = VirtualNetwork(latency=0.02)
    await start(net, nursery, "bybit-v5", pong=pong)
    async with open_session("ws://venue:443/#dialect=bybit-v5", connector=net.connect, rng=Random(1)) as session:
        await trio.sleep(101)
        assert (6, 0, 0) == (session.quality().answered, session.quality().missed, session.quality().unknown_pongs)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["okx-v5", "htx-spot", "deribit", "upbit"])
async def test_on_real_sockets(nursery: trio.Nursery, name: str, engine: str) -> None:
    """The same on loopback: a client that pings, servers that ping, gzip and JSON in binary frames."""
    [listener] = await listen_tcp("127.0.0.1", 0)
    exchange = ExchangeSimulator(name, listener)
    await nursery.start(exchange.run)
    port, interval = listener.port, "&beat_interval=0.1" if name == "deribit" else ""
    policy = HeartbeatPolicy(ping_interval=0.1, pong_timeout=5, max_missed_pongs=3)
    if DIALECTS[name].limits.messages is not None:
        policy = HeartbeatPolicy(ping_interval=2, pong_timeout=5)
    with trio.fail_after(5):
        async with open_connection(
            f"ws://127.0.0.1:{port}/#dialect={name}{engine}{interval}", heartbeat=policy, rng=Random(1)
        ) as connection:
            while connection.rtt is None or (exchange.live[0].mirror.answered < 3 and name == "deribit"):
                await trio.sleep(0.01)
            await exchange.push(b'{"some":"data"}')
            while Unknown('{"some":"data"}') not in await connection.receive_batch():
                pass
            assert "connections live" in repr(exchange)
            assert name in repr(exchange.live[0])
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("name", "count", "seconds"), [("binance-spot", 1000, 5), ("dydx-v4", 21, 11.5), ("bitget", 300, 1.5)]
)
async def test_many_subscriptions_are_paced(
    autojump_clock: MockClock, nursery: trio.Nursery, name: str, count: int, seconds: float
) -> None:
    """In messages of as many symbols as the venue takes, as fast as it allows; after a reset once more."""
    net = VirtualNetwork(latency=0.02)
    exchange = await start(net, nursery, name)
    wanted = [f"S{number}" for number in range(count)]
    async with open_session(
        f"ws://venue:443/#dialect={name}", subscribe=wanted, silence=PATIENT, connector=net.connect, rng=Random(1)
    ) as session:
        for _ in range(2):
            await session.wait_connected()
            begin = trio.current_time()
            while not exchange.live or len(exchange.live[0].mirror.subscribed) < count:
                await trio.sleep(0.01)
            assert seconds - 1 <= trio.current_time() - begin <= seconds
            assert wanted == [each.upper() for each in exchange.live[0].mirror.subscribed]
            net.host("venue").reset_all()
            await trio.sleep(0.01)
    assert [] == exchange.dropped
    nursery.cancel_scope.cancel()


async def test_a_venue_that_goes_away(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A client that is no WebSocket, one that leaves in good order, one that is gone: the simulator goes on."""
    net = VirtualNetwork()
    exchange = await start(net, nursery, "okx-v5")
    for words in (b"hello\r\n\r\n", b""):
        stream = await net.connect("venue", 443)
        if words:
            await stream.send_all(words)
        await trio.sleep(6)
        await stream.aclose()
    with pytest.raises(ConnectionClosed):
        async with open_connection("ws://venue:443/#dialect=okx-v5", connector=net.connect) as connection:
            await connection.say_goodbye(1)
            await trio.sleep_forever()
    with pytest.raises(ConnectionLost):
        async with open_connection("ws://venue:443/#dialect=okx-v5", connector=net.connect):
            await trio.sleep(1)
            net.host("venue").reset_all()
            await exchange.push(b"{}")
            await trio.sleep_forever()
    await trio.sleep(1)
    assert (4, (), []) == (exchange.accepted, exchange.live, exchange.dropped)
    with pytest.raises(ConfigError, match="'okex' is not known"):
        ExchangeSimulator("okex", net.listen("other", 1))
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_welcome_that_does_not_come(autojump_clock: MockClock, nursery: trio.Nursery, engine: str) -> None:
    """Nothing is sent before it; without it the attempt fails in time, or at once when cancelled; nothing stays open."""
    net = VirtualNetwork()
    exchange = await start(net, nursery, "okx-v5")
    with pytest.raises(ConnectError, match="took longer than 5 s"):
        async with open_connection(f"ws://venue:443/#dialect=kucoin-classic{engine}", connector=net.connect):
            raise AssertionError
    begin = trio.current_time()
    with trio.move_on_after(1):
        async with open_connection(f"ws://venue:443/#dialect=kucoin-classic{engine}", connector=net.connect):
            raise AssertionError
    assert 1.0 == trio.current_time() - begin
    await trio.sleep(1)
    assert (2, ()) == (exchange.accepted, exchange.live)
    nursery.cancel_scope.cancel()
