"""What one loss says: when the last sign of life was, and whether we were at fault. Nothing in a record is trusted."""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

import msgspec

from ..events import Cause, Evidence
from ..sansio.cause import is_path_dead

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .tables import Happening

LOCAL = Cause.LOCAL_STALL.value

NOTICEABLE = 1.0
"""Seconds of our own absence from which on it may have cost a connection, and is an incident."""

AFTERWARDS = 2.0
"""Seconds after an absence within which a loss is put down to it: what it cost is found out in catching up."""

PROMPTLY = 0.3
"""The same for what a peer told: that lay unread, and is found at once."""

WAKING = 10.0
"""Seconds after the machine's sleep in which a loss is put down to it: peers and address translators forget who sleeps."""

LOOK = 1.0
"""Seconds within which an absence, or the machine's sleep, is noticed after it (`transports.clock_watch`)."""

SILENT = frozenset({"pong_timeout", "silence"})
"""Losses that are verdicts on a silence; the others are told by the peer, or by the kernel, as they happen."""

LONGEST = 3.2e8
"""Seconds that are believed: ten years. (No infinity, and no integer beyond all floats.)"""

ESTABLISHED = frozenset({"pong_timeout", "closed_by_peer", "goodbye", "silence", "protocol_error"})
"""Causes that end connections only, and no attempts."""


def number(fields: Mapping[str, Any], name: str) -> float | None:
    """A field that should be a duration, or a count; None if it is none."""
    value: object = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value <= LONGEST else None


def evidence_of(each: Happening) -> Evidence | None:
    """What was known at a verdict, where it can be read."""
    try:
        return msgspec.convert(each.fields.get("evidence"), Evidence | None)
    except msgspec.ValidationError:
        return None


def _evidence_number(each: Happening, name: str) -> float | None:
    evidence = each.fields.get("evidence")
    return number(evidence, name) if isinstance(evidence, dict) else None


def cause_of(each: Happening) -> str:
    """The machine-readable cause of a loss."""
    cause = each.fields.get("cause")
    return cause if isinstance(cause, str) else "unknown"


def blame_of(each: Happening, *, is_ours: bool) -> str | None:
    """Whose fault it was, as far as is known (`events.Cause`)."""
    blame = each.fields.get("blame")
    return LOCAL if is_ours else blame if isinstance(blame, str) else None


def is_attempt(each: Happening, *, is_up: bool) -> bool:
    """Whether a `lost` is about an attempt to connect rather than a connection, of which something was known at its end."""
    return not is_up and not isinstance(each.fields.get("evidence"), dict) and cause_of(each) not in ESTABLISHED


def is_silent(each: Happening) -> bool:
    """Whether a loss was found out by waiting: it happened before it was told."""
    if cause_of(each) in SILENT:
        return True
    evidence = evidence_of(each)
    return evidence is not None and is_path_dead(evidence)


def last_sign_of_life(each: Happening, t: float) -> float:
    """When the peer of a connection that was lost at ``t`` was last heard of, by the program's clock.

    A peer that closes or resets was heard of at that moment.
    """
    silent_for = _evidence_number(each, "silent_for") if is_silent(each) else None
    return t - (silent_for or 0.0)


def own_absences(told: Iterable[Happening]) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Stretches in which our program did not run; and when the machine was found to have slept, with how many seconds."""
    absences, sleeps = [], []
    for each in told:
        seconds = number(each.fields, "seconds")
        if seconds and each.event == "local_stall":
            absences.append((each.t - seconds, each.t))
        elif seconds and each.event == "clock_jump" and each.fields.get("kind") == "suspend":
            sleeps.append((each.t, seconds))
    return absences, sleeps


def coincides(
    each: Happening,
    begun: float,
    verdict: float,
    absences: Sequence[tuple[float, float]],
    sleeps: Sequence[tuple[float, float]],
) -> bool:
    """Whether our own program, or our machine, was away when it mattered, so that nobody else is to blame.

    The kernel goes on while the program does not run: where it told that nothing is acknowledged, only the machine's sleep
    is an excuse.

    Args:
        each: The record of a loss, or of pongs that are missing.
        begun: The last sign of life.
        verdict: When it was told.
        absences: When our program did not run; in the order of time, and apart from each other.
        sleeps: When the machine was found to have slept.
    """
    if each.fields.get("blame") == LOCAL or any(begun - WAKING <= t <= verdict + LOOK for t, _ in sleeps):
        return True
    if each.fields.get("blame") == Cause.PATH_DEAD.value:
        return False
    first = bisect_left(absences, begun - AFTERWARDS, key=lambda each: each[1])
    near = list(takewhile(lambda each: each[0] <= verdict + LOOK, islice(absences, first, None)))
    away = max(
        sum(max(0.0, min(right, verdict) - max(left, begun)) for left, right in near),
        _evidence_number(each, "loop_lag") or 0.0,
    )
    afterwards = PROMPTLY if each.event == "lost" and not is_silent(each) else AFTERWARDS
    return (away >= NOTICEABLE and away >= (verdict - begun) / 2) or any(
        right - left >= NOTICEABLE and right >= verdict - afterwards for left, right in near
    )
