"""How venues spell symbols, in both directions."""

from __future__ import annotations

import pytest

from heartbeat_trio.dialects import builtin_dialects
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.protocol.dialect_toml import parse_dialects
from heartbeat_trio.protocol.spelling import canonical_symbol, native_symbol


@pytest.mark.parametrize(
    ("name", "symbol", "native", "canonical"),
    [
        ("binance-spot", "btcUSDT", "btcusdt", "BTCUSDT"),
        ("htx-spot", "BTCUSDT", "btcusdt", "btcusdt"),
        ("okx-v5", "btc-usdt", "BTC-USDT", "BTC-USDT"),
        ("crypto-com", "BTCUSD-PERP", "BTCUSD-PERP", "BTCUSD-PERP"),
        ("bitfinex", "tDUSK/USD", "tDUSK:USD", "tDUSK/USD"),
        ("hyperliquid", "xyz.TSLA", "xyz:TSLA", "xyz.TSLA"),
        ("hyperliquid", "_107", "@107", "_107"),
        ("kucoin-uta", "BTC-usdt", "BTC-usdt", "BTC-usdt"),
        ("rfc6455", "aB", "aB", "aB"),
        ("mexc-spot", "btcusdt", "BTCUSDT", "BTCUSDT"),
    ],
)
def test_a_symbol_has_one_name(name: str, symbol: str, native: str, canonical: str) -> None:
    """What is asked for, and what everybody calls it; saying either again changes nothing."""
    dialect = builtin_dialects()[name]
    assert (native, canonical) == (native_symbol(dialect, symbol), canonical_symbol(dialect, symbol))
    assert (native, canonical) == (native_symbol(dialect, canonical), canonical_symbol(dialect, canonical))


def test_our_own_protocols_keep_symbols() -> None:
    """As they are written."""
    assert "aB" == canonical_symbol(None, "aB")


def test_quotes_of_a_dialect_of_ones_own_must_be_known() -> None:
    """They may be those of any venue of the package's; another name is refused where it stands."""
    known = frozenset({"okx-v5"})
    assert "okx-v5" == parse_dialects('[mine]\ntitle = "x"\nquotes = "okx-v5"\n', "f", known=known)["mine"].quotes
    with pytest.raises(ConfigError, match=r"f, line 3: mine\.quotes: 'okx' is not known: one of binance-spot, .* for none"):
        parse_dialects('[mine]\ntitle = "x"\nquotes = "okx"\n', "f", known=known)
