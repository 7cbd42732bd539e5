"""What every venue sends is decoded into quotes, numbered honestly, whatever else comes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.events import Gap, Quote
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.protocol import venue_connection, venue_quotes
from heartbeat_trio.protocol.venue_connection import ChannelBook, ConnectionCounter
from heartbeat_trio.protocol.venue_quotes import DecoderStatistics, VenueDecoder, VenueQuote
from heartbeat_trio.protocol.venue_records import Announced, ConnectionSequence, venue_names
from heartbeat_trio.protocol.venue_records import venue_quotes as record_of
from heartbeat_trio.protocol.venue_sequence import RESTART_AFTER, SequenceGap
from heartbeat_trio.protocol.wire import decode_quote, encode_quote
from heartbeat_trio.sansio.arbitration import FeedArbiter
from tests.support.venue_messages import (
    BINANCE_BOOK,
    BITFINEX_TICKER,
    BITFINEX_TRADES,
    EXAMPLES,
    OTHERS,
    RECEIVED,
    Example,
    Said,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def decoder_of(venue: str, **options: Any) -> VenueDecoder:
    return VenueDecoder(record_of(venue), **options)


def what(decoder: VenueDecoder, message: Any) -> list[tuple[str, str, int]]:
    """Symbol, stream and number of each quote in a message."""
    return [(quote.symbol, quote.stream, quote.seq) for quote in decoder.decode(message, RECEIVED)]


def said(quote: VenueQuote) -> Said:
    return Said(quote.quote.symbol, quote.quote.bid, quote.quote.ask, quote.quote.last, quote.quote.ts, quote.number)


def match(trade_id: int, product: str = "BTC-USD") -> dict[str, Any]:
    return {"type": "match", "product_id": product, "price": "1.5", "trade_id": trade_id}


def ticker(sequence: int) -> dict[str, Any]:
    return {"type": "ticker", "product_id": "BTC-USD", "price": "1", "best_bid": "1", "best_ask": "2", "sequence": sequence}


def statistics(**counts: Any) -> DecoderStatistics:
    return msgspec.structs.replace(DecoderStatistics(0, 0, 0, 0, 0, 0, 0, ""), **counts)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: f"{each.venue}-{each.kind}")
def test_a_message_says_what_its_venue_means(example: Example) -> None:
    """Byte for byte, from the venue's documentation: symbol, prices, time and number of each quote."""
    decoder = decoder_of(example.venue)
    for text in example.before:
        assert decoder.decode(msgspec.json.decode(text), RECEIVED) == []
    message = msgspec.json.decode(example.text)
    assert decoder.classify(message) == "quotes"
    quotes = decoder.decode_all(message, RECEIVED)
    assert tuple(said(quote) for quote in quotes) == example.said
    assert {quote.message for quote in quotes} == {example.kind}
    assert decoder.statistics() == statistics(quotes=len(quotes))
    for each in quotes:
        assert decode_quote(encode_quote(each.quote)) == each.quote, "our own wires can carry it"


def test_every_kind_of_message_has_an_example() -> None:
    """No row of the table is untested."""
    rows = {(venue, message.name) for venue in venue_names() for message in record_of(venue).quotes}
    assert rows == {(example.venue, example.kind) for example in EXAMPLES}
    assert set(OTHERS) == set(venue_names())


@pytest.mark.parametrize(("venue", "text"), [(venue, text) for venue, texts in OTHERS.items() for text in texts])
def test_what_holds_no_quotes_is_known(venue: str, text: str) -> None:
    """Acknowledgements, heartbeats, books and history are told apart from what is unknown."""
    decoder = decoder_of(venue)
    message = msgspec.json.decode(text)
    assert decoder.classify(message) == "known_other"
    assert decoder.decode(message, RECEIVED) == []
    assert decoder.statistics() == statistics()


@pytest.mark.parametrize("venue", venue_names())
@pytest.mark.parametrize("value", [None, 7, "", "boo", [], {}, [[]], {"no": "venue sends this"}])
def test_what_no_venue_sends_is_unknown(venue: str, value: Any) -> None:
    decoder = decoder_of(venue)
    assert decoder.classify(value) == "unknown"
    assert decoder.decode(value, RECEIVED) == []


@given(venue=st.sampled_from(venue_names()), values=st.lists(JSON, max_size=3))
def test_arbitrary_json_never_raises(venue: str, values: list[Any]) -> None:
    decoder = decoder_of(venue)
    for value in values:
        decoder.classify(value)
        decoder.decode_all(value, RECEIVED)


