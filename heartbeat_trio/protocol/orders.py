"""Orders on the wire: the JSON objects that both formats carry, and the rules for what stands in them."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from ..orders import AckState, Order, OrderAck, OrderQuery
from .wire import check_symbol, printable

ORDER_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
MAX_REASON = 256
"""Characters of a reason that are sent and kept."""


class AckJson(msgspec.Struct, frozen=True):
    """An answer as it stands on the wire."""

    id: str
    state: AckState
    reason: str = ""
    authoritative: bool = False

    def message(self) -> OrderAck:
        """What it says; raises `ValueError` if it cannot be."""
        return OrderAck(check_order_id(self.id), self.state, printable(self.reason, MAX_REASON), self.authoritative)


_ENCODER = msgspec.json.Encoder()
_ORDER = msgspec.json.Decoder(Order)
_ACK = msgspec.json.Decoder(AckJson)
_QUERY = msgspec.json.Decoder(OrderQuery)


def check_order_id(text: str) -> str:
    """Return an order's id as it is; raises `ValueError` if it is none."""
    if not ORDER_ID.fullmatch(text):
        raise ValueError("an order's id is 1 to 64 of A-Z a-z 0-9 . _ -")
    return text


def check_order(order: Order) -> Order:
    """Return an order as it is; raises `ValueError` for one that no wire format carries."""
    check_order_id(order.id)
    check_symbol(order.symbol)
    if order.side not in ("buy", "sell"):
        raise ValueError("side is buy or sell")
    if not (math.isfinite(order.quantity) and order.quantity > 0):
        raise ValueError("quantity is a finite number above 0")
    if order.price is not None and not math.isfinite(order.price):
        raise ValueError("price is a finite number or null")
    return order


def decode_order(data: bytes | str) -> Order:
    """Read an order from its JSON object; raises one of `wire.BAD_INPUT`."""
    return check_order(_ORDER.decode(data))


def decode_ack(data: bytes | str) -> OrderAck:
    """Read an answer from its JSON object; raises one of `wire.BAD_INPUT`."""
    return _ACK.decode(data).message()


def decode_query(data: bytes | str) -> OrderQuery:
    """Read a question from its JSON object; raises one of `wire.BAD_INPUT`."""
    query = _QUERY.decode(data)
    check_order_id(query.id)
    return query


def order_fields(order: Order) -> dict[str, Any]:
    """An order's fields; raises `ValueError` for one that `check_order` refuses."""
    check_order(order)
    fields: dict[str, Any] = {"id": order.id, "symbol": order.symbol, "side": order.side, "quantity": order.quantity}
    return fields if order.price is None else fields | {"price": order.price}


def ack_fields(ack: OrderAck) -> dict[str, Any]:
    """An answer's fields; raises `ValueError` for a malformed id or a state that is none."""
    if ack.state not in ("acknowledged", "rejected", "unknown"):
        raise ValueError("state is acknowledged, rejected or unknown")
    reason = printable(ack.reason, MAX_REASON)
    return {"id": check_order_id(ack.id), "state": ack.state, "reason": reason, "authoritative": ack.is_authoritative}


def query_fields(query: OrderQuery) -> dict[str, Any]:
    """A question's fields; raises `ValueError` for a malformed id."""
    return {"id": check_order_id(query.id)}


def encode_fields(fields: dict[str, Any]) -> bytes:
    """Fields as one compact JSON object."""
    return _ENCODER.encode(fields)
