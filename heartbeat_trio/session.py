"""A session: what survives reconnection. Quotes once and in order, subscriptions restored, gaps told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Literal

import trio

from ._background import open_background
from ._broadcast import Broadcast, Events
from .config import BackoffPolicy, GatePolicy, InboxPolicy, RestartPolicy, SilencePolicy
from .endpoint import Endpoint
from .events import (
    Closed,
    Connected,
    Connecting,
    ConnectionState,
    EndedForGood,
    Event,
    Gap,
    Lost,
    PongLate,
    PongMissed,
    PongReceived,
    PongVoided,
    QualitySnapshot,
    Quote,
    RetryScheduled,
    SessionStatus,
    StateChanged,
)
from .exceptions import LocalProtocolError
from .feed import Feed
from .gate import Gate
from .inbox import Inbox
from .protocol.dialect_schedule import heartbeat_policy
from .protocol.messages import SYMBOL, Message
from .sansio.quality import ConnectionQuality, Verdict
from .supervisor import Options, Supervisor, describe_policies

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable

    from ._background import Background
    from .config import HeartbeatPolicy
    from .connection import Connection
    from .events import PingRecord
    from .recorder import Recorder, SessionRecorder
    from .sansio.detector import DetectorSnapshot
    from .sansio.windows import WindowSnapshot
    from .transports.abc import Connector


class Session:
    """One feed that survives reconnection, as `open_session` gives it.

    Iterating over it gives quotes, each once and in order; what could not be had is told by `Gap` events.
    """

    def __init__(
        self, endpoint: Endpoint, options: Options, inbox: Inbox, quality: ConnectionQuality, silence: SilencePolicy
    ) -> None:
        self.endpoint = endpoint
        self.status = SessionStatus.CONNECTING
        """Where the session is between its connections."""
        self._inbox = inbox
        self._quality = quality
        self._feed = Feed(silence, self.receive_event)
        self._gates: dict[GatePolicy, Gate] = {}
        self._events = Broadcast()
        self._background: Background | None = None
        self._recorder: SessionRecorder | None = None
        self._connection: Connection | None = None
        self._is_connected = trio.Event()
        self._has_ended = trio.Event()
        self._leaving = trio.Event()
        self._supervisor = Supervisor(endpoint, options)
        self.connections = 0
        """Connections that stood so far."""

    def __repr__(self) -> str:
        return f"<Session {self.endpoint} {self.status.value}>"

    @property
    def state(self) -> ConnectionState:
        """What the current connection's heartbeat says; DISCONNECTED between connections."""
        return ConnectionState.DISCONNECTED if self._connection is None else self._connection.state

    @property
    def missed_pongs(self) -> int:
        """Pongs missed since the last one came, on the current connection."""
        return 0 if self._connection is None else self._connection.missed_pongs

    @property
    def is_suspect(self) -> bool:
        """Whether the adaptive detector doubts the peer, while the state may be CONNECTED still."""
        return self._connection is not None and self._connection.is_suspect

    @property
    def rtt(self) -> float | None:
        """The current connection's last round-trip time in seconds, None before its first."""
        return None if self._connection is None else self._connection.rtt

    @property
    def attempt(self) -> int:
        """The attempt that runs or ran last."""
        return self._supervisor.attempt

    @property
    def dropped(self) -> int:
        """Quotes dropped so far because you were slow."""
        return self._inbox.dropped

    def __aiter__(self) -> Session:
        return self

    async def __anext__(self) -> Quote:
        """Wait for the next quote. The session's end cancels this, and comes out of the block around it."""
        quote = await self._inbox.take_one()
        if quote is None:
            raise StopAsyncIteration
        assert isinstance(quote, Quote)  # noqa: S101 - nothing else is put in
        return quote

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

        Raises:
            LocalProtocolError: No wire format carries such a symbol.
        """
        await trio.lowlevel.checkpoint()
        if not SYMBOL.fullmatch(symbol):
            raise LocalProtocolError(f"symbol {symbol!r} must be 1 to 64 of A-Z a-z 0-9 . _ - /")
        self._feed.want(symbol)
        self._update_gates()

    async def unsubscribe(self, symbol: str) -> None:
        """Want no more of a symbol's quotes; what is on its way may still come."""
        await trio.lowlevel.checkpoint()
        self._feed.unwant(symbol)
        for gate in self._gates.values():
            gate.resolve(symbol)

    def quality(self) -> QualitySnapshot:
        """A frozen snapshot of the session's counts and the current connection's latencies (seconds)."""
        return self._quality.snapshot(trio.current_time())

    def window(self, minutes: Literal[1, 5, 60]) -> WindowSnapshot:
        """Counts and latencies (seconds) of the last 1, 5 or 60 minutes."""
        return self._quality.window(minutes, trio.current_time())

    def report(self) -> str:
        """The statistics for people, seven lines."""
        return self._quality.report()

    def is_suitable_for_trading(self, *, max_data_age: float = 10.0) -> Verdict:
        """Whether the feed may be traded on now: falsy if not, with `.reasons`.

        Args:
            max_data_age: Seconds that the newest quote may be old, where something is subscribed.
        """
        return self._judge(max_data_age, 0.0)

    def gate(self, policy: GatePolicy | None = None) -> Gate:
        """The trading gate: `is_suitable_for_trading` with dwell, which can be waited for and relied on.

        Asked again with the same policy, it is the same gate. A new one is closed, and opens when the feed has been
        suitable for `GatePolicy.open_after` seconds.
        """
        policy = policy or GatePolicy()
        gate = self._gates.get(policy)
        if gate is None:
            gate = self._gates[policy] = Gate(
                policy,
                self._quality,
                judge=lambda margin: self._judge(policy.max_data_age, margin),
                on_event=self.receive_event,
            )
            if self._background is not None:
                self._background.start_soon(gate.run, name=f"gate {self.endpoint}")
        return gate

    def detector(self) -> DetectorSnapshot:
        """How good the failure detector has been on this session: mistakes, and how soon it found the dead."""
        return self._quality.detector.snapshot(trio.current_time())

    def announce(self, event: Event) -> None:
        """Put an event of your own among the session's: everybody who follows them, and the journal, gets it."""
        self._events.put(event)
        if self._recorder is not None:
            self._recorder.record_event(event)

    def should_reconnect(self) -> Verdict:
        """Whether the connection is so bad that another may be better, with `.reasons`. Advice: nothing acts on it."""
        return self._quality.should_reconnect(trio.current_time())

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
        self.connections += 1
        try:
            async with open_background() as background:
                background.start_soon(partial(self._feed.hold, connection), name=f"feed {self.endpoint}")
                await self._leaving.wait()
        finally:
            self._connection = None
            self._update_gates()

    def _judge(self, max_data_age: float, margin: float) -> Verdict:
        return self._quality.is_suitable_for_trading(
            trio.current_time(),
            is_connected=self._connection is not None,
            has_subscriptions=bool(self._feed.wanted),
            max_data_age=max_data_age,
            margin=margin,
        )

    def record_ping(self, record: PingRecord) -> None:
        """A ping's record is complete."""
        if self._recorder is not None:
            self._recorder.record_ping(self.connections, record)

    def _update_gates(self) -> None:
        for gate in self._gates.values():
            gate.update(trio.current_time())

    def receive_event(self, event: Event) -> None:
        """Follow the connection, and tell everybody."""
        match event:
            case Connecting():
                first = event.attempt == 1 and self.status is SessionStatus.CONNECTING
                self.status = SessionStatus.CONNECTING if first else SessionStatus.RECONNECTING
            case Connected():
                self.status = SessionStatus.CONNECTED
                self._is_connected.set()
                self._is_connected = trio.Event()
            case Lost() | RetryScheduled():
                self.status = SessionStatus.RECONNECTING
            case EndedForGood():
                self.status = SessionStatus.DISCONNECTED
            case PongReceived() | PongLate():
                self._feed.receive_pong()
            case _:
                pass
        self.announce(event)
        if isinstance(event, Gap):
            for gate in self._gates.values():
                gate.gap(event.symbol, f"a gap in {event.symbol}", event.at)
        elif isinstance(event, PongReceived | PongLate | PongMissed | PongVoided | StateChanged):
            self._update_gates()

    def receive_messages(self, messages: list[Message]) -> None:
        """Sort one read's messages: quotes to the inbox, everything else into decisions."""
        fresh = self._feed.receive(messages)
        if fresh:
            self._inbox.put(fresh)
        if self._gates:
            self._tell_gates(fresh)

    def _tell_gates(self, fresh: list[Message]) -> None:
        now, symbols = trio.current_time(), {quote.symbol for quote in fresh if isinstance(quote, Quote)}
        for gate in self._gates.values():
            for symbol in symbols:  # the next quote after a gap resolves it
                gate.resolve(symbol)
            gate.receive_data(now)


