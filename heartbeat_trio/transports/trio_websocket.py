"""WebSocket through the trio-websocket library: the other engine.

The library's message queue is drained by a task that waits for nothing else, so that its reader never stops. With a
`trio_websocket.WebSocketConnection` that an application opened itself, pings go through its `ping()`, one task each, and
what it keeps to itself (unknown pongs, the peer's pings) stays unknown; over a stream of ours, `tapped` sees all of it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

import trio
import trio_websocket

from ..exceptions import ConnectionClosed, ConnectionLost, HeartbeatTrioError
from ..protocol.codec import MessageCodec, OpsCodec, decode_message
from ..protocol.messages import Goodbye, Message, Ping, Pong
from .abc import Transport
from .over_stream import OUTPUT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .abc import Outgoing

CLOSE_TIMEOUT = 1.0
READ_AHEAD = 10_000
"""Messages that may wait for `receive` before the library's queue is left to fill."""

OUR_VERDICTS = frozenset({1002, 1007, 1009})
"""Codes with which the library reports its own verdict on the peer; it cannot be told from the peer's own close."""


class TrioWebSocketTransport(Transport):
    """Messages through a `trio_websocket.WebSocketConnection`; see the module's docstring."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        role: Literal["client", "server"],
        peer: str,
        limit: int = OUTPUT_LIMIT,
        on_raw: Callable[[bytes], None] | None = None,
        codec: MessageCodec | None = None,
    ) -> None:
        self.peer = peer
        self.early = []
        self._nursery = nursery
        self._codec = codec or OpsCodec(role)
        self.encoding = f"ws-text-{self._codec.encoding}"
        self.may_join = False  # the library frames what it is given: each is a message by itself
        self._limit = limit
        self._on_raw = on_raw
        self._websocket: trio_websocket.WebSocketConnection | None = None
        self._pending: list[Message] = []
        self._has_news = False
        self._news = trio.Event()
        self._taken = trio.Event()
        self._ending: HeartbeatTrioError | None = None
        self._goodbye: Goodbye | None = None
        self._queue: deque[_Outgoing] = deque()
        self._queued_bytes = 0
        self._is_sending = False
        self._progress = trio.Event()
        self.is_broken = False

    def __repr__(self) -> str:
        return f"<TrioWebSocketTransport {self.peer}>"

    def _begin(self, websocket: trio_websocket.WebSocketConnection) -> None:
        self._websocket = websocket
        self._nursery.start_soon(self._drain, name=f"drain {self.peer}")

    async def receive(self) -> list[Message]:
        """See `Transport.receive`."""
        await trio.lowlevel.checkpoint()
        while not self._has_news:
            if self._ending is not None:
                raise self._ending
            await self._news.wait()
        self._has_news = False
        messages, self._pending = self._pending, []
        self._taken.set()
        self._taken = trio.Event()
        return messages

    def encode(self, message: Message) -> bytes:
        """See `Transport.encode`."""
        return self._codec.encode(message)

    def put(self, data: bytes, *, urgent: bool = False) -> Outgoing:
        """See `Transport.put`."""
        outgoing = _Outgoing(data)
        self._enqueue(outgoing, urgent=urgent)
        return outgoing

    def withdraw(self, outgoing: Outgoing) -> bool:
        """See `Transport.withdraw`."""
        assert isinstance(outgoing, _Outgoing)  # noqa: S101 - `put` made it
        if outgoing.has_begun:
            return False
        if outgoing in self._queue:
            self._queue.remove(outgoing)
            self._queued_bytes -= len(outgoing.data)
        return True

    def put_text(self, text: bytes) -> None:
        """Send a text message that is written already, as `put` does: what a venue wants to be told first."""
        self.put(text)

    def ping(self, nonce: bytes, on_sent: Callable[[float], None]) -> None:
        """See `Transport.ping`: one task for each, as the library's `ping` returns only with the pong."""
        text = self._codec.encode_ping(nonce)
        if text is None:
            self._nursery.start_soon(self._ping, nonce, on_sent, name=f"ping {self.peer}")
        else:
            self.put(text, urgent=True)
            on_sent(trio.current_time())

    def pong(self, ping: Ping) -> None:
        """See `Transport.pong`. Control frames are answered by the library."""
        if not ping.is_control:
            self.put(self.encode(Pong(ping.nonce, ping.token)), urgent=True)

    def put_close(self, code: int, reason: str) -> None:
        """See `Transport.put_close`. The library's close waits for the socket, so a task does it."""
        if self._websocket is not None:
            self._nursery.start_soon(self._close, code, reason, name=f"close {self.peer}")

    async def send(self, message: Message) -> None:
        """See `Transport.send`."""
        outgoing = _Outgoing(self.encode(message))
        await trio.lowlevel.checkpoint_if_cancelled()
        if not outgoing.data:  # the venue has no word for it
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        self._enqueue(outgoing, urgent=False)
        try:
            while not (outgoing.is_done or self.is_broken):
                await self._progress.wait()
        finally:
            self.withdraw(outgoing)
        await trio.lowlevel.checkpoint_if_cancelled()
        if not outgoing.is_done:
            raise ConnectionLost(f"the connection to {self.peer} broke before the message left", cause="reset")

    @property
    def unsent_bytes(self) -> int:
        """See `Transport.unsent_bytes`."""
        return self._queued_bytes

    async def wait_idle(self) -> None:
        """See `Transport.wait_idle`."""
        await trio.lowlevel.checkpoint()
        while self.unsent_bytes and not self.is_broken:
            await self._progress.wait()

    def is_caught_up(self) -> bool:
        """See `Transport.is_caught_up`. Without a tap, nobody can tell."""
        return not self._has_news

    async def aclose(self, *, code: int = 1000, reason: str = "") -> None:
        """See `Transport.aclose`."""
        await self.wait_idle()
        if self._websocket is not None:
            await self._websocket.aclose(code, reason or None)

    async def abort(self) -> None:
        """See `Transport.abort`. A connection that the application opened is left to the application."""
        self._fail()
        await trio.lowlevel.checkpoint()

    # -- inside ----------------------------------------------------------------------------------------------------------

    async def _close(self, code: int, reason: str) -> None:  # noqa: ASYNC910 - nobody awaits it
        with trio.move_on_after(CLOSE_TIMEOUT):
            await self.aclose(code=code, reason=reason)

    async def _drain(self) -> None:  # noqa: ASYNC910 - nobody awaits it
        """Move messages out of the library's queue; never waits for anything else."""
        assert self._websocket is not None  # noqa: S101 - it runs after _begin
        try:
            while True:
                message = await self._websocket.get_message()
                self._receive_message(message)
                while len(self._pending) >= READ_AHEAD:  # only a server that slows its client down lets it come to this
                    await self._taken.wait()
        except trio_websocket.ConnectionClosed as closed:
            self._end(self._why(closed))

    def _receive_message(self, message: str | bytes) -> None:
        is_text = isinstance(message, str)
        payload = message.encode() if isinstance(message, str) else bytes(message)
        messages = decode_message(self._codec, payload, is_text=is_text, on_raw=self._on_raw)
        for each in messages:
            if isinstance(each, Goodbye):
                self._goodbye = each
        self._tell(messages)

    def _tell(self, messages: list[Message]) -> None:
        self._pending += messages
        self._has_news = True
        self._news.set()
        self._news = trio.Event()

    def _end(self, error: HeartbeatTrioError) -> None:
        if self._ending is None:
            self._ending = error
        self._news.set()
        self._news = trio.Event()

    def _why(self, closed: trio_websocket.ConnectionClosed) -> HeartbeatTrioError:
        code = None if closed.reason is None else closed.reason.code
        reason = "" if closed.reason is None else closed.reason.reason or closed.reason.name
        if code in OUR_VERDICTS:
            return ConnectionLost(f"{self.peer} broke the WebSocket protocol: {code} {reason}", cause="protocol_error")
        if self._goodbye is not None:
            return ConnectionClosed(
                f"{self.peer} said goodbye ({self._goodbye.reason}, come back within {self._goodbye.retry_after:g} s)",
                code=code,
                reason=self._goodbye.reason,
                retry_after=self._goodbye.retry_after,
                cause="goodbye",
            )
        return ConnectionClosed(f"{self.peer} closed the connection with code {code} ({reason})", code=code, reason=reason)

    async def _ping(self, nonce: bytes, on_sent: Callable[[float], None]) -> None:  # noqa: ASYNC910 - nobody awaits it
        assert self._websocket is not None  # noqa: S101
        on_sent(trio.current_time())
        try:
            await self._websocket.ping(nonce)
            self._tell([Pong(nonce, is_control=True)])
        except trio_websocket.ConnectionClosed:
            pass  # `_drain` learns of it too, and says why

    def _enqueue(self, outgoing: _Outgoing, *, urgent: bool) -> None:
        if self.is_broken:
            return
        (self._queue.appendleft if urgent else self._queue.append)(outgoing)
        self._queued_bytes += len(outgoing.data)
        if self._queued_bytes > self._limit:
            self._end(ConnectionLost(f"{self.peer} does not read: more than {self._limit} bytes are unsent", cause="reset"))
            self._fail()
        elif not self._is_sending:
            self._is_sending = True
            self._nursery.start_soon(self._send_queued, name=f"writer {self.peer}")

    async def _send_queued(self) -> None:  # noqa: ASYNC910 - nobody awaits it
        """The on-demand writer task."""
        assert self._websocket is not None  # noqa: S101
        try:
            while self._queue:
                outgoing = self._queue.popleft()
                outgoing.has_begun = True
                await self._websocket.send_message(outgoing.data.decode())
                await self._wait_below()
                outgoing.is_done = True
                self._queued_bytes -= len(outgoing.data)
                self._wake()
        except trio_websocket.ConnectionClosed:
            self._fail()
        finally:
            self._is_sending = False

    async def _wait_below(self) -> None:
        """Wait until the layer below has taken the last message, so that the next can still be withdrawn."""
        await trio.lowlevel.checkpoint()

    def _fail(self) -> None:
        self.is_broken = True
        self._queue.clear()
        self._queued_bytes = 0
        self._wake()

    def _wake(self) -> None:
        self._progress.set()
        self._progress = trio.Event()


class _Outgoing:
    """One message on its way out."""

    __slots__ = ("data", "has_begun", "is_done")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.has_begun = False
        self.is_done = False


def adopt_websocket(
    websocket: trio_websocket.WebSocketConnection,
    nursery: trio.Nursery,
    *,
    role: Literal["client", "server"] = "client",
    limit: int = OUTPUT_LIMIT,
    on_raw: Callable[[bytes], None] | None = None,
) -> TrioWebSocketTransport:
    """Use a connection that the application opened, and will close."""
    transport = TrioWebSocketTransport(nursery, role=role, peer=str(websocket.remote), limit=limit, on_raw=on_raw)
    transport._begin(websocket)  # noqa: SLF001 - our own class
    return transport
