"""Which events and figures are worth an alert, how often at most, and when it is over.

A rule of a *condition* (lost, degraded, p95 ...) fires when the condition begins and tells its recovery, once it is free to
fire again: so no recovery is the last word on something that is wrong again. A rule of an *occurrence* (gap, gave_up ...)
has nothing that could be over.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import msgspec

from ..events import (
    Alert,
    Cause,
    ClockJumped,
    Closed,
    ConnectionState,
    EndedForGood,
    Event,
    Gap,
    GateChanged,
    Lost,
    PongMissed,
    PongReceived,
    PongVoided,
    Silence,
    Stalled,
    StateChanged,
)
from ..exceptions import ConfigError
from .quality import WARM_UP
from .recent_success import RecentSuccess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..events import QualitySnapshot

MINIMUM_INTERVAL = 60.0
"""Seconds from a firing of a rule to whatever it tells next."""
HYSTERESIS = 0.8
"""A figure is well again at this part of its limit: of the latency, or of the failures."""
EXAMPLE = "for example lost, degraded:10, p95:100ms or success:95%"
_NUMBER = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([a-z%]*)")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,11}")


class _Change(msgspec.Struct, frozen=True):
    """A condition began to hold, or ceased to. An occurrence only ever begins. ``delay``: it must hold for that long."""

    text: str
    is_over: bool = False
    key: str = ""
    delay: float = 0.0


class _Figures(msgspec.Struct, frozen=True):
    """What the rules of figures look at; None: too few pings to say."""

    p95: float | None
    success: float | None


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of rules. The limit is in seconds or a fraction; ``per_one`` are its units in one of those.

    The first of ``units`` is the one that is shown.
    """

    on_event: Callable[[float, Event], _Change | None] | None = None
    on_figures: Callable[[float, _Figures], _Change | None] | None = None
    is_occurrence: bool = False
    default: float | None = None
    per_one: float = 1.0
    maximum: float = math.inf
    units: tuple[str, ...] = ()
    example: str = ""


class AlertRule(msgspec.Struct, frozen=True):
    """What to be alerted of. ``str(rule)`` is its text in full, which `AlertRule.parse` reads.

    Args:
        kind: `lost`, `gave_up`, `degraded`, `p95`, `success`, `gap`, `silence`, `gate` (one that was open has closed; one
            that never opened is no news), `local_stall` or `clock_jump`.
        limit: Seconds for `degraded` and `p95`, a fraction for `success`; 0 for the others.
    """

    kind: str
    limit: float = 0.0

    def __str__(self) -> str:
        kind = _KINDS[self.kind]
        return self.kind if kind.default is None else f"{self.kind}:{self.limit * kind.per_one:g}{kind.units[0]}"

    @classmethod
    def parse(cls, text: str) -> AlertRule:
        """Read a rule: `lost`, `gave_up`, `degraded:10`, `p95:100ms`, `success:95%`, `gap`, `silence`, `gate` ...

        Raises:
            ConfigError: There is no such rule, or its limit makes no sense; the message has an example. It shows a name at
                most: anything else may be a part of the sink's address, where somebody misplaced a ``=``.
        """
        name, colon, argument = text.partition(":")
        kind = _KINDS.get(name)
        if kind is None:
            shown = repr(name) if _NAME.fullmatch(name) else "(not shown)"
            raise ConfigError(f"alert rule {shown} is unknown; known are {', '.join(_KINDS)}; {EXAMPLE}")
        if kind.default is None:
            if colon:
                raise ConfigError(f"alert rule {name!r} takes no limit, so nothing may follow it but =SINK; {EXAMPLE}")
            return cls(name)
        return cls(name, _limit(name, kind, argument) if colon else kind.default)


def _limit(name: str, kind: _Kind, argument: str) -> float:
    found = _NUMBER.fullmatch(argument)
    if found is None or found[2] not in kind.units:
        raise ConfigError(f"alert rule {name!r}: what follows the colon is no limit; it looks like {kind.example}")
    number = float(found[1])
    if not 0 < number <= kind.maximum:
        raise ConfigError(
            f"alert rule {name!r}: the limit must be above 0 and at most {kind.maximum:g}{kind.units[0]}; "
            f"it looks like {kind.example}"
        )
    return number / kind.per_one


