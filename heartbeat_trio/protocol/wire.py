"""What both wire formats share: a quote's JSON, the rules for names and numbers, and text that is safe to show.

A peer is never trusted: what a check refuses becomes an `Invalid`, whoever sent it. The same checks guard what we send.
"""

from __future__ import annotations

import math
from functools import lru_cache
from operator import attrgetter

import msgspec

from ..events import MAX_SEQ, Quote
from ..events import MAX_TS as MAX_TS
from .messages import CODE, STREAM, SYMBOL, Invalid

BAD_INPUT = (ValueError, RecursionError)
"""All that decoding a stranger's JSON can raise: malformed, mistyped, out of range, not UTF-8, or nested too deeply."""

MAX_TEXT = 1024
"""Characters of a stranger's text that are kept."""

_QUOTE = msgspec.json.Decoder(Quote)
_ENCODER = msgspec.json.Encoder()
_SYMBOL, _STREAM = attrgetter("symbol"), attrgetter("stream")


class _QuoteJson(msgspec.Struct, frozen=True, omit_defaults=True):
    """A quote on its way out: ``last`` is left out where there is none, the other fields never."""

    symbol: str
    bid: float | None
    ask: float | None
    seq: int
    stream: str
    ts: int
    last: float | None = None


# The same few names come with every quote: remembering the answer costs a fifth of matching the pattern again.
@lru_cache(maxsize=4096)
def is_symbol(text: str) -> bool:
    """Whether a text is 1 to 64 of ``A-Z a-z 0-9 . _ - /``."""
    return SYMBOL.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def is_stream(text: str) -> bool:
    """Whether a text is 1 to 32 of ``A-Z a-z 0-9 -``."""
    return STREAM.fullmatch(text) is not None


def check_symbol(text: str) -> str:
    """Return a symbol as it is; raises `ValueError` if it is none."""
    if not is_symbol(text):
        raise ValueError("a symbol is 1 to 64 of A-Z a-z 0-9 . _ - /")
    return text


def check_stream(text: str) -> str:
    """Return a stream id as it is; raises `ValueError` if it is none."""
    if not is_stream(text):
        raise ValueError("a stream is 1 to 32 of A-Z a-z 0-9 -")
    return text


def check_code(text: str) -> str:
    """Return an error's code or a goodbye's reason as it is; raises `ValueError` if it is none."""
    if not CODE.fullmatch(text):
        raise ValueError("a code is 1 to 64 of a-z _")
    return text


def check_number(value: int, *, minimum: int) -> int:
    """Return a sequence number as it is; raises `ValueError` if it is below ``minimum`` or above 2^63-1."""
    if not minimum <= value <= MAX_SEQ:
        raise ValueError(f"a sequence number here is from {minimum} to {MAX_SEQ}")
    return value


def check_seconds(value: float) -> float:
    """Return a duration as it is; raises `ValueError` unless it is finite and not negative."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError("a duration is a finite number of seconds, 0 or more")
    return value


def printable(text: str, limit: int = MAX_TEXT) -> str:
    """Escape what must not reach a terminal or a log (control, direction and unassigned characters), and cut at a limit.

    Printable text stays as it is, so escaping twice changes nothing.
    """
    text = text[:limit]
    if not text.isprintable():
        text = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)[:limit]
    return text


def bad_message(what: str, error: BaseException) -> Invalid:
    """Say what was wrong with a message, in words that can be shown and sent."""
    return Invalid("bad_message", printable(f"{what}: {error}", 256))


def decode_quote(data: bytes) -> Quote | Invalid:
    """Read a quote from its JSON object; unknown fields are ignored, and of a repeated one the last counts."""
    try:
        quote = _QUOTE.decode(data)
        if not (is_symbol(quote.symbol) and is_stream(quote.stream)):
            _check_quote(quote)
    except BAD_INPUT as error:
        return bad_message("quote", error)
    return quote


def decode_quotes(payloads: list[bytes], start: bytes) -> list[Quote] | None:
    """Read many quotes at once, which all begin with `start`.

    None if one of them does not, is none, or breaks a rule: then each is to be read by itself.
    """
    decode = _QUOTE.decode
    try:
        quotes = [decode(payload) for payload in payloads if payload.startswith(start)]
    except BAD_INPUT:
        return None
    return quotes if len(quotes) == len(payloads) and _are_valid(quotes) else None


def _are_valid(quotes: list[Quote]) -> bool:
    """Whether names are what they must be; the decoder has seen to the numbers."""
    return all(map(is_symbol, set(map(_SYMBOL, quotes)))) and all(map(is_stream, set(map(_STREAM, quotes))))


def encode_quote(quote: Quote) -> bytes:
    """Write a quote as a JSON object; raises `ValueError` for one that `decode_quote` would refuse."""
    _check_quote(quote)
    return _ENCODER.encode(_QuoteJson(quote.symbol, quote.bid, quote.ask, quote.seq, quote.stream, quote.ts, quote.last))


def _check_quote(quote: Quote) -> None:
    check_symbol(quote.symbol)
    check_stream(quote.stream)
    check_number(quote.seq, minimum=1)
    if not 0 <= quote.ts <= MAX_TS:
        raise ValueError("ts is microseconds UTC, of the years 1970 to 9999")
    if not all(price is None or math.isfinite(price) for price in (quote.bid, quote.ask, quote.last)):
        raise ValueError("a price is a finite number or null")
