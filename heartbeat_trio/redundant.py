"""One feed over several lines at once: what one line loses, another brings; and a line is replaced before it ends."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import trio

from ._background import open_background
from ._broadcast import Broadcast, Events
from .config import HeartbeatPolicy, InboxPolicy, RestartPolicy, symbol_list
from .endpoint import Endpoint, parse_endpoints
from .events import (
    Closed,
    Event,
    Overrun,
    Quote,
    SourceEvent,
)
from .exceptions import ConfigError, LocalProtocolError
from .inbox import Inbox
from .merging import NEVER, Merger
from .monitor import OVERRUN_INTERVAL
from .policies import RedundantPolicy, RotationPolicy
from .protocol.messages import SYMBOL
from .protocol.spelling import canonical_symbol
from .redundant_line import LineOptions, LineSnapshot
from .sansio.arbitration import LOCAL
from .sansio.lines import LineArbiter
from .sansio.quality import ConnectionQuality, Verdict
from .venue import Venues

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from ._background import Background
    from .config import BackoffPolicy, SilencePolicy
    from .events import QualitySnapshot
    from .policies import VenueLimits
    from .protocol.dialect_record import Dialect
    from .protocol.messages import Message
    from .recorder import Recorder, SessionRecorder
    from .session import Session
    from .transports.abc import Connector


class RedundantFeed:
    """One feed over several lines, as `open_redundant_feed` gives it.

    Iterating over it gives quotes, each once and in order, from whichever line had it first; what no line had is told by
    `Gap` events.
    """

    def __init__(
        self,
        arbiter: LineArbiter,
        inbox: Inbox,
        options: LineOptions,
        rotation: RotationPolicy,
        venue: Dialect | None = None,
    ) -> None:
        self._arbiter = arbiter
        self._venue = venue
        self._inbox = inbox
        self._merger = Merger(arbiter, options, rotation, on_quotes=self.put, on_event=self.announce)
        self._lines = self._merger.lines
        self._events = Broadcast()
        self._recorder: SessionRecorder | None = None
        self._overran = trio.Event()

    def __repr__(self) -> str:
        return f"<RedundantFeed of {len(self._lines)} lines>"

    @property
    def dropped(self) -> int:
        """Quotes dropped so far because you were slow."""
        return self._inbox.dropped

    def __aiter__(self) -> RedundantFeed:
        return self

    async def __anext__(self) -> Quote:
        """Wait for the next quote. The feed's end cancels this, and comes out of the block around it."""
        return await self._inbox.next_quote()

    async def receive_batch(self) -> list[Quote]:
        """Wait for quotes and return all that wait, oldest first; [] once the feed has ended."""
        return await self._inbox.take()  # type: ignore[return-value]  # nothing else is put in

    def events(self) -> Events:
        """Open a channel of events, as `Session.events` does.

        The feed's own events (`Gap`, `RotationStarted`, ...) come as they are, those of a line's session as `SourceEvent`.
        A hole of one line is an event of its session; only what no line had is a `Gap` of the feed.
        """
        return Events(self._events)

    def lines(self) -> tuple[LineSnapshot, ...]:
        """Frozen snapshots of all lines, in the order in which they joined."""
        arbiter = self._arbiter
        return tuple(
            line.snapshot(arbiter.figures(name), is_aside=arbiter.is_aside(name)) for name, line in self._lines.items()
        )

    def session(self, name: str) -> Session | None:
        """A line's session, for its quality and statistics; None while it begins, or if there is no such line."""
        line = self._lines.get(name)
        return None if line is None else line.session

    def is_suitable_for_trading(self, *, max_data_age: float = 10.0) -> Verdict:
        """Whether the feed may be traded on now: yes if any line may, else no, with the reasons of each line.

        Args:
            max_data_age: Seconds that the newest quote may be old, where something is subscribed.
        """
        reasons: list[str] = []
        codes: list[str] = []
        for name, line in self._lines.items():
            if line.session is None:
                verdict = Verdict(ok=False, reasons=("not connected",), codes=("disconnected",))
            elif self._arbiter.is_aside(name):
                verdict = Verdict(ok=False, reasons=("it brings another stream than the feed's",), codes=("aside",))
            else:
                verdict = line.session.is_suitable_for_trading(max_data_age=max_data_age)
            if verdict:
                return verdict
            reasons += [f"{name}: {reason}" for reason in verdict.reasons]
            codes += verdict.codes
        return Verdict(ok=False, reasons=tuple(reasons) or ("no line",), codes=tuple(codes) or ("disconnected",))

    async def wait_connected(self) -> None:
        """Wait until any line has a connection. Use your own `trio.fail_after` around it if you like."""
        await self._merger.wait_connected()

    def add_line(self, endpoint: str | Endpoint) -> str:
        """Add a line while the feed runs; its name is returned.

        Raises:
            ConfigError: The endpoint is none.
        """
        return self._merger.add(Endpoint.parse(endpoint))

    async def remove_line(self, name: str) -> None:
        """Close a line in an orderly way, while the feed goes on with the others.

        Raises:
            ConfigError: There is no such line.
        """
        await self._merger.remove(name)

    def rotate(self, reason: str, *, line: str | None = None) -> None:
        """Replace a line (or each) by a new connection to the same endpoint, made before the old one is closed.

        For a server that says that it will go away or close the connection. What became of it is told by `Rotated` or
        `RotationFailed`. A line that is being replaced already is left to that.

        Args:
            reason: Told in the events.
            line: Its name; None: all lines.

        Raises:
            ConfigError: There is no such line.
        """
        self._merger.rotate(reason, line)

    async def subscribe(self, symbol: str) -> None:
        """Want a symbol's quotes, on every line.

        Raises:
            LocalProtocolError: No wire format carries such a symbol.
        """
        await trio.lowlevel.checkpoint()
        if not SYMBOL.fullmatch(symbol):
            raise LocalProtocolError(f"symbol {symbol!r} must be 1 to 64 of A-Z a-z 0-9 . _ - /")
        symbol = canonical_symbol(self._venue, symbol)
        self._merger.wanted[symbol] = None
        for line in tuple(self._lines.values()):
            if line.session is not None:
                await line.session.subscribe(symbol)

    async def unsubscribe(self, symbol: str) -> None:
        """Want no more of a symbol's quotes."""
        await trio.lowlevel.checkpoint()
        symbol = canonical_symbol(self._venue, symbol)
        self._merger.wanted.pop(symbol, None)
        self._arbiter.forget(symbol)
        for line in tuple(self._lines.values()):
            if line.session is not None:
                await line.session.unsubscribe(symbol)

    # -- what `open_redundant_feed` calls --------------------------------------------------------------------------------

    def begin(self, background: Background, recorder: SessionRecorder | None) -> None:
        """The block was entered."""
        self._recorder = recorder
        self._merger.begin(background)
        background.start_soon(self._watch_overruns, name="redundant feed: overruns")

    async def leave(self, timeout: float) -> None:
        """Let all lines close in an orderly way."""
        await self._merger.leave(timeout)

    def end(self) -> None:
        """The last word."""
        self._report_overrun()
        self.announce(Closed(at=trio.current_time()))
        self._inbox.close()
        self._events.close()
        if self._recorder is not None:
            self._recorder.close()

    def put(self, quotes: list[Message]) -> None:
        """Quotes, each once and in order."""
        self._inbox.put(quotes)
        if self._inbox.unreported:
            self._overran.set()

    def announce(self, event: Event) -> None:
        """Tell everybody, and the journal."""
        self._events.put(event)
        if self._recorder is not None and not isinstance(event, SourceEvent):  # a line's session keeps its own journal
            self._recorder.record_event(0, event)  # of no single connection

    async def _watch_overruns(self) -> None:
        while True:
            await self._overran.wait()
            self._overran = trio.Event()
            self._report_overrun()
            await trio.sleep(OVERRUN_INTERVAL)

    def _report_overrun(self) -> None:
        if self._inbox.unreported:
            dropped, self._inbox.unreported = self._inbox.unreported, 0
            self.announce(Overrun(at=trio.current_time(), dropped=dropped))

    def quality(self) -> QualitySnapshot:
        """The quality of the line whose round trips are the shortest (p50), or that of a line without any."""
        known = [line.session.quality() for line in self._lines.values() if line.session is not None]
        best = min(known, key=lambda each: (each.p50 is None, each.p50 or 0.0), default=None)
        return best or ConnectionQuality(pong_timeout=HeartbeatPolicy().pong_timeout).snapshot(0.0)


