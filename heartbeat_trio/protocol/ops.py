"""The JSON operations spoken over WebSocket: one object per text message, told apart by ``"op"``, quotes by ``"type"``.

========================================================  =========================================================
client                                                    server
========================================================  =========================================================
``{"op":"ping","id":7}``, any JSON scalar or no id        ``{"op":"pong","id":7}``, the id as it came
``{"op":"subscribe","symbols":["X"],"resume":``           ``{"op":"subscribed","symbol":"X"}`` each, quotes, and
``{"X":{"stream":"s","seq":41}}}``                        ``{"op":"gap","symbol":...,"stream":...,"first":...,"last":...}``
``{"op":"unsubscribe","symbols":["X"]}``                  ``{"op":"unsubscribed","symbol":"X"}`` each
``{"op":"order","id","symbol","side","quantity",``        ``{"op":"order_ack","id","state","reason","authoritative"}``
``"price"}``, and ``{"op":"order_status","id",``          to both, with ``"book"`` where it has an id
``"symbol","side","quantity","price","age"}``
anything else                                             ``{"op":"error","code":...,"message":...}``
before it goes away                                        ``{"op":"goodbye","reason":...,"retry_after":...}``
========================================================  =========================================================

A quote is ``{"type":"quote","symbol","bid","ask","seq","stream","ts"}``, with ``"last"`` where there is one. Unknown fields
are ignored, and of a repeated field the last counts. A message is taken whole or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from ..events import Quote
from ..exceptions import LocalProtocolError
from ..orders import Order, OrderAck, OrderQuery, Side
from .messages import (
    CODE,
    MAX_SEQ,
    STREAM,
    SYMBOL,
    ErrorNotice,
    GapNotice,
    Goodbye,
    Invalid,
    Message,
    Ping,
    Pong,
    Resume,
    Subscribe,
    Subscribed,
    Unknown,
    Unsubscribe,
    Unsubscribed,
)
from .orders import AckJson, QueryJson, ack_fields, check_order, order_fields, query_fields
from .wire import (
    BAD_INPUT,
    bad_message,
    check_code,
    check_number,
    check_seconds,
    check_stream,
    check_symbol,
    decode_quote,
    decode_quotes,
    encode_quote,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SYMBOLS = 1000
"""Symbols in one operation: as many as a client may subscribe to."""

MAX_ID = 4096
"""Bytes of a ping's id. It is echoed, so it must not fill the buffer of what we send."""

QUOTE_START = b'{"type":"quote",'

_Symbol = Annotated[str, Meta(pattern=rf"^{SYMBOL.pattern}\Z")]
_Stream = Annotated[str, Meta(pattern=rf"^{STREAM.pattern}\Z")]
_Code = Annotated[str, Meta(pattern=rf"^{CODE.pattern}\Z")]
_Seq = Annotated[int, Meta(ge=1, le=MAX_SEQ)]
_Symbols = Annotated[list[_Symbol], Meta(min_length=1, max_length=MAX_SYMBOLS)]


class _Op(msgspec.Struct, tag_field="op"):
    """One operation as it stands on the wire. ``messages()`` raises `ValueError` for what its types cannot say."""


class _PingOp(_Op, tag="ping"):
    id: Raw | UnsetType = UNSET

    def messages(self) -> list[Message]:
        return [Ping(token=_token(self.id))]


class _PongOp(_Op, tag="pong"):
    id: Raw | UnsetType = UNSET

    def messages(self) -> list[Message]:
        return [Pong(token=_token(self.id))]


class _ResumeJson(msgspec.Struct):
    stream: _Stream
    seq: Annotated[int, Meta(ge=0, le=MAX_SEQ)]


class _SubscribeOp(_Op, tag="subscribe"):
    symbols: _Symbols
    resume: dict[str, _ResumeJson] = {}

    def messages(self) -> list[Message]:
        resumes = {symbol: Resume(point.stream, point.seq) for symbol, point in self.resume.items()}
        return [Subscribe(symbol, resumes.get(symbol)) for symbol in self.symbols]


