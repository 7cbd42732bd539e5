"""WebSocket over a stream, with `protocol.frames` doing the protocol: the native engine.

It answers pings itself, never waits for a send, and tells a peer that breaks the protocol so, with the right close code,
before it closes.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Literal

import trio

from ..exceptions import ConnectError, ConnectionClosed, ConnectionLost
from ..protocol.codec import MessageCodec, OpsCodec, decode_message, decode_messages
from ..protocol.frames import (
    BadRequest,
    BinaryReceived,
    CloseReceived,
    FrameEvent,
    HandshakeAccepted,
    HandshakeRejected,
    HandshakeRequested,
    PingReceived,
    PongReceived,
    ProtocolFailed,
    TextReceived,
    TextsReceived,
    WebSocketProtocol,
)
from ..protocol.messages import UNMATCHED, Goodbye, Message, Ping, Pong
from .evidence import READ_SIZE
from .over_stream import DRAIN_TIMEOUT, OUTPUT_LIMIT, StreamTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..endpoint import Endpoint

make_mask = partial(os.urandom, 4)
"""What a client masks a frame with."""

REFUSALS = {
    401: "a token is needed: Authorization: Bearer TOKEN",
    403: "this origin is not allowed",
    503: "the server is full",
}


class WebSocketTransport(StreamTransport):
    """Messages over WebSocket, on either side, after the handshake (`connect_websocket`, `accept_websocket`).

    What messages look like is the codec's business; by default it is that of our own operations.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        nursery: trio.Nursery,
        protocol: WebSocketProtocol,
        *,
        role: Literal["client", "server"],
        limit: int = OUTPUT_LIMIT,
        on_raw: Callable[[bytes], None] | None = None,
        codec: MessageCodec | None = None,
    ) -> None:
        super().__init__(stream, nursery, limit=limit)
        self._codec = codec or OpsCodec(role)
        self.encoding = f"ws-frame-{role}-{self._codec.encoding}"
        self._protocol = protocol
        self._on_raw = on_raw
        self._early: list[FrameEvent] = []
        self._is_in_use = False
        self._read_size = 0
        self._has_ended: trio.Event | None = None

    async def receive(self) -> list[Message]:
        """See `Transport.receive`. Control-frame pings are answered, and returned so that they can be counted."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._is_in_use = True
        try:
            while True:
                await self._finish_if_failed()
                events, self._early = self._early, []
                if not events:
                    data = await self._read()
                    self._read_size = len(data)
                    events = self._protocol.receive_runs(data) if data else self._protocol.receive_eof()
                messages = self._translate(events)
                if messages or (self._protocol.has_partial_data and self._ending is None):
                    return messages
        except (ConnectionClosed, ConnectionLost):
            if self._has_ended is not None:
                self._has_ended.set()
            raise
        finally:
            self._is_in_use = False

    def put_close(self, code: int, reason: str) -> None:
        """See `Transport.put_close`."""
        self._output.end()
        if self._protocol.is_open:
            self._output.put(self._protocol.encode_close(code, reason))

    def encode(self, message: Message) -> bytes:
        """See `Transport.encode`."""
        if isinstance(message, Pong) and message.is_control:
            return self._protocol.encode_pong(message.nonce)
        text = self._codec.encode(message)
        return self._protocol.encode_text(text) if text else b""

    def put_text(self, text: bytes) -> None:
        """Send a text message that is written already, as `put` does: what a venue wants to be told first."""
        self._output.put(self._protocol.encode_text(text))

    def _encode_ping(self, nonce: bytes) -> bytes:
        text = self._codec.encode_ping(nonce)
        return self._protocol.encode_ping(nonce) if text is None else self._protocol.encode_text(text)

    async def aclose(self, *, code: int = 1000, reason: str = "") -> None:
        """See `Transport.aclose`. The peer's close is waited for, so bound this with a timeout (RFC 6455 §7.1.1)."""
        try:
            self.put_close(code, reason)
            await self._output.wait_idle()
            if self._is_in_use:
                self._has_ended = self._has_ended or trio.Event()
                await self._has_ended.wait()
            else:
                await self._await_close()
            await self._stream.aclose()
        finally:
            self._output.fail()
            await trio.aclose_forcefully(self._stream)

    async def receive_handshake(self) -> list[FrameEvent]:
        """Wait for the events of one read during the handshake.

        Raises:
            ConnectError: The peer closed before it was done.
        """
        data = await self._read()
        if not data:
            raise ConnectError(f"{self.peer} closed the connection during the WebSocket handshake", cause="handshake")
        return self._protocol.receive_runs(data)

    def end_handshake(self, early: list[FrameEvent]) -> None:
        """The handshake is done; what came in the same read is kept for the first `receive`."""
        self._early = early
        if self._protocol.deflate_bits is not None:
            self.encoding += f"-deflate-{self._protocol.deflate_bits}"

    def _translate(self, events: list[FrameEvent]) -> list[Message]:
        messages: list[Message] = []
        for event in events:
            match event:
                case TextsReceived():
                    messages += decode_messages(self._codec, event.payloads, on_raw=self._on_raw)
                case TextReceived() | BinaryReceived():
                    is_text = isinstance(event, TextReceived)
                    messages += decode_message(self._codec, event.payload, is_text=is_text, on_raw=self._on_raw)
                case PongReceived():
                    messages.append(Pong(event.payload or UNMATCHED, is_control=True))
                case PingReceived():
                    ping = Ping(event.payload, is_control=True)
                    self.pong(ping)
                    messages.append(ping)
                case CloseReceived():
                    self._note_goodbye(messages)  # which may have been said just before
                    self._receive_close(event)
                case ProtocolFailed() if messages:
                    self._early = [event]  # what came before it is answered before we close
                case ProtocolFailed():
                    self._ending = ConnectionLost(
                        f"{self.peer} broke the WebSocket protocol: {event.reason}", cause="protocol_error"
                    )
                    self.put_close(event.code, event.reason)
                case _:
                    pass
        kinds = set(map(type, messages))
        if Goodbye in kinds:
            self._note_goodbye(messages)
        if Pong in kinds:
            self._stamp_pongs(messages, self._read_size, has_rest=self._protocol.has_partial_data)
        return messages

    def _receive_close(self, event: CloseReceived) -> None:
        self.put_close(event.code or 1000, "")
        self._ending = self._closed_by_peer(code=event.code, reason=event.reason)

    async def _finish_if_failed(self) -> None:  # noqa: ASYNC910 - `receive` has just waited
        if isinstance(self._ending, ConnectionLost):
            await self._let_read()

    async def _await_close(self) -> None:
        """Read until the peer has said Close as well (RFC 6455 §7.1.1), or for a moment."""
        await trio.lowlevel.checkpoint()
        self._has_finished = trio.Event()
        try:
            with trio.move_on_after(DRAIN_TIMEOUT):
                await trio.lowlevel.checkpoint()
                while not self._protocol.is_closed:
                    data = bytes(await self._stream.receive_some(READ_SIZE))
                    self._protocol.receive_data(data) if data else self._protocol.receive_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._has_finished.set()


