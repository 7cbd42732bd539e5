"""What is known of one line among several: where it is on each symbol, and how good it has been. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from .rtt import LatencyStats

if TYPE_CHECKING:
    from ..events import Quote

LAGS = 1000
"""Copies behind the percentiles of a line's lag."""

By = Literal["seq", "content"]


class LineFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One line's figures, frozen. ``lag_*`` are seconds by which its copies came behind the first ones.

    Args:
        received: Quotes that came on it.
        won: Those that were the first copy.
        win_rate: `won` as part of all first copies since the line was added, 0..1; None before any.
        lag_p50: Of the last copies that were not first; None before any.
        lag_p99: The same.
        lag_maximum: The same.
        lag_n: How many copies that rests on, at most 1000.
        holes: How many times numbers were missing on it ...
        missing: ... and how many they were.
        aside: Quotes that were dropped because they are of another stream than the feed's.
        by: `seq` if copies are known by stream and number, `content` if by what they say.
    """

    received: int
    won: int
    win_rate: float | None
    lag_p50: float | None
    lag_p99: float | None
    lag_maximum: float | None
    lag_n: int
    holes: int
    missing: int
    aside: int
    by: By


class Place:
    """How far a line has come on one symbol, and on which of its connections."""

    __slots__ = ("connection", "seq", "stream")

    def __init__(self, stream: str, seq: int, connection: int) -> None:
        self.stream = stream
        self.seq = seq
        self.connection = connection


class Line:
    """One line.

    Args:
        given: First copies of all lines before it was added.
    """

    def __init__(self, given: int) -> None:
        self.is_up = False
        self.connection = 0
        """Counts its connections."""
        self.places: dict[str, Place] = {}
        self.received = 0
        self.won = 0
        self.holes = 0
        self.missing = 0
        self.aside = 0
        self.by: By = "seq"
        self._given_before = given
        self._lag = LatencyStats(LAGS)

    def move(self, quote: Quote) -> None:
        """A quote came on it: that is where it is now. Repetitions change nothing."""
        place = self.places.get(quote.symbol)
        if place is None or place.stream != quote.stream:
            self.places[quote.symbol] = Place(quote.stream, quote.seq, self.connection)
            return
        place.connection = self.connection
        if quote.seq > place.seq:
            if quote.seq > place.seq + 1:
                self.holes += 1
                self.missing += quote.seq - place.seq - 1
            place.seq = quote.seq

    def copy(self, lag: float) -> None:
        """It brought a quote that had come `lag` seconds before."""
        self._lag.add(lag)

    def is_following(self, symbol: str, stream: str) -> bool:
        """Whether it is up, and brought the stream on its present connection."""
        place = self.places.get(symbol)
        return self.is_up and place is not None and place.stream == stream and place.connection == self.connection

    def figures(self, given: int) -> LineFigures:
        """Everything at once; `given` counts the first copies of all lines."""
        lag, since = self._lag, given - self._given_before
        return LineFigures(
            received=self.received,
            won=self.won,
            win_rate=self.won / since if since else None,
            lag_p50=lag.percentile(50),
            lag_p99=lag.percentile(99),
            lag_maximum=lag.maximum(),
            lag_n=len(lag),
            holes=self.holes,
            missing=self.missing,
            aside=self.aside,
            by=self.by,
        )
