"""permessage-deflate (RFC 7692) as an extension of wsproto's: negotiated, theirs inflated within a bound, ours deflated.

Only the interface is wsproto's. Its own `PerMessageDeflate` inflates without bound, takes the rest of a fragmented message
for uncompressed once a ping came between, and agrees to parameters that it should decline or fails to read them.

Each of our messages is compressed by itself, without the memory of earlier ones. That costs some of the saving, but a frame
may then be overtaken, taken back before it left, or sent again, and servers' frames may be shared, as all others; and what
compressed it need not be kept.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Literal

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, Opcode, ParseFailed, RsvBits
from wsproto.utilities import RemoteProtocolError

if TYPE_CHECKING:
    from wsproto.frame_protocol import FrameDecoder, FrameProtocol

SMALLEST = 64
"""Bytes from which on a message of ours is compressed, if that makes it smaller."""

WINDOW = 12
"""Bits of the windows that we use and ask for: 4 KiB, many times a quote."""

LARGEST_WINDOW = 15
SMALLEST_OF_ZLIB = 9
"""zlib cannot compress raw data with less; a peer that wants 8 gets our messages uncompressed."""

MEMORY_LEVEL = 5
"""zlib's word for 16 KiB of hash table, for as long as one message takes."""

FINAL_BLOCKS = 64
"""Blocks marked as final that one message may have: after each, inflating begins anew, which takes time."""

TAIL = b"\x00\x00\xff\xff"
"""What a sender cuts off each message (RFC 7692 §7.2.1)."""

MESSAGES = (Opcode.TEXT, Opcode.BINARY)
FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
WINDOWS = ("server_max_window_bits", "client_max_window_bits")

_BITS = re.compile(r'([89]|1[0-5])|"([89]|1[0-5])"')