def _replaced(value: Any, path: list[int], new: Any) -> Any:
    """The value with one of its parts replaced: which one, the numbers say."""
    if path and isinstance(value, dict) and value:
        key = list(value)[path[0] % len(value)]
        return value | {key: _replaced(value[key], path[1:], new)}
    if path and isinstance(value, list) and value:
        index = path[0] % len(value)
        return [*value[:index], _replaced(value[index], path[1:], new), *value[index + 1 :]]
    return new


@given(
    example=st.sampled_from(EXAMPLES),
    path=st.lists(st.integers(0, 20), min_size=1, max_size=5),
    new=JSON | st.sampled_from(["NaN", "1e999", "-1", 10**400, -1, float("nan"), float("inf"), "x" * 10_000]),
)
def test_a_message_with_a_broken_part_never_raises_and_gives_only_sound_quotes(
    example: Example, path: list[int], new: Any
) -> None:
    """Whatever stands in one place of a real message, what comes out can be sent on."""
    decoder = decoder_of(example.venue)
    for text in example.before:
        decoder.decode(json.loads(text), RECEIVED)
    message = _replaced(json.loads(example.text), path, new)
    decoder.classify(message)
    for quote in decoder.decode(message, RECEIVED):
        encode_quote(quote)


@pytest.mark.parametrize(
    ("message", "trouble"),
    [
        (match(1) | {"price": "NaN"}, "a price is no number"),
        (match(1) | {"price": True}, "a price is neither number nor text"),
        (match(1) | {"product_id": 7}, "the symbol is no text"),
        (match(1) | {"trade_id": -1}, "a sequence number is none of 0 to 2^63-1"),
        (match(1) | {"time": "yesterday"}, "a time is not ISO 8601"),
        ({"type": "match", "product_id": "BTC-USD"}, "there is no price where one should be"),
        ({"type": "ticker", "product_id": "BTC-USD"}, "there is no price where one should be"),
    ],
)
def test_garbage_is_counted_and_named(message: dict[str, Any], trouble: str) -> None:
    decoder = decoder_of("coinbase")
    assert decoder.classify(message) == "quotes"
    assert decoder.decode(message, RECEIVED) == []
    assert decoder.statistics() == statistics(invalid=1, trouble=trouble)


@pytest.mark.parametrize("symbol", ["A B", "A" * 65, "A" * 10_000, "", "\u20bf"])
def test_a_symbol_that_no_wire_can_carry_is_left_out(symbol: str) -> None:
    """It is no fault of the message's."""
    decoder = decoder_of("coinbase")
    assert decoder.decode(match(1, symbol), RECEIVED) == []
    assert decoder.statistics() == statistics(left_out=1)


def test_a_channel_without_a_symbol() -> None:
    """An empty one can be carried by no wire; where there is not even a part for it, the message is garbage."""
    record = record_of("bitstamp")
    message = json.loads(next(each.text for each in EXAMPLES if each.venue == "bitstamp")) | {"channel": "live_trades_"}
    decoder = VenueDecoder(record)
    assert decoder.decode(message, RECEIVED) == []
    assert decoder.statistics() == statistics(left_out=1)
    trade = msgspec.structs.replace(record.quotes[0], symbol_at=3)
    decoder = VenueDecoder(msgspec.structs.replace(record, quotes=(trade,)))
    assert decoder.decode(message, RECEIVED) == []
    assert decoder.statistics() == statistics(invalid=1, trouble="there is no symbol in the text")


def test_symbols_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue, or who claims to be one, cannot fill our memory with symbols."""
    monkeypatch.setattr(venue_quotes, "MAX_KEYS", 2)
    decoder = decoder_of("coinbase")
    for symbol in ("A", "B", "C", "A"):
        decoder.decode(match(decoder.statistics().quotes + 1, symbol), RECEIVED)
    assert decoder.statistics() == statistics(quotes=3, left_out=1, gaps=1)


def test_an_empty_book_gives_no_quote_and_is_no_fault() -> None:
    decoder = decoder_of("hyperliquid")
    assert decoder.decode({"channel": "bbo", "data": {"coin": "BTC", "time": 1, "bbo": [None, None]}}, RECEIVED) == []
    assert decoder.statistics() == statistics(empty=1)


def test_a_price_of_zero_counts_where_there_is_a_size() -> None:
    """Only the price 0 of size 0 is a venue's way to write that there is none."""
    decoder = decoder_of("deribit")
    data = {"instrument_name": "A", "best_bid_price": 0.0, "best_bid_amount": 3.0, "best_ask_price": 0, "timestamp": 1}
    [quote] = decoder.decode({"method": "subscription", "params": {"channel": "quote.A", "data": data}}, RECEIVED)
    assert (quote.bid, quote.ask) == (0.0, 0.0), "the ask's size is not given"


