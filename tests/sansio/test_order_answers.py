"""Orders that get no answer, or one that settles nothing; and the questions that are asked about them."""

from __future__ import annotations

import pytest

from heartbeat_trio.orders import Line, Order, OrderAck, OrderChanged, OrderQuery, OrderState
from heartbeat_trio.sansio.orders import OrderLedger
from tests.sansio.test_orders import ACKNOWLEDGED, AMBIGUOUS, BUY, PENDING, A, B, ack, changes, known, make


def send(ledger: OrderLedger, number: str, line: Line, now: float) -> None:
    ledger.add(Order(number, "X", "buy", 1.0), now)
    ledger.queue(number, line, now)
    ledger.leave(number, now)


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
    ledger.lose_line(A, 4.0)
    for reason in ("the disk", "too old"):
        assert [] == ledger.receive_ack(OrderAck("1", "unknown", reason), line, 5.0)
    died = "the line to a died before its answer came"
    expected = OrderState.AMBIGUOUS, f"{died}; {line.endpoint} was asked, and said: too old"
    assert expected == (known(ledger).state, known(ledger).reason)
    ledger.receive_ack(ack("acknowledged", shared=True, reason="here"), B, 6.0)
    assert "here" == known(ledger).reason
