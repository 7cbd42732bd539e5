"""What to change: from patterns and replay curves to exact lines of our own configuration. Nothing to say: nothing is said.

Where nothing of ours would help, the advice says so and what to ask whom, rather than invent a setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..observe.printable import printable
from . import advice_findings, advice_losses
from .advice_text import whole
from .findings import Confidence, Estimate, Recommendation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .findings import Finding, LineReport, NotEnough, ReplayCurve, ReplayPoint
    from .tables import Journals

DAY = 86_400.0
NONE_SEEN = 2.996
"""Events that may have been expected where none was seen (95 %, Poisson)."""
HIGH_DAYS, MEDIUM_DAYS = 14.0, 7.0
"""Days of recording from which on a replay without a false loss is trusted highly, or fairly."""
ORDER: dict[Confidence, int] = {"high": 0, "medium": 1, "low": 2}
KINDS = (
    "idle-kill",
    "period",
    "overrun",
    "rate-limit",
    "writer-blocked",
    "local",
    "slower",
    "pong-timeout",
    "hour",
    "weekday",
    "step",
    "drift",
    "venue-wide",
)
"""What gains most comes first, at the same confidence: connections that need not be lost, then time, then words."""


def advise(
    journals: Journals,
    findings: Sequence[Finding],
    not_enough: Sequence[NotEnough],
    curves: Sequence[ReplayCurve],
    reports: Sequence[LineReport],
) -> tuple[Recommendation, ...]:
    """All advice, that which is worth most first.

    Args:
        journals: What was read.
        findings: Patterns in it.
        not_enough: What could not be looked for yet, which speaks against being sure.
        curves: Replays of its pings.
        reports: Of each line, by its index.
    """
    found = [each for finding in findings if (each := advice_findings.advise(journals, finding)) is not None]
    for curve in curves:
        suggested = next((point for point in curve.points if point.is_suggested), None)
        recorded = next((point for point in curve.points if point.is_recorded), None)
        if suggested is not None and recorded is not None and curve.line < len(reports):
            found.append(_retime(journals, curve, recorded, suggested, reports[curve.line], not_enough))
    found += advice_losses.advise(journals, reports)
    return tuple(sorted(_distinct(found), key=_rank))


def _distinct(found: list[Recommendation]) -> list[Recommendation]:
    """One of each id, the most certain one: two metrics may call for the same change."""
    best: dict[str, Recommendation] = {}
    for each in sorted(found, key=_rank):
        best.setdefault(each.id, each)
    return list(best.values())


def _rank(advice: Recommendation) -> tuple[int, int, float, str]:
    kind = next((at for at, kind in enumerate(KINDS) if advice.id.startswith(kind)), len(KINDS))
    return ORDER[advice.confidence], kind, -abs(advice.effect.value or 0.0), advice.id


def _retime(
    journals: Journals,
    curve: ReplayCurve,
    recorded: ReplayPoint,
    suggested: ReplayPoint,
    report: LineReport,
    not_enough: Sequence[NotEnough],
) -> Recommendation:
    """Another timeout, or another number of misses."""
    days = curve.observed / DAY
    saved = 1 - suggested.detection_mean / recorded.detection_mean
    name = printable(journals.lines[curve.line].endpoint)
    confidence: Confidence = "high" if days >= HIGH_DAYS else "medium" if days >= MEDIUM_DAYS else "low"
    return Recommendation(
        id=f"pong-timeout-{curve.line}",
        line=curve.line,
        claim=(
            f"In {days:.1f} days of recorded pings of {name}, {_policy_text(suggested)} would have called no living peer"
            f" dead, and found a dead one {recorded.detection_mean - suggested.detection_mean:.3g} s sooner on average."
        ),
        effect=Estimate(value=saved, low=saved, high=saved, n=curve.pings),
        n=curve.pings,
        p_adjusted=None,
        begun_at=report.begun_at,
        ended_at=report.ended_at,
        confidence=confidence,
        change=_change(recorded, suggested),
        gain=(
            f"A dead peer is found after {suggested.detection_mean:.3g} s on average instead of"
            f" {recorded.detection_mean:.3g} s, after {suggested.detection_max:.3g} s at most instead of"
            f" {recorded.detection_max:.3g} s."
        ),
        against=_against(curve, suggested, recorded, not_enough),
        is_censored=suggested.is_censored,
    )


def _policy_text(point: ReplayPoint) -> str:
    misses = "one missed pong" if point.max_missed_pongs == 1 else f"{point.max_missed_pongs} missed pongs"
    return f"a limit of {misses} of {whole(point.pong_timeout)} s each"


def _change(recorded: ReplayPoint, suggested: ReplayPoint) -> str:
    """Only what differs."""
    names = ("ping_interval", "pong_timeout", "max_missed_pongs")
    differing = [name for name in names if getattr(suggested, name) != getattr(recorded, name)]
    return ", ".join(f"{name} = {whole(getattr(suggested, name))}" for name in differing)


def _against(curve: ReplayCurve, suggested: ReplayPoint, recorded: ReplayPoint, not_enough: Sequence[NotEnough]) -> str:
    days = curve.observed / DAY
    reasons = [f"Up to {NONE_SEEN / days:.2g} false losses a day may have gone unseen (95 %, none in {days:.1f} days)."]
    if suggested.losses > recorded.losses:
        more = suggested.losses - recorded.losses
        reasons.append(f"Connections that ended otherwise would have been called dead before: {more}.")
    reasons += [
        f"Weekdays were not compared yet ({each.have} of {each.need} {each.unit})."
        for each in not_enough
        if each.kind == "weekday" and each.line == curve.line
    ][:1]
    return " ".join(reasons)
