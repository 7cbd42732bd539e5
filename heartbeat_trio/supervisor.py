"""Connect, run, lose, back off, again. What it decides is decided by `sansio.restart`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import trio

from ._background import open_background
from ._chance import CHANCE
from .config import BackoffPolicy, HeartbeatPolicy, InboxPolicy, RestartPolicy
from .connection import Connection, open_connection
from .endpoint import Endpoint
from .events import (
    ClockJumped,
    Connected,
    Connecting,
    EndedForGood,
    Event,
    Lost,
    PongReceived,
    RetryScheduled,
    Stalled,
    Throttled,
)
from .exceptions import ConnectError, ConnectionClosed, ConnectionLost, GaveUp
from .protocol.dialect_schedule import heartbeat_policy
from .sansio.restart import GiveUp, Restarts, Retry
from .transports.clock_watch import follow_clocks
from .transports.decoding import Decoders

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from .events import PingRecord
    from .inbox import Inbox
    from .protocol.messages import Message
    from .sansio.quality import ConnectionQuality
    from .transports.abc import Connector
    from .venue import Venue


GOING_AWAY = frozenset({1001, 1012, 1013})
"""Close codes with which a server sends all its clients away at once (RFC 6455 §7.4.1, and the registry of codes)."""

ROOM_INTERVAL = 1.0
"""Seconds after which a session asks again whether there is room for its pings among those of others."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every connection of a session is opened with; see `open_connection`."""

    heartbeat: HeartbeatPolicy = field(default_factory=HeartbeatPolicy)
    backoff: BackoffPolicy = field(default_factory=BackoffPolicy)
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    inbox: InboxPolicy | Inbox = field(default_factory=InboxPolicy)
    connector: Connector | None = None
    rng: Random = field(default_factory=Random)
    token: str | None = None
    ssl_context: ssl.SSLContext | None = None
    quality: ConnectionQuality | None = None
    on_event: Callable[[Event], None] = lambda _event: None
    on_messages: Callable[[list[Message]], None] | None = None
    on_raw: Callable[[bytes], None] | None = None
    on_ping: Callable[[PingRecord], None] | None = None
    venue: Venue | None = None


