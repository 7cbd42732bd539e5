"""Dialects from a user's file: what is wrong is told with file, line, field and what would do."""

from __future__ import annotations

from pathlib import Path

import pytest

from heartbeat_trio.dialects import builtin_dialects, find_dialect, known_host, load_dialects, speakable_dialects
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.protocol.dialect_toml import find_line, parse_dialects

GOOD = """\
# mine
[my-venue]
title = "My venue"
hosts = ["feed.example.com/v1", "feed.example.com"]
id = "int"

[my-venue.probe]
level = "text"
ping = '{"ping":$id}'
pongs = ['{"pong":$id}']
interval = 10

[[my-venue.notices]]
message = '{"a":1}'
action = "rotate"
reason = "one"

[[my-venue.notices]]
message = '{"a":2}'
action = "info"
reason = "two"
"""


def test_a_users_dialect_is_added(tmp_path: Path) -> None:
    """Beside those of the package, with its hosts."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    dialects = load_dialects(path)

    assert {*builtin_dialects(), "my-venue"} == set(dialects)
    assert "my-venue" == known_host("FEED.example.com", "/v1/stream?x=1", dialects)
    assert known_host("feed.example.com.evil.org", "/", dialects) is None
    assert find_dialect("my-venue", dialects) is dialects["my-venue"]
    assert "my-venue" in speakable_dialects(dialects)


@pytest.mark.parametrize("name", ["a-mine", "z-mine"])
def test_a_users_dialect_comes_before_the_packages(tmp_path: Path, name: str) -> None:
    """Where both name a host, whatever they are called; another address of that host stays with the package."""
    path = tmp_path / "mine.toml"
    path.write_text(f'[{name}]\ntitle = "t"\nhosts = ["stream.binance.com", "::1", "stream.bybit.com/"]\n')
    dialects = load_dialects(path)
    assert name == known_host("stream.binance.com", "/ws", dialects)
    assert name == known_host("::1", "/", dialects)
    assert "bybit-v5" == known_host("stream.bybit.com", "/v5/public", dialects)


def test_a_byte_order_mark_is_no_statement(tmp_path: Path) -> None:
    """Some editors write one."""
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert "my-venue" in load_dialects(path)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "problem"),
    [
        ("interval = 10", 'interval = "10"', 11, "my-venue.probe.interval", "expected float, got str"),
        ("interval = 10", "interval = 0", 11, "my-venue.probe.interval", "expected float > 0"),
        ("interval = 10", "intervall = 10", 11, "my-venue.probe.intervall", "no such field"),
        ('title = "My venue"', "", 2, "my-venue.title", "is missing, and has no default"),
        ('action = "info"', 'action = "run"', 20, "my-venue.notices[1].action", "invalid enum value 'run'"),
        ('reason = "two"', "", 18, "my-venue.notices[1].reason", "is missing"),
        ("ping = '{\"ping\":$id}'", "ping = '{\"ping\":'", 9, "my-venue.probe.ping", "is no JSON"),
        ("ping = '{\"ping\":$id}'", "ping = 'ping $id $id'", 9, "my-venue.probe.ping", "has a placeholder twice"),
        ('id = "int"', 'id = "int"\ntransport = "tcp"', 6, "my-venue.transport", "over WebSocket only"),
        ('"feed.example.com"]', '"wss://feed.example.com"]', 4, r"my-venue.hosts\[1\]", "without scheme and port"),
        ('"feed.example.com"]', '"feed.example.com:443"]', 4, r"my-venue.hosts\[1\]", "without scheme and port"),
        ('"feed.example.com"]', '"Feed.example.com"]', 4, r"my-venue.hosts\[1\]", "in lower case"),
        ('"feed.example.com"]', '""]', 4, r"my-venue.hosts\[1\]", "must be a host"),
        ("ping = '{\"ping\":$id}'", "ping = '{\"ping\":$idea}'", 9, "my-venue.probe.ping", r"unknown placeholder \$idea"),
        ('id = "int"', "", 9, "my-venue.probe.ping", r'\$id needs an id: set id = "int"'),
        ("pongs = ['{\"pong\":$id}']", "", 9, "my-venue.probe.ping", "has a ping and pongs"),
        ('level = "text"', 'level = "control"', 9, "my-venue.probe.ping", 'one of level "control" has neither'),
        ("[my-venue.probe]", "[my-venue.probing]", 7, "my-venue.probing", "no such field"),
        ('id = "int"', 'id = "int"\nname = "x"', 6, "my-venue.name", "leave it out"),
        (
            'id = "int"',
            'id = "int"\nserver_pings = [{ level = "text", ping = "p" }]',
            6,
            r"server_pings\[0\].ping",
            "a reply",
        ),
        ('id = "int"', 'id = "int"\nexpects = { period = 1 }', 6, "expects.period", "nothing can be expected"),
        ('id = "int"', 'id = "int"\nsubscriptions = { subscribe = "S", batch = 2 }', 6, "batch", "need an item"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, field: str, problem: str
) -> None:
    """In a table, in an array of tables, in an inline table; a missing field at its table."""
    assert old in GOOD
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError, match=rf"mine\.toml, line {line}: .*{field.replace('[1]', '.1.')}.*: .*{problem}"):
        load_dialects(path)


def test_names(tmp_path: Path) -> None:
    """Odd names, a value instead of a table, a name of the package's: refused, unless that is said to be meant."""
    path = tmp_path / "mine.toml"
    okx = '[okx-v5]\ntitle = "Mine"\nprobe = { level = "control" }\n'
    for text, problem in [
        ('x = 1\n["Odd Name"]\n', "line 1: x: is no table"),
        ('["Odd Name"]\ntitle = "t"\n', "line 1: Odd Name: the name 'Odd Name' must be 1 to 40"),
        (okx, "line 1: okx-v5: okx-v5 comes with the package: take another name, or say replaces_builtin = true"),
        (okx.replace("okx-v5", "ops") + "replaces_builtin = true", "line 1: ops: ops is spoken by the package itself"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigError, match=problem):
            load_dialects(path)
    path.write_text(okx + "replaces_builtin = true")
    assert "Mine" == load_dialects(path)["okx-v5"].title
    assert "OKX v5" == builtin_dialects()["okx-v5"].title


def test_files_that_are_none(tmp_path: Path) -> None:
    """Absent, a folder, no UTF-8, no TOML (with its line), too deep, too large."""
    path = tmp_path / "mine.toml"
    with pytest.raises(ConfigError, match="No such file"):
        load_dialects(path)
    with pytest.raises(ConfigError, match="Is a directory"):
        load_dialects(tmp_path)
    for data, problem in [
        (b"a = 1\nb = '\xff'\n", "mine.toml, line 2: not UTF-8"),
        (b"a = 1\nb = \n", r"Invalid value \(at line 2, column 5\)"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"#" * (2**20 + 1), "too large"),
    ]:
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=problem):
            load_dialects(path)


def test_what_cannot_be_spoken_is_said_so() -> None:
    """With the choices; our own protocols need no record."""
    with pytest.raises(
        ConfigError, match=r"'nats' is here for reference only and cannot be spoken; choose one of ops, rfc6455, binance"
    ):
        find_dialect("nats")
    with pytest.raises(ConfigError, match=r"'oxk-v5' is not known; choose one of .*okx-v5"):
        find_dialect("oxk-v5")
    assert find_dialect("ops") is None
    assert "kraken-v2" == known_host("ws.kraken.com", "/v2", builtin_dialects())
    assert "kraken-v1" == known_host("ws.kraken.com", "/v20", builtin_dialects())
    assert known_host("api.gemini.com", "/v1/marketdata", builtin_dialects()) is None


def test_lines_of_texts() -> None:
    """The nearest table or key around a field, and line 1 where there is none."""
    assert 1 == find_line("", ("a",))
    assert 2 == find_line("\na.b = 1\n", ("a", "b", "c"))
    assert 1 == find_line("['a']\nb = 1", ("a", "c"))
    with pytest.raises(ConfigError, match=r"f\.toml, line 1: a: is no table"):
        parse_dialects("a = 1", "f.toml")
