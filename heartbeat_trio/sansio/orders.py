"""What is known of every order: none is lost, none is sent twice, and what is not known is said.

An order leaves once at most. Until its first byte has left, it may be taken back and sent elsewhere (`withdraw`). From then
on only a server's answer settles it; when its line dies first, or no answer comes in time, it is ambiguous, and stays so
until the answer comes late, or a server that can know has been asked. `TRANSITIONS` is the whole of it; what an answer is
worth is decided before it becomes a step.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import TYPE_CHECKING

from ..exceptions import LocalProtocolError
from ..orders import OrderChanged, OrderContradicted, OrderQuery, OrderRecord, OrderState
from .order_books import BOOK_QUESTION, KnownBooks

if TYPE_CHECKING:
    from ..events import Event
    from ..orders import Line, Order, OrderAck
    from .order_books import Home

REMEMBER = 600.0
"""Seconds for which a settled order is remembered, so that late answers find it and its id is not used again."""

ANSWER_TIMEOUT = 10.0
"""Seconds after which an order that left, and has no answer, is ambiguous."""

LIMIT = 100_000
"""Orders in a ledger. When it is full, the oldest that is settled is forgotten early."""


class Stage(Enum):
    """Where an order is, more finely than `OrderState`."""

    WAITING = "waiting"
    """It has not left, and somebody wants it sent."""
    ABANDONED = "abandoned"
    """It has not left, and nobody wants it sent any more."""
    QUEUED = "queued"
    """It is in a line's buffer; none of its bytes have left."""
    SENT = "sent"
    """Bytes have left."""
    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    AMBIGUOUS = "ambiguous"


class Step(Enum):
    """What happens to an order."""

    ABANDON = "nobody waits for it any more"
    WANT = "somebody wants it again"
    QUEUE = "put into a line's buffer"
    WITHDRAW = "taken out again before a byte left"
    LEAVE = "its bytes began to leave"
    LOSE = "its line died"
    EXPIRE = "no answer came in time, or the server said that it has none"
    ACK = "a server acknowledged it"
    REJECT = "a server rejected it"
    SHRUG = "the server that got it cannot say what became of it"


_S = Stage
TRANSITIONS: dict[tuple[Stage, Step], Stage] = {
    (_S.WAITING, Step.ABANDON): _S.ABANDONED,
    (_S.ABANDONED, Step.WANT): _S.WAITING,
    (_S.WAITING, Step.QUEUE): _S.QUEUED,
    (_S.QUEUED, Step.WITHDRAW): _S.WAITING,
    (_S.QUEUED, Step.LEAVE): _S.SENT,
    (_S.SENT, Step.LOSE): _S.AMBIGUOUS,
    (_S.SENT, Step.EXPIRE): _S.AMBIGUOUS,
    (_S.SENT, Step.ACK): _S.ACKNOWLEDGED,
    (_S.SENT, Step.REJECT): _S.REJECTED,
    (_S.SENT, Step.SHRUG): _S.AMBIGUOUS,
    (_S.AMBIGUOUS, Step.ACK): _S.ACKNOWLEDGED,
    (_S.AMBIGUOUS, Step.REJECT): _S.REJECTED,
    # A server knows an order that never left: told as a contradiction, and believed, so that it is not sent (again).
    (_S.WAITING, Step.ACK): _S.ACKNOWLEDGED,
    (_S.WAITING, Step.REJECT): _S.REJECTED,
    (_S.ABANDONED, Step.ACK): _S.ACKNOWLEDGED,
    (_S.ABANDONED, Step.REJECT): _S.REJECTED,
}
"""What is not listed changes nothing. No way leads back from SENT, nor out of a settled state."""

