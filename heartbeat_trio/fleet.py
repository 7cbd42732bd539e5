"""Any number of sessions side by side: one stream of quotes, one of events, and no session that harms another."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import trio

from ._background import open_background
from ._broadcast import Broadcast, Events
from .config import InboxPolicy, RestartPolicy, symbol_list
from .endpoint import Endpoint
from .events import ConnectionState, Event, LineAdded, LineEnded, Quote, SessionStatus, SourceEvent
from .exceptions import ConfigError
from .fleet_snapshot import FleetSnapshot, MemberSnapshot
from .following import Follower
from .inbox import Inbox
from .sansio.quality import Verdict
from .session import open_session
from .venue import Venue, Venues

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from ._background import Background
    from .config import BackoffPolicy, HeartbeatPolicy, SilencePolicy
    from .policies import VenueLimits
    from .protocol.messages import Message
    from .recorder import Recorder
    from .session import Session
    from .transports.abc import Connector

SHARE = 256
"""Quotes that `Fleet.receive_batch` takes from one session at a time."""

NOT_BEGUN = Verdict(ok=False, reasons=("not connected",), codes=("disconnected",))


class _Box(Inbox):
    """One session's inbox: says when something waits in it, and counts what came."""

    def __init__(self, policy: InboxPolicy, on_ready: Callable[[], None]) -> None:
        super().__init__(policy)
        self._on_ready = on_ready
        self.received = 0

    def put(self, messages: Iterable[Message]) -> None:
        """See `Inbox.put`."""
        messages = list(messages)
        self.received += len(messages)
        try:
            super().put(messages)
        finally:  # what fitted can be taken even if it was too much
            self._on_ready()


