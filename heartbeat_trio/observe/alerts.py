"""Watches a session and sends alerts. Whatever a sink does, the connection, the other sinks and the watching go on."""

from __future__ import annotations

import logging
import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

import msgspec
import trio

from ..events import Alert, AlertFailed
from ..exceptions import ConfigError
from ..sansio.alerts import MINIMUM_INTERVAL, AlertBook, AlertRule
from .sinks import Sink, SinkError, parse_sink
from .text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from .._broadcast import EventChannel
    from ..config import GatePolicy
    from ..endpoint import Endpoint
    from ..events import Event, QualitySnapshot

logger = logging.getLogger("heartbeat_trio.alerts")

QUALITY_INTERVAL = 5.0
"""Seconds between two looks at a session's figures."""
QUEUE = 100
"""Alerts that may wait for one sink; then the oldest gives way."""
LAST_WORDS = 2.0
"""Seconds that the last alerts may take once the session has ended."""
LOG_INTERVAL = 60.0
"""Seconds between two log messages on one sink's failures."""


class WatchedSession(Protocol):
    """What is needed of a session; `heartbeat_trio.Session` has it."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it connects."""

    def events(self) -> AbstractAsyncContextManager[EventChannel]:
        """Open a channel of its events."""

    def quality(self) -> QualitySnapshot:
        """Its figures now."""

    def announce(self, event: Event) -> None:
        """Put an event among its own."""

    def gate(self, policy: GatePolicy | None = None) -> object:
        """Its trading gate of that policy, opened if it was not asked for before."""


def parse_alert(text: str) -> tuple[AlertRule, Sink]:
    """Read an alert as the command line has it: ``RULE=SINK``, such as ``degraded:10=command:/usr/bin/notify-send``.

    Raises:
        ConfigError: Either half is none; see `AlertRule.parse` and `parse_sink`. The sink is never shown.
    """
    rule, equals, sink = text.partition("=")
    if not equals:
        raise ConfigError("an alert looks like RULE=SINK, for example lost=log or degraded:10=webhook:https://host/path")
    return AlertRule.parse(rule), parse_sink(sink)


async def watch_session(
    session: WatchedSession,
    alerts: Sequence[tuple[AlertRule, Sink]],
    *,
    minimum_interval: float = MINIMUM_INTERVAL,
    last_words: float = LAST_WORDS,
    gate: GatePolicy | None = None,
) -> None:
    """Send a session's alerts until it ends. Each is also announced among the session's events, as are failures of sinks.

    It never raises because of a sink. Cancellation ends it at once, so let it outlast the session, whose end is news too::

        async with trio.open_nursery() as nursery:
            try:
                async with open_session(...) as session:
                    nursery.start_soon(watch_session, session, alerts)
                    ...
            except GaveUp:
                ...

    Args:
        session: To be watched.
        alerts: Which rules go to which sinks.
        minimum_interval: Seconds from a firing of a rule to whatever it tells next, its recovery too.
        last_words: Seconds that the last alerts may take after the session has ended.
        gate: The policy of the gate that a rule `gate` tells of, opened here where there is such a rule. The rule tells
            that an open gate closed, not that one never opened.
    """
    if any(rule.kind == "gate" for rule, _ in alerts):
        session.gate(gate)
    async with session.events() as events:
        watcher = _Watcher(session, alerts, minimum_interval)
        try:
            async with trio.open_nursery() as nursery:
                watcher.start_sinks(nursery)
                await watcher.follow(events)
                nursery.cancel_scope.deadline = trio.current_time() + last_words
        finally:
            watcher.report_undelivered()


