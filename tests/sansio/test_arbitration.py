"""Each quote once and in order; together with the gaps, every number is accounted for exactly once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heartbeat_trio.events import Gap, Quote
from heartbeat_trio.sansio.arbitration import ANNOUNCEMENTS, LEFT_STREAMS, FeedArbiter


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


def test_a_reconnection_without_numbers_of_the_venues_is_told_as_such() -> None:
    """From one numbering of ours to the next, and only there."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(7, "venue"), 0.0)

    assert [gap(8, None, "stream_changed", "venue"), quote(1, "local-1")] == arbiter.receive_quote(quote(1, "local-1"), 0.0)
    assert [gap(2, None, "reconnected", "local-1"), quote(1, "local-2")] == arbiter.receive_quote(quote(1, "local-2"), 0.0)
    assert [] == arbiter.receive_quote(quote(2, "local-1"), 0.0)


def test_duplicates_and_old_ones_are_dropped() -> None:
    """Each number once."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(5), 0.0)

    assert [[], [], [quote(6)]] == [arbiter.receive_quote(quote(seq), 0.0) for seq in (5, 3, 6)]


@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from(["s1", "s2"]), st.integers(1, 12)), max_size=30), st.data())
def test_a_batch_is_its_quotes(numbers: list[tuple[str, str, int]], data: st.DataObject) -> None:
    """The same quotes in the same order and the same gaps as one by one, with announcements between batches."""
    batched, single = FeedArbiter(), FeedArbiter()
    while numbers:
        size = data.draw(st.integers(1, len(numbers)))
        batch, numbers = [quote(seq, stream, symbol) for symbol, stream, seq in numbers[:size]], numbers[size:]
        expected = [told for each in batch for told in single.receive_quote(each, 0.0)]
        fresh: list[Quote] = []
        gaps = batched.receive_quotes(batch, 0.0, fresh)

        assert fresh == [told for told in expected if isinstance(told, Quote)]
        assert gaps == [told for told in expected if isinstance(told, Gap)]
        last = data.draw(st.none() | st.integers(1, 12))
        for arbiter in (batched, single):
            arbiter.announce("A", "s1", 1, last, is_resume=False, now=0.0)


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


def test_a_server_that_goes_back_to_a_stream_that_was_left_is_followed() -> None:
    """Two servers take turns behind one name: each hole is told once, and neither server's quotes are lost for good."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(41), 0.0)
    arbiter.announce("A", "s1", 42, None, is_resume=True, now=0.0)
    assert arbiter.receive_quote(quote(1, "s2"), 0.0) == [gap(42, None, "stream_changed"), quote(1, "s2")]
    assert arbiter.receive_quote(quote(60), 0.0) == []
    arbiter.announce("A", "s2", 2, None, is_resume=True, now=0.0)

    assert arbiter.receive_quote(quote(40), 0.0) == []
    assert arbiter.receive_quote(quote(41), 0.0) == []
    assert arbiter.position("A") == ("s2", 1)
    assert arbiter.receive_quote(quote(60), 0.0) == [gap(2, None, "stream_changed", "s2"), quote(60)]
    assert arbiter.receive_quote(quote(2, "s2"), 0.0) == []
    assert arbiter.receive_quote(quote(62), 0.0) == [gap(61, 61, "unexplained"), quote(62)]


def test_a_stream_that_was_left_again_is_remembered_as_the_newest() -> None:
    """Not forgotten early because it had been left before."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(1), 0.0)
    arbiter.receive_quote(quote(1, "s2"), 0.0)
    arbiter.announce("A", "s2", 2, None, is_resume=True, now=0.0)
    arbiter.receive_quote(quote(2), 0.0)
    for number in range(LEFT_STREAMS):
        arbiter.receive_quote(quote(1, f"new-{number}"), 0.0)

    assert arbiter.receive_quote(quote(3), 0.0) == []


def test_an_end_is_believed_only_of_the_present_stream_and_until_its_next_quote() -> None:
    """A quote of the stream proves that it goes on."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(5), 0.0)
    arbiter.receive_quote(quote(1, "s2"), 0.0)
    arbiter.announce("A", "s1", 6, None, is_resume=True, now=0.0)
    assert arbiter.receive_quote(quote(7), 0.0) == []
    arbiter.announce("A", "s2", 2, None, is_resume=True, now=0.0)
    arbiter.receive_quote(quote(2, "s2"), 0.0)

    assert arbiter.receive_quote(quote(7), 0.0) == []


def test_only_so_many_announcements_wait() -> None:
    """Bounded: the oldest make room, those of numbers long seen take none."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(5), 0.0)
    for seq in range(ANNOUNCEMENTS + 1):
        arbiter.announce("A", "s1", 7 + seq, 7 + seq, is_resume=False, now=0.0)
    for _ in range(ANNOUNCEMENTS):
        arbiter.announce("A", "s1", 1, 5, is_resume=True, now=0.0)
    told = arbiter.receive_quote(quote(8 + ANNOUNCEMENTS), 0.0)

    assert told[:2] == [gap(6, 7, "unexplained"), gap(8, 8, "conflated")]
    assert len(told) == 1 + ANNOUNCEMENTS + 1


def test_symbols_do_not_mix() -> None:
    """Each has its own numbers."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(5), 0.0)
    arbiter.receive_quote(quote(70, symbol="B"), 0.0)

    assert arbiter.receive_quote(quote(6), 0.0) == [quote(6)]
    assert [("s1", 6), ("s1", 70)] == [arbiter.position("A"), arbiter.position("B")]


