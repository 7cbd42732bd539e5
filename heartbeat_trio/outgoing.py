"""Subscriptions on their way out, at the pace that the venue allows."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio

from .events import Event, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import Connection
    from .protocol.messages import Subscribe, Unsubscribe
    from .venue import Venue


class Outgoing:
    """What one connection is to send. Of each symbol at most one wish of each kind waits: the last one counts.

    Args:
        connection: Where it goes.
        venue: Says when; None: at once.
        on_event: Told when something must wait.
    """

    def __init__(self, connection: Connection, venue: Venue | None, on_event: Callable[[Event], None]) -> None:
        self._connection = connection
        self._venue = venue
        self._on_event = on_event
        self._waiting: dict[tuple[type, str], Subscribe | Unsubscribe] = {}

    def put(self, message: Subscribe | Unsubscribe) -> None:
        """Send it as soon as that is allowed."""
        if not self._waiting and self._allowed_at() <= trio.current_time():
            self._connection.put(message)
            return
        if self._venue is not None and not self._waiting:
            now = trio.current_time()
            self._on_event(Throttled(at=now, venue=self._venue.name, kind="message", delay=self._allowed_at() - now))
        key = (type(message), message.symbol)
        self._waiting.pop(key, None)
        self._waiting[key] = message

    def next_deadline(self) -> float:
        """When `flush` can send something; `inf` if nothing waits."""
        return self._allowed_at() if self._waiting else inf

    def flush(self) -> None:
        """Send what is allowed by now."""
        while self._waiting and self._allowed_at() <= trio.current_time():
            self._connection.put(self._waiting.pop(next(iter(self._waiting))))

    def _allowed_at(self) -> float:
        return -inf if self._venue is None else self._venue.next_message(trio.current_time())
