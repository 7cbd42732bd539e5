"""The line protocol spoken over TCP: UTF-8, one message per line, LF or CR LF at its end, at most 4096 bytes.

============================================  =====================================================================
client                                        server
============================================  =====================================================================
``PING`` / ``PING <nonce>``                   ``PONG`` / ``PONG <nonce>``
``SUBSCRIBE:<symbol>[:<stream>:<seq>]``       ``SUBSCRIBED:<symbol>``, ``QUOTE:<json>``,
                                              ``GAP:<symbol>:<stream>:<first>:<last>`` (no last: the stream is gone)
``UNSUBSCRIBE:<symbol>``                      ``UNSUBSCRIBED:<symbol>``
``AUTH:<token>``                              ``AUTH:ok``
``ORDER:<json>``, ``ORDER_STATUS:<json>``     ``ORDER_ACK:<json>``; the fields stand in `orders`
anything else                                 ``ERROR:<code>:<text>``
before it goes away                            ``GOODBYE:<reason>:<retry_after seconds>``
============================================  =====================================================================

Either side may ping. Blanks around a line are ignored.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from ..events import Quote
from ..exceptions import LocalProtocolError
from ..orders import Order, OrderAck, OrderQuery
from .messages import (
    NONCE,
    Auth,
    AuthOk,
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
from .orders import ack_fields, decode_ack, decode_order, decode_query, encode_fields, order_fields, query_fields
from .wire import (
    BAD_INPUT,
    bad_message,
    check_code,
    check_number,
    check_seconds,
    check_stream,
    check_symbol,
    decode_quote,
    encode_quote,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINE = 4096
"""Bytes of a line; ours are counted with their LF, a stranger's without."""

TOKEN = re.compile(r"[!-~]{1,1024}")
SECONDS = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE][+\-]?[0-9]{1,3})?")
BLANKS = b" \t\r"
BLANKS_TO_SPACES = bytes.maketrans(BLANKS, b"   ")
BAD_UTF8 = Invalid("bad_encoding", "a line must be UTF-8")
HEARTBEATS: dict[bytes, type[Ping | Pong]] = {b"PING": Ping, b"PONG": Pong}