class TestNumbering:
    """Which stream and number a quote gets."""

    def test_the_venues_own_numbers(self) -> None:
        """Where one kind of message has numbers without holes they are the quote's, and the same on each connection."""
        for stream in ("local-1", "local-2"):
            decoder = decoder_of("coinbase", stream=stream)
            assert what(decoder, match(700)) == [("BTC-USD", "coinbase-exchange-match", 700)]
            assert what(decoder, match(701)) == [("BTC-USD", "coinbase-exchange-match", 701)]
            assert what(decoder, match(5, "ETH-USD")) == [("ETH-USD", "coinbase-exchange-match", 5)]

    def test_a_hole_is_told_and_shows_in_the_numbers(self) -> None:
        decoder = decoder_of("coinbase")
        for number in (700, 701, 705):
            decoder.decode(match(number), RECEIVED)
        assert decoder.take_gaps() == [SequenceGap("match", "BTC-USD", 702, 704)]
        assert decoder.take_gaps() == []
        assert decoder.statistics() == statistics(quotes=3, gaps=1)

    def test_what_came_before_is_dropped(self) -> None:
        """As `last_match` after a new subscription."""
        decoder = decoder_of("coinbase")
        decoder.decode(match(700), RECEIVED)
        assert what(decoder, match(700) | {"type": "last_match"}) == []
        assert what(decoder, match(699)) == []
        assert decoder.statistics() == statistics(quotes=1, duplicates=2)

    def test_sparse_numbers_are_replaced_by_our_own(self) -> None:
        """`monotonic`: no hole is a gap, and what is old is dropped."""
        decoder = decoder_of("coinbase", stream="local-x7")
        assert [what(decoder, ticker(number)) for number in (10, 900, 900, 17, 901)] == [
            [("BTC-USD", "local-x7", 1)],
            [("BTC-USD", "local-x7", 2)],
            [],
            [],
            [("BTC-USD", "local-x7", 3)],
        ]
        assert decoder.statistics() == statistics(quotes=3, duplicates=2)

    def test_two_kinds_of_messages_share_our_own_numbers(self) -> None:
        """And what was lost of one of them shows in these."""
        decoder = decoder_of("coinbase")
        told = [what(decoder, message) for message in (ticker(1), match(700), ticker(2), match(703), ticker(3))]
        assert told == [[("BTC-USD", "local-1", number)] for number in (1, 2, 3, 6, 7)]

    def test_a_symbol_that_turns_out_to_have_two_kinds_changes_once(self) -> None:
        """A consumer sees one change of stream, and every quote."""
        decoder, arbiter = decoder_of("coinbase"), FeedArbiter()
        messages = (match(700), ticker(1), match(701), ticker(2), match(702))
        quotes = [quote for message in messages for quote in decoder.decode(message, RECEIVED)]
        assert [(quote.stream, quote.seq) for quote in quotes] == [
            ("coinbase-exchange-match", 700),
            ("local-1", 1),
            ("local-1", 2),
            ("local-1", 3),
            ("local-1", 4),
        ]
        told = [each for quote in quotes for each in arbiter.receive_quote(quote, 0.0)]
        assert [each for each in told if isinstance(each, Quote)] == quotes
        assert [each.reason for each in told if isinstance(each, Gap)] == ["stream_changed"]

    def test_what_moved_stays_so_on_the_next_connection(self) -> None:
        """Else a consumer would drop the first quotes there, as those of a stream that it has left."""
        arbiter, moved = FeedArbiter(), frozenset[str]()
        told: list[Quote | Gap] = []
        for connection in (1, 2):
            decoder = decoder_of("coinbase", stream=f"local-{connection}", moved=moved)
            first = 700 + 10 * connection
            for message in (match(first), match(first + 1), ticker(first), match(first + 2)):
                for quote in decoder.decode(message, RECEIVED):
                    told += arbiter.receive_quote(quote, 0.0)
            moved = decoder.moved()
            assert moved == {"BTC-USD"}
        assert [(each.stream, each.seq) for each in told if isinstance(each, Quote)] == [
            ("coinbase-exchange-match", 710),
            ("coinbase-exchange-match", 711),
            ("local-1", 1),
            ("local-1", 2),
            *(("local-2", number) for number in (1, 2, 3, 4)),
        ]
        assert [each.reason for each in told if isinstance(each, Gap)] == ["stream_changed", "reconnected"]

    def test_a_loss_across_a_reconnect_shows(self) -> None:
        """Where the venue's own numbers are the quotes', and nothing moved."""
        arbiter = FeedArbiter()
        told: list[Quote | Gap] = []
        for connection, numbers in ((1, (7, 8)), (2, (11, 12))):
            decoder = decoder_of("coinbase", stream=f"local-{connection}")
            for number in numbers:
                for quote in decoder.decode(match(number), RECEIVED):
                    told += arbiter.receive_quote(quote, 0.0)
            assert decoder.moved() == frozenset()
        assert [(each.first, each.last) for each in told if isinstance(each, Gap)] == [(9, 10)]

    def test_local_from_the_start(self) -> None:
        """For who knows that several kinds come; what was lost before the first number is nobody's business."""
        decoder = decoder_of("coinbase", numbering="local")
        assert [what(decoder, message) for message in (match(700), ticker(1), match(703))] == [
            [("BTC-USD", "local-1", number)] for number in (1, 2, 5)
        ]

    def test_a_trade_without_its_number_is_numbered_here(self) -> None:
        """Older messages of Gate have none."""
        decoder = decoder_of("gate-v4")
        message = json.loads(next(each.text for each in EXAMPLES if (each.venue, each.kind) == ("gate-v4", "trade")))
        del message["result"]["id_market"]
        assert what(decoder, message) == [("GT_USDT", "local-1", 1)]

    def test_a_venue_that_begins_anew(self) -> None:
        """Then its numbers cannot go on in the same stream: ours do."""
        decoder = decoder_of("coinbase")
        decoder.decode(match(1_000_000), RECEIVED)
        dropped = [what(decoder, match(number)) for number in range(1, RESTART_AFTER)]
        assert dropped == [[]] * (RESTART_AFTER - 1)
        assert what(decoder, match(RESTART_AFTER)) == [("BTC-USD", "local-1", 1)]
        assert what(decoder, match(RESTART_AFTER + 1)) == [("BTC-USD", "local-1", 2)]
        assert decoder.statistics() == statistics(quotes=3, duplicates=RESTART_AFTER - 1, restarts=1)

    def test_the_number_that_says_that_it_begins_anew(self) -> None:
        """Bybit's u of 1, which stays so while nothing happens."""
        decoder = decoder_of("bybit-v5")
        message = json.loads(next(each.text for each in EXAMPLES if (each.venue, each.kind) == ("bybit-v5", "book")))
        told = []
        for number in (500, 500, 1, 1, 2):
            told.append(what(decoder, message | {"data": message["data"] | {"u": number}}))
        assert told == [[("BTCUSDT", "local-1", 1)], [], [("BTCUSDT", "local-1", 2)], [], [("BTCUSDT", "local-1", 3)]]

    def test_the_newest_first(self) -> None:
        """A message's quotes are put in order by their numbers, unless one of them has none."""
        rows = [{"i": "A", "p": number, "t": 1, "d": str(number)} for number in (9, 8, 7)]
        message = {"result": {"channel": "trade", "data": rows}}
        assert [quote.last for quote in decoder_of("crypto-com").decode(message, RECEIVED)] == [7, 8, 9]
        del rows[1]["d"]
        assert [quote.last for quote in decoder_of("crypto-com").decode(message, RECEIVED)] == [9, 8], "7 is old then"
        rows[1]["d"] = "boo"
        assert [quote.last for quote in decoder_of("crypto-com").decode(message, RECEIVED)] == [9]

    @pytest.mark.parametrize("stream", ["", "mine", "local-" + "x" * 27, "local-\n"])
    def test_impossible_streams(self, stream: str) -> None:
        with pytest.raises(ConfigError, match="stream"):
            decoder_of("coinbase", stream=stream)

    def test_impossible_numbering(self) -> None:
        with pytest.raises(ConfigError, match="numbering"):
            decoder_of("coinbase", numbering="mine")

    def test_waiting_gaps_are_bounded(self) -> None:
        """Nobody needs to take them; their count stays right."""
        decoder = decoder_of("coinbase")
        for number in range(1100):
            decoder.decode(match(1 + 2 * number), RECEIVED)
        gaps = decoder.take_gaps()
        assert len(gaps) == venue_quotes.MAX_GAPS
        assert gaps[-1] == SequenceGap("match", "BTC-USD", 2198, 2198)
        assert decoder.statistics().gaps == 1099


