"""What both wire formats share: names, numbers, text that is safe to show, and the JSON of a quote."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.events import Quote
from heartbeat_trio.protocol.messages import Invalid
from heartbeat_trio.protocol.wire import (
    MAX_TS,
    check_code,
    check_number,
    check_seconds,
    check_stream,
    check_symbol,
    decode_quote,
    encode_quote,
    is_stream,
    is_symbol,
    printable,
)

FIELDS: dict[str, Any] = {"symbol": "BTC/USD", "bid": 1.5, "ask": None, "seq": 7, "stream": "a-1", "ts": 12}
ANY_PRICES = st.none() | st.floats()
ANY_QUOTES = st.builds(
    Quote,
    symbol=st.text(max_size=70) | st.from_regex(r"[A-Za-z0-9._/\-]{1,70}", fullmatch=True),
    bid=ANY_PRICES,
    ask=ANY_PRICES,
    seq=st.integers(-1, 2**63) | st.integers(),
    stream=st.text(max_size=40) | st.from_regex(r"[A-Za-z0-9\-]{1,40}", fullmatch=True),
    ts=st.integers(-1, MAX_TS + 1),
    last=ANY_PRICES,
)


@pytest.mark.parametrize("text", ["", "a" * 65, "BTC USD", "BTC\n", "\nBTC", "BTC:USD", "BTĆ", "\ud800", "٣"])
def test_no_symbol(text: str) -> None:
    assert not is_symbol(text)
    with pytest.raises(ValueError, match="a symbol is 1 to 64 of"):
        check_symbol(text)


@pytest.mark.parametrize("text", ["", "a" * 33, "a.b", "a_b", "a/b", "a\n", "a:b"])
def test_no_stream(text: str) -> None:
    assert not is_stream(text)
    with pytest.raises(ValueError, match="a stream is 1 to 32 of"):
        check_stream(text)


@pytest.mark.parametrize("text", ["", "a" * 65, "A", "a-b", "a1", "a\n"])
def test_no_code(text: str) -> None:
    with pytest.raises(ValueError, match="a code is 1 to 64 of"):
        check_code(text)


def test_names_are_returned_as_they_are() -> None:
    assert ["aZ09._-/", "aZ09-", "a_z"] == [check_symbol("aZ09._-/"), check_stream("aZ09-"), check_code("a_z")]


def test_numbers_have_bounds() -> None:
    """The bounds themselves are allowed, their neighbours are not."""
    assert [1, 2**63 - 1] == [check_number(1, minimum=1), check_number(2**63 - 1, minimum=1)]
    for number in (0, 2**63):
        with pytest.raises(ValueError, match="a sequence number here is from 1"):
            check_number(number, minimum=1)


def test_durations_are_finite_and_not_negative() -> None:
    assert [0.0, 1e300] == [check_seconds(0.0), check_seconds(1e300)]
    for seconds in (-1e-9, math.inf, math.nan):
        with pytest.raises(ValueError, match="a duration is a finite number"):
            check_seconds(seconds)


def test_printable_escapes_what_a_terminal_would_obey() -> None:
    """Control characters, direction marks, line separators and halves of surrogates are shown, not sent."""
    assert r"a\x1b[2Jb\u202ec\u2028d\n\ud800é😀" == printable("a\x1b[2Jb\u202ec\u2028d\n\ud800é😀")


@given(st.text(), st.integers(0, 50))
def test_printable_is_bounded_and_changes_nothing_twice(text: str, limit: int) -> None:
    shown = printable(text, limit)

    assert len(shown) <= limit
    assert shown.isprintable()
    assert shown == printable(shown, limit)


def test_quote_on_the_wire() -> None:
    """Fields stand in their order, missing prices as null, and ``last`` only where there is one."""
    quote = Quote("A", None, 2.0, 1, "s", 0)

    assert b'{"symbol":"A","bid":null,"ask":2.0,"seq":1,"stream":"s","ts":0}' == encode_quote(quote)
    assert encode_quote(quote)[:-1] + b',"last":3.5}' == encode_quote(Quote("A", None, 2.0, 1, "s", 0, 3.5))


def test_whole_prices_and_unknown_fields_are_welcome() -> None:
    data = json.dumps({"x": {"y": [1]}, **FIELDS, "bid": 2}).encode()

    assert Quote("BTC/USD", 2.0, None, 7, "a-1", 12) == decode_quote(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("symbol", "a b"),
        ("symbol", 1),
        ("stream", ""),
        ("stream", "a.b"),
        ("seq", 0),
        ("seq", -1),
        ("seq", 2**63),
        ("seq", 1.5),
        ("seq", "1"),
        ("seq", True),
        ("seq", None),
        ("ts", 1.5),
        ("ts", -1),
        ("ts", MAX_TS + 1),
        ("ts", 10**4000),
        ("bid", "1"),
        ("bid", True),
        ("ask", []),
        ("last", {}),
        ("bid", math.nan),
        ("ask", math.inf),
        ("bid", 10**400),
    ],
)
def test_a_quote_with_a_bad_field_is_invalid(field: str, value: object) -> None:
    """Names, numbers and types are checked, whoever sent them."""
    quote = decode_quote(json.dumps({**FIELDS, field: value}).encode())

    assert isinstance(quote, Invalid)
    assert "bad_message" == quote.code


@pytest.mark.parametrize("price", [math.nan, math.inf, -math.inf])
def test_a_price_that_json_cannot_write_is_not_sent(price: float) -> None:
    """It would arrive as null, which says something else."""
    with pytest.raises(ValueError, match="a price is a finite number or null"):
        encode_quote(Quote("A", 1.0, 2.0, 1, "s", 0, price))


@pytest.mark.parametrize("field", list(FIELDS))
def test_a_quote_without_a_field_is_invalid(field: str) -> None:
    quote = decode_quote(json.dumps({key: value for key, value in FIELDS.items() if key != field}).encode())

    assert Invalid("bad_message", f"quote: Object missing required field `{field}`") == quote


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"symbol":"\xff"}',
        b"{" * 100_000,
        b'{"x":' + b"[" * 100_000,
        b'{"symbol":"A","bid":1e999,"ask":1,"seq":1,"stream":"s","ts":1}',
        b'{"symbol":"\\ud800","bid":1,"ask":1,"seq":1,"stream":"s","ts":1}',
    ],
)
def test_hostile_json_is_invalid(data: bytes) -> None:
    """Nothing but an `Invalid` with a short, printable text comes of it."""
    quote = decode_quote(data)

    assert isinstance(quote, Invalid)
    assert quote.detail.isprintable()
    assert len(quote.detail) <= 256


@given(ANY_QUOTES)
def test_what_is_refused_on_the_way_out_is_refused_on_the_way_in(quote: Quote) -> None:
    """Both directions know the same rules: a quote passes both unchanged, or neither."""
    try:
        data = encode_quote(quote)
    except ValueError:
        # msgspec writes what JSON does not know as null: a peer would write the number's name
        prices = (quote.bid, quote.ask, quote.last)
        is_sendable = all(price is None or math.isfinite(price) for price in prices)
        if is_sendable and not any(
            character in quote.symbol + quote.stream for character in map(chr, range(0xD800, 0xE000))
        ):
            assert isinstance(decode_quote(msgspec.json.encode(quote)), Invalid)
    else:
        assert quote == decode_quote(data)