class Deflate(Extension):
    """One side's end of it.

    Args:
        role: Which side we are.
        max_message_size: Bytes of a message from the peer when inflated; a larger one is never inflated as a whole.
    """

    name = "permessage-deflate"

    def __init__(self, role: Literal["client", "server"], *, max_message_size: int) -> None:
        self._theirs, self._ours = ("server", "client") if role == "client" else ("client", "server")
        self._limit = max_message_size
        self._is_enabled = False
        self._forgets = False
        self._inflater_bits = LARGEST_WINDOW
        self._inflater: zlib._Decompress | None = None
        self._is_control = False
        self._is_compressed = False
        self._owes_tail = False
        self._size = 0
        self._final_blocks = 0
        self.bits = WINDOW
        """The window of our messages; two sides with the same make the same of a message."""

    def enabled(self) -> bool:
        """Whether it was agreed on."""
        return self._is_enabled

    # The handshake

    def offer(self) -> str:
        """A client's offer: what it does anyway, and that the server may choose its window."""
        return "client_no_context_takeover; client_max_window_bits"

    def finalize(self, offer: str) -> None:
        """Take a server's answer; raises `RemoteProtocolError` for what it must not say (RFC 7692 §7.1)."""
        parameters = _parse(offer)
        if self._is_enabled or parameters is None:
            raise RemoteProtocolError(f"the server's answer to permessage-deflate makes no sense: {offer}")
        self._agree(parameters)

    def accept(self, offer: str) -> str | None:
        """A server's answer to one of the offers, which come in the client's order of preference; None declines."""
        parameters = _parse(offer, bare="client_max_window_bits")
        if self._is_enabled or parameters is None:
            return None
        for name in WINDOWS:
            if name in parameters:
                parameters[name] = str(min(WINDOW, int(parameters[name] or LARGEST_WINDOW)))
        self._agree(parameters)
        agreed = {"server_no_context_takeover": "", **parameters}
        return "; ".join(f"{name}={value}" if value else name for name, value in agreed.items())

    def _agree(self, parameters: dict[str, str]) -> None:
        self._is_enabled = True
        self._forgets = f"{self._theirs}_no_context_takeover" in parameters
        self._inflater_bits = int(parameters.get(f"{self._theirs}_max_window_bits", LARGEST_WINDOW))
        self.bits = min(WINDOW, int(parameters.get(f"{self._ours}_max_window_bits", LARGEST_WINDOW)))

    # What comes in

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002 - wsproto's interface
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,  # noqa: ARG002
    ) -> RsvBits:
        """A frame begins (wsproto may say so twice): only a message's first may have RSV1, which marks it as compressed."""
        self._is_control = opcode.iscontrol()
        is_first = opcode in MESSAGES
        if is_first:
            self._is_compressed = rsv.rsv1
            self._owes_tail = False
            self._size = self._final_blocks = 0
        return RsvBits(is_first, False, False)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes:  # noqa: ARG002
        """A piece of payload; raises `ParseFailed` with 1009 for too large a message, with 1007 for broken data."""
        return self._inflate(data) if self._is_compressed and not self._is_control else data

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | None:  # noqa: ARG002
        """A frame ends; what its message's end brings to light."""
        if not fin or self._is_control or not self._is_compressed:
            return None
        data = self._inflate(TAIL) if self._owes_tail else b""
        self._is_compressed = False  # the next message may take the lane, and never be seen here
        if self._forgets:
            self._inflater = None
        return data

    def _inflate(self, data: bytes) -> bytes:
        """A final block ends what zlib calls a stream, but no message (RFC 7692 §7.2.3.4): what follows begins anew."""
        pieces: list[bytes] = []
        while data:
            inflater = self._inflater = self._inflater or zlib.decompressobj(-self._inflater_bits)
            try:
                piece = inflater.decompress(data, self._limit - self._size + 1)
            except zlib.error as error:
                raise ParseFailed("compressed data makes no sense", CloseReason.INVALID_FRAME_PAYLOAD_DATA) from error
            self._size += len(piece)
            if self._size > self._limit:
                raise ParseFailed(f"a message has at most {self._limit} bytes", CloseReason.MESSAGE_TOO_BIG)
            pieces.append(piece)
            data = inflater.unused_data
            self._owes_tail = not inflater.eof
            if inflater.eof:
                self._begin_anew()
        return b"".join(pieces)

    def _begin_anew(self) -> None:
        self._inflater = None
        self._final_blocks += 1
        if self._final_blocks > FINAL_BLOCKS:
            raise ParseFailed("compressed data has too many final blocks", CloseReason.INVALID_FRAME_PAYLOAD_DATA)

    # What goes out

    def frame_outbound(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002
        opcode: Opcode,
        rsv: RsvBits,
        data: bytes,
        fin: bool,
    ) -> tuple[RsvBits, bytes]:
        """Compress a whole message, where that makes it smaller."""
        if opcode in MESSAGES and fin and len(data) >= SMALLEST and self.bits >= SMALLEST_OF_ZLIB:
            deflater = zlib.compressobj(wbits=-self.bits, memLevel=MEMORY_LEVEL)
            packed = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
            packed = packed.removesuffix(TAIL)
            if len(packed) < len(data):
                return RsvBits(True, rsv.rsv2, rsv.rsv3), packed
        return rsv, data


def _parse(text: str, *, bare: str = "") -> dict[str, str] | None:
    """The parameters of an offer or an answer; None for what makes no sense (RFC 7692 §7.1).

    Args:
        text: The extension's name and its parameters.
        bare: The window that needs no number, and then is "".
    """
    parameters: dict[str, str] = {}
    for part in text.split(";")[1:]:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        bits = _BITS.fullmatch(value)
        is_flag = name in FLAGS and not equals
        is_window = name in WINDOWS and (bits is not None or (name == bare and not equals))
        if name in parameters or not (is_flag or is_window):
            return None
        parameters[name] = value.strip('"')
    return parameters
