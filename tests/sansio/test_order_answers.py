"""Orders that get no answer, or one that settles nothing; and the questions that are asked about them."""

from __future__ import annotations

import pytest

from heartbeat_trio.exceptions import LocalProtocolError
from heartbeat_trio.orders import Line, Order, OrderAck, OrderChanged, OrderQuery, OrderState
from heartbeat_trio.sansio.order_books import BOOK_QUESTION
from heartbeat_trio.sansio.orders import OrderLedger, Stage
from heartbeat_trio.server.order_book import REMEMBER, _decide
from tests.sansio.test_orders import ACKNOWLEDGED, AMBIGUOUS, BUY, PENDING, A, B, ack, changes, known, make

A2, A3 = Line("a", 2), Line("a", 3)


def send(ledger: OrderLedger, number: str, line: Line, now: float) -> None:
    ledger.add(Order(number, "X", "buy", 1.0), now)
    ledger.queue(number, line, now)
    ledger.leave(number, now)


def tell_book(ledger: OrderLedger, line: Line, book: str) -> None:
    assert [] == ledger.receive_ack(OrderAck(BOOK_QUESTION.id, "unknown", book=book), line, 3.0)


def test_no_answer_for_ten_seconds() -> None:
    """Ambiguous at that very moment, each at its own; what was answered, or has not left, is left alone."""
    ledger = make()  # it left at 3.0
    send(ledger, "2", B, 4.0)
    send(ledger, "3", B, 5.0)
    ledger.add(Order("4", "X", "buy", 1.0), 5.0)
    ledger.receive_ack(ack("acknowledged", order_id="2"), B, 5.0)
    assert (13.0, []) == (ledger.next_deadline(), ledger.handle_timer(12.9))

    events = ledger.handle_timer(13.0)

    reason = "no answer came from a within 10 s"
    assert events == [OrderChanged(at=13.0, id="1", old=PENDING, new=AMBIGUOUS, endpoint="a", reason=reason)]
    assert 15.0 == ledger.next_deadline()
    assert [(PENDING, AMBIGUOUS)] == changes(ledger.handle_timer(99.0))
    assert (None, []) == (ledger.next_deadline(), ledger.handle_timer(999.0))
    assert [AMBIGUOUS, ACKNOWLEDGED, AMBIGUOUS, PENDING] == [record.state for record in ledger.records()]


def test_a_late_answer_counts() -> None:
    """After the timeout, on the same line; and the line's death is then no news."""
    for dies in (False, True):
        ledger = make(answer_timeout=2.0)
        assert [(PENDING, AMBIGUOUS)] == changes(ledger.handle_timer(5.0))
        assert not dies or [] == ledger.lose_line(A, 6.0)
        assert [(AMBIGUOUS, ACKNOWLEDGED)] == changes(ledger.receive_ack(ack("acknowledged"), A, 7.0))
        assert (ACKNOWLEDGED, "") == (known(ledger).state, known(ledger).reason)


def test_a_server_that_does_not_know_the_command() -> None:
    """Its text is the reason, at once; orders on other lines are not meant."""
    ledger = make()
    send(ledger, "2", B, 4.0)

    events = ledger.receive_refusal(A, 5.0, text="unknown command 'ORDER'")

    reason = "a seems to take no orders, and said: unknown command 'ORDER'"
    assert events == [OrderChanged(at=5.0, id="1", old=PENDING, new=AMBIGUOUS, endpoint="a", reason=reason)]
    assert (PENDING, 14.0) == (known(ledger, "2").state, ledger.next_deadline())


def test_a_server_that_answers_orders_means_something_else() -> None:
    """Until its line is gone: the next one has proven nothing yet."""
    ledger = make()
    ledger.receive_ack(ack("acknowledged", order_id="another client's"), A, 4.0)
    assert [] == ledger.receive_refusal(A, 5.0, text="what?")
    ledger.lose_line(A, 6.0)
    send(ledger, "2", A, 7.0)
    assert [(PENDING, AMBIGUOUS)] == changes(ledger.receive_refusal(A, 8.0, text="what?"))


