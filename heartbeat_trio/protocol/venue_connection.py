"""What a venue says about the connection as a whole: what its channels' ids mean, and how many messages it sent. Pure."""

from __future__ import annotations

from .venue_paths import Channel, compile_match, compile_path
from .venue_records import Announced, ConnectionSequence
from .venue_sequence import RESTARTED, SequenceCheck, SequenceGap
from .venue_values import Json, to_sequence

MAX_CHANNELS = 4096
"""Announced channels that are remembered."""

MAX_TEXT = 256
"""Characters of a channel's name and symbol together."""


class ChannelBook:
    """Remembers which channel each id stands for, on one connection."""

    def __init__(self, record: Announced) -> None:
        self._begins = compile_match(record.match)
        self._ends = compile_match(record.ended)
        self._id = compile_path(record.id)
        self._at = compile_path(record.at)
        self._channel = compile_path(record.channel)
        self._symbol = compile_path(record.symbol)
        self._channels: dict[int, Channel] = {}

    def channel_of(self, value: Json) -> Channel | None:
        """The channel that a message belongs to, if it is known."""
        at = self._at(value, value, None)
        return self._channels.get(at) if type(at) is int else None

    def receive(self, value: Json) -> None:
        """Note what a message announces; raises `ValueError` if that makes no sense."""
        if type(value) is not dict:
            return
        at = self._id(value, value, None)
        if self._begins(value, value, None):
            name, symbol = self._channel(value, value, None), self._symbol(value, value, None)
            if type(at) is not int or type(name) is not str or type(symbol) is not str or len(name) + len(symbol) > MAX_TEXT:
                raise ValueError("an announced channel has no number, no name or no symbol")
            if at not in self._channels and len(self._channels) >= MAX_CHANNELS:
                raise ValueError("too many channels were announced")
            self._channels[at] = Channel(name, symbol)
        elif type(at) is int and self._ends(value, value, None):
            self._channels.pop(at, None)


class ConnectionCounter:
    """Follows the connection's own numbers, where there are such."""

    def __init__(self, record: ConnectionSequence) -> None:
        self._enabled_by = None if record.enabled_by is None else compile_match(record.enabled_by)
        self._number = compile_path(record.path)
        self._flags = compile_path(record.flags)
        self._bit, self._without = record.bit, record.without
        self._is_enabled = record.enabled_by is None
        self._check = SequenceCheck("per_symbol_plus_one")
        self.restarts = 0

    def receive(self, value: Json) -> SequenceGap | None:
        """What is missing before a message; raises `ValueError` if no number stands where one should."""
        if self._enabled_by is not None and self._enabled_by(value, value, None):
            flags = self._flags(value, value, None)
            self._is_enabled = type(flags) is int and bool(flags & self._bit) and not flags & self._without
            return None
        number = to_sequence(self._number(value, value, None)) if self._is_enabled else None
        missing = 0 if number is None else self._check.receive("", number)
        if missing == RESTARTED:
            self.restarts += 1
        if number is None or missing <= 0:
            return None
        return SequenceGap("connection", None, number - missing, number - 1)
