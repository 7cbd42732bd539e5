"""Every message of every capture: decoded or known not to hold quotes, and no gap where none was."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from heartbeat_trio.events import Gap, Quote
from heartbeat_trio.protocol.venue_quotes import VenueDecoder, VenueQuote
from heartbeat_trio.protocol.venue_records import venue_quotes
from heartbeat_trio.protocol.venue_sequence import SequenceGap
from heartbeat_trio.sansio.arbitration import FeedArbiter
from tests.support.captures import CAPTURES, REAL, Row, capture, messages

DAY = 86_400_000_000


def path_of(name: str) -> Path:
    path = capture(name)
    if path is None:
        pytest.skip(f"no {CAPTURES / name}: set HEARTBEAT_TRIO_CAPTURES to the folder of captures")
    return path


@pytest.mark.parametrize("name", REAL)
def test_every_message_is_decoded_or_known(name: str) -> None:
    """Quote for quote as a reading of the same messages finds them that knows nothing of our tables; no false alarm."""
    venue, make_reader, count = REAL[name]
    reader = make_reader()
    decoder = VenueDecoder(venue_quotes(venue))
    expected: list[Row] = []
    found: list[VenueQuote] = []
    kinds: Counter[str] = Counter()
    for received, message in messages(path_of(name)):
        rows, quotes = reader(message), decoder.decode_all(message, received)
        kind = decoder.classify(message)
        kinds[kind] += 1
        assert kind == ("quotes" if rows else "known_other"), message
        expected += rows
        found += quotes
        assert all(abs(each.quote.ts - received) < DAY for each in quotes), "the times are of the right unit"
    assert [(quote.symbol, quote.bid, quote.ask, quote.last) for quote, *_ in found] == expected
    assert len(expected) == count
    assert kinds["unknown"] == 0
    assert decoder.take_gaps() == []
    statistics = decoder.statistics()
    assert (statistics.quotes, statistics.invalid, statistics.duplicates, statistics.left_out) == (count, 0, 0, 0)


@pytest.mark.parametrize("name", REAL)
def test_a_consumer_sees_every_quote_and_no_gap(name: str) -> None:
    """Through the arbiter that every session has; a symbol's stream changes at most once."""
    decoder, arbiter = VenueDecoder(venue_quotes(REAL[name][0])), FeedArbiter()
    told: list[Quote | Gap] = []
    for received, message in messages(path_of(name)):
        for quote in decoder.decode(message, received):
            told += arbiter.receive_quote(quote, 0.0)
    assert len([each for each in told if isinstance(each, Quote)]) == REAL[name][2]
    changes = Counter(each.symbol for each in told if isinstance(each, Gap))
    assert all(each.reason == "stream_changed" for each in told if isinstance(each, Gap))
    assert set(changes.values()) <= {1}


@pytest.mark.parametrize(("name", "kind"), [("COINBASE.ws.28.0", "match"), ("BINANCE_US.ws.1.0", "aggtrade")])
def test_each_single_lost_trade_is_told(name: str, kind: str) -> None:
    """Left out one after the other: each is told, unless it was a symbol's first or last, which nobody can know."""
    venue = REAL[name][0]
    trades: defaultdict[str, list[tuple[int, Any]]] = defaultdict(list)
    numbers: dict[int, int | None] = {}
    decoder = VenueDecoder(venue_quotes(venue))
    for received, message in messages(path_of(name)):
        for quote in decoder.decode_all(message, received):
            if quote.message == kind:
                trades[quote.quote.symbol].append((received, message))
                numbers[id(message)] = quote.number
    told = 0
    for symbol, sent in trades.items():
        for _, lost in sent[1:-1]:
            decoder = VenueDecoder(venue_quotes(venue))
            for received, message in sent:
                if message is not lost:
                    decoder.decode(message, received)
            number = numbers[id(lost)]
            assert [SequenceGap(kind, symbol, number, number)] == decoder.take_gaps()  # type: ignore[arg-type]
            told += 1
    assert told == sum(max(len(sent) - 2, 0) for sent in trades.values()) > 8
