"""Minutes in which our own program did not run, or our clock was set: nobody else is to blame for what happened then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from .rows import Told

    Minutes = npt.NDArray[np.int64]

MINUTE = 60 * 10**6
"""Microseconds."""
STEP = 10**6
"""Microseconds by which the clock's offset may differ between two records before somebody must have set it."""
NEAR = 5 * 10**6
"""Microseconds around a `clock_jump` in which a step of the offset is its own."""


class Span(msgspec.Struct, frozen=True, order=True, array_like=True):
    """Minutes since 1970, ``first`` to ``last``, of one session or (``""``) of all of the program's."""

    session: str
    first: int
    last: int


class Jump(msgspec.Struct, frozen=True, order=True, array_like=True):
    """Somebody set the clock: at which Unix microsecond (by the new setting), by how many microseconds."""

    at: int
    by: int


def spans_of(objects: Sequence[Told]) -> tuple[list[Span], list[Jump]]:
    """What stalls, suspends, voided pings and set clocks make ours."""
    spans: list[Span] = []
    jumps: list[Jump] = []
    for told in objects:
        event, fields, at = told.entry.event, told.entry.fields, told.at
        if event == "local_stall" or (event == "clock_jump" and fields.get("kind") == "suspend"):
            spans.append(Span("", (at - _seconds(fields.get("seconds"))) // MINUTE, at // MINUTE))
        elif event == "clock_jump":
            by = _seconds(fields.get("seconds"), is_signed=True)
            jumps.append(Jump(at, by))
            spans += [Span("", moment // MINUTE, moment // MINUTE) for moment in (at, at - by)]
        elif event == "ping_voided" and told.entry.session is not None:
            spans.append(Span(told.entry.session, at // MINUTE, at // MINUTE))
    return spans, jumps


def steps_of(t: Minutes, at: Minutes, objects: Sequence[Told]) -> tuple[list[Span], list[Jump]]:
    """Steps of the clock's offset that no `clock_jump` explains. ``t`` is sorted; both are microseconds."""
    offset = at - t
    found = np.flatnonzero(np.abs(np.diff(offset)) > STEP) + 1
    known = [told.t for told in objects if told.entry.event == "clock_jump"]
    spans: list[Span] = []
    jumps: list[Jump] = []
    for index in found.tolist():
        if not any(abs(int(t[index]) - each) <= NEAR for each in known):
            jumps.append(Jump(int(at[index]), int(offset[index] - offset[index - 1])))
            between = int(t[index] - t[index - 1])
            begins = int(at[index - 1]), int(at[index]) - between  # nobody knows when in between, by either setting
            spans += [Span("", begin // MINUTE, (begin + between) // MINUTE) for begin in begins]
    return spans, jumps


def merge(spans: Iterable[Span]) -> list[Span]:
    """The same minutes in as few spans as can be, sorted."""
    merged: list[Span] = []
    for span in sorted(set(spans)):
        before = merged[-1] if merged else None
        if before is not None and before.session == span.session and span.first <= before.last + 1:
            merged[-1] = Span(span.session, before.first, max(before.last, span.last))
        else:
            merged.append(span)
    return merged


def minutes_spans(session: str, minutes: Minutes) -> list[Span]:
    """A session's minutes as spans."""
    return merge(Span(session, minute, minute) for minute in np.unique(minutes).tolist())


def is_ours(spans: Sequence[Span], session: str, minutes: Minutes) -> npt.NDArray[np.bool_]:
    """For each minute whether one of the (merged or not) spans covers it."""
    mine = merge(Span("", span.first, span.last) for span in spans if span.session in ("", session))
    if not mine:
        return np.zeros(len(minutes), dtype=np.bool_)
    first, last = np.array([span.first for span in mine]), np.array([span.last for span in mine])
    index = np.searchsorted(first, minutes, side="right") - 1
    covered: npt.NDArray[np.bool_] = (index >= 0) & (minutes <= last[np.maximum(index, 0)])
    return covered


def _seconds(value: object, *, is_signed: bool = False) -> int:
    """Microseconds; nothing that is no number of seconds of a believable size (10 years)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 10 * 366 * 86400:
        return 0
    return round(value * 1e6) if is_signed or value > 0 else 0
