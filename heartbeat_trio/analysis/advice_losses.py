"""Advice from counts: what one cause did so often, in both halves of the time, that a setting of ours is worth a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..config import BackoffPolicy, InboxPolicy
from .advice_text import configured, whole
from .findings import Confidence, Estimate, Recommendation
from .losses import number
from .statistics import count_bounds
from .wording import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .findings import LineReport
    from .tables import Happening, Journals

FEW, MANY = 10, 30
"""Fewer say nothing; so many, in both halves of the time, are certain."""
QUARTER = 0.25
"""Part of them that each half has at least."""
TOO_MANY_REQUESTS = ("429", "Too Many Requests", "418")


def advise(journals: Journals, reports: Sequence[LineReport]) -> list[Recommendation]:
    """For each line: what was dropped, refused for too many attempts, or could not be sent."""
    found = []
    by_line: dict[int, list[Happening]] = {}
    for each in journals.happenings:
        if each.line is not None and each.event in ("lost", "overrun"):
            by_line.setdefault(each.line, []).append(each)
    for line, happened in sorted(by_line.items()):
        if line < len(reports):
            said = [about(journals, line, happened, reports[line]) for about in ABOUT]
            found += [advice for advice in said if advice is not None]
    return found


def _overrun(journals: Journals, line: int, happened: list[Happening], report: LineReport) -> Recommendation | None:
    overruns = [each for each in happened if each.event == "overrun"]
    dropped = int(sum(number(each.fields, "dropped") or 0 for each in overruns))
    inbox = configured(journals, line, "inbox")
    is_conflated = inbox.get("overflow") == "conflate"
    larger = 4 * int(number(inbox, "size") or InboxPolicy().size)
    return _count(
        line,
        report,
        overruns,
        "overrun",
        claim=f"Your program was too slow {len(overruns)} times: {dropped} messages were dropped.",
        change=f"InboxPolicy(size={larger})" if is_conflated else 'InboxPolicy(overflow="conflate")',
        gain="Bursts of four times the length are held."
        if is_conflated
        else "The newest quote of each symbol is always kept.",
        against=(
            "More memory, and older quotes, if it is too slow for good."
            if is_conflated
            else "Quotes in between are still dropped, and counted; all of them need a faster consumer."
        ),
    )


def _rate_limit(journals: Journals, line: int, happened: list[Happening], report: LineReport) -> Recommendation | None:
    refused = [
        each
        for each in happened
        if each.event == "lost"
        and each.fields.get("cause") in ("handshake", "connect_refused")
        and any(word in str(each.fields.get("detail", "")) for word in TOO_MANY_REQUESTS)
    ]
    backoff, usual = configured(journals, line, "backoff"), BackoffPolicy()
    initial = number(backoff, "initial") or usual.initial
    maximum = number(backoff, "maximum") or usual.maximum
    return _count(
        line,
        report,
        refused,
        "rate-limit",
        claim=f"The server refused {len(refused)} attempts to connect since there were too many.",
        change=f"BackoffPolicy(initial={whole(2 * initial)}, maximum={whole(2 * maximum)})",
        gain="Half as many attempts while the server is away; limits are not reached, and bans not earned.",
        against=f"After a loss it may take {whole(2 * initial)} s instead of {whole(initial)} s until the second attempt.",
    )


def _writer_blocked(_journals: Journals, line: int, happened: list[Happening], report: LineReport) -> Recommendation | None:
    blocked = [each for each in happened if each.event == "lost" and each.fields.get("blame") == "WRITER_BLOCKED"]
    return _count(
        line,
        report,
        blocked,
        "writer-blocked",
        claim=f"{len(blocked)} connections were lost while the peer did not read what we send.",
        change="nothing to set: send less over this connection (fewer subscriptions at once), or use another endpoint",
        gain="Pings leave in time.",
        against="Why the peer does not read is known to its operator only.",
    )


ABOUT: tuple[Callable[[Journals, int, list[Happening], LineReport], Recommendation | None], ...] = (
    _overrun,
    _rate_limit,
    _writer_blocked,
)


def _count(
    line: int,
    report: LineReport,
    happened: list[Happening],
    kind: str,
    *,
    claim: str,
    change: str,
    gain: str,
    against: str,
) -> Recommendation | None:
    """Advice from a count, unless it is small or of one half of the time only."""
    n = len(happened)
    at = np.array([each.at for each in happened])
    if n < FEW:
        return None
    early = int(np.sum(at <= (report.begun_at + report.ended_at) / 2))
    if min(early, n - early) < max(1, QUARTER * n):
        return None
    confidence: Confidence = "high" if n >= MANY else "medium"
    days = max(report.observed, 1.0) / 86_400
    low, high = count_bounds(n)
    return Recommendation(
        id=f"{kind}-{line}",
        line=line,
        claim=claim,
        effect=Estimate(value=n / days, low=low / days, high=high / days, n=n),
        unit="per_day",
        n=n,
        p_adjusted=None,
        begun_at=float(at.min()),
        ended_at=float(at.max()),
        confidence=confidence,
        change=change,
        gain=gain,
        against=f"{against} Seen in {seconds(report.ended_at - report.begun_at)}.",
    )