class AlertBook:
    """Decides which alerts one session's events and figures are worth.

    A condition that fired is not told again while it holds. Between two firings of one rule at least `minimum_interval`
    seconds pass, and from a firing to its recovery as well: a rule speaks twice in that time at most. What came in between
    is told late if it still holds, and counted in the rule's next text otherwise.

    Args:
        rules: What to be alerted of; each counts once.
        minimum_interval: Seconds from a firing of a rule to whatever it tells next.
    """

    def __init__(self, rules: Iterable[AlertRule], *, minimum_interval: float = MINIMUM_INTERVAL) -> None:
        self._watches = [_Watch(rule, minimum_interval) for rule in dict.fromkeys(rules)]
        self._success = RecentSuccess()

    def receive_event(self, event: Event, now: float) -> list[Alert]:
        """Something happened."""
        if isinstance(event, Closed):  # its owner closed the session: nothing that was wrong matters any more
            for watch in self._watches:
                watch.forget()
        return [
            alert
            for watch in self._watches
            if watch.kind.on_event is not None
            for alert in watch.receive(watch.kind.on_event(watch.rule.limit, event), now)
        ]

    def receive_quality(self, snapshot: QualitySnapshot, now: float) -> list[Alert]:
        """A look at the figures. They say nothing before 20 pings: neither good nor bad."""
        figures = _Figures(snapshot.p95 if snapshot.n >= WARM_UP else None, self._success.receive(snapshot))
        return [
            alert
            for watch in self._watches
            if watch.kind.on_figures is not None
            for alert in watch.receive(watch.kind.on_figures(watch.rule.limit, figures), now)
        ]

    def next_check(self) -> float:
        """When `handle_timer` has something to do; infinity: never, as things stand."""
        return min((watch.next_check() for watch in self._watches), default=math.inf)

    def handle_timer(self, now: float) -> list[Alert]:
        """Fire what is due by now. Calling it too early does no harm."""
        return [alert for watch in self._watches for alert in watch.check(now)]


class _Condition(msgspec.Struct):
    """Something that is wrong. It may be told from ``due`` on. ``is_over``: it was told, but not yet that it is over."""

    text: str
    since: float
    due: float
    is_told: bool = False
    is_over: bool = False


class _Watch:
    """One rule at work: what is wrong, and when it may be told.

    Several things may be wrong at once, such as several silent symbols: each is told, and the recovery is that of all. It
    waits until the rule is free. What is wrong again before that is no news: the alert that was told is true still.
    """

    def __init__(self, rule: AlertRule, interval: float) -> None:
        self.rule = rule
        self.kind = _KINDS[rule.kind]
        self._interval = interval
        self._free_at = -math.inf
        self._firing_since = 0.0
        self._more = 0
        self._open: dict[str, _Condition] = {}
        self._recovery: str | None = None
        """What is to be told when the rule is free."""

    def receive(self, change: _Change | None, now: float) -> list[Alert]:
        if change is None:
            return []
        if change.is_over:
            return self._end(change, now)
        self._begin(change, now)
        return self.check(now)

    def next_check(self) -> float:
        waiting = [each.due for each in self._open.values() if not each.is_told]
        if self._recovery is not None:
            return self._free_at
        return max(min(waiting), self._free_at) if waiting else math.inf

    def check(self, now: float) -> list[Alert]:
        waiting = [each for each in self._open.values() if not each.is_told and each.due <= now]
        if now < self._free_at:
            return []
        recovery, self._recovery = self._recovery, None
        if waiting or recovery is not None:
            self._open = {key: each for key, each in self._open.items() if not each.is_over}
        if not waiting:
            return [] if recovery is None else [self._alert(recovery, now, is_recovery=True)]
        if recovery is None and not self._is_firing():
            self._firing_since = waiting[0].since
        self._more += len(waiting) - 1
        for each in waiting:
            each.is_told = True
        if self.kind.is_occurrence:
            self._open.clear()
        self._free_at = now + self._interval
        return [self._alert(waiting[0].text, now)]

    def forget(self) -> None:
        self._open.clear()
        self._recovery, self._more = None, 0

    def _begin(self, change: _Change, now: float) -> None:
        known = self._open.get(change.key)
        if known is not None and known.is_over and (now < self._free_at or self._recovery is not None):
            known.is_over, self._recovery = False, None
            self._more += 1
        elif known is None or known.is_over:
            self._open[change.key] = _Condition(change.text, now, now + change.delay)
        elif not known.is_told:
            known.text = change.text
            self._more += self.kind.is_occurrence  # for a condition it is only more of the same

    def _end(self, change: _Change, now: float) -> list[Alert]:
        ended = self._open.get(change.key)
        if ended is None or ended.is_over:
            return []
        if not ended.is_told:
            self._more += ended.due <= now
            del self._open[change.key]
            return []
        ended.is_over = True
        if self._is_firing():
            return []
        self._recovery = f"{change.text} after {now - self._firing_since:.1f} s"
        return self.check(now)

    def _is_firing(self) -> bool:
        return any(each.is_told and not each.is_over for each in self._open.values())

    def _alert(self, text: str, now: float, *, is_recovery: bool = False) -> Alert:
        more, self._more = self._more, 0
        text += f" ({more} more in between)" if more else ""
        return Alert(at=now, rule=str(self.rule), text=text, is_recovery=is_recovery)


def _lost(_limit: float, event: Event) -> _Change | None:
    """A mere connection ends nothing: the kernel of a frozen server takes it."""
    match event:
        case Lost(cause=cause, detail=detail, blame=blame):
            return _Change(f"connection lost ({cause}{f', {blame.value}' if blame else ''}): {detail}")
        case PongReceived():
            return _Change("it answers again", is_over=True)
        case _:
            return None


