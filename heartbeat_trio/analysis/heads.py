"""Where the records of a session begin, and whether it was connected then: the files before may have been tidied away."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .losses import is_attempt
from .tables import QUARTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .tables import Happening, Journals, SessionSpan

NOT_CONNECTED = frozenset({"connecting", "connected", "retry_scheduled", "gave_up"})
"""What happens only while there is no connection, or ends that."""

CONNECTED = frozenset(
    {
        "subscribed",
        "pong_late",
        "pong_missed",
        "ping_voided",
        "beat_missed",
        "suspect",
        "state",
        "silence",
        "high_latency",
        "server_error",
        "rotation_advised",
    }
)
"""What happens only on a connection."""

REPEATED = frozenset({"journal", "session"})
"""Told again at the head of each file, with the time of their first telling."""


class Head(NamedTuple):
    """When a session's known time begins, by the program's clock, and whether a connection stood."""

    begun: float
    is_connected: bool


def find_heads(journals: Journals, told: Sequence[Sequence[Happening]]) -> list[Head]:
    """The head of every session; ``told`` are each session's records in the order of time."""
    pings = _first_pings(journals)
    return [
        _find(span, records, float(pings[index]), _first_answer(journals, span))
        for index, (span, records) in enumerate(zip(journals.sessions, told, strict=True))
    ]


def _find(span: SessionSpan, told: Sequence[Happening], ping: float, answer: float) -> Head:
    """The head of one session.

    Args:
        span: The session.
        told: Its records.
        ping: Its first single ping, infinite if there is none.
        answer: When its line's first answered cell begins, by the program's clock; infinite if there is none.
    """
    for each in told:
        if each.event in NOT_CONNECTED or (each.event == "lost" and is_attempt(each, is_up=False)):
            is_first = each.connection <= (each.event == "connected")
            return Head(span.begun if is_first else _known_since(span, told, ping, answer), is_connected=False)
        if each.event in CONNECTED or each.event == "lost":
            return Head(_known_since(span, told, ping, answer), is_connected=True)
    if min(ping, answer) == np.inf:
        return Head(span.begun, is_connected=False)
    return Head(_known_since(span, told, ping, answer), is_connected=True)


def _known_since(span: SessionSpan, told: Sequence[Happening], ping: float, answer: float) -> float:
    first = min((each.t for each in told if each.event not in REPEATED), default=np.inf)
    return float(min(max(span.begun, min(first, ping, answer)), span.ended))


def _first_pings(journals: Journals) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    first = np.full(len(journals.sessions), np.inf)
    np.minimum.at(first, journals.pings.session, journals.pings.t)
    return first


def _first_answer(journals: Journals, span: SessionSpan) -> float:
    cells = journals.cells
    low, high = np.searchsorted(cells.line, [span.line, span.line + 1])
    begin = cells.begin[low:high]
    is_inside = (begin + QUARTER > span.begun_at) & (begin <= span.ended_at) & (cells.answered[low:high] > 0)
    return float(begin[is_inside][0] - span.begun_at + span.begun) if is_inside.any() else float("inf")