class TestDeltas:
    """Messages in which absent fields are unchanged."""

    @staticmethod
    def prices(decoder: VenueDecoder, kind: str, **data: Any) -> list[tuple[float | None, float | None, float | None]]:
        message = {"topic": "tickers.A", "type": kind, "ts": 1, "data": {"symbol": "A"} | data}
        return [(quote.bid, quote.ask, quote.last) for quote in decoder.decode(message, RECEIVED)]

    def test_what_is_absent_is_unchanged(self) -> None:
        decoder = decoder_of("bybit-v5")
        assert self.prices(decoder, "snapshot", bid1Price="1", ask1Price="3", lastPrice="2") == [(1, 3, 2)]
        assert self.prices(decoder, "delta", bid1Price="1.5") == [(1.5, 3, 2)]
        assert self.prices(decoder, "delta", ask1Price="", lastPrice="2.5") == [(1.5, None, 2.5)]
        assert self.prices(decoder, "delta", bid1Price="1.6") == [(1.6, None, 2.5)]

    def test_nothing_of_ours_is_nothing(self) -> None:
        decoder = decoder_of("bybit-v5")
        assert self.prices(decoder, "delta", markPrice="1") == []
        assert decoder.statistics() == statistics()

    def test_a_snapshot_forgets_what_was_before(self) -> None:
        decoder = decoder_of("bybit-v5")
        self.prices(decoder, "snapshot", bid1Price="1", ask1Price="3", lastPrice="2")
        assert self.prices(decoder, "snapshot", lastPrice="7") == [(None, None, 7)]
        assert self.prices(decoder, "delta", lastPrice="8") == [(None, None, 8)]

    def test_an_empty_snapshot_is_remembered_too(self) -> None:
        decoder = decoder_of("bybit-v5")
        self.prices(decoder, "snapshot", bid1Price="1", ask1Price="3", lastPrice="2")
        assert self.prices(decoder, "snapshot", bid1Price="", ask1Price="", lastPrice="") == []
        assert self.prices(decoder, "delta", ask1Price="8") == [(None, 8, None)]
        assert decoder.statistics() == statistics(quotes=2, empty=1)

    def test_a_delta_without_a_snapshot(self) -> None:
        """What is not known is not there."""
        assert self.prices(decoder_of("bybit-v5"), "delta", ask1Price="3") == [(None, 3, None)]

    def test_a_delta_that_is_too_late_changes_nothing(self) -> None:
        decoder = decoder_of("bybit-v5")
        message = {"topic": "tickers.A", "type": "snapshot", "ts": 1, "cs": 9, "data": {"symbol": "A", "lastPrice": "2"}}
        decoder.decode(message, RECEIVED)
        late = message | {"type": "delta", "cs": 8, "data": {"symbol": "A", "bid1Price": "7"}}
        assert decoder.decode(late, RECEIVED) == []
        assert self.prices(decoder, "delta", lastPrice="3") == [(None, None, 3)]


