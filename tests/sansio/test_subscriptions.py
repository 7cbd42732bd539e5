"""A wish outlives connections, and counts as fulfilled only when data comes."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from heartbeat_trio.sansio.subscriptions import TRANSITIONS, Step, SubscriptionBook, SubscriptionState

SYMBOLS = st.sampled_from("ABC")
STATES = SubscriptionState


def test_the_way_of_a_subscription() -> None:
    """Wanted, sent, acknowledged, confirmed; and on the next connection from the start."""
    book = SubscriptionBook()
    assert book.want("A")
    assert not book.want("A")
    seen = [book.state("A")]
    assert book.to_send() == ["A"]
    book.mark_sent("A", 1.0)
    seen.append(book.state("A"))
    assert book.to_send() == []
    assert book.unconfirmed(11.1, older_than=10) == ["A"]
    assert book.receive_ack("A", 2.0)
    assert not book.receive_ack("A", 2.0)
    seen.append(book.state("A"))
    assert book.data_age(3.0) is None
    assert book.receive_data("A", 3.0)
    assert not book.receive_data("A", 4.0)
    seen.append(book.state("A"))
    assert book.data_age(6.0) == 2.0
    assert book.unconfirmed(100.0, older_than=10) == []
    book.start_connection()
    seen.append(book.state("A"))

    assert seen == [STATES.WANTED, STATES.SENT, STATES.ACKNOWLEDGED, STATES.CONFIRMED, STATES.WANTED]


def test_a_rejected_symbol_is_asked_for_again_on_the_next_connection() -> None:
    """Not on this one: the answer would be the same."""
    book = SubscriptionBook()
    book.want("A")
    book.mark_sent("A", 1.0)
    assert book.receive_rejection("A", 2.0)
    assert book.to_send() == []

    book.start_connection()

    assert book.to_send() == ["A"]


def test_order_limit_and_removal() -> None:
    """Asked for in the order of the wishes, in portions if need be."""
    book = SubscriptionBook()
    for symbol in "CAB":
        book.want(symbol)

    assert list(book.wanted) == ["C", "A", "B"]
    assert book.to_send(2) == ["C", "A"]
    assert book.unwant("A")
    assert not book.unwant("A")
    assert list(book.wanted) == ["C", "B"]
    assert book.state("A") is None
    assert not book.receive_data("A", 1.0)
    assert not book.receive_ack("A", 1.0)
    assert book.data_age(1.0) is None


class BookMachine(RuleBasedStateMachine):
    """Random wishes and answers against the table, played by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.book = SubscriptionBook()
        self.model: dict[str, SubscriptionState] = {}

    @rule(symbol=SYMBOLS)
    def want(self, symbol: str) -> None:
        assert self.book.want(symbol) == (symbol not in self.model)
        self.model.setdefault(symbol, STATES.WANTED)

    @rule(symbol=SYMBOLS)
    def unwant(self, symbol: str) -> None:
        assert self.book.unwant(symbol) == (symbol in self.model)
        self.model.pop(symbol, None)

    @rule()
    def connect(self) -> None:
        self.book.start_connection()
        self.model = dict.fromkeys(self.model, STATES.WANTED)

    @rule(symbol=SYMBOLS, step=st.sampled_from(Step))
    def happens(self, symbol: str, step: Step) -> None:
        before = self.model.get(symbol)
        after = None if before is None else TRANSITIONS.get((before, step))
        if step is Step.SEND:
            self.book.mark_sent(symbol, 0.0)
        else:
            answer = {
                Step.ACK: self.book.receive_ack,
                Step.DATA: self.book.receive_data,
                Step.REJECTION: self.book.receive_rejection,
            }[step](symbol, 0.0)
            assert answer == (after is not None)
        if after is not None:
            self.model[symbol] = after

    @invariant()
    def agrees(self) -> None:
        assert self.model == {symbol: self.book.state(symbol) for symbol in self.book.wanted}
        assert [symbol for symbol, state in self.model.items() if state is STATES.WANTED] == self.book.to_send()


TestBookMachine = BookMachine.TestCase
TestBookMachine.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
