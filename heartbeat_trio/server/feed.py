"""What the server holds of each symbol: its last quotes, each encoded once, and where a client can go on. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from ..protocol.messages import MAX_SEQ, ErrorNotice, GapNotice

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..events import Quote
    from ..protocol.messages import Resume


class Entry:
    """One quote, and the bytes that it was encoded to, by the transports' `encoding`."""

    __slots__ = ("_encoded", "quote")

    def __init__(self, quote: Quote) -> None:
        self.quote = quote
        self._encoded: dict[str, bytes] = {}

    def encoded(self, encoding: str, encode: Callable[[Quote], bytes]) -> bytes:
        """The quote's bytes; made once for all transports of the same encoding."""
        data = self._encoded.get(encoding)
        if data is None:
            data = encode(self.quote)
            if data:  # a transport that is closing encodes to nothing, which is true of no other
                self._encoded[encoding] = data
        return data


class Plan(msgspec.Struct, frozen=True):
    """What a new subscription gets.

    Args:
        notices: To be sent first: gaps, or an error.
        cursor: The number from which on quotes are sent.
    """

    notices: tuple[GapNotice | ErrorNotice, ...]
    cursor: int


class SymbolFeed:
    """The ring of one symbol's last quotes.

    Args:
        symbol: The symbol.
        stream: The numbering's id.
        size: Quotes that are kept for resuming.
    """

    def __init__(self, symbol: str, stream: str, size: int) -> None:
        self.symbol = symbol
        self.stream = stream
        self._ring: deque[Entry] = deque(maxlen=size)

    @property
    def newest(self) -> int:
        """The last number that was given; 0 before the first."""
        return self._ring[-1].quote.seq if self._ring else 0

    @property
    def oldest(self) -> int:
        """The oldest number that is still held; 1 before the first."""
        return self._ring[0].quote.seq if self._ring else 1

    def append(self, quote: Quote) -> Entry:
        """Add the next quote. The source numbers without holes."""
        entry = Entry(quote)
        self._ring.append(entry)
        return entry

    def entry(self, seq: int) -> Entry:
        """The quote of that number, which must be held."""
        return self._ring[seq - self.oldest]

    def plan(self, resume: Resume | None) -> Plan:
        """Where a subscription begins: the newest quote, or after the one that the client had last."""
        if resume is None:
            return Plan((), max(1, self.newest))
        if resume.seq == MAX_SEQ:
            return Plan((ErrorNotice("bad_resume", "no number comes after that"),), self.newest + 1)
        if resume.stream != self.stream:
            gone = GapNotice(self.symbol, resume.stream, resume.seq + 1, None)
            return Plan((gone, *self._expired(1)), self.oldest)
        if resume.seq > self.newest:
            error = ErrorNotice("bad_resume", f"{self.symbol} has not come to {resume.seq} yet, but to {self.newest}")
            return Plan((error,), self.newest + 1)
        return Plan(self._expired(resume.seq + 1), max(resume.seq + 1, self.oldest))

    def _expired(self, wanted: int) -> tuple[GapNotice, ...]:
        if wanted >= self.oldest:
            return ()
        return (GapNotice(self.symbol, self.stream, wanted, self.oldest - 1),)
