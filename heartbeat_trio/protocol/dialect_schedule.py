"""What a dialect asks of our heartbeat: its own policies, and the bounds that its limits set to a user's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..config import BeatPolicy, HeartbeatPolicy
from ..exceptions import ConfigError
from ..policies import VenueLimits
from ..sansio.pacing import RequestPacer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .dialect_record import Dialect

PROBE_PERIOD = 60.0
"""Seconds in which `HeartbeatPolicy.max_probes` may be sent."""

PINGS_PART = 0.5
"""Part of a venue's message limit that pings may take: subscriptions need the rest."""

PACE = 1.1
"""Times a venue's period: the network brings requests closer together than they were sent."""

MAX_PONGLESS = 60.0

MEASURED = HeartbeatPolicy(ping_interval=20.0, pong_timeout=10.0, max_pongless=86_400.0, adaptive=False)
"""Control pings for a venue that has no ping of its own. Every WebSocket must answer them (RFC 6455 §5.5.2); should one not,
its connection is degraded, and lives as long as anything else comes: the venue's own pings and beats tell how long that may
take."""


def heartbeat_policy(
    dialect: Dialect | None,
    base: HeartbeatPolicy | None = None,
    parameters: Mapping[str, str | int | float] | None = None,
) -> HeartbeatPolicy:
    """When to ping a venue.

    A user's policy wins; only its probes are held within the venue's limits. Where a dialect has no ping of its own, pings
    are control frames: those of `MEASURED`, unless its record forbids them, or those of a user's policy.

    Args:
        dialect: The venue's; None: one of our own protocols.
        base: The user's.
        parameters: The endpoint's; `ping_interval` is in seconds.

    Raises:
        ConfigError: The user's interval, or a parameter, is impossible, or against the venue's message limit.
    """
    if dialect is None:
        return base or HeartbeatPolicy()
    policy = base or _own_policy(dialect, parameters or {})
    pings = 0.0 if policy.schedule == "never" else 1 / policy.ping_interval
    allowed = _pings_per_second(dialect)
    if pings > allowed:
        raise ConfigError(
            f"HeartbeatPolicy.ping_interval = {policy.ping_interval!r} is too short for {dialect.title}, which limits a "
            f"client's messages: at least {1 / allowed:.3g} s would do"
        )
    # A detector that asks for an answer within seconds would condemn a venue that is asked for none.
    adaptive = policy.adaptive and policy.schedule != "never"
    return replace(policy, adaptive=adaptive, max_probes=int(min(policy.max_probes, PROBE_PERIOD * (allowed - pings))))


def beat_policy(dialect: Dialect | None, parameters: Mapping[str, str | int | float] | None = None) -> BeatPolicy | None:
    """When a venue's missing pings or beats mean death; None: nothing is to be expected of it.

    Raises:
        ConfigError: The parameter `beat_interval` is no number of seconds.
    """
    if dialect is None or dialect.expects is None:
        return None
    expects = dialect.expects
    period = _seconds(dialect, "beat_interval", expects.period, parameters or {})
    policy = BeatPolicy(
        period=period,
        misses=expects.misses,
        grace=expects.grace,
        needs_subscription=expects.needs_subscription,
        data_counts=expects.data_counts,
        control_counts=not any(ping.level == "text" for ping in dialect.server_pings) and not dialect.beats,
        pongs_count=dialect.probe is not None,
    )
    return replace(policy, max_beatless=max(policy.max_beatless, policy.bound))


def merge_policy(
    dialect: Dialect | None,
    given: Mapping[str, Any],
    parameters: Mapping[str, str | int | float] | None = None,
) -> HeartbeatPolicy:
    """What suits a venue, with some fields given by the user. An interval that is given means pings, if only by frames.

    Raises:
        ConfigError: See `heartbeat_policy`.
    """
    own = heartbeat_policy(dialect, parameters=parameters)
    if own.schedule == "never" and "ping_interval" in given:
        own = HeartbeatPolicy()
    return heartbeat_policy(dialect, replace(own, **given), parameters)


def request_pacer(dialect: Dialect | None) -> RequestPacer:
    """How fast subscriptions may follow each other: within a venue's limits, and what pings leave of those on messages."""
    if dialect is None:
        return RequestPacer()
    limits = dialect.limits
    paces: list[tuple[int, float]] = []
    if limits.messages is not None:
        paces.append((max(1, int(PINGS_PART * limits.messages)), PACE * limits.message_period))
    if limits.subscribes is not None:
        paces.append((limits.subscribes, PACE * limits.subscribe_period))
    return RequestPacer(paces, batch=1 if dialect.subscriptions is None else dialect.subscriptions.batch)


def venue_limits(dialect: Dialect | None) -> VenueLimits:
    """What a venue allows one client over all of its connections.

    Limits on the messages of one connection are none of these: each connection keeps them by itself (`heartbeat_policy`,
    `request_pacer`), however many there are.
    """
    if dialect is None:
        return VenueLimits()
    limits = dialect.limits
    return VenueLimits(
        connects=limits.connects,
        connect_period=limits.connect_period,
        messages=limits.messages if limits.messages_per == "address" else None,
        message_period=limits.message_period,
        counts_pings=limits.pings_count,
    )


def has_nonces(dialect: Dialect | None) -> bool:
    """Whether a pong says which ping it answers; else it answers the oldest."""
    probe = None if dialect is None else dialect.probe
    return probe is None or probe.level == "control" or "$id" in probe.ping


def _own_policy(dialect: Dialect, parameters: Mapping[str, str | int | float]) -> HeartbeatPolicy:
    probe = dialect.probe
    if probe is None:
        return MEASURED if dialect.pingable else HeartbeatPolicy(schedule="never", max_probes=0)
    interval = _seconds(dialect, "ping_interval", probe.interval, parameters)
    return HeartbeatPolicy(
        ping_interval=interval,
        pong_timeout=min(probe.timeout, 60 * interval),
        max_missed_pongs=probe.misses,
        max_pongless=max(MAX_PONGLESS, 2 * probe.misses * interval + probe.timeout),
        schedule=probe.schedule,
    )


def _pings_per_second(dialect: Dialect) -> float:
    limits = dialect.limits
    if limits.messages is None or not limits.pings_count:
        return float("inf")
    return PINGS_PART * limits.messages / limits.message_period


def _seconds(dialect: Dialect, name: str, otherwise: float, parameters: Mapping[str, str | int | float]) -> float:
    value = {**dialect.parameters, **parameters}.get(name, otherwise)
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise ConfigError(f"{dialect.name}: {name} = {value!r} must be a number of seconds, above 0")
    return seconds
