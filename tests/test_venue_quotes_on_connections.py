"""Quotes of venues through whole sessions: over frames of either engine, once each, with gaps that mean something."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from math import inf
from random import Random

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import SilencePolicy
from heartbeat_trio.connection import open_connection
from heartbeat_trio.dialects import builtin_dialects
from heartbeat_trio.endpoint import Endpoint
from heartbeat_trio.events import Event, Gap, Quote, Subscribed
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.protocol.messages import Subscribed as SubscribedMessage
from heartbeat_trio.protocol.spelling import canonical_symbol
from heartbeat_trio.protocol.venue_records import venue_names
from heartbeat_trio.sansio.subscriptions import SubscriptionState
from heartbeat_trio.session import Session, open_session
from heartbeat_trio.testing import ExchangeSimulator, VirtualNetwork
from heartbeat_trio.transports.connect import make_codec
from heartbeat_trio.transports.decoding import Decoders
from tests.support.captures import CAPTURES, REAL, Row, capture, messages, texts
from tests.support.venue_messages import EXAMPLES

CONFIRMED, ACKNOWLEDGED = SubscriptionState.CONFIRMED, SubscriptionState.ACKNOWLEDGED
ENGINES = ["native", "trio-websocket"]
REPLAYED = [
    *((name, engine) for name in ("BINANCE.ws.1.0", "COINBASE.ws.28.0", "OKX.ws.1.0") for engine in ENGINES),
    *((name, engine) for name in ("HUOBI.ws.44.0", "BITFINEX.ws.11.0", "UPBIT.ws.62.0") for engine in ENGINES),
    *(
        (name, "native")
        for name in ("BITSTAMP.ws.1.0", "DERIBIT.ws.1.0", "GATEIO.ws.1.0", "GEMINI.ws.1.0", "KRAKEN.ws.49.0")
    ),
]


class Rig:
    """A simulated exchange, and the URL at which it is."""

    def __init__(self, name: str, engine: str = "native", **parameters: str) -> None:
        self.net = VirtualNetwork(latency=0.01)
        self.exchange = ExchangeSimulator(name, self.net.listen("venue", 80), rng=Random(1), parameters=parameters)
        options = "".join(f"&{key}={value}" for key, value in parameters.items())
        self.url = f"ws://venue/#dialect={name}&engine={engine}{options}"

    def open(self, *symbols: str) -> AbstractAsyncContextManager[Session]:
        """A session there, which stays however silent it is."""
        return open_session(
            self.url,
            subscribe=symbols,
            connector=self.net.connect,
            rng=Random(1),
            silence=SilencePolicy(last_step="none"),
        )


async def events_of(session: Session) -> list[Event]:
    async with session.events() as channel:
        return channel.take_nowait()


def rows_of(quotes: list[Quote]) -> list[Row]:
    return [(quote.symbol, quote.bid, quote.ask, quote.last) for quote in quotes]


def book(symbol: str, price: int) -> bytes:
    """What Binance says of its best bid and ask."""
    return b'{"u":%d,"s":"%s","b":"%d","B":"1","a":"%d","A":"1"}' % (price, symbol.encode(), price, price + 1)


def trade(number: int, symbol: str = "BTCUSDT") -> bytes:
    """A trade at Binance: its numbers are the venue's, and have no holes."""
    return b'{"e":"trade","E":1700000000000,"s":"%s","t":%d,"p":"%d","q":"1","T":1700000000000}' % (
        symbol.encode(),
        number,
        number,
    )


