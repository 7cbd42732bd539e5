"""Venues' records, compiled once into what reads messages fast. Keeps no state of any connection. Pure."""

from __future__ import annotations

from .venue_paths import Channel, Getter, Test, compile_items, compile_match, compile_path, literals_of, name_of
from .venue_records import QuoteMessage, VenueQuotes
from .venue_values import MISSING, Json, to_micros, to_price, to_sequence
from .wire import is_symbol

MAX_SYMBOL_TEXT = 256
"""Characters of a text in which a symbol is looked for."""

Prices = tuple[Json, Json, Json]
"""Bid, ask and last: a float, None for "there is none", or `MISSING`."""


class CompiledMessage:
    """Reads one kind of message. All of its methods raise `ValueError` for what cannot be read."""

    def __init__(self, venue: str, record: QuoteMessage, rename: dict[str, str]) -> None:
        self.name = record.name
        self.stream = f"{venue}-{record.name}"
        self.rule = record.rule
        self.record = record
        self.items = compile_items(record.items)
        self.only = compile_match(record.only) if record.only else None
        self.delta = compile_match(record.delta) if record.delta is not None else None
        self._rename = tuple(rename.items())
        self._symbol = compile_path(record.symbol)
        self._split = record.symbol_split
        self._at = record.symbol_at
        self._bid, self._ask, self._last = (_optional(each) for each in (record.bid, record.ask, record.last))
        self._bid_size, self._ask_size = _optional(record.bid_size), _optional(record.ask_size)
        self._time, self._unit = _optional(record.time), record.unit
        self._sequence = _optional(record.sequence)

    def symbol(self, frame: Json, item: Json, channel: Channel | None) -> str | None:
        """The symbol; None if it is one that our wires cannot carry."""
        text = self._symbol(frame, item, channel)
        if type(text) is not str:
            raise ValueError("the symbol is no text")
        if len(text) > MAX_SYMBOL_TEXT:
            return None
        if self._split is not None:
            parts = text.split(self._split)
            if not -len(parts) <= self._at < len(parts):
                raise ValueError("there is no symbol in the text")
            text = parts[self._at]
        for old, new in self._rename:
            text = text.replace(old, new)
        if len(text) > 64 or not is_symbol(text):  # the length first: what `is_symbol` was asked it remembers
            return None
        return text

    def prices(self, frame: Json, item: Json, channel: Channel | None) -> Prices:
        """Bid, ask and last."""
        bid = ask = last = MISSING
        if self._bid is not None and self._ask is not None:
            bid = to_price(self._bid(frame, item, channel))
            ask = to_price(self._ask(frame, item, channel))
            if bid == 0 and self._bid_size is not None and not to_price(self._bid_size(frame, item, channel)):
                bid = None
            if ask == 0 and self._ask_size is not None and not to_price(self._ask_size(frame, item, channel)):
                ask = None
        if self._last is not None:
            last = to_price(self._last(frame, item, channel))
        return bid, ask, last

    def micros(self, frame: Json, item: Json, channel: Channel | None) -> int | None:
        """The venue's time in microseconds UTC; None where it gives none."""
        return None if self._time is None else to_micros(self._time(frame, item, channel), self._unit)

    def number(self, frame: Json, item: Json, channel: Channel | None) -> int | None:
        """The venue's sequence number; None where it gives none."""
        return None if self._sequence is None else to_sequence(self._sequence(frame, item, channel))


class CompiledVenue:
    """Finds out what sort of message one is."""

    def __init__(self, record: VenueQuotes) -> None:
        self.messages = tuple(CompiledMessage(record.name, each, record.rename) for each in record.quotes)
        self.envelope_mark = record.envelope_mark
        self._envelope = record.envelope
        self._other = tuple(compile_match(each) for each in record.other)
        self._route = _optional(record.route)
        self._route_name = None if record.route is None else name_of(record.route)
        self._routes, self._unrouted = _make_routes(self.messages, record.route)

    def unwrap(self, value: Json) -> Json:
        """What a message's envelope holds; the message itself if it has none."""
        if self.envelope_mark is not None and type(value) is dict and self.envelope_mark in value:
            return value.get(self._envelope, MISSING)
        return value

    def find(self, frame: Json, body: Json, channel: Channel | None) -> CompiledMessage | None:
        """The kind of message that holds quotes; None if it holds none that is known."""
        candidates = self._unrouted
        if self._route is not None:
            if self._route_name is not None and type(body) is dict:  # most of them: without a call
                value = body.get(self._route_name, MISSING)
            else:
                value = self._route(frame, body, channel)
            if type(value) is str or value is MISSING:
                candidates = self._routes.get(value, candidates)
        for matches, message in candidates:
            if matches is None or matches(frame, body, channel):
                return message
        return None

    def is_other(self, frame: Json, body: Json, channel: Channel | None) -> bool:
        """Whether it is known not to hold quotes."""
        return any(matches(frame, body, channel) for matches in self._other)


_Candidates = tuple[tuple[Test | None, CompiledMessage], ...]


def _make_routes(messages: tuple[CompiledMessage, ...], route: str | None) -> tuple[dict[object, _Candidates], _Candidates]:
    """For each literal value of the route (or its absence): what it still has to match; and what may match any other."""
    literals = {literal for each in messages for literal in _literals(each, route)}
    routes: dict[object, _Candidates] = {}
    for literal in literals:
        routes[literal] = tuple(
            (_rest(each, route), each) if literal in _literals(each, route) else (compile_match(each.record.match), each)
            for each in messages
            if literal in _literals(each, route) or not _literals(each, route)
        )
    unrouted = tuple((compile_match(each.record.match), each) for each in messages if not _literals(each, route))
    return routes, unrouted


def _literals(message: CompiledMessage, route: str | None) -> frozenset[object]:
    """The values of the route that a message must have; none if it may have others as well."""
    pattern = None if route is None else message.record.match.get(route)
    if pattern == "!":
        return frozenset((MISSING,))
    if pattern is None or len(literals_of(pattern)) != len(set(pattern.split("|"))):
        return frozenset()
    return frozenset(literals_of(pattern))


def _rest(message: CompiledMessage, route: str | None) -> Test | None:
    """What a message has to match once its route is known to fit."""
    rest = {path: pattern for path, pattern in message.record.match.items() if path != route}
    return compile_match(rest) if rest else None


def _optional(path: str | None) -> Getter | None:
    return None if path is None else compile_path(path)
