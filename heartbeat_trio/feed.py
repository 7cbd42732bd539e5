"""One session's quotes: what is wanted, what came, what is missing, and what to do when nothing comes."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio

from .events import Event, Gap, Quote, ServerError, Silence, Subscribed
from .exceptions import ConnectionLost
from .outgoing import Outgoing
from .protocol.messages import ErrorNotice, GapNotice, Goodbye, Message, Resume, Subscribe, Unsubscribe
from .protocol.messages import Subscribed as SubscribedMessage
from .sansio.arbitration import FeedArbiter
from .sansio.cause import STALL
from .sansio.silence import SilenceWatch
from .sansio.subscriptions import SubscriptionBook, SubscriptionState
from .venue_events import RotationAdvised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .config import SilencePolicy
    from .connection import Connection
    from .venue import Venue


QUOTES = {Quote}

MAX_STRANGERS = 4096
"""Symbols that nobody asked for whose quotes are given all the same; those of others are dropped."""


class Feed:
    """Subscriptions, order, gaps and silence of one session, over all of its connections.

    Args:
        policy: When it is silent.
        on_event: Called with gaps, acknowledgements, errors and silences.
        pong_timeout: Seconds that a pong may take.
        venue: Limits how fast subscriptions are sent.
    """

    def __init__(
        self, policy: SilencePolicy, on_event: Callable[[Event], None], *, pong_timeout: float, venue: Venue | None = None
    ) -> None:
        self._on_event = on_event
        self._venue = venue
        self._book = SubscriptionBook()
        self._arbiter = FeedArbiter()
        self._silence = SilenceWatch(policy, pong_timeout=pong_timeout)
        self._resuming: set[str] = set()
        self._strangers: set[str] = set()
        self._unwanted: set[str] = set()
        """Symbols that were unsubscribed from on this connection: what is on its way must not begin them anew."""
        self._timer = trio.CancelScope()
        self._outgoing: Outgoing | None = None

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every symbol that is wanted."""
        return self._book.wanted

    def want(self, symbol: str) -> None:
        """Want a symbol's quotes, now and on every connection."""
        self._unwanted.discard(symbol)
        if self._book.want(symbol):
            self._send_wanted()

    def unwant(self, symbol: str) -> None:
        """Want no more of them."""
        if not self._book.unwant(symbol):
            return
        self._unwanted.add(symbol)
        self._arbiter.forget(symbol)
        self._forget_silence(symbol)
        self._resuming.discard(symbol)
        if self._outgoing is not None:
            self._put(self._outgoing, [Unsubscribe(symbol)])

    def advance(self, positions: Mapping[str, tuple[str, int]]) -> None:
        """Another line has brought what is wanted up to these numbers."""
        for symbol in self._book.wanted:
            if symbol in positions:
                self._arbiter.advance(symbol, *positions[symbol])

    async def hold(self, connection: Connection) -> None:
        """Restore the subscriptions on a new connection, then watch over its silence until cancelled.

        Raises:
            ConnectionLost: The feed is silent, and nothing else has helped.
        """
        self._outgoing = outgoing = Outgoing(connection, self._venue, self._on_event)
        try:
            self._book.start_connection()
            self._silence.start_connection(trio.current_time())
            self._resuming.clear()
            self._unwanted.clear()
            self._send_wanted()
            while True:
                with trio.CancelScope(deadline=self._next_deadline()) as self._timer:
                    await trio.sleep_forever()
                outgoing.flush()
                events = self._ask_peer(await self._judge(connection, due=self._timer.deadline), connection)
                for event in events:  # all of them before any step: a step may end the connection
                    self._on_event(event)
                for event in events:
                    self._act_on(event, connection, outgoing)
        finally:
            self._outgoing = None
            self._silence.end_connection()

    def receive(self, messages: list[Message]) -> Sequence[Message]:
        """Sort one read's messages: what is new and in order is returned, everything else becomes decisions."""
        now = trio.current_time()
        if set(map(type, messages)) == QUOTES:  # as nearly all are
            quotes = self._receive_quotes(messages, now)  # type: ignore[arg-type]  # they are, every one
            if quotes is not None:
                return quotes
        fresh: list[Message] = []
        symbols: set[str] = set()
        for message in messages:
            match message:
                case Quote():
                    if self._is_welcome(message.symbol):
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
                case Goodbye():
                    self._on_event(RotationAdvised(at=now, reason=message.reason))
                case _:
                    pass
        symbols.intersection_update(self._book.wanted)  # what was unsubscribed may still be on its way
        if symbols:
            for event in self._silence.receive(symbols, now):
                self._on_event(event)
        return fresh

    def receive_pong(self) -> None:
        """The peer answered a ping."""
        self._silence.receive_pong(trio.current_time())
        self._timer.deadline = self._next_deadline()

    def _is_welcome(self, symbol: str) -> bool:
        """Some venues send what their URL named, without being asked here; but a peer must not fill our memory."""
        if symbol in self._book:
            return True
        if symbol in self._unwanted:
            return False
        if symbol in self._strangers:
            return True
        if len(self._strangers) == MAX_STRANGERS:
            return False
        self._strangers.add(symbol)
        return True

    def _receive_quotes(self, quotes: list[Quote], now: float) -> list[Quote] | None:
        """Sort a read that holds nothing but quotes, all of them wanted, as `receive` does; None if some are not."""
        symbols = {quote.symbol for quote in quotes}
        if not all(symbol in self._book for symbol in symbols):
            return None
        for symbol in symbols:
            self._book.receive_data(symbol, now)
        fresh: list[Quote] = []
        for each in self._arbiter.receive_quotes(quotes, now, fresh):
            self._on_event(each)
        if self._resuming:
            self._resuming -= {quote.symbol for quote in fresh}
        for event in self._silence.receive(symbols, now):
            self._on_event(event)
        return fresh

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
                    self._forget_silence(symbol)
        self._on_event(ServerError(at=now, code=error.code, message=error.message))

    def _forget_silence(self, symbol: str) -> None:
        for event in self._silence.forget(symbol, trio.current_time()):
            self._on_event(event)

    def _send_wanted(self) -> None:
        if self._outgoing is not None:
            self._subscribe(self._book.to_send(), self._outgoing)

    def _subscribe(self, symbols: Iterable[str], outgoing: Outgoing) -> None:
        wishes: list[Subscribe] = []
        for symbol in symbols:
            position = self._arbiter.position(symbol)
            if position is not None:
                self._resuming.add(symbol)
            wishes.append(Subscribe(symbol, None if position is None else Resume(*position)))
            self._book.mark_sent(symbol, trio.current_time())
        self._put(outgoing, wishes)

    def _put(self, outgoing: Outgoing, messages: Iterable[Subscribe | Unsubscribe]) -> None:
        outgoing.put(messages)
        self._timer.deadline = min(self._timer.deadline, outgoing.next_deadline())

    def _next_deadline(self) -> float:
        outgoing = inf if self._outgoing is None else self._outgoing.next_deadline()
        return min(outgoing, self._silence.next_deadline())

    async def _judge(self, connection: Connection, due: float) -> list[Event]:
        """If a silence is to be judged: make sure first that nothing lies unread. ``due``: when we should have woken."""
        now = trio.current_time()
        since = self._silence.accused_since(now)
        if since is None:
            await trio.lowlevel.checkpoint()
            return self._silence.handle_timer(now)  # what a stall in this very checkpoint makes due is for the next look
        lag = await connection.catch_up(since)
        if lag is None:  # a late awakening is all that is known: what came before it may have been a stall too
            lag = now - since if now - due >= STALL else 0.0
        return self._silence.handle_timer(trio.current_time(), lag)

    def _ask_peer(self, events: list[Event], connection: Connection) -> list[Event]:
        """Every step but the last one waits for a pong: have one ping sent for all of them, or say that there is none."""
        steps = {event.step for event in events if isinstance(event, Silence) and event.outcome is None}
        if steps <= {"reconnect"} or connection.request_probe():
            return events
        return self._silence.without_probe(events)

    def _act_on(self, event: Event, connection: Connection, outgoing: Outgoing) -> None:
        """Take the step that a silence without an outcome calls for."""
        if not isinstance(event, Silence) or event.outcome is not None:
            return
        silent = self._book.wanted if event.symbol is None else (event.symbol,)
        if event.step == "resubscribe":
            asked = [symbol for symbol in silent if self._book.state(symbol) is not SubscriptionState.REJECTED]
            self._put(outgoing, map(Unsubscribe, asked))
            self._subscribe(asked, outgoing)
        elif event.step == "reconnect":
            what = "nothing" if event.symbol is None else f"nothing of {event.symbol}"
            text = f"{what} came from {connection.name} for {event.silent_for:.1f} s, though its pongs do"
            raise connection.own(ConnectionLost(text, cause="silence"))
