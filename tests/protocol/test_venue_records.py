"""The table of venues, and the language it is written in: paths, items, patterns, numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.protocol.venue_paths import (
    MAX_ITEMS,
    Channel,
    compile_items,
    compile_match,
    compile_path,
    compile_pattern,
)
from heartbeat_trio.protocol.venue_records import load_quotes, venue_names, venue_quotes
from heartbeat_trio.protocol.venue_sequence import MAX_HOLE, OLD, RESTART_AFTER, RESTARTED, SequenceCheck, SequenceRule
from heartbeat_trio.protocol.venue_values import MISSING, TimeUnit, to_micros, to_price, to_sequence

MINIMAL = """
[a]
source = ["s"]
other = []
[[a.quotes]]
name = "trade"
kind = "trade"
match = { type = "trade" }
symbol = "s"
last = "p"
"""


def test_the_table() -> None:
    """All 21 venues, and two short names."""
    assert set(venue_names()) == {
        "binance-spot",
        "binance-futures",
        "bybit-v5",
        "okx-v5",
        "kraken-v1",
        "kraken-v2",
        "coinbase-exchange",
        "coinbase-advanced",
        "deribit",
        "bitfinex",
        "kucoin-classic",
        "gate-v4",
        "htx-spot",
        "bitmex",
        "hyperliquid",
        "bitstamp",
        "gemini-v2",
        "crypto-com",
        "bitget",
        "upbit",
        "dydx-v4",
    }
    assert venue_quotes("binance") is venue_quotes("binance-spot")
    assert venue_quotes("coinbase").name == "coinbase-exchange"
    assert load_quotes(files("heartbeat_trio.protocol").joinpath("quotes.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("venue", ["", "kraken", "BINANCE", "binance-spot "])
def test_no_such_venue(venue: str) -> None:
    """The message lists those that there are."""
    with pytest.raises(ConfigError, match=r"venue = .* must be one of binance, .*upbit"):
        venue_quotes(venue)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[a]", "[a", "line"),
        ('["s"]', '"s"', "source"),
        ('symbol = "s"', 'symbol = "s"\nsymbols = 1', "symbols"),
        ('"trade"\nkind', '"a very long name for one message"\nkind', "shorten"),
        ("[a]", '[a]\nenvelope = "data"', "envelope_mark"),
        ("[a]", '[a]\nroute = "a..b"', "empty step"),
        ("other = []", 'other = [{ a = "x*y*z" }]', "more than one"),
        ('{ type = "trade" }', "{}", "match of 'trade' is empty"),
        ('last = "p"', 'bid = "b"\nlast = "p"', "bid and ask"),
        ('last = "p"', 'bid = "b"\nask = "a"\nlast = "p"', "kind of 'trade'"),
        ('last = "p"', "", "kind of 'trade'"),
        ('kind = "trade"', 'kind = "deal"', "kind"),
        (
            'kind = "trade"\nmatch = { type = "trade" }\nsymbol = "s"\nlast = "p"',
            'kind = "quote"\nmatch = { a = "*" }\nsymbol = "s"',
            "no price",
        ),
        ('last = "p"', 'last = "p"\nrule = "monotonic"', "sequence"),
        ('last = "p"', 'last = "@price"', "@symbol or @channel"),
        ('last = "p"', 'last = "p"\nitems = "a[].b"', r"end in \[\]"),
        ('last = "p"', 'last = "p"\ndelta = { "a." = "x" }', "empty step"),
    ],
)
def test_impossible_records(old: str, new: str, complaint: str) -> None:
    """Whoever writes a table is told what is wrong, and where."""
    assert load_quotes(MINIMAL)["a"].name == "a"
    assert old in MINIMAL
    with pytest.raises(ConfigError, match=complaint):
        load_quotes(MINIMAL.replace(old, new))


def test_names_within_a_venue_are_unique() -> None:
    with pytest.raises(ConfigError, match="not unique"):
        load_quotes(MINIMAL + MINIMAL[MINIMAL.index("[[") :])


FRAME: dict[str, Any] = {"a": {"b": [1, [2, {"c": None}]]}, "e": [], "n": None, "t": "text"}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", FRAME),
        ("t", "text"),
        ("a.b.0", 1),
        ("a.b.-1.0", 2),
        ("a.b.1.1.c", None),
        ("a.b.1.1.c.d", None),
        ("a.b.2", MISSING),
        ("a.b.-3", MISSING),
        ("a.x", MISSING),
        ("a.b.x", MISSING),
        ("t.x", MISSING),
        ("t.0", MISSING),
        ("e.0", None),
        ("e.0.0", None),
        ("n.x", None),
        ("x|t", "text"),
        ("n|t", None),
        ("x|y", MISSING),
        ("^t", "text"),
        ("@symbol", "S"),
        ("@channel", "C"),
    ],
)
def test_paths(path: str, found: Any) -> None:
    """Through null, and into an empty array, there is null; elsewhere nothing."""
    assert compile_path(path)(FRAME, FRAME, Channel("C", "S")) == found


def test_paths_of_what_is_not_there() -> None:
    """A name within null is null, and within anything else nothing."""
    get = compile_path("a")
    assert get(None, None, None) is None
    assert get(None, [1], None) is MISSING
    assert compile_path("@symbol")(1, 1, None) is MISSING
    assert compile_path("@channel")(1, 1, None) is MISSING
    assert compile_path("^a")({"a": 1}, {"a": 2}, None) == 1


@pytest.mark.parametrize(
    ("path", "body", "items"),
    [
        ("", {"a": 1}, [{"a": 1}]),
        ("a", {"a": 1}, [1]),
        ("[]", [1, 2], [1, 2]),
        ("a[]", {"a": [1, 2]}, [1, 2]),
        ("a[]", {"a": {"b": 1}}, [{"b": 1}]),
        ("a[]", {"a": "text"}, []),
        ("a[]", {}, []),
        ("a[].b[]", {"a": [{"b": [1]}, {"c": 1}, {"b": [2, 3]}]}, [1, 2, 3]),
        ("a[]", {"a": [0] * (MAX_ITEMS + 9)}, [0] * MAX_ITEMS),
        ("a[].b[]", {"a": [{"b": [0] * MAX_ITEMS}, {"b": [1]}, {"b": {"c": 1}}]}, [0] * MAX_ITEMS),
    ],
)
def test_items(path: str, body: Any, items: list[Any]) -> None:
    """Each element, on every level, and no more than are allowed."""
    assert compile_items(path)(body) == items


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("a", ["a"], ["b", "", None, 1, MISSING, ["a"]]),
        ("a|b", ["a", "b"], ["a|b", MISSING]),
        ("a*", ["a", "ab"], ["ba", 1]),
        ("*a", ["a", "ba"], ["ab"]),
        ("ab*ba", ["abba", "abxba"], ["aba", "abb"]),
        ("*", ["", None, 0, [], "a"], [MISSING]),
        ("!", [MISSING], [None, ""]),
        ("!|a", [MISSING, "a"], [None, "b"]),
        ("a|b*|c", ["a", "bb", "c"], ["ab", 1]),
        ("<array>", [[]], [{}, "[]", MISSING]),
        ("<object>", [{}], [[], MISSING]),
        ("<number>", [1, 1.5], [True, "1", None, MISSING]),
        ("<text>", [""], [1, None, MISSING]),
    ],
)
def test_patterns(pattern: str, fitting: list[Any], others: list[Any]) -> None:
    fits = compile_pattern(pattern)
    assert all(fits(value) for value in fitting)
    assert not any(fits(value) for value in others)


def test_all_patterns_of_a_match_must_hold() -> None:
    plain, deep = compile_match({"a": "x", "b": "!"}), compile_match({"a": "x", "b.0": "y"})
    assert plain({}, {"a": "x"}, None)
    assert not plain({}, {"a": "x", "b": 1}, None)
    assert not plain({}, "text", None)
    assert deep({}, {"a": "x", "b": ["y"]}, None)
    assert not deep({}, {"a": "x", "b": ["z"]}, None)


@pytest.mark.parametrize(
    ("value", "price"),
    [("1.50", 1.5), ("-0.5", -0.5), ("1e-7", 1e-7), (7, 7.0), (0.1, 0.1), (None, None), ("", None), (MISSING, MISSING)],
)
def test_prices(value: Any, price: Any) -> None:
    assert to_price(value) == price


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "inf",
        "-Infinity",
        "1,5",
        " 1",
        "1_0",
        "0x1",
        "1.",
        "1e999",
        "\u0663",
        "9" * 65,
        10**400,
        float("nan"),
        True,
        [],
        {},
    ],
)
def test_what_is_no_price(value: Any) -> None:
    with pytest.raises(ValueError, match="a price is"):
        to_price(value)


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_as_it_was_written(value: float) -> None:
    """Except for exponents beyond two digits, which no price has."""
    text = repr(value)
    if len(text.partition("e")[2].lstrip("+-")) <= 2:
        assert to_price(text) == value
    assert to_price(value) == value


@pytest.mark.parametrize(
    ("value", "number"), [(0, 0), (2**63 - 1, 2**63 - 1), ("0123", 123), ("", None), (None, None), (MISSING, None)]
)
def test_sequence_numbers(value: Any, number: int | None) -> None:
    assert to_sequence(value) == number


@pytest.mark.parametrize("value", [-1, 2**63, "-1", "9" * 20, "9" * 19, "\u0663", "1.0", 1.0, True, [], "x"])
def test_what_is_no_sequence_number(value: Any) -> None:
    with pytest.raises(ValueError, match="sequence number"):
        to_sequence(value)


@pytest.mark.parametrize(
    ("value", "unit", "micros"),
    [
        (1_700_000_000, "s", 1_700_000_000_000_000),
        (1_700_000_000.123456, "s", 1_700_000_000_123_456),
        ("1700000000.1234569", "s", 1_700_000_000_123_456),
        ("1700000000", "s", 1_700_000_000_000_000),
        (1_700_000_000_123, "ms", 1_700_000_000_123_000),
        (1_700_000_000_123.5, "ms", 1_700_000_000_123_500),
        ("1700000000123.4567", "ms", 1_700_000_000_123_456),
        ("1700000000123456", "us", 1_700_000_000_123_456),
        ("1700000000123456.9", "us", 1_700_000_000_123_456),
        (1_700_000_000_123_456_789, "ns", 1_700_000_000_123_456),
        ("1700000000123456789", "ns", 1_700_000_000_123_456),
        (1_700_000_000_123, "ms_or_us", 1_700_000_000_123_000),
        (1_700_000_000_123_456, "ms_or_us", 1_700_000_000_123_456),
        ("1700000000123456", "ms_or_us", 1_700_000_000_123_456),
        ("2023-11-14T22:13:20Z", "iso", 1_700_000_000_000_000),
        ("2023-11-14 22:13:20.5", "iso", 1_700_000_000_500_000),
        ("2023-11-14T22:13:20.123456789Z", "iso", 1_700_000_000_123_456),
        ("2023-11-14T22:13:20,5Z", "iso", 1_700_000_000_500_000),
        ("2023-11-15T00:13:20.25+02:00", "iso", 1_700_000_000_250_000),
        ("2023-11-15T00:13:20+02:00", "iso", 1_700_000_000_000_000),
        ("2023-11-14T16:43:20-0530", "iso", 1_700_000_000_000_000),
        ("2016-12-31T23:59:60Z", "iso", 1_483_228_800_000_000),
        ("", "iso", None),
        (None, "ms", None),
        (MISSING, "ms", None),
    ],
)
def test_times(value: Any, unit: TimeUnit, micros: int | None) -> None:
    """Exact to the microsecond; what is finer is cut off."""
    assert to_micros(value, unit) == micros


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (-1, "ms"),
        (10**30, "us"),
        (float("nan"), "s"),
        (-0.5, "s"),
        ("-1", "ms"),
        ("1e3", "ms"),
        ("9" * 65, "ms"),
        ("1969-12-31T23:59:59Z", "iso"),
        ("0000-01-01T00:00:00Z", "iso"),
        ("2023-02-29T00:00:00Z", "iso"),
        ("1900-02-29T00:00:00Z", "iso"),
        ("2023-13-01T00:00:00Z", "iso"),
        ("2023-04-31T00:00:00Z", "iso"),
        ("2023-04-00T00:00:00Z", "iso"),
        ("2023-04-01T24:00:00Z", "iso"),
        ("2023-04-01T00:60:00Z", "iso"),
        ("2023-04-01T00:00:61Z", "iso"),
        ("2023-04-01", "iso"),
        ("2023-04-01T00:00:00 UTC", "iso"),
        ("2023-04-0xT00:00:00Z", "iso"),
        ("2023-04-01T00:00:00.Z", "iso"),
        ("2023-04-01T00:00:00.\u0663Z", "iso"),
        ("2023-04-01T00:00:00.-5Z", "iso"),
        (1_700_000_000, "iso"),
        (1.5, "iso"),
        (True, "ms"),
        ([], "ms"),
    ],
)
def test_what_is_no_time(value: Any, unit: TimeUnit) -> None:
    with pytest.raises(ValueError, match=r"time|date"):
        to_micros(value, unit)


@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis wants it without
def test_every_instant_of_the_calendar(instant: datetime) -> None:
    """Held against the standard library's calendar."""
    micros = round(instant.replace(microsecond=0).timestamp()) * 1_000_000 + instant.microsecond
    assert to_micros(instant.isoformat(timespec="microseconds"), "iso") == micros


