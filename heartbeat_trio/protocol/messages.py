"""The messages that both wire formats carry, independent of either.

`line.py` and `ops.py` translate them to and from bytes; `events.Quote` is the message for a quote, and those for orders
stand in `orders`.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from ..events import MAX_SEQ as MAX_SEQ
from ..events import Quote, Receipt
from ..orders import Order, OrderAck, OrderQuery

SYMBOL = re.compile(r"[A-Za-z0-9._/\-]{1,64}")
STREAM = re.compile(r"[A-Za-z0-9\-]{1,32}")
CODE = re.compile(r"[a-z_]{1,64}")
NONCE = re.compile(rb"[!-~]{1,64}")
UNMATCHED = b"\0"
"""Nonce of a pong that cannot be an answer to a ping of ours. No nonce of ours looks like it."""


class Ping(msgspec.Struct, frozen=True):
    """Asks for a `Pong` with the same nonce; b"" is the bare ping.

    ``token`` carries the raw JSON of an ``id`` of the ops protocol, which is echoed as it came; None elsewhere.
    ``is_control`` is True for a WebSocket control frame, which is answered by a control frame.
    """

    nonce: bytes = b""
    token: bytes | None = None
    is_control: bool = False


class Pong(msgspec.Struct, frozen=True):
    """Answers a `Ping`; the fields are the ping's. ``receipt`` is when it reached us, where the kernel tells."""

    nonce: bytes = b""
    token: bytes | None = None
    is_control: bool = False
    receipt: Receipt | None = None


class Resume(msgspec.Struct, frozen=True):
    """Where a subscription should go on: after quote ``seq`` of ``stream``."""

    stream: str
    seq: int


class Subscribe(msgspec.Struct, frozen=True):
    """Asks for a symbol's quotes, from the newest on or after `resume`."""

    symbol: str
    resume: Resume | None = None


class SubscribeAll(msgspec.Struct, frozen=True):
    """Asks for several symbols in one message, where a venue takes that."""

    symbols: tuple[str, ...]


class Unsubscribe(msgspec.Struct, frozen=True):
    """Asks for no more of a symbol's quotes."""

    symbol: str


class Subscribed(msgspec.Struct, frozen=True):
    """Acknowledges a `Subscribe`."""

    symbol: str


class Unsubscribed(msgspec.Struct, frozen=True):
    """Acknowledges an `Unsubscribe`."""

    symbol: str


class Auth(msgspec.Struct, frozen=True):
    """The token, as the first line over TCP. It never shows itself in a `repr`."""

    token: str

    def __repr__(self) -> str:
        return "Auth(token=...)"


class AuthOk(msgspec.Struct, frozen=True):
    """Acknowledges an `Auth`."""


class GapNotice(msgspec.Struct, frozen=True):
    """The server says that quotes ``first`` to ``last`` will not come; no ``last``: the stream itself is gone."""

    symbol: str
    stream: str
    first: int
    last: int | None


class ErrorNotice(msgspec.Struct, frozen=True):
    """The peer says what was wrong with a message of ours."""

    code: str
    message: str


class Goodbye(msgspec.Struct, frozen=True):
    """The server goes away; clients spread their return over ``retry_after`` seconds."""

    reason: str
    retry_after: float


class Beat(msgspec.Struct, frozen=True):
    """The server says that it lives, and wants no answer.

    ``counter`` is +1 per beat where there is one. ``is_scheduled`` is False for what comes at no fixed time: a banner, the
    result of an answer of ours.
    """

    counter: int | None = None
    is_scheduled: bool = True


class Welcome(msgspec.Struct, frozen=True):
    """The server is ready. ``ping_interval`` is in seconds, None where it names none."""

    ping_interval: float | None = None


class Notice(msgspec.Struct, frozen=True):
    """The server asks for something.

    ``action`` is `rotate` (open another connection, then leave this one), `error`, `resync` or `info`; ``text`` says why,
    and ``code`` is the venue's own, "" where there is none.
    """

    action: Literal["rotate", "error", "resync", "info"]
    text: str
    code: str = ""


class Invalid(msgspec.Struct, frozen=True):
    """What came is no message of the protocol; the connection can stay. The server answers it with an `ErrorNotice`."""

    code: str
    detail: str


class Unknown(msgspec.Struct, frozen=True):
    """Well-formed, but nothing we know: kept as text, so that a newer server does not break an older client."""

    text: str


Message = (
    Ping
    | Pong
    | Subscribe
    | SubscribeAll
    | Unsubscribe
    | Subscribed
    | Unsubscribed
    | Auth
    | AuthOk
    | GapNotice
    | ErrorNotice
    | Goodbye
    | Beat
    | Welcome
    | Notice
    | Invalid
    | Unknown
    | Quote
    | Order
    | OrderAck
    | OrderQuery
)
