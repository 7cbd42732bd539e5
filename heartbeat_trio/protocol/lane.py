"""The fast lane in front of wsproto: whole text and binary messages leave a read in one pass, and nothing is buffered.

A frame takes the lane if it is a text or binary message by itself (final, unfragmented, no RSV bits), whole within the read,
masked as its side must be, of at most 65 535 bytes (and the limit), and, for text, UTF-8; so does a whole pong that a client
gets. Everything else goes to wsproto as a counted run of bytes that ends with its frame or with the read: other control
frames, fragments, what is cut by the end of a read, and whatever breaks a rule, so that wsproto alone says how. Between two
runs wsproto stands at a frame's beginning, as the lane does; while it holds a fragmented message, no message takes the lane.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

TEXT, BINARY, PONG, OTHER = 0x81, 0x82, 0x8A, 0
"""Kinds of runs; all but the last are also the first byte of the frames that may take the lane (RFC 6455 §5.2)."""

PING = 0x89

CONTROL = 0x8
"""Opcodes from here on are control frames."""
HEARTBEATS = (0x9, 0xA)
"""Ping and pong."""

SHORT = 126
"""Length in a frame's second byte from which on the length follows, in 2 bytes, or in 8."""

MASKED = 0x80
"""Bit of the second byte that says that a key of ..."""
KEY = 4
"""... bytes follows the length."""

LARGEST = 2**16 - 1


class Run(NamedTuple):
    """What follows each other in a read: payloads of messages of one kind, or, for `OTHER`, one piece for wsproto."""

    kind: int
    payloads: list[bytes]


class FrameLane:
    """Splits reads into runs.

    Args:
        role: Which side we are: a client's peer must not mask, a server's must.
        max_message_size: Larger messages do not take the lane.
    """

    def __init__(self, role: Literal["client", "server"], *, max_message_size: int) -> None:
        self._mask, self._key = (0, 0) if role == "client" else (MASKED, KEY)
        self._limit = min(LARGEST, max_message_size)
        self._header = bytearray()
        self._owed = 0
        self._is_fragmented = False
        self.has_data = False
        """Whether the last read brought bytes of anything but a ping or pong, whole or not."""

    def split(self, data: bytes) -> list[Run]:
        """The runs of one read, in order."""
        runs: list[Run] = []
        position, end = 0, len(data)
        self.has_data = False
        while position < end:
            if not self._header and not self._is_fragmented:
                position = self._take_messages(data, position, runs)
            if position < end and not self._header and data[position] == PONG:
                position = self._take_pong(data, position, runs)
            elif position < end:
                position = self._pass_on(data, position, runs)
        return runs

    def _take_messages(self, data: bytes, position: int, runs: list[Run]) -> int:
        """Take what may take the lane; the position behind it."""
        while position < len(data):
            kind = data[position]
            if kind not in (TEXT, BINARY):
                break
            payloads, behind = self._take(data, position, kind)
            if kind == TEXT:
                count = _count_utf8(payloads)
                if count < len(payloads):  # from the first that is none on, it is wsproto's to complain
                    behind -= sum(map(self._frame_size, payloads[count:]))
                    del payloads[count:]
            if not payloads:
                break
            runs.append(Run(kind, payloads))
            self.has_data = True
            position = behind
        return position

    def _take(self, data: bytes, position: int, kind: int) -> tuple[list[bytes], int]:
        """Whole frames of a kind, and the position behind them. This runs for every message that comes."""
        payloads: list[bytes] = []
        end, limit, mask, key = len(data), self._limit, self._mask, self._key
        try:
            while data[position] == kind:
                size = data[position + 1] ^ mask  # without the bit that must be there, or with one that must not: too large
                start = position + 2
                if size >= SHORT:
                    if size != SHORT:
                        break
                    start = position + 4
                    size = data[position + 2] << 8 | data[position + 3]
                    if size < SHORT:
                        break
                behind = start + key + size
                if behind > end or size > limit:
                    break
                payloads.append(data[start:behind])
                position = behind
        except IndexError:  # the read ends within a header
            pass
        return [unmask(each[key:], each[:key]) for each in payloads] if key else payloads, position

    def _take_pong(self, data: bytes, position: int, runs: list[Run]) -> int:
        """Take a pong that is whole and as it must be, also from between fragments; else it is wsproto's."""
        start = position + 2
        behind = start + (data[position + 1] if start <= len(data) else SHORT)
        if self._key or behind - start >= SHORT or behind > len(data):
            return self._pass_on(data, position, runs)
        runs.append(Run(PONG, [data[start:behind]]))
        return behind

    def _frame_size(self, payload: bytes) -> int:
        """Bytes of the frame that a payload was taken from."""
        return len(payload) + (2 if len(payload) < SHORT else 4) + self._key

    def _pass_on(self, data: bytes, position: int, runs: list[Run]) -> int:
        """Pass on the rest of one frame, as far as it is here; the position behind it."""
        begin, end = position, len(data)
        header = self._header
        while position < end and (missing := _header_size(header) - len(header)) > 0:
            header += data[position : position + missing]
            position = min(end, position + missing)
            if _header_size(header) == len(header):
                self._begin(header)
        step = min(self._owed, end - position)
        position += step
        self._owed -= step
        self.has_data = self.has_data or header[0] & 0x0F not in HEARTBEATS
        if not self._owed and _header_size(header) == len(header):
            header.clear()
        runs.append(Run(OTHER, [data[begin:position]]))
        return position

    def _begin(self, header: bytearray) -> None:
        """A frame's header is whole: so much of its payload is owed, and its message may go on in another one."""
        size = header[1] & ~MASKED
        if size >= SHORT:
            size = int.from_bytes(header[2 : 4 if size == SHORT else 10], "big")
        self._owed = size
        if header[0] & 0x0F < CONTROL:
            self._is_fragmented = not header[0] & 0x80


def unmask(payload: bytes, key: bytes) -> bytes:
    """Undo a client's masking (RFC 6455 §5.3), all bytes at once."""
    size = len(payload)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(size, "little")


def encode_masked(kind: int, payload: bytes, key: bytes) -> bytes:
    """A client's frame of at most 125 bytes, whose first byte is `kind`."""
    return bytes((kind, MASKED | len(payload))) + key + unmask(payload, key)


def _header_size(header: bytearray) -> int:
    """Bytes of a frame's header, as far as what is known of it tells."""
    if len(header) < 2:
        return 2
    size = header[1] & ~MASKED
    extended = 0 if size < SHORT else 2 if size == SHORT else 8
    return 2 + extended + (KEY if header[1] & MASKED else 0)


def _count_utf8(payloads: list[bytes]) -> int:
    """How many of the first payloads are UTF-8. All of them, nearly always: so look at all at once first."""
    if b"".join(payloads).isascii():
        return len(payloads)
    for index, payload in enumerate(payloads):
        try:
            payload.decode()
        except UnicodeDecodeError:
            return index
    return len(payloads)
