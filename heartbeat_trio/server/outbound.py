"""What a client that is not in step with others has been sent, and what it gets next. Pure.

A client needs no queue of its own: the ring of each symbol holds the quotes, and a cursor says how far the client is. So a
thousand slow clients cost a thousand cursors. What a policy skips is announced in place, before the symbol's next quote.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from ..protocol.messages import GapNotice

if TYPE_CHECKING:
    from ..config import Overflow
    from .feed import Entry, SymbolFeed

BURST = 200
"""Quotes that are put into the output buffer at once at most; of the longest they fill 60 KiB."""

TURN = 100
"""Quotes that one symbol may send before the next symbol's turn."""


class Subscription:
    """How far one client is with one symbol.

    Args:
        feed: The symbol.
        cursor: The next number to send.
    """

    __slots__ = ("cursor", "feed", "replay_until")

    def __init__(self, feed: SymbolFeed, cursor: int) -> None:
        self.feed = feed
        self.cursor = cursor
        self.replay_until = feed.newest
        """Up to here it is a replay, which is never conflated."""

    @property
    def pending(self) -> int:
        """Quotes that exist and were not sent."""
        return self.feed.newest - self.cursor + 1

    @property
    def pending_live(self) -> int:
        """Those of them that are no replay."""
        return self.feed.newest - max(self.cursor - 1, self.replay_until)


class Outbound:
    """All subscriptions of one client, and the order in which the waiting ones are served.

    Args:
        policy: `conflate`, `drop_oldest` or `close`; it applies to what waits because the socket is full.
        size: Quotes of a symbol that may wait under `drop_oldest`, and of all symbols under `close`.
    """

    def __init__(self, policy: Overflow, size: int) -> None:
        self._policy = policy
        self._size = size
        self._subscriptions: dict[str, Subscription] = {}
        self._waiting: OrderedDict[str, Subscription] = OrderedDict()
        self.skipped = 0
        """Quotes that were skipped for this client."""

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._subscriptions

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is subscribed."""
        return tuple(self._subscriptions)

    @property
    def is_waiting(self) -> bool:
        """Whether anything waits to be taken."""
        return bool(self._waiting)

    @property
    def is_overfull(self) -> bool:
        """Whether so much waits that the policy `close` ends the client."""
        return self._policy == "close" and sum(each.pending_live for each in self._waiting.values()) > self._size

    def subscribe(self, feed: SymbolFeed, cursor: int) -> None:
        """Add a symbol; what is held from the cursor on waits to be taken."""
        subscription = self._subscriptions[feed.symbol] = Subscription(feed, cursor)
        if subscription.pending > 0:
            self._waiting[feed.symbol] = subscription

    def unsubscribe(self, symbol: str) -> None:
        """Remove a symbol."""
        self._subscriptions.pop(symbol, None)
        self._waiting.pop(symbol, None)

    def go_on(self, unsent: list[Entry]) -> None:
        """Keep account again: everything has been sent meanwhile but these, which will be offered."""
        for subscription in self._subscriptions.values():
            subscription.cursor = subscription.feed.newest + 1
        for entry in reversed(unsent):
            self._subscriptions[entry.quote.symbol].cursor = entry.quote.seq

    def offer(self, entry: Entry, *, is_full: bool) -> bool:
        """A new quote: True if it is to be sent right now, else it waits (or is skipped later, by policy)."""
        quote = entry.quote
        subscription = self._subscriptions.get(quote.symbol)
        if subscription is None or subscription.cursor > quote.seq:
            return False  # offered late: nobody wants it any more, or it was taken from the ring
        if not is_full and not self._waiting and subscription.cursor == quote.seq:
            subscription.cursor += 1
            return True
        if subscription.cursor <= subscription.replay_until and self._policy != "close":
            subscription.replay_until = quote.seq  # it waits in the ring, behind the replay
        self._waiting.setdefault(quote.symbol, subscription)
        return False

    def take(self, limit: int) -> list[GapNotice | Entry]:
        """The next things to send, at most about `limit`: the socket has room again."""
        taken: list[GapNotice | Entry] = []
        while self._waiting and len(taken) < limit:
            symbol, subscription = self._waiting.popitem(last=False)
            taken += self._take_turn(subscription, min(TURN, limit - len(taken)))
            if subscription.pending > 0:
                self._waiting[symbol] = subscription
        return taken

    def _take_turn(self, subscription: Subscription, limit: int) -> list[GapNotice | Entry]:
        taken: list[GapNotice | Entry] = []
        start = self._skip_to(subscription)
        if start > subscription.cursor:
            self.skipped += start - subscription.cursor
            feed = subscription.feed
            taken.append(GapNotice(feed.symbol, feed.stream, subscription.cursor, start - 1))
            subscription.cursor = start
        end = min(subscription.feed.newest, subscription.cursor + limit - 1)
        taken += [subscription.feed.entry(seq) for seq in range(subscription.cursor, end + 1)]
        subscription.cursor = end + 1
        return taken

    def _skip_to(self, subscription: Subscription) -> int:
        """The first number to send: nothing that is no longer held, and what the policy leaves of the rest."""
        feed, cursor = subscription.feed, subscription.cursor
        if cursor <= subscription.replay_until or self._policy == "close":
            return max(cursor, feed.oldest)
        keep = 1 if self._policy == "conflate" else self._size
        return max(cursor, feed.oldest, feed.newest - keep + 1)
