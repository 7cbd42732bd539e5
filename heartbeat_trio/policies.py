"""Policies of many connections: redundant lines, rotation, a venue's limits, the balancer. Seconds are floats."""

from __future__ import annotations

from dataclasses import dataclass

from .config import _require, _require_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class RedundantPolicy:
    """How several lines of one feed are merged. See `sansio.lines`.

    Args:
        wait: Seconds that a hole on one line waits for another line to fill it; the quotes behind it wait as long.
        window: Seconds for which the content of quotes without numbers is remembered, to know their copies.
        patience: Seconds without a quote after which a stream is left for one that another line has.
        max_held: Quotes per symbol that may wait behind a hole; the next one ends the waiting.
    """

    wait: float = 0.25
    window: float = 2.0
    patience: float = 2.0
    max_held: int = 4096

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "wait", minimum=0)
        _require(self, "window", minimum=2)
        _require(self, "patience", minimum=self.wait)
        _require_whole(self, "max_held", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPolicy:
    """When a line is replaced by a new connection, which is made before the old one is closed. See `sansio.rotation`.

    Args:
        max_age: Seconds after which the server closes a connection; None: as the venue's dialect says (24 h at several
            exchanges), or never.
        margin: Part of `max_age` by which the replacement comes earlier ...
        jitter: ... and part by which that varies at random, so that many lines do not rotate at once.
        degraded_misses: Pongs missed since the last one that call for a replacement ...
        degraded_for: ... or seconds for which the line has been DEGRADED; at most once in `stable_after`.
        stable_after: Seconds after a rotation before the state of the new line may call for another one, and before an
            attempt that failed is repeated.
        timeout: Seconds that the new line has to connect, subscribe and deliver; else the old one stays.
        overlap: Seconds for which both deliver, before the old line is closed.
        intensity: At most this many rotations of a line may begin ...
        period: ... in this many seconds.
        follow_venue: Whether a server that asks to be left (`RotationAdvised`) calls for a replacement, and its dialect's
            age counts.
    """

    max_age: float | None = None
    margin: float = 0.04
    jitter: float = 0.02
    degraded_misses: int = 2
    degraded_for: float = 10.0
    stable_after: float = 60.0
    timeout: float = 10.0
    overlap: float = 1.0
    intensity: int = 5
    period: float = 600.0
    follow_venue: bool = True

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        if self.max_age is not None:
            _require(self, "max_age", minimum=0, exclusive=True)
        _require(self, "margin", minimum=0, maximum=0.9)
        _require(self, "jitter", minimum=0, maximum=self.margin)
        _require_whole(self, "degraded_misses", minimum=1)
        for field in ("degraded_for", "timeout", "period"):
            _require(self, field, minimum=0, exclusive=True)
        for field in ("stable_after", "overlap"):
            _require(self, field, minimum=0)
        _require_whole(self, "intensity", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueLimits:
    """What a venue allows one client, over all of its connections. Only `share` of it is used.

    Args:
        connects: Attempts to connect ...
        connect_period: ... in any so many seconds; None: as many as you like.
        messages: Messages sent ...
        message_period: ... in any so many seconds; None: as many as you like.
        counts_pings: Whether pings are among them. Pings are never delayed: others leave room for them, probes that find
            no room are not sent, and a session whose pings find none beside those of others waits until one leaves. Only
            a session that is alone may exceed the limit with its pings, if they do not fit into it.
        share: The part of each limit that is used.
    """

    connects: int | None = None
    connect_period: float = 300.0
    messages: int | None = None
    message_period: float = 1.0
    counts_pings: bool = True
    share: float = 0.8

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        for field in ("connects", "messages"):
            if getattr(self, field) is not None:
                _require_whole(self, field, minimum=1)
        for field in ("connect_period", "message_period"):
            _require(self, field, minimum=0, exclusive=True)
        _require(self, "share", minimum=0, exclusive=True, maximum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerPolicy:
    """Which endpoint gets the orders, and when that changes. See `sansio.selection`.

    Without hysteresis a balancer is worse than none: two servers of 20 and 21 ms would change places thousands of times a
    day. With these defaults they hardly ever do so, and a server that becomes twice as slow is left within two minutes
    (at the noise of `tests/benchmarks/selection.py`, which has the numbers for more of it).

    Args:
        window: Pings that the score is made of, by which the endpoint in use is judged.
        patience: Pings that the level is made of, by which those that wait are judged: `window` or more.
        miss_penalty: Seconds that a window of nothing but misses adds to the score.
        min_gain: Part by which another must be better for a switch ...
        min_gain_seconds: ... and seconds by which it must be.
        min_recent_gain: Part by which it must be better in the last `window` pings too, or `min_gain` if that is less.
        confirmations: Pongs of the two in a row that must find it so.
        dwell: Seconds that must have passed since the last switch.
        max_switches: Switches for quality in any hour.
        probes: Pongs before an endpoint may win: the first ones, and those after a failure.
        ejection: Seconds for which an endpoint that failed may not win, times the number of its failures of late ...
        max_ejection: ... and at most so many.
        forgive_after: Seconds in good health that take one failure off that number.
        slow_start: Seconds in which the handicap of an endpoint that comes back falls from twice its score to none.
        remember_orders: Seconds for which settled orders are remembered.
        answer_timeout: Seconds after which an order that left, and has no answer, is ambiguous; and for which `resolve`
            waits for one server.
    """

    window: int = 22
    patience: int = 240
    miss_penalty: float = 0.1
    min_gain: float = 0.3
    min_gain_seconds: float = 0.002
    min_recent_gain: float = 0.2
    confirmations: int = 6
    dwell: float = 300.0
    max_switches: int = 4
    probes: int = 5
    ejection: float = 30.0
    max_ejection: float = 300.0
    forgive_after: float = 600.0
    slow_start: float = 60.0
    remember_orders: float = 600.0
    answer_timeout: float = 10.0

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        for field in ("window", "confirmations", "max_switches", "probes"):
            _require_whole(self, field, minimum=1)
        _require_whole(self, "patience", minimum=self.window)
        for field in ("miss_penalty", "min_gain_seconds", "dwell", "ejection", "slow_start"):
            _require(self, field, minimum=0)
        _require(self, "min_gain", minimum=0, maximum=0.99)
        _require(self, "min_recent_gain", minimum=0, maximum=0.99)
        _require(self, "max_ejection", minimum=self.ejection)
        _require(self, "forgive_after", minimum=0, exclusive=True)
        _require(self, "remember_orders", minimum=60)
        _require(self, "answer_timeout", minimum=0, exclusive=True)
