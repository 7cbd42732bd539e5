"""What became of each session's time: connected, not connected, or ours.

A session's time is cut into stretches by the program's monotonic clock, so that they add up to the whole whatever anybody
did to the clock on the wall. An outage begins with the last sign of life, not with the verdict, and lasts until the next
connection. Our own stalls are neither up nor down, and so are outages that they caused, until an attempt to connect again
has failed. While the machine sleeps the program's clock stands still: sleep is told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, takewhile
from math import fsum
from typing import TYPE_CHECKING, Literal, NamedTuple

from .calendar import Labels
from .heads import Head, find_heads
from .losses import coincides, is_attempt, last_sign_of_life, own_absences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .tables import Happening, Journals, SessionSpan

Kind = Literal["up", "down", "ours"]
EndedBy = Literal["connected", "closed", "gave_up"]


class Stretch(NamedTuple):
    """A part of a session's time, by the program's clock."""

    kind: Kind
    begun: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """From a loss, or from the beginning of a session whose first attempts failed, to the next connection.

    Args:
        begun: The last sign of life, by the program's clock as all times here.
        verdict: When the loss was told; the first failed attempt where there never was a connection.
        ended: When it was over, or the session.
        ended_by: What told of the end; None: nothing did.
        loss: The record of the loss; None where there never was a connection.
        since: When the connection that was lost had been made; None: there was none, or no record tells.
        failures: Records of the attempts that failed.
        is_ours: Whether it coincides with a stall of our own, or our machine's sleep.
    """

    begun: float
    verdict: float
    ended: float
    ended_by: EndedBy | None
    loss: Happening | None
    since: float | None
    failures: tuple[Happening, ...]
    is_ours: bool

    @property
    def first(self) -> Happening:
        """The record that tells why."""
        return self.loss or self.failures[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTime:
    """One session's time. ``stretches`` follow each other from ``begun`` to ``ended`` without a hole.

    ``told`` are its records in the order of the program's time; ``absences`` the stretches in which the program did not run,
    as far as they were told, and ``sleeps`` when the machine was found to have slept, and for how many seconds.
    """

    span: SessionSpan
    told: tuple[Happening, ...]
    begun: float
    ended: float
    stretches: tuple[Stretch, ...]
    outages: tuple[Outage, ...]
    failed_connects: int
    absences: tuple[tuple[float, float], ...]
    sleeps: tuple[tuple[float, float], ...]
    labels: Labels

    def seconds(self, kind: Kind) -> float:
        """How long it was so, without the machine's sleep."""
        return fsum(each.ended - each.begun for each in self.stretches if each.kind == kind)

    @property
    def slept(self) -> float:
        """Seconds in which the machine slept."""
        return fsum(seconds for _, seconds in self.sleeps)


def session_times(journals: Journals) -> tuple[SessionTime, ...]:
    """The time of every session, in the order of `Journals.sessions`."""
    told: dict[tuple[int | None, str | None], list[Happening]] = {}
    for each in journals.happenings:
        told.setdefault((each.line, each.session), []).append(each)
    ordered = [tuple(sorted(told.get((each.line, each.name), ()), key=lambda one: one.t)) for each in journals.sessions]
    heads = find_heads(journals, ordered)
    return tuple(map(_follow, journals.sessions, ordered, heads))


def _follow(span: SessionSpan, told: tuple[Happening, ...], head: Head) -> SessionTime:
    told_absences, sleeps = own_absences(told)
    absences = _union(told_absences)
    walk = _Walk(head, absences, sleeps)
    for each in told:
        walk.step(each, min(max(each.t, head.begun), span.ended))
    ended = walk.finish(max(span.ended, head.begun))
    ours = [*absences, *((each.begun, _excused_until(each)) for each in walk.outages if each.is_ours and each.loss)]
    return SessionTime(
        span=span,
        told=told,
        begun=head.begun,
        ended=ended,
        stretches=tuple(_set_apart(walk.stretches, _union(ours))),
        outages=tuple(walk.outages),
        failed_connects=walk.failed_connects,
        absences=tuple(absences),
        sleeps=tuple(sleeps),
        labels=Labels([(span.begun, span.begun_at), *((each.t, each.at) for each in told)]),
    )


