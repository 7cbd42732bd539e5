"""Two lines of one feed: the first copy wins, holes are filled by the other line, and what neither has is one gap."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat_trio.events import Gap, Quote
from heartbeat_trio.policies import RedundantPolicy
from heartbeat_trio.sansio import lines as lines_module
from heartbeat_trio.sansio.arbitration import ANNOUNCEMENTS, LEFT_STREAMS
from heartbeat_trio.sansio.lines import REMEMBERED, LineArbiter

POLICY = RedundantPolicy()
WAIT = POLICY.wait


def quote(seq: int, stream: str = "s1", symbol: str = "A", bid: float = 1.0, ts: int = 0) -> Quote:
    return Quote(symbol, bid, 2.0, seq, stream, ts)


def gap(first: int, last: int | None, reason: str, stream: str = "s1", at: float = 0.0) -> Gap:
    return Gap(at=at, symbol="A", stream=stream, first=first, last=last, reason=reason)  # type: ignore[arg-type]


def arbiter_of(*names: str, policy: RedundantPolicy = POLICY) -> LineArbiter:
    arbiter = LineArbiter(policy)
    for name in names:
        arbiter.add_line(name)
        arbiter.line_up(name)
    return arbiter


def test_first_copy_wins_and_the_other_is_its_lag() -> None:
    """Each number once; the figures say who won and by how much the other lags."""
    arbiter = arbiter_of("a", "b")
    assert arbiter.position("A") is None
    assert arbiter.receive("a", quote(5), 0.0) == [quote(5)]
    assert arbiter.receive("b", quote(5), 0.125) == []
    assert arbiter.receive("b", quote(6), 1.0) == [quote(6)]
    assert arbiter.receive("a", quote(6), 1.5) == []
    assert arbiter.receive("a", quote(7), 2.0) == [quote(7)]
    assert arbiter.receive("b", quote(4), 2.0) == []  # before the first one: nobody promised it

    a, b = arbiter.figures("a"), arbiter.figures("b")
    assert (3, 2, 2 / 3, 0.5, 1) == (a.received, a.won, a.win_rate, a.lag_maximum, a.lag_n)
    assert (3, 1, 1 / 3, 0.125, "seq") == (b.received, b.won, b.win_rate, b.lag_p50, b.by)
    assert ("s1", 7) == arbiter.position("A")
    assert {"A": ("s1", 7)} == arbiter.positions
    assert inf == arbiter.next_deadline()


def test_a_line_that_just_joined_has_no_win_rate() -> None:
    """Its rate counts from its joining."""
    arbiter = arbiter_of("a")
    arbiter.receive("a", quote(1), 0.0)
    arbiter.add_line("b")
    assert arbiter.figures("b").win_rate is None
    arbiter.receive("b", quote(2), 0.0)
    assert 1.0 == arbiter.figures("b").win_rate


def test_a_hole_is_filled_by_the_other_line() -> None:
    """What is behind it waits, and comes in order."""
    arbiter = arbiter_of("a", "b")
    arbiter.receive("a", quote(5), 0.0)
    assert arbiter.receive("a", quote(8), 1.0) == []
    assert arbiter.receive("a", quote(9), 1.1) == []
    assert 1.0 + WAIT == arbiter.next_deadline()
    assert arbiter.receive("b", quote(6), 1.2) == [quote(6)]
    assert arbiter.handle_timer(1.2) == []
    assert arbiter.receive("b", quote(7), 1.2) == [quote(7), quote(8), quote(9)]
    assert inf == arbiter.next_deadline()
    assert (1, 2) == (arbiter.figures("a").holes, arbiter.figures("a").missing)
    assert (0, 0) == (arbiter.figures("b").holes, arbiter.figures("b").missing)


def test_a_hole_that_nobody_fills_is_a_gap_when_the_wait_is_over() -> None:
    """One gap, exactly what is missing; each hole has its own time."""
    arbiter = arbiter_of("a", "b")
    arbiter.receive("a", quote(5), 0.0)
    arbiter.receive("a", quote(8), 1.0)
    arbiter.receive("a", quote(10), 1.1)
    assert arbiter.handle_timer(1.2) == []
    assert arbiter.handle_timer(1.0 + WAIT) == [gap(6, 7, "unexplained", at=1.0 + WAIT), quote(8)]
    assert 1.1 + WAIT == arbiter.next_deadline()
    assert arbiter.receive("b", quote(7), 1.3) == []  # too late
    assert arbiter.handle_timer(1.1 + WAIT) == [gap(9, 9, "unexplained", at=1.1 + WAIT), quote(10)]


def test_nobody_waits_for_lines_that_have_passed() -> None:
    """When all lines lack it, or the one that might have had it leaves, the gap is told at once."""
    arbiter = arbiter_of("a", "b")
    arbiter.receive("a", quote(5), 0.0)
    arbiter.receive("a", quote(7), 1.0)
    assert arbiter.receive("b", quote(7), 1.0) == [gap(6, 6, "unexplained", at=1.0), quote(7)]
    arbiter.receive("a", quote(9), 2.0)
    assert arbiter.remove_line("b", 2.0) == [gap(8, 8, "unexplained", at=2.0), quote(9)]
    assert arbiter.receive("a", quote(11), 3.0) == [gap(10, 10, "unexplained", at=3.0), quote(11)]


def test_a_line_may_fill_its_own_hole_late() -> None:
    """While another one is waited for."""
    arbiter = arbiter_of("a", "b")
    arbiter.receive("a", quote(5), 0.0)
    arbiter.receive("a", quote(7), 1.0)
    assert arbiter.receive("a", quote(7), 1.05) == []
    assert arbiter.receive("a", quote(6), 1.1) == [quote(6), quote(7)]


def test_reasons_come_from_the_lines() -> None:
    """A line that says why explains what neither brings; `unexplained` explains nothing."""
    arbiter = arbiter_of("a", "b")
    arbiter.announce(gap(1, 3, "expired"))  # before the first quote there is nothing to explain
    arbiter.receive("a", quote(5), 0.0)
    arbiter.announce(gap(3, 4, "expired"))  # old news
    arbiter.announce(gap(6, 9, "unexplained"))
    arbiter.announce(gap(6, 7, "conflated"))
    arbiter.announce(gap(10, None, "stream_changed"))
    arbiter.announce(gap(1, 1, "expired", "s2"))
    arbiter.receive("a", quote(9), 1.0)
    assert arbiter.receive("b", quote(9), 1.0) == [
        gap(6, 7, "conflated", at=1.0),
        gap(8, 8, "unexplained", at=1.0),
        quote(9),
    ]
    arbiter.receive("a", quote(2, "s2"), 2.0)
    assert arbiter.receive("b", quote(2, "s2"), 2.0) == [
        gap(10, None, "stream_changed", at=2.0),
        gap(1, 1, "expired", "s2", at=2.0),
        quote(2, "s2"),
    ]


def test_only_so_many_announcements_and_held_quotes_wait() -> None:
    """Memory is bounded: too many quotes behind a hole end the waiting."""
    arbiter = arbiter_of("a", "b", policy=RedundantPolicy(max_held=3))
    arbiter.receive("a", quote(1), 0.0)
    for seq in range(ANNOUNCEMENTS + 9):
        arbiter.announce(gap(9 + seq, 9 + seq, "conflated"))
    assert [[], [], []] == [arbiter.receive("a", quote(seq), 0.0) for seq in (3, 4, 5)]
    assert arbiter.receive("a", quote(6), 0.0) == [gap(2, 2, "unexplained"), quote(3), quote(4), quote(5), quote(6)]
    assert ANNOUNCEMENTS == len(arbiter._feeds["A"].announced)


def test_the_time_of_so_many_first_copies_is_remembered() -> None:
    """A copy of long ago has no lag that is known."""
    arbiter = arbiter_of("a", "b")
    for seq in range(1, REMEMBERED + 2):
        arbiter.receive("a", quote(seq), 0.0)
    arbiter.receive("b", quote(1), 9.0)
    assert 0 == arbiter.figures("b").lag_n
    arbiter.receive("b", quote(2), 9.0)
    assert 1 == arbiter.figures("b").lag_n


def test_one_line_alone_never_waits() -> None:
    """Its holes and its restarts are told at once."""
    arbiter = arbiter_of("a")
    arbiter.receive("a", quote(5), 0.0)
    assert arbiter.receive("a", quote(8), 0.0) == [gap(6, 7, "unexplained"), quote(8)]
    assert arbiter.receive("a", quote(2, "s2"), 0.0) == [
        gap(9, None, "stream_changed"),
        gap(1, 1, "unexplained", "s2"),
        quote(2, "s2"),
    ]


def test_the_rest_of_the_old_stream_comes_before_the_new_one() -> None:
    """One line is faster than the other to see the restart: what the slower one still brings is not lost."""
    arbiter = arbiter_of("a", "b")
    arbiter.receive("a", quote(5), 0.0)
    arbiter.receive("b", quote(5), 0.0)
    assert arbiter.receive("a", quote(1, "s2"), 1.0) == []
    assert arbiter.receive("a", quote(1, "s2"), 1.0) == []
    assert 1.0 + WAIT == arbiter.next_deadline()
    assert arbiter.receive("b", quote(6), 1.1) == [quote(6)]
    assert arbiter.receive("b", quote(2, "s2"), 1.2) == [
        gap(7, None, "stream_changed", at=1.2),
        quote(1, "s2"),
        quote(2, "s2"),
    ]
    assert arbiter.receive("b", quote(7), 1.3) == []  # left behind
    assert arbiter.receive("a", quote(2, "s2"), 1.3) == []


def test_a_line_that_numbers_by_itself_is_aside_until_it_is_needed() -> None:
    """The feed stays with its stream while a line goes on in it, and does not flap."""
    arbiter = arbiter_of("a", "b")
    arbiter.receive("a", quote(5), 0.0)
    assert arbiter.receive("b", quote(70, "other"), 0.0) == []
    arbiter.receive("a", quote(6), 0.2)
    assert arbiter.handle_timer(WAIT) == []
    assert arbiter.next_deadline() == 0.2 + POLICY.patience
    assert arbiter.receive("b", quote(71, "other"), 1.0) == []
    arbiter.receive("a", quote(7), 2.0)
    assert arbiter.receive("b", quote(72, "other"), 2.5) == []  # 70 is no news any more
    assert (True, False) == (arbiter.is_aside("b"), arbiter.is_aside("a"))
    assert 3 == arbiter.figures("b").aside
    arbiter.line_down("a")
    assert arbiter.receive("b", quote(73, "other"), 2.6) == [
        gap(8, None, "stream_changed", at=2.6),
        gap(1, 70, "unexplained", "other", at=2.6),
        quote(71, "other"),
        quote(72, "other"),
        quote(73, "other"),
    ]
    assert not arbiter.is_aside("b")


def test_a_line_that_came_back_must_show_that_it_follows() -> None:
    """A connection of its own proves nothing: only what it brings does."""
    arbiter = arbiter_of("a", "b")
    arbiter.receive("a", quote(5), 0.0)
    arbiter.line_down("a")
    arbiter.line_up("a")
    assert arbiter.receive("b", quote(1, "s2"), 1.0) == []
    assert arbiter.handle_timer(1.0 + WAIT) == [gap(6, None, "stream_changed", at=1.0 + WAIT), quote(1, "s2")]


def test_a_stream_of_which_nothing_comes_any_more_is_left() -> None:
    """Its line is up, but silent: patience ends."""
    arbiter = arbiter_of("a", "b")
    arbiter.receive("a", quote(5), 0.0)
    arbiter.receive("b", quote(1, "s2"), 1.0)
    assert arbiter.handle_timer(1.0 + WAIT) == []
    assert arbiter.receive("b", quote(2, "s2"), 1.9) == []
    assert POLICY.patience == arbiter.next_deadline()
    assert arbiter.handle_timer(2.0) == [gap(6, None, "stream_changed", at=2.0), quote(1, "s2"), quote(2, "s2")]


def test_a_stream_that_its_only_line_has_left_again_is_dropped() -> None:
    """What came of it leads nowhere."""
    arbiter = arbiter_of("a", "b")
    arbiter.receive("a", quote(5), 0.0)
    arbiter.receive("b", quote(1, "s2"), 1.0)
    assert arbiter.receive("b", quote(6), 1.0) == [quote(6)]
    assert inf == arbiter.next_deadline()


def test_going_back_to_a_stream_that_was_left() -> None:
    """Its missing numbers were told when it was left; what was given is not given again."""
    arbiter = arbiter_of("a", "b")
    arbiter.receive("a", quote(5), 0.0)
    arbiter.receive("b", quote(5), 0.0)
    arbiter.receive("a", quote(1, "s2"), 1.0)
    arbiter.receive("b", quote(1, "s2"), 1.0)
    arbiter.remove_line("a", 2.0)
    assert arbiter.receive("b", quote(5), 2.0) == []
    assert arbiter.receive("b", quote(8), 2.0) == []
    assert arbiter.handle_timer(2.0 + WAIT) == [gap(2, None, "stream_changed", "s2", at=2.0 + WAIT), quote(8)]


def test_a_line_still_in_a_stream_that_was_left_is_only_behind() -> None:
    """It may yet bring what is missing."""
    arbiter = arbiter_of("a", "b", "c")
    for name in ("a", "b", "c"):
        arbiter.receive(name, quote(5), 0.0)
    arbiter.line_down("c")
    arbiter.receive("a", quote(2, "s2"), 1.0)
    arbiter.receive("b", quote(2, "s2"), 1.0)
    assert arbiter.handle_timer(1.0 + WAIT) == [
        gap(6, None, "stream_changed", at=1.0 + WAIT),
        gap(1, 1, "unexplained", "s2", at=1.0 + WAIT),
        quote(2, "s2"),
    ]
    assert arbiter.receive("a", quote(4, "s2"), 2.0) == []
    assert arbiter.receive("b", quote(4, "s2"), 2.0) == []
    assert arbiter.receive("c", quote(3, "s2"), 2.0) == [quote(3, "s2"), quote(4, "s2")]


def test_only_so_many_quotes_are_kept_aside() -> None:
    """The oldest make room."""
    arbiter = arbiter_of("a", "b", policy=RedundantPolicy(max_held=2))
    arbiter.receive("a", quote(5), 0.0)
    for seq in (1, 2, 3):
        arbiter.receive("b", quote(seq, "s2"), 0.0)
    assert 2 == len(arbiter._feeds["A"].aside["s2"].held)
    assert arbiter.receive("a", quote(6), 0.0) == [quote(6)]


def test_only_so_many_streams_are_remembered() -> None:
    """Streams aside: one a line. Streams that were left: a few."""
    arbiter = arbiter_of("a", "b")
    arbiter.receive("a", quote(1), 0.0)
    for number in range(20):
        arbiter.receive("b", quote(1, f"other-{number}"), 0.0)
    assert 1 == len(arbiter._feeds["A"].aside)
    arbiter.remove_line("b", 0.0)
    for number in range(LEFT_STREAMS + 2):
        arbiter.receive("a", quote(1, f"n{number}"), 0.0)
    assert LEFT_STREAMS == len(arbiter._feeds["A"].left)


def test_forgotten_symbols_begin_anew() -> None:
    """Also while something of them waits."""
    arbiter = arbiter_of("a", "b")
    arbiter.receive("a", quote(5), 0.0)
    arbiter.receive("a", quote(9), 0.0)
    arbiter.forget("A")
    assert (inf, None) == (arbiter.next_deadline(), arbiter.position("A"))
    assert arbiter.receive("b", quote(70), 0.0) == [quote(70)]
    assert not arbiter.is_aside("a")


def test_without_numbers_the_content_tells_copies() -> None:
    """Within the window; the snapshot says so."""
    arbiter = LineArbiter(POLICY, is_sequenced=lambda _quote: False)
    arbiter.add_line("a")
    arbiter.add_line("b")
    first, second = quote(1, ts=10), quote(9, ts=10)  # each line numbers by itself
    assert arbiter.receive("a", first, 0.0) == [first]
    assert arbiter.receive("b", second, 0.5) == []
    assert arbiter.receive("b", quote(9, ts=11), 0.5) == [quote(9, ts=11)]
    assert arbiter.receive("b", second, 2.5) == [second]
    assert (0.5, "content", 1) == (arbiter.figures("b").lag_p99, arbiter.figures("b").by, arbiter.figures("a").won)
    assert arbiter.position("A") is None


def test_an_outage_of_all_lines_is_told_where_there_are_no_numbers() -> None:
    """Of each symbol once, before its next quote, and only of those that came before; one line that stays up is enough."""
    arbiter = LineArbiter(POLICY, is_sequenced=lambda _quote: False)
    for name in ("a", "b"):
        arbiter.add_line(name)
        arbiter.line_up(name)
    arbiter.receive("a", quote(1, "local-a", ts=1), 0.0)
    arbiter.receive("a", quote(4, "local-a", "B", ts=1), 0.0)
    arbiter.line_down("a")
    arbiter.line_up("a")
    assert [quote(1, "local-c", ts=2)] == arbiter.receive("a", quote(1, "local-c", ts=2), 0.0)
    for name in ("a", "a", "b"):  # a line that is down is down
        arbiter.line_down(name)
    arbiter.line_up("b")
    told = arbiter.receive("b", quote(1, "local-d", ts=3), 0.0) + arbiter.receive("b", quote(2, "local-d", ts=4), 0.0)
    assert [gap(2, None, "reconnected", "local-c"), quote(1, "local-d", ts=3), quote(2, "local-d", ts=4)] == told
    arbiter.forget("B")
    assert [quote(1, "local-d", "B", ts=3)] == arbiter.receive("b", quote(1, "local-d", "B", ts=3), 0.0)


def test_contents_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a flood the oldest ones are forgotten before their time."""
    monkeypatch.setattr(lines_module, "MAX_CONTENTS", 10)
    arbiter = LineArbiter(POLICY, is_sequenced=lambda _quote: False)
    arbiter.add_line("a")
    for number in range(100):
        arbiter.receive("a", quote(1, ts=number), 0.0)
    assert 11 == len(arbiter._contents) == len(arbiter._times)


