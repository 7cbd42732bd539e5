"""Each quote once and in order, and no hole without a word: for one line so far.

The numbers that were seen decide what is missing; what the server announced only gives the missing ones their reason.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ..events import Gap, GapReason, Quote

LEFT_STREAMS = 8
"""Streams per symbol that are remembered after they were left, so that what is still on its way from them is dropped."""

ANNOUNCEMENTS = 64
"""Announcements per symbol that wait for its next quote."""


class _Announcement(NamedTuple):
    stream: str
    first: int
    last: int
    reason: GapReason


class _Feed:
    """What is known of one symbol."""

    __slots__ = ("announced", "left", "seq", "stream")

    def __init__(self) -> None:
        self.stream: str | None = None
        self.seq = 0
        self.left: deque[str] = deque(maxlen=LEFT_STREAMS)
        self.announced: deque[_Announcement] = deque(maxlen=ANNOUNCEMENTS)


class FeedArbiter:
    """Takes quotes and the server's announcements; gives quotes and gaps, each gap once and before the next quote."""

    def __init__(self) -> None:
        self._feeds: dict[str, _Feed] = {}

    def receive_quote(self, quote: Quote, now: float) -> list[Quote | Gap]:
        """Returns the quote, after the gaps before it; [] for a duplicate, and for a stream that was left."""
        feed = self._feeds.setdefault(quote.symbol, _Feed())
        if feed.stream is None:
            feed.stream, feed.seq = quote.stream, quote.seq
            feed.announced.clear()
            return [quote]
        gaps: list[Quote | Gap] = []
        if quote.stream != feed.stream:
            if quote.stream in feed.left:
                return []
            gaps.append(self._leave(feed, quote, now))
        if quote.seq <= feed.seq:
            return []
        gaps += self._holes(feed, quote, now)
        feed.seq = quote.seq
        feed.announced.clear()
        return [*gaps, quote]

    def announce(self, symbol: str, stream: str, first: int, last: int | None, *, is_resume: bool, now: float) -> None:  # noqa: ARG002
        """The server says that quotes will not come.

        Args:
            symbol: Whose.
            stream: Of which numbering.
            first: From this number on.
            last: To this one; None: the stream has ended, which the next quote's stream shows anyway.
            is_resume: In answer to a resume (`expired`: no longer held), else `conflated`: dropped for us while live.
            now: Trio time.
        """
        feed = self._feeds.get(symbol)
        if feed is not None and feed.stream is not None and last is not None:
            feed.announced.append(_Announcement(stream, first, last, "expired" if is_resume else "conflated"))

    def position(self, symbol: str) -> tuple[str, int] | None:
        """Stream and number of the last quote: where to resume. None before the first."""
        feed = self._feeds.get(symbol)
        return None if feed is None or feed.stream is None else (feed.stream, feed.seq)

    def forget(self, symbol: str) -> None:
        """Nobody wants the symbol any more: its next quote is a first one."""
        self._feeds.pop(symbol, None)

    def _leave(self, feed: _Feed, quote: Quote, now: float) -> Gap:
        """The server has a new numbering: the old one is over, and nobody knows how far it went."""
        assert feed.stream is not None  # noqa: S101 - the caller has seen it
        gap = Gap(at=now, symbol=quote.symbol, stream=feed.stream, first=feed.seq + 1, last=None, reason="stream_changed")
        feed.left.append(feed.stream)
        feed.stream, feed.seq = quote.stream, 0
        return gap

    def _holes(self, feed: _Feed, quote: Quote, now: float) -> list[Gap]:
        """Gaps for the numbers between the last quote and this one, split where the reason changes."""
        gaps: list[Gap] = []
        next_missing, end = feed.seq + 1, quote.seq - 1
        while next_missing <= end:
            last, reason = self._reason(feed, quote.stream, next_missing, end)
            gaps.append(Gap(at=now, symbol=quote.symbol, stream=quote.stream, first=next_missing, last=last, reason=reason))
            next_missing = last + 1
        return gaps

    @staticmethod
    def _reason(feed: _Feed, stream: str, first: int, end: int) -> tuple[int, GapReason]:
        """How far, from `first` on, one reason holds, and which it is."""
        here = [each for each in feed.announced if each.stream == stream]
        for each in here:
            if each.first <= first <= each.last:
                return min(each.last, end), each.reason
        begins = [each.first for each in here if first < each.first <= min(each.last, end)]
        return min(begins, default=end + 1) - 1, "unexplained"
