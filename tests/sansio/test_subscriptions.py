"""A wish outlives connections, and counts as fulfilled only when data comes."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from heartbeat_trio.sansio.subscriptions import SubscriptionBook, SubscriptionState

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
    assert book.to_send()[:2] == ["C", "A"]
    assert book.unwant("A")
    assert not book.unwant("A")
    assert list(book.wanted) == ["C", "B"]
    assert book.state("A") is None
    assert not book.receive_data("A", 1.0)
    assert not book.receive_ack("A", 1.0)
    assert book.data_age(1.0) is None


def test_age_is_that_of_what_is_still_wanted() -> None:
    """Fresh data of a symbol that nobody wants any more must not hide that the others are silent."""
    book = SubscriptionBook()
    for symbol in "ABC":
        book.want(symbol)
    for now, symbol in enumerate("AB"):
        book.receive_data(symbol, float(now))

    assert 9.0 == book.data_age(10.0)
    book.unwant("B")
    assert 10.0 == book.data_age(10.0)
    book.unwant("A")
    assert book.data_age(10.0) is None


class Wish:
    """What the model remembers of one: plain facts, from which the state follows."""

    def __init__(self) -> None:
        self.data_at: float | None = None
        self.forget_connection()

    def forget_connection(self) -> None:
        self.sent_at: float | None = None
        self.is_acked = self.has_data = self.is_rejected = False

    @property
    def is_open(self) -> bool:
        """Asked for on this connection, and not settled by data or a rejection."""
        return self.sent_at is not None and not self.has_data and not self.is_rejected

    @property
    def state(self) -> SubscriptionState:
        if self.sent_at is None:
            return STATES.WANTED
        if self.is_rejected:
            return STATES.REJECTED
        if self.has_data:
            return STATES.CONFIRMED
        return STATES.ACKNOWLEDGED if self.is_acked else STATES.SENT


def test_knows_what_is_wanted() -> None:
    """And nothing else."""
    book = SubscriptionBook()
    book.want("A")

    assert ("A" in book, "B" in book) == (True, False)


class BookMachine(RuleBasedStateMachine):
    """Random wishes and answers, in any order, against plain facts."""

    def __init__(self) -> None:
        super().__init__()
        self.book = SubscriptionBook()
        self.model: dict[str, Wish] = {}
        self.now = 0.0

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(symbol=SYMBOLS)
    def want(self, symbol: str) -> None:
        assert (symbol not in self.model) == self.book.want(symbol)
        self.model.setdefault(symbol, Wish())

    @rule(symbol=SYMBOLS)
    def unwant(self, symbol: str) -> None:
        assert (symbol in self.model) == self.book.unwant(symbol)
        self.model.pop(symbol, None)

    @rule()
    def connect(self) -> None:
        self.book.start_connection()
        for wish in self.model.values():
            wish.forget_connection()

    @rule(symbol=SYMBOLS)
    def send(self, symbol: str) -> None:
        self.book.mark_sent(symbol, self.now)
        if symbol in self.model and self.model[symbol].sent_at is None:
            self.model[symbol].sent_at = self.now

    @rule(symbol=SYMBOLS)
    def ack(self, symbol: str) -> None:
        wish = self.model.get(symbol)
        is_news = wish is not None and wish.is_open and not wish.is_acked
        assert is_news == self.book.receive_ack(symbol, self.now)
        if wish is not None and is_news:
            wish.is_acked = True

    @rule(symbol=SYMBOLS)
    def data(self, symbol: str) -> None:
        wish = self.model.get(symbol)
        is_news = wish is not None and wish.is_open
        assert is_news == self.book.receive_data(symbol, self.now)
        if wish is not None:
            wish.data_at = self.now
            wish.has_data = wish.has_data or is_news

    @rule(symbol=SYMBOLS)
    def rejection(self, symbol: str) -> None:
        wish = self.model.get(symbol)
        is_news = wish is not None and wish.is_open
        assert is_news == self.book.receive_rejection(symbol, self.now)
        if wish is not None and is_news:
            wish.is_rejected = True

    @invariant()
    def agrees(self) -> None:
        to_send = [symbol for symbol, wish in self.model.items() if wish.sent_at is None]
        silent = [symbol for symbol, wish in self.model.items() if wish.is_open and self.now - (wish.sent_at or 0) > 10]
        ages = [self.now - wish.data_at for wish in self.model.values() if wish.data_at is not None]

        assert {symbol: wish.state for symbol, wish in self.model.items()} == {
            symbol: self.book.state(symbol) for symbol in self.book.wanted
        }
        assert to_send == self.book.to_send()
        assert silent == self.book.unconfirmed(self.now, older_than=10)
        assert min(ages, default=None) == self.book.data_age(self.now)


TestBookMachine = BookMachine.TestCase
TestBookMachine.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
