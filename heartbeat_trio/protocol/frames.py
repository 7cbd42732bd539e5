"""WebSocket (RFC 6455) bytes to events and back, on either side. Whole messages are read by `lane`, all else by wsproto.

No I/O: feed what was read to `WebSocketProtocol.receive_data`, act on the events, send the bytes that the other methods
return. Pings and closes are not answered here, so that the caller decides what is sent when; `TRANSITIONS` says what is
possible when. A new connection goes

    client                                      server
    data = connect()                            HandshakeRequested, BadRequest   <- receive_data()
    HandshakeAccepted, HandshakeRejected  <-    data = accept() or reject(), then receive_data(b"")

and in `State.OPEN` both sides are alike.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

from wsproto.frame_protocol import Frame, FrameProtocol, Opcode, ParseFailed

from ..exceptions import LocalProtocolError
from .deflate import Deflate
from .frame_events import (
    ABNORMAL,
    NO_STATUS,
    TOO_BIG,
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
)
from .frame_rules import check_control, encode_server_text, is_close_code
from .frame_states import BEFORE_OPEN, CLOSE_OWED, LISTENING, SENDING, TRANSITIONS, State, Step
from .handshake import ClientHandshake, ServerHandshake
from .lane import BINARY, PING, PONG, TEXT, FrameLane, encode_masked
from .wire import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsproto.extensions import Extension

__all__ = [
    "TRANSITIONS",
    "BadRequest",
    "BinaryReceived",
    "CloseReceived",
    "FrameEvent",
    "HandshakeAccepted",
    "HandshakeRejected",
    "HandshakeRequested",
    "PingReceived",
    "PongReceived",
    "ProtocolFailed",
    "State",
    "Step",
    "TextReceived",
    "TextsReceived",
    "WebSocketProtocol",
    "encode_server_text",
]


HANDSHAKE_STEPS: dict[type[FrameEvent], Step] = {
    HandshakeRequested: Step.REQUEST,
    BadRequest: Step.BAD_REQUEST,
    HandshakeAccepted: Step.ACCEPT,
    HandshakeRejected: Step.REFUSE,
    ProtocolFailed: Step.REFUSE,
}


class WebSocketProtocol:
    """One side of one WebSocket connection.

    Args:
        role: Which side we are.
        host: A client's ``Host`` header: the authority, with the port where it is not the scheme's own.
        path: Path and query that a client asks for.
        headers: More headers of a client's request.
        max_message_size: Bytes of a message from the peer; a larger one fails the connection with 1009.
        deflate: Whether permessage-deflate is offered, or taken where it is offered.
        make_mask: Gives 4 unpredictable bytes for each ping and pong of a client (RFC 6455 §5.3); by default wsproto does.

    Raises:
        LocalProtocolError: Host, path or headers cannot stand in a request.
    """

    def __init__(
        self,
        role: Literal["client", "server"],
        *,
        host: str = "",
        path: str = "/",
        headers: Sequence[tuple[str, str]] = (),
        max_message_size: int = 2**20,
        deflate: bool = False,
        make_mask: Callable[[], bytes] | None = None,
    ) -> None:
        self.state = State.CONNECTING
        is_client = role == "client"
        self._deflate = Deflate(role, max_message_size=max_message_size) if deflate else None
        self._handshake = (
            ClientHandshake(host, path, headers, self._deflate) if is_client else ServerHandshake(self._deflate)
        )
        self._max_message_size = max_message_size
        self._make_mask = make_mask
        self._early = b""
        self._message = bytearray()
        self._lane = FrameLane(role, max_message_size=max_message_size)

    @property
    def is_open(self) -> bool:
        """Whether our Close is still to be sent: after the handshake, before `encode_close`."""
        return self.state in CLOSE_OWED

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be said or heard, so that the TCP connection can be closed."""
        return self.state is State.CLOSED

    @property
    def has_partial_data(self) -> bool:
        """Whether the last read brought bytes of a message (not of a ping or pong), whole or not: a sign of life."""
        return self._lane.has_data

    @property
    def deflate_bits(self) -> int | None:
        """The window of compressed messages, on which `encode_text` depends besides the side; None: none are compressed."""
        return self._deflate.bits if self._deflate is not None and self._deflate.enabled() else None

    @cached_property
    def _frames(self) -> FrameProtocol:
        """What does not take the lane goes through this: made when it is needed, which a quiet connection never does.

        That is after the handshake, so that wsproto knows whether deflating was agreed on.
        """
        extensions: list[Extension] = [] if self._deflate is None else [self._deflate]
        return FrameProtocol(client=isinstance(self._handshake, ClientHandshake), extensions=extensions)

    # The handshake

    def connect(self) -> bytes:
        """Begin as a client: the request to send."""
        if not isinstance(self._handshake, ClientHandshake):
            raise LocalProtocolError("only a client connects")
        self._move(Step.REQUEST)
        return self._handshake.request()

    def accept(self) -> bytes:
        """Agree to a `HandshakeRequested`: the response to send. Then call ``receive_data(b"")`` for early frames."""
        handshake = self._server_handshake()
        self._move(Step.ACCEPT)
        self._early = handshake.rest
        return handshake.accept()

    def reject(self, status: int, reason: str) -> bytes:
        """Refuse a `HandshakeRequested` or `BadRequest`: the response to send before closing.

        Args:
            status: HTTP status: 401 token, 403 origin, 503 full, or `BadRequest.status`.
            reason: The body.
        """
        data = self._server_handshake().reject(status, reason)
        self._move(Step.REFUSE)
        return data

    # What comes in

    def receive_data(self, data: bytes) -> list[FrameEvent]:
        """Take the bytes of one read and return what they complete, in order. After a Close or failure they are ignored."""
        events: list[FrameEvent] = []
        for event in self.receive_runs(data):
            if isinstance(event, TextsReceived):
                events += map(TextReceived, event.payloads)
            else:
                events.append(event)
        return events

    def receive_runs(self, data: bytes) -> list[FrameEvent]:
        """Like `receive_data`, with the text messages that follow each other in one event: for who wants them fast."""
        self._lane.has_data = False
        if self.state in LISTENING:
            return self._receive_frames(data)
        if self.state in (State.CONNECTING, State.REQUESTED):
            return self._receive_handshake(data)
        return []

    def receive_eof(self) -> list[FrameEvent]:
        """Take the end of the input; without a Close before it, it is a failure (1006, RFC 6455 §7.1.5)."""
        state = self.state
        self._lane.has_data = False
        self._move(Step.END)
        if state in LISTENING:
            return [CloseReceived(ABNORMAL, "")]
        if state in BEFORE_OPEN:
            return [ProtocolFailed(ABNORMAL, "the connection ended during the handshake")]
        return []

    # What goes out

    def encode_text(self, payload: bytes) -> bytes:
        """Frame one text message; b"" once the connection is closing, since nothing may follow a Close.

        Raises:
            LocalProtocolError: Before the handshake is done, or if the payload is no UTF-8.
        """
        if not self._may_send():
            return b""
        try:
            text = payload.decode()
        except UnicodeDecodeError as error:
            raise LocalProtocolError(f"a text message must be UTF-8: {error}") from error
        if isinstance(self._handshake, ServerHandshake) and self.deflate_bits is None:
            return encode_server_text(payload)
        return bytes(self._frames.send_data(text))

    def encode_binary(self, payload: bytes) -> bytes:
        """Frame one binary message; b"" once the connection is closing. Raises `LocalProtocolError` before it is open."""
        return bytes(self._frames.send_data(payload)) if self._may_send() else b""

    def encode_ping(self, payload: bytes) -> bytes:
        """Frame a ping; b"" once the connection is closing. Raises `LocalProtocolError` above 125 bytes."""
        return self._encode_control(PING, check_control(payload))

    def encode_pong(self, payload: bytes) -> bytes:
        """Frame a pong; b"" once the connection is closing. Raises `LocalProtocolError` above 125 bytes."""
        return self._encode_control(PONG, check_control(payload))

    def encode_close(self, code: int | None = 1000, reason: str = "") -> bytes:
        """Frame our Close, the first time; b"" where none can be sent.

        Args:
            code: RFC 6455 §7.4; None sends none.
            reason: Cut at 123 bytes; ignored without a code.

        Raises:
            LocalProtocolError: The code must not stand in a frame.
        """
        if code is not None and not is_close_code(code):
            raise LocalProtocolError(f"close code {code} must not be sent")
        if not self.is_open:
            return b""
        self._move(Step.SEND_CLOSE)
        return bytes(self._frames.close(code, None if code is None else reason))

    # Inside

    def _server_handshake(self) -> ServerHandshake:
        if not isinstance(self._handshake, ServerHandshake):
            raise LocalProtocolError("only a server accepts or rejects")
        return self._handshake

    def _move(self, step: Step) -> None:
        state = TRANSITIONS.get((self.state, step))
        if state is None:
            raise LocalProtocolError(f"{step.value}: not possible in state {self.state.value}")
        self.state = state

    def _may_send(self) -> bool:
        if self.state in BEFORE_OPEN:
            raise LocalProtocolError("nothing can be sent before the handshake is done")
        return self.state in SENDING

    def _encode_control(self, kind: int, payload: bytes) -> bytes:
        if not self._may_send():
            return b""
        if self._make_mask is not None:
            return encode_masked(kind, payload, self._make_mask())
        return bytes(self._frames.ping(payload) if kind == PING else self._frames.pong(payload))

    def _receive_handshake(self, data: bytes) -> list[FrameEvent]:
        event = self._handshake.receive_data(data)
        if event is None:
            return []
        self._move(HANDSHAKE_STEPS[type(event)])
        if isinstance(event, HandshakeAccepted):
            return [event, *self._receive_frames(self._handshake.rest)]
        return [event]

    def _receive_frames(self, data: bytes) -> list[FrameEvent]:
        if self._early:
            data, self._early = self._early + data, b""
        events: list[FrameEvent] = []
        for kind, payloads in self._lane.split(data):
            if kind == TEXT:
                events.append(TextsReceived(payloads))
            elif kind == BINARY:
                events += map(BinaryReceived, payloads)
            elif kind == PONG:
                events += map(PongReceived, payloads)
            else:
                events += self._receive_others(payloads[0])
                if self.state not in LISTENING:
                    break
        return events

    def _receive_others(self, data: bytes) -> list[FrameEvent]:
        """What does not take the lane goes through wsproto: the rest of one frame, or a part of it."""
        self._frames.receive_bytes(data)
        events: list[FrameEvent] = []
        try:
            for frame in self._frames.received_frames():
                event = self._receive_frame(frame)
                if event is not None:
                    events.append(event)
                if self.state not in LISTENING:  # nothing follows a Close (RFC 6455 §5.5.1)
                    break
        except ParseFailed as error:
            # Python's words for bad UTF-8 tell a position within the read, which means nothing to anybody.
            reason = "text must be UTF-8" if isinstance(error.__context__, UnicodeError) else str(error)
            events.append(self._fail(int(error.code), reason))
        return events

    def _receive_frame(self, frame: Frame) -> FrameEvent | None:
        payload = frame.payload
        if isinstance(payload, tuple):
            self._move(Step.RECEIVE_CLOSE)
            code, reason = payload
            return CloseReceived(None if code == NO_STATUS else int(code), printable(reason))
        if frame.opcode is Opcode.PING:
            return PingReceived(_as_bytes(payload))
        if frame.opcode is Opcode.PONG:
            return PongReceived(_as_bytes(payload))
        return self._receive_piece(_as_bytes(payload), frame)

    def _receive_piece(self, piece: bytes, frame: Frame) -> FrameEvent | None:
        """Gather a message. wsproto hands out payload as it comes, so nothing larger than the limit is ever held."""
        self._message += piece
        if len(self._message) > self._max_message_size:
            return self._fail(TOO_BIG, f"a message has at most {self._max_message_size} bytes")
        if not frame.message_finished:
            return None
        message, self._message = bytes(self._message), bytearray()
        return TextReceived(message) if frame.opcode is Opcode.TEXT else BinaryReceived(message)

    def _fail(self, code: int, reason: str) -> ProtocolFailed:
        self._move(Step.FAIL)
        self._message = bytearray()
        return ProtocolFailed(code, printable(reason, 256))


def _as_bytes(payload: bytes | str) -> bytes:
    return payload.encode() if isinstance(payload, str) else bytes(payload)