@pytest.mark.parametrize(("name", "engine"), REPLAYED)
async def test_a_recording_comes_whole(autojump_clock: MockClock, nursery: trio.Nursery, name: str, engine: str) -> None:
    """Quote for quote as an independent reading has it, no gap but one where a symbol has several kinds of quotes."""
    path = capture(name)
    if path is None:
        pytest.skip(f"no {CAPTURES / name}: set HEARTBEAT_TRIO_CAPTURES to the folder of captures")
    venue, make_reader, count = REAL[name]
    reader = make_reader()
    expected = [row for _, message in messages(path) for row in reader(message)]
    rig = Rig(venue, engine)
    await nursery.start(rig.exchange.run)
    async with rig.open(expected[0][0].swapcase() if venue == "bitstamp" else expected[0][0]) as session:
        await session.wait_connected()
        await trio.sleep(1)
        await rig.exchange.replay(((received / 1_000_000, text) for received, text in texts(path)), speed=inf)
        found: list[Quote] = []
        while len(found) < count:
            found += await session.receive_batch()
        with trio.move_on_after(1):
            found += await session.receive_batch()
        events = await events_of(session)
        assert 1 == session.connections
        assert not session._feed._book.unconfirmed(trio.current_time(), 0.0)
    assert expected == rows_of(found)
    gaps = [event for event in events if isinstance(event, Gap)]
    assert {"stream_changed"} >= {gap.reason for gap in gaps}
    assert len(gaps) == len({gap.symbol for gap in gaps})
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
async def test_quotes_confirm_a_subscription_in_any_spelling(
    autojump_clock: MockClock, nursery: trio.Nursery, engine: str
) -> None:
    """``btcusdt`` and ``BTCUSDT`` are one wish at Binance; its acknowledgement and quotes name it as data does."""
    rig = Rig("binance-spot", engine)
    await nursery.start(rig.exchange.run)
    async with rig.open("btcusdt", "BTCUSDT", "EthUsdt") as session:
        await session.wait_connected()
        await trio.sleep(1)
        assert ["btcusdt", "ethusdt"] == rig.exchange.live[0].mirror.subscribed
        await rig.exchange.push(book("BTCUSDT", 100))
        quote = await anext(session)
        assert ("BTCUSDT", 100.0, 101.0) == (quote.symbol, quote.bid, quote.ask)
        assert quote.stream.startswith("local-")
        events = await events_of(session)
        assert ["BTCUSDT", "ETHUSDT"] == [event.symbol for event in events if isinstance(event, Subscribed)]
        assert [CONFIRMED, ACKNOWLEDGED] == [session._feed._book.state(symbol) for symbol in ("BTCUSDT", "ETHUSDT")]
        await session.unsubscribe("btcUSDT")
        await trio.sleep(1)
        assert "btcusdt" not in rig.exchange.live[0].mirror.subscribed
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
async def test_what_cannot_be_known_is_told_once_for_each_loss(
    autojump_clock: MockClock, nursery: trio.Nursery, engine: str
) -> None:
    """Quotes without numbers: nothing on the first connection, then one gap per symbol, open, before its next quote."""
    rig = Rig("binance-spot", engine)
    await nursery.start(rig.exchange.run)
    streams: list[str] = []
    async with rig.open("BTCUSDT", "ETHUSDT") as session:
        for connection in range(3):
            await session.wait_connected()
            await trio.sleep(1)
            for price in (100, 200):  # their update ids have holes, which mean nothing
                await rig.exchange.push(book("BTCUSDT", 1000 * connection + price))
            for seq in (1, 2):
                quote = await anext(session)
                assert seq == quote.seq
                streams.append(quote.stream)
            rig.net.host("venue").reset_all()
            await trio.sleep(0.05)
        gaps = [event for event in await events_of(session) if isinstance(event, Gap)]
    assert 3 == len(set(streams))
    assert [("BTCUSDT", streams[0], 3, None, "reconnected"), ("BTCUSDT", streams[2], 3, None, "reconnected")] == [
        (gap.symbol, gap.stream, gap.first, gap.last, gap.reason) for gap in gaps
    ]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_venues_own_numbers_tell_what_a_loss_cost(
    autojump_clock: MockClock, nursery: trio.Nursery, engine: str
) -> None:
    """Trades 3 and 4 came while there was no connection: one gap says so; where nothing is missing there is none."""
    rig = Rig("binance-spot", engine, channel="trade")
    await nursery.start(rig.exchange.run)
    found: list[int] = []
    async with rig.open("btcusdt") as session:
        for numbers in ((1, 2), (5, 6), (7, 8)):
            await session.wait_connected()
            await trio.sleep(1)
            for number in numbers:
                await rig.exchange.push(trade(number))
                found.append((await anext(session)).seq)
            rig.net.host("venue").reset_all()
            await trio.sleep(0.05)
        gaps = [event for event in await events_of(session) if isinstance(event, Gap)]
    assert [1, 2, 5, 6, 7, 8] == found
    assert [("binance-spot-trade", 3, 4, "unexplained")] == [(gap.stream, gap.first, gap.last, gap.reason) for gap in gaps]
    nursery.cancel_scope.cancel()


