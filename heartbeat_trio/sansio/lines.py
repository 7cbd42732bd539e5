"""One feed from several lines: the first copy of each quote wins, each once and in order, and no hole without a word.

A *line* is one way on which the same feed comes; each may be lost, resume, fall behind, or lack quotes by itself. Numbers
that one line lacks are waited for on the others, for `RedundantPolicy.wait` seconds at most; when every line has passed
them, or the time is over, one gap tells of them.

When lines bring different streams (a server was restarted, or they number by themselves), the feed stays with its stream
as long as a line goes on in it, and leaves it when all lines have, or when nothing came of it for
`RedundantPolicy.patience` seconds. Until then the last so many seconds of the other stream are kept.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from ..events import Gap, Quote
from .arbitration import ANNOUNCEMENTS, LEFT_STREAMS, Announcement, gaps_between, leaving
from .line_figures import Line, LineFigures

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..policies import RedundantPolicy

REMEMBERED = 1024
"""First copies per symbol whose time is remembered, to tell by how much the other lines lag behind."""

MAX_CONTENTS = 65_536
"""Quotes without numbers that are remembered at most, within the window."""

Told = list[Quote | Gap]


class _Held(NamedTuple):
    quote: Quote
    at: float


class _Aside:
    """What came of another stream than the feed's."""

    __slots__ = ("held", "is_overdue", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.is_overdue = False
        """The others had the time to follow."""
        self.held: dict[int, _Held] = {}

    def hold(self, held: _Held, policy: RedundantPolicy) -> None:
        """Keep a quote, and no old ones: they would be no news."""
        self.held[held.quote.seq] = held
        while len(self.held) > policy.max_held or next(iter(self.held.values())).at < held.at - policy.patience:
            del self.held[next(iter(self.held))]


class _Content:
    """The same content, as often as it came within the window: a venue may well say the same twice."""

    __slots__ = ("counts", "forgotten", "times")

    def __init__(self) -> None:
        self.times: deque[float] = deque()
        """When each that was given came ..."""
        self.forgotten = 0
        """... and how many were given before those."""
        self.counts: dict[tuple[Line, int], int] = {}
        """How often each connection of each line brought it."""

    def receive(self, line: Line, now: float) -> float | None:
        """It came once more; since when it is known, None if no other line brought it as often."""
        key = line, line.connection
        index = max(0, self.counts.get(key, 0) - self.forgotten)
        self.counts[key] = self.forgotten + index + 1
        if index < len(self.times):
            return self.times[index]
        self.times.append(now)
        return None

    def forget_first(self) -> None:
        self.times.popleft()
        self.forgotten += 1
        # What never changes is never forgotten as a whole; connections that are gone must not stay with it.
        self.counts = {key: count for key, count in self.counts.items() if count > self.forgotten}


class _Feed:
    """What is known of one symbol: everything up to `seq` of `stream` is done with."""

    __slots__ = ("announced", "aside", "edge", "first_at", "held", "last_at", "left", "seq", "stream", "symbol")

    def __init__(self, symbol: str, stream: str, seq: int, now: float) -> None:
        self.symbol = symbol
        self.stream = stream
        self.seq = seq
        self.last_at = now
        self.held: dict[int, _Held] = {}
        """Quotes behind a hole, in the order of their arrival."""
        self.edge: float = inf
        """The smallest number of them."""
        self.aside: dict[str, _Aside] = {}
        self.left: dict[str, int] = {}
        self.announced: deque[Announcement] = deque(maxlen=ANNOUNCEMENTS)
        self.first_at: dict[int, float] = {}
        """When the first copy of each of the last numbers came."""

    def hold(self, seq: int, held: _Held) -> None:
        self.held[seq] = held
        self.edge = min(self.edge, seq)
        self.first_at[seq] = held.at
        if len(self.first_at) > REMEMBERED:
            del self.first_at[next(iter(self.first_at))]

    def drain(self, told: Told, now: float) -> None:
        """Give what has no hole before it."""
        if self.edge != self.seq + 1:
            return
        while (held := self.held.pop(self.seq + 1, None)) is not None:
            self.seq += 1
            told.append(held.quote)
        self.edge = min(self.held, default=inf)
        self.last_at = now
        if self.announced:  # old news must not push out what is still needed
            useful = [each for each in self.announced if each.stream != self.stream or each.last > self.seq]
            self.announced = deque(useful, maxlen=ANNOUNCEMENTS)

    def enter(self, stream: str, now: float) -> Gap:
        """Leave the stream for one that was held aside."""
        gap = Gap(at=now, symbol=self.symbol, stream=self.stream, first=self.seq + 1, last=None, reason="stream_changed")
        held = self.aside.pop(stream).held
        # Where the feed comes back to a stream, the gap that told of leaving it covers what is missing from it.
        done = min(held) - 1 if self.left.pop(stream, None) is not None else 0
        self.left[self.stream] = self.seq
        if len(self.left) > LEFT_STREAMS:
            del self.left[next(iter(self.left))]
        self.stream, self.seq, self.last_at = stream, done, now
        self.first_at.clear()
        for seq, each in held.items():
            self.hold(seq, each)
        return gap

    def deadline(self, policy: RedundantPolicy) -> float:
        """When the waiting is over; `inf` if nothing waits."""
        if self.held:
            return next(iter(self.held.values())).at + policy.wait
        silent_at = self.last_at + policy.patience
        return min((silent_at if each.is_overdue else each.since + policy.wait for each in self.aside.values()), default=inf)


class LineArbiter:
    """Merges lines that are added and removed at any time. See the module's docstring.

    Whoever drives it calls `handle_timer` at `next_deadline`.

    Args:
        policy: How long to wait.
        is_sequenced: Whether a quote's `stream` and `seq` are its venue's. Where they are not, copies are known by their
            content (symbol, prices and venue's time) within `RedundantPolicy.window` seconds, what comes first is given
            first, and holes cannot be seen. What one connection brings twice are two quotes, and come twice. Only that no
            line was up for a while is known: then one gap tells it of each symbol, before its next quote.
    """

    def __init__(self, policy: RedundantPolicy, *, is_sequenced: Callable[[Quote], bool] = lambda _quote: True) -> None:
        self._policy = policy
        self._is_sequenced = is_sequenced
        self._lines: dict[str, Line] = {}
        self._feeds: dict[str, _Feed] = {}
        self._waiting: dict[str, None] = {}
        self._contents: dict[object, _Content] = {}
        self._times: deque[tuple[float, object]] = deque()
        """When each of them was given, in that order."""
        self._outages = 0
        """How often the last line that was up was lost."""
        self._last: dict[str, tuple[Quote, int]] = {}
        """The last quote of each symbol whose numbers are not its venue's, and how many outages there had been."""
        self._given = 0

    # -- lines ---------------------------------------------------------------------------------------------------------

    def add_line(self, name: str) -> None:
        """A line joins."""
        self._lines[name] = Line(self._given)

    def remove_line(self, name: str, now: float) -> Told:
        """A line leaves: nobody waits for it any more."""
        del self._lines[name]
        return self.handle_timer(now)

    def line_up(self, name: str) -> None:
        """A line has a connection, a new one."""
        line = self._lines[name]
        line.is_up = True
        line.connection += 1

    def line_down(self, name: str) -> None:
        """A line has lost its connection; it may come back and bring what it owes."""
        line = self._lines[name]
        if line.is_up and not any(each.is_up for each in self._lines.values() if each is not line):
            self._outages += 1
        line.is_up = False

    def figures(self, name: str) -> LineFigures:
        """How good a line has been."""
        return self._lines[name].figures(self._given)

    def is_aside(self, name: str) -> bool:
        """Whether a line brings a symbol in another stream than the feed's, so that it is of no use for it."""
        places = self._lines[name].places
        return any(place.stream != feed.stream for symbol, place in places.items() if (feed := self._feeds.get(symbol)))

    # -- what comes ----------------------------------------------------------------------------------------------------

    def receive(self, name: str, quote: Quote, now: float) -> Told:
        """A quote came on a line; what can be given now is returned, gaps before the quotes behind them."""
        line = self._lines[name]
        line.received += 1
        if not self._is_sequenced(quote):
            return self._receive_content(line, quote, now)
        line.move(quote)
        feed = self._feeds.get(quote.symbol)
        if feed is None:
            feed = self._feeds[quote.symbol] = _Feed(quote.symbol, quote.stream, quote.seq - 1, now)
        if quote.stream == feed.stream:
            self._receive_here(feed, line, quote, now)
        else:
            self._receive_aside(feed, line, quote, now)
        return self._advance(feed, now)

    def announce(self, gap: Gap) -> None:
        """A line says that it will not bring these quotes; if nobody does, that is the reason."""
        feed = self._feeds.get(gap.symbol)
        if feed is None or gap.last is None or gap.reason == "unexplained":
            return
        if gap.stream != feed.stream or gap.last > feed.seq:
            feed.announced.append(Announcement(gap.stream, gap.first, gap.last, gap.reason))

    def position(self, symbol: str) -> tuple[str, int] | None:
        """Stream and number up to which everything is done with: where a line may resume. None before the first quote."""
        feed = self._feeds.get(symbol)
        return None if feed is None else (feed.stream, feed.seq)

    @property
    def positions(self) -> dict[str, tuple[str, int]]:
        """`position` of every symbol."""
        return {symbol: (feed.stream, feed.seq) for symbol, feed in self._feeds.items()}

    def forget(self, symbol: str) -> None:
        """Nobody wants the symbol any more: its next quote is a first one."""
        self._feeds.pop(symbol, None)
        self._waiting.pop(symbol, None)
        self._last.pop(symbol, None)
        for line in self._lines.values():
            line.places.pop(symbol, None)

    def next_deadline(self) -> float:
        """When some waiting is over; `inf` if nothing waits."""
        return min((self._feeds[symbol].deadline(self._policy) for symbol in self._waiting), default=inf)

    def handle_timer(self, now: float) -> Told:
        """End the waiting that is over; [] if called too early."""
        told: Told = []
        for symbol in list(self._waiting):
            told += self._advance(self._feeds[symbol], now)
        return told

    # -- decisions -----------------------------------------------------------------------------------------------------

    def _receive_content(self, line: Line, quote: Quote, now: float) -> Told:
        line.by = "content"
        self._forget_contents(now)
        content = (quote.symbol, quote.bid, quote.ask, quote.last, quote.ts)
        first_at = self._contents.setdefault(content, _Content()).receive(line, now)
        if first_at is not None:
            line.copy(now - first_at)
            return []
        self._times.append((now, content))
        self._count_win(line)
        last, outages = self._last.get(quote.symbol, (quote, self._outages))
        self._last[quote.symbol] = quote, self._outages
        return [quote] if outages == self._outages else [leaving(last.stream, last.seq, quote, now), quote]

    def _forget_contents(self, now: float) -> None:
        """Forget what is too old, or too much."""
        times, contents = self._times, self._contents
        while times and (now - times[0][0] > self._policy.window or len(times) > MAX_CONTENTS):
            content = times.popleft()[1]
            contents[content].forget_first()
            if not contents[content].times:
                del contents[content]

    def _receive_here(self, feed: _Feed, line: Line, quote: Quote, now: float) -> None:
        if quote.seq > feed.seq and quote.seq not in feed.held:
            self._count_win(line)
            feed.hold(quote.seq, _Held(quote, now))
        elif quote.seq in feed.first_at:
            line.copy(now - feed.first_at[quote.seq])

    def _receive_aside(self, feed: _Feed, line: Line, quote: Quote, now: float) -> None:
        if quote.seq <= feed.left.get(quote.stream, 0):
            return
        aside = feed.aside.get(quote.stream)
        if aside is None:
            aside = feed.aside[quote.stream] = _Aside(now)
        if quote.seq not in aside.held:
            aside.hold(_Held(quote, now), self._policy)
            line.aside += 1

    def _clear_asides(self, feed: _Feed) -> None:
        """Drop the streams that no line is in any more: so there are never more than lines."""
        followed = {place.stream for line in self._lines.values() if (place := line.places.get(feed.symbol))}
        for stream in [stream for stream in feed.aside if stream not in followed]:
            del feed.aside[stream]

    def _count_win(self, line: Line) -> None:
        line.won += 1
        self._given += 1

    def _advance(self, feed: _Feed, now: float) -> Told:
        """Give everything that need not wait."""
        told: Told = []
        while True:
            feed.drain(told, now)
            if feed.held:
                if not self._is_lost(feed, now):
                    break
                end = min(feed.held) - 1
                told += gaps_between(feed.announced, feed.symbol, feed.stream, feed.seq + 1, end, now)
                feed.seq = end
            elif not self._leave(feed, told, now):
                break
        if feed.held or feed.aside:
            self._waiting[feed.symbol] = None
        else:
            self._waiting.pop(feed.symbol, None)
        return told

    def _is_lost(self, feed: _Feed, now: float) -> bool:
        """Whether nobody will bring what is missing before the first quote held."""
        if now >= feed.deadline(self._policy) or len(feed.held) > self._policy.max_held:
            return True
        return all(_has_passed(line, feed) for line in self._lines.values())

    def _leave(self, feed: _Feed, told: Told, now: float) -> bool:
        """Leave the stream if that is due, for the one that came first."""
        if feed.aside:
            self._clear_asides(feed)
        for stream, aside in feed.aside.items():
            aside.is_overdue = aside.is_overdue or now >= aside.since + self._policy.wait
            if self._may_leave(feed, aside, now):
                told.append(feed.enter(stream, now))
                return True
        return False

    def _may_leave(self, feed: _Feed, aside: _Aside, now: float) -> bool:
        if all(_has_left(line, feed) for line in self._lines.values()):
            return True
        if not aside.is_overdue:
            return False
        is_followed = any(line.is_following(feed.symbol, feed.stream) for line in self._lines.values())
        return not is_followed or now >= feed.last_at + self._policy.patience


def _has_passed(line: Line, feed: _Feed) -> bool:
    """Whether a line that keeps its order will not bring the numbers before the first quote held."""
    place = line.places.get(feed.symbol)
    if place is not None and place.stream == feed.stream:
        return place.seq >= feed.edge
    return _has_left(line, feed)


def _has_left(line: Line, feed: _Feed) -> bool:
    """Whether a line has gone on to another stream, and not one that the feed has left: then it is only behind."""
    place = line.places.get(feed.symbol)
    return place is not None and place.stream != feed.stream and place.stream not in feed.left
