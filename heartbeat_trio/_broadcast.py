"""Events to any number of readers: bounded, and what a slow reader loses is counted and told."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from .events import Event, EventsDropped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HISTORY = 100
"""Events that a new reader gets first."""

BACKLOG = 1024
"""Events that may wait for a slow reader."""


class EventChannel:
    """One reader's events: an async iterator. It ends when the session ends."""

    def __init__(self, history: deque[Event]) -> None:
        self._waiting: deque[Event] = deque(history)
        self._dropped = 0
        self._is_closed = False
        self._wake = trio.Event()

    def __aiter__(self) -> EventChannel:
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event; `StopAsyncIteration` when there will be none."""
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            if self._is_closed:
                raise StopAsyncIteration
            await self._wake.wait()
        return self._next()

    def take_nowait(self) -> list[Event]:
        """Everything that waits now, without waiting."""
        taken: list[Event] = []
        while self._waiting:
            taken.append(self._next())
        return taken

    def _next(self) -> Event:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            return EventsDropped(at=trio.current_time(), count=dropped)
        return self._waiting.popleft()

    def put(self, event: Event) -> None:
        """Queue an event, at the cost of the oldest one if the reader is too slow."""
        if len(self._waiting) >= BACKLOG:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(event)
        self._notify()

    def close(self) -> None:
        """No more events will come; those that wait can still be read."""
        self._is_closed = True
        self._notify()

    def _notify(self) -> None:
        self._wake.set()
        self._wake = trio.Event()


class Broadcast:
    """Hands every event to every open channel, and keeps the last ones for those who come later."""

    def __init__(self) -> None:
        self._history: deque[Event] = deque(maxlen=HISTORY)
        self._channels: set[EventChannel] = set()
        self._listeners: list[Callable[[Event], None]] = []
        self._is_closed = False

    def put(self, event: Event) -> None:
        """Hand an event to all readers. Never waits."""
        self._history.append(event)
        for channel in self._channels:
            channel.put(event)
        for call in self._listeners:
            call(event)

    def listen(self, call: Callable[[Event], None]) -> None:
        """Have every event handed over at the moment it happens, to what neither waits nor raises."""
        self._listeners.append(call)

    @contextmanager
    def subscribe(self) -> Iterator[EventChannel]:
        """Open a channel that starts with the last 100 events."""
        channel = EventChannel(self._history)
        if self._is_closed:
            channel.close()
        self._channels.add(channel)
        try:
            yield channel
        finally:
            self._channels.discard(channel)

    def close(self) -> None:
        """End all channels after what they hold."""
        self._is_closed = True
        for channel in self._channels:
            channel.close()


class Events:
    """Opens an event channel: ``async with session.events() as events``; asynchronous, so that it reads like the others."""

    def __init__(self, broadcast: Broadcast) -> None:
        self._subscription = broadcast.subscribe()

    async def __aenter__(self) -> EventChannel:
        await trio.lowlevel.checkpoint()
        return self._subscription.__enter__()

    async def __aexit__(self, *_exc: object) -> None:  # noqa: ASYNC910 - nothing to wait for, and nothing to hide an error
        self._subscription.__exit__(None, None, None)
