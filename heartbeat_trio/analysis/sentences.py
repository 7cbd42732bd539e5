"""A journal's records in words for people: the very words that ``watch`` shows as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .. import events, venue_events
from ..events import Cause, Event
from ..observe.printable import printable
from ..observe.text import describe
from ..sansio.cause import explain
from .losses import blame_of, evidence_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .tables import Happening


class _Spelling(NamedTuple):
    """Which event a record is, and which of its fields are called otherwise in a journal."""

    event: type[Event]
    names: Mapping[str, str] = {}


SPELLINGS = {
    "connecting": _Spelling(events.Connecting),
    "connected": _Spelling(events.Connected),
    "subscribed": _Spelling(events.Subscribed),
    "pong_late": _Spelling(events.PongLate, {"rtt_ms": "rtt"}),
    "pong_missed": _Spelling(events.PongMissed),
    "ping_voided": _Spelling(events.PongVoided, {"local_ms": "local"}),
    "beat_missed": _Spelling(venue_events.BeatMissed),
    "suspect": _Spelling(events.Suspected, {"suspect": "is_suspect"}),
    "state": _Spelling(events.StateChanged, {"from": "old", "to": "new"}),
    "lost": _Spelling(events.Lost),
    "retry_scheduled": _Spelling(events.RetryScheduled),
    "gap": _Spelling(events.Gap),
    "overrun": _Spelling(events.Overrun),
    "silence": _Spelling(events.Silence),
    "clock_jump": _Spelling(events.ClockJumped),
    "local_stall": _Spelling(events.Stalled),
    "gate": _Spelling(events.GateChanged, {"open": "is_open"}),
    "alert": _Spelling(events.Alert, {"recovery": "is_recovery"}),
    "alert_failed": _Spelling(events.AlertFailed),
    "high_latency": _Spelling(events.HighLatency, {"p95_ms": "p95"}),
    "server_error": _Spelling(events.ServerError),
    "rotation_advised": _Spelling(venue_events.RotationAdvised),
    "rotation_started": _Spelling(events.RotationStarted),
    "rotated": _Spelling(events.Rotated),
    "rotation_failed": _Spelling(events.RotationFailed),
    "line_added": _Spelling(events.LineAdded, {"line_endpoint": "endpoint"}),
    "line_ended": _Spelling(events.LineEnded),
    "throttled": _Spelling(events.Throttled),
    "closed": _Spelling(events.Closed),
}

SHORT = 160
"""Characters of what is not known, in a line of its own."""


def sentence(each: Happening) -> str | None:
    """A record in words; None for one that people do not need.

    One that this version does not know, or whose fields are not what they should be, is shown as it is.
    """
    if each.event == "gave_up":
        attempts = each.fields.get("attempts")
        return f"gave up after {len(attempts)} failed attempts" if isinstance(attempts, list) else "gave up"
    spelling = SPELLINGS.get(each.event)
    try:
        return _as_it_is(each) if spelling is None else describe(_event(each, spelling))
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError):
        return _as_it_is(each)


def loss_sentence(each: Happening, *, is_ours: bool) -> str:
    """Why a connection, or an attempt, was lost: in the client's words, and whose fault it was if they do not say so."""
    detail = each.fields.get("detail")
    told = printable(detail) if isinstance(detail, str) else ""
    why = blame_sentence(blame_of(each, is_ours=is_ours), each)
    return "; ".join(part for part in (told, why if why not in told else "") if part)


def blame_sentence(blame: str | None, each: Happening | None) -> str:
    """Whose fault it was, and what to do; empty where nobody is to blame, or a newer version knows of whom we do not."""
    if blame is None or blame not in Cause.__members__:
        return ""
    return explain(Cause(blame), None if each is None else evidence_of(each))


def _event(each: Happening, spelling: _Spelling) -> Event:
    fields = {spelling.names.get(name, name): _seconds(name, value) for name, value in each.fields.items()}
    return msgspec.convert(fields | {"at": each.at}, spelling.event)


def _seconds(name: str, value: object) -> object:
    return value / 1000 if name.endswith("_ms") and isinstance(value, (int, float)) else value


def _as_it_is(each: Happening) -> str:
    fields: dict[str, Any] = {name: value for name, value in each.fields.items() if name not in ("evidence", "source")}
    told = ", ".join(f"{name} {value}" for name, value in fields.items() if value not in (None, "", []))
    text = printable(f"{each.event}: {told}" if told else each.event)
    return text if len(text) <= SHORT else text[:SHORT] + "..."
