"""How each venue writes its quotes, as data: `quotes.toml`, read and checked. No code of any single venue.

The language of paths, items and patterns is that of `venue_paths`.
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Literal

import msgspec

from ..exceptions import ConfigError
from .venue_paths import compile_items, compile_match, compile_path, parse_steps
from .venue_sequence import SequenceRule
from .venue_values import TimeUnit
from .wire import is_stream

ALIASES = {"binance": "binance-spot", "coinbase": "coinbase-exchange"}
"""Short names for venues."""


class QuoteMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of message that holds quotes.

    Args:
        name: Its name, unique within the venue.
        kind: `ticker` (what the venue calls so), `quote` (best bid and ask) or `trade` (only a last price).
        match: What such a message looks like: patterns by path, all of which hold.
        items: Where its quotes stand; the message itself by default.
        only: Which of the items are quotes: patterns by path.
        symbol: Path of the symbol.
        symbol_split: Where the symbol is a part of that text: what the parts are separated by.
        symbol_at: And which part it is.
        bid: Path of the best bid.
        ask: Path of the best ask.
        bid_size: Path of the best bid's size, where a venue writes the price 0 of size 0 for "there is no bid".
        ask_size: The same for the ask.
        last: Path of the last trade's price.
        time: Path of the venue's time.
        unit: How that time is written.
        sequence: Path of the venue's sequence number.
        rule: What the sequence numbers mean.
        repeats: Several different messages may carry the same sequence number.
        restart: The sequence number with which the venue says that it begins anew.
        delta: What a message looks like in which absent fields are unchanged.
    """

    name: str
    kind: Literal["ticker", "quote", "trade"]
    match: dict[str, str]
    items: str = ""
    only: dict[str, str] = {}
    symbol: str
    symbol_split: str | None = None
    symbol_at: int = 0
    bid: str | None = None
    ask: str | None = None
    bid_size: str | None = None
    ask_size: str | None = None
    last: str | None = None
    time: str | None = None
    unit: TimeUnit = "ms"
    sequence: str | None = None
    rule: SequenceRule = "none"
    repeats: bool = False
    restart: int | None = None
    delta: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if not self.match:
            raise ValueError(f"match of {self.name!r} is empty: say what such a message looks like")
        if (self.bid is None) != (self.ask is None):
            raise ValueError(f"bid and ask of {self.name!r} belong together: name both or neither")
        if self.kind == "trade" and (self.last is None or self.bid is not None):
            raise ValueError(
                f"kind of {self.name!r} is 'trade', which has `last` and no `bid`: name it so, or change the kind"
            )
        if self.bid is None and self.last is None:
            raise ValueError(f"{self.name!r} has no price: name bid and ask, or last")
        if self.rule != "none" and self.sequence is None:
            raise ValueError(f"rule of {self.name!r} is {self.rule!r}, which needs a `sequence`: name its path")
        self._check_language()

    def _check_language(self) -> None:
        for match in (self.match, self.only, self.delta or {}):
            compile_match(match)
        for path in (self.symbol, self.bid, self.ask, self.bid_size, self.ask_size, self.last, self.time, self.sequence):
            compile_path(path or "")
        compile_items(self.items)


class Announced(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A venue whose messages carry a channel's id, which an earlier message gave a meaning.

    Args:
        match: What the message looks like that announces a channel.
        id: Path of the channel's id in it, and
        channel: of the channel's name, and
        symbol: of the symbol.
        ended: What the message looks like that ends a channel; its id stands at the same path.
        at: Path of the channel's id in all other messages.
    """

    match: dict[str, str]
    id: str
    channel: str
    symbol: str
    ended: dict[str, str]
    at: str

    def __post_init__(self) -> None:
        compile_match(self.match)
        compile_match(self.ended)
        for path in (self.id, self.channel, self.symbol, self.at):
            compile_path(path)


class ConnectionSequence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number that grows by one with each message of a connection, whatever it is about.

    Args:
        path: Where it stands; messages without it are not counted.
        enabled_by: What the message looks like that says whether there are such numbers; always, if None.
        flags: Path of the flags in it.
        bit: The flag that says so, and
        without: the flag that must not be set, because then something else stands there.
    """

    path: str
    enabled_by: dict[str, str] | None = None
    flags: str = ""
    bit: int = 0
    without: int = 0

    def __post_init__(self) -> None:
        compile_path(self.path)
        compile_path(self.flags)
        compile_match(self.enabled_by or {})


class VenueQuotes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one venue writes its quotes.

    Args:
        name: The venue's name: the key of its record in the file.
        source: Where that is documented, or where it was seen.
        quotes: The messages that hold quotes; of several that match, the first counts.
        other: What else is known to come, and is none: patterns by path.
        route: Path by whose literal value most messages can be told apart; it only makes decoding faster.
        envelope: Name of the field in which a message may be wrapped.
        envelope_mark: Name of another field, whose presence says that it is.
        rename: What is replaced in symbols, since our symbols are of ``A-Z a-z 0-9 . _ - /``.
        announced: How channels' ids get their meaning, where there are such.
        connection: The connection's own numbering, where there is one.
    """

    name: str = ""
    source: tuple[str, ...]
    quotes: tuple[QuoteMessage, ...]
    other: tuple[dict[str, str], ...]
    route: str | None = None
    envelope: str | None = None
    envelope_mark: str | None = None
    rename: dict[str, str] = {}
    announced: Announced | None = None
    connection: ConnectionSequence | None = None

    def __post_init__(self) -> None:
        names = [each.name for each in self.quotes]
        if len(set(names)) != len(names):
            raise ValueError(f"quotes have names that are not unique: {', '.join(names)}")
        if (self.envelope is None) != (self.envelope_mark is None):
            raise ValueError("envelope and envelope_mark belong together: name both or neither")
        for match in self.other:
            compile_match(match)
        parse_steps(self.route or "")


def load_quotes(text: str) -> dict[str, VenueQuotes]:
    """Read venues' records, by name, from TOML.

    Raises:
        ConfigError: The text is no TOML, or a record is impossible; it says which field of which venue.
    """
    try:
        venues = msgspec.convert(tomllib.loads(text), dict[str, VenueQuotes])
    except ValueError as error:
        raise ConfigError(f"records of quotes: {error}") from error
    for venue, record in venues.items():
        for message in record.quotes:
            if not is_stream(f"{venue}-{message.name}"):
                raise ConfigError(f"records of quotes: {venue}-{message.name} must be 1 to 32 of A-Z a-z 0-9 -: shorten it")
    return {venue: msgspec.structs.replace(record, name=venue) for venue, record in venues.items()}


@lru_cache(maxsize=1)
def _venues() -> dict[str, VenueQuotes]:
    return load_quotes(files(__package__).joinpath("quotes.toml").read_text(encoding="utf-8"))


def venue_names() -> tuple[str, ...]:
    """Every venue whose quotes can be decoded, without the aliases."""
    return tuple(_venues())


def venue_quotes(venue: str) -> VenueQuotes:
    """The record of a venue, by name or alias; raises `ConfigError` if there is none."""
    record = _venues().get(ALIASES.get(venue, venue))
    if record is None:
        raise ConfigError(f"venue = {venue!r} must be one of {', '.join((*ALIASES, *venue_names()))}")
    return record
