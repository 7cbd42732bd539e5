"""Trouble that passed: pongs that were missing, or overdue, on a connection that went on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .losses import LOCAL, coincides, number
from .sentences import blame_sentence

if TYPE_CHECKING:
    from .spans import SessionTime
    from .tables import Happening

ENDS = frozenset({"lost", "connecting", "connected", "gave_up"})
"""What ends a connection, or proves that one has ended: its trouble was the beginning of an outage then."""

REASONS = frozenset({"pong_missed", "suspect", "beat_missed"})
"""What tells why, with evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A stretch of a connection, by the program's clock, in which its peer was not trusted.

    ``begun`` is the last sign of life before it, ``told`` when it was noticed. It is over, unless the records end before.
    """

    begun: float
    told: float
    ended: float
    is_over: bool
    blame: str | None
    detail: str


class _Doubt:
    """What is held against the peer at the moment.

    ``told`` is when it began to be, by the program's clock; ``records`` say why. The first of them is the one with which it
    began: a missed pong is told just before the state that follows from it.
    """

    def __init__(self) -> None:
        self.told: float | None = None
        self.records: list[Happening] = []
        self._is_degraded = self._is_suspect = False

    def hear(self, each: Happening) -> None:
        """Take in one record."""
        if each.event == "state" and each.fields.get("to") in ("CONNECTED", "DEGRADED"):
            self._is_degraded = each.fields["to"] == "DEGRADED"
        elif each.event == "suspect":
            self._is_suspect = each.fields.get("suspect") is True
        if self.told is None:
            self.records = [one for one in self.records if one.t == each.t]
        if each.event in REASONS or (self and not self.records):
            self.records.append(each)
        if self and self.told is None:
            self.told = each.t

    def __bool__(self) -> bool:
        return self._is_degraded or self._is_suspect


def find_troubles(time: SessionTime) -> list[Trouble]:
    """Every stretch of a session that was degraded or suspect, and did not end in a loss."""
    found: list[Trouble] = []
    doubt, connected = _Doubt(), time.begun
    for each in time.told:
        if each.event in ENDS:
            doubt, connected = _Doubt(), each.t
            continue
        doubt.hear(each)
        if doubt.told is not None and (not doubt or each.event == "closed"):
            found.append(_trouble(time, doubt, connected, each.t, is_over=True))
            doubt = _Doubt()
    if doubt.told is not None:
        found.append(_trouble(time, doubt, connected, time.ended, is_over=False))
    return found


def _trouble(time: SessionTime, doubt: _Doubt, connected: float, ended: float, *, is_over: bool) -> Trouble:
    first = doubt.records[0]
    evidence, told = first.fields.get("evidence"), first.t
    silent_for = number(evidence, "silent_for") if isinstance(evidence, dict) else None
    begun = max(connected, told - (silent_for or 0.0))
    blamed = next((each for each in doubt.records if isinstance(each.fields.get("blame"), str)), None)
    is_ours = coincides(first, begun, told, time.absences, time.sleeps)
    blame = LOCAL if is_ours else blamed.fields["blame"] if blamed else None
    missed = sum(each.event == "pong_missed" for each in doubt.records)
    text = f"{missed} {'pongs' if missed > 1 else 'pong'} missed" if missed else "an answer was overdue"
    why = blame_sentence(blame, blamed)
    return Trouble(
        begun=begun,
        told=told,
        ended=max(ended, told),
        is_over=is_over,
        blame=blame,
        detail=f"{text}: {why}" if why else text,
    )
