"""From the source to everybody who wants its quotes. Never waits: a slow client delays nobody."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import trio

from .audience import Audience, Group, Single
from .feed import SymbolFeed

if TYPE_CHECKING:
    from ..events import Quote
    from ..protocol.messages import Resume
    from .client import Client
    from .feed import Plan
    from .sources import Source

SLICE = 0.002
"""Seconds after which sending makes room for other tasks: two slices and two turns may run before a task, below 5 ms."""

BACKLOG = 10_000
"""Quotes that may be published while earlier ones are still being sent. Beyond them the source has to wait."""


class Hub:
    """All symbols, and who is subscribed to each.

    Args:
        source: Its symbols and stream.
        ring_size: Quotes that are kept per symbol for resuming.
    """

    def __init__(self, source: Source, ring_size: int) -> None:
        self._feeds = {symbol: SymbolFeed(symbol, source.stream, ring_size) for symbol in source.symbols}
        self._audiences: dict[str, dict[Audience, None]] = {symbol: {} for symbol in source.symbols}
        self._places: dict[Client, Audience] = {}
        self._groups: dict[tuple[str, frozenset[str]], Group] = {}
        self._due: deque[Audience] = deque()
        self._calm: deque[Single] = deque()
        self._is_behind = trio.Event()
        self._backlog = 0
        self._delivered = 0
        self.published = 0
        """Quotes so far."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """What can be subscribed to."""
        return tuple(self._feeds)

    @property
    def delivered(self) -> int:
        """Quotes that were sent through groups: no client counts them."""
        return self._delivered + sum(group.delivered for group in self._groups.values())

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._feeds

    def plan(self, symbol: str, resume: Resume | None) -> Plan:
        """What a new subscription gets."""
        return self._feeds[symbol].plan(resume)

    # -- who gets what -----------------------------------------------------------------------------------------------

    def subscribe(self, client: Client, symbol: str, cursor: int) -> None:
        """Begin to hand a symbol's quotes to a client."""
        single = self._set_apart(client)
        client.outbound.subscribe(self._feeds[symbol], cursor)
        self._audiences[symbol][single] = None

    def unsubscribe(self, client: Client, symbol: str) -> None:
        """Stop it; a symbol that was not subscribed to changes nothing."""
        if symbol in client.outbound:
            single = self._set_apart(client)
            client.outbound.unsubscribe(symbol)
            del self._audiences[symbol][single]

    def forget(self, client: Client) -> None:
        """The client is gone."""
        if client in self._places:
            single = self._set_apart(client)
            single.fresh = []
            for symbol in client.outbound.symbols:
                del self._audiences[symbol][single]
            del self._places[client]

    def _set_apart(self, client: Client) -> Single:
        """Serve a client on its own from now on, beginning with what its group has not sent it yet."""
        place = self._places.get(client)
        if isinstance(place, Single):
            return place
        unsent = [] if place is None else place.remove(client)
        client.outbound.go_on(unsent)
        single = self._places[client] = Single(client, unsent)
        for symbol in client.outbound.symbols:
            self._audiences[symbol][single] = None
        if unsent:
            self._make_due(single)
        if place is not None and not len(place):
            self._dissolve(place)
        return single

    def _part(self, client: Client) -> None:
        """A client of a group can no longer be sent what the others are sent."""
        if isinstance(self._places.get(client), Group):
            self._set_apart(client)

    def _dissolve(self, group: Group) -> None:
        self._delivered += group.delivered
        group.delivered = 0
        group.fresh = []
        for symbol in group.symbols:
            del self._audiences[symbol][group]
        del self._groups[group.encoding, group.symbols]

    def _join(self, single: Single) -> None:
        """Put a client that is in step, if it still is, to the others of its kind. No group is in the midst of sending."""
        client = single.client
        if not client.is_in_step or self._places.get(client) is not single:
            return
        send = client.transport.lend(partial(self._part, client))
        if send is None:
            return
        key = client.transport.encoding, frozenset(client.outbound.symbols)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(*key, self._part)
            for symbol in group.symbols:
                self._audiences[symbol][group] = None
        for symbol in group.symbols:
            del self._audiences[symbol][single]
        group.add(client, send)
        self._places[client] = group

    # -- what is published -------------------------------------------------------------------------------------------

    def publish(self, quotes: list[Quote]) -> None:
        """Hand new quotes to their subscribers: encoded once per encoding, written once per client.

        What takes too long is left to `run`; who has not had these quotes then gets them later, with what came since.
        """
        for quote in quotes:
            entry = self._feeds[quote.symbol].append(quote)
            for audience in self._audiences[quote.symbol]:
                audience.fresh.append(entry)
                if not audience.is_due:
                    self._make_due(audience)
        self.published += len(quotes)
        if self._is_behind.is_set():
            self._backlog += len(quotes)
            if self._backlog > BACKLOG:
                self.finish()
            return
        self._send_slice()
        if self._due or self._calm:
            self._is_behind.set()

    async def run(self) -> None:
        """Send, slice by slice, what `publish` had no time for."""
        while True:
            await self._is_behind.wait()
            while self._due or self._calm:
                self._send_slice()
                await trio.lowlevel.checkpoint()
            self._is_behind = trio.Event()
            self._backlog = 0

    def finish(self) -> None:
        """Send all that was published, however long it takes."""
        while self._due:
            self._send_slice()
        self._backlog = 0

    def _make_due(self, audience: Audience) -> None:
        audience.is_due = True
        self._due.append(audience)

    def _send_slice(self) -> None:
        until = trio.current_time() + SLICE
        due = self._due
        while due:
            audience = due[0]
            if audience.serve():
                due.popleft()
                audience.is_due = False
                if isinstance(audience, Single) and audience.is_calm:
                    self._calm.append(audience)
            if trio.current_time() > until:
                return
        while self._calm:
            self._join(self._calm.popleft())
            if trio.current_time() > until:
                return
