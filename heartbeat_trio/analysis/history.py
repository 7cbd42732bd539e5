"""How stable each line was: one `LineReport` each, and one for all of them together."""

from __future__ import annotations

from collections import Counter
from datetime import UTC
from math import fsum
from typing import TYPE_CHECKING

import numpy as np

from .calendar import Calendar
from .findings import LineReport, LossCount
from .losses import blame_of, cause_of, is_silent
from .sketches import MINIMUM, gather, gather_all, rows_of
from .spans import session_times
from .statistics import mean, median, share_of_time, time_between, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from .findings import Estimate
    from .sketches import Samples
    from .spans import Outage, SessionTime
    from .tables import Floats, Happening, Journals, Line


def line_reports(
    journals: Journals, times: Sequence[SessionTime] | None = None
) -> tuple[LineReport | None, tuple[LineReport, ...]]:
    """All lines together, weighted by their time (None without any line), and each line.

    Args:
        journals: What was read.
        times: `session_times` of it, where they are known already.
    """
    times = session_times(journals) if times is None else times
    told: list[list[Happening]] = [[] for _ in journals.lines]
    for each in journals.happenings:
        if each.line is not None and each.event in ("gap", "local_stall"):
            told[each.line].append(each)
    lines = tuple(_report_line(journals, index, times, told[index]) for index in range(len(journals.lines)))
    if not lines:
        return None, ()
    together = [each for line in told for each in line]
    return _report(None, list(times), together, _pings(journals, slice(0, len(journals.cells))), gather_all(journals)), lines


def _report_line(journals: Journals, index: int, times: Sequence[SessionTime], told: list[Happening]) -> LineReport:
    rows = rows_of(journals, index)
    samples = gather(journals, index, np.zeros(rows.stop - rows.start, dtype=np.int64), 1)
    mine = [each for each in times if each.span.line == index]
    return _report(journals.lines[index], mine, told, _pings(journals, rows), samples)


def _pings(journals: Journals, rows: slice) -> tuple[int, int, int]:
    """How many pings were sent, answered in time, and decided."""
    cells = journals.cells
    answered, late, missed = (int(column[rows].sum()) for column in (cells.answered, cells.late, cells.missed))
    return int(cells.sent[rows].sum()), answered, answered + late + missed


def _report(
    line: Line | None, times: list[SessionTime], told: list[Happening], pings: tuple[int, int, int], samples: Samples
) -> LineReport:
    losses = [each for time in times for each in time.outages if each.loss is not None]
    theirs = [each for each in losses if not each.is_ours]
    connected = fsum(each.seconds("up") for each in times)
    repaired = [each for each in theirs if each.ended_by == "connected"]
    unrepaired = [each for each in theirs if each.ended_by != "connected"]
    sent, answered, decided = pings
    return LineReport(
        client=line.client if line else "",
        endpoint=line.endpoint if line else "",
        sessions=len(times),
        begun_at=min((each.labels.at(each.begun) for each in times), default=0.0),
        ended_at=max((each.span.ended_at for each in times), default=0.0),
        observed=connected + fsum(each.seconds("down") for each in times),
        ours=fsum(each.seconds("ours") + each.slept for each in times),
        connected=connected,
        availability=_availability(times),
        losses=_count(losses),
        failed_connects=sum(each.failed_connects for each in times),
        mtbf=time_between(connected, len(theirs)),
        mttr=mean([each.ended - each.begun for each in repaired], [each.ended - each.begun for each in unrepaired]),
        detection=median([each.verdict - each.begun for each in theirs if each.loss and is_silent(each.loss)]),
        recovery=median([each.ended - each.verdict for each in repaired]),
        pings=sent,
        success=wilson(answered, decided),
        rtt=tuple(samples.percentile(q) for q in MINIMUM),
        gaps=sum(each.event == "gap" for each in told),
        # Each session of a program tells of the same stall.
        stalls=len({(each.writer, each.t) for each in told if each.event == "local_stall"}),
    )


def _count(losses: list[Outage]) -> tuple[LossCount, ...]:
    """Losses by cause and blame, the most frequent first."""
    counted = Counter(
        (cause_of(each.loss), blame_of(each.loss, is_ours=each.is_ours)) for each in losses if each.loss is not None
    )
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0][0], item[0][1] or ""))
    return tuple(LossCount(cause, blame, count) for (cause, blame), count in ordered)


def _availability(times: Sequence[SessionTime]) -> Estimate:
    """Time-weighted, with an interval over days in UTC."""
    calendar = calendar_of(times)
    if calendar is None:
        return share_of_time(np.zeros(0), np.zeros(0))
    connected, observed = daily(times, calendar)
    return share_of_time(connected, observed)


def calendar_of(times: Sequence[SessionTime], zone: tzinfo = UTC) -> Calendar | None:
    """The days between which all of these sessions' time lies, whatever was done to the clock; None without any."""
    labels = [at for time in times for piece in time.labels.pieces(time.begun, time.ended) for at in piece]
    return Calendar(min(labels), max(labels), zone) if labels else None


def daily(times: Sequence[SessionTime], calendar: Calendar) -> tuple[Floats, Floats]:
    """Seconds of each day connected, and observed: connected or not, but not ours."""
    connected, down = np.zeros(len(calendar.dates)), np.zeros(len(calendar.dates))
    for time in times:
        for kind, begun, ended in time.stretches:
            if kind != "ours":
                for piece in time.labels.pieces(begun, ended):
                    calendar.add(connected if kind == "up" else down, *piece)
    return connected, connected + down