STATES = {
    _S.WAITING: OrderState.PENDING,
    _S.ABANDONED: OrderState.PENDING,
    _S.QUEUED: OrderState.PENDING,
    _S.SENT: OrderState.PENDING,
    _S.ACKNOWLEDGED: OrderState.ACKNOWLEDGED,
    _S.REJECTED: OrderState.REJECTED,
    _S.AMBIGUOUS: OrderState.AMBIGUOUS,
}
STEPS = {"acknowledged": Step.ACK, "rejected": Step.REJECT, "unknown": Step.SHRUG}
SETTLED = {_S.ACKNOWLEDGED: Step.ACK, _S.REJECTED: Step.REJECT}
"""Stages that stay, and the only answer that agrees with each."""


class _Entry:
    """One order."""

    __slots__ = (
        "answered_by",
        "changed_at",
        "created_at",
        "doubt",
        "home",
        "order",
        "queued_at",
        "reason",
        "sent_at",
        "stage",
    )

    def __init__(self, order: Order, now: float) -> None:
        self.order = order
        self.stage = Stage.WAITING
        self.home: Home | None = None
        self.reason = ""
        self.doubt = ""
        self.created_at = self.queued_at = self.changed_at = now
        self.sent_at: float | None = None
        self.answered_by: str | None = None

    @property
    def line(self) -> Line | None:
        """The line on which it left, or is to leave."""
        return None if self.home is None else self.home.line

    def record(self) -> OrderRecord:
        return OrderRecord(
            order=self.order,
            state=STATES[self.stage],
            reason=self.reason + (self.doubt if self.stage is Stage.AMBIGUOUS else ""),
            endpoint=None if self.home is None else self.home.line.endpoint,
            created_at=self.created_at,
            sent_at=self.sent_at,
            settled_at=self.changed_at if self.stage in SETTLED else None,
            answered_by=self.answered_by,
        )


