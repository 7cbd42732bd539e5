"""WebSocket through the trio-websocket library: the other engine.

Over a stream of ours, a tap lies between the library and the stream. Downwards it puts whole frames into our output buffer,
so that the library never waits for the socket; upwards it shows us every ping and pong at the moment it comes. The library's
message queue is drained by a task that waits for nothing else, so that its reader never stops.

A `trio_websocket.WebSocketConnection` that an application opened itself has no tap: pings go through its `ping()`, one task
each, and what it keeps to itself (unknown pongs, the peer's pings) stays unknown.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

import trio
import trio_websocket
from wsproto.frame_protocol import FrameProtocol

from ..exceptions import ConnectError, ConnectionClosed, ConnectionLost, HeartbeatTrioError
from ..protocol import ops
from ..protocol.messages import Goodbye, Message, Ping, Pong
from ..protocol.tap import FrameTap
from .abc import Transport
from .evidence import READ_SIZE
from .output import OutputBuffer
from .over_stream import OUTPUT_LIMIT
from .tls import bytes_below
from .websocket import UNSOLICITED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..config import Endpoint
    from .abc import ByteStream

MAX_MESSAGE = 2**20
QUEUE = 64
"""Messages in the library's queue. Its size makes no difference, as the queue is always drained."""
BUFFER = 16 * 1024
IS_CONTROL = 0x08
PONG = 0x8A
CLOSE_TIMEOUT = 1.0
OUR_VERDICTS = frozenset({1002, 1007, 1009})
"""Codes with which the library reports its own verdict on the peer; it cannot be told from the peer's own close."""


