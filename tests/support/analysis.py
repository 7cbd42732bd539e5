"""Journals as the analyzer has them once they are read, made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from heartbeat_trio.analysis.tables import Cells, Happening, Journals, Line, Pings, SessionSpan, Sources

MONDAY = 1_767_571_200.0
"""Monday, 5 January 2026, 00:00 UTC."""


def session(
    name: str = "s",
    line: int = 0,
    *,
    begun: float = 0.0,
    ended: float = 1000.0,
    at: float = MONDAY,
    writer: str = "w",
    timeout: float = 3.0,
) -> SessionSpan:
    """A session; ``at`` is the label of the program's time zero."""
    configuration = {"heartbeat": {"ping_interval": 5.0, "pong_timeout": timeout, "max_missed_pongs": 3}}
    return SessionSpan(name, line, writer, begun + at, ended + at, begun, ended, configuration)


def told(
    t: float,
    event: str,
    of: SessionSpan,
    odd: Mapping[str, Any] | None = None,
    *,
    connection: int = 0,
    at: float | None = None,
    **fields: Any,
) -> Happening:
    """A record of a session; ``at`` is its label where the clock was set since it began.

    ``odd`` are fields whose names, or kinds, are none in Python.
    """
    label = of.begun_at - of.begun + t if at is None else at
    return Happening(label, t, event, of.name, of.line, connection, fields | dict(odd or {}), of.writer)


def lost(
    t: float, of: SessionSpan, cause: str = "pong_timeout", *, silent_for: float | None = None, **fields: Any
) -> Happening:
    """The loss of a connection; with ``silent_for`` it has that evidence."""
    if silent_for is not None:
        fields["evidence"] = {"age": 3.0, "timeout": 3.0, "silent_for": silent_for}
    return told(t, "lost", of, connection=1, cause=cause, **{"detail": f"{cause} it was", "blame": None} | fields)


@dataclass
class Quarter:
    """A row of the cells: ``rtts`` are buckets and how many pings were answered in each."""

    begin: float
    rtts: Mapping[int, int] = field(default_factory=dict)
    line: int = 0
    late: int = 0
    missed: int = 0
    ours: int = 0
    voided: int = 0

    @property
    def answered(self) -> int:
        return sum(self.rtts.values())

    @property
    def cancelled(self) -> int:
        return 0

    @property
    def sent(self) -> int:
        return self.answered + self.late + self.missed + self.ours + self.voided


def cells(quarters: Iterable[Quarter]) -> Cells:
    """The table of these rows."""
    rows = sorted(quarters, key=lambda row: (row.line, row.begin))
    names = ("line", "begin", "sent", "answered", "late", "missed", "voided", "cancelled", "ours")
    columns = {name: np.array([getattr(row, name) for row in rows], dtype=np.int64) for name in names}
    buckets = [sorted(row.rtts.items()) for row in rows]
    flat = np.array([pair for row in buckets for pair in row], dtype=np.int64).reshape(-1, 2)
    offset = np.concatenate(([0], np.cumsum([len(row) for row in buckets], dtype=np.int64)))
    return Cells(**columns, offset=offset, bucket=flat[:, 0], count=flat[:, 1])


def no_pings() -> Pings:
    """A table of single pings with none in it."""
    whole, real, flags = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.bool_)
    return Pings(whole, whole, whole, real, real, real, np.zeros(0, "U1"), real, flags, real, real)


def journals(
    sessions: Iterable[SessionSpan],
    happenings: Iterable[Happening] = (),
    quarters: Iterable[Quarter] = (),
    *,
    pings: Pings | None = None,
) -> Journals:
    """Journals with as many lines as the sessions and the rows name."""
    spans, rows = tuple(sessions), list(quarters)
    count = 1 + max([*(each.line for each in spans), *(each.line for each in rows)], default=-1)
    lines = tuple(Line("client", f"tcp://host-{index}:1") for index in range(count))
    table = no_pings() if pings is None else pings
    return Journals(Sources(("folder",)), lines, spans, cells(rows), table, (0.25,) * count, tuple(happenings))
