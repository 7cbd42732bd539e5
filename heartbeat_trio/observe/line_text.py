"""Events of many sessions and lines, in words and as JSON fields. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..events import LineAdded, LineEnded, Rotated, RotationFailed, RotationStarted, Throttled
from .printable import printable

if TYPE_CHECKING:
    from ..events import Event


def describe_lines(event: Event) -> str | None:
    """An event in words; None if it is none of these."""
    match event:
        case LineAdded(name=name, endpoint=endpoint):
            return f"{printable(name)} joins: {endpoint}"
        case LineEnded(name=name, cause="removed"):
            return f"{printable(name)} was removed"
        case LineEnded(name=name, cause=cause, detail=detail):
            return f"{printable(name)} ended ({cause}): {printable(detail)}"
        case RotationStarted(old=old, new=new, reason=reason, age=age):
            since = "" if age is None else f" after {age:.0f} s"
            return f"{old} is replaced by {new}{since} ({printable(reason)})"
        case Rotated(old=old, new=new, reason=reason, took=took):
            return f"{new} has replaced {old} in {took:.1f} s ({printable(reason)})"
        case RotationFailed(old=old, new=new, took=took, detail=detail):
            return f"{old} stays: {new} could not replace it in {took:.1f} s: {printable(detail)}"
        case Throttled(venue=venue, kind=kind, delay=delay):
            return f"the next {kind} waits {delay:.2f} s for the limit of {printable(venue)}"
        case _:
            return None


def line_fields(event: Event) -> tuple[str, dict[str, Any]] | None:
    """An event's name and fields in JSON; None if it is none of these."""
    match event:
        case LineAdded(name=name, endpoint=endpoint):
            return "line_added", {"name": name, "line_endpoint": endpoint}
        case LineEnded(name=name, cause=cause, detail=detail):
            return "line_ended", {"name": name, "cause": cause, "detail": detail}
        case RotationStarted(old=old, new=new, reason=reason, age=age):
            known = None if age is None else round(age, 3)
            return "rotation_started", {"old": old, "new": new, "reason": reason, "age": known}
        case Rotated(old=old, new=new, reason=reason, took=took):
            return "rotated", {"old": old, "new": new, "reason": reason, "took": round(took, 3)}
        case RotationFailed(old=old, new=new, reason=reason, took=took, detail=detail):
            names = {"old": old, "new": new, "reason": reason}
            return "rotation_failed", {**names, "took": round(took, 3), "detail": detail}
        case Throttled(venue=venue, kind=kind, delay=delay):
            return "throttled", {"venue": venue, "kind": kind, "delay": round(delay, 3)}
        case _:
            return None