def test_connections_that_are_gone_are_not_remembered_with_a_content_that_stays() -> None:
    """A venue that always says the same, over a line that reconnects often: what is kept does not grow."""
    arbiter = LineArbiter(POLICY, is_sequenced=lambda _quote: False)
    arbiter.add_line("a")
    for number in range(400):
        if not number % 8:
            arbiter.line_up("a")
        arbiter.receive("a", quote(1), number * 0.1 * POLICY.window)
    [content] = arbiter._contents.values()
    assert 4 >= len(content.counts)


def test_what_one_line_says_twice_comes_twice() -> None:
    """Two trades of one price in one millisecond are two; a line brings copies of as many, and a new connection of all."""
    arbiter = LineArbiter(POLICY, is_sequenced=lambda _quote: False)
    for name in ("a", "b"):
        arbiter.add_line(name)
        arbiter.line_up(name)
    came = [("a", 0.0), ("a", 0.1), ("b", 0.2), ("b", 0.3), ("b", 0.4), ("a", 0.5), ("a", 2.05), ("b", 2.1), ("a", 2.15)]
    given = [bool(arbiter.receive(name, quote(1), at)) for name, at in came]
    assert [True, True, False, False, True, False, True, False, True] == given
    arbiter.line_down("a")
    arbiter.line_up("a")
    assert [] == arbiter.receive("a", quote(1), 2.2)
    assert [quote(1)] == arbiter.receive("a", quote(1), 9.0)


