"""Recorded messages as venues sent them: text, binary, gzipped; and recordings of more than one connection."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import pytest

from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.protocol.venue_records import venue_quotes
from heartbeat_trio.server import recorded
from heartbeat_trio.server.recorded import RecordingReader, read_payload

HEADER = "wss://host/ <-> 1000.0\n"
TICKER = "[7,[1.0,5,2.0,5,0,0,1.5,9,9,9]]"
TRADE = {"ch": "market.btcusdt.trade.detail", "tick": {"data": [{"price": 7.5, "tradeId": 3, "ts": 1_700_000_000_000}]}}


def announced(symbol: str) -> str:
    return json.dumps({"event": "subscribed", "channel": "ticker", "chanId": 7, "symbol": symbol})


def reader_of(venue: str) -> RecordingReader:
    return RecordingReader(Path("recording"), venue_quotes(venue))


@pytest.mark.parametrize("data", [json.dumps(TRADE).encode(), gzip.compress(json.dumps(TRADE).encode(), mtime=0)])
def test_binary_messages(data: bytes) -> None:
    """As Python writes bytes, whatever quotes it puts around them."""
    read = reader_of("htx-spot").read(f"1000.5: {data!r}\n")
    assert read is not None
    at, [quote] = read
    assert at == 1000.5
    assert (quote.symbol, quote.last, quote.ts) == ("btcusdt", 7.5, 1_700_000_000_000_000)


@pytest.mark.parametrize(
    ("text", "payload"),
    [('{"a":1}', '{"a":1}'), ("pong", "pong"), ("b'x'", b"x"), ('b"it\'s"', b"it's"), ("b", "b"), ("", "")],
)
def test_payloads(text: str, payload: str | bytes) -> None:
    assert read_payload(text) == payload


@pytest.mark.parametrize(
    "text",
    [
        "b'",
        "b'x' + b'y'",
        "b'' if print() else b''",
        "b'x', 1, open('y')",
        "b'\\xff' * 10**9",
        repr(gzip.compress(b"x" * 100, mtime=0)[:-4]),
        repr(b"\x1f\x8b" + b"nonsense"),
        "b'" + "(" * 100,
    ],
)
def test_damaged_payloads(text: str) -> None:
    """Nothing of a recording is ever run."""
    with pytest.raises(ValueError, match=r"bytes|gzip"):
        read_payload(text)


def test_a_literal_that_is_more_than_bytes_is_text() -> None:
    """It is no message then, and JSON will say so."""
    assert read_payload("b'x', 1") == "b'x', 1"


def test_a_small_message_does_not_become_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MAX_MESSAGE", 1000)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        read_payload(repr(gzip.compress(b"x" * 1001, mtime=0)))
    assert read_payload(repr(gzip.compress(b"x" * 1000, mtime=0))) == b"x" * 1000


def test_another_connection_begins_anew() -> None:
    """What a channel's id means, and how far the numbers were, ends with the connection."""
    reader = reader_of("bitfinex")
    lines = [
        HEADER,
        f"1: {announced('tA')}",
        f"2: {TICKER}",
        HEADER,
        f"3: {TICKER}",
        f"4: {announced('tB')}",
        f"5: {TICKER}",
    ]
    found = [reader.read(line) for line in lines]
    assert [(at, quote.symbol) for read in found if read is not None for at, [quote] in [read]] == [(2.0, "tA"), (5.0, "tB")]


def test_what_was_sent_is_skipped() -> None:
    """It begins no connection."""
    reader = reader_of("bitfinex")
    lines = [f"1: {announced('tA')}", 'wss://host/ <- 1000.0: {"event":"conf"}', "", f"2: {TICKER}"]
    assert [reader.read(line) is not None for line in lines] == [False, False, False, True]


def test_a_pong_that_is_no_json_is_skipped() -> None:
    """But not where the venue has no such pong."""
    assert reader_of("okx-v5").read("1: pong") is None
    with pytest.raises(ConfigError, match="recording:1: "):
        reader_of("deribit").read("1: pong")


@pytest.mark.parametrize(
    "message",
    [
        base64.b64encode(gzip.compress(b"{}", mtime=0)).decode(),
        '{"ch":"market.btcusdt.trade.detail","tick":{"data":[{"price":"boo"}]}}',
        "[" * 100_000,
    ],
)
def test_a_bad_message_is_named_with_file_and_line(message: str) -> None:
    reader = reader_of("htx-spot")
    assert reader.read(HEADER) is None
    with pytest.raises(ConfigError, match=r"^recording:2: "):
        reader.read(f"1: {message}\n")


def test_a_bad_line_after_good_quotes_is_found() -> None:
    """One bad trade among several of a message is enough."""
    reader = reader_of("htx-spot")
    assert reader.read(f"1: {json.dumps(TRADE)}") is not None
    with pytest.raises(ConfigError, match="recording:2: a price"):
        reader.read("2: " + json.dumps(TRADE | {"tick": {"data": [{"price": 1, "tradeId": 4}, {"price": []}]}}))
