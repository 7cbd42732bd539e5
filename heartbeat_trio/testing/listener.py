"""Listening on a virtual host."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

import trio

from ..transports.abc import ByteStream
from ._conditions import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._conditions import Condition
    from .streams import VirtualStream

BACKLOG = 4096
"""Connections that a kernel completes ahead of `accept` (Linux's net.core.somaxconn). A full backlog takes no more."""


class VirtualListener(trio.abc.Listener[ByteStream]):
    """Accepts the connections to one port of a virtual host; made by `VirtualNetwork.listen`.

    Args:
        host: The host's name.
        port: The port.
        condition: The host's condition: a frozen process accepts nothing.
        backlog: Connections that wait to be accepted.
        on_close: Called once, when the listener is closed.

    Attributes:
        host: The host's name.
        port: The port.
        address: "host:port".
    """

    def __init__(
        self, host: str, port: int, condition: Condition, *, backlog: int, on_close: Callable[[VirtualListener], None]
    ) -> None:
        self.host = host
        self.port = port
        self.address = f"{host}:{port}"
        self._condition = condition
        self._limit = backlog
        self._on_close = on_close
        self._backlog: deque[tuple[float, VirtualStream]] = deque()
        self._alarm = Alarm()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<VirtualListener {self.address}{', closed' if self._is_closed else ''}>"

    async def accept(self) -> ByteStream:
        """Wait for a connection.

        Raises:
            trio.ClosedResourceError: The listener was closed, perhaps just now by another task.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        stream = self._accept_nowait()
        if stream is not None:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return stream
        while stream is None:
            await self._alarm.sleep_until(self._acceptable_at())
            stream = self._accept_nowait()
        return stream

    async def aclose(self) -> None:
        """Stop listening: connections that nobody accepted are reset, accepted ones go on. Safe to repeat."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """`aclose` without the checkpoint, for cleaning up in synchronous code."""
        if self._is_closed:
            return
        self._is_closed = True
        self._on_close(self)
        while self._backlog:
            _, stream = self._backlog.popleft()
            stream.break_off(politely=False)
            stream.close()
        self.refresh()

    # For the network

    @property
    def is_full(self) -> bool:
        """Whether the backlog takes no more connections."""
        return len(self._backlog) >= self._limit

    def enqueue(self, stream: VirtualStream, due: float) -> None:
        """The kernel has completed a connection; `accept` returns it from `due` on."""
        self._backlog.append((due, stream))
        self._alarm.ring(due)

    def refresh(self) -> None:
        """Something has changed: let those who accept look again."""
        self._alarm.ring(trio.current_time())

    def _acceptable_at(self) -> float:
        return inf if self._condition.is_frozen or not self._backlog else self._backlog[0][0]

    def _accept_nowait(self) -> VirtualStream | None:
        if self._is_closed:
            raise trio.ClosedResourceError(f"{self!r} was closed")
        if self._acceptable_at() > trio.current_time():
            return None
        return self._backlog.popleft()[1]
