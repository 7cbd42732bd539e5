"""Losses of established connections whose beginning is known, as the report counts them: see `spans`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..losses import blame_of, cause_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..spans import SessionTime


@dataclass(frozen=True, slots=True)
class Loss:
    """A connection that was established and lost.

    ``t`` and ``age`` are by the program's monotonic clock, the rest Unix seconds; ``back_at`` is the next connection's
    beginning, None where there was none. ``is_ours``: our own program did not run, or our machine slept.
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


def losses(times: Sequence[SessionTime]) -> list[Loss]:
    """All of them, in the order of time. Failed attempts to connect, and ends by the owner's wish, are none."""
    found = [
        Loss(
            line=time.span.line,
            session=time.span.name,
            writer=time.span.writer,
            connection=outage.loss.connection,
            at=outage.loss.at,
            t=outage.loss.t,
            age=outage.loss.t - outage.since,
            cause=cause_of(outage.loss),
            blame=blame_of(outage.loss, is_ours=outage.is_ours),
            is_ours=outage.is_ours,
            back_at=max(outage.loss.at, time.labels.at(outage.ended)) if outage.ended_by == "connected" else None,
        )
        for time in times
        for outage in time.outages
        if outage.loss is not None and outage.since is not None
    ]
    return sorted(found, key=lambda loss: (loss.at, loss.line))