class _Watcher:
    """Feeds one session's book, and hands on what comes out of it."""

    def __init__(self, session: WatchedSession, alerts: Sequence[tuple[AlertRule, Sink]], minimum_interval: float) -> None:
        self._session = session
        self._book = AlertBook([rule for rule, _ in alerts], minimum_interval=minimum_interval)
        self._boxes = {sink: _Outbox(session, sink) for _, sink in alerts}
        self._routes: dict[str, list[_Outbox]] = {}
        for rule, sink in dict.fromkeys(alerts):
            self._routes.setdefault(str(rule), []).append(self._boxes[sink])
        self._look_at = -math.inf

    def start_sinks(self, nursery: trio.Nursery) -> None:
        for sink, box in self._boxes.items():
            nursery.start_soon(box.run, name=f"alert sink {sink.kind} of {self._session.endpoint}")

    async def follow(self, events: EventChannel) -> None:  # noqa: ASYNC910 - its only way out is the channel's end
        """Until the session ends."""
        while True:
            self._act_on_time()
            with trio.move_on_at(min(self._look_at, self._book.next_check())):  # noqa: ASYNC912 - the channel waits
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    break
                self._publish(self._book.receive_event(event, trio.current_time()))
        for box in self._boxes.values():
            box.close()

    def report_undelivered(self) -> None:
        for box in self._boxes.values():
            box.report_undelivered()

    def _act_on_time(self) -> None:
        now = trio.current_time()
        if now >= self._look_at:
            self._look_at = now + QUALITY_INTERVAL
            self._publish(self._book.receive_quality(self._session.quality(), now))
        self._publish(self._book.handle_timer(now))

    def _publish(self, alerts: Iterable[Alert]) -> None:
        """Announcing comes back to us as an event, for which there is no rule."""
        for found in alerts:
            alert = msgspec.structs.replace(found, text=printable(found.text))  # it may quote the peer
            self._session.announce(alert)
            for box in self._routes[alert.rule]:
                box.put(alert)


class _Outbox:
    """Alerts on their way to one sink."""

    def __init__(self, session: WatchedSession, sink: Sink) -> None:
        self._session = session
        self._sink = sink
        self._waiting: deque[Alert] = deque()
        self._in_flight: Alert | None = None
        self._dropped = 0
        self._dropped_rule = ""
        self._is_closed = False
        self._wake = trio.Event()
        self._logged_at = -math.inf

    def put(self, alert: Alert) -> None:
        """Queue an alert. Never waits."""
        if len(self._waiting) >= QUEUE:
            self._dropped_rule = self._waiting.popleft().rule
            self._dropped += 1
        self._waiting.append(alert)
        self._wake.set()

    def close(self) -> None:
        """Nothing more will come: `run` ends when everything is delivered."""
        self._is_closed = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver one alert after the other."""
        await trio.lowlevel.checkpoint()
        while True:
            while self._waiting:
                self._in_flight = self._waiting.popleft()
                await self._deliver(self._in_flight)
                self._in_flight = None
                self._report_dropped()
            if self._is_closed:
                return
            self._wake = trio.Event()
            await self._wake.wait()

    def report_undelivered(self) -> None:
        """The end has come: what still waits is lost, and that is told."""
        rest = [self._in_flight, *self._waiting] if self._in_flight else list(self._waiting)
        if rest:
            self._announce_failure(rest[0].rule, f"{len(rest)} alerts were not delivered before the end")

    def _report_dropped(self) -> None:
        if self._dropped:
            rule, dropped, self._dropped = self._dropped_rule, self._dropped, 0
            self._announce_failure(rule, f"{dropped} older alerts were dropped: the sink is too slow")

    async def _deliver(self, alert: Alert) -> None:  # noqa: ASYNC910 - a sink that fails at once did not wait
        try:
            await self._sink.deliver(str(self._session.endpoint), alert)
        except SinkError as error:
            self._announce_failure(alert.rule, str(error))
        except Exception as error:  # noqa: BLE001 - a sink of somebody else's; its words may hold secrets
            self._announce_failure(alert.rule, f"{self._sink.kind}: {type(error).__name__}")

    def _announce_failure(self, rule: str, detail: str) -> None:
        now = trio.current_time()
        self._session.announce(AlertFailed(at=now, rule=rule, sink=self._sink.kind, detail=detail))
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            logger.warning("%s: alert %s was not delivered: %s", self._session.endpoint, rule, detail)