@given(st.lists(st.tuples(st.integers(1, 3), st.floats(0, 1.5)), max_size=40), st.floats(0, 0.4))
def test_without_numbers_nothing_is_dropped_and_nothing_doubled(said: list[tuple[int, float]], lag: float) -> None:
    """One line alone gives all it brings, and so do two of which one lags behind: whatever is said how often."""
    now, arrivals = 0.0, []
    for number, (ts, pause) in enumerate(said):
        now += pause
        arrivals += [(now, number, "a", ts), (now + lag, number, "b", ts)]
    for lines in (("a",), ("a", "b")):
        arbiter = LineArbiter(POLICY, is_sequenced=lambda _quote: False)
        for name in lines:
            arbiter.add_line(name)
        told = [
            arbiter.receive(name, quote(number, ts=ts), at) for at, number, name, ts in sorted(arrivals) if name in lines
        ]
        assert [ts for ts, _ in said] == [each.ts for some in told for each in some if isinstance(each, Quote)]


# -- any choice of drops, delays, reconnects and restarts ---------------------------------------------------------------

STEP = 0.01


class Fate(NamedTuple):
    """What becomes of one quote on one line: seconds until it arrives, None if it does not, and a loss of the line."""

    delay: float | None
    is_cut: bool


fates = st.tuples(
    st.builds(Fate, st.one_of(st.none(), st.floats(0, 0.2)), st.booleans()),
    st.builds(Fate, st.one_of(st.none(), st.floats(0, 0.2)), st.booleans()),
)