def test_forgotten_symbols_begin_anew() -> None:
    """Who unsubscribes and comes back is told of no gap."""
    arbiter = FeedArbiter()
    arbiter.receive_quote(quote(5), 0.0)
    arbiter.forget("A")
    arbiter.forget("B")

    assert arbiter.receive_quote(quote(50), 0.0) == [quote(50)]


def test_what_another_line_brought_need_not_come_again() -> None:
    """The position moves on without a gap; never backwards, and never into another stream."""
    arbiter = FeedArbiter()
    arbiter.advance("A", "s1", 5)
    assert ("s1", 5) == arbiter.position("A")
    arbiter.advance("A", "s1", 9)
    arbiter.advance("A", "s1", 7)
    arbiter.advance("A", "s2", 70)
    assert ("s1", 9) == arbiter.position("A")
    assert arbiter.receive_quote(quote(9), 0.0) == []
    assert arbiter.receive_quote(quote(11), 0.0) == [gap(10, 10, "unexplained"), quote(11)]


class FeedMachine(RuleBasedStateMachine):
    """A server that numbers, loses, repeats, announces rightly and wrongly, and restarts.

    The client's ledger has every number that it was told of, by a quote or by a gap, in the order of telling. The model
    knows each lost number's true reason.
    """

    def __init__(self) -> None:
        super().__init__()
        self.arbiter = FeedArbiter()
        self.stream, self.seq = 0, 0
        self.sent: list[Quote] = []
        self.lost: dict[tuple[str, int], str] = {}
        self.ledger: dict[str, list[int]] = {}
        self.current: str | None = None

    @property
    def name(self) -> str:
        return f"s{self.stream}"

    def receive(self, each: Quote) -> None:
        *gaps, last = self.arbiter.receive_quote(each, 0.0)
        assert each == last
        for told in gaps:
            assert isinstance(told, Gap)
            self.note(told)
        self.enter(each.stream, [each.seq])

    def note(self, told: Gap) -> None:
        if told.last is None:
            assert ("stream_changed", self.current) == (told.reason, told.stream)
            assert told.first == self.ledger[told.stream][-1] + 1
            self.current = None
            return
        numbers = list(range(told.first, told.last + 1))
        assert {told.reason} == {self.lost[told.stream, number] for number in numbers}
        self.enter(told.stream, numbers)

    def enter(self, stream: str, numbers: list[int]) -> None:
        assert self.current in (None, stream)
        self.current = stream
        self.ledger.setdefault(stream, []).extend(numbers)

    @rule()
    def next_quote(self) -> None:
        self.seq += 1
        self.sent.append(quote(self.seq, self.name))
        self.receive(self.sent[-1])

    @rule(count=st.integers(1, 5), reason=st.sampled_from(["unexplained", "expired", "conflated"]))
    def lose(self, count: int, reason: str) -> None:
        first, last = self.seq + 1, self.seq + count
        is_known = self.current is not None
        if reason != "unexplained":
            self.arbiter.announce("A", self.name, first, last, is_resume=reason == "expired", now=0.0)
        for number in range(first, last + 1):
            self.lost[self.name, number] = reason if is_known else "unexplained"
        self.seq = last

    @rule(first=st.integers(1, 9), count=st.integers(0, 9), kind=st.sampled_from(["seen", "unknown stream", "backwards"]))
    def announce_nonsense(self, first: int, count: int, kind: str) -> None:
        """It explains nothing, and must not hide anything."""
        stream, seen = self.arbiter.position("A") or ("s0", 0)
        name, begin, end = {
            "seen": (stream, min(first, seen), min(first + count, seen)),
            "unknown stream": ("nobody", first, first + count),
            "backwards": (self.name, self.seq + first, self.seq + first - 1),
        }[kind]
        self.arbiter.announce("A", name, begin, end, is_resume=True, now=0.0)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Anything that was delivered before, as long as its stream is remembered."""
        latest = int((self.current or "s0")[1:])
        known = [each for each in self.sent[-30:] if int(each.stream[1:]) >= latest - LEFT_STREAMS]
        again = data.draw(st.sampled_from(known))
        assert [] == self.arbiter.receive_quote(again, 0.0)

    @rule(is_announced=st.booleans())
    def restart(self, is_announced: bool) -> None:
        if is_announced:
            self.arbiter.announce("A", self.name, self.seq + 1, None, is_resume=True, now=0.0)
        self.stream, self.seq = self.stream + 1, 0

    @invariant()
    def every_number_once_and_in_order(self) -> None:
        for number, (stream, numbers) in enumerate(self.ledger.items()):
            first = numbers[0] if number == 0 else 1
            assert list(range(first, numbers[-1] + 1)) == numbers
            if stream == self.current:
                assert (stream, numbers[-1]) == self.arbiter.position("A")


TestFeedMachine = FeedMachine.TestCase
TestFeedMachine.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
