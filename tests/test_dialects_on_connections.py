"""Dialects on real transports over a virtual network: who says what when, frame by frame, with both engines."""

from __future__ import annotations

import gzip
from random import Random

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio import BeatMissed, RotationAdvised, builtin_dialects
from heartbeat_trio.config import HeartbeatPolicy, SilencePolicy
from heartbeat_trio.connection import open_connection
from heartbeat_trio.endpoint import Endpoint
from heartbeat_trio.events import Event, PongMissed, PongReceived, ServerError
from heartbeat_trio.exceptions import ConfigError, PongTimeout
from heartbeat_trio.observe import jsonlines, text
from heartbeat_trio.protocol.messages import Subscribe, Subscribed, Unknown
from heartbeat_trio.sansio.quality import ConnectionQuality
from heartbeat_trio.session import open_session
from heartbeat_trio.testing import ExchangeSimulator, VirtualNetwork
from tests.support.venue_peer import VenuePeer

ENGINES = ["", "&engine=trio-websocket"]
PATIENT = SilencePolicy(last_step="none")


async def start(net: VirtualNetwork, nursery: trio.Nursery) -> VenuePeer:
    peer = VenuePeer(net.listen("venue", 80))
    await nursery.start(peer.run)
    return peer


@pytest.mark.parametrize("engine", ENGINES)
async def test_okx_is_pinged_when_it_is_idle(autojump_clock: MockClock, nursery: trio.Nursery, engine: str) -> None:
    """Bare text after 20 s without any message, never while data flows; without a pong it is over before its 30 s."""
    net = VirtualNetwork()
    peer = await start(net, nursery)
    peer.on_text = lambda said: b"pong" if said == b"ping" else None
    events: list[Event] = []
    with pytest.raises(PongTimeout):
        async with open_connection(
            f"ws://venue/#dialect=okx-v5{engine}", connector=net.connect, rng=Random(1), on_event=events.append
        ) as connection:
            begin = trio.current_time()
            for _ in range(10):
                await trio.sleep(15)
                await peer.send_text(b'{"arg":{"channel":"tickers"},"data":[]}')
            assert [] == peer.texts
            await trio.sleep(45)
            assert [b"ping", b"ping"] == peer.texts
            assert [170.0, 190.0] == [pytest.approx(each.at - begin) for each in peer.heard]
            assert 2 == sum(isinstance(event, PongReceived) for event in events)
            assert isinstance((await connection.receive_batch())[0], Unknown)
            peer.on_text = lambda _said: None
            await trio.sleep_forever()
    assert trio.current_time() - begin == pytest.approx(190.0 + 20 + 8)
    assert 1 == sum(isinstance(event, PongMissed) for event in events)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
async def test_binances_pings_are_answered_at_once(autojump_clock: MockClock, nursery: trio.Nursery, engine: str) -> None:
    """With the identical payload; our own are control frames, well below its five messages a second."""
    net = VirtualNetwork()
    peer = await start(net, nursery)
    async with open_connection(f"ws://venue/#dialect=binance-spot{engine}", connector=net.connect, rng=Random(1)):
        begin = trio.current_time()
        for number in range(3):
            await trio.sleep(20)
            await peer.send_ping(b"1769000000%03d" % number)
        await trio.sleep(0.1)
    pongs = [each for each in peer.heard if each.kind == "pong"]
    assert [b"1769000000%03d" % number for number in range(3)] == [each.payload for each in pongs]
    assert [20.0, 40.0, 60.0] == [pytest.approx(each.at - begin) for each in pongs]
    assert 12 <= sum(each.kind == "ping" for each in peer.heard) <= 14
    assert [] == peer.texts
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_server_ping_overtakes_data(autojump_clock: MockClock, nursery: trio.Nursery, engine: str) -> None:
    """HTX pings inside gzip while our own output is blocked by data: its pong goes out ahead of what has not begun."""
    net = VirtualNetwork(send_buffer=2000, receive_buffer=2000)
    peer = await start(net, nursery)
    async with open_connection(f"ws://venue/#dialect=htx-spot{engine}", connector=net.connect, rng=Random(1)) as connection:
        net.host("venue").slow_reader(20_000)
        for number in range(4000):
            connection.put(Subscribe(f"S{number}"))
        await trio.sleep(1)
        await peer.send_binary(gzip.compress(b'{"ping":1492420473027}'))
        await trio.sleep(14)
    assert 4000 == sum(b'"sub"' in said for said in peer.texts)
    assert peer.texts.index(b'{"pong":1492420473027}') < 3000
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
async def test_htx_that_stops_pinging_is_dead_in_18_s(autojump_clock: MockClock, nursery: trio.Nursery, engine: str) -> None:
    """Though we cannot ping it: each missing ping is told, and the last one is the end."""
    net = VirtualNetwork()
    peer = await start(net, nursery)
    events: list[Event] = []
    with pytest.raises(PongTimeout) as caught:
        async with open_connection(
            f"ws://venue/#dialect=htx-spot{engine}", connector=net.connect, rng=Random(1), on_event=events.append
        ):
            for number in range(6):
                await trio.sleep(5)
                await peer.send_binary(gzip.compress(b'{"ping":%d}' % number))
            begin = trio.current_time()
            await trio.sleep_forever()
    assert trio.current_time() - begin == pytest.approx(18.0)
    missed = [event for event in events if isinstance(event, BeatMissed)]
    assert [1, 2, 3] == [event.missed for event in missed]
    assert [8.0, 13.0, 18.0] == [pytest.approx(event.silent_for) for event in missed]
    assert "no ping or beat from ws://venue:80/ for 18.0 s, 3 were due" in str(caught.value)
    assert 3 == caught.value.missed
    assert caught.value.blame is missed[-1].blame is not None
    assert [b'{"pong":%d}' % number for number in range(6)] == peer.texts
    assert ("beat_missed", 1) == (jsonlines.describe(missed[0])[0], jsonlines.describe(missed[0])[1]["missed"])  # type: ignore[index]
    assert str(text.describe(missed[0])).startswith("no ping or beat from the server for 8.0 s")
    nursery.cancel_scope.cancel()


