"""Finds pings and pongs in a stream of WebSocket bytes that somebody else decodes.

A WebSocket library that keeps pongs to itself hides the late, the duplicate and the unknown ones, and the moment at which
they came. A tap between it and the stream sees them all. It follows the frame headers (RFC 6455 §5.2) and looks into
nothing but pings and pongs; validating is the library's work.
"""

from __future__ import annotations

import struct

import msgspec

PING = 0x9
PONG = 0xA
END_OF_HEADERS = b"\r\n\r\n"


class TapResult(msgspec.Struct, frozen=True):
    """What one read held: payloads of pongs and of pings, and whether bytes of anything else came."""

    pongs: list[bytes]
    pings: list[bytes]
    has_data: bool


class FrameTap:
    """Follows one direction of a connection, from the HTTP handshake on."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_open = False
        self._to_skip = 0

    def receive_data(self, data: bytes) -> TapResult:
        """Look at bytes in passing. Memory is bounded by one header and one control frame, after the handshake."""
        self._buffer += data
        if not self._is_open:
            end = self._buffer.find(END_OF_HEADERS)
            if end < 0:
                return TapResult([], [], has_data=True)
            del self._buffer[: end + len(END_OF_HEADERS)]
            self._is_open = True
        found: dict[int, list[bytes]] = {PING: [], PONG: []}
        has_data = self._follow(found)
        return TapResult(found[PONG], found[PING], has_data=has_data)

    def _follow(self, found: dict[int, list[bytes]]) -> bool:
        """Work through whole frames; True if any byte belonged to neither ping nor pong."""
        has_data = False
        while self._buffer:
            if self._to_skip:
                skipped = min(self._to_skip, len(self._buffer))
                del self._buffer[:skipped]
                self._to_skip -= skipped
                has_data = True
                continue
            opcode = self._buffer[0] & 0x0F
            header = self._header()
            if header is None:
                return has_data or opcode not in found
            size, length = header
            if opcode not in found:
                del self._buffer[:size]
                self._to_skip = length
                has_data = True
            elif len(self._buffer) < size + length:
                return has_data
            else:
                found[opcode].append(self._payload(size, length))
                del self._buffer[: size + length]
        return has_data

    def _header(self) -> tuple[int, int] | None:
        """Size of the frame's header and length of its payload; None while the header is incomplete."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, size = buffer[1] & 0x7F, 2
        if length >= 126:
            code, size = ("!H", 4) if length == 126 else ("!Q", 10)
            if len(buffer) < size:
                return None
            (length,) = struct.unpack_from(code, buffer, 2)
        size += 4 if buffer[1] & 0x80 else 0
        return (size, length) if len(buffer) >= size else None

    def _payload(self, size: int, length: int) -> bytes:
        payload = bytes(self._buffer[size : size + length])
        if not self._buffer[1] & 0x80:
            return payload
        mask = self._buffer[size - 4 : size]
        return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