class _UnsubscribeOp(_Op, tag="unsubscribe"):
    symbols: _Symbols

    def messages(self) -> list[Message]:
        return [Unsubscribe(symbol) for symbol in self.symbols]


class _SubscribedOp(_Op, tag="subscribed"):
    symbol: _Symbol

    def messages(self) -> list[Message]:
        return [Subscribed(self.symbol)]


class _UnsubscribedOp(_Op, tag="unsubscribed"):
    symbol: _Symbol

    def messages(self) -> list[Message]:
        return [Unsubscribed(self.symbol)]


class _GapOp(_Op, tag="gap"):
    symbol: _Symbol
    stream: _Stream
    first: _Seq
    last: _Seq | None = None

    def messages(self) -> list[Message]:
        if self.last is not None:
            check_number(self.last, minimum=self.first)
        return [GapNotice(self.symbol, self.stream, self.first, self.last)]


class _ErrorOp(_Op, tag="error"):
    code: _Code
    message: str

    def messages(self) -> list[Message]:
        return [ErrorNotice(self.code, printable(self.message))]


class _GoodbyeOp(_Op, tag="goodbye"):
    reason: _Code
    retry_after: Annotated[float, Meta(ge=0)]

    def messages(self) -> list[Message]:
        return [Goodbye(self.reason, self.retry_after)]


class _OrderOp(_Op, tag="order"):
    id: str
    symbol: str
    side: Side
    quantity: float
    price: float | None = None

    def messages(self) -> list[Message]:
        return [check_order(Order(self.id, self.symbol, self.side, self.quantity, self.price))]


class _OrderStatusOp(QueryJson, frozen=True, tag_field="op", tag="order_status"):
    def messages(self) -> list[Message]:
        return [self.message()]


class _OrderAckOp(AckJson, frozen=True, tag_field="op", tag="order_ack"):
    def messages(self) -> list[Message]:
        return [self.message()]


class _Head(msgspec.Struct):
    """The fields that tell messages apart, whatever they hold."""

    op: Any = None
    type: Any = None


def _token(raw: Raw | UnsetType) -> bytes | None:
    if isinstance(raw, UnsetType):
        return None
    token = bytes(raw)
    if token[:1] in (b"{", b"[") or len(token) > MAX_ID:
        raise ValueError(f"an id is a JSON scalar of at most {MAX_ID} bytes")
    return token


_HEAD = msgspec.json.Decoder(_Head)
_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "server": msgspec.json.Decoder(_PingOp | _PongOp | _SubscribeOp | _UnsubscribeOp | _OrderOp | _OrderStatusOp),
    "client": msgspec.json.Decoder(
        _PingOp | _PongOp | _SubscribedOp | _UnsubscribedOp | _GapOp | _ErrorOp | _GoodbyeOp | _OrderAckOp,
    ),
}
_KNOWN = {
    "server": ("ping", "pong", "subscribe", "unsubscribe", "order", "order_status"),
    "client": ("ping", "pong", "subscribed", "unsubscribed", "gap", "error", "goodbye", "order_ack"),
}


def decode_text(text: bytes | str, *, role: Literal["client", "server"]) -> list[Message]:
    """Read one text message; a subscription to several symbols gives one `Subscribe` each.

    Bad input raises nothing: it is an `Invalid` (code ``bad_message``, or ``unknown_command`` to a server), or an
    `Unknown` to a client where a newer server may have meant something by it.

    Args:
        text: The message, as UTF-8 or decoded.
        role: Which side *we* are: a server decodes what clients send.
    """
    try:
        data = text.encode() if isinstance(text, str) else text
        if role == "client" and data.startswith(QUOTE_START):
            return [decode_quote(data)]
        data.decode()  # an id is echoed as it came, so it must be UTF-8 through and through
        messages: list[Message] = _DECODERS[role].decode(data).messages()
    except UnicodeError as error:
        return [bad_message("not UTF-8", error)]
    except BAD_INPUT as error:
        return [_explain(data, role, error)]
    return messages


