"""One session's quotes: what is wanted, what came, what is missing, and what to do when nothing comes."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio

from .events import Event, Gap, Quote, ServerError, Silence, Subscribed
from .exceptions import ConnectionLost
from .protocol.messages import ErrorNotice, GapNotice, Message, Resume, Subscribe, SubscribeAll, Unsubscribe
from .protocol.messages import Subscribed as SubscribedMessage
from .sansio.arbitration import FeedArbiter
from .sansio.silence import SilenceWatch
from .sansio.subscriptions import SubscriptionBook, SubscriptionState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .config import SilencePolicy
    from .connection import Connection


class Feed:
    """Subscriptions, order, gaps and silence of one session, over all of its connections.

    Args:
        policy: When it is silent.
        on_event: Called with gaps, acknowledgements, errors and silences.
    """

    def __init__(self, policy: SilencePolicy, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._book = SubscriptionBook()
        self._arbiter = FeedArbiter()
        self._silence = SilenceWatch(policy)
        self._resuming: set[str] = set()
        self._timer = trio.CancelScope()
        self._next_request = inf
        self._connection: Connection | None = None

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every symbol that is wanted."""
        return self._book.wanted

    def want(self, symbol: str) -> None:
        """Want a symbol's quotes, now and on every connection."""
        if self._book.want(symbol):
            self._send_wanted()

    def unwant(self, symbol: str) -> None:
        """Want no more of them."""
        if not self._book.unwant(symbol):
            return
        self._arbiter.forget(symbol)
        self._silence.forget(symbol)
        self._resuming.discard(symbol)
        if self._connection is not None:
            self._connection.pacer.record(trio.current_time())
            self._connection.put(Unsubscribe(symbol))

    async def hold(self, connection: Connection) -> None:
        """Restore the subscriptions on a new connection, then watch over its silence until cancelled.

        Raises:
            ConnectionLost: The feed is silent, and nothing else has helped.
        """
        self._connection = connection
        try:
            self._book.start_connection()
            self._silence.start_connection(trio.current_time())
            self._resuming.clear()
            self._send_wanted()
            while True:
                with trio.CancelScope(deadline=self._next_deadline()) as self._timer:
                    await trio.sleep_forever()
                if self._next_request <= trio.current_time():
                    self._send_wanted()
                events = self._silence.handle_timer(trio.current_time())
                for event in events:  # all of them before any step: a step may end the connection
                    self._on_event(event)
                for event in events:
                    self._act_on(event, connection)
        finally:
            self._connection = None
            self._silence.end_connection()

    def receive(self, messages: Iterable[Message]) -> list[Message]:
        """Sort one read's messages: what is new and in order is returned, everything else becomes decisions."""
        now = trio.current_time()
        fresh: list[Message] = []
        symbols: set[str] = set()
        for message in messages:
            match message:
                case Quote():
                    symbols.add(message.symbol)
                    self._receive_quote(message, now, fresh)
                case GapNotice():
                    is_resume = message.symbol in self._resuming
                    self._arbiter.announce(
                        message.symbol, message.stream, message.first, message.last, is_resume=is_resume, now=now
                    )
                case SubscribedMessage():
                    self._receive_ack(message.symbol, now)
                case ErrorNotice():
                    self._receive_error(message, now)
                case _:
                    pass
        symbols.intersection_update(self._book.wanted)  # what was unsubscribed may still be on its way
        if symbols:
            for event in self._silence.receive(symbols, now):
                self._on_event(event)
        return fresh

    def receive_pong(self) -> None:
        """The peer answered a ping."""
        self._silence.receive_pong()

    def _receive_quote(self, quote: Quote, now: float, fresh: list[Message]) -> None:
        self._book.receive_data(quote.symbol, now)
        for each in self._arbiter.receive_quote(quote, now):
            if isinstance(each, Gap):
                self._on_event(each)
            else:
                self._resuming.discard(each.symbol)
                fresh.append(each)

    def _receive_ack(self, symbol: str, now: float) -> None:
        if self._book.receive_ack(symbol, now):
            self._silence.acknowledged(symbol, now)
            self._timer.deadline = self._next_deadline()
            self._on_event(Subscribed(at=now, symbol=symbol))

    def _receive_error(self, error: ErrorNotice, now: float) -> None:
        if error.code == "unknown_symbol":
            for symbol in self._book.wanted:
                if symbol in error.message.split():
                    self._book.receive_rejection(symbol, now)
                    self._silence.forget(symbol)
        self._on_event(ServerError(at=now, code=error.code, message=error.message))

    def _send_wanted(self) -> None:
        """Ask for what was not asked for yet, as fast as the venue allows; the rest waits for the timer."""
        connection, now = self._connection, trio.current_time()
        self._next_request = inf
        while connection is not None and (symbols := self._book.to_send(connection.pacer.batch)):
            if not connection.pacer.try_acquire(now):
                self._next_request = connection.pacer.next_allowed(now)
                break
            if len(symbols) == 1:
                self._subscribe(symbols[0], connection)
            else:
                self._subscribe_all(symbols, connection)
        self._timer.deadline = self._next_deadline()

    def _subscribe_all(self, symbols: list[str], connection: Connection) -> None:
        """A venue that takes several symbols in one message knows nothing of resuming."""
        connection.put(SubscribeAll(tuple(symbols)))
        for symbol in symbols:
            self._book.mark_sent(symbol, trio.current_time())

    def _next_deadline(self) -> float:
        return min(self._silence.next_deadline(), self._next_request)

    def _subscribe(self, symbol: str, connection: Connection) -> None:
        position = self._arbiter.position(symbol)
        if position is not None:
            self._resuming.add(symbol)
        connection.put(Subscribe(symbol, None if position is None else Resume(*position)))
        self._book.mark_sent(symbol, trio.current_time())

    def _act_on(self, event: Event, connection: Connection) -> None:
        """Take the step that a silence without an outcome calls for."""
        if not isinstance(event, Silence) or event.outcome is not None:
            return
        silent = self._book.wanted if event.symbol is None else (event.symbol,)
        if event.step == "probe":
            connection.request_probe()
        elif event.step == "resubscribe":
            for symbol in silent:
                if self._book.state(symbol) is not SubscriptionState.REJECTED:
                    connection.put(Unsubscribe(symbol))
                    self._subscribe(symbol, connection)
        else:
            what = "nothing" if event.symbol is None else f"nothing of {event.symbol}"
            text = f"{what} came from {connection.name} for {event.silent_for:.1f} s, though its pongs do"
            raise connection.own(ConnectionLost(text, cause="silence"))
