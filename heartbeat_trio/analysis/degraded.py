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
    """What is held against the peer at the moment."""

    def __init__(self) -> None:
        self.is_degraded = self.is_suspect = False
        self.records: list[Happening] = []

    def hear(self, each: Happening) -> None:
        """Take in one record."""
        if each.event == "state" and each.fields.get("to") in ("CONNECTED", "DEGRADED"):
            self.is_degraded = each.fields["to"] == "DEGRADED"
        elif each.event == "suspect":
            self.is_suspect = each.fields.get("suspect") is True

    def __bool__(self) -> bool:
        return self.is_degraded or self.is_suspect


def find_troubles(time: SessionTime) -> list[Trouble]:
    """Every stretch of a session that was degraded or suspect, and did not end in a loss."""
    found: list[Trouble] = []
    doubt, told, connected = _Doubt(), None, time.begun
    recent: list[Happening] = []
    for each in time.told:
        if each.event in ("pong_missed", "suspect", "beat_missed"):
            recent = [one for one in recent if one.t == each.t or told is not None] + [each]
        if each.event in ENDS:
            doubt, told, recent = _Doubt(), None, []
            connected = each.t
            continue
        doubt.hear(each)
        if doubt and told is None:
            told = each.t
            recent = [one for one in recent if one.t == told]
        elif told is not None and (not doubt or each.event == "closed"):
            found.append(_trouble(time, recent, connected, told, each.t, is_over=True))
            doubt, told, recent = _Doubt(), None, []
    if told is not None:
        found.append(_trouble(time, recent, connected, told, time.ended, is_over=False))
    return found


def _trouble(
    time: SessionTime, records: list[Happening], connected: float, told: float, ended: float, *, is_over: bool
) -> Trouble:
    evidence = records[0].fields.get("evidence") if records else None
    silent_for = number(evidence, "silent_for") if isinstance(evidence, dict) else None
    begun = max(connected, told - (silent_for or 0.0))
    blamed = next((each for each in records if isinstance(each.fields.get("blame"), str)), None)
    is_ours = any(coincides(each, begun, told, time.absences, time.sleeps) for each in records[:1])
    blame = LOCAL if is_ours else blamed.fields["blame"] if blamed else None
    missed = sum(each.event == "pong_missed" for each in records)
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