async def test_beats_are_what_pongs_are_elsewhere(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A connection that was pinged for an hour, without any data, was no failed attempt: the next one is the first again."""
    net = VirtualNetwork()
    exchange = ExchangeSimulator("htx-spot", net.listen("venue", 80))
    await nursery.start(exchange.run)
    async with open_session("ws://venue/#dialect=htx-spot", connector=net.connect, rng=Random(1)) as session:
        for _ in range(3):
            await session.wait_connected()
            assert 1 == session.attempt
            await trio.sleep(3600)
            net.host("venue").reset_all()
            await trio.sleep(0.001)
    nursery.cancel_scope.cancel()


async def test_a_wrong_id_is_an_unknown_pong(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Kraken's pongs with another's id, or with ours as a text, answer nothing; they are counted and are no life."""
    net = VirtualNetwork()
    peer = await start(net, nursery)

    def answer(said: bytes) -> bytes:
        number = said.partition(b'"req_id":')[2].rstrip(b"}")
        wrong = b'"%s"' % number if len(peer.texts) % 2 else b"1%s" % number
        return b'{"method":"pong","req_id":%s}' % wrong

    peer.on_text = answer
    quality = ConnectionQuality(pong_timeout=8)
    with pytest.raises(PongTimeout, match="2 missed"):
        async with open_connection("ws://venue/#dialect=kraken-v2", connector=net.connect, rng=Random(1), quality=quality):
            begin = trio.current_time()
            await trio.sleep_forever()
    snapshot = quality.snapshot(trio.current_time())
    assert trio.current_time() - begin <= 28
    assert (len(peer.texts), 0, 2) == (snapshot.unknown_pongs, snapshot.answered, snapshot.missed)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
async def test_kucoin_waits_for_the_welcome_and_keeps_its_interval(
    autojump_clock: MockClock, nursery: trio.Nursery, engine: str
) -> None:
    """Nothing is sent before it; its interval counts unless the user has one of his own."""
    net = VirtualNetwork()
    peer = await start(net, nursery)
    peer.on_text = lambda said: said.replace(b'"ping"', b'"pong"')

    async def welcome() -> None:
        await peer.connected.wait()
        await trio.sleep(2)
        assert [] == peer.heard
        await peer.send_binary(b'{"sessionId":"s","message":"welcome","pingInterval":4000}')

    async def pings_in_a_minute(heartbeat: HeartbeatPolicy | None) -> int:
        peer.heard.clear()
        peer.connected = trio.Event()
        nursery.start_soon(welcome)
        async with open_connection(
            f"ws://venue/#dialect=kucoin-uta{engine}", connector=net.connect, rng=Random(1), heartbeat=heartbeat
        ):
            await trio.sleep(60)
        return len(peer.texts)

    assert 15 <= await pings_in_a_minute(None) <= 16
    assert 6 <= await pings_in_a_minute(HeartbeatPolicy(ping_interval=10)) <= 7
    nursery.cancel_scope.cancel()


async def test_kucoins_interval_as_a_parameter(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """What the REST call said stands in the fragment; the token in the query is sent, and never shown."""
    net = VirtualNetwork()
    exchange = ExchangeSimulator("kucoin-classic", net.listen("venue", 80), parameters={"channel": "match"})
    await nursery.start(exchange.run)
    endpoint = Endpoint.parse("ws://venue/?token=secret&connectId=1#dialect=kucoin-classic&ping_interval=5&channel=match")
    assert (("ping_interval", 5), ("channel", "match")) == endpoint.parameters
    assert "secret" not in str(endpoint)
    async with open_connection(endpoint, connector=net.connect, rng=Random(1)) as connection:
        await connection.subscribe("BTC-USDT")
        assert [Subscribed("BTC-USDT")] == await connection.receive_batch()
        await trio.sleep(50)
        assert 10 <= exchange.live[0].mirror.pings_received <= 11
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_venue_that_asks_to_be_left(autojump_clock: MockClock, nursery: trio.Nursery, engine: str) -> None:
    """Its notice is an event, the connection stays; errors are errors, and other notices are no data."""
    net = VirtualNetwork()
    peer = await start(net, nursery)
    async with open_session(
        f"ws://venue/#dialect=bitfinex{engine}",
        connector=net.connect,
        rng=Random(1),
        silence=SilencePolicy(last_step="none"),
    ) as session:
        await session.wait_connected()
        await peer.send_text(b'{"event":"info","code":20060}')
        await peer.send_text(b'{"event":"error","msg":"symbol: \\u001b[31minvalid","code":10300}')
        await peer.send_text(b'{"event":"info","code":20051,"msg":"Stopping"}')
        await trio.sleep(1)
        async with session.events() as channel:
            events = channel.take_nowait()
        assert 1 == session.connections
    [advised] = [event for event in events if isinstance(event, RotationAdvised)]
    [error] = [event for event in events if isinstance(event, ServerError)]
    assert "the server asks to reconnect" == advised.reason
    assert "\x1b" not in error.message
    assert "the server asks to be left: the server asks to reconnect" == text.describe(advised)
    assert ("rotation_advised", {"reason": advised.reason}) == jsonlines.describe(advised)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_venue_that_has_no_ping_is_pinged_with_control_frames(
    autojump_clock: MockClock, nursery: trio.Nursery, engine: str
) -> None:
    """Which every WebSocket answers: every 20 s by default, and as an explicit policy says."""
    net = VirtualNetwork()
    exchange = ExchangeSimulator("crypto-com", net.listen("venue", 80))
    await nursery.start(exchange.run)
    for heartbeat, expected in ((None, 4), (HeartbeatPolicy(ping_interval=10, pong_timeout=3), 6)):
        async with open_connection(
            f"ws://venue/#dialect=crypto-com{engine}", connector=net.connect, rng=Random(1), heartbeat=heartbeat
        ) as connection:
            await trio.sleep(55)
            assert exchange.live[0].mirror.pings_received == expected
            assert connection.rtt is not None
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
async def test_what_a_venue_has_no_word_for_is_not_sent(
    autojump_clock: MockClock, nursery: trio.Nursery, engine: str
) -> None:
    """Bitfinex cannot be unsubscribed from by symbol: nothing is sent, nobody waits."""
    net = VirtualNetwork()
    peer = await start(net, nursery)
    async with open_connection(f"ws://venue/#dialect=bitfinex{engine}", connector=net.connect, rng=Random(1)) as connection:
        await connection.unsubscribe("tBTCUSD")
        await trio.sleep(1)
    assert all(b'"ping"' in said for said in peer.texts)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("wss://stream.binance.com:9443/stream?streams=x", "binance-spot"),
        ("wss://WS.OKX.com:8443/ws/v5/public", "okx-v5"),
        ("wss://ws.kraken.com/v2", "kraken-v2"),
        ("wss://ws.kraken.com/", "kraken-v1"),
        ("wss://ws.kraken.com/v2#dialect=ops", "ops"),
        ("wss://stream.bybit.com/v5/public/linear", "bybit-v5"),
        ("wss://stream.bybit.com/realtime", "ops"),
        ("ws://somewhere.example/", "ops"),
        ("ws://somewhere.example/#dialect=rfc6455", "rfc6455"),
    ],
)
def test_hosts_pick_their_dialect(url: str, dialect: str) -> None:
    """A well-known one its venue's, any other our own operations; what the URL says wins."""
    endpoint = Endpoint.parse(url)

    assert dialect == endpoint.dialect
    assert (endpoint.venue is None) is (dialect == "ops")
    assert endpoint == Endpoint.parse(url)
    assert 1 == len({endpoint, Endpoint.parse(url)})


@pytest.mark.parametrize(
    ("fragment", "reason"),
    [
        ("dialect=nats", "'nats' is here for reference only and cannot be spoken"),
        ("dialect=okx", "dialect='okx' must be one of ops, .*okx-v5"),
        ("dialect=okx-v5&symbol=x", "unknown option 'symbol'; known: dialect, engine, deflate, channel"),
        ("dialect=kucoin-classic&ping_interval=soon", "ping_interval='soon' must be like 18"),
        ("channel=x", "unknown option 'channel'; known: dialect, engine"),
    ],
)
def test_impossible_dialects_are_refused(fragment: str, reason: str) -> None:
    """With the choices; an endpoint that was put together by hand is refused when it is used."""
    with pytest.raises(ConfigError, match=reason):
        Endpoint.parse(f"ws://host/#{fragment}")
    with pytest.raises(ConfigError, match="'okx' is not known"):
        _ = Endpoint(scheme="ws", host="host", port=80, path="/", dialect="okx").venue
    by_hand = Endpoint(scheme="ws", host="host", port=80, path="/", dialect="okx-v5")
    assert by_hand.venue is builtin_dialects()["okx-v5"]
