"""Losses, stalls and pings as an analysis reads them, written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from heartbeat_trio.analysis.tables import Cells, Happening, Journals, Line, Pings, SessionSpan
from tests.support.analysis_cells import BEGIN, journals_of, no_pings

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY = 86400.0


class Life(NamedTuple):
    """One connection of a line, in seconds since the beginning: when it stood and when it was lost, and why."""

    begun: float
    lost: float
    cause: str = "closed_by_peer"
    blame: str | None = None


class Ping(NamedTuple):
    """One ping; times as in `Pings`."""

    connection: int
    number: int
    t: float
    fate: str = "a"
    first_in: float = 0.03
    last_in: float = 0.03


def no_cells() -> Cells:
    """None at all."""
    nothing = np.zeros(0, dtype=np.int64)
    return Cells(**dict.fromkeys(Cells.__slots__, nothing) | {"offset": np.zeros(1, dtype=np.int64)})


def journals_with(
    lives: Sequence[Sequence[Life]],
    *,
    lines: Sequence[Line] = (),
    stalls: Sequence[tuple[float, float]] = (),
    pings: Sequence[Ping] = (),
    days: float = 30,
) -> Journals:
    """Journals without cells.

    Args:
        lives: The connections of each line.
        lines: Their names.
        stalls: Of the program: when each ended, and how long it was.
        pings: Of the first line.
        days: How long the sessions lasted.
    """
    lines = lines or tuple(Line("desk", f"ws://host{index}.example/") for index in range(len(lives)))
    sessions = [
        SessionSpan(f"s{index}", index, line.client, BEGIN, BEGIN + days * DAY, 0.0, days * DAY, {})
        for index, line in enumerate(lines)
    ]
    told = [
        happening
        for index, line in enumerate(lines)
        for number, life in enumerate(lives[index], 1)
        for happening in _told(line.client, index, number, life)
    ]
    told += [
        Happening(BEGIN + t, t, "local_stall", f"s{index}", index, 0, {"seconds": long}, line.client)
        for t, long in stalls
        for index, line in enumerate(lines)
        if line.client == lines[0].client
    ]
    table = _table(pings) if pings else no_pings()
    return journals_of(no_cells(), lines=lines, happenings=told, sessions=sessions, pings=table)


def _told(writer: str, line: int, number: int, life: Life) -> list[Happening]:
    fields = {"cause": life.cause, "detail": "", "blame": life.blame}
    return [
        Happening(BEGIN + life.begun, life.begun, "connected", f"s{line}", line, number, {}, writer),
        Happening(BEGIN + life.lost, life.lost, "lost", f"s{line}", line, number, fields, writer),
    ]


def _table(pings: Sequence[Ping]) -> Pings:
    t = np.array([each.t for each in pings])
    answered = np.array([each.fate in "al" for each in pings])
    return Pings(
        session=np.zeros(len(pings), dtype=np.int64),
        connection=np.array([each.connection for each in pings]),
        ping=np.array([each.number for each in pings]),
        t=t,
        at=t + BEGIN,
        sent_after=np.zeros(len(pings)),
        fate=np.array([each.fate for each in pings]),
        rtt=np.where(answered, 0.03, np.nan),
        is_exact=answered,
        first_in=np.array([each.first_in for each in pings]),
        last_in=np.array([each.last_in for each in pings]),
    )
