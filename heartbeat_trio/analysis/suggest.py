"""Which point of a replay curve is suggested, if any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .findings import ReplayCurve, ReplayPoint

Policy = tuple[float, float, int]

DAY = 86_400.0
MIN_PINGS = 5000
"""Fewer show nothing about rare events: with none in n, up to 3/n of them may be bad (95 %)."""
MIN_GAIN = 0.1
"""Part of the recorded detection time that must be saved."""
MARGIN = 2.0
"""Times the 99.9 % round trip that a timeout has at least."""


def mark_suggested(curves: Sequence[ReplayCurve], p999: Sequence[float]) -> tuple[ReplayCurve, ...]:
    """Mark the soonest detection without a false loss, if it is worth a change and the data are enough.

    There is a margin twice over: the timeout is at least `MARGIN` times the 99.9 % round trip, and the next shorter timeout
    of the grid had no false loss either (so that the shortest one is never suggested). Lines that run under the same policy
    get the same suggestion where one is good for all of them: more data speak for it, and it is one change.

    Args:
        curves: With all points.
        p999: Those round trips in seconds, one for each curve; NaN: not known.
    """
    chosen: list[Policy | None] = [None] * len(curves)
    groups: dict[Policy, list[int]] = {}
    for index, curve in enumerate(curves):
        recorded = _recorded(curve)
        if recorded is not None and curve.observed >= DAY and curve.pings >= MIN_PINGS:
            groups.setdefault(policy_of(recorded), []).append(index)
    for group in groups.values():
        common = _soonest([curves[index] for index in group], [p999[index] for index in group])
        for index in group:
            chosen[index] = common or _soonest([curves[index]], [p999[index]])
    return tuple(_mark(curve, policy) for curve, policy in zip(curves, chosen, strict=True))


def policy_of(point: ReplayPoint) -> Policy:
    """Interval, timeout and misses."""
    return point.ping_interval, point.pong_timeout, point.max_missed_pongs


def _recorded(curve: ReplayCurve) -> ReplayPoint | None:
    return next((point for point in curve.points if point.is_recorded), None)


def _soonest(curves: list[ReplayCurve], p999: list[float]) -> Policy | None:
    """The policy that is safe on every line and finds a dead peer soonest; None if none is worth it."""
    means: dict[Policy, list[float]] = {}
    for curve, beyond in zip(curves, p999, strict=True):
        for point in curve.points:
            if _is_safe(point, curve, beyond):
                means.setdefault(policy_of(point), []).append(point.detection_mean)
    safe = {policy: max(each) for policy, each in means.items() if len(each) == len(curves)}
    now = min(point.detection_mean for curve in curves for point in curve.points if point.is_recorded)
    best = min(safe, key=lambda policy: (safe[policy], -policy[2]), default=None)
    return best if best is not None and safe[best] <= (1 - MIN_GAIN) * now else None


def _mark(curve: ReplayCurve, policy: Policy | None) -> ReplayCurve:
    points = [msgspec.structs.replace(point, is_suggested=policy_of(point) == policy) for point in curve.points]
    return msgspec.structs.replace(curve, points=tuple(points))


def _is_safe(point: ReplayPoint, curve: ReplayCurve, p999: float) -> bool:
    if point.is_censored or point.false_losses or not point.pong_timeout >= MARGIN * p999:
        return False
    stricter = [
        other
        for other in curve.points
        if (other.ping_interval, other.max_missed_pongs) == (point.ping_interval, point.max_missed_pongs)
        and other.pong_timeout < point.pong_timeout
    ]
    following = max(stricter, key=lambda other: other.pong_timeout, default=None)
    return following is not None and not following.false_losses
