"""The two small interfaces of this folder: `ByteStream` below, `Transport` above.

A connector (``async (host, port) -> ByteStream``) opens byte streams: real sockets or a virtual network. TLS and the wire
formats are built on top of whatever it returns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

import trio

if TYPE_CHECKING:
    from ..protocol.messages import Message, Ping
    from .kernel import TcpInfo


class Arrival(NamedTuple):
    """When the kernel received what one read returned.

    Attributes:
        at: Trio time of the last segment of it.
        spread: Seconds by which its earlier segments may be older.
        size: Bytes.
        is_whole: Whether nothing was left behind.
    """

    at: float
    spread: float
    size: int
    is_whole: bool


class ByteStream(trio.abc.Stream):
    """A Trio stream that also tells what a heartbeat must know: is somebody waiting, is anything unread, is it full.

    Attributes:
        peer: The peer's address, for messages.
        is_waiting: True while a task is blocked in `receive_some` (not while it works on what it received).
        on_handed_over: Called, if set, at the instant at which all bytes of a `send_all` were accepted below us (the
            kernel, or the virtual wire), before `send_all` returns. This is where a ping's round trip begins under TLS.
        sent_at: Trio time just before the last bytes were handed over, where it is measured.
        arrival: When the kernel received what the last read returned, where it tells.
    """

    peer: str
    is_waiting: bool
    on_handed_over: Callable[[], None] | None
    sent_at: float | None = None
    arrival: Arrival | None = None

    def tcp_info(self) -> TcpInfo | None:
        """What the kernel knows of the connection, where it tells."""
        return None

    def network_rtt(self) -> float | None:
        """The kernel's smoothed round-trip time in seconds, where it tells."""
        info = self.tcp_info()
        return None if info is None else info.rtt

    def loop_lag(self, since: float) -> float | None:  # noqa: ARG002 - the default knows nothing
        """Seconds since a time (Trio's) in which our own loop did not run, where that is measured."""
        return None

    @abstractmethod
    def unread_bytes(self) -> int:
        """How many bytes have arrived but were not received yet."""

    @property
    def quick_send(self) -> Callable[[bytes], int]:
        """The quickest way to do what `send_nowait` does; it may also raise `OSError`, and `BlockingIOError` when full."""
        return self.send_nowait

    @abstractmethod
    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        """Hand over as many bytes as go without waiting; return how many (0: full).

        Raises:
            trio.BrokenResourceError: The connection is broken.
            trio.ClosedResourceError: We closed it.
        """


Connector = Callable[[str, int], Awaitable[trio.abc.Stream]]
"""Opens a byte stream to a host and port. Raises `OSError` as `trio.open_tcp_stream` does."""


class Outgoing(Protocol):
    """A message that was put: whether its first byte may have left, and whether all were handed over."""

    has_begun: bool
    is_done: bool


class Transport(ABC):
    """Messages over one connection, on either side of it.

    `receive` is called by one task. Everything that sends may be called by any task; only `send` and `wait_idle` wait.

    Attributes:
        peer: The peer's address, for messages.
        encoding: Names the bytes that `encode` makes: two transports with the same encoding can share them.
        may_join: Whether messages that were encoded may be glued together and `put` as one.
        early: Messages that came while the conversation was being opened, for whoever receives first.
    """

    peer: str
    encoding: str
    may_join: bool = True
    early: list[Message]

    @abstractmethod
    async def receive(self) -> list[Message]:
        """Wait for bytes and return the messages of one read, in order.

        The list is empty when bytes of an unfinished data message came (they are a sign of life). Bytes of an unfinished
        pong are not reported. WebSocket pings have been answered already.

        Raises:
            ConnectionClosed: The peer closed in an orderly way.
            ConnectionLost: It did not, or it broke the protocol (`cause` says which).
        """

    @abstractmethod
    def encode(self, message: Message) -> bytes:
        """Turn a message into bytes that any transport of the same `encoding` can `put`; b"": there is nothing to send."""

    @abstractmethod
    def put(self, data: bytes, *, urgent: bool = False) -> Outgoing:
        """Send encoded bytes without waiting: at once if nothing is queued, else behind what is queued.

        Urgent bytes (control messages) overtake data that has not begun. A broken connection is not reported here:
        `receive` does that.
        """

    def lend(self, recall: Callable[[], None]) -> Callable[[bytes], int] | None:  # noqa: ARG002 - the default has none
        """`ByteStream.quick_send`, for who sends the same to many; None if there is none, or something is queued.

        Bytes of whole messages may be sent with it until `recall` is called: from then on something is queued, or nothing
        more is to be sent. Of what it took only in part, the rest must be `put` before anything else.
        """
        return None

    @abstractmethod
    def withdraw(self, outgoing: Outgoing) -> bool:
        """Take back what `put` returned; False if it is too late: a byte of it may have left."""

    @abstractmethod
    def ping(self, nonce: bytes, on_sent: Callable[[float], None]) -> None:
        """Send a ping without waiting; `on_sent` is called with the time at which its bytes were handed over.

        `nonce` is 8 printable bytes. A transport that can only send bare pings ignores it.
        """

    @abstractmethod
    def pong(self, ping: Ping) -> None:
        """Answer a ping without waiting. Of unsent control-frame pongs only the newest is kept (RFC 6455 §5.5.3)."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """Send a message and wait until its bytes were handed over.

        Cancelled before its first byte left, it is withdrawn whole; cancelled later, it is completed all the same.

        Raises:
            LocalProtocolError: The wire format cannot carry it.
            ConnectionLost: The connection broke first.
        """

    @abstractmethod
    def put_close(self, code: int, reason: str) -> None:
        """Say goodbye at the level of the protocol, if it can, without waiting; nothing can be sent after that."""

    @property
    @abstractmethod
    def unsent_bytes(self) -> int:
        """Bytes that were put but not handed over yet."""

    @abstractmethod
    async def wait_idle(self) -> None:
        """Wait until everything that was put is handed over (or the connection is broken)."""

    @abstractmethod
    def is_caught_up(self) -> bool:
        """Whether no byte lies between the kernel and the caller of `receive` right now.

        Where a transport cannot tell, it says True: a few checkpoints of grace are all there is then.
        """

    def bytes_below(self) -> ByteStream | None:
        """The byte stream at the bottom, which knows what the kernel knows; None if a stranger's lies there."""
        return None

    @abstractmethod
    async def aclose(self, *, code: int = 1000, reason: str = "") -> None:
        """Close in an orderly way: send what is queued, say goodbye where the protocol can, close.

        Bound it with a timeout of your own. Cancelled, it closes forcefully at once and raises `trio.Cancelled`.
        """

    @abstractmethod
    async def abort(self) -> None:
        """Close at once without a word. Never waits, safe to repeat."""
