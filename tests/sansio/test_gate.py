"""The gate closes on facts and opens on lasting ones, to the instant."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from heartbeat_trio.config import GatePolicy
from heartbeat_trio.events import Event, GateChanged
from heartbeat_trio.sansio.gate import GateKeeper
from heartbeat_trio.sansio.quality import Verdict

GOOD = Verdict(ok=True)
SLOW = Verdict(ok=False, reasons=("p99 is high",), codes=("p99",))
GONE = Verdict(ok=False, reasons=("not connected", "p99 is high"), codes=("disconnected", "p99"))


def opened(policy: GatePolicy | None = None) -> GateKeeper:
    """A gate that opened at 5 s."""
    keeper = GateKeeper(policy or GatePolicy())
    keeper.update(0.0, GOOD, GOOD)
    keeper.update(5.0, GOOD, GOOD)
    assert keeper.is_open
    return keeper


def test_closed_at_first() -> None:
    """Without a reason of its own until it has looked."""
    keeper = GateKeeper(GatePolicy())

    assert (False, ("nothing is known yet",), ("warming_up",)) == (keeper.is_open, keeper.reasons, keeper.codes)
    assert inf == keeper.next_deadline()


def test_opens_after_the_dwell_exactly() -> None:
    """Counted from the first good look; told once."""
    keeper = GateKeeper(GatePolicy())

    assert keeper.update(1.0, GOOD, GOOD) == []
    assert (6.0, ("suitable for less than 5 s",), ("dwell",)) == (keeper.next_deadline(), keeper.reasons, keeper.codes)
    assert keeper.update(5.999, GOOD, GOOD) == []
    assert [GateChanged(at=6.0, is_open=True)] == keeper.update(6.0, GOOD, GOOD)
    assert (True, (), (), inf) == (keeper.is_open, keeper.reasons, keeper.codes, keeper.next_deadline())
    assert keeper.update(7.0, GOOD, GOOD) == []


def test_a_break_begins_the_dwell_anew() -> None:
    """And its reasons are shown meanwhile."""
    keeper = GateKeeper(GatePolicy())
    keeper.update(0.0, GOOD, GOOD)
    keeper.update(4.0, GOOD, SLOW)
    assert (SLOW.reasons, SLOW.codes, inf) == (keeper.reasons, keeper.codes, keeper.next_deadline())
    keeper.update(4.5, GOOD, GOOD)

    assert keeper.update(9.0, GOOD, GOOD) == []
    assert keeper.update(9.5, GOOD, GOOD) == [GateChanged(at=9.5, is_open=True)]


def test_hysteresis() -> None:
    """What keeps it open does not open it."""
    keeper = opened()

    assert keeper.update(6.0, GOOD, SLOW) == []
    assert keeper.update(7.0, SLOW, SLOW) == [GateChanged(at=7.0, is_open=False, reasons=SLOW.reasons, codes=SLOW.codes)]
    assert keeper.update(20.0, GOOD, SLOW) == []
    assert not keeper.is_open
    assert (SLOW.reasons, SLOW.codes) == (keeper.reasons, keeper.codes)


def test_closes_after_its_own_dwell() -> None:
    """Only if it is bad for all of `close_after`."""
    keeper = opened(GatePolicy(close_after=2.0))
    assert keeper.update(6.0, SLOW, SLOW) == []
    assert keeper.next_deadline() == 8.0
    assert keeper.update(7.0, GOOD, SLOW) == []
    assert inf == keeper.next_deadline()
    assert keeper.update(7.5, SLOW, SLOW) == []
    assert keeper.update(9.4, SLOW, SLOW) == []

    assert [event.at for event in keeper.update(9.5, SLOW, SLOW)] == [9.5]
    assert not keeper.is_open


def test_a_loss_and_a_gap_close_at_once() -> None:
    """Whatever `close_after` says."""
    policy = GatePolicy(close_after=60.0)
    lost, holed = opened(policy), opened(policy)

    assert lost.update(6.0, GONE, GONE) == [GateChanged(at=6.0, is_open=False, reasons=GONE.reasons, codes=GONE.codes)]
    assert holed.gap("A", "a gap in A", 6.0) == [GateChanged(at=6.0, is_open=False, reasons=("a gap in A",), codes=("gap",))]


def test_a_gap_closes_until_every_symbol_is_whole() -> None:
    """Then the dwell begins; what was not missing is nothing to resolve."""
    keeper = opened()
    keeper.gap("A", "a gap in A", 6.0)
    assert keeper.gap("B", "a gap in B", 6.0) == []
    assert keeper.update(7.0, GOOD, GOOD) == []
    assert (("a gap in A", "a gap in B"), ("gap", "gap")) == (keeper.reasons, keeper.codes)
    assert [True, False, False] == [keeper.resolve("A"), keeper.resolve("A"), keeper.resolve("never")]
    assert keeper.update(20.0, GOOD, GOOD) == []
    assert ("a gap in B",) == keeper.reasons
    assert keeper.resolve("B")
    assert keeper.update(21.0, GOOD, GOOD) == []

    assert keeper.update(26.0, GOOD, GOOD) == [GateChanged(at=26.0, is_open=True)]


def test_a_gap_during_the_dwell_begins_it_anew() -> None:
    """Though nothing is told: it was closed already."""
    keeper = GateKeeper(GatePolicy())
    keeper.update(0.0, GOOD, GOOD)
    assert keeper.gap("A", "a gap in A", 4.0) == []
    keeper.resolve("A")
    keeper.update(4.0, GOOD, GOOD)

    assert keeper.update(8.9, GOOD, GOOD) == []
    assert [event.at for event in keeper.update(9.0, GOOD, GOOD)] == [9.0]


def test_without_dwell_it_opens_at_the_first_look() -> None:
    """`open_after` may be 0."""
    assert GateKeeper(GatePolicy(open_after=0.0)).update(3.0, GOOD, GOOD) == [GateChanged(at=3.0, is_open=True)]


@given(st.floats(0, 1e6), st.floats(0.001, 100))
def test_the_deadline_is_the_instant_of_the_change(start: float, dwell: float) -> None:
    """In spite of rounding: a look at the deadline that decides nothing would be repeated forever."""
    keeper = GateKeeper(GatePolicy(open_after=dwell, close_after=dwell))
    keeper.update(start, GOOD, GOOD)

    assert [True] == [event.is_open for event in changes(keeper.update(keeper.next_deadline(), GOOD, GOOD))]
    keeper.update(start, SLOW, SLOW)
    assert [False] == [event.is_open for event in changes(keeper.update(keeper.next_deadline(), SLOW, SLOW))]


def changes(events: list[Event]) -> list[GateChanged]:
    return [event for event in events if isinstance(event, GateChanged)]


class Gates(RuleBasedStateMachine):
    """Against a model that keeps the whole history, in quarters of a second."""

    def __init__(self) -> None:
        super().__init__()
        self.keeper = GateKeeper(GatePolicy(open_after=2.0, close_after=1.0))
        self.now = 0.0
        self.is_open = False
        self.gaps: set[str] = set()
        self.since: float | None = None
        self.told: list[bool] = []

    def tell(self, events: list[Event]) -> None:
        self.told += [event.is_open for event in changes(events)]

    @rule(verdicts=st.sampled_from([(GOOD, GOOD), (GOOD, SLOW), (SLOW, SLOW), (GONE, GONE)]), ticks=st.integers(0, 6))
    def update(self, verdicts: tuple[Verdict, Verdict], ticks: int) -> None:
        """Since when is it good enough to open, or too bad to stay open?"""
        self.now += ticks / 4
        verdict, strict = verdicts
        self.tell(self.keeper.update(self.now, verdict, strict))
        wants_change = not verdict.ok if self.is_open else strict.ok
        if self.gaps:
            self.is_open, self.since = False, None
        elif not wants_change:
            self.since = None
        else:
            self.since = self.now if self.since is None else self.since
            if self.now - self.since >= (1.0 if self.is_open else 2.0) or (self.is_open and verdict is GONE):
                self.is_open, self.since = not self.is_open, None

    @rule(symbol=st.sampled_from("AB"))
    def gap(self, symbol: str) -> None:
        self.tell(self.keeper.gap(symbol, f"a gap in {symbol}", self.now))
        self.gaps.add(symbol)
        self.is_open, self.since = False, None

    @rule(symbol=st.sampled_from("AB"))
    def resolve(self, symbol: str) -> None:
        assert (symbol in self.gaps) == self.keeper.resolve(symbol)
        self.gaps.discard(symbol)

    @invariant()
    def agrees(self) -> None:
        """The same answer, reasons exactly while it is closed, and events that take turns."""
        assert self.is_open == self.keeper.is_open
        assert bool(self.keeper.reasons) is bool(self.keeper.codes) is not self.is_open
        assert len(self.keeper.reasons) == len(self.keeper.codes)
        assert [index % 2 == 0 for index in range(len(self.told))] == self.told

    @invariant()
    def deadline(self) -> None:
        """Its dwell's end, or none."""
        dwell = 1.0 if self.is_open else 2.0
        assert (inf if self.since is None else self.since + dwell) == self.keeper.next_deadline()


TestGates = Gates.TestCase


@pytest.mark.parametrize("codes", [("disconnected",), ("gap",)])
def test_what_closes_at_once_is_known_by_its_code(codes: tuple[str, ...]) -> None:
    """Whoever made the verdict."""
    keeper = opened(GatePolicy(close_after=9.0))

    assert [False] == [event.is_open for event in changes(keeper.update(6.0, Verdict(False, ("why",), codes), GOOD))]
