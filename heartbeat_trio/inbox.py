"""Where quotes wait for the consumer: bounded, never blocking the reader, and never losing anything in silence."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

from .events import Quote
from .exceptions import SlowConsumer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .config import InboxPolicy
    from .protocol.messages import Message


NOTHING: deque[Message] = deque()
"""An empty inbox: nothing is ever put into this one, which all of them share."""


class Inbox:
    """Messages between the reader, which never waits, and the consumer.

    Args:
        policy: Its size, and what gives way when it is full.
    """

    def __init__(self, policy: InboxPolicy) -> None:
        self.policy = policy
        self._waiting = NOTHING
        self._wake: trio.Event | None = None
        self._is_closed = False
        self.dropped = 0
        """Messages dropped so far."""
        self.unreported = 0
        """... of which no `Overrun` event has told yet."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, messages: Iterable[Message]) -> None:
        """Add messages; never waits.

        Raises:
            SlowConsumer: It is full, and the policy says `close`.
        """
        if self._waiting:
            self._waiting.extend(messages)
        else:
            self._waiting = deque(messages)
        if len(self._waiting) > self.policy.size:
            self._overflow()
        if self._waiting:
            self._notify()

    async def take(self) -> list[Message]:
        """Wait until something is there, and take all of it; [] once it is closed and empty."""
        await trio.lowlevel.checkpoint()
        while not self._waiting and not self._is_closed:
            await self._wait()
        taken, self._waiting = list(self._waiting), NOTHING
        return taken

    async def take_one(self) -> Message | None:
        """Wait for one message; None once it is closed and empty."""
        await trio.lowlevel.checkpoint()
        while not self._waiting and not self._is_closed:
            await self._wait()
        return self._waiting.popleft() if self._waiting else None

    async def next_quote(self) -> Quote:
        """Wait for the next one where only quotes are put in: what `__anext__` of a session or a feed is.

        Raises:
            StopAsyncIteration: It is closed and empty.
        """
        quote = await self.take_one()
        if quote is None:
            raise StopAsyncIteration
        assert isinstance(quote, Quote)  # noqa: S101 - nothing else is put in
        return quote

    def take_nowait(self, limit: int) -> list[Message]:
        """Take what waits, at most `limit` messages, without waiting."""
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(limit, len(waiting)))]

    def close(self) -> None:
        """Nothing will be added any more; what waits can still be taken."""
        self._is_closed = True
        self._notify()

    def _overflow(self) -> None:
        size = self.policy.size
        if self.policy.overflow == "close":
            raise SlowConsumer(
                f"{len(self._waiting)} messages wait for the consumer, {size} may: take them faster, "
                "or allow drops with InboxPolicy(overflow='drop_oldest' or 'conflate')"
            )
        before = len(self._waiting)
        if self.policy.overflow == "conflate":
            self._keep_latest()
        while len(self._waiting) > size:
            self._waiting.popleft()
        self.dropped += before - len(self._waiting)
        self.unreported += before - len(self._waiting)

    def _keep_latest(self) -> None:
        """Of each symbol keep the newest quote, in the order of arrival; messages that are no quotes stay."""
        latest: dict[object, Message] = {}
        for message in self._waiting:
            key = message.symbol if isinstance(message, Quote) else id(message)
            latest.pop(key, None)
            latest[key] = message
        self._waiting = deque(latest.values())

    def _notify(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.set()

    async def _wait(self) -> None:
        """Wait until something is put in, or it is closed."""
        if self._wake is None:
            self._wake = trio.Event()
        await self._wake.wait()
