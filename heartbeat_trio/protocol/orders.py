"""Orders on the wire: the JSON objects that both formats carry, and the rules for what stands in them.

An order is ``{"id","symbol","side","quantity","price"}``, no price for a market order; a question about one is its id, with
the order's fields and its ``"age"`` in seconds where they are known; the answer to either is
``{"id","state","reason","authoritative"}``, with the server's ``"book"`` where that has an id. On each new connection a
balancer asks first about an order that never was, ``{"id":"-which-book-","age":1e9}``, only to hear of the book: a server
says of anything so old that it is ``"unknown"``, and records nothing (`sansio.order_books`).
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

import msgspec

from ..orders import AckState, Order, OrderAck, OrderQuery, Side
from .wire import check_symbol, printable

ORDER_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
MAX_REASON = 256
"""Characters of a reason that are sent and kept."""

MAX_SHOWN = 64
"""Characters of a wrong number that an error shows, and bits of an int that it does."""


class AckJson(msgspec.Struct, frozen=True):
    """An answer as it stands on the wire."""

    id: str
    state: AckState
    reason: str = ""
    authoritative: bool = False
    book: str = ""

    def message(self) -> OrderAck:
        """What it says; raises `ValueError` if it cannot be."""
        reason = printable(self.reason, MAX_REASON)
        return OrderAck(check_order_id(self.id), self.state, reason, self.authoritative, _check_book(self.book))


class QueryJson(msgspec.Struct, frozen=True):
    """A question as it stands on the wire; a client that is older sends no more than the id."""

    id: str
    symbol: str | None = None
    side: Side | None = None
    quantity: float | None = None
    price: float | None = None
    age: Annotated[float, msgspec.Meta(ge=0)] | None = None

    def message(self) -> OrderQuery:
        """What it asks; raises `ValueError` if it cannot be."""
        check_order_id(self.id)
        told = [each for each in (self.symbol, self.side, self.quantity, self.price) if each is not None]
        if not told:
            return OrderQuery(self.id, age=self.age)
        if self.symbol is None or self.side is None or self.quantity is None:
            raise ValueError("a question has symbol, side and quantity, or none of the order's fields")
        order = check_order(Order(self.id, self.symbol, self.side, self.quantity, self.price))
        return OrderQuery(self.id, order, self.age)


_ENCODER = msgspec.json.Encoder()
_ORDER = msgspec.json.Decoder(Order)
_ACK = msgspec.json.Decoder(AckJson)
_QUERY = msgspec.json.Decoder(QueryJson)


def check_order_id(text: str) -> str:
    """Return an order's id as it is; raises `ValueError` if it is none."""
    if not (type(text) is str and ORDER_ID.fullmatch(text)):
        raise ValueError("an order's id is 1 to 64 of A-Z a-z 0-9 . _ -")
    return text


def _check_book(text: str) -> str:
    if text and not (type(text) is str and ORDER_ID.fullmatch(text)):
        raise ValueError("a book's id is 1 to 64 of A-Z a-z 0-9 . _ -")
    return text


def check_order(order: Order) -> Order:
    """Return an order as it is; raises `ValueError` for one that no wire format carries."""
    check_order_id(order.id)
    if type(order.symbol) is not str:
        raise ValueError(f"a symbol is a str, not {_shown(order.symbol)}")
    check_symbol(order.symbol)
    if order.side not in ("buy", "sell"):
        raise ValueError("side is buy or sell")
    if not (_is_number(order.quantity) and order.quantity > 0):
        raise ValueError(f"quantity is a finite number above 0, not {_shown(order.quantity)}: give an int or a float")
    if order.price is not None and not _is_number(order.price):
        raise ValueError(f"price is a finite number or null, not {_shown(order.price)}: give an int, a float or None")
    return order


def _is_number(value: object) -> bool:
    """Whether the wire carries it as it is: no Decimal, no bool, no int that a double cannot hold."""
    if type(value) is float:
        return math.isfinite(value)
    try:
        return type(value) is int and float(value) == value
    except OverflowError:
        return False


def _shown(value: object) -> str:
    # Python refuses to write ints of more than 4300 digits.
    is_huge = isinstance(value, int) and value.bit_length() > MAX_SHOWN
    return "an int that no double holds" if is_huge else printable(repr(value), MAX_SHOWN)


def decode_order(data: bytes | str) -> Order:
    """Read an order from its JSON object; raises one of `wire.BAD_INPUT`."""
    return check_order(_ORDER.decode(data))


def decode_ack(data: bytes | str) -> OrderAck:
    """Read an answer from its JSON object; raises one of `wire.BAD_INPUT`."""
    return _ACK.decode(data).message()


def decode_query(data: bytes | str) -> OrderQuery:
    """Read a question from its JSON object; raises one of `wire.BAD_INPUT`."""
    return _QUERY.decode(data).message()


def order_fields(order: Order) -> dict[str, Any]:
    """An order's fields; raises `ValueError` for one that `check_order` refuses."""
    check_order(order)
    # As floats: an int of more than 64 bits is none for many who read JSON, and none for our encoder.
    fields: dict[str, Any] = {"id": order.id, "symbol": order.symbol, "side": order.side, "quantity": float(order.quantity)}
    return fields if order.price is None else fields | {"price": float(order.price)}


def ack_fields(ack: OrderAck) -> dict[str, Any]:
    """An answer's fields, a book only if it has one; raises `ValueError` for a malformed id or a state that is none."""
    if ack.state not in ("acknowledged", "rejected", "unknown"):
        raise ValueError("state is acknowledged, rejected or unknown")
    reason = printable(ack.reason, MAX_REASON)
    fields = {"id": check_order_id(ack.id), "state": ack.state, "reason": reason, "authoritative": ack.is_authoritative}
    return fields | {"book": _check_book(ack.book)} if ack.book else fields


def query_fields(query: OrderQuery) -> dict[str, Any]:
    """A question's fields; raises `ValueError` for a malformed id, another order's content, or an age that is none."""
    fields = {"id": check_order_id(query.id)} if query.order is None else order_fields(query.order)
    if fields["id"] != query.id:
        raise ValueError(f"it asks about {query.id} with the content of {fields['id']}")
    if query.age is None:
        return fields
    if not (_is_number(query.age) and query.age >= 0):
        raise ValueError(f"age is a finite number from 0, not {_shown(query.age)}: give seconds")
    return fields | {"age": float(query.age)}


def encode_fields(fields: dict[str, Any]) -> bytes:
    """Fields as one compact JSON object."""
    return _ENCODER.encode(fields)
