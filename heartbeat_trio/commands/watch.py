"""``heartbeat-trio watch``: keep connections alive and show how they are, until told to stop."""

from __future__ import annotations

import sys
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Literal

import trio

from ..config import BackoffPolicy, HeartbeatPolicy, RestartPolicy, SilencePolicy
from ..endpoint import Endpoint
from ..events import ClockJumped, Closed, Connected, EndedForGood, Event, PongLate, PongReceived, Quote
from ..exceptions import GaveUp
from ..journal import open_journal
from ..observe import jsonlines, text
from ..observe.alerts import watch_session
from ..observe.output import Output
from ..observe.recording import open_recording
from ..session import Session, open_session
from .common import check_duration, discard_stdout, first_leaf, on_output_error, on_signals, warn

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from .._broadcast import EventChannel
    from ..journal import Journal
    from ..observe.live import LiveView, Row
    from ..observe.sinks import Sink
    from ..sansio.alerts import AlertRule
    from ..sansio.quality import Verdict

REFRESH = 0.25
"""Seconds between two frames of the live view."""

QUOTE_EVERY = 1.0
"""Seconds between two lines of text for the same symbol; JSON has every quote."""

NO_PONG, GAVE_UP = 1, 3
"""Exit codes; 0 is success."""


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """What the command line asked for."""

    endpoints: tuple[Endpoint, ...]
    subscribe: tuple[str, ...]
    heartbeats: tuple[HeartbeatPolicy, ...]
    """One for each endpoint."""
    backoff: BackoffPolicy
    restart: RestartPolicy
    silence: SilencePolicy
    stats_every: float
    record: Path | None
    token: str | None
    ssl_context: ssl.SSLContext | None
    seed: int | None
    duration: float | None
    output: Literal["live", "text", "json"]
    journal: Path | None = None
    alerts: tuple[tuple[AlertRule, Sink], ...] = ()


def watch(options: WatchOptions) -> int:
    """Watch until a signal, the end of `duration`, its reader's leave, or until every endpoint was given up: the code."""
    check_duration(options.duration)
    with ExitStack() as stack:
        command = _Watch(options)
        if options.output == "live":
            from ..observe.live import LiveView  # imports rich

            command.view = LiveView(command.rows)
            stack.callback(command.view.stop)
        output = stack.enter_context(Output(command.view or sys.stdout))
        command.output = output
        for endpoint in options.endpoints if options.record is not None else ():
            assert options.record is not None  # noqa: S101 - the loop is empty otherwise
            command.recorders[endpoint] = stack.enter_context(open_recording(options.record, str(endpoint)))
        trio.run(command.run)
    if output.error is not None:
        discard_stdout()
    for line in command.final:
        print(line)
    if output.dropped:
        warn(f"{output.dropped} lines were not shown: the output is too slow")
    return command.exit_code()


