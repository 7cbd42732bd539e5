"""Speaks a dialect: a venue's frames to messages, and messages to what the venue understands. The client's side.

It keeps what a conversation needs: ids of requests whose acknowledgement is due, and the symbols that were asked for.
However they were written, acknowledgements name them as the venue's data does (see `spelling`). What it keeps is bounded,
and nothing that comes from a venue makes it raise.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..exceptions import LocalProtocolError
from .dialect_template import Template, bind, template
from .inflate import inflate
from .messages import (
    UNMATCHED,
    Beat,
    ErrorNotice,
    Invalid,
    Message,
    Notice,
    Ping,
    Pong,
    Subscribe,
    SubscribeAll,
    Subscribed,
    Unknown,
    Unsubscribe,
    Unsubscribed,
    Welcome,
)
from .spelling import canonical_symbol, native_symbol
from .wire import BAD_INPUT, bad_message, check_symbol, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..events import Quote
    from .dialect_record import Dialect, NoticeRule

MAX_PENDING = 4096
"""Requests whose acknowledgement is awaited; older ones are forgotten."""

MIN_INTERVAL, MAX_INTERVAL = 0.1, 3600.0
"""Seconds; a welcome that names another interval is not believed."""

MAX_SHAPES = 64
"""Sets of fields that are remembered, and fields in one."""

MAX_DIGITS = 18
"""Of a counter that is written as a string."""

NONCE_SIZE = 8

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


_Read = Callable[[Template, dict[str, Any], bytes], list[Message] | None]
"""Makes messages of a rule, its captures and the text; None: it is something else after all."""


class _Request(NamedTuple):
    """A request whose acknowledgement is due."""

    is_subscription: bool
    symbols: tuple[str, ...]


class _Rule(NamedTuple):
    """A kind of message that a venue sends, and what to make of one: of this rule, its captures and its text."""

    template: Template
    read: _Read


_NOTHING: dict[str, Any] = {}


class DialectCodec:
    """One connection's conversation in a dialect. It satisfies `codec.MessageCodec`.

    Args:
        dialect: What is spoken.
        parameters: Values for the dialect's own parameters, and `channel`.
        unix_time: Tells the time of day in Unix seconds, where messages carry it.
        decode_quotes: Called with every decoded JSON value that is no heartbeat, acknowledgement or notice; returns the
            quotes in it, and must not raise.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        parameters: Mapping[str, str | int | float] | None = None,
        unix_time: Callable[[], float],
        decode_quotes: Callable[[object], Sequence[Quote]] | None = None,
    ) -> None:
        self.dialect = dialect
        self.encoding = f"dialect-{dialect.name}-{id(self)}"  # ids differ from connection to connection
        self._unix_time = unix_time
        self._decode_quotes = decode_quotes
        channel = {} if dialect.subscriptions is None else {"channel": dialect.subscriptions.channel}
        values: dict[str, str | int | float] = {**channel, **dialect.parameters, **(parameters or {})}
        self._values: dict[str, bytes] = {name: _encode(value) for name, value in values.items()}
        self._last_id = 0
        self._pending: OrderedDict[str | int, _Request] = OrderedDict()
        self._spelled: OrderedDict[str, str] = OrderedDict()
        self._tokens: dict[bytes, _Rule] = {}
        self._bare: list[_Rule] = []
        self._rules: list[_Rule] = []
        self._by_keys: dict[tuple[str, ...], list[_Rule]] = {}
        self._make_rules()

    def __repr__(self) -> str:
        return f"<DialectCodec {self.dialect.name}>"

    def opening(self) -> list[bytes]:
        """What is said as soon as the connection stands, and the welcome has come if there is one."""
        return [self._render(text) for text in self.dialect.opening.messages]

    def unpack(self, payload: bytes) -> bytes | Message:
        """See `MessageCodec.unpack`. What would inflate to more than 1 MiB is refused without inflating it."""
        match self.dialect.decoding.binary:
            case "json":
                return payload
            case "gzip":
                return inflate(payload)
            case "opaque":
                return Unknown(f"<{len(payload)} bytes>")
            case _:
                return Invalid("binary_message", f"{self.dialect.title} sends text only")

    def decode_text(self, text: bytes) -> list[Message]:
        """See `MessageCodec.decode_text`."""
        try:
            token = self._tokens.get(text)
            if token is not None:
                return token.read(token.template, _NOTHING, text) or []
            read = self._apply(self._bare, text.decode(), text) if self._bare else None
            if read is not None:
                return read
            message = _decode(text)
            read = self._apply(self._candidates(message), message, text)
            if read is not None:
                return read
            return self._quotes(message) or [Unknown(printable(text.decode()))]
        except BAD_INPUT as error:
            return [bad_message("message", error)]

    def decode_texts(self, texts: list[bytes]) -> list[Message]:
        """See `MessageCodec.decode_texts`."""
        return [message for text in texts for message in self.decode_text(text)]

    def encode(self, message: Message) -> bytes:
        """See `MessageCodec.encode`. Where the venue knows no unsubscribing, that is b"": there is nothing to send."""
        match message:
            case Subscribe(symbol=symbol):
                return self.encode_subscription((symbol,), is_subscription=True)
            case SubscribeAll(symbols=symbols):
                return self.encode_subscription(symbols, is_subscription=True)
            case Unsubscribe(symbol=symbol):
                return self.encode_subscription((symbol,), is_subscription=False)
            case Pong(token=bytes() as reply):
                return reply
            case _:
                raise LocalProtocolError(f"{self.dialect.title} has no message for {type(message).__name__}")

    def encode_ping(self, nonce: bytes) -> bytes | None:
        """See `MessageCodec.encode_ping`.

        Raises:
            LocalProtocolError: The nonce is not 8 hexadecimal digits, and the venue's ids are numbers.
        """
        probe = self.dialect.probe
        if probe is None or probe.level == "control":
            return None
        return self._render(probe.ping, {"id": self._nonce_token(nonce)})

    def encode_subscription(self, symbols: Sequence[str], *, is_subscription: bool) -> bytes:
        """Write one message for several symbols, at most `Subscriptions.batch` of them.

        Raises:
            LocalProtocolError: No such message of the venue's is known, or one of the symbols cannot be written.
        """
        subscriptions = self.dialect.subscriptions
        if subscriptions is None:
            raise LocalProtocolError(f"{self.dialect.title}: it is not known how to subscribe")
        if not 1 <= len(symbols) <= subscriptions.batch:
            raise LocalProtocolError(f"{self.dialect.title}: 1 to {subscriptions.batch} symbols go into one message")
        try:
            spelled = [native_symbol(self.dialect, check_symbol(symbol)) for symbol in symbols]
        except ValueError as error:
            raise LocalProtocolError(f"{self.dialect.title}: {error}") from error
        symbols = [canonical_symbol(self.dialect, symbol) for symbol in symbols]
        for symbol, spelling in zip(symbols, spelled, strict=True):
            self._note_spelling(symbol, spelling, is_wanted=is_subscription)
        text = subscriptions.subscribe if is_subscription else subscriptions.unsubscribe
        if subscriptions.replaces:
            text, spelled = subscriptions.subscribe, list(self._spelled)
        if not text or not spelled:
            return b""
        number = self._next_id()
        self._note_request(number, _Request(is_subscription, tuple(symbols)))
        items = [{"symbol": _encode(spelling)} for spelling in spelled]
        return template(text, subscriptions.item).render(self._now({"id": _encode(number), **items[0]}), items)

    # -- writing -------------------------------------------------------------------------------------------------------

    def _render(self, text: str, values: Mapping[str, bytes] | None = None) -> bytes:
        if values is None and "$id" in text:
            values = {"id": _encode(self._next_id())}
        return template(text).render(self._now(values or {}))

    def _now(self, values: Mapping[str, bytes]) -> dict[str, bytes]:
        seconds = self._unix_time()
        times = {"unix": b"%d" % seconds, "unix_text": b'"%d"' % seconds, "unix_ms": b"%d" % (seconds * 1000)}
        return {**times, **self._values, **values}

    def _next_id(self) -> str | int:
        self._last_id += 1
        return self._last_id if self.dialect.id == "int" else f"r{self._last_id}"

    def _nonce_token(self, nonce: bytes) -> bytes:
        if self.dialect.id != "int":
            return _encode(nonce.decode())
        try:
            return b"%d" % int(nonce, 16)
        except ValueError as error:
            raise LocalProtocolError(f"{self.dialect.title}: nonce {nonce!r} is no hexadecimal number") from error

    def _quotes(self, message: object) -> list[Message]:
        return [] if self._decode_quotes is None else [*self._decode_quotes(message)]

    def _nonce(self, value: object) -> bytes:
        """The nonce that became this id; `UNMATCHED` for what was never an id of ours, such as one of another type."""
        if self.dialect.id == "int" and type(value) is int and 0 <= value < 16**NONCE_SIZE:
            return b"%0*x" % (NONCE_SIZE, value)
        if self.dialect.id == "string" and type(value) is str and value.isascii() and len(value) == NONCE_SIZE:
            return value.encode()
        return UNMATCHED

    def _note_spelling(self, symbol: str, spelling: str, *, is_wanted: bool) -> None:
        """Remember whom the venue's spelling means, so that acknowledgements name it as its data does."""
        if is_wanted or (self.dialect.subscriptions is not None and not self.dialect.subscriptions.replaces):
            self._spelled[spelling] = symbol
        else:
            self._spelled.pop(spelling, None)
        while len(self._spelled) > MAX_PENDING:
            self._spelled.popitem(last=False)

    def _note_request(self, number: str | int, request: _Request) -> None:
        self._pending[number] = request
        while len(self._pending) > MAX_PENDING:
            self._pending.popitem(last=False)

    # -- reading -------------------------------------------------------------------------------------------------------

    def _make_rules(self) -> None:
        """What the venue may send: bare tokens, and templates in the order in which they are tried."""
        dialect, probe, subscriptions = self.dialect, self.dialect.probe, self.dialect.subscriptions
        for banner in dialect.decoding.banners:
            self._tokens[banner.encode()] = _Rule(template(banner), partial(_read_beat, False))
        for pong in () if probe is None else probe.pongs:
            self._add(pong, self._read_pong)
        for ping in dialect.server_pings:
            if ping.level == "text":
                self._add(ping.ping, partial(self._read_ping, ping.reply))
        self._add(dialect.opening.welcome, _read_welcome)
        if subscriptions is not None:
            for text in subscriptions.acks:
                self._add(text, partial(self._read_ack, True))
            for text in subscriptions.unsubscribe_acks:
                self._add(text, partial(self._read_ack, False))
            for text in subscriptions.rejections:
                self._add(text, self._read_rejection)
        for notice in dialect.notices:
            self._add(notice.message, partial(_read_notice, notice))
        for beat in dialect.beats:
            self._add(beat.message, partial(_read_beat, beat.period is not None))

    def _add(self, text: str, read: _Read) -> None:
        if not text:
            return
        subscriptions = self.dialect.subscriptions
        text, item = (bind(each, self._values) for each in (text, "" if subscriptions is None else subscriptions.item))
        rule = _Rule(template(text, item), read)
        if rule.template.is_bare and not rule.template.names:
            self._tokens[text.encode()] = rule
        elif rule.template.is_bare:
            self._bare.append(rule)
        else:
            self._rules.append(rule)

    def _candidates(self, message: object) -> list[_Rule]:
        """The rules that a message with these fields can match at all. A venue's messages have few sets of fields."""
        if type(message) is not dict:
            return self._rules
        keys = tuple(message)
        rules = self._by_keys.get(keys)
        if rules is None:
            rules = [rule for rule in self._rules if rule.template.keys <= message.keys()]
            if len(self._by_keys) < MAX_SHAPES and len(keys) < MAX_SHAPES:
                self._by_keys[keys] = rules
        return rules

    def _apply(self, rules: Sequence[_Rule], message: object, text: bytes) -> list[Message] | None:
        for rule in rules:
            captured = rule.template.match(message)
            read = None if captured is None else rule.read(rule.template, captured, text)
            if read is not None:
                return read
        return None

    def _read_pong(self, _template: Template, captured: dict[str, Any], _text: bytes) -> list[Message]:
        return [Pong(self._nonce(captured["id"]) if "id" in captured else b"")]

    def _read_ping(self, reply: str, asked: Template, _captured: dict[str, Any], text: bytes) -> list[Message]:
        """A server's ping carries the whole answer: what is echoed stands in it exactly as it came."""
        values = {name: asked.raw(text, name) for name in asked.captures}
        if "$id" in reply and "id" not in values:
            values["id"] = _encode(self._next_id())
        return [Ping(token=self._render(reply, values))]

    def _read_ack(
        self,
        is_subscription: bool,
        matched: Template,
        captured: dict[str, Any],
        text: bytes,
    ) -> list[Message] | None:
        request = self._take_request(captured)
        if request is None and "id" in captured:
            return None
        is_subscription = is_subscription if request is None else request.is_subscription
        symbols = self._symbols(captured, request, is_subscription=is_subscription)
        answers: list[Message] = [Subscribed(each) if is_subscription else Unsubscribed(each) for each in symbols]
        # The first data may stand in the acknowledgement itself.
        quotes = [] if matched.is_bare else self._quotes(_decode(text))
        return [*answers, *quotes] or [Beat(is_scheduled=False)]

    def _read_rejection(self, _template: Template, captured: dict[str, Any], _text: bytes) -> list[Message]:
        said = printable(str(captured.get("text", "")), 256)
        request = self._take_request(captured)
        if request is None and not {"symbol", "items"} & captured.keys():
            return [ErrorNotice("rejected", said)]
        symbols = self._symbols(captured, request, is_subscription=True)
        return [ErrorNotice("unknown_symbol", f"{symbol} {said}") for symbol in symbols] or [ErrorNotice("rejected", said)]

    def _take_request(self, captured: Mapping[str, Any]) -> _Request | None:
        """The request that an answer names by its id. An id of another type is another id."""
        number = captured.get("id")
        is_ours = type(number) is (int if self.dialect.id == "int" else str)
        return self._pending.pop(number, None) if is_ours else None  # type: ignore[arg-type]  # just tested

    def _symbols(self, captured: Mapping[str, Any], request: _Request | None, *, is_subscription: bool) -> tuple[str, ...]:
        """Which symbols an answer is about, as data spells them: by name, by id, or those of the oldest request."""
        if "items" in captured or "symbol" in captured:
            named = [str(each.get("symbol")) for each in captured.get("items", [captured])]
            return tuple(self._spelled[each] for each in named if each in self._spelled)
        if request is not None or "id" in captured:
            return () if request is None else request.symbols
        for number, oldest in self._pending.items():
            if oldest.is_subscription is is_subscription:
                del self._pending[number]
                return oldest.symbols
        return ()


