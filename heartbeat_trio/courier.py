"""Orders on their way: from whoever sends them to the best line that stands, and their answers back to him.

What is known of each is the business of `sansio.orders`, and where it goes that of whoever ranks the lines.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio

from .exceptions import ConnectionClosed, LocalProtocolError, OrderAmbiguous
from .orders import Line, Order, OrderAck, OrderChanged, OrderRecord, OrderState
from .protocol.orders import encode_fields, order_fields
from .sansio.order_books import BOOK_QUESTION
from .sansio.orders import OrderLedger, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from .endpoint import Endpoint
    from .events import Event
    from .posting import Posting
    from .protocol.messages import Message
    from .session import Session

RETRY = 0.005
"""Seconds until a line that was just told to stand, or is about to be told lost, is looked at again."""


class Slot:
    """One endpoint: its session, and the line that stands now."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.name = str(endpoint)
        self.session: Session | None = None
        self.line: Line | None = None
        self.lines = 0
        self._asked: Line | None = None
        self.is_suspect = False
        self.is_degraded = False

    def post(self, message: Message) -> tuple[Posting, Line] | None:
        """Put a message on its line; None without one."""
        self.ask_book()
        posting = None if self.session is None else self.session.post(message)
        return None if posting is None or self.line is None else (posting, self.line)

    def ask_book(self) -> None:
        """Ask for the server's book, once on each line and before anything else: later it may not answer any more."""
        if self.line != self._asked and self.session is not None and self.session.post(BOOK_QUESTION) is not None:
            self._asked = self.line


class _Question:
    """Somebody waits for what one line says of one order."""

    def __init__(self, order_id: str, line: Line) -> None:
        self.order_id = order_id
        self.line = line
        self.is_answered = False
        self.is_over = trio.Event()


