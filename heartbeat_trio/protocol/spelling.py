"""How a venue spells symbols: when it is asked, and in its data. The latter is how everybody on our side spells them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from .venue_records import venue_quotes

if TYPE_CHECKING:
    from .dialect_record import Case, Dialect


def canonical_symbol(dialect: Dialect | None, symbol: str) -> str:
    """A symbol as the venue's data spells it: whoever writes it otherwise means the same one.

    Args:
        dialect: The venue's; None: one of our own protocols, which keep symbols as they are.
        symbol: As a user wrote it.
    """
    if dialect is None or dialect.subscriptions is None:
        return symbol
    return _in_case(dialect.subscriptions.data_case or dialect.subscriptions.case, symbol)


def native_symbol(dialect: Dialect, symbol: str) -> str:
    """A symbol as the venue wants to be asked for it, with the characters that no symbol of ours can have."""
    if dialect.subscriptions is None:
        return symbol
    symbol = _in_case(dialect.subscriptions.case, symbol)
    for theirs, ours in _renamed(dialect.quotes):
        symbol = symbol.replace(ours, theirs)
    return symbol


def _in_case(case: Case, symbol: str) -> str:
    return symbol.lower() if case == "lower" else symbol.upper() if case == "upper" else symbol


@lru_cache(maxsize=256)
def _renamed(quotes: str) -> tuple[tuple[str, str], ...]:
    return tuple(venue_quotes(quotes).rename.items()) if quotes else ()
