"""What every transport over a stream shares: the way in, the way out, and what errors become."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trio

from ..events import Receipt
from ..exceptions import ConnectionClosed, ConnectionLost, HeartbeatTrioError, LossCause
from ..protocol.messages import Goodbye, Message, Ping, Pong
from .abc import Transport
from .evidence import READ_SIZE
from .output import Entry, OutputBuffer
from .tls import bytes_below

if TYPE_CHECKING:
    from collections.abc import Callable

    from .abc import Arrival, ByteStream, Outgoing

DRAIN_TIMEOUT = 0.5
"""Seconds that a peer has to read what we said last."""

EXACT = 0.001
"""Seconds of doubt up to which a receipt is exact."""

TLS_OVERHEAD = 64
"""Bytes that one TLS record has at most besides its content (RFC 8446 §5.2, RFC 5246 §6.2.3 with the usual ciphers)."""

OUTPUT_LIMIT = 2 * 1024 * 1024
"""Bytes that may wait to be sent by a client: two messages of the largest size."""


class StreamTransport(Transport):
    """Base of the transports over a stream; a subclass adds the wire format.

    Args:
        stream: A `ByteStream`, or TLS on top of one, or any Trio stream (which cannot tell what is unread).
        nursery: The connection's nursery. Cancel it and call `abort` to tear down.
        limit: Bytes that may wait to be sent before the peer is given up.
        spacing: See `OutputBuffer`.
    """

    def __init__(
        self, stream: trio.abc.Stream, nursery: trio.Nursery, *, limit: int = OUTPUT_LIMIT, spacing: float = 0.0
    ) -> None:
        self._stream = stream
        self._nursery = nursery
        self._below = bytes_below(stream)
        self.peer = "a stranger's stream" if self._below is None else self._below.peer
        self._limit = limit
        self.early = []
        self._ending: HeartbeatTrioError | None = None
        self._goodbye: Goodbye | None = None
        self._is_receiving = False
        self._has_finished: trio.Event | None = None
        self._output = OutputBuffer(
            stream, nursery, name=self.peer, limit=limit, on_overflow=self._give_up_reading, spacing=spacing
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.peer}>"

    def put(self, data: bytes, *, urgent: bool = False) -> Entry:
        """See `Transport.put`."""
        return self._output.put(data, urgent=urgent)

    def lend(self, recall: Callable[[], None]) -> Callable[[bytes], int] | None:
        """See `Transport.lend`. There is none under TLS, nor once we have said goodbye."""
        return self._output.lend(recall)

    def withdraw(self, outgoing: Outgoing) -> bool:
        """See `Transport.withdraw`."""
        assert isinstance(outgoing, Entry)  # noqa: S101 - `put` made it
        return self._output.withdraw(outgoing)

    def ping(self, nonce: bytes, on_sent: Callable[[float], None]) -> None:
        """See `Transport.ping`. A ping that could not leave yet is replaced: the newest pong answers them all."""
        self._output.put(self._encode_ping(nonce), urgent=True, slot="ping", on_sent=on_sent)

    def pong(self, ping: Ping) -> None:
        """See `Transport.pong`."""
        data = self.encode(Pong(ping.nonce, ping.token, ping.is_control))
        self._output.put(data, urgent=True, slot="pong" if ping.is_control else None)

    async def send(self, message: Message) -> None:
        """See `Transport.send`."""
        data = self.encode(message)
        if not data:  # the venue has no word for it
            await trio.lowlevel.checkpoint()
        elif not await self._output.send(data):
            raise ConnectionLost(f"the connection to {self.peer} broke before the message left", cause="reset")

    @property
    def unsent_bytes(self) -> int:
        """See `Transport.unsent_bytes`."""
        return self._output.unsent_bytes

    async def wait_idle(self) -> None:
        """See `Transport.wait_idle`."""
        await self._output.wait_idle()

    def is_caught_up(self) -> bool:
        """See `Transport.is_caught_up`."""
        return self._below is None or (self._below.is_waiting and self._below.unread_bytes() == 0)

    def bytes_below(self) -> ByteStream | None:
        """See `Transport.bytes_below`."""
        return self._below

    def _stamp_pongs(self, messages: list[Message], size: int, *, has_rest: bool) -> None:
        """Put receipts on the pongs of one read of `size` bytes; `has_rest`: something follows the last message."""
        arrival = None if self._below is None else self._below.arrival
        if arrival is None:
            return
        for index, message in enumerate(messages):
            if type(message) is Pong:
                is_last = index == len(messages) - 1 and not has_rest
                receipt = make_receipt(arrival, size, is_last=is_last)
                messages[index] = Pong(message.nonce, message.token, message.is_control, receipt)

    async def abort(self) -> None:
        """See `Transport.abort`."""
        self._output.fail()
        await trio.aclose_forcefully(self._stream)

    def _encode_ping(self, nonce: bytes) -> bytes:
        return self.encode(Ping(nonce))

    async def _read(self) -> bytes:
        """Wait for bytes; raise what ends the connection."""
        if self._ending is not None:
            await trio.lowlevel.checkpoint()
            raise self._ending
        if self._has_finished is not None:  # whoever closes is reading what is left, and two cannot
            await self._has_finished.wait()
        self._is_receiving = True
        try:
            return bytes(await self._stream.receive_some(READ_SIZE))
        except trio.BrokenResourceError as error:
            raise self._why(self._lost(error)) from error
        except trio.ClosedResourceError as error:
            closed = ConnectionClosed(f"the connection to {self.peer} was closed by us", initiated_by="us")
            raise self._why(closed) from error
        finally:
            self._is_receiving = False

    async def _let_read(self) -> None:
        """Give the peer a moment to read what we said last.

        Closing a socket with unread input resets it, and the peer would never see an error or a close code.
        """
        await trio.lowlevel.checkpoint()
        self._has_finished = trio.Event()
        try:
            with trio.move_on_after(DRAIN_TIMEOUT):
                await self._output.wait_idle()
                if isinstance(self._stream, trio.abc.HalfCloseableStream):
                    await self._stream.send_eof()
                while await self._stream.receive_some(READ_SIZE):
                    pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._has_finished.set()

    def _why(self, otherwise: HeartbeatTrioError) -> HeartbeatTrioError:
        """The reason that was found while we waited, if one was."""
        return otherwise if self._ending is None else self._ending

    def _note_goodbye(self, messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, Goodbye):
                self._goodbye = message

    def _closed_by_peer(self, *, code: int | None = None, reason: str = "") -> ConnectionClosed:
        goodbye = self._goodbye
        said = "" if code is None else f" with close code {code}"
        said += f" ({reason})" if reason else ""
        if goodbye is None:
            return ConnectionClosed(f"{self.peer} closed the connection{said}", code=code, reason=reason)
        return ConnectionClosed(
            f"{self.peer} said goodbye ({goodbye.reason}, come back within {goodbye.retry_after:g} s){said}",
            code=code,
            reason=goodbye.reason,
            retry_after=goodbye.retry_after,
            cause="goodbye",
        )

    def _lost(self, error: BaseException) -> ConnectionLost:
        chain: BaseException | None = error
        cause: LossCause = "reset"
        while chain is not None:
            if isinstance(chain, ssl.SSLError):
                cause = "tls"
            error, chain = chain, chain.__cause__
        return ConnectionLost(f"the connection to {self.peer} broke: {error}", cause=cause)

    def _give_up_reading(self) -> None:
        self._ending = ConnectionLost(f"{self.peer} does not read: more than {self._limit} bytes are unsent", cause="reset")
        self._nursery.start_soon(trio.aclose_forcefully, self._stream, name=f"abort {self.peer}")


def make_receipt(arrival: Arrival, size: int, *, is_last: bool) -> Receipt:
    """When a message came that was in a read of `size` bytes (less than arrived, under TLS).

    The kernel stamps the last segment. That is the message's own if it ends the read and nothing is left behind; else
    it came in the time between the last moment at which nothing was there and the stamp.
    """
    ends_it = is_last and arrival.is_whole and arrival.size <= size + TLS_OVERHEAD
    return Receipt(arrival.at, is_exact=ends_it or arrival.spread <= EXACT)