class TestSequenceCheck:
    """What successive numbers tell."""

    @staticmethod
    def results(check: SequenceCheck, *numbers: int) -> list[int]:
        return [check.receive("A", number) for number in numbers]

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ("per_symbol_plus_one", [0, 0, 3, OLD, OLD, 0]),
            ("monotonic", [0, 0, 0, OLD, OLD, 0]),
            ("none", [0, 0, 0, 0, 0, 0]),
        ],
    )
    def test_rules(self, rule: SequenceRule, expected: list[int]) -> None:
        assert self.results(SequenceCheck(rule), 5, 6, 10, 10, 7, 11) == expected

    def test_symbols_are_apart(self) -> None:
        check = SequenceCheck("per_symbol_plus_one")
        assert [check.receive("A", 1), check.receive("B", 100), check.receive("A", 2)] == [0, 0, 0]

    def test_several_messages_with_one_number(self) -> None:
        assert self.results(SequenceCheck("monotonic", repeats=True), 5, 5, 6, 5) == [0, 0, 0, OLD]

    def test_the_number_of_a_restart(self) -> None:
        assert self.results(SequenceCheck("monotonic", restart=1), 9, 1, 1, 2) == [0, RESTARTED, OLD, 0]

    def test_old_numbers_in_a_row_are_a_restart(self) -> None:
        """One newer number in between, and they are only late."""
        check = SequenceCheck("monotonic")
        late = [OLD] * (RESTART_AFTER - 1)
        assert self.results(check, 1000, *range(1, RESTART_AFTER)) == [0, *late]
        assert self.results(check, 1001, *range(1, RESTART_AFTER)) == [0, *late]
        assert self.results(check, 500, 501) == [RESTARTED, 0]

    def test_the_last_state_repeated_is_no_restart(self) -> None:
        check = SequenceCheck("monotonic")
        assert set(self.results(check, 5, *[5] * 100)) == {0, OLD}

    def test_a_jump_beyond_any_loss(self) -> None:
        check = SequenceCheck("per_symbol_plus_one")
        assert self.results(check, 1, MAX_HOLE + 2, 2 * MAX_HOLE + 4) == [0, MAX_HOLE, RESTARTED]

    def test_symbols_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those beyond the bound are not checked, and cost nothing."""
        monkeypatch.setattr("heartbeat_trio.protocol.venue_sequence.MAX_KEYS", 1)
        check = SequenceCheck("per_symbol_plus_one")
        assert [check.receive("A", 1), check.receive("B", 1), check.receive("B", 9), check.receive("A", 3)] == [0, 0, 0, 1]