class _Watch:
    def __init__(self, options: WatchOptions) -> None:
        self.options = options
        self.output: Output
        self.view: LiveView | None = None
        self.rows: list[Row] = []
        self.final: list[str] = []
        self.recorders: dict[Endpoint, Callable[[bytes], None]] = {}
        self._rng = Random(options.seed)
        self._stop = trio.Event()
        self._gave_up = 0
        pairs = zip(options.endpoints, options.heartbeats, strict=True)
        self._never_pinged = {endpoint for endpoint, heartbeat in pairs if heartbeat.schedule == "never"}
        self._has_pong = False
        self._verdicts: dict[Endpoint, Verdict] = {}
        self._journal: Journal | None = None
        self._offset = 0.0

    async def run(self) -> None:
        self._set_clock()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(on_output_error, self.output, self._stop.set), name="output")
                nursery.start_soon(partial(on_signals, self._stop.set, nursery.cancel_scope.cancel), name="signals")
                if self.options.duration is not None:
                    nursery.start_soon(self._stop_after, self.options.duration, name="duration")
                if self.view is not None:
                    nursery.start_soon(self._refresh, self.view, name="refresh")
                async with AsyncExitStack() as stack:
                    if self.options.journal is not None:
                        self._journal = await stack.enter_async_context(open_journal(self.options.journal))
                    async with trio.open_nursery() as sessions:
                        for endpoint, heartbeat in zip(self.options.endpoints, self.options.heartbeats, strict=True):
                            sessions.start_soon(self._watch_one, endpoint, heartbeat, name=f"watch {endpoint}")
                nursery.cancel_scope.cancel()
        except ExceptionGroup as group:  # one error reaches the user; the others are consequences of it
            raise first_leaf(group) from group

    def exit_code(self) -> int:
        """0 if some pong was received or the reader has gone, 3 if every endpoint was given up, else 1."""
        if isinstance(self.output.error, BrokenPipeError):
            return 0
        if self._gave_up == len(self.options.endpoints):
            return GAVE_UP
        return 0 if self._has_pong else NO_PONG

    async def _stop_after(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self._stop.set()

    async def _refresh(self, view: LiveView) -> None:
        while True:
            view.refresh(trio.current_time())
            self.output.put("")
            await trio.sleep(REFRESH)

    async def _watch_one(self, endpoint: Endpoint, heartbeat: HeartbeatPolicy) -> None:
        await trio.lowlevel.checkpoint()
        options = self.options
        session: Session | None = None
        events: EventChannel | None = None
        async with trio.open_nursery() as alerts:  # they outlast the session, whose end is news too
            try:
                async with open_session(
                    endpoint,
                    subscribe=options.subscribe,
                    heartbeat=heartbeat,
                    backoff=options.backoff,
                    restart=options.restart,
                    silence=options.silence,
                    rng=self._rng,
                    token=options.token,
                    ssl_context=options.ssl_context,
                    on_raw=self.recorders.get(endpoint),
                    journal=self._journal,
                ) as session:
                    # Not left with the block: the session's last words come while it closes.
                    watching = session.events()
                    events = await watching.__aenter__()
                    await self._follow(session, events, alerts)
            except GaveUp as error:
                self._gave_up += 1
                self._tell(endpoint, EndedForGood(at=trio.current_time(), attempts=error.history))
        if session is not None and events is not None:
            for event in events.take_nowait():
                if not isinstance(event, Closed):  # the very last one
                    self._show_event(session, event, None)
            await watching.__aexit__()
            self._tell_final(session)
        self._tell(endpoint, Closed(at=trio.current_time()))

    async def _follow(self, session: Session, events: EventChannel, alerts: trio.Nursery) -> None:
        """Show what happens until told to stop."""
        row = self._add_row(session)
        session.gate()  # its changes are told, and alerts can be set on them
        if self.options.alerts:
            session.note(alerts=[str(rule) for rule, _ in self.options.alerts])  # the sinks are secrets
            alerts.start_soon(watch_session, session, self.options.alerts, name="alerts")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show_events, session, events, row, name="events")
            nursery.start_soon(self._show_quotes, session, events, row, name="quotes")
            nursery.start_soon(self._show_statistics, session, name="statistics")
            await self._stop.wait()
            self._verdicts[session.endpoint] = session.is_suitable_for_trading()
            nursery.cancel_scope.cancel()

    def _set_clock(self) -> None:
        """Wall time is only a label: one offset, which stays until the clock jumps, so that the lines keep their order."""
        self._offset = time.time() - trio.current_time()

    def _add_row(self, session: Session) -> Row | None:
        if self.view is None:
            return None
        from ..observe.live import Row  # imports rich

        row = Row(session)
        self.rows.append(row)
        return row

    async def _show_events(self, session: Session, events: EventChannel, row: Row | None) -> None:
        async for event in events:
            self._show_event(session, event, row)

    def _show_event(self, session: Session, event: Event, row: Row | None) -> None:
        if isinstance(event, Connected) and session.endpoint in self._never_pinged:
            self._has_pong = True  # as much as can be known there
        if isinstance(event, PongReceived | PongLate):
            self._has_pong = True
            if row is not None and event.rtt is not None:
                row.rtts.append(event.rtt)
        elif isinstance(event, ClockJumped):
            self._set_clock()
        if not isinstance(event, EndedForGood):  # told with its history when it is raised
            self._tell(session.endpoint, event)

    async def _show_quotes(self, session: Session, events: EventChannel, row: Row | None) -> None:
        shown: dict[str, float] = {}
        while quotes := await session.receive_batch():
            for event in events.take_nowait():  # a gap is told before the quote that follows it
                self._show_event(session, event, row)
            if row is not None:
                row.quotes += len(quotes)
            elif self.options.output == "json":
                for quote in quotes:
                    self._put_json("quote", session.endpoint, trio.current_time(), jsonlines.describe_quote(quote))
            else:
                self._show_latest(session.endpoint, quotes, shown)

    def _show_latest(self, endpoint: Endpoint, quotes: list[Quote], shown: dict[str, float]) -> None:
        now = trio.current_time()
        for quote in {quote.symbol: quote for quote in quotes}.values():
            if now - shown.get(quote.symbol, -QUOTE_EVERY) >= QUOTE_EVERY:
                shown[quote.symbol] = now
                self._put_text(endpoint, now, text.describe_quote(quote))

    async def _show_statistics(self, session: Session) -> None:
        while True:
            await trio.sleep(self.options.stats_every)
            self._tell_statistics(session)

    def _tell_final(self, session: Session) -> None:
        """The last statistics: the counts of now, the verdict of before the end."""
        self._tell_statistics(session, self._verdicts.get(session.endpoint))
        if self.options.output == "text":
            self.output.put(session.report())
        elif self.options.output == "live":  # shown below the table, once that stands still
            self.final += [f"\n{session.endpoint}", session.report()]

    def _tell_statistics(self, session: Session, verdict: Verdict | None = None) -> None:
        now, quality = trio.current_time(), session.quality()
        verdict = session.is_suitable_for_trading() if verdict is None else verdict
        if self.options.output == "json":
            self._put_json("statistics", session.endpoint, now, jsonlines.describe_statistics(quality, verdict))
            return
        self._put_text(session.endpoint, now, text.describe_statistics(quality, verdict))

    def _tell(self, endpoint: Endpoint, event: Event) -> None:
        if self.options.output == "json":
            described = jsonlines.describe(event)
            if described is not None:
                self._put_json(described[0], endpoint, event.at, described[1])
            return
        line = text.describe_pong(event) if isinstance(event, PongReceived) else text.describe(event)
        if line is not None and not (isinstance(event, PongReceived) and self.view is not None):
            self._put_text(endpoint, event.at, line)

    def _put_json(self, event: str, endpoint: Endpoint, at: float, fields: dict[str, object]) -> None:
        self.output.put(jsonlines.encode(event, str(endpoint), at + self._offset, fields))

    def _put_text(self, endpoint: Endpoint, at: float, line: str) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(at + self._offset))
        self.output.put(f"{clock} {endpoint}  {line}")
