"""The journal's format: one JSON value a line, in UTF-8.

An object is what happened::

    {"event": "lost", "at": "2026-11-24T10:00:00.000000Z", "t": 12.5, "session": "k3f9-1", "endpoint": "ws://host/",
     "connection": 3, ...}

``at`` is UTC; ``t`` is the program's monotonic time in seconds, by which records of one file are ordered whatever happens
to the clock. ``connection`` counts the session's connections from 1: the one that stands, or stood last; 0 before the first.
With ``ping`` it leads from the events of a ping to its array. The other fields are those of ``watch --output json``, with
these events besides:

- ``journal``, first in each file: ``schema``, versions, and the process;
- ``session``: a session began, with its ``configuration``: policies, ``subscriptions``, ``dialect``, ``engine``, and, once
  they are known, the policies of its ``gates`` and the rules of its ``alerts``; told again when it grows, and at the head
  of each new file;
- ``statistics``, each minute and session;
- ``dropped``: ``count`` records could not be written before this one.

An array is a ping, since there are so many::

    ["p", session, connection, ping, t, sent_after, fate, rtt, exact, first_in, last_in, blame]

with the fields of `PingRecord`; ``t`` and all durations are whole microseconds here, trailing nulls are left out, and
``fate`` is one letter of `FATES`. A ping that was missed and then answered late has a second record. Readers skip what they
do not know, and a torn last line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from ..events import PingRecord

SCHEMA = 1
SUFFIX = ".jsonl"
FATES = {"answered": "a", "missed": "m", "late": "l", "voided": "v", "cancelled": "c"}
NAMES = {letter: fate for fate, letter in FATES.items()}
PING_FIELDS = 12
HEAD = ("event", "at", "t", "session", "endpoint", "connection")

ISSUES = frozenset(
    {
        "pong_late",
        "pong_missed",
        "ping_voided",
        "suspect",
        "lost",
        "gave_up",
        "gap",
        "overrun",
        "silence",
        "clock_jump",
        "local_stall",
        "gate",
        "high_latency",
        "server_error",
        "alert",
        "alert_failed",
        "line_ended",
        "rotation_failed",
        "dropped",
    }
)
"""Events that are worth being written at once, and shown when somebody asks what went wrong."""


class Entry(msgspec.Struct, frozen=True):
    """One thing that happened. Fields as in the module's docstring; ``fields`` holds the rest."""

    event: str
    at: str
    t: float
    session: str | None = None
    endpoint: str | None = None
    fields: dict[str, Any] = {}
    connection: int | None = None

    @property
    def blame(self) -> str | None:
        """Whose fault it was, where somebody's."""
        blame = self.fields.get("blame")
        return blame if isinstance(blame, str) else None


class PingEntry(msgspec.Struct, frozen=True):
    """One ping; see `PingRecord`. ``t`` is when it was due, in the program's monotonic time."""

    session: str
    connection: int
    ping: int
    t: float
    sent_after: float | None
    fate: str
    rtt: float | None = None
    is_exact: bool | None = None
    first_in: float | None = None
    last_in: float | None = None
    blame: str | None = None


def ping_line(session: str, connection: int, record: PingRecord) -> list[Any]:
    """A ping as its array. This is done for every ping of every connection."""
    sent, rtt, first, last, blame = record.sent_after, record.rtt, record.first_in, record.last_in, record.blame
    line = [
        "p",
        session,
        connection,
        record.ping,
        int(record.at * 1e6),
        None if sent is None else int(sent * 1e6),
        FATES[record.fate],
        None if rtt is None else int(rtt * 1e6),
        record.is_exact,
        None if first is None else int(first * 1e6),
        None if last is None else int(last * 1e6),
        None if blame is None else blame.value,
    ]
    while line[-1] is None:
        line.pop()
    return line


def parse_line(line: bytes) -> Entry | PingEntry | None:
    """A record; None for one of a kind that is not known.

    Raises:
        ValueError: The line is torn, or no record at all.
    """
    try:
        value = msgspec.json.decode(line)
        return _ping(value) if isinstance(value, list) else _entry(value)
    except (msgspec.MsgspecError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"no record: {error}") from error


def _ping(value: list[Any]) -> PingEntry | None:
    if not value or value[0] != "p":
        return None
    values = value[1:PING_FIELDS] + [None] * (PING_FIELDS - len(value))
    values[5] = NAMES.get(values[5], values[5])
    for index in (3, 4, 6, 8, 9):
        values[index] = None if values[index] is None else values[index] / 1e6
    return msgspec.convert(dict(zip(PingEntry.__struct_fields__, values, strict=True)), PingEntry)


def _entry(value: dict[str, Any]) -> Entry:
    head = {name: value.pop(name) for name in HEAD if name in value}
    return msgspec.convert(head | {"fields": value}, Entry)
