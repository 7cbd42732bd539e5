"""Subscriptions on their way out, at the pace that the venue allows, several symbols in one message where it takes them."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio

from .events import Event, Throttled
from .protocol.messages import Subscribe, SubscribeAll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .connection import Connection
    from .protocol.messages import Message, Unsubscribe
    from .venue import Venue


class Outgoing:
    """What one connection is to send. Of each symbol at most one wish of each kind waits: the last one counts.

    Args:
        connection: Where it goes; its `pacer` says how fast, and how many symbols one message may name.
        venue: Says how fast all connections to it may send together; None: no matter.
        on_event: Told when something must wait.
    """

    def __init__(self, connection: Connection, venue: Venue | None, on_event: Callable[[Event], None]) -> None:
        self._connection = connection
        self._venue = venue
        self._on_event = on_event
        self._waiting: dict[tuple[type, str], Subscribe | Unsubscribe] = {}

    def put(self, messages: Iterable[Subscribe | Unsubscribe]) -> None:
        """Send them as soon as that is allowed."""
        had_to_wait = bool(self._waiting)
        for message in messages:
            key = (type(message), message.symbol)
            self._waiting.pop(key, None)
            self._waiting[key] = message
        self.flush()
        if self._waiting and not had_to_wait:
            now = trio.current_time()
            name = self._connection.name if self._venue is None else self._venue.name
            self._on_event(Throttled(at=now, venue=name, kind="message", delay=self._allowed_at(now) - now))

    def next_deadline(self) -> float:
        """When `flush` can send something; `inf` if nothing waits."""
        return self._allowed_at(trio.current_time()) if self._waiting else inf

    def flush(self) -> None:
        """Send what is allowed by now."""
        now = trio.current_time()
        while self._waiting and self._allowed_at(now) <= now and self._connection.pacer.try_acquire(now):
            self._connection.put(self._take())

    def _take(self) -> Message:
        """The next message; where the venue takes several symbols in one, all that wait in a row, up to its limit.

        Such a venue knows nothing of resuming.
        """
        batch = [self._waiting.pop(next(iter(self._waiting)))]
        while self._waiting and len(batch) < self._connection.pacer.batch and isinstance(batch[0], Subscribe):
            kind, symbol = next(iter(self._waiting))
            if kind is not Subscribe:
                break
            batch.append(self._waiting.pop((kind, symbol)))
        return batch[0] if len(batch) == 1 else SubscribeAll(tuple(message.symbol for message in batch))

    def _allowed_at(self, now: float) -> float:
        together = now if self._venue is None else self._venue.next_message(now)
        return max(together, self._connection.pacer.next_allowed(now))
