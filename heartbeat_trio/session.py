"""A session: what survives reconnection. Quotes once and in order, subscriptions restored, gaps told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from ._background import open_background
from ._broadcast import Broadcast, Events
from ._chance import CHANCE
from .config import BackoffPolicy, GatePolicy, InboxPolicy, RestartPolicy, SilencePolicy, symbol_list
from .endpoint import Endpoint
from .events import (
    Closed,
    Connected,
    Connecting,
    EndedForGood,
    Event,
    Gap,
    Lost,
    PongLate,
    PongMissed,
    PongReceived,
    PongVoided,
    Quote,
    RetryScheduled,
    SessionStatus,
    StateChanged,
)
from .exceptions import LocalProtocolError
from .feed import Feed
from .gate import Gate, Gates
from .inbox import Inbox
from .protocol.dialect_schedule import heartbeat_policy
from .protocol.messages import SYMBOL, Message
from .protocol.spelling import canonical_symbol
from .recorder import describe
from .sansio.quality import ConnectionQuality
from .session_view import SessionView
from .supervisor import Options, Supervisor

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from random import Random

    from ._background import Background
    from .config import HeartbeatPolicy
    from .connection import Connection
    from .events import PingRecord
    from .posting import Posting
    from .recorder import Recorder, SessionRecorder
    from .transports.abc import Connector
    from .venue import Venue


class Session(SessionView):
    """One feed that survives reconnection, as `open_session` gives it.

    Iterating over it gives quotes, each once and in order; what could not be had is told by `Gap` events.
    """

    def __init__(
        self, endpoint: Endpoint, options: Options, inbox: Inbox, quality: ConnectionQuality, silence: SilencePolicy
    ) -> None:
        super().__init__(endpoint, inbox, quality)
        self._feed = Feed(silence, self.receive_event, pong_timeout=options.heartbeat.pong_timeout, venue=options.venue)
        self._gates = Gates(quality, self._judge, self.receive_event)
        self._on_message: list[Callable[[Message], None]] = []
        self._events = Broadcast()
        self._background: Background | None = None
        self._recorder: SessionRecorder | None = None
        self._is_connected = trio.Event()
        self._has_ended = trio.Event()
        self._leaving = trio.Event()
        self._supervisor = Supervisor(endpoint, options)

    def __aiter__(self) -> Session:
        return self

    async def __anext__(self) -> Quote:
        """Wait for the next quote. The session's end cancels this, and comes out of the block around it."""
        return await self._inbox.next_quote()

    async def receive_batch(self) -> list[Quote]:
        """Wait for quotes and return all that wait, oldest first; [] once the session has ended."""
        return await self._inbox.take()  # type: ignore[return-value]  # nothing else is put in

    def events(self) -> Events:
        """Open a channel of events: ``async with session.events() as events: async for event in events: ...``.

        It begins with the session's last 100 events. A reader slower than 1024 events loses the oldest, and is told by
        `EventsDropped`.
        """
        return Events(self._events)

    async def wait_connected(self) -> None:
        """Wait until a connection stands. Use your own `trio.fail_after` around it if you like."""
        await trio.lowlevel.checkpoint()
        while self.status is not SessionStatus.CONNECTED:
            await self._is_connected.wait()

    async def subscribe(self, symbol: str) -> None:
        """Want a symbol's quotes, now and after every reconnect.

        Of a venue it may be written as you like where the venue knows one case only: quotes and events spell it as the
        venue's data does (``btcusdt`` at Binance is ``BTCUSDT`` in them).

        Raises:
            LocalProtocolError: No wire format carries such a symbol.
        """
        await trio.lowlevel.checkpoint()
        if not SYMBOL.fullmatch(symbol):
            raise LocalProtocolError(f"symbol {symbol!r} must be 1 to 64 of A-Z a-z 0-9 . _ - /")
        self._feed.want(canonical_symbol(self.endpoint.venue, symbol))
        self._gates.update()

    async def unsubscribe(self, symbol: str) -> None:
        """Want no more of a symbol's quotes."""
        await trio.lowlevel.checkpoint()
        symbol = canonical_symbol(self.endpoint.venue, symbol)
        self._feed.unwant(symbol)
        self._gates.resolve(symbol)

    def post(self, message: Message) -> Posting | None:
        """Put a message of your own on the current connection, without waiting; None if there is no connection.

        It goes out once or not at all, and never on another connection. Raises `LocalProtocolError` if it never could.
        """
        return None if self._connection is None else self._connection.post(message)

    def listen(
        self, *, on_event: Callable[[Event], None] | None = None, on_message: Callable[[Message], None] | None = None
    ) -> None:
        """Be called with each event, and with each message that is no quote, at the moment it comes.

        What you give must neither wait nor raise: it runs in the connection's own tasks.
        """
        if on_event is not None:
            self._events.listen(on_event)
        if on_message is not None:
            self._on_message.append(on_message)

    def advance(self, positions: Mapping[str, tuple[str, int]]) -> None:
        """Take what is wanted up to these numbers (``{symbol: (stream, seq)}``) for given, and resume after them."""
        self._feed.advance(positions)

    def gate(self, policy: GatePolicy | None = None) -> Gate:
        """The trading gate: `is_suitable_for_trading` with dwell, which can be waited for and relied on.

        Asked again with the same policy, it is the same gate. A new one is closed, and opens when the feed has been
        suitable for `GatePolicy.open_after` seconds.
        """
        gate, is_new = self._gates.get(policy or GatePolicy())
        if is_new:
            if self._background is not None:
                self._background.start_soon(gate.run, name=f"gate {self.endpoint}")
            self.note(gates=self._gates.policies)
        return gate

    def announce(self, event: Event) -> None:
        """Put an event of your own among the session's: everybody who follows them, and the journal, gets it."""
        self._events.put(event)
        if self._recorder is not None:
            self._recorder.record_event(self.connections, event)

    def note(self, **facts: object) -> None:
        """Tell the journal more of how this session is run, such as settings of yours: what JSON can hold, no secrets."""
        if self._recorder is not None:
            self._recorder.configure(facts)

    # -- what the supervisor and its connections call ------------------------------------------------------------------

    async def run(self) -> None:
        """The supervisor task."""
        try:
            await self._supervisor.run(self._hold)
        finally:
            self.status = SessionStatus.DISCONNECTED
            self._inbox.close()
            self._has_ended.set()

    async def leave(self, timeout: float) -> None:
        """Let the connection close in an orderly way, if there is one."""
        await trio.lowlevel.checkpoint()
        self._leaving.set()
        if self._connection is not None:
            with trio.move_on_after(timeout):
                await self._has_ended.wait()

    def end(self) -> None:
        """The last word."""
        self._background = None
        self.status = SessionStatus.DISCONNECTED
        self.receive_event(Closed(at=trio.current_time()))
        self._inbox.close()
        self._events.close()
        if self._recorder is not None:
            self._recorder.close()

    def begin(self, background: Background, recorder: SessionRecorder | None) -> None:
        """The block was entered."""
        self._background, self._recorder = background, recorder
        background.start_soon(self.run, name=f"supervisor {self.endpoint}")

    async def _hold(self, connection: Connection) -> None:
        """The handler: keep the feed going, and let the tasks of the connection do the rest."""
        self._connection = connection
        try:
            async with open_background() as background:
                background.start_soon(partial(self._feed.hold, connection), name=f"feed {self.endpoint}")
                await self._leaving.wait()
        finally:
            self._connection = None
            self._gates.update()

    def record_ping(self, record: PingRecord) -> None:
        """A ping's record is complete."""
        if self._recorder is not None:
            self._recorder.record_ping(self.connections, record)

    def receive_event(self, event: Event) -> None:
        """Follow the connection, and tell everybody."""
        match event:
            case Connecting():
                self.attempt = event.attempt
                first = event.attempt == 1 and self.status is SessionStatus.CONNECTING
                self.status = SessionStatus.CONNECTING if first else SessionStatus.RECONNECTING
            case Connected():
                self.connections += 1
                self.status = SessionStatus.CONNECTED
                self._is_connected.set()
                self._is_connected = trio.Event()
            case Lost() | RetryScheduled():
                self.status = SessionStatus.RECONNECTING
            case EndedForGood():
                self.status = SessionStatus.DISCONNECTED
            case PongReceived() | PongLate():
                self._feed.receive_pong()
        self.announce(event)
        if isinstance(event, Gap):
            self._gates.gap(event)
        elif isinstance(event, PongReceived | PongLate | PongMissed | PongVoided | StateChanged):
            self._gates.update()

    def receive_messages(self, messages: list[Message]) -> None:
        """Sort one read's messages: quotes to the inbox, everything else into decisions."""
        for call in self._on_message:
            for message in messages:
                if not isinstance(message, Quote):
                    call(message)
        fresh = self._feed.receive(messages)
        if fresh:
            self._inbox.put(fresh)
        if self._gates:
            self._gates.receive_data({quote.symbol for quote in fresh if isinstance(quote, Quote)})