class TappedStream(trio.abc.Stream):
    """What trio-websocket takes for its stream."""

    def __init__(self, stream: trio.abc.Stream, output: OutputBuffer, on_bytes: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._output = output
        self._on_bytes = on_bytes
        self._is_first = True
        self.on_end: Callable[[], None] | None = None
        """Called when the stream ends while this is set: the library's handshake would wait for ever."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive, and look at the bytes in passing."""
        try:
            data = bytes(await self._stream.receive_some(max_bytes or READ_SIZE))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._end()
            raise
        if data:
            self._on_bytes(data)
        else:
            self._end()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Queue one whole frame (or the handshake); never waits for the socket."""
        first, self._is_first = self._is_first, False
        frame = bytes(data)
        is_control = bool(frame) and not first and bool(frame[0] & IS_CONTROL)
        is_pong = is_control and frame[0] == PONG
        self._output.put(frame, urgent=is_pong, slot="pong" if is_pong else None)
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """It never blocks."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close after what is queued, as far as that goes in a second."""
        try:
            with trio.move_on_after(CLOSE_TIMEOUT):
                await self._output.wait_idle()
        finally:
            self._end()
            await trio.aclose_forcefully(self._stream)

    def _end(self) -> None:
        if self.on_end is not None:
            self.on_end()


class TrioWebSocketTransport(Transport):
    """Messages as JSON through a `trio_websocket.WebSocketConnection`; see the module's docstring."""

    encoding = "ws-text"

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        role: Literal["client", "server"],
        peer: str,
        limit: int = OUTPUT_LIMIT,
        on_raw: Callable[[bytes], None] | None = None,
    ) -> None:
        self.peer = peer
        self._nursery = nursery
        self._role = role
        self._limit = limit
        self._on_raw = on_raw
        self._websocket: trio_websocket.WebSocketConnection | None = None
        self._pending: list[Message] = []
        self._has_news = False
        self._news = trio.Event()
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
        return messages

    def encode(self, message: Message) -> bytes:
        """See `Transport.encode`."""
        return ops.encode_text(message)

    def put(self, data: bytes, *, urgent: bool = False) -> None:
        """See `Transport.put`."""
        self._enqueue(_Outgoing(data), urgent=urgent)

    def ping(self, nonce: bytes, on_sent: Callable[[float], None]) -> None:
        """See `Transport.ping`: one task for each, as the library's `ping` returns only with the pong."""
        self._nursery.start_soon(self._ping, nonce, on_sent, name=f"ping {self.peer}")

    def pong(self, ping: Ping) -> None:
        """See `Transport.pong`. Control frames are answered by the library."""
        if not ping.is_control:
            self.put(self.encode(Pong(ping.nonce, ping.token)), urgent=True)

    async def send(self, message: Message) -> None:
        """See `Transport.send`."""
        outgoing = _Outgoing(self.encode(message))
        await trio.lowlevel.checkpoint_if_cancelled()
        self._enqueue(outgoing, urgent=False)
        try:
            while not (outgoing.is_done or self.is_broken):
                await self._progress.wait()
        finally:
            if not outgoing.has_begun and outgoing in self._queue:
                self._queue.remove(outgoing)
                self._queued_bytes -= len(outgoing.data)
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

    async def _drain(self) -> None:  # noqa: ASYNC910 - nobody awaits it
        """Move messages out of the library's queue; never waits for anything else."""
        assert self._websocket is not None  # noqa: S101 - it runs after _begin
        try:
            while True:
                message = await self._websocket.get_message()
                self._receive_message(message)
        except trio_websocket.ConnectionClosed as closed:
            self._end(self._why(closed))

    def _receive_message(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self._tell(ops.decode_binary(role=self._role))
            return
        if self._on_raw is not None:
            self._on_raw(message.encode())
        messages = ops.decode_text(message, role=self._role)
        for index, each in enumerate(messages):
            if isinstance(each, Goodbye):
                self._goodbye = each
            elif isinstance(each, Pong):
                messages[index] = Pong(UNSOLICITED, each.token)
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


class TappedWebSocketTransport(TrioWebSocketTransport):
    """The engine over a stream of ours."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        nursery: trio.Nursery,
        *,
        role: Literal["client", "server"],
        limit: int = OUTPUT_LIMIT,
        on_raw: Callable[[bytes], None] | None = None,
    ) -> None:
        self._below: ByteStream | None = bytes_below(stream)
        peer = "a stranger's stream" if self._below is None else self._below.peer
        super().__init__(nursery, role=role, peer=peer, limit=limit, on_raw=on_raw)
        self._stream = stream
        self._tap = FrameTap()
        self._output = OutputBuffer(stream, nursery, name=peer, limit=2 * limit, on_overflow=self._overflow)
        self._frames = FrameProtocol(client=role == "client", extensions=[])
        self.tapped = TappedStream(stream, self._output, self._receive_bytes)

    async def connect(self, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
        """Do the client's handshake, and start. Raises `ConnectError`; bound it with a timeout."""
        await self._nursery.start(self._run_client, endpoint, headers, name=f"trio-websocket {self.peer}")

    async def accept(self, check: Callable[[str, dict[str, str]], int | None]) -> None:
        """Do the server's handshake, and start. Raises `ConnectError`; bound it with a timeout."""
        await self._nursery.start(self._run_server, check, name=f"trio-websocket {self.peer}")

    def ping(self, nonce: bytes, on_sent: Callable[[float], None]) -> None:
        """See `Transport.ping`. The frame goes past the library, and the pong is seen by the tap."""
        self._output.put(bytes(self._frames.ping(nonce)), urgent=True, slot="ping", on_sent=on_sent)

    @property
    def unsent_bytes(self) -> int:
        """See `Transport.unsent_bytes`."""
        return self._queued_bytes + self._output.unsent_bytes

    def is_caught_up(self) -> bool:
        """See `Transport.is_caught_up`. The library reads again only when it has handled all that it read."""
        below = self._below
        is_calm = below is None or (below.is_waiting and below.unread_bytes() == 0)
        return is_calm and not self._has_news

    async def wait_idle(self) -> None:
        """See `Transport.wait_idle`."""
        await super().wait_idle()
        await self._output.wait_idle()

    async def abort(self) -> None:
        """See `Transport.abort`."""
        self._fail()
        self._output.fail()
        await trio.aclose_forcefully(self._stream)

    async def _wait_below(self) -> None:
        await self._output.wait_idle()

    async def _run_client(  # noqa: ASYNC910 - nobody awaits it
        self, endpoint: Endpoint, headers: Mapping[str, str], *, task_status: trio.TaskStatus[None]
    ) -> None:
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        try:
            async with trio.open_nursery() as nursery:
                with trio.CancelScope() as handshake:
                    self.tapped.on_end = handshake.cancel
                    self._begin(
                        await trio_websocket.wrap_client_stream(
                            nursery,
                            self.tapped,  # type: ignore[arg-type]  # any stream will do, as its docstring says
                            endpoint.authority,
                            endpoint.path,
                            extra_headers=extra,
                            message_queue_size=QUEUE,
                            max_message_size=MAX_MESSAGE,
                            receive_buffer_size=BUFFER,
                        )
                    )
                    self.tapped.on_end = None
                    task_status.started()
                if handshake.cancelled_caught:
                    raise ConnectError(f"{self.peer} ended the connection during the WebSocket handshake", cause="handshake")
        except ExceptionGroup as group:
            self._fail_engine(group)

    async def _run_server(  # noqa: ASYNC910 - nobody awaits it
        self, check: Callable[[str, dict[str, str]], int | None], *, task_status: trio.TaskStatus[None]
    ) -> None:
        try:
            async with trio.open_nursery() as nursery:
                with trio.CancelScope() as handshake:
                    self.tapped.on_end = handshake.cancel
                    request = await trio_websocket.wrap_server_stream(
                        nursery, self.tapped, QUEUE, MAX_MESSAGE, receive_buffer_size=BUFFER
                    )
                    headers = {name.decode().lower(): value.decode("latin-1") for name, value in request.headers}
                    status = check(request.path, headers)
                    if status is not None:
                        await request.reject(status)
                        raise ConnectError(f"{self.peer} was refused with {status}", cause="handshake", status=status)
                    self._begin(await request.accept())
                    self.tapped.on_end = None
                    task_status.started()
                if handshake.cancelled_caught:
                    raise ConnectError(f"{self.peer} ended the connection during the WebSocket handshake", cause="handshake")
        except ExceptionGroup as group:
            self._fail_engine(group)

    def _fail_engine(self, group: ExceptionGroup[Exception]) -> None:
        """Make one error of what the library's nursery raised: while connecting it is raised, later it ends `receive`."""
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if self._websocket is not None:
            self._end(ConnectionLost(f"trio-websocket failed with {self.peer}: {error!r}", cause="protocol_error"))
        elif isinstance(error, ConnectError):
            raise error
        elif isinstance(error, trio_websocket.ConnectionRejected):
            raise ConnectError(
                f"{self.peer} refused the WebSocket handshake with status {error.status_code}",
                cause="handshake",
                status=error.status_code,
            ) from error
        else:
            raise ConnectError(f"the WebSocket handshake with {self.peer} failed: {error!r}", cause="handshake") from error

    def _receive_bytes(self, data: bytes) -> None:
        result = self._tap.receive_data(data)
        if self._websocket is None:
            return
        pings = [Ping(payload, is_control=True) for payload in result.pings]
        pongs = [Pong(payload or UNSOLICITED, is_control=True) for payload in result.pongs]
        if pings or pongs or result.has_data:
            self._tell([*pings, *pongs])

    def _overflow(self) -> None:
        self._end(ConnectionLost(f"{self.peer} does not read: more than {2 * self._limit} bytes are unsent", cause="reset"))


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
