"""What makes quotes of a venue's messages: a decoder for each connection, of which the next one learns."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from ..protocol.venue_quotes import VenueDecoder
from ..protocol.venue_records import venue_quotes

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..events import Quote


def wall_us() -> int:
    """Microseconds UTC."""
    return time.time_ns() // 1000


class Decoders:
    """The decoders of one session, one for each of its connections.

    What is numbered here, because the venue's own numbers say nothing, has a stream of its own on each connection. Symbols
    that left the venue's numbers on one connection are numbered here on the next ones, too: see `VenueDecoder`.

    Args:
        received_us: Tells the time in microseconds UTC, for quotes to which the venue gave no time.
    """

    def __init__(self, received_us: Callable[[], int] = wall_us) -> None:
        self._received_us = received_us
        self._last: VenueDecoder | None = None

    def make(self, venue: str) -> Callable[[Any], list[Quote]] | None:
        """What decodes the messages of a new connection; None: this venue's quotes cannot be decoded.

        Raises:
            ConfigError: There is no record of that name.
        """
        if not venue:
            return None
        record, last, received_us = venue_quotes(venue), self._last, self._received_us
        # From the system's entropy, not from a session's own source: two sessions with the same seed must differ.
        decoder = VenueDecoder(record, stream=f"local-{secrets.token_hex(10)}", moved=() if last is None else last.moved())
        self._last = decoder
        return lambda message: decoder.decode(message, received_us())
