"""Decodes what any venue sends into quotes, by the venue's record; knows what else may come. Pure.

One decoder serves one connection: it remembers what channels were announced and how far each symbol has come.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from ..events import Quote
from ..exceptions import ConfigError
from .venue_compiled import CompiledMessage, CompiledVenue, Prices
from .venue_connection import ChannelBook, ConnectionCounter
from .venue_paths import Channel
from .venue_records import VenueQuotes
from .venue_sequence import MAX_KEYS, OLD, RESTARTED, SequenceCheck, SequenceGap
from .venue_values import MISSING, Json
from .wire import is_stream

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_GAPS = 1024
"""Gaps that wait to be taken; the oldest are forgotten first, and `DecoderStatistics.gaps` still counts them."""

Kind = Literal["quotes", "known_other", "unknown"]


class VenueQuote(NamedTuple):
    """A quote, with what the venue said beyond it.

    Args:
        quote: The quote.
        message: Name of the kind of message that held it, as in the venue's record.
        number: The venue's own sequence number, whatever its rule; None where it gave none.
    """

    quote: Quote
    message: str
    number: int | None


class DecoderStatistics(msgspec.Struct, frozen=True):
    """What became of a connection's messages so far.

    Args:
        quotes: Quotes given out.
        duplicates: Dropped, because the venue's sequence says that they, or newer ones, came before.
        invalid: Looked like quotes, but held a wrong type, an impossible number, or no symbol.
        empty: Held quotes without any price, as of an empty order book.
        left_out: Symbols that none of our wires can carry, or too many of them.
        gaps: Holes in numbers that have none unless something was lost.
        restarts: Numberings that began anew, or jumped further than any loss.
        trouble: What was wrong with the last invalid one, for people.
    """

    quotes: int
    duplicates: int
    invalid: int
    empty: int
    left_out: int
    gaps: int
    restarts: int
    trouble: str


class _Numbering:
    """How one symbol's quotes are numbered: by `owner`'s own numbers, or by ours, of which `seq` is the last."""

    __slots__ = ("owner", "seq")

    def __init__(self, owner: CompiledMessage | None) -> None:
        self.owner = owner
        self.seq = 0


class VenueDecoder:
    """Decodes one connection's messages.

    **What may be relied on.** Of each symbol and `Quote.stream`, `Quote.seq` only grows, and it grows by one unless the
    venue's own numbers say that something was lost: then it skips just as many. So `FeedArbiter` finds every loss that can
    be known, and no other.

    - A symbol whose quotes come from one kind of message with the rule `per_symbol_plus_one` has the venue's own numbers,
      in the stream ``<venue>-<message>``: the same on every connection, so that a loss across a reconnect shows, and the
      same quote from two connections is one.
    - Every other symbol is numbered here from 1, in the stream given as ``stream`` (``local-...``), which must be another
      one for each connection: nothing can be said about what was lost between two of them. Holes of a `monotonic`
      sequence mean nothing and are closed; what it shows to be old is dropped.
    - A symbol of the first sort that turns out to have several kinds of messages, or whose venue begins to count anew,
      moves to the local stream and stays there: at most one change of stream per symbol and connection. `moved` tells which
      they are; the next connection's decoder is given them, since a consumer drops what comes of a stream that was left.
      Who subscribes to several kinds avoids even that with ``numbering="local"``.

    `decode_all` gives the venue's number beside each quote, and `take_gaps` the holes in the venue's own words.

    Args:
        record: The venue's record: `venue_quotes(name)`.
        stream: Stream id of what is numbered here: ``local-`` and more, 1 to 32 characters, another one per connection.
        numbering: `auto`, as above, or `local`: all of it is numbered here.
        moved: Symbols that are numbered here in any case: the `moved` of the connection before.

    Raises:
        ConfigError: The stream or the numbering is impossible.
    """

    def __init__(
        self,
        record: VenueQuotes,
        *,
        stream: str = "local-1",
        numbering: Literal["auto", "local"] = "auto",
        moved: Iterable[str] = (),
    ) -> None:
        if not (is_stream(stream) and stream.startswith("local-")):
            raise ConfigError(f"VenueDecoder.stream = {stream!r} must be `local-` and up to 26 of A-Z a-z 0-9 -")
        if numbering not in ("auto", "local"):
            raise ConfigError(f"VenueDecoder.numbering = {numbering!r} must be 'auto' or 'local'")
        self.venue = record.name
        self._compiled = CompiledVenue(record)
        self._stream = stream
        self._may_own = numbering == "auto"
        self._moved = set(moved)
        self._checks = {each.name: _check_of(each) for each in self._compiled.messages}
        self._channels = None if record.announced is None else ChannelBook(record.announced)
        self._counter = None if record.connection is None else ConnectionCounter(record.connection)
        self._has_state = self._channels is not None or self._counter is not None
        self._symbols: dict[str, _Numbering] = {}
        self._known: dict[tuple[str, str], Prices] = {}
        self._gaps: deque[SequenceGap] = deque(maxlen=MAX_GAPS)
        self._quotes = self._duplicates = self._invalid = self._empty = self._left_out = 0
        self._gap_count = self._restarts = 0
        self._trouble = ""

    def decode(self, value: Json, received_us: int, beyond: list[tuple[str, int | None]] | None = None) -> list[Quote]:
        """The quotes of a parsed JSON message, oldest first; never raises, whatever it is.

        Args:
            value: The message.
            received_us: When it came, in microseconds UTC: for quotes to which the venue gave no time.
            beyond: Gets one entry for each quote: the name of the kind of message, and the venue's own number.
        """
        compiled = self._compiled
        channel = self._follow(value) if self._has_state else None
        body = value if compiled.envelope_mark is None else compiled.unwrap(value)
        message = compiled.find(value, body, channel)
        if message is None:
            return []
        quotes: list[Quote] = []
        for item in self._items(message, value, body, channel):
            try:
                number = message.number(value, item, channel)
                quote = self._quote(message, value, item, channel, number, received_us)
            except ValueError as error:
                self._count_invalid(error)
                continue
            if quote is not None:
                quotes.append(quote)
                if beyond is not None:
                    beyond.append((message.name, number))
        self._quotes += len(quotes)
        return quotes

    def decode_all(self, value: Json, received_us: int) -> list[VenueQuote]:
        """As `decode`, with the kind of message and the venue's own number beside each quote."""
        beyond: list[tuple[str, int | None]] = []
        quotes = self.decode(value, received_us, beyond)
        return [VenueQuote(quote, *each) for quote, each in zip(quotes, beyond, strict=True)]

    def classify(self, value: Json) -> Kind:
        """What sort of message it is; changes nothing. A message that looks like quotes is `quotes`, valid or not.

        Where channels are announced, ask after decoding the announcement, and before decoding the end.
        """
        compiled = self._compiled
        channel = None if self._channels is None else self._channels.channel_of(value)
        body = compiled.unwrap(value)
        message = compiled.find(value, body, channel)
        if message is not None and (message.only is None or self._items(message, value, body, channel)):
            return "quotes"
        return "known_other" if compiled.is_other(value, body, channel) else "unknown"

    def take_gaps(self) -> list[SequenceGap]:
        """The holes in the venue's numbers that were found since the last call, oldest first."""
        gaps = list(self._gaps)
        self._gaps.clear()
        return gaps

    def moved(self) -> frozenset[str]:
        """The symbols that left the venue's own numbers, on this connection or before."""
        return frozenset(self._moved)

    def statistics(self) -> DecoderStatistics:
        """What became of the messages so far."""
        return DecoderStatistics(
            self._quotes,
            self._duplicates,
            self._invalid,
            self._empty,
            self._left_out,
            self._gap_count,
            self._restarts + (0 if self._counter is None else self._counter.restarts),
            self._trouble,
        )

    @staticmethod
    def _items(message: CompiledMessage, value: Json, body: Json, channel: Channel | None) -> list[Json]:
        """What in a message holds a quote each, the oldest first."""
        items = message.items(body)
        if message.only is not None:
            items = [item for item in items if message.only(value, item, channel)]
        if message.rule != "none" and len(items) > 1:
            items = _in_order(items, message, value, channel)
        return items

    def _quote(
        self,
        message: CompiledMessage,
        value: Json,
        item: Json,
        channel: Channel | None,
        number: int | None,
        received_us: int,
    ) -> Quote | None:
        """One item's quote; None if there is none to give. Raises `ValueError` if it is invalid."""
        symbol = message.symbol(value, item, channel)
        prices = message.prices(value, item, channel)
        ts = message.micros(value, item, channel)
        is_delta = message.delta is not None and message.delta(value, item, channel)
        if not is_delta and prices[0] is prices[1] is prices[2] is MISSING:
            raise ValueError("there is no price where one should be")
        if symbol is None or (symbol not in self._symbols and len(self._symbols) >= MAX_KEYS):
            self._left_out += 1
            return None
        missing = 0 if number is None else self._check(message, symbol, number)
        if missing == OLD:
            self._duplicates += 1
            return None
        if is_delta and prices[0] is prices[1] is prices[2] is MISSING:
            return None
        if message.delta is not None:
            prices = self._fill(message, symbol, prices, is_delta=is_delta)
        bid, ask, last = prices
        bid = None if bid is MISSING else bid
        ask = None if ask is MISSING else ask
        last = None if last is MISSING else last
        if bid is ask is last is None:
            self._empty += 1
            return None
        stream, seq = self._number(message, symbol, number, missing)
        return Quote(symbol, bid, ask, seq, stream, received_us if ts is None else ts, last)

    def _fill(self, message: CompiledMessage, symbol: str, prices: Prices, *, is_delta: bool) -> Prices:
        """Put what is unchanged, or None, in the place of what is missing; remember it for the next one."""
        key = message.name, symbol
        known = self._known.get(key, _NO_PRICES) if is_delta else _NO_PRICES
        bid, ask, last = (old if price is MISSING else price for old, price in zip(known, prices, strict=True))
        if bid is ask is last is None:
            self._known.pop(key, None)
        else:
            self._known[key] = bid, ask, last
        return bid, ask, last

    def _check(self, message: CompiledMessage, symbol: str, number: int) -> int:
        missing = self._checks[message.name].receive(symbol, number)
        if missing > 0:
            self._tell_gap(SequenceGap(message.name, symbol, number - missing, number - 1))
        elif missing == RESTARTED:
            self._restarts += 1
        return missing

    def _number(self, message: CompiledMessage, symbol: str, number: int | None, missing: int) -> tuple[str, int]:
        """A quote's stream and number."""
        numbering = self._symbols.get(symbol)
        if numbering is None:
            is_owned = self._may_own and message.rule == "per_symbol_plus_one" and number and symbol not in self._moved
            numbering = self._symbols[symbol] = _Numbering(message if is_owned else None)
        if numbering.owner is message and number and missing != RESTARTED:
            return message.stream, number
        if numbering.owner is not None:
            numbering.owner = None
            self._moved.add(symbol)
        elif missing > 0:
            numbering.seq += missing
        numbering.seq += 1
        return self._stream, numbering.seq

    def _follow(self, value: Json) -> Channel | None:
        """Note what a message says about the connection; returns the channel it belongs to."""
        channel = None
        if self._counter is not None:
            try:
                gap = self._counter.receive(value)
                if gap is not None:
                    self._tell_gap(gap)
            except ValueError as error:
                self._count_invalid(error)
        if self._channels is not None:
            channel = self._channels.channel_of(value)
            try:
                self._channels.receive(value)
            except ValueError as error:
                self._count_invalid(error)
        return channel

    def _tell_gap(self, gap: SequenceGap) -> None:
        self._gap_count += 1
        self._gaps.append(gap)

    def _count_invalid(self, error: ValueError) -> None:
        self._invalid += 1
        self._trouble = str(error)


_NO_PRICES: Prices = (None, None, None)


def _check_of(message: CompiledMessage) -> SequenceCheck:
    return SequenceCheck(message.record.rule, repeats=message.record.repeats, restart=message.record.restart)


def _in_order(items: list[Json], message: CompiledMessage, value: Json, channel: Channel | None) -> list[Json]:
    """The oldest first, since several venues put the newest first; as they are if one of them has no number."""
    try:
        numbers = [message.number(value, item, channel) for item in items]
    except ValueError:
        return items
    known = [number for number in numbers if number is not None]
    if len(known) < len(items):
        return items
    return [items[index] for index in sorted(range(len(items)), key=known.__getitem__)]
