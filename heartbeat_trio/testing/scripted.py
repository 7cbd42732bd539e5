"""Small servers of the line protocol that do as a test tells them, on any listener: virtual, or one of Trio's own."""

from __future__ import annotations

import json
import socket
import struct
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import trio

from .streams import VirtualStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

StreamT = TypeVar("StreamT", bound=trio.abc.Stream)

READ_SIZE = 64 * 1024
"""Bytes that a scripted peer reads at most at a time."""

TUTORIAL_READ = 1024
"""Bytes that the tutorial's server reads, and takes for one message."""

WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""What Rust's `str::trim` removes: Unicode's White_Space. (Python's `str.strip` removes four control characters more.)"""


class ReceivedLine(NamedTuple):
    """A line that a scripted peer received.

    Attributes:
        time: Trio's time, in seconds.
        line: The line, without its end.
        connection: The number of its connection, from 1.
    """

    time: float
    line: str
    connection: int


class PeerConnection:
    """One connection of a scripted peer.

    Attributes:
        number: Counts the connections, from 1.
        stream: The accepted stream.
        subscriptions: The symbols that the client has subscribed to, in order.
    """

    def __init__(self, number: int, stream: trio.abc.Stream) -> None:
        self.number = number
        self.stream = stream
        self.subscriptions: dict[str, None] = {}
        self._lock = trio.Lock()

    def __repr__(self) -> str:
        return f"<PeerConnection {self.number}>"

    async def send(self, data: bytes) -> None:
        """Send bytes as they are, behind what others send. That the client is gone is no error here."""
        if not data:
            await trio.lowlevel.checkpoint()
            return
        async with self._lock:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self.stream.send_all(data)

    async def reset(self) -> None:
        """Break the connection off: the client gets `trio.BrokenResourceError`, from a `ConnectionResetError`.

        This works on virtual streams and on Trio's sockets, also below TLS. Any other stream is just closed.
        """
        below: trio.abc.Stream = self.stream
        while isinstance(below, trio.SSLStream):
            below = below.transport_stream
        if isinstance(below, VirtualStream):
            below.break_off(politely=False)
        elif isinstance(below, trio.SocketStream):
            linger = struct.pack("ii", 1, 0)  # closing a socket that lingers for 0 seconds resets it
            below.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await trio.aclose_forcefully(self.stream)


class ScriptedPeer:
    r"""A server that answers pings and subscriptions, misbehaves where it is told to, and remembers what it was sent.

    ``PING`` gets ``PONG`` (with the nonce, if there is one), ``SUBSCRIBE:X`` gets ``SUBSCRIBED:X``, ``UNSUBSCRIBE:X`` gets
    ``UNSUBSCRIBED:X``; everything else is remembered in silence. It does not resume: quotes go to whoever is subscribed
    when they are sent. Start it with ``await nursery.start(peer.run)``; cancel the nursery to stop it.

    Args:
        listener: Where clients come in.
        on_line: Asked first about each line, as a function of the line or a table of lines. Text is answered as it stands,
            with a line end; bytes are answered as they are; "" is silence; None, or a line that is not in the table: the
            default answer.
        stream: The id of the numbering of its quotes.

    Attributes:
        answer_pings: Whether pings are answered.
        pong_delay: Seconds that every pong waits.
        duplicate_pongs: How many times more each pong is sent.
        received: What came, in order.
        accepted: How many connections were accepted in all.
    """

    def __init__(
        self,
        listener: trio.abc.Listener[StreamT],
        *,
        on_line: Callable[[str], str | bytes | None] | Mapping[str, str | bytes] | None = None,
        stream: str = "scripted",
    ) -> None:
        self.answer_pings = True
        self.pong_delay = 0.0
        self.duplicate_pongs = 0
        self.received: list[ReceivedLine] = []
        self.accepted = 0
        self._listener = listener
        self._on_line = _as_function(on_line)
        self._stream = stream
        self._seqs: Counter[str] = Counter()
        self._live: dict[PeerConnection, None] = {}
        self._nursery: trio.Nursery | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {self.connections} of {self.accepted} connections live>"

    @property
    def connections(self) -> int:
        """How many connections are live."""
        return len(self._live)

    @property
    def live(self) -> tuple[PeerConnection, ...]:
        """The live connections, oldest first."""
        return tuple(self._live)

    @property
    def lines(self) -> list[str]:
        """The lines that came, in order, without their times."""
        return [received.line for received in self.received]

    async def run(self, *, task_status: trio.TaskStatus[ScriptedPeer] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then everything is closed, the listener too."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await nursery.start(trio.serve_listeners, self._serve, [self._listener], name="scripted peer")
            task_status.started(self)

    async def send(self, data: bytes, to: PeerConnection | None = None) -> None:
        """Send bytes as they are to one connection, or to all, one after another."""
        await trio.lowlevel.checkpoint()
        for connection in self.live if to is None else (to,):
            await connection.send(data)

    async def send_quote(self, symbol: str, bid: float, ask: float, *, seq: int | None = None) -> int:
        """Send a quote to everybody who is subscribed to it, and return its number.

        Args:
            symbol: The symbol.
            bid: The best bid.
            ask: The best ask.
            seq: Its number, to make a hole or a repetition; else the number after the last one.
        """
        await trio.lowlevel.checkpoint()
        self._seqs[symbol] = seq = self._seqs[symbol] + 1 if seq is None else seq
        fields = {"symbol": symbol, "bid": bid, "ask": ask, "seq": seq, "stream": self._stream, "ts": _timestamp()}
        line = b"QUOTE:" + json.dumps(fields, separators=(",", ":")).encode() + b"\n"
        for connection in self.live:
            if symbol in connection.subscriptions:
                await connection.send(line)
        return seq

    def new_stream(self, stream: str) -> None:
        """Number all quotes from 1 again, under another stream id, as a restarted server does."""
        self._stream = stream
        self._seqs.clear()

    async def close_all(self) -> None:
        """Close every connection in an orderly way; it goes on accepting."""
        await trio.lowlevel.checkpoint()
        for connection in self.live:
            await connection.stream.aclose()

    async def reset_all(self) -> None:
        """Reset every connection; it goes on accepting."""
        await trio.lowlevel.checkpoint()
        for connection in self.live:
            await connection.reset()

    async def _serve(self, stream: trio.abc.Stream) -> None:
        self.accepted += 1
        connection = PeerConnection(self.accepted, stream)
        self._live[connection] = None
        try:
            await self._read(connection)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()
        finally:
            del self._live[connection]
            await trio.aclose_forcefully(stream)

    async def _read(self, connection: PeerConnection) -> None:
        rest = b""
        while data := bytes(await connection.stream.receive_some(READ_SIZE)):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                await self._receive_line(line.removesuffix(b"\r").decode(errors="replace"), connection)

    async def _receive_line(self, line: str, connection: PeerConnection) -> None:
        self.received.append(ReceivedLine(trio.current_time(), line, connection.number))
        answer = self._on_line(line)
        if answer is None and (line == "PING" or line.startswith("PING ")):
            await self._answer_ping("PONG" + line.removeprefix("PING"), connection)
        else:
            await connection.send(_encode(self._default_answer(line, connection) if answer is None else answer))

    def _default_answer(self, line: str, connection: PeerConnection) -> str:
        command, _, rest = line.partition(":")
        symbol = rest.partition(":")[0]
        if command == "SUBSCRIBE":
            connection.subscriptions[symbol] = None
            return f"SUBSCRIBED:{symbol}"
        if command == "UNSUBSCRIBE":
            connection.subscriptions.pop(symbol, None)
            return f"UNSUBSCRIBED:{symbol}"
        return ""

    async def _answer_ping(self, pong: str, connection: PeerConnection) -> None:
        data = _encode(pong) * (1 + self.duplicate_pongs) if self.answer_pings else b""
        if data and self.pong_delay and self._nursery is not None:
            self._nursery.start_soon(_send_later, self.pong_delay, connection.send, data, name="delayed pong")
            await trio.lowlevel.checkpoint()
        else:
            await connection.send(data)


class TutorialPeer:
    """The tutorial's price server as it was measured: it frames nothing, so one read is one message.

    A read of up to 1024 bytes that is ``PING`` without the white space around it gets ``PONG``. One that begins with
    ``SUBSCRIBE:`` gets ``SUBSCRIBED:`` and the rest, inner line ends included. Anything else, also ``PING`` with a nonce or
    two messages that one read found together, gets nothing.

    Args:
        listener: Where clients come in.

    Attributes:
        received: The messages that came, in order, as it understood them: one a read.
    """

    def __init__(self, listener: trio.abc.Listener[StreamT]) -> None:
        self.received: list[ReceivedLine] = []
        self._listener = listener
        self._accepted = 0

    async def run(self, *, task_status: trio.TaskStatus[TutorialPeer] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then everything is closed, the listener too."""
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._serve, [self._listener], name="tutorial peer")
            task_status.started(self)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        self._accepted += 1
        number = self._accepted
        try:
            while data := bytes(await stream.receive_some(TUTORIAL_READ)):
                message = data.decode(errors="replace")
                self.received.append(ReceivedLine(trio.current_time(), message, number))
                if answer := _tutorial_answer(message):
                    await stream.send_all(answer)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()


def _tutorial_answer(message: str) -> bytes:
    if message.strip(WHITE_SPACE) == "PING":
        return b"PONG\n"
    if message.startswith("SUBSCRIBE:"):
        symbol = message.strip(WHITE_SPACE).removeprefix("SUBSCRIBE:")
        return f"SUBSCRIBED:{symbol}\n".encode()
    return b""


def _as_function(
    on_line: Callable[[str], str | bytes | None] | Mapping[str, str | bytes] | None,
) -> Callable[[str], str | bytes | None]:
    if on_line is None:
        return lambda _line: None
    return on_line if callable(on_line) else on_line.get


def _encode(answer: str | bytes) -> bytes:
    """Text is a line (none, if empty), bytes are what they are."""
    if isinstance(answer, bytes):
        return answer
    return answer.encode() + b"\n" if answer else b""


def _timestamp() -> int:
    """Microseconds, by Trio's clock: the same in every run of a test."""
    return round(trio.current_time() * 1_000_000)


async def _send_later(delay: float, send: Callable[[bytes], Awaitable[None]], data: bytes) -> None:
    await trio.sleep(delay)
    await send(data)