class LineDecoder:
    """Turns bytes into messages, however they were cut into reads.

    A line that is too long or no UTF-8 ends it: the last message is then `Invalid` with the code ``line_too_long`` or
    ``bad_encoding``, and later input is ignored. Any other line that makes no sense is an `Invalid` (to a client that does
    not know the command: an `Unknown`) between the others. It never holds more than one line and one read.

    Args:
        role: Which side *we* are: a server decodes what clients send.
        max_line: Bytes of a line, without its LF.
    """

    def __init__(self, *, role: Literal["client", "server"], max_line: int = MAX_LINE) -> None:
        self.is_failed = False
        self._role = role
        self._parsers = _PARSERS[role]
        self._max_line = max_line
        self._too_long = Invalid("line_too_long", f"a line has at most {max_line} bytes")
        self._rest = b""

    def receive_data(self, data: bytes) -> list[Message]:
        """Take the bytes of one read and return the messages that they complete, in order."""
        if self.is_failed:
            return []
        lines, fault = self._split(data)
        if self._role == "client":
            messages = [decode_quote(line[6:]) if line.startswith(b"QUOTE:") else self._decode(line) for line in lines]
        else:
            messages = [self._decode(line) for line in lines]
        if fault is not None:
            self.is_failed = True
            self._rest = b""
            messages.append(fault)
        return messages

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished line."""
        return len(self._rest)

    @property
    def has_partial_data(self) -> bool:
        """Whether a line was begun that cannot become a pong: a sign of life, where an unmatched pong is none."""
        start = self._rest.lstrip(BLANKS)[:5]
        return not b"PONG ".startswith(start.translate(BLANKS_TO_SPACES))

    def _split(self, data: bytes) -> tuple[list[bytes], Invalid | None]:
        """Cut off the complete lines before the first that ends everything, and say why it does."""
        data = self._rest + data
        *lines, self._rest = data.split(b"\n")
        if data.isascii() and max(len(self._rest), max(map(len, lines), default=0)) <= self._max_line:
            return lines, None
        for index, line in enumerate(lines):
            if (fault := self._fault(line)) is not None:
                return lines[:index], fault
        # An unfinished line may end within a character, so only its length counts yet.
        return lines, self._too_long if len(self._rest) > self._max_line else None

    def _fault(self, line: bytes) -> Invalid | None:
        if len(line) > self._max_line:
            return self._too_long
        try:
            line.decode()
        except UnicodeDecodeError:
            return BAD_UTF8
        return None

    def _decode(self, line: bytes) -> Message:
        line = line.strip(BLANKS)
        word, blank, nonce = line.partition(b" ")
        if word in HEARTBEATS:
            return _decode_heartbeat(HEARTBEATS[word], nonce) if blank else HEARTBEATS[word]()
        text = line.decode()
        command, colon, rest = text.partition(":")
        parser = self._parsers.get(command) if colon else None
        if parser is None:
            return self._decode_unknown(text)
        try:
            return parser(rest)
        except BAD_INPUT as error:
            return bad_message(command, error)

    def _decode_unknown(self, text: str) -> Message:
        if self._role == "client":
            return Unknown(printable(text))
        # Only the first word is shown: what follows a mistyped AUTH is a secret.
        word = re.split("[: \t]", text, maxsplit=1)[0]
        return Invalid("unknown_command", f"unknown command {printable(word, 32)!r}")


def _decode_heartbeat(kind: type[Ping | Pong], nonce: bytes) -> Message:
    if NONCE.fullmatch(nonce):
        return kind(nonce)
    return Invalid("bad_message", "a nonce is 1 to 64 printable ASCII characters without blanks")


def _parse_subscribe(rest: str) -> Message:
    symbol, *resume = rest.split(":")
    check_symbol(symbol)
    if not resume:
        return Subscribe(symbol)
    if len(resume) != 2:
        raise ValueError("expected <symbol> or <symbol>:<stream>:<seq>")
    return Subscribe(symbol, Resume(check_stream(resume[0]), _parse_number(resume[1], minimum=0)))


def _parse_gap(rest: str) -> Message:
    fields = rest.split(":")
    if len(fields) != 4:
        raise ValueError("expected <symbol>:<stream>:<first>:<last>")
    first = _parse_number(fields[2], minimum=1)
    last = _parse_number(fields[3], minimum=first) if fields[3] else None
    return GapNotice(check_symbol(fields[0]), check_stream(fields[1]), first, last)


def _parse_error(rest: str) -> Message:
    code, _, text = rest.partition(":")
    return ErrorNotice(check_code(code), printable(text))


def _parse_goodbye(rest: str) -> Message:
    reason, _, seconds = rest.partition(":")
    if not SECONDS.fullmatch(seconds):
        raise ValueError("expected <reason>:<retry_after seconds>")
    return Goodbye(check_code(reason), check_seconds(float(seconds)))


def _parse_auth(rest: str) -> Message:
    return Auth(_check_token(rest))


def _parse_auth_answer(rest: str) -> Message:
    if rest != "ok":
        raise ValueError("expected ok")
    return AuthOk()


def _parse_number(text: str, *, minimum: int) -> int:
    # Python's int() takes signs, blanks, underscores and digits of other scripts as well.
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ValueError("a sequence number has 1 to 19 digits")
    return check_number(int(text), minimum=minimum)


def _check_token(text: str) -> str:
    if not TOKEN.fullmatch(text):
        raise ValueError("a token is 1 to 1024 printable ASCII characters without blanks")
    return text


_PARSERS: dict[str, dict[str, Callable[[str], Message]]] = {
    "server": {
        "SUBSCRIBE": _parse_subscribe,
        "UNSUBSCRIBE": lambda rest: Unsubscribe(check_symbol(rest)),
        "AUTH": _parse_auth,
        "ORDER": decode_order,
        "ORDER_STATUS": decode_query,
    },
    "client": {
        "QUOTE": lambda rest: decode_quote(rest.encode()),
        "SUBSCRIBED": lambda rest: Subscribed(check_symbol(rest)),
        "UNSUBSCRIBED": lambda rest: Unsubscribed(check_symbol(rest)),
        "GAP": _parse_gap,
        "ERROR": _parse_error,
        "GOODBYE": _parse_goodbye,
        "AUTH": _parse_auth_answer,
        "ORDER_ACK": decode_ack,
    },
}


def encode_line(message: Message) -> bytes:
    """Turn a message into one line, its LF included.

    Raises:
        LocalProtocolError: The line protocol cannot carry it: a malformed symbol or nonce, a line break in a text, a
            number out of range, a message of the other protocol, more than 4096 bytes.
    """
    encoder = _ENCODERS.get(type(message))
    if encoder is None:
        raise LocalProtocolError(f"a line cannot carry {type(message).__name__}")
    try:
        line = encoder(message)
    except ValueError as error:
        raise LocalProtocolError(f"a line cannot carry this {type(message).__name__}: {error}") from error
    if len(line) >= MAX_LINE:
        raise LocalProtocolError(f"a line has at most {MAX_LINE} bytes; this {type(message).__name__} has {len(line) + 1}")
    return line + b"\n"


def _encode_heartbeat(message: Ping | Pong) -> bytes:
    word = b"PING" if isinstance(message, Ping) else b"PONG"
    if message.token is not None or message.is_control:
        raise ValueError("it belongs to WebSocket")
    if not message.nonce:
        return word
    if not NONCE.fullmatch(message.nonce):
        raise ValueError("a nonce is 1 to 64 printable ASCII characters without blanks")
    return word + b" " + message.nonce


def _encode_subscribe(message: Subscribe) -> bytes:
    line = f"SUBSCRIBE:{check_symbol(message.symbol)}"
    if message.resume is not None:
        line += f":{check_stream(message.resume.stream)}:{check_number(message.resume.seq, minimum=0)}"
    return line.encode()


def _encode_gap(message: GapNotice) -> bytes:
    first = check_number(message.first, minimum=1)
    last = "" if message.last is None else check_number(message.last, minimum=first)
    return f"GAP:{check_symbol(message.symbol)}:{check_stream(message.stream)}:{first}:{last}".encode()


def _encode_error(message: ErrorNotice) -> bytes:
    if "\n" in message.message or "\r" in message.message:
        raise ValueError("a text has no line breaks")
    return f"ERROR:{check_code(message.code)}:{message.message}".encode()


def _encode_goodbye(message: Goodbye) -> bytes:
    return f"GOODBYE:{check_code(message.reason)}:{check_seconds(float(message.retry_after))!r}".encode()


_ENCODERS: dict[type, Callable[..., bytes]] = {
    Quote: lambda quote: b"QUOTE:" + encode_quote(quote),
    Ping: _encode_heartbeat,
    Pong: _encode_heartbeat,
    Subscribe: _encode_subscribe,
    Subscribed: lambda message: f"SUBSCRIBED:{check_symbol(message.symbol)}".encode(),
    Unsubscribe: lambda message: f"UNSUBSCRIBE:{check_symbol(message.symbol)}".encode(),
    Unsubscribed: lambda message: f"UNSUBSCRIBED:{check_symbol(message.symbol)}".encode(),
    Auth: lambda message: f"AUTH:{_check_token(message.token)}".encode(),
    AuthOk: lambda _message: b"AUTH:ok",
    GapNotice: _encode_gap,
    ErrorNotice: _encode_error,
    Goodbye: _encode_goodbye,
    Order: lambda message: b"ORDER:" + encode_fields(order_fields(message)),
    OrderAck: lambda message: b"ORDER_ACK:" + encode_fields(ack_fields(message)),
    OrderQuery: lambda message: b"ORDER_STATUS:" + encode_fields(query_fields(message)),
}