class _Member:
    """One session of the fleet, from its adding to its removal."""

    def __init__(
        self, name: str, endpoint: Endpoint, venue: Venue, inbox: InboxPolicy, on_ready: Callable[[_Member], None]
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.venue = venue
        self.inbox = _Box(inbox, partial(on_ready, self))
        self.is_ready = False
        """Whether it stands in the queue of those whose quotes wait."""
        self.session: Session | None = None
        self.error: Exception | None = None
        self.leaving = trio.Event()
        self.has_ended = trio.Event()

    def snapshot(self) -> MemberSnapshot:
        session, error = self.session, self.error
        return MemberSnapshot(
            name=self.name,
            endpoint=str(self.endpoint),
            venue=self.venue.name,
            status=self._status(),
            state=ConnectionState.DISCONNECTED if session is None else session.state,
            attempt=0 if session is None else session.attempt,
            connections=0 if session is None else session.connections,
            quotes=self.inbox.received,
            waiting=len(self.inbox),
            dropped=self.inbox.dropped,
            quality=None if session is None else session.quality(),
            verdict=NOT_BEGUN if session is None else session.is_suitable_for_trading(),
            cause=None if error is None else type(error).__name__,
            detail="" if error is None else str(error),
        )

    def _status(self) -> SessionStatus:
        if self.session is not None:
            return self.session.status
        return SessionStatus.CONNECTING if self.error is None else SessionStatus.DISCONNECTED


@dataclass(frozen=True, kw_only=True)
class _Defaults:
    """What sessions are opened with unless they say otherwise."""

    heartbeat: HeartbeatPolicy | None
    backoff: BackoffPolicy | None
    restart: RestartPolicy | None
    inbox: InboxPolicy | None
    silence: SilencePolicy | None
    journal: Recorder | None
    connector: Connector | None
    rng: Random


class Fleet:
    """Sessions side by side, as `open_fleet` gives them.

    Iterating over it gives ``(name, quote)``, of each session in order, of all sessions in turn: one that floods, or whose
    quotes you take slowly, costs only itself.
    """

    def __init__(self, defaults: _Defaults, venues: Venues) -> None:
        self._defaults = defaults
        self._venues = venues
        self._members: dict[str, _Member] = {}
        self._ready: deque[_Member] = deque()
        self._wake = trio.Event()
        self._events = Broadcast()
        self._background: Background | None = None

    def __repr__(self) -> str:
        return f"<Fleet of {len(self._members)} sessions>"

    def __aiter__(self) -> Fleet:
        return self

    async def __anext__(self) -> tuple[str, Quote]:
        """Wait for the next quote, with the name of its session."""
        for name, quote in await self._take_turn(1):
            return name, quote
        raise StopAsyncIteration

    async def receive_batch(self) -> list[tuple[str, Quote]]:
        """Wait for quotes, and take up to 256 of each session where some wait; [] once the fleet has ended."""
        taken = await self._take_turn(SHARE)
        for _ in range(len(self._ready)):
            taken += self._take(self._ready.popleft(), SHARE)
        return taken

    def events(self) -> Events:
        """Open a channel of events, as `Session.events` does.

        Those of a session come as `SourceEvent`; `LineAdded` and `LineEnded` tell of sessions that join, leave, or fail.
        """
        return Events(self._events)

    def snapshot(self) -> FleetSnapshot:
        """Everything at once, frozen; ``print`` it for a table."""
        now = trio.current_time()
        sessions = tuple(member.snapshot() for member in self._members.values())
        return FleetSnapshot(at=now, sessions=sessions, venues=self._venues.snapshots(now))

    def session(self, name: str) -> Session | None:
        """A session, for its quality, gate and subscriptions; None while it begins, or if there is none of that name."""
        member = self._members.get(name)
        return None if member is None else member.session

    def add(
        self,
        name: str,
        endpoint: str | Endpoint,
        *,
        subscribe: Iterable[str] = (),
        venue: str | None = None,
        heartbeat: HeartbeatPolicy | None = None,
        backoff: BackoffPolicy | None = None,
        restart: RestartPolicy | None = None,
        inbox: InboxPolicy | None = None,
        silence: SilencePolicy | None = None,
        token: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        on_raw: Callable[[bytes], None] | None = None,
    ) -> None:
        """Add a session while the fleet runs. It connects in the background; its failure is an event and a snapshot entry.

        Args:
            name: Names its quotes and events; one that failed keeps its name until it is removed.
            endpoint: As in `open_session`, like everything below.
            subscribe: Symbols.
            venue: Whose limits it shares with other sessions; by default its host.
            heartbeat: The fleet's by default.
            backoff: The fleet's by default.
            restart: The fleet's by default.
            inbox: How many of its quotes may wait for you, and what gives way. The fleet's by default.
            silence: The fleet's by default.
            token: Sent to the server.
            ssl_context: For ``tcps://`` and ``wss://``.
            on_raw: Called with each message as it came. If it raises, this session ends.

        Raises:
            ConfigError: The endpoint is none, `subscribe` is no list, or the name is taken.
        """
        if self._background is None:
            raise ConfigError(f"the fleet has ended: {name!r} cannot be added")
        if name in self._members:
            raise ConfigError(f"there is a session {name!r} already: remove it first, or choose another name")
        where, symbols, defaults = Endpoint.parse(endpoint), symbol_list(subscribe), self._defaults
        box = inbox or defaults.inbox or InboxPolicy()
        member = _Member(name, where, self._venues.get(venue or where.host, where.venue), box, self._enqueue)
        options = {
            "subscribe": symbols,
            "heartbeat": heartbeat or defaults.heartbeat,
            "backoff": backoff or defaults.backoff,
            "restart": restart or defaults.restart,
            "silence": silence or defaults.silence,
            "token": token,
            "ssl_context": ssl_context,
            "on_raw": on_raw,
        }
        self._members[name] = member
        self._events.put(LineAdded(at=trio.current_time(), name=name, endpoint=str(where)))
        self._background.start_soon(partial(self._run_member, member, options), name=f"session {name} {where}")

    async def remove(self, name: str) -> None:
        """Close a session in an orderly way. Its quotes that wait can still be taken.

        Raises:
            ConfigError: There is no such session.
        """
        await trio.lowlevel.checkpoint()
        member = self._members.pop(name, None)
        if member is None:
            raise ConfigError(f"there is no session {name!r}")
        member.leaving.set()
        await member.has_ended.wait()

    # -- what `open_fleet` calls -----------------------------------------------------------------------------------------

    def begin(self, background: Background) -> None:
        """The block was entered."""
        self._background = background

    async def leave(self, timeout: float) -> None:
        """Let all sessions close in an orderly way."""
        await trio.lowlevel.checkpoint()
        self._background = None
        members = tuple(self._members.values())
        for member in members:
            member.leaving.set()
        with trio.move_on_after(timeout):
            await trio.lowlevel.checkpoint()
            for member in members:
                await member.has_ended.wait()

    def end(self) -> None:
        """The last word."""
        self._background = None
        self._events.close()
        self._notify()

    # -- sessions ----------------------------------------------------------------------------------------------------------

    async def _run_member(self, member: _Member, options: dict[str, Any]) -> None:  # noqa: ASYNC910 - nobody awaits it
        """A session's task: whatever ends it ends nothing else."""
        defaults = self._defaults
        try:
            async with open_session(
                member.endpoint,
                inbox=member.inbox,
                journal=Follower(partial(self._follow, member), defaults.journal),
                connector=defaults.connector,
                rng=defaults.rng,
                venue=member.venue,
                **options,
            ) as session:
                member.session = session
                await member.leaving.wait()
        except Exception as error:  # noqa: BLE001 - it is told, and kept in the snapshot: others must not suffer
            member.error = error
        finally:
            error_name = "removed" if member.error is None else type(member.error).__name__
            detail = "" if member.error is None else str(member.error)
            self._events.put(LineEnded(at=trio.current_time(), name=member.name, cause=error_name, detail=detail))
            member.has_ended.set()

    def _follow(self, member: _Member, event: Event) -> None:
        self._events.put(SourceEvent(at=event.at, source=member.name, event=event))

    # -- quotes ------------------------------------------------------------------------------------------------------------

    async def _take_turn(self, limit: int) -> list[tuple[str, Quote]]:
        """Wait for the first session in the queue that has some; [] once the fleet has ended."""
        await trio.lowlevel.checkpoint()
        while self._ready or self._background is not None:
            if not self._ready:
                await self._wake.wait()
            elif taken := self._take(self._ready.popleft(), limit):  # else they were taken through the session itself
                return taken
        return []

    def _enqueue(self, member: _Member) -> None:
        if not member.is_ready and len(member.inbox):
            member.is_ready = True
            self._ready.append(member)
            self._notify()

    def _take(self, member: _Member, limit: int) -> list[tuple[str, Quote]]:
        """Take a session's turn; if more waits, it stands at the end of the queue again."""
        quotes: list[Any] = member.inbox.take_nowait(limit)  # nothing but quotes is put in
        member.is_ready = False
        self._enqueue(member)
        return [(member.name, quote) for quote in quotes]

    def _notify(self) -> None:
        self._wake.set()
        self._wake = trio.Event()


@asynccontextmanager
async def open_fleet(
    *,
    limits: Mapping[str, VenueLimits] | None = None,
    heartbeat: HeartbeatPolicy | None = None,
    backoff: BackoffPolicy | None = None,
    restart: RestartPolicy | None = None,
    inbox: InboxPolicy | None = None,
    silence: SilencePolicy | None = None,
    journal: Recorder | None = None,
    connector: Connector | None = None,
    rng: Random | None = None,
) -> AsyncIterator[Fleet]:
    """Keep any number of sessions for the length of the block; `Fleet.add` adds them.

    Sessions to the same venue share its limits: one that must wait tells it by `Throttled`. When half of a venue's
    connections (two at least) drop within a second, that is a mass loss, and their return is spread over
    `BackoffPolicy.mass_maximum` seconds.

    Args:
        limits: What each venue allows; by its name, which is its host unless `Fleet.add` says otherwise. A venue that is not
            named allows what its dialect says: connects, and messages where all connections share that limit.
        heartbeat: For sessions that say nothing else, like everything below.
        backoff: When to try again.
        restart: When to give up.
        inbox: How many quotes of each session may wait for you, and what gives way.
        silence: When a feed is silent.
        journal: Keeps the history of each session.
        connector: Opens byte streams.
        rng: Source of all jitter.
    """
    defaults = _Defaults(
        heartbeat=heartbeat,
        backoff=backoff,
        restart=restart,
        inbox=inbox,
        silence=silence,
        journal=journal,
        connector=connector,
        rng=rng or Random(),
    )
    fleet = Fleet(defaults, Venues(limits))
    try:
        async with open_background() as background:
            fleet.begin(background)
            yield fleet
            background.leave()
            await fleet.leave((restart or RestartPolicy()).close_timeout)
    finally:
        fleet.end()