async def test_a_symbol_that_left_the_venues_numbers_does_not_return(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Two kinds of quotes of one symbol: one change of stream on the first connection, and on the next none but its own."""
    rig = Rig("binance-spot")
    await nursery.start(rig.exchange.run)
    async with rig.open("btcusdt") as session:
        for connection in range(2):
            await session.wait_connected()
            await trio.sleep(1)
            for text in (trade(10 * connection + 1), book("BTCUSDT", 100), trade(10 * connection + 2)):
                await rig.exchange.push(text)
                await anext(session)
            rig.net.host("venue").reset_all()
            await trio.sleep(0.05)
        reasons = [event.reason for event in await events_of(session) if isinstance(event, Gap)]
    assert ["stream_changed", "reconnected"] == reasons
    nursery.cancel_scope.cancel()


async def test_one_connection_by_itself(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Without a session too: quotes as they come, symbols that no wire of ours can carry under the names that it can."""
    rig = Rig("bitfinex")
    await nursery.start(rig.exchange.run)
    async with open_connection(rig.url, connector=rig.net.connect, rng=Random(1)) as connection:
        await connection.subscribe("tDUSK/USD")
        assert [SubscribedMessage("tDUSK/USD")] == await connection.receive_batch()
        assert ["tDUSK:USD"] == rig.exchange.live[0].mirror.subscribed
        await rig.exchange.push(b'{"event":"subscribed","channel":"ticker","chanId":7,"symbol":"tDUSK:USD","pair":1}')
        await rig.exchange.push(b"[7,[1.5,10,2.5,10,0.1,0.01,2,1000,3,1]]")
        found: list[object] = []
        while not any(isinstance(each, Quote) for each in found):
            found += await connection.receive_batch()
    [quote] = [each for each in found if isinstance(each, Quote)]
    assert ("tDUSK/USD", 1.5, 2.5, 2.0, 1) == (quote.symbol, quote.bid, quote.ask, quote.last, quote.seq)
    nursery.cancel_scope.cancel()


def test_every_dialect_whose_quotes_are_known_names_them() -> None:
    """And nothing else; a wrong name is refused before anything is sent."""
    dialects = builtin_dialects()
    assert {name: dialects[name].quotes for name in venue_names()} == {name: name for name in venue_names()}
    assert set(venue_names()) == {name for name, each in dialects.items() if each.quotes}
    with pytest.raises(ConfigError, match="'nowhere' must be one of"):
        Decoders().make("nowhere")


@pytest.mark.parametrize("name", sorted({example.venue for example in EXAMPLES}))
def test_data_spell_symbols_as_the_canonical_spelling_does(name: str) -> None:
    """So that data confirm what was subscribed to: what each venue's documents show is spelled so already."""
    dialect = builtin_dialects()[name]
    for symbol in (said.symbol for example in EXAMPLES if example.venue == name for said in example.said):
        assert symbol == canonical_symbol(dialect, symbol)


def test_the_time_of_arrival_stands_for_a_time_that_is_missing() -> None:
    """In microseconds, from the clock at the rim."""
    codec = make_codec(Endpoint.parse("ws://venue/#dialect=binance-spot"), Decoders(lambda: 1_700_000_000_000_123))
    assert codec is not None
    [quote] = codec.decode_text(book("BTCUSDT", 1))
    assert isinstance(quote, Quote)
    assert 1_700_000_000_000_123 == quote.ts


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name", ["coinbase-exchange", "coinbase-advanced", "deribit", "htx-spot", "gemini-v2", "crypto-com"]
)
async def test_a_venue_without_a_ping_becomes_suitable_for_trading(
    autojump_clock: MockClock, nursery: trio.Nursery, name: str, engine: str
) -> None:
    """Control pings give it round trips, and so a verdict; it never ends the connection."""
    example = next(each for each in EXAMPLES if each.venue == name)
    rig = Rig(name, engine)
    await nursery.start(rig.exchange.run)
    async with rig.open(example.said[0].symbol) as session:
        await session.wait_connected()
        await trio.sleep(1)
        for _ in range(430):  # 20 pings are needed, of which some come soon
            await rig.exchange.push(example.text.encode())
            await trio.sleep(1)
        verdict = session.is_suitable_for_trading(max_data_age=1e9)  # the same trade again is no new one
        quality = session.quality()
        assert 1 == session.connections
        assert (True, ()) == (verdict.ok, verdict.codes)
        assert 20 <= quality.answered <= 24
        assert 0 == quality.missed == quality.unknown_pongs
        assert [] == rig.exchange.dropped
    nursery.cancel_scope.cancel()
