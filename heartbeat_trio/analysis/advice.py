"""What to change: from patterns and replay curves to exact lines of our own configuration. Nothing to say: nothing is said.

Where nothing of ours would help, the advice says so and what to ask whom, rather than invent a setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..observe.printable import printable
from . import advice_findings, advice_losses
from .advice_text import whole
from .findings import Confidence, Estimate, Recommendation
from .suggest import policy_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .findings import Finding, LineReport, NotEnough, ReplayCurve, ReplayPoint
    from .suggest import Policy
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
    found += _retimings(journals, [each for each in curves if each.line < len(reports)], reports, not_enough)
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


class _Change(NamedTuple):
    """From which policy to which, for these lines: the figures are those of the line that gains least."""

    recorded: ReplayPoint
    suggested: ReplayPoint
    curves: list[ReplayCurve]

    @property
    def days(self) -> float:
        """Of connections, of all lines together."""
        return sum(curve.observed for curve in self.curves) / DAY


def _retimings(
    journals: Journals, curves: Sequence[ReplayCurve], reports: Sequence[LineReport], not_enough: Sequence[NotEnough]
) -> list[Recommendation]:
    """Other timeouts, or other numbers of misses: one recommendation for all lines that call for the same change."""
    changes: dict[tuple[Policy, Policy], _Change] = {}
    for curve in curves:
        suggested = next((point for point in curve.points if point.is_suggested), None)
        recorded = next((point for point in curve.points if point.is_recorded), None)
        if suggested is None or recorded is None:
            continue
        change = changes.setdefault((policy_of(recorded), policy_of(suggested)), _Change(recorded, suggested, []))
        change.curves.append(curve)
    return [_retime(journals, change, reports, not_enough) for change in changes.values()]


def _retime(
    journals: Journals, change: _Change, reports: Sequence[LineReport], not_enough: Sequence[NotEnough]
) -> Recommendation:
    recorded, suggested, days = change.recorded, change.suggested, change.days
    lines = [curve.line for curve in change.curves]
    pings = sum(curve.pings for curve in change.curves)
    saved = 1 - suggested.detection_mean / recorded.detection_mean
    shortest = min(curve.observed for curve in change.curves) / DAY
    confidence: Confidence = "high" if shortest >= HIGH_DAYS else "medium" if shortest >= MEDIUM_DAYS else "low"
    return Recommendation(
        id="-".join(["pong-timeout", *map(str, lines)]),
        line=lines[0] if len(lines) == 1 else None,
        claim=(
            f"In {days:.1f} days of recorded pings of {_names(journals, lines)}, {_policy_text(suggested)} would have"
            f" called no living peer dead, and found a dead one"
            f" {recorded.detection_mean - suggested.detection_mean:.3g} s sooner on average."
        ),
        effect=Estimate(value=saved, low=saved, high=saved, n=pings),
        unit="fraction",
        n=pings,
        p_adjusted=None,
        begun_at=min(reports[line].begun_at for line in lines),
        ended_at=max(reports[line].ended_at for line in lines),
        confidence=confidence,
        change=_change(recorded, suggested),
        gain=(
            f"A dead peer is found after {suggested.detection_mean:.3g} s on average instead of"
            f" {recorded.detection_mean:.3g} s, after {suggested.detection_max:.3g} s at most instead of"
            f" {recorded.detection_max:.3g} s."
        ),
        against=_against(change, not_enough),
        is_censored=suggested.is_censored,
        lines=tuple(lines) if len(lines) > 1 else (),
    )


def _names(journals: Journals, lines: list[int]) -> str:
    if len(lines) > 2:
        return f"{len(lines)} lines" if len(lines) < len(journals.lines) else f"all {len(lines)} lines"
    return " and ".join(printable(journals.lines[line].endpoint) for line in lines)


def _policy_text(point: ReplayPoint) -> str:
    misses = "one missed pong" if point.max_missed_pongs == 1 else f"{point.max_missed_pongs} missed pongs"
    return f"a limit of {misses} of {whole(point.pong_timeout)} s each"


def _change(recorded: ReplayPoint, suggested: ReplayPoint) -> str:
    """Only what differs."""
    names = ("ping_interval", "pong_timeout", "max_missed_pongs")
    differing = [name for name in names if getattr(suggested, name) != getattr(recorded, name)]
    return ", ".join(f"{name} = {whole(getattr(suggested, name))}" for name in differing)


def _against(change: _Change, not_enough: Sequence[NotEnough]) -> str:
    days = change.days
    reasons = [f"Up to {NONE_SEEN / days:.2g} false losses a day may have gone unseen (95 %, none in {days:.1f} days)."]
    if change.suggested.max_missed_pongs == 1 < change.recorded.max_missed_pongs:
        reasons.append("A single pong that is too late ends the connection then, unless data came meanwhile and count.")
    more = sum(_losses_more(curve) for curve in change.curves)
    if more > 0:
        reasons.append(f"Connections that ended otherwise would have been called dead before: {more}.")
    lines = [curve.line for curve in change.curves]
    reasons += [
        f"Weekdays were not compared yet ({each.have} of {each.need} {each.unit})."
        for each in not_enough
        if each.kind == "weekday" and each.line in lines
    ][:1]
    return " ".join(reasons)


def _losses_more(curve: ReplayCurve) -> int:
    return sum(point.losses * (point.is_suggested - point.is_recorded) for point in curve.points)
