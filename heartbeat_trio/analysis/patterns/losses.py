"""Losses of established connections, taken from what happened."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..tables import Happening, Journals

AFTERMATH = 15.0
"""Seconds after a local stall in which a loss is still put down to it: peers give up on those who say nothing."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A connection that was established and lost.

    ``t`` and ``age`` are by the program's monotonic clock, the rest Unix seconds; ``back_at`` is the next connection's
    beginning, None where there was none. ``is_ours``: our own program did not run.
    """

    line: int
    session: str
    writer: str
    connection: int
    at: float
    t: float
    age: float
    cause: str
    blame: str | None
    is_ours: bool
    back_at: float | None = None


def stalls(journals: Journals) -> dict[str, list[tuple[float, float]]]:
    """By writer, in order: when local stalls ended (monotonic), and how long they took, in seconds."""
    found: dict[str, list[tuple[float, float]]] = {}
    for each in journals.happenings:
        if each.event == "local_stall":
            found.setdefault(each.writer, []).append((each.t, _number(each.fields.get("seconds"))))
    return {writer: sorted(times) for writer, times in found.items()}


def losses(journals: Journals) -> list[Loss]:
    """All of them, in the order of time. Failed attempts to connect, and ends by the owner's wish, are none."""
    ours = stalls(journals)
    tracks: dict[tuple[str, str, int], list[Happening]] = {}
    for each in journals.happenings:
        if each.line is not None and each.session is not None and each.event in ("connected", "lost"):
            tracks.setdefault((each.writer, each.session, each.line), []).append(each)
    found = [loss for track in tracks.values() for loss in _of_track(track, ours)]
    return sorted(found, key=lambda loss: (loss.at, loss.line))


def _of_track(track: list[Happening], ours: dict[str, list[tuple[float, float]]]) -> Iterable[Loss]:
    """Losses of one session on one line."""
    begun: dict[int, float] = {}
    waiting: Happening | None = None
    began = 0.0
    for each in sorted(track, key=lambda happening: happening.t):
        if each.event == "connected":
            if waiting is not None:
                yield _loss(waiting, began, ours, each.at)
            waiting = None
            begun[each.connection] = each.t
        elif each.connection in begun:
            if waiting is not None:
                yield _loss(waiting, began, ours, None)
            waiting, began = each, begun.pop(each.connection)
    if waiting is not None:
        yield _loss(waiting, began, ours, None)


def _loss(lost: Happening, began: float, ours: dict[str, list[tuple[float, float]]], back_at: float | None) -> Loss:
    blame = lost.fields.get("blame")
    return Loss(
        line=-1 if lost.line is None else lost.line,
        session=lost.session or "",
        writer=lost.writer,
        connection=lost.connection,
        at=lost.at,
        t=lost.t,
        age=lost.t - began,
        cause=str(lost.fields.get("cause", "")),
        blame=blame if isinstance(blame, str) else None,
        is_ours=blame == "LOCAL_STALL" or _is_near(lost.t, ours.get(lost.writer, [])),
        back_at=back_at if back_at is None else max(lost.at, back_at),
    )


def _is_near(t: float, times: list[tuple[float, float]]) -> bool:
    """Whether a stall was under way, or had just ended."""
    after = bisect_left(times, (t - AFTERMATH, 0.0))
    return any(end - seconds <= t for end, seconds in times[after : after + 2])


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