def _read_welcome(_template: Template, captured: dict[str, Any], _text: bytes) -> list[Message]:
    interval = captured.get("ping_interval_ms")
    is_number = isinstance(interval, (int, float)) and not isinstance(interval, bool)
    if not is_number or not 1000 * MIN_INTERVAL <= interval <= 1000 * MAX_INTERVAL:  # type: ignore[operator]  # tested
        return [Welcome()]
    return [Welcome(interval / 1000)]  # type: ignore[operator]


def _read_notice(rule: NoticeRule, _template: Template, captured: dict[str, Any], _text: bytes) -> list[Message]:
    code = printable(str(captured.get("code", "")), 64)
    said = captured.get("text")
    text = rule.reason if said is None else f"{rule.reason}: {printable(str(said), 256)}"
    return [ErrorNotice("venue_error", text)] if rule.action == "error" else [Notice(rule.action, text, code)]


def _read_beat(is_scheduled: bool, _template: Template, captured: dict[str, Any], _text: bytes) -> list[Message]:
    counter = captured.get("counter")
    if type(counter) is str and counter.isascii() and counter.isdecimal() and len(counter) <= MAX_DIGITS:
        counter = int(counter)
    return [Beat(counter if type(counter) is int else None, is_scheduled=is_scheduled)]
