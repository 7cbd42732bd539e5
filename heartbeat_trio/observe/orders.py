"""What a balancer does, as lines for people and as fields for JSON. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..orders import Ejected, EndpointChanged, OrderChanged, OrderContradicted, OrderState, Switched
from .jsonlines import Fields, milliseconds
from .text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events import Event
    from ..orders import EndpointSnapshot


def describe_json(event: Event) -> tuple[str, Fields] | None:
    """An event's name and fields; None for one that is not of a balancer."""
    match event:
        case Switched():
            scores = {"old_ms": milliseconds(event.old_score), "new_ms": milliseconds(event.new_score)}
            names = {"old": event.old, "new": event.new, "reason": event.reason}
            return "switched", names | scores | {"after": round(event.after, 3)}
        case Ejected():
            return "ejected", {"endpoint": event.endpoint, "seconds": event.seconds, "count": event.count}
        case EndpointChanged():
            moved = {"from": event.old.value, "to": event.new.value}
            return "endpoint", {"endpoint": event.endpoint, **moved, "detail": event.detail}
        case OrderChanged():
            moved = {"from": event.old.value, "to": event.new.value}
            return "order", {"id": event.id, "endpoint": event.endpoint, **moved, "reason": event.reason}
        case OrderContradicted():
            said = {"known": event.known.value, "says": event.says, "reason": event.reason}
            return "order_contradicted", {"id": event.id, "endpoint": event.endpoint, **said}
        case _:
            return None


def describe_text(event: Event) -> str | None:
    """An event in words; None for one that people do not need: each order that is acknowledged at once."""
    match event:
        case Switched(old=None):
            return f"orders go to {event.new}"
        case Switched():
            figures = f"{_ms(event.old_score)} there, {_ms(event.new_score)} here"
            return f"orders go to {event.new}, no longer to {event.old} ({event.reason}: {figures})"
        case Ejected():
            return f"{event.endpoint} may not win for {event.seconds:.0f} s (failure {event.count} of late)"
        case EndpointChanged():
            detail = f" ({printable(event.detail)})" if event.detail else ""
            return f"{event.endpoint} {event.old.value} -> {event.new.value}{detail}"
        case OrderChanged(old=OrderState.PENDING, new=OrderState.ACKNOWLEDGED):
            return None
        case OrderChanged():
            reason = f": {printable(event.reason)}" if event.reason else ""
            return f"order {event.id} is {event.new.value}, at {event.endpoint}{reason}"
        case OrderContradicted():
            return (
                f"order {event.id} is {event.known.value}, but {event.endpoint} says {event.says}: look into it"
                f" ({printable(event.reason)})"
            )
        case _:
            return None


def describe_endpoint(endpoint: EndpointSnapshot) -> Fields:
    """A snapshot's fields."""
    return {
        "endpoint": endpoint.endpoint,
        "state": endpoint.state.value,
        "best": endpoint.is_best,
        "score_ms": milliseconds(endpoint.score),
        "misses": round(endpoint.misses, 3),
        "ejected_for": round(endpoint.ejected_for, 1),
        "share": round(endpoint.share, 4),
    }


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as aligned lines; the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *others = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([first.strip().ljust(widths[0]), *others]))
    return lines


def _ms(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{1000 * seconds:.1f} ms"