class Courier:
    """Sends orders, each once, and waits for their answers.

    Args:
        ranked: The endpoints that are connected, the one to try first at the head.
        announce: Called with events to tell.
        remember: Seconds for which settled orders are remembered.
        answer_timeout: Seconds that a server has to answer.
    """

    def __init__(
        self,
        ranked: Callable[[], list[Slot]],
        announce: Callable[[list[Event]], None],
        *,
        remember: float,
        answer_timeout: float,
    ) -> None:
        self.ledger = OrderLedger(remember=remember, answer_timeout=answer_timeout)
        self._answer_timeout = answer_timeout
        self._sent = trio.Event()
        self.connected = trio.Event()
        self._ranked = ranked
        self._announce = announce
        self._postings: dict[str, Posting] = {}  # of orders that have not begun to leave, as far as is known
        self._waiters: dict[str, int] = {}
        self._changed: dict[str, trio.Event] = {}
        self._questions: set[_Question] = set()
        self._is_closed = False

    async def send(self, order: Order) -> OrderRecord:
        """See `Balancer.send_order`."""
        await trio.lowlevel.checkpoint()
        try:
            encode_fields(order_fields(order))  # once, before anybody relies on it: it must not fail in a task of ours
        except (ValueError, TypeError, OverflowError) as error:
            raise LocalProtocolError(f"order {order.id!r} cannot be sent: {error}") from error
        self.check_open()
        self.ledger.add(order, trio.current_time())
        self._dispatch(order.id)
        return await self._wait_settled(order.id)

    async def resolve(self, order_id: str) -> OrderRecord:
        """See `Balancer.resolve`."""
        await trio.lowlevel.checkpoint()
        ignorant: set[str] = set()
        while True:
            record = self.record(order_id)
            if record is None:
                raise LocalProtocolError(f"there is no order {order_id!r}, or it was forgotten")
            if record.settled_at is not None or record.sent_at is None:
                return record
            self.check_open()
            living = sorted(self._ranked(), key=lambda slot: slot.name != record.endpoint)
            others = [slot for slot in living if slot.name not in ignorant]
            if not living:
                await self.connected.wait()
            elif not others:
                raise _ambiguous(record, f"no server that lives can say ({record.reason})", "ask again later")
            elif await self._ask(order_id, others[0]):
                ignorant.add(others[0].name)  # if it knew, the record says so

    # -- on the way out ----------------------------------------------------------------------------------------------------

    def _dispatch(self, order_id: str) -> None:
        """Send an order that has not left, if any line stands."""
        record = self.ledger.record(order_id)
        if record is None or self.ledger.stage(order_id) is not Stage.WAITING:
            return
        for slot in self._ranked():
            posted = slot.post(record.order)
            if posted is not None:
                posting, line = posted
                self.ledger.queue(order_id, line, trio.current_time())
                self._postings[order_id] = posting
                self._note(order_id)
                self._sent.set()
                return

    def ask_books(self) -> None:
        """Ask the servers on new lines which book they have."""
        for slot in self._ranked():
            slot.ask_book()

    def dispatch_waiting(self) -> None:
        """Send what has not left, as far as lines stand."""
        for order_id in self.ledger.waiting():
            self._dispatch(order_id)

    def note_left(self) -> None:
        """Orders that had to wait for the socket may have left since."""
        for order_id in list(self._postings):
            self._note(order_id)

    def _note(self, order_id: str) -> None:
        posting = self._postings.get(order_id)
        if posting is not None and posting.has_begun:
            del self._postings[order_id]
            self.ledger.leave(order_id, trio.current_time())

    def _take_back(self, order_id: str) -> None:
        """If none of an order's bytes has left, see to it that none does."""
        posting = self._postings.pop(order_id, None)
        if posting is not None and posting.withdraw():
            self.ledger.withdraw(order_id, trio.current_time())
        elif posting is not None:
            self.ledger.leave(order_id, trio.current_time())

    async def _wait_settled(self, order_id: str) -> OrderRecord:
        self._waiters[order_id] = self._waiters.get(order_id, 0) + 1
        try:
            while True:
                record = self.ledger.record(order_id)
                assert record is not None  # noqa: S101 - what is open is never forgotten
                if record.state is OrderState.AMBIGUOUS:
                    raise _ambiguous(record, record.reason)
                if record.state is not OrderState.PENDING:
                    return record  # noqa: ASYNC910 - `send` has had its checkpoint
                self.check_open()
                await self._changed.setdefault(order_id, trio.Event()).wait()
        finally:
            self._stop_waiting(order_id)

    def _stop_waiting(self, order_id: str) -> None:
        self._waiters[order_id] -= 1
        if not self._waiters[order_id]:
            del self._waiters[order_id]
            self._changed.pop(order_id, None)
            self._take_back(order_id)
            self.ledger.abandon(order_id, trio.current_time())

    async def _ask(self, order_id: str, slot: Slot) -> bool:
        """Put a question to one endpoint; whether it was answered, or not in time, before the line died."""
        query = self.ledger.query(order_id, trio.current_time())
        posted = None if query is None else slot.post(query)
        if posted is None:
            await trio.sleep(RETRY)
            return False
        question = _Question(order_id, posted[1])
        self._questions.add(question)
        try:
            with trio.move_on_after(self._answer_timeout) as scope:
                await question.is_over.wait()
        finally:
            self._questions.discard(question)
        return question.is_answered or scope.cancelled_caught

    # -- what comes back -------------------------------------------------------------------------------------------------

    def receive_ack(self, ack: OrderAck, line: Line) -> None:
        """A server answered."""
        self.tell(self.ledger.receive_ack(ack, line, trio.current_time()))
        for question in self._questions:
            if question.order_id == ack.id and question.line == line:
                question.is_answered = True
                question.is_over.set()

    def receive_refusal(self, line: Line, text: str) -> None:
        """A server does not know a command."""
        self.note_left()
        self.tell(self.ledger.receive_refusal(line, trio.current_time(), text=text))

    async def watch(self) -> None:
        """The task that looks after orders without an answer."""
        while True:
            self.note_left()
            now = trio.current_time()
            self.tell(self.ledger.handle_timer(now))
            deadline = self.ledger.next_deadline()
            if deadline is None and not self._postings:
                self._sent = trio.Event()
                await self._sent.wait()
            else:  # what waits for its socket is looked at now and then
                look = now + self._answer_timeout / 10 if self._postings else inf
                await trio.sleep_until(look if deadline is None else min(look, deadline))

    def lose(self, line: Line, detail: str) -> None:
        """A line is gone: what has not left may leave on another, what has is ambiguous."""
        for order_id in self.ledger.queued(line):
            self._take_back(order_id)
        self.tell(self.ledger.lose_line(line, trio.current_time(), detail=detail))
        for question in self._questions:
            if question.line == line:
                question.is_over.set()

    def leave_behind(self, line: Line) -> None:
        """A line fails: what has not left on it need not wait for its end."""
        for order_id in self.ledger.queued(line):
            self._take_back(order_id)
            self._dispatch(order_id)

    def tell(self, events: list[Event]) -> None:
        """Wake who waits for an order, and tell everybody."""
        for event in events:
            if isinstance(event, OrderChanged):
                self._postings.pop(event.id, None)
                if event.id in self._changed:
                    self._changed.pop(event.id).set()
        self._announce(events)

    def record(self, order_id: str) -> OrderRecord | None:
        """What is known of an order."""
        self._note(order_id)
        return self.ledger.record(order_id)

    def check_open(self) -> None:
        """Raise `ConnectionClosed` once the balancer is closed."""
        if self._is_closed:
            raise ConnectionClosed("the balancer was closed", initiated_by="us")

    def connect(self) -> None:
        """A line stands."""
        self.connected.set()
        self.connected = trio.Event()

    def close(self) -> None:
        """Nothing leaves any more; whoever waits is told."""
        self._is_closed = True
        for changed in self._changed.values():
            changed.set()
        self.connect()


def _ambiguous(record: OrderRecord, why: str, remedy: str = "resolve it") -> OrderAmbiguous:
    return OrderAmbiguous(
        f"order {record.order.id} may or may not have reached {record.endpoint}: {why}. It is not sent again; {remedy}.",
        record=record,
    )
