"""Orders on the wire: in lines and in operations, checked on both sides, and garbage is told apart."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.exceptions import LocalProtocolError
from heartbeat_trio.orders import Order, OrderAck, OrderQuery
from heartbeat_trio.protocol.line import LineDecoder, encode_line
from heartbeat_trio.protocol.messages import Invalid, Message
from heartbeat_trio.protocol.ops import decode_text, encode_text

IDS = st.from_regex(r"[A-Za-z0-9._\-]{1,64}", fullmatch=True)
SYMBOLS = st.from_regex(r"[A-Za-z0-9._/\-]{1,64}", fullmatch=True)
QUANTITIES = st.floats(min_value=0, exclude_min=True, allow_nan=False, allow_infinity=False)
PRICES = st.none() | st.floats(allow_nan=False, allow_infinity=False)
REASONS = st.text(st.characters(codec="utf-8"), max_size=256).filter(str.isprintable)
STATES = st.sampled_from(["acknowledged", "rejected", "unknown"])

AGES = st.none() | st.floats(min_value=0, allow_nan=False, allow_infinity=False)
ORDERS = st.builds(Order, IDS, SYMBOLS, st.sampled_from(["buy", "sell"]), QUANTITIES, PRICES)
QUERIES = st.builds(lambda order, age: OrderQuery(order.id, order, age), ORDERS, AGES)

TO_SERVER = st.one_of(ORDERS, QUERIES, st.builds(OrderQuery, IDS, st.none(), AGES))
TO_CLIENT = st.builds(OrderAck, IDS, STATES, REASONS, st.booleans(), st.just("") | IDS)


@given(TO_SERVER)
def test_requests_survive_both_wires(message: Message) -> None:
    """What a client sends, a server reads, to the last digit."""
    assert [message] == LineDecoder(role="server").receive_data(encode_line(message))
    assert [message] == decode_text(encode_text(message), role="server")


@given(TO_CLIENT)
def test_answers_survive_both_wires(message: Message) -> None:
    """What a server sends, a client reads; the longest reason fits into a line."""
    assert [message] == LineDecoder(role="client").receive_data(encode_line(message))
    assert [message] == decode_text(encode_text(message), role="client")


@pytest.mark.parametrize(
    ("message", "line", "text"),
    [
        (
            Order("a-1", "BTCUSD", "buy", 0.1),
            b'ORDER:{"id":"a-1","symbol":"BTCUSD","side":"buy","quantity":0.1}\n',
            b'{"op":"order","id":"a-1","symbol":"BTCUSD","side":"buy","quantity":0.1}',
        ),
        (
            Order("a-1", "BTCUSD", "sell", 2.0, -1.5),
            b'ORDER:{"id":"a-1","symbol":"BTCUSD","side":"sell","quantity":2.0,"price":-1.5}\n',
            b'{"op":"order","id":"a-1","symbol":"BTCUSD","side":"sell","quantity":2.0,"price":-1.5}',
        ),
        (OrderQuery("a-1"), b'ORDER_STATUS:{"id":"a-1"}\n', b'{"op":"order_status","id":"a-1"}'),
        (
            OrderQuery("a-1", Order("a-1", "X", "buy", 2, 10**18), 7),
            b'ORDER_STATUS:{"id":"a-1","symbol":"X","side":"buy","quantity":2.0,"price":1e18,"age":7.0}\n',
            b'{"op":"order_status","id":"a-1","symbol":"X","side":"buy","quantity":2.0,"price":1e18,"age":7.0}',
        ),
        (
            OrderAck("a-1", "rejected", "no\n", is_authoritative=True),
            b'ORDER_ACK:{"id":"a-1","state":"rejected","reason":"no\\\\n","authoritative":true}\n',
            b'{"op":"order_ack","id":"a-1","state":"rejected","reason":"no\\\\n","authoritative":true}',
        ),
        (
            OrderAck("a-1", "acknowledged", "", is_authoritative=True, book="b-1"),
            b'ORDER_ACK:{"id":"a-1","state":"acknowledged","reason":"","authoritative":true,"book":"b-1"}\n',
            b'{"op":"order_ack","id":"a-1","state":"acknowledged","reason":"","authoritative":true,"book":"b-1"}',
        ),
    ],
)
def test_as_they_are_sent(message: Message, line: bytes, text: bytes) -> None:
    """The very bytes, as others must write them too."""
    assert line == encode_line(message)
    assert text == encode_text(message)


GOOD: dict[str, Any] = {"id": "a", "symbol": "X", "side": "buy", "quantity": 1}


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        ("order", GOOD | {"id": ""}, "an order's id is"),
        ("order", GOOD | {"id": "x" * 65}, "an order's id is"),
        ("order", GOOD | {"id": "a b"}, "an order's id is"),
        ("order", GOOD | {"id": "a\n"}, "an order's id is"),
        ("order", GOOD | {"id": 7}, "Expected `str`"),
        ("order", GOOD | {"symbol": "A B"}, "a symbol is"),
        ("order", GOOD | {"side": "hold"}, "Invalid enum value"),
        ("order", GOOD | {"quantity": 0}, "quantity is"),
        ("order", GOOD | {"quantity": -1}, "quantity is"),
        ("order", GOOD | {"quantity": True}, "Expected `float`"),
        ("order", GOOD | {"quantity": "1"}, "Expected `float`"),
        ("order", GOOD | {"price": "1"}, "Expected `float | null`"),
        ("order", {"id": "a"}, "missing required field"),
        ("order", [], "Expected `object`"),
        ("order_status", {}, "missing required field"),
        ("order_status", {"id": "?"}, "an order's id is"),
        ("order_status", {"id": "a", "age": -1}, "Expected `float` >= 0"),
        ("order_status", {"id": "a", "price": 1}, "a question has symbol, side and quantity"),
        ("order_status", {"id": "a", "symbol": "X", "side": "buy"}, "a question has symbol, side and quantity"),
        ("order_status", GOOD | {"quantity": 0}, "quantity is"),
        ("order_ack", {"id": "a", "state": "perhaps"}, "Invalid enum value"),
        ("order_ack", {"id": "?", "state": "unknown"}, "an order's id is"),
        ("order_ack", {"id": "a", "state": "unknown", "authoritative": 1}, "Expected `bool`"),
        ("order_ack", {"id": "a", "state": "unknown", "book": 7}, "Expected `str`"),
        ("order_ack", {"id": "a", "state": "unknown", "book": "b\n"}, "a book's id is"),
        ("order_ack", {"id": "a", "state": "unknown", "book": "b" * 65}, "a book's id is"),
    ],
)
def test_what_a_peer_sends_is_checked(kind: str, fields: Any, why: str) -> None:
    """Garbage is `bad_message`, and says what is wrong with it."""
    role: Any = "client" if kind == "order_ack" else "server"
    [from_line] = LineDecoder(role=role).receive_data(f"{kind.upper()}:{json.dumps(fields)}\n".encode())
    assert isinstance(from_line, Invalid)
    assert ("bad_message", True) == (from_line.code, why in from_line.detail)
    if isinstance(fields, dict):
        [from_op] = decode_text(json.dumps({"op": kind} | fields), role=role)
        assert isinstance(from_op, Invalid)
        assert ("bad_message", True) == (from_op.code, why in from_op.detail)


@pytest.mark.parametrize(
    "rest", [b"", b"{", b"nonsense", b"[" * 3000, b'{"id":"a","symbol":"X","side":"buy","quantity":1e999}']
)
def test_broken_json_in_a_line(rest: bytes) -> None:
    """Truncated, nested too deeply, or out of range: one `Invalid`, and the next line is read."""
    broken, following = LineDecoder(role="server").receive_data(b"ORDER:" + rest + b'\nORDER_STATUS:{"id":"a"}\n')
    assert isinstance(broken, Invalid)
    assert "bad_message" == broken.code
    assert OrderQuery("a") == following


def test_what_an_answer_says_is_safe_to_show() -> None:
    """Control characters are escaped, and long reasons cut, whoever wrote them."""
    data = json.dumps({"op": "order_ack", "id": "a", "state": "rejected", "reason": "\x1b[2J" + "x" * 999})
    [ack] = decode_text(data, role="client")
    assert isinstance(ack, OrderAck)
    assert (256, True) == (len(ack.reason), ack.reason.isprintable())


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Order("a b", "X", "buy", 1.0), "an order's id is"),
        (Order("a", "X Y", "buy", 1.0), "a symbol is"),
        (Order("a", "X", "both", 1.0), "side is"),  # type: ignore[arg-type]  # that is the point
        (Order("a", "X", "buy", math.inf), "quantity is"),
        (Order("a", "X", "buy", math.nan), "quantity is"),
        (Order("a", "X", "buy", 1.0, math.inf), "price is"),
        (Order("a", "X", "buy", Fraction(1, 2)), r"quantity is .*, not Fraction\(1, 2\): give an int or a float"),  # type: ignore[arg-type]
        (Order("a", "X", "buy", Decimal("0.5")), r"quantity is .*, not Decimal\('0.5'\): give"),  # type: ignore[arg-type]
        (Order("a", "X", "buy", True), "quantity is .*, not True: give"),
        (Order("a", "X", "buy", "1"), "quantity is .*, not '1': give"),  # type: ignore[arg-type]
        (Order("a", "X", "buy", 2**53 + 1), "quantity is .*, not 9007199254740993: give"),
        (Order("a", "X", "buy", 10**5000), "quantity is .*, not an int that no double holds: give"),
        (Order("a", "X", "buy", 1.0, Decimal(1)), r"price is .*, not Decimal\('1'\): give"),  # type: ignore[arg-type]
        (Order(7, "X", "buy", 1.0), "an order's id is"),  # type: ignore[arg-type]
        (Order("a", 7, "buy", 1.0), "a symbol is a str, not 7"),  # type: ignore[arg-type]
        (OrderQuery("a", Order("b", "X", "buy", 1.0)), "it asks about a with the content of b"),
        (OrderQuery("a", age=-1.0), "age is .*, not -1.0: give"),
        (OrderQuery("a", age=math.nan), "age is .*, not nan: give"),
        (OrderAck("?", "unknown"), "an order's id is"),
        (OrderAck("a", "perhaps"), "state is"),  # type: ignore[arg-type]
        (OrderAck("a", "unknown", book="?"), "a book's id is"),
        (OrderAck("a", "unknown", book=7), "a book's id is"),  # type: ignore[arg-type]
        (OrderQuery(""), "an order's id is"),
    ],
)
def test_what_no_wire_carries(message: Message, why: str) -> None:
    """It is refused here, before a peer could misunderstand it."""
    with pytest.raises(LocalProtocolError, match=why):
        encode_line(message)
    with pytest.raises(LocalProtocolError, match=why):
        encode_text(message)
