"""The trio-websocket engine over a stream of ours, with a tap between the library and the stream.

Downwards the tap puts whole frames into our output buffer, so that the library never waits for the socket; upwards it shows
us every ping and pong at the moment it comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import trio
import trio_websocket
from wsproto.frame_protocol import FrameProtocol

from ..exceptions import ConnectError, ConnectionLost
from ..protocol.messages import UNMATCHED, Ping, Pong
from ..protocol.tap import FrameTap
from .evidence import READ_SIZE
from .output import OutputBuffer
from .over_stream import OUTPUT_LIMIT, make_receipt
from .tls import bytes_below
from .trio_websocket import CLOSE_TIMEOUT, TrioWebSocketTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..endpoint import Endpoint
    from ..events import Receipt
    from ..protocol.codec import MessageCodec
    from .abc import ByteStream

MAX_MESSAGE = 2**20
QUEUE = 64
"""Messages in the library's queue. Its size makes no difference, as the queue is always drained."""
BUFFER = 16 * 1024
IS_CONTROL = 0x08
PONG = 0x8A
PONG_SIZE = 10
"""Bytes of a server's pong frame with a nonce of ours."""


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
        codec: MessageCodec | None = None,
    ) -> None:
        self._below: ByteStream | None = bytes_below(stream)
        peer = "a stranger's stream" if self._below is None else self._below.peer
        super().__init__(nursery, role=role, peer=peer, limit=limit, on_raw=on_raw, codec=codec)
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
        """See `Transport.ping`. The frame goes past the library, and the pong of a control frame is seen by the tap."""
        text = self._codec.encode_ping(nonce)
        frame = bytes(self._frames.ping(nonce)) if text is None else self._text_frame(text)
        self._output.put(frame, urgent=True, slot="ping", on_sent=on_sent)

    def pong(self, ping: Ping) -> None:
        """See `Transport.pong`. Control frames are answered by the library; a text goes past it, ahead of data."""
        if not ping.is_control:
            self._output.put(self._text_frame(self.encode(Pong(ping.nonce, ping.token))), urgent=True)

    def _text_frame(self, text: bytes) -> bytes:
        return bytes(self._frames.send_data(text.decode(), fin=True))

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
                    headers: dict[str, str] = {}
                    for name, value in request.headers:  # repeated ones are joined, so that none can hide
                        key = name.decode().lower()
                        headers[key] = ", ".join(filter(None, [headers.get(key), value.decode("latin-1")]))
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
        pongs = [Pong(payload or UNMATCHED, is_control=True, receipt=self._receipt(data)) for payload in result.pongs]
        if pings or pongs or result.has_data:
            self._tell([*pings, *pongs])

    def _receipt(self, data: bytes) -> Receipt | None:
        arrival = None if self._below is None else self._below.arrival
        if arrival is None:
            return None
        # Our pongs carry 8 bytes: a read of one frame of that size, with TLS around it or not, is a pong alone.
        return make_receipt(arrival, len(data), is_last=len(data) <= PONG_SIZE)

    def bytes_below(self) -> ByteStream | None:
        """See `Transport.bytes_below`."""
        return self._below

    def _overflow(self) -> None:
        self._end(ConnectionLost(f"{self.peer} does not read: more than {2 * self._limit} bytes are unsent", cause="reset"))