def play(numbers: list[tuple[str, int]], chosen: list[tuple[Fate, Fate]]) -> list[Quote | Gap]:
    """Deliver as the fates say, each line in its order, timers in time."""
    arbiter = arbiter_of("a", "b")
    arrivals: list[tuple[float, str, Quote, bool]] = []
    for index, name in enumerate(("a", "b")):
        last = 0.0
        for sent, ((stream, seq), fate) in enumerate(zip(numbers, chosen, strict=True)):
            delay, is_cut = fate[index]
            if delay is not None:
                last = max(last, sent * STEP + delay)
                arrivals.append((last, name, quote(seq, stream), is_cut))
    told: list[Quote | Gap] = []
    for at, name, each, is_cut in sorted(arrivals, key=lambda arrival: arrival[0]):
        while arbiter.next_deadline() <= at:
            told += arbiter.handle_timer(arbiter.next_deadline())
        if is_cut:
            arbiter.line_down(name)
            arbiter.line_up(name)
        told += arbiter.receive(name, each, at)
    while arbiter.next_deadline() < inf:
        told += arbiter.handle_timer(arbiter.next_deadline())
    return told


def expected(numbers: list[tuple[str, int]], survivors: set[tuple[str, int]]) -> list[tuple[str, int, int | None]]:
    """What must be told: (stream, first, last), last None where the stream changes; first == last for a quote or a hole."""
    told: list[tuple[str, int, int | None]] = []
    place: tuple[str, int] | None = None
    for stream, seq in numbers:
        if (stream, seq) not in survivors:
            continue
        if place is not None and place[0] != stream:
            told.append((place[0], place[1] + 1, None))
            place = (stream, 0)
        if place is not None and place[1] + 1 < seq:
            told.append((stream, place[1] + 1, seq - 1))
        told.append((stream, seq, seq))
        place = (stream, seq)
    return told


