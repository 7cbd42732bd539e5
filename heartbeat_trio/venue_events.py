"""Frozen records of what a venue does to its connection. Part of `events`, which describes the rules for all of them."""

from __future__ import annotations

from .events import Cause, Event, Evidence


class BeatMissed(Event, frozen=True, kw_only=True):
    """A ping or a beat of the server's did not come when it was due. ``missed`` counts them since the last one.

    ``silent_for`` is seconds since that last one, or since the first was to be expected.
    """

    missed: int
    silent_for: float
    blame: Cause | None = None
    evidence: Evidence | None = None


class RotationAdvised(Event, frozen=True, kw_only=True):
    """The server asks to be left: another connection should take over before this one ends. ``reason`` says why."""

    reason: str