class TestAnnouncedChannels:
    """Bitfinex: a channel's id means what an earlier message said."""

    TICKER = (224555, [1.0, 5, 2.0, 5, 0, 0, 1.5, 9, 9, 9])

    def test_unknown_before_and_after(self) -> None:
        decoder = decoder_of("bitfinex")
        frame = list(self.TICKER)
        assert decoder.classify(frame) == "unknown"
        assert decoder.decode(frame, RECEIVED) == []
        decoder.decode(json.loads(BITFINEX_TICKER[0]), RECEIVED)
        assert decoder.classify(frame) == "quotes"
        assert what(decoder, frame) == [("tBTCUSD", "local-1", 1)]
        decoder.decode({"event": "unsubscribed", "status": "OK", "chanId": 224555}, RECEIVED)
        assert decoder.classify(frame) == "unknown"
        decoder.decode({"event": "unsubscribed", "status": "OK", "chanId": 224555}, RECEIVED)
        assert decoder.statistics() == statistics(quotes=1)

    @pytest.mark.parametrize(
        ("message", "kind"),
        [
            ([17470, "te", [401597395, 1574694478808, 0.005, 7245.3]], "quotes"),
            ([17470, "tu", [401597395, 1574694478808, 0.005, 7245.3]], "known_other"),
            ([17470, [[401597393, 1574694475039, 0.005, 7244.9]]], "known_other"),
            ([17470, "hb", 3], "known_other"),
            ([17470], "unknown"),
            (["17470", "te", []], "unknown"),
        ],
    )
    def test_what_a_trades_channel_carries(self, message: list[Any], kind: str) -> None:
        """The update repeats the execution, and the snapshot is history."""
        decoder = decoder_of("bitfinex")
        decoder.decode(json.loads(BITFINEX_TRADES[0]), RECEIVED)
        assert decoder.classify(message) == kind

    @pytest.mark.parametrize("change", [{"chanId": "7"}, {"symbol": None}, {"channel": 7}, {"symbol": "t" * 300}])
    def test_an_announcement_without_sense(self, change: dict[str, Any]) -> None:
        decoder = decoder_of("bitfinex")
        decoder.decode(json.loads(BITFINEX_TICKER[0]) | change, RECEIVED)
        assert decoder.statistics() == statistics(
            invalid=1, trouble="an announced channel has no number, no name or no symbol"
        )

    def test_channels_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(venue_connection, "MAX_CHANNELS", 1)
        announced = record_of("bitfinex").announced
        assert isinstance(announced, Announced)
        book = ChannelBook(announced)
        first, second = (json.loads(text) for text in BITFINEX_TICKER)
        book.receive(first)
        book.receive(first)
        with pytest.raises(ValueError, match="too many"):
            book.receive(second)

    def test_channels_without_numbers(self) -> None:
        """A venue may have the one and not the other."""
        decoder = VenueDecoder(msgspec.structs.replace(record_of("bitfinex"), connection=None))
        decoder.decode(json.loads(BITFINEX_TICKER[0]), RECEIVED)
        assert what(decoder, list(self.TICKER)) == [("tBTCUSD", "local-1", 1)]

    def test_the_ticker_of_a_funding_currency_is_no_market(self) -> None:
        decoder = decoder_of("bitfinex")
        decoder.decode(json.loads(BITFINEX_TICKER[0]) | {"symbol": "fUSD"}, RECEIVED)
        assert decoder.classify(list(self.TICKER)) == "known_other"


