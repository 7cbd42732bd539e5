"""A report in the terminal: exact at 80 columns, plain where nobody sees colours, safe whatever a peer is called."""

from __future__ import annotations

import io

import msgspec
import pytest

from heartbeat_trio.analysis import wording
from heartbeat_trio.analysis.findings import Estimate, Unit
from heartbeat_trio.analysis.text import render_text
from tests.support.analysis_report import make_report

SAMPLE = """\
2026-10-18 to 2026-11-15 (Europe/Berlin), 28 days, 3 lines, 1 451 520 pings

Advice
  high confidence  wss://ws.okx.com:8443/ws/v5/public#dialect=okx-v5
    ping_interval = 300
    Connections that were idle for 350 s or more were dead: 27 of 27. Something
    on the way, a NAT or a proxy, forgets them.
    gain      About 27 fewer losses in 28 days, each of which took 9.8 s.
    against   A ping each 300 s finds a dead peer only after 15 minutes.
    evidence  effect 63 % (95 %: 48 to 76 %), n = 27, adjusted p < 0.001,
              2026-10-18 to 2026-11-15

  medium confidence  wss://stream.binance.com:9443/ws
    pong_timeout = 4
    max_missed_pongs = 3
    3 of 12 verdicts were false: the same connection answered within 0.4 s after
    its last deadline.
    gain      At least 3 false losses fewer in 28 days; a dead peer is found in
              16.4 s rather than 15.4 s, on average. (a bound)
    against   Nothing was recorded after the connection was given up, so the
              gain is a bound.
    evidence  effect 25 % (95 %: 9 to 53 %), n = 12, a count, no test,
              2026-10-21 to 2026-11-15

  low confidence  all lines
    rotation = RotationPolicy(max_age=43200)
    All lines are slower from 14:00 to 16:00.
    gain      Connections are replaced at quiet hours.
    against   The second half of the data does not show it by itself.
    evidence  effect 31 % (95 %: 22 to 41 %), n = 28, adjusted p = 0.012,
              2026-10-18 to 2026-11-15

Lines
                    available  losses   between  back in  answered   p50  p99 ms
  wss://stream.binance.com:9443/ws
                     99.982 %      37      17 h   9.80 s  99.934 %  12.0    63.6
  wss://ws.okx.com:8443/ws/v5/public#dialect=okx-v5
                     99.982 %      42      17 h   9.80 s  99.934 %  48.0     254
  tcp://10.0.7.4:8080
                     99.982 %      39  > 9.26 d   9.80 s  99.934 %  0.90    4.77
  all lines          99.982 %      41      17 h   9.80 s  99.934 %  12.0    63.6
  not counted: 93 min in which our own program or clock was at fault

Worst incidents  5 more in --html and --output json
  340 s  2026-10-20 13:25:45  wss://stream.binance.com:9443/ws  pong_timeout
                              [PEER_SILENT], not over
  170 s  2026-10-22 21:25:45  wss://ws.okx.com:8443/ws/v5/public#dialect=okx-v5
                              pong_timeout [PEER_SILENT], with 2 other lines
  113 s  2026-10-25 04:25:45  tcp://10.0.7.4:8080  pong_timeout [PEER_SILENT]
   85 s  2026-10-27 12:25:45  wss://stream.binance.com:9443/ws  local_stall
                              [LOCAL_STALL]
   68 s  2026-10-29 20:25:45  wss://ws.okx.com:8443/ws/v5/public#dialect=okx-v5
                              pong_timeout [PEER_SILENT]

Patterns
  Round trips are slower from 15:00 to 16:00. (wss://stream.binance.com:9443/ws)
    effect +31 % (95 %: +22 to +41 %), n = 28, adjusted p = 0.005, both halves
    agree, 2026-10-18 to 2026-11-15
  The median round trip rose from 41 ms to 61 ms and stayed there.
  (wss://ws.okx.com:8443/ws/v5/public#dialect=okx-v5)
    effect +49 % (95 %: +44 to +55 %), n = 672, adjusted p = 0.006, both halves
    agree, 2026-10-18 to 2026-11-15
  No connection survived 350 s without a message.
  (wss://ws.okx.com:8443/ws/v5/public#dialect=okx-v5)
    effect 350 s (95 %: 346 to 350 s), n = 27, adjusted p < 0.001, the halves do
    not agree, 2026-10-18 to 2026-11-15
  days of the week: not enough data yet: 4 of 8 weeks
  hours of the day: not enough data yet: 6 of 9 days

Read  29 files, 1 452 310 records, 1 torn line skipped, 3 records of unknown
kinds
  left out: weeks/other.json: no journal of wss://stream.binance.com:9443/ws
  left out: 12 records without a time
  the clock of client weeks was set back once, by 3.2 s
"""


