"""Frozen, validated policies. Every duration is float seconds.

A policy that cannot work raises `ConfigError` when it is built, naming the field, the value and what would do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

Liveness = Literal["any_inbound", "pong_only"]
Overflow = Literal["drop_oldest", "conflate", "close"]
Jitter = Literal["decorrelated", "full", "equal", "proportional", "none"]
LastStep = Literal["none", "probe", "resubscribe", "reconnect"]
PingSchedule = Literal["every", "inbound_idle", "outbound_idle", "negotiated", "never"]


LARGEST = 1e300
"""What a policy may say at most, so that no sum or product of its numbers is beyond all floats."""


def symbol_list(subscribe: Iterable[str]) -> tuple[str, ...]:
    """The symbols that somebody wants to subscribe to.

    Raises:
        ConfigError: It is a mere text, which would be taken letter by letter.
    """
    if isinstance(subscribe, str):
        raise ConfigError(f"subscribe = {subscribe[:64]!r} must be a list of symbols, such as ['BTCUSD'], even of one")
    return tuple(subscribe)


def _shown(value: object) -> str:
    """A value for a message. An integer may have more digits than Python writes."""
    return hex(value)[:64] + "..." if isinstance(value, int) and abs(value) > LARGEST else repr(value)


def _require(policy: object, field: str, *, minimum: float, exclusive: bool = False, maximum: float = math.inf) -> None:
    """Raise `ConfigError` unless the field is a finite number in its range."""
    value = getattr(policy, field)
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST
    if not number or value < minimum or value > maximum or (exclusive and value == minimum):
        lower = f"greater than {minimum:g}" if exclusive else f"at least {minimum:g}"
        upper = "" if maximum == math.inf else f" and at most {maximum:g}"
        raise ConfigError(f"{type(policy).__name__}.{field} = {_shown(value)} must be a number {lower}{upper}")


def _require_whole(policy: object, field: str, *, minimum: int) -> None:
    value = getattr(policy, field)
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= LARGEST:
        raise ConfigError(f"{type(policy).__name__}.{field} = {_shown(value)} must be a whole number of at least {minimum}")


def _require_flag(policy: object, field: str) -> None:
    value = getattr(policy, field)
    if not isinstance(value, bool):
        raise ConfigError(f"{type(policy).__name__}.{field} = {value!r} must be True or False")


def _require_one_of(policy: object, field: str, choices: tuple[str, ...]) -> None:
    value = getattr(policy, field)
    if value not in choices:
        raise ConfigError(f"{type(policy).__name__}.{field} = {value!r} must be one of {', '.join(choices)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatPolicy:
    """When to ping, how long to wait, and what counts as life.

    A peer that falls silent is called dead at most ``max_missed_pongs * ping_interval + pong_timeout`` seconds after the
    last byte that reached us: 18 s by default.

    Args:
        ping_interval: Seconds from one ping to the next.
        pong_timeout: Seconds from a ping's tick to its deadline. It may exceed `ping_interval`.
        max_missed_pongs: Misses in a row, without any sign of life between them, that end the connection.
        liveness: `any_inbound`: every inbound byte but those of an unmatched pong is a sign of life. `pong_only`: only
            matched pongs are.
        max_pongless: With `any_inbound`, data alone keeps a connection for this many seconds without any pong, or for
            `bound` where that is longer.
        adaptive: Whether to probe at once when a pong is late, and to call the peer dead after 7 probe timeouts without a
            sign of life; `bound` stays the outer limit. See `sansio.detector`.
        minimum_pto: Seconds that a probe timeout has at least ...
        maximum_pto: ... and at most, while our own loop is punctual.
        max_probes: Extra pings in any 60 s; a venue's message limit.
        schedule: A ping `every` interval; only after an interval without anything received (`inbound_idle`) or sent
            (`outbound_idle`); `negotiated`: as `every`, but a venue may name the interval when it is connected to; `never`.
    """

    ping_interval: float = 5.0
    pong_timeout: float = 3.0
    max_missed_pongs: int = 3
    liveness: Liveness = "any_inbound"
    max_pongless: float = 60.0
    adaptive: bool = False
    minimum_pto: float = 0.5
    maximum_pto: float = 1.0
    max_probes: int = 30
    schedule: PingSchedule = "every"

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "ping_interval", minimum=0, exclusive=True)
        # Every ping in flight is remembered until its deadline, and the memory is bounded (64 pings).
        _require(self, "pong_timeout", minimum=0, exclusive=True, maximum=60 * self.ping_interval)
        _require_whole(self, "max_missed_pongs", minimum=1)
        _require_one_of(self, "liveness", ("any_inbound", "pong_only"))
        _require(self, "max_pongless", minimum=0, exclusive=True)
        _require(self, "minimum_pto", minimum=0, exclusive=True)
        _require(self, "maximum_pto", minimum=self.minimum_pto)
        _require_whole(self, "max_probes", minimum=0)
        _require_one_of(self, "schedule", ("every", "inbound_idle", "outbound_idle", "negotiated", "never"))

    @property
    def bound(self) -> float:
        """The longest time, in seconds, from the peer's last byte to the verdict that it is dead."""
        return self.max_missed_pongs * self.ping_interval + self.pong_timeout

    @property
    def pongless_bound(self) -> float:
        """The longest time, in seconds, that data alone keeps a connection: never less than `bound`."""
        return max(self.max_pongless, self.bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatPolicy:
    """When a server that pings us, or beats, is dead because it no longer does. See `sansio.server_beats`.

    Args:
        period: Seconds from one beat to the next.
        misses: Beats missing in a row that end the connection, if nothing else came either.
        grace: Seconds that a beat may be late.
        needs_subscription: Nothing is due before a subscription is acknowledged, or a first beat has come.
        data_counts: Whether any byte is as good as a beat. Else data alone keeps a connection for ...
        max_beatless: ... this many seconds without any beat (at least `bound`).
        control_counts: Whether a control-frame ping is a beat; else it may come from a machine in between.
        pongs_count: Whether a pong is as good as data; else it, too, may come from there.
    """

    period: float
    misses: int = 3
    grace: float = 3.0
    needs_subscription: bool = False
    data_counts: bool = False
    max_beatless: float = 60.0
    control_counts: bool = False
    pongs_count: bool = True

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "period", minimum=0, exclusive=True)
        _require_whole(self, "misses", minimum=1)
        _require(self, "grace", minimum=0)
        _require(self, "max_beatless", minimum=0, exclusive=True)

    @property
    def bound(self) -> float:
        """The longest time, in seconds, from the server's last byte to the verdict that it is dead."""
        return self.misses * self.period + self.grace


