"""One line of a redundant feed: a session, followed at the instant of each quote and event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec
import trio

from .events import Connected, ConnectionState, Event, Lost, SessionStatus, Subscribed
from .following import Follower, Inlet
from .sansio.line_figures import LineFigures
from .session import open_session

if TYPE_CHECKING:
    import ssl
    from random import Random

    from .config import BackoffPolicy, HeartbeatPolicy, RestartPolicy, SilencePolicy
    from .endpoint import Endpoint
    from .protocol.messages import Message
    from .recorder import Recorder
    from .session import Session
    from .transports.abc import Connector
    from .venue import Venues

Role = Literal["main", "new", "old"]


class LineSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a redundant feed, frozen.

    Args:
        name: Names it in events, and in `RedundantFeed.session`.
        endpoint: Where it connects to, fit for printing.
        role: `main`; `new` or `old` while the one takes the other's place.
        status: Of its session.
        state: Of its connection.
        connected_for: Seconds since its connection stood, None without one.
        rtt: The last round trip in seconds.
        is_aside: Whether it brings something in another stream than the feed's, which is of no use then.
        figures: Win rate, lag, holes.
    """

    name: str
    endpoint: str
    role: Role
    status: SessionStatus
    state: ConnectionState
    connected_for: float | None
    rtt: float | None
    is_aside: bool
    figures: LineFigures


@dataclass(frozen=True, kw_only=True)
class LineOptions:
    """What every line's session is opened with; see `open_session`."""

    heartbeat: HeartbeatPolicy | None
    backoff: BackoffPolicy | None
    restart: RestartPolicy | None
    silence: SilencePolicy | None
    journal: Recorder | None
    connector: Connector | None
    rng: Random
    token: str | None
    ssl_context: ssl.SSLContext | None
    venues: Venues | None


class FeedLine:
    """A line, from its joining to its end.

    Args:
        name: Its name.
        endpoint: Where it connects to.
        on_quotes: Called with the line and the quotes of each read.
        on_event: Called with the line and each event.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        on_quotes: Callable[[FeedLine, Iterable[Message]], None],
        on_event: Callable[[FeedLine, Event], None],
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.role: Role = "main"
        self.session: Session | None = None
        self.connected_at: float | None = None
        self.served: set[str] = set()
        """Symbols that were acknowledged or came on the present connection, or on the last one."""
        self.served_at = 0.0
        """When the last of them was."""
        self.has_data = False
        """Whether quotes came on the present connection."""
        self.leaving = trio.Event()
        self.has_ended = trio.Event()
        self._on_quotes = on_quotes
        self._on_event = on_event

    def __repr__(self) -> str:
        return f"<FeedLine {self.name} {self.role}>"

    async def run(self, options: LineOptions, wanted: dict[str, None]) -> None:
        """Keep the session until told to leave. Raises what ends it; `wanted` is the feed's, and may change meanwhile."""
        async with open_session(
            self.endpoint,
            subscribe=tuple(wanted),
            heartbeat=options.heartbeat,
            backoff=options.backoff,
            restart=options.restart,
            inbox=Inlet(self._receive),
            silence=options.silence,
            journal=Follower(self._follow, options.journal),
            connector=options.connector,
            rng=options.rng,
            token=options.token,
            ssl_context=options.ssl_context,
            venue=None if options.venues is None else options.venues.get(self.endpoint.host),
        ) as session:
            self.session = session
            for symbol in tuple(wanted):  # those that were added while the session opened; more than once changes nothing
                await session.subscribe(symbol)
            await self.leaving.wait()

    def serve(self, symbol: str, now: float) -> None:
        """A symbol was acknowledged, or came."""
        if symbol not in self.served:
            self.served.add(symbol)
            self.served_at = now

    def snapshot(self, figures: LineFigures, *, is_aside: bool) -> LineSnapshot:
        """Everything at once, frozen."""
        session = self.session
        return LineSnapshot(
            name=self.name,
            endpoint=str(self.endpoint),
            role=self.role,
            status=SessionStatus.CONNECTING if session is None else session.status,
            state=ConnectionState.DISCONNECTED if session is None else session.state,
            connected_for=None if self.connected_at is None else trio.current_time() - self.connected_at,
            rtt=None if session is None else session.rtt,
            is_aside=is_aside,
            figures=figures,
        )

    def _receive(self, quotes: Iterable[Message]) -> None:
        self.has_data = True
        self._on_quotes(self, quotes)

    def _follow(self, event: Event) -> None:
        match event:
            case Connected():
                self.connected_at, self.has_data = event.at, False
                self.served.clear()
            case Lost():
                self.connected_at, self.has_data = None, False
            case Subscribed():
                self.serve(event.symbol, event.at)
            case _:
                pass
        self._on_event(self, event)
