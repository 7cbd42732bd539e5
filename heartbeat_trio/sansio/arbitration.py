"""Each quote once and in order, and no hole without a word: for one line. `sansio.lines` does it for several.

The numbers that were seen decide what is missing; what the server announced only gives the missing ones their reason.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ..events import Gap, GapReason, Quote

if TYPE_CHECKING:
    from collections.abc import Iterable

LOCAL = "local-"
"""How the streams begin that were numbered here, on one connection, because the venue's own numbers say nothing."""

LEFT_STREAMS = 8
"""Streams per symbol that are remembered after they were left, so that what is still on its way from them is dropped."""

ANNOUNCEMENTS = 64
"""Announcements per symbol that wait for its next quote."""


class Announcement(NamedTuple):
    """Why some numbers of a stream will not come."""

    stream: str
    first: int
    last: int
    reason: GapReason


class _Feed:
    """What is known of one symbol."""

    __slots__ = ("announced", "is_over", "is_told", "left", "seq", "stream")

    def __init__(self, stream: str, seq: int) -> None:
        self.stream = stream
        self.seq = seq
        self.is_over = False
        """The server said that it does not know this stream."""
        self.is_told = False
        """It announced something since the last quote."""
        self.left: dict[str, int] = {}
        """Streams that were left, oldest first, and the last number seen of each."""
        self.announced: deque[Announcement] = deque(maxlen=ANNOUNCEMENTS)

    def accept(self, seq: int) -> None:
        self.seq = seq
        self.is_over = self.is_told = False
        self.announced.clear()

    def enter(self, stream: str, seq: int) -> None:
        """Leave the stream for another one, of which the numbers up to `seq` are done with."""
        self.left.pop(stream, None)
        self.left[self.stream] = self.seq
        if len(self.left) > LEFT_STREAMS:
            del self.left[next(iter(self.left))]
        self.stream, self.seq = stream, seq


class FeedArbiter:
    """Takes quotes and the server's announcements; gives quotes and gaps, each gap once and before the next quote.

    A quote of a stream that was left is dropped: it was on its way for too long. The exception is a server that says that
    it does not know the present stream (`announce` without an end) and goes on in one that was left, as happens where two
    servers take turns behind one name. The gap told on leaving that stream covers what is missing from it, so it goes on
    with the first number not seen before, and no second gap.
    """

    def __init__(self) -> None:
        self._feeds: dict[str, _Feed] = {}

    def receive_quote(self, quote: Quote, now: float) -> list[Quote | Gap]:
        """Returns the quote, after the gaps before it; [] for a duplicate, and for a stream that was left."""
        feed = self._feeds.get(quote.symbol)
        if feed is None:
            self._feeds[quote.symbol] = _Feed(quote.stream, quote.seq)
            return [quote]
        told: list[Quote | Gap] = []
        if quote.stream != feed.stream:
            told = self._change_stream(feed, quote, now)
            if not told:
                return []
        elif quote.seq <= feed.seq:
            return []
        told += self._holes(feed, quote, now)
        feed.accept(quote.seq)
        told.append(quote)
        return told

    def receive_quotes(self, quotes: Iterable[Quote], now: float, fresh: list[Quote]) -> list[Gap]:
        """Like `receive_quote` for each; appends the quotes to `fresh`, and returns the gaps."""
        gaps: list[Gap] = []
        feeds = self._feeds
        for quote in quotes:  # this runs for every quote, so the one that follows the last comes first
            feed = feeds.get(quote.symbol)
            if feed is not None and quote.seq == feed.seq + 1 and quote.stream == feed.stream and not feed.is_told:
                feed.seq += 1
                fresh.append(quote)
                continue
            for each in self.receive_quote(quote, now):
                if isinstance(each, Gap):
                    gaps.append(each)
                else:
                    fresh.append(each)
        return gaps

    def announce(self, symbol: str, stream: str, first: int, last: int | None, *, is_resume: bool, now: float) -> None:  # noqa: ARG002
        """The server says that quotes will not come.

        Args:
            symbol: Whose.
            stream: Of which numbering.
            first: From this number on.
            last: To this one; None: the server does not know the stream, and its next quote will be of another one.
            is_resume: In answer to a resume (`expired`: no longer held), else `conflated`: dropped for us while live.
            now: Trio time.
        """
        feed = self._feeds.get(symbol)
        if feed is None:
            return
        feed.is_told = True
        if last is None:
            feed.is_over = feed.is_over or stream == feed.stream
        elif stream != feed.stream or last > feed.seq:  # old news must not push out what is still needed
            feed.announced.append(Announcement(stream, first, last, "expired" if is_resume else "conflated"))

    def position(self, symbol: str) -> tuple[str, int] | None:
        """Stream and number of the last quote: where to resume. None before the first."""
        feed = self._feeds.get(symbol)
        return None if feed is None else (feed.stream, feed.seq)

    def advance(self, symbol: str, stream: str, seq: int) -> None:
        """Everything up to this number is done with, whoever brought it: the next quote wanted is the one after it.

        Another stream than the present one, or a number that was passed, changes nothing.
        """
        feed = self._feeds.get(symbol)
        if feed is None:
            self._feeds[symbol] = _Feed(stream, seq)
        elif stream == feed.stream and seq > feed.seq:
            feed.accept(seq)

    def forget(self, symbol: str) -> None:
        """Nobody wants the symbol any more: its next quote is a first one."""
        self._feeds.pop(symbol, None)

    def _change_stream(self, feed: _Feed, quote: Quote, now: float) -> list[Quote | Gap]:
        """The old numbering is over, and nobody knows how far it went; [] if the quote is a late one of a stream before."""
        done = 0
        if quote.stream in feed.left:
            if not feed.is_over or quote.seq <= feed.left[quote.stream]:
                return []
            done = quote.seq - 1
        gap = leaving(feed.stream, feed.seq, quote, now)
        feed.enter(quote.stream, done)
        return [gap]

    @staticmethod
    def _holes(feed: _Feed, quote: Quote, now: float) -> list[Gap]:
        """Gaps for the numbers between the last quote and this one."""
        return gaps_between(feed.announced, quote.symbol, feed.stream, feed.seq + 1, quote.seq - 1, now)


def leaving(stream: str, seq: int, quote: Quote, now: float) -> Gap:
    """The gap that tells that a stream is left for a quote's, and that nobody knows how far it went.

    From one numbering of our own to the next is no change of the venue's: the connection was another one.
    """
    reason: GapReason = "reconnected" if stream.startswith(LOCAL) and quote.stream.startswith(LOCAL) else "stream_changed"
    return Gap(at=now, symbol=quote.symbol, stream=stream, first=seq + 1, last=None, reason=reason)


def gaps_between(announced: Iterable[Announcement], symbol: str, stream: str, first: int, end: int, now: float) -> list[Gap]:
    """Gaps that cover the numbers from `first` to `end`, split where the reason changes; [] if that is no number."""
    here = [each for each in announced if each.stream == stream]
    gaps: list[Gap] = []
    while first <= end:
        last, reason = _reason(here, first, end)
        gaps.append(Gap(at=now, symbol=symbol, stream=stream, first=first, last=last, reason=reason))
        first = last + 1
    return gaps


def _reason(here: list[Announcement], first: int, end: int) -> tuple[int, GapReason]:
    """How far, from `first` on, one reason holds, and which it is."""
    for each in here:
        if each.first <= first <= each.last:
            return min(each.last, end), each.reason
    begins = [each.first for each in here if first < each.first <= min(each.last, end)]
    return min(begins, default=end + 1) - 1, "unexplained"