class TestConnectionNumbers:
    """Numbers that grow with every message of a connection."""

    def test_a_lost_message_is_told(self) -> None:
        """Nobody can say whose it was."""
        decoder = decoder_of("dydx-v4")
        for number in (0, 1, 4, 3):
            decoder.decode({"type": "connected", "message_id": number}, RECEIVED)
        assert decoder.take_gaps() == [SequenceGap("connection", None, 2, 3)]

    def test_a_number_that_is_none(self) -> None:
        decoder = decoder_of("dydx-v4")
        decoder.decode({"type": "connected", "message_id": "one"}, RECEIVED)
        decoder.decode({"type": "connected"}, RECEIVED)
        assert decoder.statistics() == statistics(invalid=1, trouble="a sequence number is none of 0 to 2^63-1")

    def test_it_begins_anew(self) -> None:
        decoder = decoder_of("dydx-v4")
        for number in (1, 5_000_000):
            decoder.decode({"type": "connected", "message_id": number}, RECEIVED)
        assert decoder.statistics() == statistics(restarts=1)

    @pytest.mark.parametrize(
        ("flags", "gaps"), [(65536, 1), (65536 | 131072, 1), (0, 0), (32768 | 65536, 0), ("65536", 0), (None, 0)]
    )
    def test_only_where_they_were_asked_for(self, flags: Any, gaps: int) -> None:
        """Bitfinex has them after `conf` with SEQ_ALL; with TIMESTAMP something else stands in their place."""
        decoder = decoder_of("bitfinex")
        decoder.decode([1, "hb", 1], RECEIVED)
        decoder.decode({"event": "conf", "status": "OK", "flags": flags}, RECEIVED)
        for number in (2, 4):
            decoder.decode([1, "hb", number], RECEIVED)
        assert decoder.statistics().gaps == gaps

    def test_always_where_nothing_says_otherwise(self) -> None:
        counter = ConnectionCounter(ConnectionSequence(path="n"))
        assert counter.receive({"n": 1}) is None
        assert counter.receive({"n": 3}) == SequenceGap("connection", None, 2, 2)


def test_a_combined_stream_of_nothing() -> None:
    """An envelope without its content is unknown."""
    decoder = decoder_of("binance")
    assert decoder.classify({"stream": "a@b"}) == "unknown"
    assert decoder.classify({"stream": "a@b", "data": json.loads(BINANCE_BOOK)}) == "quotes"