async def connect_websocket(
    stream: trio.abc.Stream,
    nursery: trio.Nursery,
    endpoint: Endpoint,
    headers: Mapping[str, str],
    *,
    on_raw: Callable[[bytes], None] | None = None,
    codec: MessageCodec | None = None,
) -> WebSocketTransport:
    """Do the client's handshake. Bound it with a timeout.

    Raises:
        ConnectError: The server refused (`status` says how), broke the protocol, or closed.
    """
    protocol = WebSocketProtocol(
        "client",
        host=endpoint.authority,
        path=endpoint.path,
        headers=tuple(headers.items()),
        deflate=endpoint.deflate,
        make_mask=make_mask,
    )
    transport = WebSocketTransport(stream, nursery, protocol, role="client", on_raw=on_raw, codec=codec)
    await stream.send_all(protocol.connect())
    while True:
        events = await transport.receive_handshake()
        for index, event in enumerate(events):
            match event:
                case HandshakeAccepted():
                    transport.end_handshake(events[index + 1 :])
                    return transport
                case HandshakeRejected():
                    message = f"{transport.peer} refused the WebSocket handshake with status {event.status}"
                    raise ConnectError(message, cause="handshake", status=event.status)
                case ProtocolFailed(reason=reason):
                    raise ConnectError(f"{transport.peer} broke the WebSocket protocol: {reason}", cause="handshake")
                case _:
                    raise ConnectError(f"{transport.peer} answered the handshake with {event}", cause="handshake")


async def accept_websocket(
    stream: trio.abc.Stream,
    nursery: trio.Nursery,
    *,
    check: Callable[[str, dict[str, str]], int | None],
    control_limit: int,
    deflate: bool = False,
) -> WebSocketTransport:
    """Do the server's handshake. Bound it with a timeout.

    Args:
        stream: Just accepted, with TLS done.
        nursery: The connection's nursery.
        check: Gets path and headers (lower-case names), and returns an HTTP status to refuse with, or None.
        control_limit: Bytes that may wait to be sent.
        deflate: Whether a client that offers permessage-deflate gets it.

    Raises:
        ConnectError: The client was refused (`status`), broke the protocol, or closed.
    """
    protocol = WebSocketProtocol("server", deflate=deflate)
    transport = WebSocketTransport(stream, nursery, protocol, role="server", limit=control_limit)
    while True:
        events = await transport.receive_handshake()
        for index, event in enumerate(events):
            if isinstance(event, BadRequest):
                await _refuse(stream, protocol, event.status, event.reason)
            if not isinstance(event, HandshakeRequested):
                raise ConnectError(f"{transport.peer} sent no WebSocket handshake: {event}", cause="handshake")
            # Repeated headers are joined, so that none can hide behind another (RFC 9110 §5.3).
            status = check(event.path, {name: event.header(name) or "" for name, _ in event.headers})
            if status is not None:
                await _refuse(stream, protocol, status, REFUSALS.get(status, "refused"))
                raise ConnectError(f"{transport.peer} was refused with {status}", cause="handshake", status=status)
            await stream.send_all(protocol.accept())
            transport.end_handshake([*events[index + 1 :], *protocol.receive_runs(b"")])
            return transport


async def _refuse(stream: trio.abc.Stream, protocol: WebSocketProtocol, status: int, reason: str) -> None:
    """Answer a handshake with a refusal that the client can read before we close."""
    try:
        with trio.move_on_after(DRAIN_TIMEOUT):
            await stream.send_all(protocol.reject(status, reason))
            while await stream.receive_some(65536):
                pass
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        await trio.lowlevel.checkpoint()