@dataclass(frozen=True, slots=True, kw_only=True)
class BackoffPolicy:
    """How long to wait between attempts.

    Args:
        initial: Seconds of the first full delay.
        factor: Growth per attempt (not used by `decorrelated`, which draws from three times the previous delay).
        maximum: No delay is longer, jitter included.
        jitter: `decorrelated`, `full`, `equal`, `proportional` (± 20 %), or `none`.
        first_maximum: The first attempt after the loss of one connection waits U(0, this).
        mass_maximum: ... and after a mass loss U(0, this), unless the server gave a `retry_after`.
    """

    initial: float = 1.0
    factor: float = 2.0
    maximum: float = 30.0
    jitter: Jitter = "decorrelated"
    first_maximum: float = 0.25
    mass_maximum: float = 10.0

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "initial", minimum=0, exclusive=True)
        _require(self, "factor", minimum=1)
        _require(self, "maximum", minimum=0, exclusive=True)
        _require_one_of(self, "jitter", ("decorrelated", "full", "equal", "proportional", "none"))
        _require(self, "first_maximum", minimum=0)
        _require(self, "mass_maximum", minimum=0)
        if self.maximum < self.initial:
            raise ConfigError(f"BackoffPolicy.maximum = {self.maximum!r} must be at least initial = {self.initial!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """When a session reconnects, when it waits, and when it gives up.

    Args:
        max_attempts: Failed attempts in a row that end the session with `GaveUp`; None: never.
        stable_after: Seconds with data (or answered pings, where nothing is subscribed) that reset the backoff.
        intensity: At most this many established connections may end unstable ...
        period: ... in this many seconds, per endpoint.
        connect_timeout: Seconds for TCP, TLS and WebSocket handshake together.
        close_timeout: Seconds that an orderly close may take.
    """

    max_attempts: int | None = None
    stable_after: float = 60.0
    intensity: int = 10
    period: float = 60.0
    connect_timeout: float = 5.0
    close_timeout: float = 1.0

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        if self.max_attempts is not None:
            _require_whole(self, "max_attempts", minimum=1)
        _require(self, "stable_after", minimum=0)
        _require_whole(self, "intensity", minimum=1)
        _require(self, "period", minimum=0, exclusive=True)
        _require(self, "connect_timeout", minimum=0, exclusive=True)
        _require(self, "close_timeout", minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxPolicy:
    """How many messages may wait for the consumer, and what happens to the next one.

    Args:
        size: Messages.
        overflow: `drop_oldest`, `conflate` (keep the latest quote per symbol), or `close` (the consumer gets
            `SlowConsumer`). Every dropped quote is counted in `Overrun`.
    """

    size: int = 65536
    overflow: Overflow = "drop_oldest"

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require_whole(self, "size", minimum=1)
        _require_one_of(self, "overflow", ("drop_oldest", "conflate", "close"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SilencePolicy:
    """When a feed is silent, and what is done about it. See `sansio.silence`.

    The normal gap is learned from the last ten minutes: at least 300 gaps, and one message every two seconds. Each step
    waits for a pong that came since the one before it, and at least for `HeartbeatPolicy.pong_timeout`.

    Args:
        factor: Silence is this many times the 99.9th percentile of the gaps ...
        minimum: ... at least so many seconds ...
        maximum: ... and at most so many.
        unconfirmed_after: Seconds that an acknowledged subscription may stay without any data. What had data before, and is
            quiet on a new connection, is given at least as long, and for ever if its normal gap was not learned.
        last_step: How far to go: `none`, `probe`, `resubscribe`, or `reconnect` (once per silence).
    """

    factor: float = 3.0
    minimum: float = 1.0
    maximum: float = 15.0
    unconfirmed_after: float = 30.0
    last_step: LastStep = "reconnect"

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "factor", minimum=1)
        _require(self, "minimum", minimum=0, exclusive=True)
        _require(self, "maximum", minimum=self.minimum)
        _require(self, "unconfirmed_after", minimum=0, exclusive=True)
        _require_one_of(self, "last_step", ("none", "probe", "resubscribe", "reconnect"))


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """When the trading gate opens and closes.

    Args:
        open_after: Seconds for which the feed must have been suitable without a break.
        close_after: Seconds for which it may be unsuitable; a loss and a gap close the gate at once.
        hysteresis: Part of each limit by which it must be kept better before the gate opens.
        max_data_age: Seconds that the newest quote may be old, where something is subscribed.
    """

    open_after: float = 5.0
    close_after: float = 0.0
    hysteresis: float = 0.2
    max_data_age: float = 10.0

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require(self, "open_after", minimum=0)
        _require(self, "close_after", minimum=0)
        _require(self, "hysteresis", minimum=0, maximum=0.9)
        _require(self, "max_data_age", minimum=0, exclusive=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPolicy:
    """What the quote server allows its clients.

    Args:
        max_clients: Connections at once; the next one is refused.
        handshake_timeout: Seconds for TLS, the WebSocket handshake, and `AUTH` where a token is asked for.
        idle_timeout: A client that sends no ping for this long is dropped; no other message counts.
        max_subscriptions: Symbols per client.
        max_message_rate: Messages a second and client; the surplus is delayed, not dropped.
        outbound: What happens to quotes for a client whose socket is full: `conflate`, `drop_oldest`, `close`.
        outbound_size: Quotes that may wait for one client under `drop_oldest` and `close`.
        control_limit: Bytes of unread control lines that close a client.
        ring_size: Quotes kept per symbol for resuming.
        retry_after: Seconds over which clients are asked to spread their return when the server goes away.
        deflate: Whether WebSocket clients that offer permessage-deflate get it. Quotes are small: a fifth of their bytes is
            saved, none of their packets, for 6 µs to compress each (once for all clients) and 10 µs to inflate it. A client
            that compresses what it sends costs up to 40 KiB more.
    """

    max_clients: int = 1024
    handshake_timeout: float = 5.0
    idle_timeout: float = 30.0
    max_subscriptions: int = 1000
    max_message_rate: int = 1000
    outbound: Overflow = "conflate"
    outbound_size: int = 1000
    control_limit: int = 256 * 1024
    ring_size: int = 1000
    retry_after: float = 1.0
    deflate: bool = False

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require_flag(self, "deflate")
        for field in ("max_clients", "max_subscriptions", "max_message_rate", "outbound_size", "ring_size"):
            _require_whole(self, field, minimum=1)
        _require_whole(self, "control_limit", minimum=4096)
        for field in ("handshake_timeout", "idle_timeout"):
            _require(self, field, minimum=0, exclusive=True)
        _require(self, "retry_after", minimum=0, maximum=300)
        _require_one_of(self, "outbound", ("conflate", "drop_oldest", "close"))
