"""Which point of a replay curve is suggested, if any."""

from __future__ import annotations

import msgspec

from .findings import ReplayCurve, ReplayPoint

DAY = 86_400.0
MIN_PINGS = 5000
"""Fewer show nothing about rare events: with none in n, up to 3/n of them may be bad (95 %)."""
MIN_GAIN = 0.1
"""Part of the recorded detection time that must be saved."""
MARGIN = 2.0
"""Times the 99.9 % round trip that a timeout has at least."""


def mark_suggested(curve: ReplayCurve, *, p999: float) -> ReplayCurve:
    """Mark the soonest detection without a false loss, if it is worth a change and the data are enough.

    There is a margin twice over: the timeout is at least `MARGIN` times the 99.9 % round trip, and the next shorter timeout
    of the grid had no false loss either (so that the shortest one is never suggested).

    Args:
        curve: With all points.
        p999: That round trip in seconds; NaN: not known.
    """
    recorded = next((point for point in curve.points if point.is_recorded), None)
    if recorded is None or curve.observed < DAY or curve.pings < MIN_PINGS:
        return curve
    safe = [point for point in curve.points if _is_safe(point, curve, p999)]
    best = min(safe, key=lambda point: (point.detection_mean, -point.max_missed_pongs), default=recorded)
    if best.detection_mean > (1 - MIN_GAIN) * recorded.detection_mean:
        return curve
    marked = tuple(msgspec.structs.replace(point, is_suggested=True) if point is best else point for point in curve.points)
    return msgspec.structs.replace(curve, points=marked)


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
