"""Byte streams over sockets of our own, which know whether anything lies unread, who waits for it, and when it came.

They work on the standard library's non-blocking socket through `trio.lowlevel`, because what a heartbeat needs (a read that
says when it really waits and when the kernel had the bytes, a send that never waits) is not to be had from
`trio.SocketStream`. They lie below TLS and below either WebSocket engine.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import trio

from .abc import Arrival, ByteStream
from .kernel import ANCILLARY, enable_timestamps, read_network_rtt, read_tcp_info, set_user_timeout, stamp_age
from .loop_watch import LATE, watch_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .kernel import TcpInfo
    from .loop_watch import LoopWatch

if sys.platform != "win32":
    import fcntl
    import termios

READ_SIZE = 256 * 1024
"""Bytes asked of the kernel at once. One read is one batch of messages."""

SMALL_READ = 4 * 1024
"""The same while we catch up after a stall: a timestamp belongs to the last segment of a read, so small reads have more."""

MOMENT = 0.0005
"""Seconds after a read that took all there was in which we wait without looking again."""

WAKE_UP = 0.0005
"""Seconds that the kernel takes at most to wake a loop that waits for it, on a machine with a core to spare."""


class SocketStream(ByteStream, trio.abc.HalfCloseableStream):
    """A `ByteStream` over a connected TCP socket.

    Resource handling: the socket belongs to the stream from construction on, and `aclose` closes it at once, unsent bytes
    being left to the kernel. Error handling: what the network does to us is `trio.BrokenResourceError`, with the `OSError`
    as its cause; use after `aclose` is `trio.ClosedResourceError`.

    Args:
        sock: A connected stream socket; it is made non-blocking, and Nagle's algorithm is switched off, as a ping that
            waits for an earlier ACK would measure the wait.
        measure: Whether to take the kernel's receive timestamps (`arrival`) and to watch our own loop (`loop_lag`).
    """

    def __init__(self, sock: socket.socket, *, measure: bool = False) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            with suppress(OSError):  # the peer may be gone already; the first read will tell
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._is_receiving = False
        self._is_sending = False
        self._has_sent_eof = False
        self.peer = _address(sock)
        self.is_waiting = False
        self.on_handed_over: Callable[[], None] | None = None
        self._watch = watch_loop() if measure else None
        # A mock clock's seconds have nothing to do with the kernel's.
        self._has_stamps = self._watch is not None and enable_timestamps(sock)
        self._now = trio.current_time if self._watch is None else self._watch.now
        self._empty_at = self._now()
        self._quiet_until: float | None = None
        self._is_behind = False

    def __repr__(self) -> str:
        return f"<SocketStream {self.peer}>"

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for bytes and return at most `max_bytes` of them (256 KiB by default); b"" is the end of the stream."""
        if max_bytes is not None and max_bytes < 1:
            raise ValueError(f"max_bytes = {max_bytes} must be at least 1")
        if self._is_receiving:
            raise trio.BusyResourceError("another task is already receiving from this stream")
        self._is_receiving = True
        try:
            if self._is_drained():
                self._check_open()
                data = None
            else:
                await trio.lowlevel.checkpoint_if_cancelled()
                data = self._receive_nowait(max_bytes)
                if data is not None:
                    await trio.lowlevel.cancel_shielded_checkpoint()
                    return data
            while data is None:
                self.is_waiting = True
                try:
                    await trio.lowlevel.wait_readable(self._socket)
                finally:
                    self.is_waiting = False
                if self._watch is not None:
                    self._note_wake_up(self._watch)
                data = self._receive_nowait(max_bytes)
            return data  # noqa: ASYNC910 - there is none yet before the loop, which waits
        finally:
            self._is_receiving = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Hand all bytes to the kernel, waiting while the socket is full.

        Cancelled midway, nobody knows how much was sent: the stream is of no more use then.
        """
        with self._exclusive_sender():
            await trio.lowlevel.checkpoint_if_cancelled()
            with memoryview(data) as view:
                sent = self.send_nowait(view)
                while sent < len(view):
                    await trio.lowlevel.wait_writable(self._socket)
                    sent += self.send_nowait(view[sent:])
            if self.on_handed_over is not None:
                self.on_handed_over()
            await trio.lowlevel.cancel_shielded_checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the socket takes bytes."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check_open()
        with self._exclusive_sender():
            await trio.lowlevel.wait_writable(self._socket)

    @property
    def quick_send(self) -> Callable[[bytes], int]:
        """See `ByteStream.quick_send`."""
        return self._socket.send

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        """See `ByteStream.send_nowait`."""
        self._check_open()
        if self._has_sent_eof:
            raise trio.ClosedResourceError("this stream has sent its end")
        self.sent_at = self._now()
        try:
            return self._socket.send(data) if data else 0
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError(f"sending to {self.peer} failed: {error.strerror}") from error

    def unread_bytes(self) -> int:
        """Bytes in the kernel's receive buffer (FIONREAD); 0 where the platform cannot tell, or once closed."""
        if sys.platform == "win32" or self._socket.fileno() < 0:
            return 0
        (count,) = struct.unpack("i", fcntl.ioctl(self._socket, termios.FIONREAD, b"\0\0\0\0"))
        return int(count)

    def tcp_info(self) -> TcpInfo | None:
        """See `ByteStream.tcp_info`."""
        return read_tcp_info(self._socket)

    def network_rtt(self) -> float | None:
        """See `ByteStream.network_rtt`."""
        return read_network_rtt(self._socket)

    def loop_lag(self, since: float) -> float | None:
        """See `ByteStream.loop_lag`."""
        return None if self._watch is None else self._watch.lag(since, trio.current_time())

    def set_user_timeout(self, seconds: float) -> None:
        """Let the kernel give up unacknowledged data after so long: a backstop, for a client only."""
        with suppress(OSError):  # the peer may be gone already; the first read will tell
            set_user_timeout(self._socket, seconds)

    async def aclose(self) -> None:
        """Close the socket at once, then give way to other tasks."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """Say that nothing more will be sent; the peer may go on sending."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check_open()
        with self._exclusive_sender():
            self._has_sent_eof = True
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                raise trio.BrokenResourceError(f"shutting down to {self.peer} failed: {error.strerror}") from error
        await trio.lowlevel.cancel_shielded_checkpoint()

    @contextmanager
    def _exclusive_sender(self) -> Iterator[None]:
        if self._is_sending:
            raise trio.BusyResourceError("another task is already sending through this stream")
        self._is_sending = True
        try:
            yield
        finally:
            self._is_sending = False

    def _check_open(self) -> None:
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError("this stream was closed")

    def _is_drained(self) -> bool:
        """Whether the last read took all there was, and no more than a moment ago: another one would be in vain."""
        last = self.arrival
        return last is not None and last.is_whole and self._now() - self._empty_at < MOMENT

    def _receive_nowait(self, max_bytes: int | None) -> bytes | None:
        self._check_open()
        try:
            return self._receive_stamped(max_bytes) if self._has_stamps else self._socket.recv(max_bytes or READ_SIZE)
        except BlockingIOError:
            return None
        except OSError as error:
            raise trio.BrokenResourceError(f"receiving from {self.peer} failed: {error.strerror}") from error

    def _receive_stamped(self, max_bytes: int | None) -> bytes:
        """Receive, and find out when the kernel had it. What comes after `before` belongs to the next read."""
        size = max_bytes or READ_SIZE
        if self._is_behind:
            size = min(size, SMALL_READ)
        before = self._now()
        empty_at, quiet_until, is_whole = self._empty_at, self._quiet_until, True
        try:
            data, ancillary, _flags, _address = self._socket.recvmsg(size, ANCILLARY)
            is_whole = len(data) < size
        finally:
            self._quiet_until = None
            if is_whole:
                self._empty_at, self._is_behind = before, False
        self.arrival = self._locate(stamp_age(ancillary), empty_at, quiet_until, len(data), is_whole=is_whole)
        return data

    def _locate(
        self, age: float | None, empty_at: float, quiet_until: float | None, size: int, *, is_whole: bool
    ) -> Arrival | None:
        """When the bytes came: the last of them by the stamp, the first after the socket was empty for sure.

        `quiet_until`: nothing was there until then either, if the loop was woken as soon as something came. A stamp from
        before that says that it was not: our process was stopped, or waited for a core.
        """
        if age is None:
            return None
        now = self._now()
        at = now - min(max(age, 0.0), now - empty_at)
        first = quiet_until if quiet_until is not None and at >= quiet_until else empty_at
        return Arrival(at, at - first, size, is_whole)

    def _note_wake_up(self, watch: LoopWatch) -> None:
        """Nothing was here at the poll before the one that woke us; nor, probably, until that one woke, if it waited."""
        if watch.previous_poll > self._empty_at:
            self._empty_at = watch.previous_poll
        self._quiet_until = watch.last_poll - WAKE_UP if watch.has_waited else None
        self._is_behind = self._is_behind or watch.lateness > LATE