@asynccontextmanager
async def open_session(
    endpoint: str | Endpoint,
    *,
    subscribe: Iterable[str] = (),
    heartbeat: HeartbeatPolicy | None = None,
    backoff: BackoffPolicy | None = None,
    restart: RestartPolicy | None = None,
    inbox: InboxPolicy | None = None,
    silence: SilencePolicy | None = None,
    journal: Recorder | None = None,
    connector: Connector | None = None,
    rng: Random | None = None,
    token: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    on_raw: Callable[[bytes], None] | None = None,
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

    Raises:
        ConfigError: The endpoint is none, a policy is impossible, or the token would leave in the clear.
        GaveUp: `RestartPolicy.max_attempts` attempts failed in a row.
        SlowConsumer: You are too slow, under `InboxPolicy(overflow="close")`.
    """
    where = Endpoint.parse(endpoint)
    heartbeat = heartbeat_policy(where.venue, heartbeat, dict(where.parameters))
    restart = restart or RestartPolicy()
    box = Inbox(inbox or InboxPolicy())
    quality = ConnectionQuality(pong_timeout=heartbeat.pong_timeout)
    options = Options(
        heartbeat=heartbeat,
        backoff=backoff or BackoffPolicy(),
        restart=restart,
        inbox=box,
        connector=connector,
        rng=rng or Random(),
        token=token,
        ssl_context=ssl_context,
        quality=quality,
        on_event=lambda event: session.receive_event(event),
        on_messages=lambda messages: session.receive_messages(messages),
        on_raw=on_raw,
        on_ping=lambda record: session.record_ping(record),
    )
    session = Session(where, options, box, quality, silence or SilencePolicy())
    for symbol in subscribe:
        await session.subscribe(symbol)
    try:
        async with open_background() as background:
            recorder = None
            if journal is not None:
                recorder = journal.start_session(str(where), describe_policies(options), session.quality)
            session.begin(background, recorder)
            yield session
            background.leave()
            await session.leave(restart.close_timeout)
    finally:
        session.end()
