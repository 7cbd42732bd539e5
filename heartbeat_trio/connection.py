"""One connection: a nursery with a reader, a pinger and a monitor.

- **reader**: bytes in, messages out. Pings are answered and pongs recorded first; then data goes to the inbox. It waits for
  bytes and for nothing else.
- **pinger**: a pure timer, which sends pings and judges the missing pongs; see `pulse`.
- **monitor**: sleeps until something is to be told: what the inbox dropped, that a clock jumped or our loop stalled; see
  `monitor`.

What is sent is written at once by whoever sends it; a writer task works only while the socket is full: `transports.output`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import trio

from ._background import open_background
from ._chance import CHANCE
from .config import InboxPolicy, RestartPolicy
from .endpoint import Endpoint
from .events import ConnectionState, Event, QualitySnapshot, Quote
from .exceptions import ConnectionClosed, ConnectionLost, HeartbeatTrioError
from .inbox import Inbox
from .monitor import Monitor
from .posting import Posting
from .protocol.dialect_schedule import beat_policy, has_nonces, heartbeat_policy, request_pacer
from .protocol.messages import Beat, Message, Notice, Ping, Pong, Resume, Subscribe, Subscribed, Unsubscribe, Welcome
from .pulse import Pulse
from .sansio.pings import REMEMBERED
from .sansio.quality import ConnectionQuality
from .transports.catch_up import catch_up
from .transports.connect import connect_transport
from .venue_events import RotationAdvised

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable
    from random import Random

    import trio_websocket

    from .config import HeartbeatPolicy
    from .events import PingRecord
    from .sansio.pacing import RequestPacer
    from .transports.abc import Connector, Transport
    from .transports.decoding import Decoders
    from .venue import Venue

BACKSTOP = 5.0
"""Seconds that the kernel waits longer than we do, before it gives up what is not acknowledged."""

PROTOCOL = frozenset({Ping, Beat, Welcome, Notice})
"""Messages between programs, which the consumer of data does not see."""

QUOTES = {Quote}
DEFAULT_RESTART, DEFAULT_INBOX = RestartPolicy(), InboxPolicy()
_E = TypeVar("_E", bound=HeartbeatTrioError)


class Connection:
    """One live connection, as `open_connection` gives it. Its end cancels the block around it.

    Iterating over it gives the peer's messages (`Quote` and others of `protocol.messages`), without pings and pongs.
    """

    def __init__(
        self,
        transport: Transport,
        name: str,
        pulse: Pulse,
        *,
        inbox: Inbox,
        quality: ConnectionQuality,
        on_event: Callable[[Event], None],
        on_messages: Callable[[list[Message]], None],
        pacer: RequestPacer,
    ) -> None:
        self.name = name
        """The endpoint, fit for printing."""
        self.pacer = pacer
        """How fast subscriptions may follow each other."""
        self._transport = transport
        self._pulse = pulse
        self._inbox = inbox
        self._quality = quality
        self._on_event = on_event
        self._on_messages = on_messages
        self._monitor = Monitor(inbox, on_event, pulse.request_probe)
        self._has_ended = False
        self._goodbye: trio.Event | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.name} {self.state.value}>"

    @property
    def state(self) -> ConnectionState:
        """What the heartbeat says."""
        return self._pulse.heartbeat.state

    @property
    def missed_pongs(self) -> int:
        """Pongs missed since the last one came."""
        return self._pulse.heartbeat.missed_pongs

    @property
    def is_suspect(self) -> bool:
        """Whether the adaptive detector doubts the peer, while the state may be CONNECTED still."""
        return self._pulse.heartbeat.is_suspect

    @property
    def rtt(self) -> float | None:
        """The last round-trip time in seconds, None before the first."""
        return self._pulse.rtt

    def quality(self) -> QualitySnapshot:
        """A frozen snapshot of counts and latencies (seconds)."""
        return self._quality.snapshot(trio.current_time())

    async def receive_batch(self) -> list[Message]:
        """Wait for messages and return all that wait, oldest first. The connection's end cancels this."""
        return await self._inbox.take()

    def __aiter__(self) -> Connection:
        return self

    async def __anext__(self) -> Message:
        """Wait for one message."""
        message = await self._inbox.take_one()
        if message is None:
            raise StopAsyncIteration
        return message

    async def send(self, message: Message) -> None:
        """Send a message and wait until its bytes were handed over.

        Cancelled before its first byte left, it is withdrawn whole; later, it is completed all the same.

        Raises:
            LocalProtocolError: The wire format cannot carry it.
            ConnectionLost: The connection broke first.
        """
        try:
            await self._transport.send(message)
        except ConnectionLost as error:
            raise self.own(error) from error.__cause__
        self._pulse.note_sent()

    async def subscribe(self, symbol: str, *, resume: Resume | None = None) -> None:
        """Ask for a symbol's quotes, from the newest on or after `resume`."""
        await self.send(Subscribe(symbol, resume))

    async def unsubscribe(self, symbol: str) -> None:
        """Ask for no more of a symbol's quotes."""
        await self.send(Unsubscribe(symbol))

    def put(self, message: Message) -> None:
        """Send a message without waiting, behind what is queued."""
        data = self._transport.encode(message)
        if data:
            self._transport.put(data)
            self._pulse.note_sent()

    def post(self, message: Message) -> Posting:
        """Like `put`, and tells what became of it: a message that has not begun to leave can be taken back.

        Raises:
            LocalProtocolError: The wire format cannot carry it.
        """
        outgoing = self._transport.put(self._transport.encode(message))
        self._pulse.note_sent()
        return Posting(self._transport, outgoing)

    def request_probe(self) -> bool:
        """Send a ping now, ahead of the schedule, within `HeartbeatPolicy.max_probes`; whether one leaves now."""
        return self._pulse.request_probe()

    async def catch_up(self, since: float) -> float | None:
        """Wait until nothing lies unread; seconds since a time in which our own loop did not run, where that is measured."""
        await catch_up(self._transport)
        below = self._transport.bytes_below()
        return None if below is None else below.loop_lag(since)

    def has_caused(self, error: BaseException) -> bool:
        """Whether an exception, or every leaf of a group, is this connection's own end."""
        if isinstance(error, BaseExceptionGroup):
            return all(self.has_caused(leaf) for leaf in error.exceptions)
        return getattr(error, "connection", None) is self

    # -- the tasks -------------------------------------------------------------------------------------------------

    async def read(self) -> None:
        """The reader task: ends with the error that ends the connection."""
        early, self._transport.early = self._transport.early, []
        if early:
            self._receive(early, trio.current_time())
        try:
            while True:
                batch = await self._transport.receive()
                self._receive(batch, trio.current_time())
        except HeartbeatTrioError as error:
            raise self.own(error) from error.__cause__
        finally:
            self._has_ended = True
            if self._goodbye is not None:
                self._goodbye.set()

    async def ping(self) -> None:
        """The pinger task: ends with `PongTimeout` when the peer is dead."""
        await self._pulse.run()
        raise self.own(self._pulse.why_dead(self.name))

    def monitor(self) -> Awaitable[None]:
        """The monitor task; see `monitor`."""
        return self._monitor.run()

    # -- decisions performed -----------------------------------------------------------------------------------------

    def _receive(self, batch: list[Message], now: float) -> None:
        is_alive = not batch  # an empty batch is an unfinished message: bytes all the same
        kinds = set(map(type, batch))  # one pass over each batch, whatever it holds: most hold nothing but quotes
        data: list[Message] = batch if kinds == QUOTES else []
        for message in () if data else batch:
            kind = type(message)
            if kind is Pong:
                self._pulse.receive_pong(message, now)  # type: ignore[arg-type]  # mypy does not follow `kind`
            elif kind in PROTOCOL:
                is_alive = True
                self._receive_protocol(message, now)
            else:
                data.append(message)
        if data or is_alive:
            self._pulse.receive(now)
        self._pulse.note_batch()
        if data:
            if Subscribed in kinds:
                self._pulse.subscribed(now)
            if Quote in kinds:  # an acknowledgement proves nothing about the feed
                self._quality.record_data(now)
            had_overrun = self._inbox.unreported
            self._on_messages(data)
            if self._inbox.unreported and not had_overrun:
                self._monitor.call()

    def _receive_protocol(self, message: Message, now: float) -> None:
        """What is said between programs: it is a sign of life, and no data."""
        match message:
            case Ping() | Beat():
                if isinstance(message, Ping) and not message.is_control:  # those are answered below us
                    self._transport.pong(message)
                if self._pulse.receive_beat(message, now):
                    self._on_messages([])  # where a server is expected to beat, that is what a pong is elsewhere
            case Welcome(ping_interval=float() as interval):
                self._pulse.negotiate(interval)
            case Notice(action="rotate"):
                self._on_event(RotationAdvised(at=now, reason=message.text))
            case _:
                pass

    def close(self) -> None:
        """Decide what is open: pings in flight are cancelled, and the last drops told."""
        self._pulse.close()
        self._monitor.report()

    async def say_goodbye(self, timeout: float) -> None:
        """Close in an orderly way, as far as that goes in `timeout` seconds."""
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(timeout):
            await self._transport.aclose()
            if not self._has_ended:
                self._goodbye = trio.Event()
                await self._goodbye.wait()

    def own(self, error: _E) -> _E:
        """Mark an error as this connection's own end, for `has_caused`, with what is known at that moment."""
        if isinstance(error, ConnectionLost | ConnectionClosed):
            error.evidence = error.evidence or self._pulse.evidence()
        error.connection = self  # type: ignore[attr-defined]  # read by `has_caused`
        return error


