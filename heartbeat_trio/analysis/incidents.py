"""Outages, trouble that passed without a loss, and stalls of our own; the worst ones with what happened around them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ..config import RestartPolicy
from .degraded import Trouble, find_troubles
from .findings import Incident
from .losses import LOCAL, LOOK, NOTICEABLE, blame_of, cause_of, number
from .sentences import loss_sentence
from .spans import session_times
from .timelines import timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .findings import Moment
    from .spans import Outage, SessionTime
    from .tables import Happening, Journals

STABLE = RestartPolicy().stable_after
"""Seconds that a connection must last after an outage, where the session's policy is not known: a loss before belongs to
the same incident."""

PROVEN = 1.0
"""Seconds that a connection must be well after an outage for what comes then to be something else."""

TOGETHER = 2.0
"""Seconds within which incidents of several lines are at the same time."""


@dataclass(frozen=True, slots=True)
class _Found:
    """An incident, and what its timeline is made of. ``key`` tells when two lines speak of the very same one."""

    incident: Incident
    time: SessionTime
    begun: float
    ended: float
    is_silent: bool = False
    key: tuple[str, float] | None = None

    def moments(self) -> tuple[Moment, ...]:
        """What happened before, during and after."""
        return timeline(self.time, self.begun, self.ended, is_silent=self.is_silent)


def all_incidents(journals: Journals) -> tuple[Incident, ...]:
    """Every incident of every line by time, without timelines. A stall of one program is one for each of its lines."""
    return tuple(each.incident for each in _find(journals, None))


def worst_incidents(journals: Journals, count: int = 10, times: Sequence[SessionTime] | None = None) -> tuple[Incident, ...]:
    """The longest incidents with their timelines, the longest first; at the same length, the earlier one.

    A stall of one program is told once, of the first of its lines; the `others` had it too.
    """
    worst: list[Incident] = []
    known: set[tuple[str, float]] = set()
    for each in sorted(_find(journals, times), key=lambda each: (-each.incident.duration, *_order(each))):
        if len(worst) >= count:
            break
        if each.key is None or each.key not in known:
            worst.append(msgspec.structs.replace(each.incident, timeline=each.moments()))
        if each.key is not None:
            known.add(each.key)
    return tuple(worst)


def _order(each: _Found) -> tuple[float, int]:
    return each.incident.begun_at, each.incident.line


def _find(journals: Journals, times: Sequence[SessionTime] | None) -> list[_Found]:
    times = session_times(journals) if times is None else times
    found = [each for time in times for each in (*_bad_times(time), *_stalls(time), *_sleeps(time))]
    found.sort(key=_order)
    return _with_others(list(_once(found)), len(journals.lines))


def _once(found: list[_Found]) -> Iterator[_Found]:
    """Without the stalls that two sessions of one line tell."""
    known: set[tuple[int, tuple[str, float]]] = set()
    for each in found:
        if each.key is None:
            yield each
        elif (each.incident.line, each.key) not in known:
            known.add((each.incident.line, each.key))
            yield each


def _with_others(found: list[_Found], lines: int) -> list[_Found]:
    """Each with the lines that had an incident at the same time, by the wall clock: programs have only that in common."""
    line = np.array([each.incident.line for each in found], dtype=np.int64)
    begun = np.array([each.incident.begun_at for each in found])
    ended = begun + np.array([each.incident.duration for each in found])
    others: list[list[int]] = [[] for _ in found]
    for other in range(lines):
        theirs = np.flatnonzero(line == other)  # in the order of their beginnings
        if not len(theirs):
            continue
        latest = np.maximum.accumulate(ended[theirs])
        before = np.searchsorted(begun[theirs], ended + TOGETHER, side="right")
        is_together = (before > 0) & (latest[np.maximum(before - 1, 0)] >= begun - TOGETHER) & (line != other)
        for index in np.flatnonzero(is_together).tolist():
            others[index].append(other)
    return [
        replace(each, incident=msgspec.structs.replace(each.incident, others=tuple(some)))
        for each, some in zip(found, others, strict=True)
    ]


def _bad_times(time: SessionTime) -> Iterator[_Found]:
    """Outages and other trouble, which belongs to the outage before it where no connection proved to live between them.

    A frozen server's kernel goes on accepting.
    """
    outages = list(_outages(time))
    for trouble in _troubles(time):
        index = next((i for i, each in enumerate(outages) if 0 <= trouble.begun - each.ended <= PROVEN), None)
        if index is None:
            yield trouble
        else:
            outages[index] = _go_on(outages[index], trouble)
    yield from outages


def _go_on(outage: _Found, trouble: _Found) -> _Found:
    told = trouble.incident
    incident = msgspec.structs.replace(
        outage.incident,
        ended_at=told.ended_at,
        duration=trouble.ended - outage.begun,
        detail=f"{outage.incident.detail}; connected, and in trouble again: {told.detail}",
    )
    return replace(outage, incident=incident, ended=trouble.ended)


def _outages(time: SessionTime) -> Iterator[_Found]:
    """Outages; those between which no connection proved stable are one incident."""
    row: list[Outage] = []
    policy = time.span.configuration.get("restart")
    stable = number(policy, "stable_after") if isinstance(policy, dict) else None
    for each in time.outages:
        if row and each.begun - row[-1].ended >= (STABLE if stable is None else stable):
            yield _outage(time, row)
            row = []
        row.append(each)
    if row:
        yield _outage(time, row)


def _outage(time: SessionTime, row: list[Outage]) -> _Found:
    first, last = row[0], row[-1]
    failures = tuple(each for outage in row for each in outage.failures)
    detected_after = first.verdict - first.begun
    incident = Incident(
        line=time.span.line,
        begun_at=time.labels.at(first.begun),
        ended_at=time.labels.at(last.ended) if last.ended_by else None,
        duration=last.ended - first.begun,
        cause=cause_of(first.first),
        blame=blame_of(first.first, is_ours=first.is_ours),
        detail=_detail(row, failures),
        detected_after=detected_after if first.loss else None,
        losses=sum(each.loss is not None for each in row) + len(failures),
    )
    is_silent = first.loss is not None and detected_after > 0
    return _Found(incident, time, first.begun, last.ended, is_silent)


def _detail(row: list[Outage], failures: tuple[Happening, ...]) -> str:
    first = row[0]
    parts = [loss_sentence(first.first, is_ours=first.is_ours)]
    again = sum(each.loss is not None for each in row[1:])
    if again:
        parts.append(f"lost again {again} times before a connection held" if again > 1 else "lost again soon after")
    if failures and (first.loss or len(failures) > 1):
        causes = ", ".join(cause.replace("_", " ") for cause, _ in Counter(map(cause_of, failures)).most_common())
        parts.append(f"{len(failures)} {'attempts' if len(failures) > 1 else 'attempt'} failed: {causes}")
    return "; ".join(part for part in parts if part)


def _troubles(time: SessionTime) -> Iterator[_Found]:
    for each in find_troubles(time):
        yield _Found(_trouble(time, each), time, each.begun, each.ended, is_silent=each.told > each.begun)


def _trouble(time: SessionTime, each: Trouble) -> Incident:
    return Incident(
        line=time.span.line,
        begun_at=time.labels.at(each.begun),
        ended_at=time.labels.at(each.ended) if each.is_over else None,
        duration=each.ended - each.begun,
        cause="degraded",
        blame=each.blame,
        detail=each.detail,
        detected_after=each.told - each.begun,
        losses=0,
    )


def _stalls(time: SessionTime) -> Iterator[_Found]:
    """Stalls: those that were noticed in looks that follow each other are one."""
    rows: list[list[tuple[float, float]]] = []
    for absence in time.absences:
        if rows and absence[0] - rows[-1][-1][1] <= LOOK:
            rows[-1].append(absence)
        else:
            rows.append([absence])
    for row in rows:
        begun, ended = row[0][0], row[-1][1]
        away = sum(right - left for left, right in row)
        if away >= NOTICEABLE:
            detail = f"our own program did not run for {away:.1f} s: look for blocking calls"
            at = time.labels.at(ended) - (ended - begun)
            yield _own(time, begun, ended, at, ended - begun, detail)


def _sleeps(time: SessionTime) -> Iterator[_Found]:
    """The machine's sleep takes none of the program's time."""
    for t, seconds in time.sleeps:
        yield _own(time, t, t, time.labels.at(t) - seconds, seconds, f"the machine slept for {seconds:.1f} s")


def _own(time: SessionTime, begun: float, ended: float, at: float, duration: float, detail: str) -> _Found:
    incident = Incident(
        line=time.span.line,
        begun_at=at,
        ended_at=time.labels.at(ended),
        duration=duration,
        cause="local_stall",
        blame=LOCAL,
        detail=detail,
        detected_after=None,
        losses=0,
    )
    return _Found(incident, time, begun, ended, key=(time.span.writer, ended))
