"""Whatever is published, subscribed, resumed and taken: what a client gets is in order, and has no silent hole."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heartbeat_trio.config import Overflow
from heartbeat_trio.events import Quote
from heartbeat_trio.protocol.messages import ErrorNotice, GapNotice, Resume
from heartbeat_trio.server.feed import Entry, SymbolFeed
from heartbeat_trio.server.outbound import Outbound

SYMBOLS = ("A", "B", "C")
SIZE = 4
RING = 8
STREAM = "now"


@dataclass
class Ledger:
    """What a client was promised and got, of one subscription to one symbol."""

    next: int
    replay_until: int
    was_full: bool = False
    announced: tuple[int, int] | None = None
    got: list[int] = field(default_factory=list)
    burst: int = 0


class OutboundMachine(RuleBasedStateMachine):
    """A model of one client: a socket that is full or not, and what came through it."""

    @initialize(policy=st.sampled_from(["conflate", "drop_oldest", "close"]))
    def begin(self, policy: Overflow) -> None:
        self.policy = policy
        self.outbound = Outbound(policy, SIZE)
        self.feeds = {symbol: SymbolFeed(symbol, STREAM, RING) for symbol in SYMBOLS}
        self.ledgers: dict[str, Ledger] = {}
        self.is_full = False
        self.skipped = 0

    @rule(symbol=st.sampled_from(SYMBOLS), count=st.integers(1, 12))
    def publish(self, symbol: str, count: int) -> None:
        feed = self.feeds[symbol]
        for _ in range(count):
            entry = feed.append(Quote(symbol, 1.0, 2.0, feed.newest + 1, STREAM, 0))
            if symbol in self.outbound:
                had_waiting = self.outbound.is_waiting
                is_sent = self.outbound.offer(entry, is_full=self.is_full)
                assert is_sent == (not self.is_full and not had_waiting), "a client that reads gets it at once"
                if is_sent:
                    self.deliver(entry)
                else:
                    ledger = self.ledgers[symbol]
                    ledger.was_full = True
                    if ledger.next <= ledger.replay_until and self.policy != "close":
                        # What comes during a replay waits behind it, and belongs to it.
                        ledger.replay_until = entry.quote.seq

    @rule(
        symbol=st.sampled_from(SYMBOLS),
        back=st.none() | st.integers(-2, 14),
        stream=st.sampled_from([STREAM, STREAM, "old"]),
    )
    def subscribe(self, symbol: str, back: int | None, stream: str) -> None:
        if symbol in self.outbound:
            return
        feed = self.feeds[symbol]
        resume = None if back is None else Resume(stream, max(0, feed.newest - back))
        plan = feed.plan(resume)
        expected = self.expected_start(feed, resume)
        for notice in plan.notices:
            if isinstance(notice, ErrorNotice):
                expected = feed.newest + 1
            elif notice.last is not None:
                assert (notice.first, notice.stream) == (expected, STREAM)
                expected = notice.last + 1
        assert plan.cursor == expected, "nothing between what was announced and what comes"
        self.outbound.subscribe(feed, plan.cursor)
        self.ledgers[symbol] = Ledger(expected, feed.newest)

    @staticmethod
    def expected_start(feed: SymbolFeed, resume: Resume | None) -> int:
        if resume is None:
            return max(1, feed.newest)
        return resume.seq + 1 if resume.stream == STREAM else 1

    @rule(symbol=st.sampled_from(SYMBOLS))
    def unsubscribe(self, symbol: str) -> None:
        self.outbound.unsubscribe(symbol)
        self.ledgers.pop(symbol, None)

    @rule()
    def fill(self) -> None:
        self.is_full = True

    @rule(limit=st.integers(1, 20))
    def take(self, limit: int) -> None:
        """The socket has room again."""
        self.is_full = False
        taken = self.outbound.take(limit)
        assert len(taken) <= limit + len(SYMBOLS), "about the limit: a gap and its quote stay together"
        for each in taken:
            self.deliver(each)

    @precondition(lambda self: self.outbound.is_waiting)
    @rule()
    def take_all(self) -> None:
        before = {symbol: len(ledger.got) for symbol, ledger in self.ledgers.items()}
        live_from = {
            symbol: max(ledger.next, ledger.replay_until + 1) for symbol, ledger in self.ledgers.items() if ledger.was_full
        }
        pure_live = {symbol for symbol, ledger in self.ledgers.items() if ledger.next > ledger.replay_until}
        while self.outbound.is_waiting:
            self.take(1000)
        for symbol, ledger in self.ledgers.items():
            assert ledger.next == self.feeds[symbol].newest + 1, "everything was delivered or announced"
            if symbol in live_from and symbol in pure_live:
                got = len(ledger.got) - before[symbol]
                assert got <= {"conflate": 1, "drop_oldest": SIZE, "close": RING}[self.policy]
            ledger.was_full = False
            ledger.replay_until = 0

    def deliver(self, each: GapNotice | Entry) -> None:
        if isinstance(each, GapNotice):
            ledger = self.ledgers[each.symbol]
            assert each.stream == STREAM
            assert ledger.announced is None, "one gap, then its quote"
            assert each.last is not None
            assert each.first == ledger.next
            assert each.last >= each.first
            if each.last <= ledger.replay_until or self.policy == "close":
                assert each.last < self.feeds[each.symbol].oldest, "only the ring's end skips a replay"
            self.skipped += each.last - each.first + 1
            ledger.announced = (each.first, each.last)
            ledger.next = each.last + 1
        else:
            ledger = self.ledgers[each.quote.symbol]
            assert each.quote.seq == ledger.next
            ledger.announced = None
            ledger.next += 1
            ledger.got.append(each.quote.seq)

    @invariant()
    def is_consistent(self) -> None:
        if not hasattr(self, "outbound"):
            return
        assert self.outbound.skipped == self.skipped
        assert set(self.outbound.symbols) == set(self.ledgers)
        assert all(ledger.announced is None for ledger in self.ledgers.values()), "a gap is followed by its quote at once"
        behind = {symbol for symbol, ledger in self.ledgers.items() if ledger.next <= self.feeds[symbol].newest}
        assert self.outbound.is_waiting == bool(behind)


OutboundMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestOutbound = OutboundMachine.TestCase


def publish(outbound: Outbound, feed: SymbolFeed, count: int, *, is_full: bool) -> int:
    sent = 0
    for _ in range(count):
        entry = feed.append(Quote(feed.symbol, 1.0, 2.0, feed.newest + 1, STREAM, 0))
        sent += outbound.offer(entry, is_full=is_full)
    return sent


def shown(taken: list[GapNotice | Entry]) -> list[int | tuple[int, int | None]]:
    return [(each.first, each.last) if isinstance(each, GapNotice) else each.quote.seq for each in taken]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("conflate", [(1, 5), 6]), ("drop_oldest", [(1, 2), 3, 4, 5, 6]), ("close", [1, 2, 3, 4, 5, 6])],
)
def test_what_each_policy_leaves_of_six_that_waited(policy: Overflow, expected: list[object]) -> None:
    feed, outbound = SymbolFeed("A", STREAM, RING), Outbound(policy, SIZE)
    outbound.subscribe(feed, 1)
    assert publish(outbound, feed, 6, is_full=True) == 0
    assert outbound.is_overfull == (policy == "close")
    assert shown(outbound.take(100)) == expected
    assert not outbound.is_overfull


def test_a_replay_is_never_conflated_and_live_quotes_wait_behind_it() -> None:
    feed, outbound = SymbolFeed("A", STREAM, RING), Outbound("conflate", SIZE)
    for seq in range(1, 5):
        feed.append(Quote("A", 1.0, 2.0, seq, STREAM, 0))
    outbound.subscribe(feed, 2)
    publish(outbound, feed, 3, is_full=True)
    assert shown(outbound.take(100)) == [2, 3, 4, 5, 6, 7]


def test_close_does_not_punish_a_long_replay_but_live_quotes_behind_it() -> None:
    feed, outbound = SymbolFeed("A", STREAM, 100), Outbound("close", SIZE)
    for seq in range(1, 51):
        feed.append(Quote("A", 1.0, 2.0, seq, STREAM, 0))
    outbound.subscribe(feed, 1)
    assert not outbound.is_overfull
    publish(outbound, feed, SIZE, is_full=True)
    assert not outbound.is_overfull
    publish(outbound, feed, 1, is_full=True)
    assert outbound.is_overfull


def test_symbols_take_turns() -> None:
    outbound = Outbound("conflate", SIZE)
    for symbol in "AB":
        feed = SymbolFeed(symbol, STREAM, 1000)
        for seq in range(1, 251):
            feed.append(Quote(symbol, 1.0, 2.0, seq, STREAM, 0))
        outbound.subscribe(feed, 1)
    taken = [each.quote.symbol for each in outbound.take(400) if isinstance(each, Entry)]
    assert taken == ["A"] * 100 + ["B"] * 100 + ["A"] * 100 + ["B"] * 100