def _gave_up(_limit: float, event: Event) -> _Change | None:
    match event:
        case EndedForGood(attempts=attempts):
            last = f"; the last one: {attempts[-1].cause}: {attempts[-1].detail}" if attempts else ""
            return _Change(f"gave up after {len(attempts)} failed attempts{last}")
        case _:
            return None


def _degraded(limit: float, event: Event) -> _Change | None:
    """A connection that is lost while degraded is no better for it, so only a healthy one ends this."""
    match event:
        case StateChanged(new=ConnectionState.DEGRADED, missed_pongs=missed):
            return _Change(f"degraded for {limit:g} s, {missed} pongs missed", delay=limit)
        case StateChanged(new=ConnectionState.CONNECTED) | PongReceived():
            return _Change("no longer degraded", is_over=True)
        case _:
            return None


def _gap(_limit: float, event: Event) -> _Change | None:
    match event:
        case Gap(reason="reconnected"):
            return _Change(f"gap in {event.symbol}: nobody can know what the reconnection cost")
        case Gap(last=None):
            return _Change(f"gap in {event.symbol}: quotes from {event.first} on will not come ({event.reason})")
        case Gap():
            return _Change(f"gap in {event.symbol}: quotes {event.first} to {event.last} will not come ({event.reason})")
        case _:
            return None


def _silence(_limit: float, event: Event) -> _Change | None:
    if not isinstance(event, Silence):
        return None
    whose, key = event.symbol or "the connection", event.symbol or ""
    if event.outcome == "data":
        return _Change(f"data of {whose} again", is_over=True, key=key)
    if event.outcome == "unsubscribed":
        return _Change(f"no more data of {whose} is expected", is_over=True, key=key)
    normal = "" if event.threshold is None else f", {event.threshold:.1f} s are normal"
    return _Change(f"no data of {whose} for {event.silent_for:.1f} s{normal}; next: {event.step}", key=key)


def _gate(_limit: float, event: Event) -> _Change | None:
    match event:
        case GateChanged(is_open=True):
            return _Change("the trading gate is open again", is_over=True)
        case GateChanged(reasons=reasons):
            return _Change(f"the trading gate closed: {'; '.join(reasons) or 'no reason given'}")
        case _:
            return None


def _local_stall(_limit: float, event: Event) -> _Change | None:
    match event:
        case Stalled(seconds=seconds):
            return _Change(f"our own program did not run for {seconds:.2f} s")
        case PongVoided(evidence=evidence, blame=Cause.LOCAL_STALL) | PongMissed(evidence=evidence, blame=Cause.LOCAL_STALL):
            lag = None if evidence is None else evidence.loop_lag
        case PongReceived(local=lag, blame=Cause.LOCAL_STALL):
            pass
        case _:
            return None
    return _Change(f"our own program stalled{'' if lag is None else f' for {lag:.2f} s'}: ping {event.ping} was delayed")


def _clock_jump(_limit: float, event: Event) -> _Change | None:
    match event:
        case ClockJumped(kind="suspend", seconds=seconds):
            return _Change(f"this machine slept for {seconds:.1f} s")
        case ClockJumped(seconds=seconds):
            return _Change(f"this machine's clock was set by {seconds:+.1f} s")
        case _:
            return None


def _p95(limit: float, figures: _Figures) -> _Change | None:
    p95, well = figures.p95, HYSTERESIS * limit
    if p95 is None or well <= p95 <= limit:
        return None
    if p95 > limit:
        return _Change(f"p95 of the round-trip time is {1000 * p95:.1f} ms, above {1000 * limit:g} ms")
    return _Change(f"p95 of the round-trip time is {1000 * p95:.1f} ms, below {1000 * well:g} ms,", is_over=True)


def _low_success(limit: float, figures: _Figures) -> _Change | None:
    rate, well = figures.success, 1 - HYSTERESIS * (1 - limit)
    if rate is None or limit <= rate < well:
        return None
    if rate < limit:
        return _Change(f"success rate is {100 * rate:.1f} %, below {100 * limit:g} %")
    return _Change(f"success rate is {100 * rate:.1f} % again", is_over=True)


_KINDS = {
    "lost": _Kind(on_event=_lost),
    "gave_up": _Kind(on_event=_gave_up, is_occurrence=True),
    "degraded": _Kind(on_event=_degraded, default=10.0, maximum=86400.0, units=("", "s"), example="degraded:10 (seconds)"),
    "p95": _Kind(on_figures=_p95, default=0.1, per_one=1000.0, maximum=60000.0, units=("ms",), example="p95:100ms"),
    "success": _Kind(
        on_figures=_low_success, default=0.95, per_one=100.0, maximum=100.0, units=("%",), example="success:95%"
    ),
    "gap": _Kind(on_event=_gap, is_occurrence=True),
    "silence": _Kind(on_event=_silence),
    "gate": _Kind(on_event=_gate),
    "local_stall": _Kind(on_event=_local_stall, is_occurrence=True),
    "clock_jump": _Kind(on_event=_clock_jump, is_occurrence=True),
}
"""Every rule that there is."""