def test_a_report_at_80_columns() -> None:
    """The advice first, then lines, incidents, patterns, what is not enough yet, and what was left out."""
    assert SAMPLE == render_text(make_report())


def test_no_line_is_wider_than_the_terminal() -> None:
    """At any width that a person may have; nothing is cut off, so that all names are there in full."""
    for width in (60, 100, 160):
        text = render_text(make_report(lines=12), width=width)
        assert max(map(len, text.splitlines())) <= width
    assert "wss://ws.okx.com:8443/ws/v5/public#dialect=okx-v5?line=10" in text


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Piped text has none."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    assert "\x1b[" not in render_text(make_report(), file=io.StringIO())
    assert "\x1b[1;32mhigh confidence" in render_text(make_report(), file=Terminal(), width=80)


def test_a_hostile_name_cannot_move_the_cursor() -> None:
    """Escapes and turned letters are spelled out, and rich's own markup means nothing."""
    report = make_report(hostile=True)
    report = msgspec.structs.replace(report, notes=("[bold red]not markup[/] :bomb:\x1b[2J",))
    text = render_text(report)

    assert all(line.isprintable() for line in text.splitlines())
    assert "\\x1b[2J\\u202e" in text.replace("\n", "")
    assert "[bold red]not markup[/] :bomb:\\x1b[2J" in text


def test_nothing_to_say_is_said() -> None:
    """An empty report, and one without advice or patterns."""
    empty = make_report(lines=0)
    assert "Advice\n  None: no connection was recorded.\n" in render_text(empty)
    quiet = msgspec.structs.replace(make_report(lines=1), not_enough=(), incidents=())
    text = render_text(quiet)
    assert "Nothing to change: what varies is within what chance explains." in text
    assert "Patterns\n  none: what varies is within what chance explains\n" in text
    assert "Worst incidents" not in text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0, "0 s"),
        (0.0004, "0.40 ms"),
        (0.0123, "12.3 ms"),
        (1.5, "1.50 s"),
        (350.0, "350 s"),
        (599.9, "600 s"),
        (600.0, "10 min"),
        (7200.0, "2 h"),
        (86_400.0, "24 h"),
        (200_000.0, "2.31 d"),
        (864_000_000.0, "10 000 d"),
    ],
)
def test_lengths_of_time_have_their_unit(value: float | None, words: str) -> None:
    """Three figures at most, in the unit that people would choose."""
    assert words == wording.seconds(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.0, "100 %"), (0.0, "0 %"), (0.5, "50.0 %"), (0.9899, "98.9 %"), (0.999, "99.90 %"), (0.999999999, "99.99999 %")],
)
def test_a_share_never_rounds_up_to_all(value: float, words: str) -> None:
    """What it lacks has two figures, at most five digits behind the point."""
    assert words == wording.share(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.31, "+31 %"),
        (-0.125, "-12 %"),
        (0.0912, "+9.1 %"),
        (0.00059, "+0.059 %"),
        (12.345, "+1234 %"),
        (23456.7, "+2345670 %"),
    ],
)
def test_a_change_has_its_sign(value: float, words: str) -> None:
    """Whole percents, and two figures of less than ten."""
    assert words == wording.change(value)
    assert words.removeprefix("+") == wording.fraction(value)


@pytest.mark.parametrize(
    ("unit", "effect", "words"),
    [
        ("seconds", Estimate(350.0, 346.0, 351.0, 9), "350 s (95 %: 346 to 351 s)"),
        ("fraction", Estimate(0.31, 0.22, 0.41, 9), "31 % (95 %: 22 to 41 %)"),
        ("fraction", Estimate(0.44, 0.44, 0.44, 9), "44 %"),
        ("per_day", Estimate(2.5, 1.9, 3.5, 9), "2.50 a day (95 %: 1.90 to 3.50 a day)"),
        ("per_day", Estimate(None), ""),
    ],
)
def test_an_effect_says_what_it_counts(unit: Unit, effect: Estimate, words: str) -> None:
    """Seconds, a part, or how often; an exact one has no interval."""
    advice = msgspec.structs.replace(make_report().advice[0], unit=unit, effect=effect)
    assert words == wording.advice_effect(advice)


def test_intervals_say_their_unit_once() -> None:
    """Twice only where the units differ; open ends and bounds are told."""
    assert "9 to 53 %" == wording.interval(Estimate(0.25, 0.09, 0.53, 12), wording.fraction)
    assert "900 ms to 1.20 s" == wording.interval(Estimate(1, 0.9, 1.2, 12), wording.seconds)
    assert "2 h or more" == wording.interval(Estimate(9000, 7200, None, 1), wording.seconds)
    assert "> 2 h" == wording.estimate(Estimate(None, 7200, None, 0), wording.seconds)