@asynccontextmanager
async def open_session(
    endpoint: str | Endpoint,
    *,
    subscribe: Iterable[str] = (),
    heartbeat: HeartbeatPolicy | None = None,
    backoff: BackoffPolicy | None = None,
    restart: RestartPolicy | None = None,
    inbox: InboxPolicy | Inbox | None = None,
    silence: SilencePolicy | None = None,
    journal: Recorder | None = None,
    connector: Connector | None = None,
    rng: Random | None = None,
    token: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    on_raw: Callable[[bytes], None] | None = None,
    venue: Venue | None = None,
) -> AsyncIterator[Session]:
    """Keep a connection to an endpoint alive for the length of the block, and restore it whenever it is lost.

    Entering does not wait for the first connection (`Session.wait_connected` does). Leaving closes the connection in an
    orderly way within `RestartPolicy.close_timeout` seconds; cancelled, it is over at once. A session that ends by itself
    cancels the block and raises the reason out of it, bare.

    Args:
        endpoint: A URL, see `Endpoint`.
        subscribe: Symbols to subscribe to, on every connection.
        heartbeat: When to ping, and when to call the peer dead; by default what suits the venue.
        backoff: How long to wait between attempts.
        restart: When to give up (never, by default) and how long connecting and closing may take.
        inbox: How many quotes may wait for you, and what gives way.
        silence: When a feed is silent although its connection lives, and what is done about it.
        journal: Keeps this session's history: see `heartbeat_trio.journal.open_journal`.
        connector: Opens byte streams (``async (host, port)``); real sockets by default.
        rng: Source of all jitter; seeded by the system by default.
        token: Sent to the server, over TLS or to loopback only.
        ssl_context: For ``tcps://`` and ``wss://``; verifying with the system's authorities by default.
        on_raw: Called with each message as it came, for recordings; must neither wait nor raise.
        venue: What is shared with other sessions to the same venue; see `heartbeat_trio.open_fleet`.

    Raises:
        ConfigError: The endpoint is none, `subscribe` is no list, a policy is impossible, or the token would leave in the
            clear.
        GaveUp: `RestartPolicy.max_attempts` attempts failed in a row.
        SlowConsumer: You are too slow, under `InboxPolicy(overflow="close")`.
    """
    where = Endpoint.parse(endpoint)
    heartbeat = heartbeat_policy(where.venue, heartbeat, dict(where.parameters))
    backoff, restart = backoff or BackoffPolicy(), restart or RestartPolicy()
    silence, subscribe = silence or SilencePolicy(), symbol_list(subscribe)
    box = inbox if isinstance(inbox, Inbox) else Inbox(inbox or InboxPolicy())
    quality = ConnectionQuality(pong_timeout=heartbeat.pong_timeout)
    options = Options(
        heartbeat=heartbeat,
        backoff=backoff,
        restart=restart,
        inbox=box,
        connector=connector,
        rng=rng or CHANCE,
        token=token,
        ssl_context=ssl_context,
        quality=quality,
        on_event=lambda event: session.receive_event(event),
        on_messages=lambda messages: session.receive_messages(messages),
        on_raw=on_raw,
        on_ping=None if journal is None else lambda record: session.record_ping(record),
        venue=venue,
    )
    session = Session(where, options, box, quality, silence)
    for symbol in subscribe:
        await session.subscribe(symbol)
    try:
        async with open_background() as background:
            recorder = None
            if journal is not None:
                facts = describe(where, subscribe, [heartbeat, backoff, restart, box.policy, silence])
                recorder = journal.start_session(str(where), facts, session.quality)
            session.begin(background, recorder)
            yield session
            background.leave()
            await session.leave(restart.close_timeout)
    finally:
        session.end()