def _ignore(_event: Event) -> None:
    """Nobody wants events."""


@asynccontextmanager
async def open_connection(
    endpoint: str | Endpoint | trio_websocket.WebSocketConnection,
    *,
    heartbeat: HeartbeatPolicy | None = None,
    restart: RestartPolicy | None = None,
    inbox: InboxPolicy | Inbox | None = None,
    connector: Connector | None = None,
    rng: Random | None = None,
    token: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    quality: ConnectionQuality | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_messages: Callable[[list[Message]], None] | None = None,
    on_raw: Callable[[bytes], None] | None = None,
    on_ping: Callable[[PingRecord], None] | None = None,
    venue: Venue | None = None,
    decoders: Decoders | None = None,
) -> AsyncIterator[Connection]:
    """Connect once, and watch over the connection for the length of the block.

    When the connection ends, the block is cancelled and the reason raised out of it. Leaving the block closes the
    connection: in an orderly way within `restart.close_timeout` seconds, or at once when cancelled.

    Args:
        endpoint: A URL (see `Endpoint`), or a `trio_websocket.WebSocketConnection` that you opened and will close.
        heartbeat: When to ping, and when to call the peer dead; by default what suits the venue.
        restart: Its `connect_timeout` and `close_timeout` apply.
        inbox: How many messages may wait for you.
        connector: Opens byte streams; real sockets by default.
        rng: Source of the ping's phase; seeded by the system by default.
        token: Sent to the server, over TLS or to loopback only.
        ssl_context: For ``tcps://`` and ``wss://``; verifying with the system's authorities by default.
        quality: Counts into this; one of its own by default.
        on_event: Called with each event; must neither wait nor raise.
        on_messages: Called with the messages of each read, instead of the inbox.
        on_raw: Called with each message as it came, for recordings.
        on_ping: Called with each ping's record, for journals.
        venue: Counts the messages that are sent.
        decoders: Those of the connections before this one; new ones by default.

    Raises:
        ConfigError: The endpoint is none, or the token would leave in the clear.
        ConnectError: It could not be connected to.
        ConnectionClosed: The peer closed in an orderly way.
        ConnectionLost: It did not (`PongTimeout`: it stopped answering).
        SlowConsumer: You are too slow, under `InboxPolicy(overflow="close")`.
    """
    where = Endpoint.parse(endpoint) if isinstance(endpoint, str | Endpoint) else endpoint
    dialect, parameters = (where.venue, dict(where.parameters)) if isinstance(where, Endpoint) else (None, {})
    heartbeat = heartbeat_policy(dialect, heartbeat, parameters)
    restart = restart or DEFAULT_RESTART
    quality = quality or ConnectionQuality(pong_timeout=heartbeat.pong_timeout)
    tell = on_event or _ignore
    box = inbox if isinstance(inbox, Inbox) else Inbox(inbox or DEFAULT_INBOX)
    transport: Transport | None = None
    try:
        async with open_background() as background:
            transport = await connect_transport(
                where,
                background.nursery,
                connector=connector,
                timeout=restart.connect_timeout,
                token=token,
                ssl_context=ssl_context,
                on_raw=on_raw,
                user_timeout=heartbeat.pongless_bound + BACKSTOP,
                decoders=decoders,
            )
            has_no_nonces = isinstance(where, Endpoint) and (where.dialect == "tutorial" or not has_nonces(dialect))
            pulse = Pulse(
                transport,
                heartbeat,
                quality,
                rng=rng or CHANCE,
                remembered=heartbeat.max_missed_pongs if has_no_nonces else REMEMBERED,
                beats=beat_policy(dialect, parameters),
                on_event=tell,
                on_ping=on_ping,
                venue=venue,
            )
            connection = Connection(
                transport,
                str(where) if isinstance(where, Endpoint) else transport.peer,
                pulse,
                inbox=box,
                quality=quality,
                on_event=tell,
                on_messages=on_messages or box.put,
                pacer=request_pacer(dialect),
            )
            try:
                background.start_soon(connection.read, name=f"reader {connection.name}")
                background.start_soon(connection.ping, name=f"pinger {connection.name}")
                background.start_soon(connection.monitor, name=f"monitor {connection.name}")
                yield connection
                background.leave()
                await connection.say_goodbye(restart.close_timeout)
            finally:
                connection.close()
    finally:
        # Last, because closing a stream makes the tasks that use it fail.
        if transport is not None:
            with trio.move_on_after(1, shield=True):  # it never waits; shielded, since it must happen when cancelled too
                await transport.abort()