class Supervisor:
    """Runs a handler on connection after connection to one endpoint.

    Args:
        endpoint: Where to connect.
        options: How.
    """

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self._endpoint = endpoint
        self._options = options
        self._restarts = Restarts(options.restart, options.backoff)
        self.attempt = 0
        """The attempt that runs or ran last, as `Connecting` told it."""
        self._retry: Retry | None = None
        self._timer = trio.CancelScope()
        self._has_stood = False
        self._decoders = Decoders()

    async def run(self, handler: Callable[[Connection], Awaitable[None]]) -> None:
        """Call the handler once per connection until it returns.

        A connection's end cancels the handler. An exception of the handler that is this end, or a group made only of it,
        counts as the end; any other ends the supervision and comes out unchanged.

        Raises:
            GaveUp: `RestartPolicy.max_attempts` attempts failed in a row.
        """
        try:
            async with open_background() as background:
                # Between connections too: what happened has its wall time from the jumps that were told.
                background.start_soon(partial(follow_clocks, self._emit), name=f"clocks {self._endpoint}")
                await self._run(handler)
        finally:
            if self._options.venue is not None:
                self._options.venue.gone(self, trio.current_time())

    def spread(self) -> None:
        """See `venue.Member.spread`: the loss is known by now to be one of many."""
        if self._retry is not None and not self._timer.cancel_called:  # else it is on its way already
            now = trio.current_time()
            delay = self._restarts.spread(self._options.rng, left=self._timer.deadline - now)
            self._timer.deadline = now + delay
            self._emit(RetryScheduled(at=now, attempt=self._retry.attempt, delay=delay))

    async def _run(self, handler: Callable[[Connection], Awaitable[None]]) -> None:
        while True:
            await self._wait_for_venue()
            loss = await self._attempt(handler)
            if loss is None:
                return
            self._retry = self._decide(loss)
            await self._back_off(self._retry)

    async def _back_off(self, retry: Retry) -> None:
        now = trio.current_time()
        self._emit(RetryScheduled(at=now, attempt=retry.attempt, delay=retry.delay))
        with trio.CancelScope(deadline=now + retry.delay) as self._timer:
            await trio.sleep_forever()
        self._retry = None

    async def _wait_for_venue(self) -> None:
        """Wait until the venue allows one more attempt."""
        await trio.lowlevel.checkpoint()
        venue = self._options.venue
        if venue is None:
            return
        allowed = await self._reserve(venue)
        now = trio.current_time()
        if allowed > now:
            self._emit(Throttled(at=now, venue=venue.name, kind="connect", delay=allowed - now))
            has_waited = False
            try:
                await trio.sleep_until(allowed)
                has_waited = True
            finally:
                if not has_waited:
                    venue.give_back_connect(allowed)

    async def _reserve(self, venue: Venue) -> float:
        """Wait until the venue has room for our pings; when it allows one more attempt."""
        await trio.lowlevel.checkpoint()
        policy = self._options.heartbeat
        interval = min(policy.ping_interval, 2 * policy.pong_timeout)  # a ping may take the place of one that timed out
        is_told = False
        while (allowed := venue.reserve_connect(self, interval, trio.current_time())) is None:
            if not is_told:
                is_told = True
                self._emit(Throttled(at=trio.current_time(), venue=venue.name, kind="connect", delay=ROOM_INTERVAL))
            await trio.sleep(ROOM_INTERVAL)
        return allowed

    async def _attempt(self, handler: Callable[[Connection], Awaitable[None]]) -> Exception | None:
        """Connect once and run the handler; the loss is returned, None when the handler returned."""
        await trio.lowlevel.checkpoint()
        options = self._options
        self.attempt = self._restarts.attempt_started(trio.current_time())
        self._has_stood = False
        self._emit(Connecting(at=trio.current_time(), attempt=self.attempt))
        connection: Connection | None = None
        try:
            async with open_connection(
                self._endpoint,
                heartbeat=options.heartbeat,
                restart=options.restart,
                inbox=options.inbox,
                connector=options.connector,
                rng=options.rng,
                token=options.token,
                ssl_context=options.ssl_context,
                quality=options.quality,
                on_event=self._on_event,
                on_messages=self._on_messages if options.on_messages else None,
                on_raw=options.on_raw,
                on_ping=options.on_ping,
                venue=options.venue,
                decoders=self._decoders,
            ) as connection:
                self._connected()
                await handler(connection)
        except ConnectError as error:
            if connection is not None:
                raise
            return error
        except (ConnectionLost, ConnectionClosed, ExceptionGroup) as error:
            if connection is None or not connection.has_caused(error):
                raise
            return _leaf(error)
        finally:
            if connection is not None and options.quality is not None:
                options.quality.end_connection(trio.current_time())
        return None

    def _connected(self) -> None:
        now = trio.current_time()
        self._restarts.connected(now)
        self._has_stood = True
        if self._options.venue is not None:
            self._options.venue.connected(self)
        if self._options.quality is not None:
            self._options.quality.start_connection(now)
        self._emit(Connected(at=now))

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PongReceived):
            self._restarts.alive(event.at)
        if not isinstance(event, ClockJumped | Stalled):  # told once already
            self._emit(event)

    def _on_messages(self, messages: list[Message]) -> None:
        self._restarts.alive(trio.current_time())
        if self._options.on_messages is not None:
            self._options.on_messages(messages)

    def _decide(self, loss: Any) -> Retry:  # noqa: ANN401 - one of the three errors with a cause
        """Tell the loss, and decide when to try again."""
        now = trio.current_time()
        blame, evidence = getattr(loss, "blame", None), getattr(loss, "evidence", None)
        self._emit(Lost(at=now, cause=loss.cause, detail=str(loss), blame=blame, evidence=evidence))
        venue = self._options.venue
        is_one_of_many = venue is not None and self._has_stood and venue.lost(self, now)
        decision = self._restarts.ended(
            now,
            cause=loss.cause,
            detail=str(loss),
            rng=self._options.rng,
            is_mass_loss=is_one_of_many or loss.cause == "goodbye" or getattr(loss, "code", None) in GOING_AWAY,
            retry_after=getattr(loss, "retry_after", None),
        )
        if isinstance(decision, GiveUp):
            self._emit(EndedForGood(at=now, attempts=decision.history))
            listed = "; ".join(f"#{each.number} {each.cause}: {each.detail}" for each in decision.history)
            raise GaveUp(
                f"gave up on {self._endpoint} after {self._options.restart.max_attempts} failed attempts in a row: {listed}",
                history=decision.history,
            ) from loss
        return decision

    def _emit(self, event: Event) -> None:
        self._options.on_event(event)


def _leaf(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def run_session(
    endpoint: str | Endpoint,
    handler: Callable[[Connection], Awaitable[None]],
    *,
    heartbeat: HeartbeatPolicy | None = None,
    backoff: BackoffPolicy | None = None,
    restart: RestartPolicy | None = None,
    inbox: InboxPolicy | None = None,
    connector: Connector | None = None,
    rng: Random | None = None,
    token: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> None:
    """Call ``handler(connection)`` once per connection, reconnecting in between, until it returns.

    When the connection ends, the handler is cancelled, and called again with the next connection after the backoff. An
    exception of the handler that is this connection's own end counts as the end; any other ends the session unchanged.
    Arguments are those of `open_connection`, and the policies of backoff and restart.

    Raises:
        ConfigError: The endpoint is none, or a policy is impossible.
        GaveUp: `RestartPolicy.max_attempts` attempts failed in a row; `.history` lists them.
    """
    where = Endpoint.parse(endpoint)
    options = Options(
        heartbeat=heartbeat_policy(where.venue, heartbeat, dict(where.parameters)),
        backoff=backoff or BackoffPolicy(),
        restart=restart or RestartPolicy(),
        inbox=inbox or InboxPolicy(),
        connector=connector,
        rng=rng or CHANCE,
        token=token,
        ssl_context=ssl_context,
        on_event=on_event or (lambda _event: None),
    )
    await Supervisor(where, options).run(handler)