def test_a_question_tells_the_order_and_its_age() -> None:
    """Counted from when it was handed over for good: that is never later than its arrival."""
    ledger = make()
    assert (OrderQuery("1", BUY, 98.0), None) == (ledger.query("1", 100.0), ledger.query("2", 100.0))
    ledger = OrderLedger()
    ledger.add(BUY, 1.0)
    ledger.queue("1", A, 2.0)
    ledger.withdraw("1", 3.0)
    ledger.queue("1", B, 50.0)
    assert OrderQuery("1", BUY, 50.0) == ledger.query("1", 100.0)


@pytest.mark.parametrize("line", [A, B])
def test_why_nobody_can_say_is_told(line: Line) -> None:
    """The last such answer stands in the record as long as it is ambiguous, and settles nothing."""
    ledger = make()
    tell_book(ledger, A, "x")
    ledger.lose_line(A, 4.0)
    for reason in ("the disk", "too old"):
        assert [] == ledger.receive_ack(OrderAck("1", "unknown", reason), line, 5.0)
    died = "the line to a died before its answer came"
    expected = OrderState.AMBIGUOUS, f"{died}; {line.endpoint} was asked, and said: too old"
    assert expected == (known(ledger).state, known(ledger).reason)
    ledger.receive_ack(ack("acknowledged", shared=True, reason="here", book="x"), B, 6.0)
    assert "here" == known(ledger).reason


# -- whose book it is ----------------------------------------------------------------------------------------------------

OTHER, UNTOLD = "has another order book than a had", "is not known to have the order book that a had"


@pytest.mark.parametrize("told", ["before", "after", "by another order"])
@pytest.mark.parametrize(
    ("home", "answer", "line", "why"),
    [
        ("x", "x", B, ""),
        ("x", "y", B, OTHER),
        ("x", "", B, UNTOLD),
        ("", "x", B, UNTOLD),
        ("", "", B, UNTOLD),
        ("x", "x", A2, ""),
        ("x", "y", A2, OTHER),
        ("x", "", A2, UNTOLD),
        ("", "x", A2, UNTOLD),
        ("", "", A2, ""),
    ],
)
def test_who_can_say_that_it_did_not_arrive(told: str, home: str, answer: str, line: Line, why: str) -> None:
    """Who has the book of the server that got it; where that told none, this server alone; and why not is told."""
    ledger = make(Stage.WAITING)
    if told == "before":
        tell_book(ledger, A, home)
    ledger.queue("1", A, 2.0)
    ledger.leave("1", 3.0)
    if told == "after":
        tell_book(ledger, A, home)
    elif told == "by another order":
        ledger.receive_ack(ack("acknowledged", order_id="another client's", shared=bool(home), book=home), A, 3.5)
    tell_book(ledger, B, "y")
    ledger.lose_line(A, 4.0)

    events = ledger.receive_ack(ack("rejected", shared=True, book=answer), line, 5.0)

    assert changes(events) == ([] if why else [(OrderState.AMBIGUOUS, OrderState.REJECTED)])
    died = "the line to a died before its answer came"
    assert known(ledger).reason == (f"{died}; {line.endpoint} was asked, and {why}" if why else "")


@pytest.mark.parametrize(
    ("before", "after", "asked", "counts"),
    [
        ("x", "x", A3, True),
        ("x", "x", B, True),
        ("x", "", A3, True),  # its answer tells it
        ("x", "", B, False),
        ("x", "y", A3, False),
        ("x", "y", B, False),
        ("", "x", A3, False),
        ("", "x", B, False),
    ],
)
def test_a_line_on_which_no_book_was_told(before: str, after: str, asked: Line, counts: bool) -> None:
    """It was the one that was told before and after: a server that froze, say, as its kernel took the connection."""
    ledger = OrderLedger()
    tell_book(ledger, A, before)
    ledger.lose_line(A, 3.0)
    ledger.add(BUY, 3.0)
    ledger.queue("1", A2, 3.0)
    ledger.leave("1", 3.0)
    send(ledger, "2", B, 3.0)
    ledger.lose_line(A2, 4.0)
    tell_book(ledger, A3, after)
    events = ledger.receive_ack(ack("rejected", shared=True, book="x"), asked, 5.0)
    assert changes(events) == [(AMBIGUOUS, OrderState.REJECTED)] * counts


