"""What can come out of a `WebSocketProtocol`: the steps of its handshake, messages, control frames, and its end."""

from __future__ import annotations

import msgspec

PROTOCOL_ERROR, NO_STATUS, ABNORMAL, TOO_BIG = 1002, 1005, 1006, 1009
"""Close codes (RFC 6455 §7.4.1)."""


class HandshakeRequested(msgspec.Struct, frozen=True):
    """A client asks for a WebSocket: `WebSocketProtocol.accept` or `WebSocketProtocol.reject` it.

    Args:
        path: Path and query as sent.
        headers: In the order sent, names in lower case. They may hold a token, so they do not show in a `repr`.
    """

    path: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """A header's value; repeated ones are joined with commas (RFC 9110 §5.3), so that none can hide."""
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None

    def __repr__(self) -> str:
        return f"HandshakeRequested(path={self.path!r}, headers=...)"


class BadRequest(msgspec.Struct, frozen=True):
    """What came is no request for a WebSocket: answer with ``reject(event.status, event.reason)``."""

    status: int
    reason: str


class HandshakeAccepted(msgspec.Struct, frozen=True):
    """The server agreed; the connection is open."""


class HandshakeRejected(msgspec.Struct, frozen=True):
    """The server answered, but not with a WebSocket. ``body_start`` is what came of its body in the same read."""

    status: int
    body_start: bytes


class TextReceived(msgspec.Struct, frozen=True):
    """One whole text message, as the UTF-8 that it is."""

    payload: bytes


class TextsReceived(msgspec.Struct, frozen=True):
    """Whole text messages that came one after the other, as the UTF-8 that they are."""

    payloads: list[bytes]


class BinaryReceived(msgspec.Struct, frozen=True):
    """One whole binary message."""

    payload: bytes


class PingReceived(msgspec.Struct, frozen=True):
    """A ping: answer the newest with `WebSocketProtocol.encode_pong` (RFC 6455 §5.5.3)."""

    payload: bytes


class PongReceived(msgspec.Struct, frozen=True):
    """A pong, asked for or not."""

    payload: bytes


class CloseReceived(msgspec.Struct, frozen=True):
    """The peer closes. ``code`` is None where it gave none, 1006 where the bytes ended without a Close.

    If `WebSocketProtocol.is_open`, answer with `WebSocketProtocol.encode_close`. ``reason`` is safe to show.
    """

    code: int | None
    reason: str


class ProtocolFailed(msgspec.Struct, frozen=True):
    """The peer broke the protocol. Send ``encode_close(event.code, event.reason)``; what still comes is ignored."""

    code: int
    reason: str


FrameEvent = (
    HandshakeRequested
    | BadRequest
    | HandshakeAccepted
    | HandshakeRejected
    | TextReceived
    | TextsReceived
    | BinaryReceived
    | PingReceived
    | PongReceived
    | CloseReceived
    | ProtocolFailed
)
