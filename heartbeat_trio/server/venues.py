"""How two venues write their quotes, as far as a replay needs it. Pure."""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..protocol.messages import SYMBOL
from ..protocol.wire import MAX_TS

if TYPE_CHECKING:
    from collections.abc import Callable


class VenueQuote(NamedTuple):
    """A quote before it is numbered. `ts` is in microseconds UTC, None where the venue gave none."""

    symbol: str
    bid: float | None
    ask: float | None
    last: float | None
    ts: int | None


class _BinanceData(msgspec.Struct):
    s: str | None = None
    e: str | None = None
    b: str | list[list[str]] | None = None
    a: str | int | list[list[str]] | None = None
    p: str | None = None
    T: int | None = None
    E: int | None = None


class _BinanceStream(msgspec.Struct):
    data: _BinanceData


class _CoinbaseTicker(msgspec.Struct):
    type: str
    product_id: str | None = None
    price: str | None = None
    best_bid: str | None = None
    best_ask: str | None = None
    time: datetime | None = None


_binance_stream = msgspec.json.Decoder(_BinanceStream)
_binance_raw = msgspec.json.Decoder(_BinanceData)
_coinbase = msgspec.json.Decoder(_CoinbaseTicker)


def decode_binance(text: str) -> VenueQuote | None:
    """`bookTicker` (bid and ask) and `aggTrade` (last), raw or in a combined stream; None for anything else.

    Raises:
        ValueError: It is no JSON of Binance's.
    """
    data = _binance_stream.decode(text).data if text.startswith('{"stream"') else _binance_raw.decode(text)
    if data.e == "aggTrade" and data.s and data.p:
        return _quote(data.s, None, None, data.p, _micros(data.T))
    if data.e is None and data.s and isinstance(data.b, str) and isinstance(data.a, str):
        return _quote(data.s, data.b, data.a, None, _micros(data.E))
    return None


def decode_coinbase(text: str) -> VenueQuote | None:
    """`ticker` of Coinbase Exchange (bid, ask and last); None for anything else.

    Raises:
        ValueError: It is no JSON of Coinbase's.
    """
    ticker = _coinbase.decode(text)
    if ticker.type != "ticker" or ticker.product_id is None:
        return None
    ts = None if ticker.time is None else round(ticker.time.timestamp() * 1_000_000)
    return _quote(ticker.product_id, ticker.best_bid, ticker.best_ask, ticker.price, ts)


VENUES: dict[str, Callable[[str], VenueQuote | None]] = {"binance": decode_binance, "coinbase": decode_coinbase}
"""Decoders by the name that `--venue` takes."""


def _quote(symbol: str, bid: str | None, ask: str | None, last: str | None, ts: int | None) -> VenueQuote | None:
    if not SYMBOL.fullmatch(symbol):
        return None
    if ts is not None and not 0 <= ts <= MAX_TS:
        raise ValueError("the time is none of the years 1970 to 9999")
    return VenueQuote(symbol, _number(bid), _number(ask), _number(last), ts)


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text!r} is no price")
    return number


def _micros(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds * 1000
