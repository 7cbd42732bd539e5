"""What two venues write, as far as a replay needs it."""

from __future__ import annotations

import json

import pytest

from heartbeat_trio.server.venues import VENUES, VenueQuote, decode_binance, decode_coinbase

BOOK = '{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21","a":"25.36520000","A":"40.66"}'
TRADE = '{"e":"aggTrade","E":1633998512070,"s":"BLZETH","a":1,"p":"0.001","q":"5","f":1,"l":1,"T":1633998512068,"m":true}'


def in_stream(text: str) -> str:
    return f'{{"stream":"x@y","data":{text}}}'


@pytest.mark.parametrize("wrap", [str, in_stream])
def test_binance(wrap: type[str]) -> None:
    assert decode_binance(wrap(BOOK)) == VenueQuote("BNBUSDT", 25.3519, 25.3652, None, None)
    assert decode_binance(wrap(TRADE)) == VenueQuote("BLZETH", None, None, 0.001, 1_633_998_512_068_000)
    depth = '{"e":"depthUpdate","E":1,"s":"BNBUSDT","b":[["1","2"]],"a":[]}'
    kline = '{"e":"kline","E":1,"s":"BNBUSDT","k":{"t":1}}'
    for other in (depth, kline, '{"result":null,"id":1}', "{}"):
        assert decode_binance(wrap(other)) is None


def test_coinbase() -> None:
    ticker = {
        "type": "ticker",
        "product_id": "BTC-USD",
        "price": "60500.5",
        "best_bid": "60500.1",
        "best_ask": "60500.9",
        "time": "2021-04-17T16:43:37.024838Z",
    }
    expected = VenueQuote("BTC-USD", 60500.1, 60500.9, 60500.5, 1_618_677_817_024_838)
    assert decode_coinbase(json.dumps(ticker)) == expected
    assert decode_coinbase(json.dumps(ticker | {"time": None})) == expected._replace(ts=None)
    for other in ({"type": "heartbeat"}, {"type": "ticker"}, {"type": "l2update", "product_id": "BTC-USD"}):
        assert decode_coinbase(json.dumps(other)) is None


@pytest.mark.parametrize("venue", sorted(VENUES))
@pytest.mark.parametrize("text", ["", "nonsense", "[]", "7", '{"stream"', '{"data":{}'])
def test_what_is_no_json_of_theirs_is_a_value_error(venue: str, text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        VENUES[venue](text)


@pytest.mark.parametrize("price", ["NaN", "inf", "-Infinity", "1,5", ""])
def test_a_price_that_no_wire_can_carry_is_a_value_error(price: str) -> None:
    with pytest.raises(ValueError, match=r"is no price|could not convert"):
        decode_binance(BOOK.replace("25.36520000", price))
    with pytest.raises(ValueError, match=r"is no price|could not convert"):
        decode_coinbase(json.dumps({"type": "ticker", "product_id": "BTC-USD", "price": price}))


@pytest.mark.parametrize("time", [-1, 10**30])
def test_a_time_that_no_wire_can_carry_is_a_value_error(time: int) -> None:
    with pytest.raises(ValueError, match="time"):
        decode_binance(TRADE.replace("1633998512068", str(time)))


def test_a_symbol_that_no_wire_can_carry_is_left_out() -> None:
    assert decode_binance(BOOK.replace("BNBUSDT", "BNB:USDT")) is None
    assert decode_coinbase('{"type":"ticker","product_id":"a b","price":"1"}') is None
