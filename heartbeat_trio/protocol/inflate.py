"""Compressed messages, unpacked without trusting them."""

from __future__ import annotations

import zlib

from .messages import Invalid
from .wire import bad_message

MAX_INFLATED = 2**20
"""Bytes of a message after unpacking."""

GZIP = 31
"""zlib's word for a gzip wrapper with the largest window."""


def inflate(payload: bytes) -> bytes | Invalid:
    """Unpack one gzip member that is the whole message; what would be larger than 1 MiB is given up at that size."""
    inflater = zlib.decompressobj(GZIP)
    try:
        text = inflater.decompress(payload, MAX_INFLATED)
    except zlib.error as error:
        return bad_message("gzip", error)
    if not inflater.eof or inflater.unused_data:
        return Invalid("bad_message", "gzip: cut off, followed by something, or more than 1 MiB")
    return text