class _Walk:
    """Goes through a session's records, and keeps what they say of its connection."""

    def __init__(self, head: Head, absences: list[tuple[float, float]], sleeps: list[tuple[float, float]]) -> None:
        self.stretches: list[Stretch] = []
        self.outages: list[Outage] = []
        self.failed_connects = 0
        self._since = self._connecting = head.begun
        self._is_up = head.is_connected
        self._absences, self._sleeps = absences, sleeps
        self._loss: Happening | None = None
        self._made: dict[int, float] = {}
        self._lost_since: float | None = None
        self._failures: list[Happening] = []
        self._verdict = self._outage_begun = head.begun
        self._ended: float | None = None

    def step(self, each: Happening, t: float) -> None:
        """One record, at a time within the session."""
        if self._ended is not None:
            return
        match each.event:
            case "connected":
                self._made[each.connection] = t
                self._turn(t, is_up=True)
            case "connecting":
                self._turn(t, is_up=False)  # without the record of a loss, it was dropped
                self._connecting = t
            case "lost" if is_attempt(each, is_up=self._is_up):
                self._fail(each, t)
            case "lost":
                self._lose(each, t)
            case "gave_up":
                self._turn(t, is_up=False)
                self._end_outage(t, "gave_up")
            case "closed":
                self._ended = t
                self._end_outage(t, "closed")

    def finish(self, ended: float) -> float:
        """The records are over; when the session was."""
        self._ended = ended if self._ended is None else self._ended
        self._end_outage(self._ended, None)
        self._cut(self._ended)
        return self._ended

    def _lose(self, each: Happening, t: float) -> None:
        if not self._is_up:  # the record of its connection was dropped
            self._turn(max(self._since, self._connecting), is_up=True)
        begun = max(self._since, last_sign_of_life(each, t))
        self._turn(begun, is_up=False)
        self._loss, self._verdict, self._outage_begun = each, t, begun
        self._lost_since = self._made.pop(each.connection, None)

    def _fail(self, each: Happening, t: float) -> None:
        self.failed_connects += 1
        if self._loss is None and not self._failures:
            self._verdict, self._outage_begun = t, self._since
        self._failures.append(each)

    def _turn(self, t: float, *, is_up: bool) -> None:
        if is_up == self._is_up:
            return
        self._cut(t)
        self._is_up = is_up
        if is_up:
            self._end_outage(t, "connected")

    def _cut(self, t: float) -> None:
        if t > self._since:
            self.stretches.append(Stretch("up" if self._is_up else "down", self._since, t))
        self._since = max(t, self._since)

    def _end_outage(self, t: float, ended_by: EndedBy | None) -> None:
        loss, failures, begun, verdict = self._loss, tuple(self._failures), self._outage_begun, self._verdict
        if loss is None and not failures:
            return
        since = begun if loss else verdict
        is_ours = coincides(loss or failures[0], since, verdict, self._absences, self._sleeps)
        self.outages.append(
            Outage(
                begun=begun,
                verdict=verdict,
                ended=max(t, begun),
                ended_by=ended_by,
                loss=loss,
                since=None if loss is None else self._lost_since,
                failures=failures,
                is_ours=is_ours,
            )
        )
        self._loss, self._failures = None, []


def _excused_until(outage: Outage) -> float:
    """An outage of our own making is ours until somebody else refuses us."""
    return outage.failures[0].t if outage.failures else outage.ended


def _union(intervals: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for begun, ended in sorted(intervals):
        if merged and begun <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ended))
        elif ended > begun:
            merged.append((begun, ended))
    return merged


def _set_apart(stretches: list[Stretch], ours: list[tuple[float, float]]) -> list[Stretch]:
    """The same stretches with what is ours cut out of them. Both are in the order of time."""
    cut: list[Stretch] = []
    first = 0
    for kind, begun, ended in stretches:
        since = begun
        while first < len(ours) and ours[first][1] <= begun:
            first += 1
        for left, right in takewhile(lambda each: each[0] < ended, islice(ours, first, None)):  # noqa: B023 - used at once
            if left > since:
                cut.append(Stretch(kind, since, left))
            cut.append(Stretch("ours", max(left, since), min(right, ended)))
            since = min(right, ended)
        if since < ended:
            cut.append(Stretch(kind, since, ended))
    return cut
