"""Dialects against what venues really sent: recordings of 2021 and 2022, where they are at hand."""

from __future__ import annotations

import ast
import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from heartbeat_trio.dialects import builtin_dialects
from heartbeat_trio.protocol.codec import decode_message
from heartbeat_trio.protocol.dialect_codec import DialectCodec
from heartbeat_trio.protocol.messages import Beat, Invalid, Message, Notice, Ping, Pong, Subscribe, Subscribed, Unknown

CAPTURES = Path(os.environ.get("HEARTBEAT_TRIO_CAPTURES") or Path(__file__).parents[3] / "shared" / "captures")


class Expected(NamedTuple):
    """What is known of a recording: symbols of one of its channels, and beats and pings in it (at least)."""

    dialect: str
    channel: str
    symbols: tuple[str, ...]
    beats: int
    pings: int = 0


RECORDINGS = {
    "BINANCE.ws.1.0": Expected("binance-spot", "bookTicker", (), 0),
    "BITFINEX.ws.11.0": Expected("bitfinex", "ticker", ("tBFTUSD", "tIOTETH", "tDOGUSD", "tMNABTC"), 10),
    "BITSTAMP.ws.1.0": Expected("bitstamp", "diff_order_book", ("sgbeur", "ethusd", "xrpeur"), 0),
    "COINBASE.ws.28.0": Expected("coinbase-exchange", "ticker", ("SKL-USD",), 0),
    "DERIBIT.ws.1.0": Expected("deribit", "ticker", (), 0),
    "GATEIO.ws.1.0": Expected("gate-v4", "order_book_update", ("INK_USDT", "HAI_ETH"), 0),
    "GEMINI.ws.1.0": Expected("gemini-v2", "l2", (), 6),
    "HUOBI.ws.44.0": Expected("htx-spot", "depth.step0", (), 0, 1),
    "KRAKEN.ws.49.0": Expected("kraken-v1", "ticker", ("WAVES/EUR", "XMR/USD", "KSM/XBT", "GRT/ETH"), 4),
    "OKX.ws.1.0": Expected("okx-v5", "tickers", ("BTC-USD-220527", "UNI-USD-SWAP", "BTC-USDT"), 0),
    "UPBIT.ws.62.0": Expected("upbit", "trade", (), 0),
}


def received(path: Path) -> list[tuple[bytes, bool]]:
    """The messages of a recording, and whether each was a text; binary ones stand there as Python writes bytes."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    texts = [line.partition(": ")[2] for line in lines if line[:1].isdecimal() and ": " in line]
    return [
        (ast.literal_eval(text), False) if text.startswith(("b'", 'b"')) else (text.encode(), True) for text in texts if text
    ]


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_are_understood(name: str) -> None:
    """Every message is life or data, none is broken; acknowledgements name their symbols, heartbeats are beats."""
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"no {name} in {CAPTURES}; set HEARTBEAT_TRIO_CAPTURES")
    expected = RECORDINGS[name]
    codec = DialectCodec(
        builtin_dialects()[expected.dialect], parameters={"channel": expected.channel}, unix_time=lambda: 0.0
    )
    for symbol in expected.symbols:
        codec.encode(Subscribe(symbol))
    messages: list[Message] = [
        message for payload, is_text in received(path) for message in decode_message(codec, payload, is_text=is_text)
    ]
    kinds = Counter(map(type, messages))
    acknowledged = {message.symbol for message in messages if isinstance(message, Subscribed)}

    assert kinds[Invalid] == kinds[Pong] == kinds[Notice] == 0
    assert kinds[Ping] >= expected.pings
    assert set(expected.symbols) == acknowledged
    assert kinds[Beat] >= expected.beats
    assert kinds[Unknown] > 15  # data, which nobody reads here
