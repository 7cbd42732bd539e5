"""What a fleet is like at one instant, frozen, and as a table for people."""

from __future__ import annotations

import msgspec

from .events import ConnectionState, QualitySnapshot, SessionStatus
from .sansio.quality import Verdict
from .venue import VenueSnapshot

MAX_DETAIL = 60
"""Characters of a reason in the table."""

HEAD = ("session", "endpoint", "status", "state", "try", "rtt p50/p99", "success", "quotes", "waiting", "dropped", "remark")


class MemberSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a fleet, frozen.

    Args:
        name: Its name.
        endpoint: Where it connects to, fit for printing.
        venue: Whose limits it shares.
        status: DISCONNECTED once it is over.
        state: Of its connection.
        attempt: The attempt that runs or ran last.
        connections: Connections that stood so far.
        quotes: Quotes that came.
        waiting: Quotes that wait for you.
        dropped: Quotes that were dropped because you were slow.
        quality: Counts and latencies; None before it begins.
        verdict: Whether it may be traded on.
        cause: Name of the error that ended it; None while it lives.
        detail: What that error says.
    """

    name: str
    endpoint: str
    venue: str
    status: SessionStatus
    state: ConnectionState
    attempt: int
    connections: int
    quotes: int
    waiting: int
    dropped: int
    quality: QualitySnapshot | None
    verdict: Verdict
    cause: str | None = None
    detail: str = ""


class FleetSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A fleet at one instant, frozen; ``str`` of it is a table for people. ``at`` is Trio time in seconds."""

    at: float
    sessions: tuple[MemberSnapshot, ...]
    venues: tuple[VenueSnapshot, ...]

    def __str__(self) -> str:
        return "\n".join([self._headline(), *_table([HEAD, *map(_row, self.sessions)]), *map(_venue, self.venues)])

    def _headline(self) -> str:
        connected = sum(each.status is SessionStatus.CONNECTED for each in self.sessions)
        suitable = sum(each.verdict.ok for each in self.sessions)
        ended = sum(each.cause is not None for each in self.sessions)
        return f"{len(self.sessions)} sessions: {connected} connected, {suitable} suitable for trading, {ended} ended"


def _row(each: MemberSnapshot) -> tuple[str, ...]:
    quality = each.quality
    return (
        _printable(each.name),
        each.endpoint,
        each.status.value,
        each.state.value,
        str(each.attempt),
        "-" if quality is None else f"{_ms(quality.p50)}/{_ms(quality.p99)}",
        f"{quality.success_rate:.1%}" if quality is not None and quality.decided else "-",
        str(each.quotes),
        str(each.waiting),
        str(each.dropped),
        _printable(_remark(each)),
    )


def _remark(each: MemberSnapshot) -> str:
    if each.cause is not None:
        return f"{each.cause}: {each.detail}"
    return "suitable" if each.verdict else "; ".join(each.verdict.reasons)


def _venue(each: VenueSnapshot) -> str:
    used = [
        f"{count} of {limit} {what}"
        for what, count, limit in (
            ("connects", each.connects, each.connect_limit),
            ("messages", each.messages, each.message_limit),
        )
        if limit is not None
    ]
    waiting = [f"{each.waiting} wait to connect"] if each.waiting else []
    return f"venue {_printable(each.name)}: {', '.join([f'{each.connections} connections', *used, *waiting])}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f} ms"


def _printable(text: str) -> str:
    """Errors may quote a peer: no control characters, and not for ever."""
    text = text if len(text) <= MAX_DETAIL else text[: MAX_DETAIL - 3] + "..."
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
