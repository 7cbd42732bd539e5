"""Each quote once and in order; together with the gaps, every number is accounted for exactly once."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from heartbeat_trio.events import Gap, Quote
from heartbeat_trio.sansio.arbitration import LEFT_STREAMS, FeedArbiter


def quote(seq: int, stream: str = "s1", symbol: str = "A") -> Quote:
    return Quote(symbol, 1.0, 2.0, seq, stream, 0)


def gap(first: int, last: int | None, reason: str, stream: str = "s1") -> Gap:
    return Gap(at=0.0, symbol="A", stream=stream, first=first, last=last, reason=reason)  # type: ignore[arg-type]


def test_first_quote_is_no_gap_whatever_its_number() -> None:
    """Nobody promised what came before."""
    arbiter = FeedArbiter()
    assert arbiter.position("A") is None
    assert arbiter.receive_quote(quote(41), 0.0) == [quote(41)]
    assert arbiter.position("A") == ("s1", 41)


def test_duplicates_and_old_ones_are_dropped() -> None:
    """Each number once."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(5), 0.0)

    assert [[], [], [quote(6)]] == [arbiter.receive_quote(quote(seq), 0.0) for seq in (5, 3, 6)]


def test_a_hole_nobody_explained() -> None:
    """Announced before the next quote, with exact bounds."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(5), 0.0)

    assert arbiter.receive_quote(quote(9), 0.0) == [gap(6, 8, "unexplained"), quote(9)]
    assert arbiter.receive_quote(quote(10), 0.0) == [quote(10)]


def test_reasons_are_the_servers_bounds_are_ours() -> None:
    """An announcement explains what is missing, never what came; the rest is unexplained."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(10), 0.0)
    arbiter.announce("A", "s1", 1, 12, is_resume=True, now=0.0)
    arbiter.announce("A", "s1", 15, 16, is_resume=False, now=0.0)
    arbiter.announce("A", "other", 1, 99, is_resume=False, now=0.0)
    arbiter.announce("A", "s1", 19, 99, is_resume=False, now=0.0)

    assert arbiter.receive_quote(quote(21), 0.0) == [
        gap(11, 12, "expired"),
        gap(13, 14, "unexplained"),
        gap(15, 16, "conflated"),
        gap(17, 18, "unexplained"),
        gap(19, 20, "conflated"),
        quote(21),
    ]
    assert arbiter.receive_quote(quote(23), 0.0) == [gap(22, 22, "unexplained"), quote(23)]  # old news are forgotten


def test_announcements_for_what_is_not_followed_are_ignored() -> None:
    """Before the first quote there is nothing to explain."""
    arbiter = FeedArbiter()
    arbiter.announce("A", "s1", 1, 5, is_resume=False, now=0.0)
    arbiter.receive_quote(quote(3), 0.0)
    arbiter.announce("A", "s1", 1, 3, is_resume=False, now=0.0)

    assert arbiter.receive_quote(quote(4), 0.0) == [quote(4)]


def test_a_new_stream_ends_the_old_one() -> None:
    """Nobody knows how far the old one went; what the new one lacks is a hole of its own."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(41), 0.0)
    arbiter.announce("A", "s1", 42, None, is_resume=True, now=0.0)
    arbiter.announce("A", "s2", 1, 6, is_resume=True, now=0.0)

    assert arbiter.receive_quote(quote(7, "s2"), 0.0) == [
        gap(42, None, "stream_changed"),
        gap(1, 6, "expired", "s2"),
        quote(7, "s2"),
    ]
    assert arbiter.receive_quote(quote(42, "s1"), 0.0) == []  # still on its way from the old one


def test_only_so_many_old_streams_are_remembered() -> None:
    """Bounded; a stream of long ago counts as new."""
    arbiter = FeedArbiter()
    for number in range(LEFT_STREAMS + 2):
        arbiter.receive_quote(quote(1, f"s{number}"), 0.0)

    assert arbiter.receive_quote(quote(9, "s1"), 0.0) == []
    assert arbiter.receive_quote(quote(1, "s0"), 0.0)[-1] == quote(1, "s0")


def test_forgotten_symbols_begin_anew() -> None:
    """Who unsubscribes and comes back is told of no gap."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(5), 0.0)
    arbiter.forget("A")
    arbiter.forget("B")

    assert arbiter.receive_quote(quote(50), 0.0) == [quote(50)]


class FeedMachine(RuleBasedStateMachine):
    """A server that numbers, loses, repeats, announces and restarts; a client that keeps a ledger of every number."""

    def __init__(self) -> None:
        super().__init__()
        self.arbiter = FeedArbiter()
        self.stream, self.seq = 0, 0
        self.old: list[Quote] = []
        self.ledger: dict[str, list[int]] = {}
        self.current: str | None = None

    def receive(self, each: Quote) -> None:
        for told in self.arbiter.receive_quote(each, 0.0):
            if isinstance(told, Gap) and told.last is None:
                assert told.stream == self.current
                assert told.first == self.ledger[told.stream][-1] + 1
                self.current = None
                continue
            if self.current != told.stream:
                assert self.current is None
                self.current = told.stream
            numbers = [told.seq] if isinstance(told, Quote) else list(range(told.first, (told.last or 0) + 1))
            assert numbers
            self.ledger.setdefault(told.stream, []).extend(numbers)
            if isinstance(told, Quote):
                assert told == each

    @rule()
    def next_quote(self) -> None:
        self.seq += 1
        self.old.append(quote(self.seq, f"s{self.stream}"))
        self.receive(self.old[-1])

    @rule(count=st.integers(1, 5), announced=st.booleans(), is_resume=st.booleans())
    def lose(self, count: int, announced: bool, is_resume: bool) -> None:
        if announced:
            first, last = self.seq + 1, self.seq + count
            self.arbiter.announce("A", f"s{self.stream}", first, last, is_resume=is_resume, now=0.0)
        self.seq += count

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        again = data.draw(st.sampled_from(self.old[-20:]))
        before = {stream: list(numbers) for stream, numbers in self.ledger.items()}
        if self.arbiter.position("A") is not None and int(again.stream[1:]) > self.stream - LEFT_STREAMS:
            self.receive(again)
            assert before == self.ledger

    @rule()
    def restart(self) -> None:
        self.stream, self.seq = self.stream + 1, 0

    def teardown(self) -> None:
        for numbers in self.ledger.values():
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
        for stream in list(self.ledger)[1:]:
            assert self.ledger[stream][0] == 1


TestFeedMachine = FeedMachine.TestCase
TestFeedMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
