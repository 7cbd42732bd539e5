"""Byte streams over virtual connections: what a socket shows its user, with faults where a real network has them."""

from __future__ import annotations

import errno
import os
from operator import index
from typing import TYPE_CHECKING, TypeAlias

import trio

from ..transports.abc import ByteStream
from ._conditions import Condition, Weather
from ._link import BUFFER, Pipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

CHUNK = 64 * 1024
"""Bytes that a read without a limit gets at most."""

Observer: TypeAlias = "Callable[[VirtualStream, str, int], None]"
"""Told of what happens to a stream: the stream, what, and how many bytes."""


class Exclusive:
    """At most one task at a time may be inside.

    Args:
        text: What to tell the second one.
    """

    __slots__ = ("_text", "is_taken")

    def __init__(self, text: str) -> None:
        self._text = text
        self.is_taken = False

    def __enter__(self) -> None:
        if self.is_taken:
            raise trio.BusyResourceError(self._text)
        self.is_taken = True

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.is_taken = False


class VirtualStream(ByteStream, trio.abc.HalfCloseableStream):
    """One end of a virtual connection, with the semantics of a `trio.SocketStream` over a Linux TCP socket.

    The end of the peer's stream is read as b"". Writing to a peer that is gone goes well until its reset has come back,
    and raises `trio.BrokenResourceError` from then on; what had arrived before can still be read. Closing with bytes unread
    resets the connection, as Linux does.

    Attributes:
        peer: The other end's address, as "host:port".
        address: This end's address.
        is_waiting: True while a task is blocked in `receive_some`.
        on_handed_over: See `ByteStream`.
        is_closed: This end was closed.
    """

    def __init__(self, outgoing: Pipe, incoming: Pipe, *, address: str, peer: str, observer: Observer | None = None) -> None:
        self.address = address
        self.peer = peer
        self.is_waiting = False
        self.is_closed = False
        self.on_handed_over: Callable[[], None] | None = None
        self._outgoing = outgoing
        self._incoming = incoming
        self._observer = observer
        self._has_ended = False
        self._has_hung_up = False
        self._receiving = Exclusive("another task is already receiving from this stream")
        self._sending = Exclusive("another task is already sending to this stream")

    def __repr__(self) -> str:
        return f"<VirtualStream {self.address} to {self.peer}{', closed' if self.is_closed else ''}>"

    def unread_bytes(self) -> int:
        """How many bytes have arrived but were not received yet."""
        return 0 if self.is_closed else self._incoming.unread(trio.current_time())

    # Receiving

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for bytes and return what has arrived, at most `max_bytes`; b"" at the end of the peer's stream.

        Raises:
            trio.BrokenResourceError: The connection was reset (its cause is a `ConnectionResetError`).
            trio.ClosedResourceError: This end was closed, perhaps just now by another task.
            trio.BusyResourceError: Another task is receiving.
        """
        limit = CHUNK if max_bytes is None else index(max_bytes)
        if limit < 1:
            raise ValueError(f"max_bytes must be at least 1, not {max_bytes}")
        with self._receiving:
            await trio.lowlevel.checkpoint_if_cancelled()
            data = self._receive_nowait(limit)
            if data is not None:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return data
            self.is_waiting = True
            try:
                while data is None:
                    await self._incoming.readable.sleep_until(self._incoming.readable_at(trio.current_time()))
                    data = self._receive_nowait(limit)
            finally:
                self.is_waiting = False
            return data

    def _receive_nowait(self, limit: int) -> bytes | None:
        if self.is_closed:
            raise trio.ClosedResourceError(f"{self!r} was closed")
        now = trio.current_time()
        data = self._incoming.take(limit, now)
        if data is None:
            self._check_reset(now)
        else:
            self._tell("receive" if data else "end", len(data))
        return data

    # Sending

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        """See `ByteStream.send_nowait`. While another task is blocked in `send_all`, nothing is accepted."""
        self._check_sendable()
        return 0 if self._sending.is_taken else self._put(data)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Wait until all bytes were accepted: 64 KiB in flight or unread at the peer, and 64 KiB in our send buffer.

        Raises:
            trio.BrokenResourceError: The peer is gone.
            trio.ClosedResourceError: This end was closed, or `send_eof` was called.
            trio.BusyResourceError: Another task is sending.
        """
        with self._sending:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._check_sendable()
            accepted = self._put(data)
            if accepted == len(data):
                self._call_handed_over()
                await trio.lowlevel.cancel_shielded_checkpoint()
                return
            view = memoryview(data)
            while accepted < len(view):
                await self._wait_room()
                accepted += self._put(view[accepted:])
            self._call_handed_over()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room for at least one byte. Raises as `send_all` does."""
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_sendable()
            while not self._outgoing.room(trio.current_time()):
                await self._wait_room()

    async def send_eof(self) -> None:
        """End our half of the connection: the peer reads b"" behind what was sent. Safe to repeat.

        Raises:
            trio.ClosedResourceError: This end was closed.
            trio.BusyResourceError: Another task is sending.
        """
        with self._sending:
            await trio.lowlevel.checkpoint()
            if self.is_closed:
                raise trio.ClosedResourceError(f"{self!r} was closed")
            if not self._has_ended:
                self._end()

    def _put(self, data: bytes | bytearray | memoryview) -> int:
        size = self._outgoing.put(data, trio.current_time())
        if size:
            self._tell("send", size)
        return size

    async def _wait_room(self) -> None:
        await self._outgoing.writable.sleep_until(min(self._outgoing.room_at(), self._incoming.reset_at))
        self._check_sendable()

    def _call_handed_over(self) -> None:
        if self.on_handed_over is not None:
            self.on_handed_over()

    def _end(self) -> None:
        self._has_ended = True
        self._outgoing.end(trio.current_time())

    def _check_sendable(self) -> None:
        if self.is_closed or self._has_ended:
            raise trio.ClosedResourceError(f"{self!r} was {'closed' if self.is_closed else 'ended with send_eof'}")
        self._check_reset(trio.current_time())

    def _check_reset(self, now: float) -> None:
        if self._incoming.is_reset(now) and not self._incoming.target.is_frozen:
            cause = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            raise trio.BrokenResourceError(f"connection to {self.peer} broken: {cause}") from cause

    # The end

    async def aclose(self) -> None:
        """Close this end: what was sent is still delivered, the peer then reads b"". Safe to repeat."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """`aclose` without the checkpoint, for cleaning up in synchronous code."""
        if self.is_closed:
            return
        self.is_closed = True
        self._tell("close", 0)
        self._wake()
        if self._outgoing.source.is_frozen:
            self._outgoing.source.at_thaw.append(self._hang_up)
        else:
            self._hang_up(trio.current_time())

    def _hang_up(self, now: float) -> None:
        if self._has_hung_up:
            return
        self._has_hung_up = True
        if self._incoming.close_reading(now):
            self._outgoing.abort(now)
        elif not self._has_ended:
            self._end()

    def _wake(self) -> None:
        now = trio.current_time()
        self._incoming.readable.ring(now)
        self._outgoing.writable.ring(now)

    def _tell(self, what: str, size: int) -> None:
        if self._observer is not None:
            self._observer(self, what, size)

    # What the network does to it

    def break_off(self, *, politely: bool) -> None:
        """Cut the connection from this end, as if its process had died: both ends are broken, or the peer reads the end.

        Args:
            politely: The peer reads b"" (as after an exit), not a reset.
        """
        if self._has_hung_up:
            return
        self._has_hung_up = True
        now = trio.current_time()
        self._tell("hang up" if politely else "reset", 0)
        self._incoming.close_reading(now)
        self._incoming.reset(now)
        if not politely:
            self._outgoing.abort(now)
        elif not self._has_ended:
            self._outgoing.exit(now)

    def touches(self, condition: Condition) -> bool:
        """Whether one of the two ends is on the host with this condition."""
        return condition in (self._outgoing.source, self._outgoing.target)

    def is_on(self, condition: Condition) -> bool:
        """Whether this end is on the host with this condition."""
        return condition is self._outgoing.source

    def refresh(self) -> None:
        """The condition of a host has changed: lose or repeat what is under way, and let those who wait look again."""
        now = trio.current_time()
        for pipe in (self._outgoing, self._incoming):
            pipe.lose(now)
            pipe.retransmit(now)
        self._wake()


def connect_hosts(
    here: Condition,
    there: Condition,
    address: str,
    peer: str,
    *,
    observer: Observer | None = None,
    send_buffer: int = BUFFER,
    receive_buffer: int = BUFFER,
) -> tuple[VirtualStream, VirtualStream]:
    """Make the two ends of a connection: ours at `address`, theirs at `peer`."""
    out = Pipe(here, there, f"{address}>{peer}", send_buffer=send_buffer, receive_buffer=receive_buffer)
    back = Pipe(there, here, f"{peer}>{address}", send_buffer=send_buffer, receive_buffer=receive_buffer)
    out.reverse, back.reverse = back, out
    return (
        VirtualStream(out, back, address=address, peer=peer, observer=observer),
        VirtualStream(back, out, address=peer, peer=address, observer=observer),
    )


def open_virtual_pair(
    *,
    latency: float = 0.0,
    jitter: float = 0.0,
    seed: int | str = 0,
    send_buffer: int = BUFFER,
    receive_buffer: int = BUFFER,
) -> tuple[VirtualStream, VirtualStream]:
    """Make two connected byte streams without a network: for unit tests of what speaks over a stream.

    Args:
        latency: Seconds one way.
        jitter: Up to this many seconds more, for each chunk by itself; the order is kept.
        seed: Of the jitter.
        send_buffer: Bytes that a sender's kernel takes beyond the receive window.
        receive_buffer: Bytes that may be in flight or unread.
    """
    weather = Weather(latency=latency, jitter=jitter, seed=seed)
    return connect_hosts(
        Condition(weather), Condition(weather), "left:1", "right:1", send_buffer=send_buffer, receive_buffer=receive_buffer
    )
