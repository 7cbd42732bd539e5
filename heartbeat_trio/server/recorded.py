"""Recordings of what a venue sent: lines of ``time: message``, decoded into quotes."""

from __future__ import annotations

import ast
import re
import zlib
from typing import TYPE_CHECKING

import msgspec

from ..exceptions import ConfigError
from ..protocol.venue_quotes import VenueDecoder
from ..protocol.wire import BAD_INPUT, MAX_TS

if TYPE_CHECKING:
    from pathlib import Path

    from ..events import Quote
    from ..protocol.venue_records import VenueQuotes
    from ..protocol.venue_values import Json

RECORDED = re.compile(r"(\d+(?:\.\d+)?): (.*)", re.DOTALL)
"""A line of a recording. Others (a URL, and what was sent) are headers."""
HEADER = re.compile(r"\w+://.* (<->?|->) ")
CONNECTED = " <-> "
"""What a header says where another connection begins."""

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of a message once it is inflated."""

_JSON = msgspec.json.Decoder()
_GZIP = b"\x1f\x8b"
_BAD_LITERAL = (ValueError, SyntaxError, MemoryError, RecursionError)


def read_payload(text: str) -> str | bytes:
    """A recorded message as it came: binary ones are recorded as Python writes bytes, some of them gzipped.

    Raises:
        ValueError: It is no such literal, is damaged, or inflates to more than `MAX_MESSAGE`.
    """
    if text[:2] not in ("b'", 'b"'):
        return text
    try:
        data = ast.literal_eval(text)
    except _BAD_LITERAL as error:
        raise ValueError(f"no bytes as Python writes them: {error}") from error
    if not isinstance(data, bytes) or not data.startswith(_GZIP):
        return data if isinstance(data, bytes) else text
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        inflated = inflater.decompress(data, MAX_MESSAGE)
    except zlib.error as error:
        raise ValueError(f"no gzip: {error}") from error
    if not inflater.eof:
        raise ValueError(f"gzip that is cut, or of more than {MAX_MESSAGE} bytes")
    return inflated


class RecordingReader:
    """Reads a recording's lines in order, once through.

    Args:
        path: The file's name, for what is wrong with it.
        record: How the venue writes its quotes.
    """

    def __init__(self, path: Path, record: VenueQuotes) -> None:
        self._path = path
        self._record = record
        self._decoder = VenueDecoder(record)
        self._line = 0

    def read(self, line: str) -> tuple[float, list[Quote]] | None:
        """The next line's time and quotes; None if it has none.

        Raises:
            ConfigError: The line is no line of this venue's recording; it names file and line.
        """
        self._line += 1
        match = RECORDED.fullmatch(line.rstrip("\r\n"))
        if match is None:
            if line.strip():
                self._read_header(line)
            return None
        at = float(match[1])
        try:
            if at * 1_000_000 > MAX_TS:
                raise ValueError("the time is none of the years 1970 to 9999")
            quotes = self._decode(match[2], round(at * 1_000_000))
        except BAD_INPUT as error:
            raise ConfigError(f"{self._path}:{self._line}: {error}") from error
        return (at, quotes) if quotes else None

    def _read_header(self, line: str) -> None:
        if not HEADER.match(line):
            raise ConfigError(f"{self._path}:{self._line}: neither `time: message` nor a header")
        if CONNECTED in line:
            self._decoder = VenueDecoder(self._record)

    def _decode(self, text: str, received_us: int) -> list[Quote]:
        value = self._parse(text)
        before = self._decoder.statistics().invalid
        quotes = self._decoder.decode(value, received_us)
        after = self._decoder.statistics()
        if after.invalid > before:
            raise ValueError(after.trouble)
        return quotes

    def _parse(self, text: str) -> Json:
        payload = read_payload(text)
        try:
            return _JSON.decode(payload)
        except BAD_INPUT:
            if self._decoder.classify(payload) == "known_other":  # some venues' pongs are no JSON
                return payload
            raise