def _is_sequenced(quote: Quote) -> bool:
    return not quote.stream.startswith(LOCAL)


@asynccontextmanager
async def open_redundant_feed(
    endpoints: Iterable[str | Endpoint],
    *,
    subscribe: Iterable[str] = (),
    policy: RedundantPolicy | None = None,
    rotation: RotationPolicy | None = None,
    is_sequenced: Callable[[Quote], bool] | None = None,
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
    limits: Mapping[str, VenueLimits] | None = None,
) -> AsyncIterator[RedundantFeed]:
    """Keep one feed alive over several lines at once, for the length of the block.

    Each line is a session by itself: it reconnects, resumes and is judged on its own. All lines must bring the same streams
    with the same numbers (or quotes without numbers, see `is_sequenced`). One endpoint is enough where `rotation` is what is
    wanted: a single line is then two for as long as the one takes the other's place.

    Args:
        endpoints: URLs, one a line; the same one may come twice.
        subscribe: Symbols to subscribe to, on every line.
        policy: How long lines wait for each other.
        rotation: When a line is replaced; by default only when `RedundantFeed.rotate` is called.
        is_sequenced: Whether a quote's numbers are its venue's, the same on every line; by default all are but those whose
            stream begins with ``local-``, which were numbered here.
        heartbeat: As in `open_session`, like everything below.
        backoff: When each line tries again.
        restart: When each line gives up.
        inbox: How many merged quotes may wait for you, and what gives way.
        silence: When a line is silent.
        journal: Keeps the history of the feed, and of each line.
        connector: Opens byte streams.
        rng: Source of all jitter.
        token: Sent to the servers.
        ssl_context: For ``tcps://`` and ``wss://``.
        limits: What each host allows all lines together, rotations included. With limits, lines to one host that are lost
            together take longer to come back, as in a fleet; without, each comes back by itself.

    Raises:
        ConfigError: An endpoint is none, there is none at all, or `subscribe` is no list.
        GaveUp: Every line has given up; `.history` lists the attempts of all.
        SlowConsumer: You are too slow, under `InboxPolicy(overflow="close")`.
    """
    parsed = parse_endpoints(endpoints)
    if not parsed:
        raise ConfigError("open_redundant_feed: endpoints is empty; name at least one")
    options = LineOptions(
        heartbeat=heartbeat,
        backoff=backoff,
        restart=restart,
        silence=silence,
        journal=journal,
        connector=connector,
        rng=rng or Random(),
        token=token,
        ssl_context=ssl_context,
        venues=Venues(limits) if limits else None,
    )
    arbiter = LineArbiter(policy or RedundantPolicy(), is_sequenced=is_sequenced or _is_sequenced)
    feed = RedundantFeed(arbiter, Inbox(inbox or InboxPolicy()), options, rotation or NEVER, parsed[0].venue)
    for symbol in symbol_list(subscribe):
        await feed.subscribe(symbol)
    try:
        async with open_background() as background:
            recorder = None
            if journal is not None:
                name = f"redundant feed of {', '.join(map(str, parsed))}"
                recorder = journal.start_session(name, {}, feed.quality)
            feed.begin(background, recorder)
            for endpoint in parsed:
                feed.add_line(endpoint)
            yield feed
            background.leave()
            await feed.leave((restart or RestartPolicy()).close_timeout)
    finally:
        feed.end()