class SocketListener(trio.abc.Listener[SocketStream]):
    """Accepts TCP connections as `SocketStream`s, over one of `trio.open_tcp_listeners`' listeners."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self.address = _format_address(listener.socket.getsockname())
        self.port: int = listener.socket.getsockname()[1]

    async def accept(self) -> SocketStream:
        """Wait for a connection. A shortage of file descriptors is an `OSError` that `trio.serve_listeners` survives."""
        return take_over(await self._listener.accept())

    async def aclose(self) -> None:
        """Stop listening."""
        await self._listener.aclose()


def take_over(stream: trio.SocketStream, *, measure: bool = False) -> SocketStream:
    """Move a Trio stream's socket into a stream of ours; the Trio stream is closed without touching the connection."""
    return SocketStream(socket.socket(fileno=stream.socket.detach()), measure=measure)


async def open_socket_stream(host: str, port: int) -> SocketStream:
    """Connect over TCP: the default connector. Addresses are raced as by `trio.open_tcp_stream` (RFC 8305).

    Raises:
        OSError: Nothing could be connected to; `socket.gaierror` if the name does not resolve.
    """
    return take_over(await trio.open_tcp_stream(host, port), measure=True)


async def listen_tcp(host: str | None, port: int) -> list[SocketListener]:
    """Listen on a host's addresses; port 0 picks one, the same for all of them.

    Raises:
        OSError: The address cannot be bound; the message names it.
    """
    try:
        first, *others = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno or errno.EINVAL, f"cannot listen on {host}:{port}: {reason}") from error
    listeners = [SocketListener(first)]
    if port != 0:
        return listeners + [SocketListener(other) for other in others]
    for other in others:  # with port 0 each address would get a port of its own
        await other.aclose()
    return listeners


def _address(sock: socket.socket) -> str:
    try:
        return _format_address(sock.getpeername())
    except OSError:  # the peer is gone already; the first read will tell
        return "a vanished peer"


def _format_address(name: object) -> str:
    if not isinstance(name, tuple):
        return str(name) or "a local socket"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
