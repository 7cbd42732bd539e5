"""From the source to everybody who wants its quotes. Never waits: a slow client delays nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .feed import SymbolFeed

if TYPE_CHECKING:
    from ..events import Quote
    from ..protocol.messages import Resume
    from .client import Client
    from .feed import Plan
    from .sources import Source


class Hub:
    """All symbols, and who is subscribed to each.

    Args:
        source: Its symbols and stream.
        ring_size: Quotes that are kept per symbol for resuming.
    """

    def __init__(self, source: Source, ring_size: int) -> None:
        self._feeds = {symbol: SymbolFeed(symbol, source.stream, ring_size) for symbol in source.symbols}
        self._subscribers: dict[str, dict[Client, None]] = {symbol: {} for symbol in source.symbols}
        self.published = 0
        """Quotes so far."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """What can be subscribed to."""
        return tuple(self._feeds)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._feeds

    def plan(self, symbol: str, resume: Resume | None) -> Plan:
        """What a new subscription gets."""
        return self._feeds[symbol].plan(resume)

    def subscribe(self, client: Client, symbol: str, cursor: int) -> None:
        """Begin to hand a symbol's quotes to a client."""
        client.outbound.subscribe(self._feeds[symbol], cursor)
        self._subscribers[symbol][client] = None

    def unsubscribe(self, client: Client, symbol: str) -> None:
        """Stop it; a symbol that was not subscribed to changes nothing."""
        client.outbound.unsubscribe(symbol)
        self._subscribers.get(symbol, {}).pop(client, None)

    def forget(self, client: Client) -> None:
        """The client is gone."""
        for symbol in client.outbound.symbols:
            self._subscribers[symbol].pop(client, None)

    def publish(self, quotes: list[Quote]) -> None:
        """Hand new quotes to their subscribers: encoded once per encoding, written once per client."""
        touched: dict[Client, None] = {}
        for quote in quotes:
            entry = self._feeds[quote.symbol].append(quote)
            for client in self._subscribers[quote.symbol]:
                client.offer(entry)
                touched[client] = None
        self.published += len(quotes)
        for client in touched:
            client.flush()
