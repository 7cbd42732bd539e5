"""Real messages of venues, recorded; and what they say, read without any of our tables."""

from __future__ import annotations

import ast
import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CAPTURES = Path(os.environ.get("HEARTBEAT_TRIO_CAPTURES") or Path(__file__).parents[3] / "shared" / "captures")

Row = tuple[str, float | None, float | None, float | None]
"""Symbol, bid, ask and last."""


def capture(name: str) -> Path | None:
    """The file of a capture, if it is there."""
    path = CAPTURES / name
    return path if path.exists() else None


def messages(path: Path) -> Iterator[tuple[int, Any]]:
    """When each message came, in microseconds UTC, and what it is."""
    for received, text in texts(path):
        yield received, json.loads(text)


def texts(path: Path) -> Iterator[tuple[int, bytes]]:
    """When each message came, in microseconds UTC, and its text, inflated where it was not plain."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line[:1].isdigit():
            time, _, text = line.partition(": ")
            data = text.encode()
            if text.startswith(("b'", 'b"')):
                data = ast.literal_eval(text)
                if data[:2] == b"\x1f\x8b":
                    data = gzip.decompress(data)
            yield round(float(time) * 1_000_000), data


def _binance(message: Any) -> list[Row]:
    kind, data = message["stream"].split("@")[1], message["data"]
    if kind == "bookTicker":
        return [(data["s"], float(data["b"]), float(data["a"]), None)]
    return [(data["s"], None, None, float(data["p"]))] if kind == "aggTrade" else []


class _Bitfinex:
    """Needs to remember the announced channels."""

    def __init__(self) -> None:
        self.tickers: dict[int, str] = {}

    def __call__(self, message: Any) -> list[Row]:
        if isinstance(message, dict):
            if message["event"] == "subscribed" and message["channel"] == "ticker":
                self.tickers[message["chanId"]] = message["symbol"].replace(":", "/")
        elif message[0] in self.tickers and message[1] != "hb":
            return [(self.tickers[message[0]], message[1][0], message[1][2], message[1][6])]
        return []


def _bitstamp(message: Any) -> list[Row]:
    if message["event"] != "trade":
        return []
    return [(message["channel"].removeprefix("live_trades_"), None, None, message["data"]["price"])]


def _bybit(message: Any) -> list[Row]:
    if not message.get("topic", "").startswith("trade."):
        return []
    return [(each["symbol"], None, None, each["price"]) for each in message["data"]]


def _coinbase(message: Any) -> list[Row]:
    if message["type"] == "ticker":
        best = float(message["best_bid"]), float(message["best_ask"])
        return [(message["product_id"], *best, float(message["price"]))]
    return [(message["product_id"], None, None, float(message["price"]))] if message["type"].endswith("match") else []


def _deribit(message: Any) -> list[Row]:
    if not message.get("params", {}).get("channel", "").startswith("ticker."):
        return []
    data = message["params"]["data"]
    bid = data["best_bid_price"] if data["best_bid_amount"] else None
    ask = data["best_ask_price"] if data["best_ask_amount"] else None
    return [(data["instrument_name"], bid, ask, data["last_price"])]


def _gate(message: Any) -> list[Row]:
    result = message["result"]
    if message["event"] != "update":
        return []
    if message["channel"] == "spot.tickers":
        prices = float(result["highest_bid"]), float(result["lowest_ask"]), float(result["last"])
        return [(result["currency_pair"], *prices)]
    return [(result["currency_pair"], None, None, float(result["price"]))] if message["channel"] == "spot.trades" else []


def _gemini(message: Any) -> list[Row]:
    return [(message["symbol"], None, None, float(message["price"]))] if message["type"] == "trade" else []


def _htx(message: Any) -> list[Row]:
    if not message.get("ch", "").endswith(".trade.detail"):
        return []
    symbol = message["ch"].split(".")[1]
    return [(symbol, None, None, each["price"]) for each in reversed(message["tick"]["data"])]


def _kraken(message: Any) -> list[Row]:
    if not isinstance(message, list):
        return []
    return [(message[3], float(message[1]["b"][0]), float(message[1]["a"][0]), float(message[1]["c"][0]))]


def _okx(message: Any) -> list[Row]:
    channel = message["arg"]["channel"]
    rows: list[Row] = []
    for each in message.get("data", ()):
        if channel == "tickers":
            rows.append((each["instId"], float(each["bidPx"]), float(each["askPx"]), float(each["last"])))
        elif channel == "trades":
            rows.append((each["instId"], None, None, float(each["px"])))
    return rows


def _upbit(message: Any) -> list[Row]:
    if message["ty"] == "orderbook":
        return [(message["cd"], message["obu"][0]["bp"], message["obu"][0]["ap"], None)]
    return [(message["cd"], None, None, message["tp"])]


REAL: dict[str, tuple[str, Callable[[], Callable[[Any], list[Row]]], int]] = {
    "BINANCE.ws.1.0": ("binance-spot", lambda: _binance, 86),
    "BINANCE_US.ws.1.0": ("binance-spot", lambda: _binance, 139),
    "BITFINEX.ws.11.0": ("bitfinex", _Bitfinex, 21),
    "BITSTAMP.ws.1.0": ("bitstamp", lambda: _bitstamp, 10),
    "BYBIT.ws.26.0": ("bybit-v5", lambda: _bybit, 150),
    "COINBASE.ws.28.0": ("coinbase-exchange", lambda: _coinbase, 214),
    "DERIBIT.ws.1.0": ("deribit", lambda: _deribit, 89),
    "GATEIO.ws.1.0": ("gate-v4", lambda: _gate, 31),
    "GEMINI.ws.1.0": ("gemini-v2", lambda: _gemini, 16),
    "HUOBI.ws.44.0": ("htx-spot", lambda: _htx, 73),
    "KRAKEN.ws.49.0": ("kraken-v1", lambda: _kraken, 18),
    "OKX.ws.1.0": ("okx-v5", lambda: _okx, 102),
    "UPBIT.ws.62.0": ("upbit", lambda: _upbit, 449),
}
"""By file: the venue, what makes a reader of its messages, and how many quotes are in it."""