def decode_texts(texts: list[bytes], *, role: Literal["client", "server"]) -> list[Message]:
    """Like `decode_text`, for many messages at once: in bulk where all are quotes."""
    if role == "client":
        quotes = decode_quotes(texts, start=QUOTE_START)
        if quotes is not None:
            return quotes  # type: ignore[return-value]  # a list of quotes is never changed into anything else
    return [message for text in texts for message in decode_text(text, role=role)]


def _explain(data: bytes, role: Literal["client", "server"], error: BaseException) -> Message:
    """Find out what a message was that is no operation of ours."""
    try:
        head = _HEAD.decode(data)
    except BAD_INPUT as broken:
        return bad_message("not a JSON object", broken)
    if head.op in _KNOWN[role]:
        return bad_message(head.op, error)
    if role == "client":
        return decode_quote(data) if head.type == "quote" else Unknown(printable(data.decode()))
    if isinstance(head.op, str):
        return Invalid("unknown_command", f"unknown op {printable(head.op, 32)!r}")
    return Invalid("bad_message", 'an operation is a JSON object with "op"')


def decode_binary(*, role: Literal["client", "server"]) -> list[Message]:
    """Answer for a binary message: there are none in this protocol."""
    sender = "client" if role == "server" else "server"
    return [Invalid("binary_message", f"the {sender} sent a binary message; operations are JSON text")]


def encode_text(message: Message) -> bytes:
    """Turn a message into compact JSON.

    Raises:
        LocalProtocolError: The operations cannot carry it: a malformed symbol, a number out of range, a message of the
            line protocol, a ping that is a control frame.
    """
    encoder = _ENCODERS.get(type(message))
    if encoder is None:
        raise LocalProtocolError(f"no operation carries {type(message).__name__}")
    try:
        return encoder(message)
    except ValueError as error:
        raise LocalProtocolError(f"no operation carries this {type(message).__name__}: {error}") from error


def _encode(op: str, **fields: object) -> bytes:
    return _ENCODER.encode({"op": op, **fields})


def _encode_heartbeat(message: Ping | Pong) -> bytes:
    if message.nonce or message.is_control:
        raise ValueError("a nonce travels in a control frame, or in a line")
    op = "ping" if isinstance(message, Ping) else "pong"
    return _encode(op) if message.token is None else _encode(op, id=Raw(message.token))


def _encode_subscribe(message: Subscribe) -> bytes:
    symbols = [check_symbol(message.symbol)]
    if message.resume is None:
        return _encode("subscribe", symbols=symbols)
    point = {"stream": check_stream(message.resume.stream), "seq": check_number(message.resume.seq, minimum=0)}
    return _encode("subscribe", symbols=symbols, resume={message.symbol: point})


def _encode_gap(message: GapNotice) -> bytes:
    first = check_number(message.first, minimum=1)
    last = None if message.last is None else check_number(message.last, minimum=first)
    symbol, stream = check_symbol(message.symbol), check_stream(message.stream)
    return _encode("gap", symbol=symbol, stream=stream, first=first, last=last)


def _encode_goodbye(message: Goodbye) -> bytes:
    return _encode("goodbye", reason=check_code(message.reason), retry_after=check_seconds(message.retry_after))


_ENCODERS: dict[type, Callable[..., bytes]] = {
    Quote: lambda quote: QUOTE_START + encode_quote(quote)[1:],
    Ping: _encode_heartbeat,
    Pong: _encode_heartbeat,
    Subscribe: _encode_subscribe,
    Subscribed: lambda message: _encode("subscribed", symbol=check_symbol(message.symbol)),
    Unsubscribe: lambda message: _encode("unsubscribe", symbols=[check_symbol(message.symbol)]),
    Unsubscribed: lambda message: _encode("unsubscribed", symbol=check_symbol(message.symbol)),
    GapNotice: _encode_gap,
    ErrorNotice: lambda message: _encode("error", code=check_code(message.code), message=message.message),
    Goodbye: _encode_goodbye,
    Order: lambda message: _encode("order", **order_fields(message)),
    OrderAck: lambda message: _encode("order_ack", **ack_fields(message)),
    OrderQuery: lambda message: _encode("order_status", **query_fields(message)),
}