class OrderLedger:
    """Every order of one client, over all of its lines.

    Args:
        remember: Seconds for which an order that is settled, or was abandoned before it left, is remembered.
        limit: Orders at once. Those that are neither settled nor abandoned are never forgotten.
        answer_timeout: Seconds after which an order that left, and has no answer, is ambiguous.
    """

    def __init__(self, *, remember: float = REMEMBER, limit: int = LIMIT, answer_timeout: float = ANSWER_TIMEOUT) -> None:
        self._remember = remember
        self._answer_timeout = answer_timeout
        self._unanswered: OrderedDict[str, float] = OrderedDict()  # what is SENT, and since when; oldest first
        self._answering: set[Line] = set()
        self._books = KnownBooks()
        self._limit = limit
        self._entries: dict[str, _Entry] = {}
        self._open: dict[str, _Entry] = {}
        self._closed: OrderedDict[str, float] = OrderedDict()
        self.strays = 0
        """Answers to orders that are not known (any more)."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._entries

    def add(self, order: Order, now: float) -> bool:
        """Take an order; False if it is known already, with the same content: it is then not sent again.

        Raises:
            LocalProtocolError: Its id was used for another order, or there is no room.
        """
        if order.id == BOOK_QUESTION.id:
            raise LocalProtocolError(f"order id {order.id} is the one by which servers are asked for their books")
        entry = self._entries.get(order.id)
        if entry is not None:
            if entry.order != order:
                raise LocalProtocolError(f"order id {order.id} was used for {entry.order}: give each order an id of its own")
            self._step(entry, Step.WANT, now)
            return False
        self.forget_old(now)
        if len(self._entries) >= self._limit and not self._forget_oldest():
            raise LocalProtocolError(f"{self._limit} orders are open: resolve the ambiguous ones, or send more slowly")
        self._entries[order.id] = self._open[order.id] = _Entry(order, now)
        return True

    # -- on its way out ------------------------------------------------------------------------------------------------

    def waiting(self) -> list[str]:
        """Ids of the orders that have not left and should, oldest first."""
        return [order_id for order_id, entry in self._open.items() if entry.stage is Stage.WAITING]

    def queued(self, line: Line) -> list[str]:
        """Ids of the orders in a line's buffer of which no byte has left, as far as is known."""
        return [order_id for order_id, each in self._open.items() if each.stage is Stage.QUEUED and each.line == line]

    def stage(self, order_id: str) -> Stage | None:
        """Where an order is; None if it is not known."""
        entry = self._entries.get(order_id)
        return None if entry is None else entry.stage

    def queue(self, order_id: str, line: Line, now: float) -> bool:
        """It was put into a line's buffer; False if it must not be (it left before, or is settled)."""
        entry = self._entries.get(order_id)
        if entry is None or not self._step(entry, Step.QUEUE, now):
            return False
        entry.home, entry.queued_at = self._books.home(line), now
        return True

    def leave(self, order_id: str, now: float) -> None:
        """Its bytes began to leave, or may have."""
        entry = self._entries.get(order_id)
        if entry is not None and self._step(entry, Step.LEAVE, now):
            entry.sent_at = now

    def withdraw(self, order_id: str, now: float) -> None:
        """It was taken out of the line's buffer before its first byte left: it can be sent elsewhere."""
        entry = self._entries.get(order_id)
        if entry is not None and self._step(entry, Step.WITHDRAW, now):
            entry.home = None

    def abandon(self, order_id: str, now: float) -> None:
        """Nobody waits for it any more: if it has not left, it is not sent unless it is added again."""
        entry = self._entries.get(order_id)
        if entry is not None:
            self._step(entry, Step.ABANDON, now)

    # -- what comes back -----------------------------------------------------------------------------------------------

    def lose_line(self, line: Line, now: float, *, detail: str = "") -> list[Event]:
        """A line died: whatever may have left on it, without an answer, is ambiguous from now on."""
        self._answering.discard(line)
        self._books.forget(line)
        events: list[Event] = []
        reason = f"the line to {line.endpoint} died before its answer came" + (f": {detail}" if detail else "")
        for entry in [each for each in self._open.values() if each.line == line]:
            self.leave(entry.order.id, now)  # who knows that it did not has withdrawn it
            events += self._change(entry, Step.LOSE, now, line.endpoint, reason)
        return events

    def next_deadline(self) -> float | None:
        """When `handle_timer` has something to do; None: nothing that left is unanswered."""
        return next(iter(self._unanswered.values())) + self._answer_timeout if self._unanswered else None

    def handle_timer(self, now: float) -> list[Event]:
        """What has been without an answer for too long is ambiguous from now on, though its line stands."""
        events: list[Event] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            entry = self._entries[next(iter(self._unanswered))]
            assert entry.line is not None  # noqa: S101 - it left on one
            reason = f"no answer came from {entry.line.endpoint} within {self._answer_timeout:g} s"
            events += self._change(entry, Step.EXPIRE, now, entry.line.endpoint, reason)
        return events

    def receive_refusal(self, line: Line, now: float, *, text: str) -> list[Event]:
        """A server says that it does not know a command: where no order was ever answered, that is what it means."""
        if line in self._answering:
            return []
        reason = f"{line.endpoint} seems to take no orders, and said: {text}"
        entries = [self._entries[order_id] for order_id in self._unanswered]
        changes = [self._change(each, Step.EXPIRE, now, line.endpoint, reason) for each in entries if each.line == line]
        return [event for events in changes for event in events]

    def query(self, order_id: str, now: float) -> OrderQuery | None:
        """The question to ask about an order, with its content and age; None if it is not known."""
        entry = self._entries.get(order_id)
        return None if entry is None else OrderQuery(order_id, entry.order, now - entry.queued_at)

    def receive_ack(self, ack: OrderAck, line: Line, now: float) -> list[Event]:
        """A server answered, to an order or to a question about it.

        The server that got the order is believed. Any other knows nothing of it, unless it answers from the same book.
        """
        self._answering.add(line)
        self._books.learn(line, ack.book, (each.home for each in self._open.values() if each.home is not None))
        entry = self._entries.get(ack.id)
        if entry is None:
            self.strays += ack.id != BOOK_QUESTION.id
            return []
        step, counts = STEPS[ack.state], _counts(entry, ack, line)
        if entry.stage is Stage.AMBIGUOUS and (why := _doubt(entry, ack, counts=counts)):
            entry.doubt = f"; {line.endpoint} was asked, and {why}"
        if not counts or (step is Step.SHRUG and entry.line != line):
            return []  # no answer: it stays what it was
        self.leave(ack.id, now)
        events = self._contradiction(entry, ack, step, line, now)
        if SETTLED.get(entry.stage) is None and step is not Step.SHRUG:
            entry.answered_by = line.endpoint
        return events + self._change(entry, step, now, line.endpoint, ack.reason)

    def _contradiction(self, entry: _Entry, ack: OrderAck, step: Step, line: Line, now: float) -> list[Event]:
        settled = SETTLED.get(entry.stage)
        never_left = entry.stage in (Stage.WAITING, Stage.ABANDONED) and step is not Step.SHRUG
        if not never_left and (settled is None or settled is step):
            return []
        known = STATES[entry.stage]
        return [OrderContradicted(at=now, id=ack.id, known=known, says=ack.state, endpoint=line.endpoint, reason=ack.reason)]

    # -- what is known ---------------------------------------------------------------------------------------------------

    def record(self, order_id: str) -> OrderRecord | None:
        """What is known of an order; None if it never was, or was forgotten."""
        entry = self._entries.get(order_id)
        return None if entry is None else entry.record()

    def records(self) -> list[OrderRecord]:
        """What is known of every order that is remembered, in the order in which they came."""
        return [entry.record() for entry in self._entries.values()]

    def forget_old(self, now: float) -> None:
        """Forget what has been settled, or abandoned unsent, for `remember` seconds. Called now and then."""
        while self._closed and now - next(iter(self._closed.values())) >= self._remember:
            self._forget_oldest()

    def _forget_oldest(self) -> bool:
        """Forget the order that has been closed for longest; False if none is."""
        if not self._closed:
            return False
        order_id, _ = self._closed.popitem(last=False)
        del self._entries[order_id]
        return True

    def _change(self, entry: _Entry, step: Step, now: float, endpoint: str, reason: str) -> list[Event]:
        old = STATES[entry.stage]
        if not self._step(entry, step, now):
            return []
        new, entry.reason = STATES[entry.stage], reason
        return [OrderChanged(at=now, id=entry.order.id, old=old, new=new, endpoint=endpoint, reason=reason)]

    def _step(self, entry: _Entry, step: Step, now: float) -> bool:
        new = TRANSITIONS.get((entry.stage, step))
        if new is None:
            return False
        entry.stage, entry.changed_at = new, now
        if new is Stage.SENT:
            self._unanswered[entry.order.id] = now
        else:
            self._unanswered.pop(entry.order.id, None)
        if new in SETTLED or new is Stage.ABANDONED:
            self._open.pop(entry.order.id, None)
            self._closed[entry.order.id] = now
            self._closed.move_to_end(entry.order.id)
        else:
            self._closed.pop(entry.order.id, None)
            self._open[entry.order.id] = entry
        return True


def _counts(entry: _Entry, ack: OrderAck, line: Line) -> bool:
    """Whether an answer says anything about an order."""
    if entry.home is None:  # nobody got it: somebody is wrong
        return ack.is_authoritative
    return entry.home.believes(ack, line, is_ambiguous=entry.stage is Stage.AMBIGUOUS)


def _doubt(entry: _Entry, ack: OrderAck, *, counts: bool) -> str:
    """Why an answer leaves an ambiguous order ambiguous; "" if it does not, or does not say."""
    if ack.state == "unknown":
        return f"said: {ack.reason}" if ack.reason else ""
    return "" if counts or entry.home is None else entry.home.doubt(ack)
