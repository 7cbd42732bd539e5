"""What a venue's own sequence numbers tell: what is new, what was seen before, and what is missing. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

SequenceRule = Literal["per_symbol_plus_one", "monotonic", "none"]
"""`per_symbol_plus_one`: the next one of a symbol is one more, and a hole is a loss. `monotonic`: greater means newer, and
holes mean nothing. `none`: the numbers, if there are any, tell nothing."""

OLD = -1
"""A number that was passed already: a duplicate, or too late."""

RESTARTED = -2
"""The venue began to count anew: what went before cannot be compared with it."""

MAX_HOLE = 1_000_000
"""A jump by more than this is no loss but another numbering."""

RESTART_AFTER = 32
"""After so many older numbers in a row the venue must have begun anew; without this, one absurdly high number, or a
restarted matching engine, would silence a symbol for good."""

MAX_KEYS = 65_536
"""Symbols that are remembered; numbers of others are not checked."""


class SequenceGap(msgspec.Struct, frozen=True):
    """The venue's numbers ``first`` to ``last`` did not come.

    Args:
        message: Name of the messages that carry the numbers; `connection`: all of the connection's.
        symbol: Whose; None for the connection's own numbers, of which nobody knows whose are missing.
        first: The first missing number.
        last: The last missing number.
    """

    message: str
    symbol: str | None
    first: int
    last: int


class SequenceCheck:
    """Compares each number with the last one of its symbol.

    Args:
        rule: What the numbers mean.
        repeats: Whether several different messages may carry the same number.
        restart: The number with which the venue says that it began anew.
    """

    __slots__ = ("_last", "_olds", "_repeats", "_restart", "_rule")

    def __init__(self, rule: SequenceRule, *, repeats: bool = False, restart: int | None = None) -> None:
        self._rule = rule
        self._repeats = repeats
        self._restart = restart
        self._last: dict[str, int] = {}
        self._olds: dict[str, int] = {}

    def receive(self, symbol: str, number: int) -> int:
        """How many are missing before this number (always 0 for `monotonic`), or `OLD`, or `RESTARTED`."""
        if self._rule == "none":
            return 0
        last = self._last.get(symbol)
        if last is None:
            if len(self._last) < MAX_KEYS:
                self._last[symbol] = number
            return 0
        if number > last:
            self._last[symbol] = number
            self._olds.pop(symbol, None)
            missing = number - last - 1 if self._rule == "per_symbol_plus_one" else 0
            return missing if missing <= MAX_HOLE else RESTARTED
        if number == last:  # however often: a venue may repeat its last state while nothing happens
            return 0 if self._repeats else OLD
        return self._receive_older(symbol, number)

    def _receive_older(self, symbol: str, number: int) -> int:
        olds = self._olds.get(symbol, 0) + 1
        if number == self._restart or olds >= RESTART_AFTER:
            self._last[symbol] = number
            self._olds.pop(symbol, None)
            return RESTARTED
        self._olds[symbol] = olds
        return OLD
