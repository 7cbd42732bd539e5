"""Venues' records, compiled once into what reads messages fast. Keeps no state of any connection. Pure."""

from __future__ import annotations

from typing import Any

from .venue_paths import Channel, Getter, Test, compile_items, compile_match, compile_path, literals_of
from .venue_records import Announced, ConnectionSequence, QuoteMessage, VenueQuotes
from .venue_values import MISSING, to_micros, to_price, to_sequence
from .wire import is_symbol

MAX_SYMBOL_TEXT = 256
"""Characters of a text in which a symbol is looked for."""

Prices = tuple[Any, Any, Any]
"""Bid, ask and last: a float, None for "there is none", or `MISSING`."""


class CompiledMessage:
    """Reads one kind of message. All of its methods raise `ValueError` for what cannot be read."""

    def __init__(self, venue: str, record: QuoteMessage, rename: dict[str, str]) -> None:
        self.name = record.name
        self.stream = f"{venue}-{record.name}"
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

    def symbol(self, frame: Any, item: Any, channel: Channel | None) -> str | None:
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
        return text if len(text) <= 64 and is_symbol(text) else None

    def prices(self, frame: Any, item: Any, channel: Channel | None) -> Prices:
        """Bid, ask and last."""
        bid = ask = last = MISSING
        if self._bid is not None and self._ask is not None:
            bid = _price(self._bid(frame, item, channel))
            ask = _price(self._ask(frame, item, channel))
            if bid == 0 and self._bid_size is not None and not _price(self._bid_size(frame, item, channel)):
                bid = None
            if ask == 0 and self._ask_size is not None and not _price(self._ask_size(frame, item, channel)):
                ask = None
        if self._last is not None:
            last = _price(self._last(frame, item, channel))
        return bid, ask, last

    def micros(self, frame: Any, item: Any, channel: Channel | None) -> int | None:
        """The venue's time in microseconds UTC; None where it gives none."""
        return None if self._time is None else to_micros(self._time(frame, item, channel), self._unit)

    def number(self, frame: Any, item: Any, channel: Channel | None) -> int | None:
        """The venue's sequence number; None where it gives none."""
        return None if self._sequence is None else to_sequence(self._sequence(frame, item, channel))


class CompiledAnnounced:
    """Reads what a venue says about its channels' ids."""

    def __init__(self, record: Announced) -> None:
        self.begins = compile_match(record.match)
        self.ends = compile_match(record.ended)
        self.id = compile_path(record.id)
        self.at = compile_path(record.at)
        self._channel = compile_path(record.channel)
        self._symbol = compile_path(record.symbol)

    def channel(self, frame: Any) -> Channel:
        """The channel that is announced; raises `ValueError` if its name or symbol is no text."""
        name, symbol = self._channel(frame, frame, None), self._symbol(frame, frame, None)
        if type(name) is not str or type(symbol) is not str or len(name) + len(symbol) > MAX_SYMBOL_TEXT:
            raise ValueError("an announced channel has no name or no symbol")
        return Channel(name, symbol)


class CompiledConnection:
    """Reads the connection's own numbers."""

    def __init__(self, record: ConnectionSequence) -> None:
        self.enabled_by = None if record.enabled_by is None else compile_match(record.enabled_by)
        self._number = compile_path(record.path)
        self._flags = compile_path(record.flags)
        self._bit, self._without = record.bit, record.without

    def is_enabled(self, frame: Any) -> bool:
        """Whether a message that `enabled_by` matches says that there are numbers from now on."""
        flags = self._flags(frame, frame, None)
        return type(flags) is int and bool(flags & self._bit) and not flags & self._without

    def number(self, frame: Any) -> int | None:
        """The message's number; raises `ValueError` if what stands there is none."""
        return to_sequence(self._number(frame, frame, None))


class CompiledVenue:
    """Finds out what sort of message one is."""

    def __init__(self, record: VenueQuotes) -> None:
        self.messages = tuple(CompiledMessage(record.name, each, record.rename) for each in record.quotes)
        self.announced = None if record.announced is None else CompiledAnnounced(record.announced)
        self.connection = None if record.connection is None else CompiledConnection(record.connection)
        self.has_state = self.announced is not None or self.connection is not None
        self._envelope, self._mark = record.envelope, record.envelope_mark
        self._other = tuple(compile_match(each) for each in record.other)
        self._route = _optional(record.route)
        self._routes, self._unrouted = _make_routes(self.messages, record.route)

    def unwrap(self, value: Any) -> Any:
        """What a message's envelope holds; the message itself if it has none."""
        if self._mark is not None and type(value) is dict and self._mark in value:
            return value.get(self._envelope, MISSING)
        return value

    def find(self, frame: Any, body: Any, channel: Channel | None) -> CompiledMessage | None:
        """The kind of message that holds quotes; None if it holds none that is known."""
        candidates = self._unrouted
        if self._route is not None:
            value = self._route(frame, body, channel)
            if type(value) is str:
                candidates = self._routes.get(value, candidates)
        for matches, message in candidates:
            if matches is None or matches(frame, body, channel):
                return message
        return None

    def is_other(self, frame: Any, body: Any, channel: Channel | None) -> bool:
        """Whether it is known not to hold quotes."""
        return any(matches(frame, body, channel) for matches in self._other)


_Candidates = tuple[tuple[Test | None, CompiledMessage], ...]


def _make_routes(messages: tuple[CompiledMessage, ...], route: str | None) -> tuple[dict[str, _Candidates], _Candidates]:
    """For each literal value of the route: what it still has to match; and what may match any other value."""
    literals = {literal for each in messages for literal in _literals(each, route)}
    routes: dict[str, _Candidates] = {}
    for literal in literals:
        routes[literal] = tuple(
            (_rest(each, route), each) if literal in _literals(each, route) else (compile_match(each.record.match), each)
            for each in messages
            if literal in _literals(each, route) or not _literals(each, route)
        )
    unrouted = tuple((compile_match(each.record.match), each) for each in messages if not _literals(each, route))
    return routes, unrouted


def _literals(message: CompiledMessage, route: str | None) -> frozenset[str]:
    """The values of the route that a message must have; none if it may have others as well."""
    pattern = None if route is None else message.record.match.get(route)
    if pattern is None or len(literals_of(pattern)) != len(set(pattern.split("|"))):
        return frozenset()
    return literals_of(pattern)


def _rest(message: CompiledMessage, route: str | None) -> Test | None:
    """What a message has to match once its route is known to fit."""
    rest = {path: pattern for path, pattern in message.record.match.items() if path != route}
    return compile_match(rest) if rest else None


def _optional(path: str | None) -> Getter | None:
    return None if path is None else compile_path(path)


def _price(value: Any) -> Any:
    return MISSING if value is MISSING else to_price(value)