@settings(max_examples=300)
@given(st.lists(fates, min_size=1, max_size=40), st.integers(0, 40))
def test_what_survives_on_one_line_is_given_once_and_in_order(chosen: list[tuple[Fate, Fate]], restart: int) -> None:
    """0 lost, 0 doubled, order kept; what survives on none is covered by exactly one gap."""
    numbers = [("s1", n + 1) if n < restart else ("s2", n - restart + 1) for n in range(len(chosen))]
    # The first quote defines where the feed begins, so let it come at once.
    chosen[0] = (Fate(0.0, is_cut=False), Fate(0.0, is_cut=False))
    survivors = {
        number for number, fate in zip(numbers, chosen, strict=True) if any(each.delay is not None for each in fate)
    }
    told = play(numbers, chosen)
    seen = [
        (each.stream, each.seq, each.seq) if isinstance(each, Quote) else (each.stream, each.first, each.last)
        for each in told
    ]
    assert expected(numbers, survivors) == seen


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(1, 30), st.sampled_from(["s1", "s2"]), st.floats(0, 0.4)), max_size=60
    )
)
def test_whatever_comes_each_number_is_told_once(arrivals: list[tuple[str, int, str, float]]) -> None:
    """Disorder, repetition, two streams, long delays: within a stay in a stream, numbers go up by one each time."""
    arbiter = arbiter_of("a", "b")
    now, told = 0.0, list[Quote | Gap]()
    for name, seq, stream, pause in arrivals:
        now += pause
        while arbiter.next_deadline() <= now:
            told += arbiter.handle_timer(arbiter.next_deadline())
        told += arbiter.receive(name, quote(seq, stream), now)
    place: tuple[str, int | None] | None = None
    given = [each for each in told if isinstance(each, Quote)]
    assert len(given) == len({(each.stream, each.seq) for each in given})
    for each in told:
        first, last = (each.seq, each.seq) if isinstance(each, Quote) else (each.first, each.last)
        if place is not None and place[1] is not None:
            assert (each.stream, first) == (place[0], place[1] + 1)
        place = (each.stream, last)