def test_who_got_it_is_believed_that_it_did() -> None:
    """Even if nobody knows which book it had: no other copy of the order ever left."""
    ledger = make()
    ledger.lose_line(A, 4.0)
    events = ledger.receive_ack(ack("acknowledged", shared=True, book="x"), A2, 5.0)
    assert [(AMBIGUOUS, ACKNOWLEDGED)] == changes(events)


def test_a_book_that_is_not_shared_speaks_for_its_server_alone() -> None:
    """Though it has an id."""
    ledger = make()
    tell_book(ledger, A, "x")
    ledger.lose_line(A, 4.0)
    assert [] == ledger.receive_ack(ack("rejected", book="x"), B, 5.0)
    assert [(AMBIGUOUS, ACKNOWLEDGED)] == changes(ledger.receive_ack(ack("acknowledged", book="x"), A2, 6.0))


@pytest.mark.parametrize("asked", [A, A2, B])
def test_a_server_whose_book_was_replaced_under_it(asked: Line) -> None:
    """It told two on one line: nobody knows which of them has the order, whoever is asked, but for its own answer."""
    ledger = make()
    send(ledger, "2", A, 3.0)
    send(ledger, "3", A, 3.0)
    tell_book(ledger, A, "x")
    tell_book(ledger, A, "y")
    tell_book(ledger, A, "x")
    send(ledger, "4", A, 3.5)
    assert [(PENDING, ACKNOWLEDGED)] == changes(
        ledger.receive_ack(ack("acknowledged", order_id="2", shared=True, book="y"), A, 4.0)
    )
    ledger.receive_ack(ack("unknown", reason="disk"), A, 4.0)
    ledger.handle_timer(99.0)
    for number in ("1", "3", "4"):
        for book in ("x", "y"):
            assert [] == ledger.receive_ack(ack("rejected", order_id=number, shared=True, book=book), asked, 100.0)
        assert f"; {asked.endpoint} was asked, and {OTHER}" in known(ledger, number).reason
    late = ack("rejected", order_id="3", reason="it could not be recorded")
    assert [(AMBIGUOUS, OrderState.REJECTED)] == changes(ledger.receive_ack(late, A, 101.0))


def test_what_is_sent_again_elsewhere_is_at_home_there() -> None:
    """It was taken back before it left: the first server's book says nothing of it."""
    ledger = make(Stage.QUEUED)
    tell_book(ledger, A, "x")
    ledger.withdraw("1", 3.0)
    ledger.queue("1", B, 4.0)
    ledger.leave("1", 4.0)
    ledger.lose_line(B, 5.0)
    assert [] == ledger.receive_ack(ack("rejected", shared=True, book="x"), A, 6.0)
    assert AMBIGUOUS is known(ledger).state


def test_the_question_about_the_book_is_no_order() -> None:
    """Its answers are no strays, its id is nobody's, and no book records it."""
    ledger = OrderLedger()
    assert [] == ledger.receive_ack(OrderAck(BOOK_QUESTION.id, "unknown", book="x"), A, 1.0)
    assert 0 == ledger.strays
    with pytest.raises(LocalProtocolError, match="the one by which servers are asked"):
        ledger.add(Order(BOOK_QUESTION.id, "X", "buy", 1.0), 2.0)
    answer, row = _decide(None, BOOK_QUESTION, book="x", remember=REMEMBER)
    assert ("x", "unknown", None) == (answer.book, answer.state, row)
