"""What may stand in a frame that we send (RFC 6455 §5 and §7.4)."""

from __future__ import annotations

import struct

from ..exceptions import LocalProtocolError

MAX_CONTROL_PAYLOAD = 125
"""Bytes of a ping or pong (RFC 6455 §5.5)."""


def encode_server_text(payload: bytes) -> bytes:
    """Frame a text message from a server: unmasked and final (RFC 6455 §5.2), so that all its clients can share it."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 2**16:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


def check_control(payload: bytes) -> bytes:
    """The payload of a ping or pong; raises `LocalProtocolError` for too large a one."""
    if len(payload) > MAX_CONTROL_PAYLOAD:
        raise LocalProtocolError(f"a ping or pong carries at most {MAX_CONTROL_PAYLOAD} bytes, not {len(payload)}")
    return payload


def is_close_code(code: int) -> bool:
    """Codes that may stand in a frame: RFC 6455 §7.4 and the registry it made; 1004 to 1006 and 1015 must not."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
