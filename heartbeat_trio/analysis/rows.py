"""One journal file, line by line, into columns. Whatever it holds: a line that is no record is counted and left out."""

from __future__ import annotations

import gzip
import math
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..journal.records import FATES, SCHEMA, Entry, PingEntry, parse_line
from ..records import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from io import BufferedIOBase

    import numpy.typing as npt

    Column = npt.NDArray[Any]

CHUNK = 1 << 20
LONGEST = 1 << 23
"""Bytes of a line; a longer one is no record of ours."""
BATCH = 1 << 15
"""Pings that are held as objects at a time."""
LARGEST = (1 << 31) - 1
UNKNOWN = -(1 << 31)
"""Stands for a duration that is not known. They are microseconds, cut at 35 minutes."""
LETTERS = "".join(FATES.values())
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
EARLIEST, LATEST = 86_400 * 10**6, 4_102_444_800 * 10**6
"""Unix microseconds between which a time is believed: 1970-01-02 to 2100."""
FURTHEST = 10**16
"""Microseconds of the program's time that are believed."""
COLUMNS = {
    "session": "<i4",
    "connection": "<i4",
    "ping": "<i4",
    "t": "<i8",
    "sent_after": "<i4",
    "fate": "<i1",
    "rtt": "<i4",
    "exact": "<i1",
    "first_in": "<i4",
    "last_in": "<i4",
    "blamed": "<i1",
}


class _Ping(msgspec.Struct, array_like=True, tag="p", gc=False):
    """A ping's array, as `journal.records` has it: microseconds."""

    session: str
    connection: int
    ping: int
    t: int
    sent_after: int | None
    fate: str
    rtt: int | None = None
    exact: bool | None = None
    first_in: int | None = None
    last_in: int | None = None
    blame: str | None = None


class _Head(msgspec.Struct, gc=False):
    """What is needed of `statistics`."""

    event: str
    at: str
    t: float
    session: str | None = None
    endpoint: str | None = None
    connection: int | None = None


class Told(msgspec.Struct, frozen=True):
    """An object with its times: ``at`` and ``t`` in microseconds, and its line."""

    at: int
    t: int
    entry: Entry
    line: bytes


class Seen(msgspec.Struct):
    """The first and last sign of a session, by its statistics: (``t``, ``at``), microseconds."""

    first: tuple[int, int]
    last: tuple[int, int]


class Rows:
    """What a file's lines were.

    Attributes:
        names: Of sessions; the pings' column `session` is an index into it.
        objects: What happened: all objects but statistics.
        signs: (``t``, ``at``) of all objects but those that may be told again later, for the clock's offset.
        seen: By session name, as its statistics say.
        endpoints: By session name.
        records: Lines that were records.
        pings: Those that were pings.
        torn: Lines that were none.
        unknown: Records, or pings' fates, of kinds that this version does not know.
        undated: Records whose time nobody can believe.
        newest_schema: The highest that was met.
    """

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.objects: list[Told] = []
        self.signs: list[tuple[int, int]] = []
        self.seen: dict[str, Seen] = {}
        self.endpoints: dict[str, str] = {}
        self.records = self.pings = self.torn = self.unknown = self.undated = 0
        self.newest_schema = SCHEMA
        self._waiting: list[_Ping] = []
        self._parts: list[dict[str, Column]] = []

    def add(self, line: bytes) -> None:
        """One line, without its end."""
        try:
            if line.startswith(b'["p",'):
                self._waiting.append(_decode_ping(line))
                self.records += 1
            elif line.startswith(b'{"event":"statistics",'):
                head = _decode_head(line)
                self.add_statistics(head.session, head.endpoint, head.t, unix(head.at))
            else:
                self._add_other(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._add_other(line)
        if len(self._waiting) >= BATCH:
            self._pack()

    def columns(self) -> dict[str, Column]:
        """The pings, in the order of the file."""
        self._pack()
        parts = self._parts
        return {
            name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0, dtype)
            for name, dtype in COLUMNS.items()
        }

    def _add_other(self, line: bytes) -> None:
        try:
            record = parse_line(line)
        except ValueError:
            self.torn += 1
            return
        if record is None:
            self.unknown += 1
        elif isinstance(record, PingEntry):
            self._add_strange_ping(record)
        elif record.event == "statistics":
            self.add_statistics(record.session, record.endpoint, record.t, unix(record.at))
        else:
            self._add_entry(record, line)

    def _add_entry(self, entry: Entry, line: bytes) -> None:
        self.records += 1
        at, t = unix(entry.at), microseconds(entry.t)
        if entry.event == "journal":
            schema = entry.fields.get("schema")
            self.newest_schema = max(self.newest_schema, schema if isinstance(schema, int) else 0)
        if at is None or t is None:
            self.undated += 1
            return
        self.objects.append(Told(at, t, entry, line))
        if entry.session is not None and entry.endpoint is not None:
            self.endpoints.setdefault(entry.session, entry.endpoint)
        if entry.event not in ("journal", "session"):
            self.signs.append((t, at))

    def add_statistics(self, session: str | None, endpoint: str | None, seconds: float, at: int | None) -> None:
        """A session's `statistics` as a sign of life; ``at`` is Unix microseconds, None where nobody can believe them."""
        self.records += 1
        t = microseconds(seconds)
        if at is None or t is None or not EARLIEST <= at <= LATEST:
            self.undated += 1
            return
        sign = (t, at)
        self.signs.append(sign)
        if session is None:
            return
        seen = self.seen.get(session)
        if seen is None:
            self.seen[session] = Seen(sign, sign)
            if endpoint is not None:
                self.endpoints.setdefault(session, endpoint)
        else:
            seen.first, seen.last = min(seen.first, sign), max(seen.last, sign)

    def add_columns(self, columns: dict[str, Column]) -> None:
        """Pings that were read otherwise."""
        count = len(columns["t"])
        self.records += count
        self.pings += count
        if count:
            self._parts.append({name: columns[name].astype(dtype) for name, dtype in COLUMNS.items()})

    def _add_strange_ping(self, entry: PingEntry) -> None:
        """One that another program wrote, with fractions of microseconds or other gaps between its values."""
        self.records += 1
        times = [entry.t, entry.sent_after, entry.rtt, entry.first_in, entry.last_in]
        if not all(value is None or abs(value) < FURTHEST / 1e6 for value in times):
            self.undated += 1
            self.pings += 1
            return
        t, sent, rtt, first, last = (None if value is None else round(value * 1e6) for value in times)
        fate, head = FATES.get(entry.fate, "?"), (entry.session, entry.connection, entry.ping, t or 0)
        self._waiting.append(_Ping(*head, sent, fate, rtt, entry.is_exact, first, last, entry.blame))

    def _pack(self) -> None:
        """Pings become columns; one of an unknown fate, or with numbers that nobody can believe, does not."""
        waiting, self._waiting = self._waiting, []
        self.pings += len(waiting)
        good = [ping for ping in waiting if ping.fate in FATE_NUMBERS]
        self.unknown += len(waiting) - len(good)
        sane = [p for p in good if -FURTHEST < p.t < FURTHEST and 0 <= p.connection <= LARGEST and 0 <= p.ping <= LARGEST]
        self.undated += len(good) - len(sane)
        if sane:
            names = self.names
            values = {
                "session": [names.setdefault(ping.session, len(names)) for ping in sane],
                "connection": [ping.connection for ping in sane],
                "ping": [ping.ping for ping in sane],
                "t": [ping.t for ping in sane],
                "sent_after": _durations([ping.sent_after for ping in sane]),
                "fate": [FATE_NUMBERS[ping.fate] for ping in sane],
                "rtt": _durations([ping.rtt for ping in sane]),
                "exact": [EXACT[ping.exact] for ping in sane],
                "first_in": _durations([ping.first_in for ping in sane]),
                "last_in": _durations([ping.last_in for ping in sane]),
                "blamed": [ping.blame == STALL for ping in sane],
            }
            self._parts.append({name: np.array(values[name], dtype) for name, dtype in COLUMNS.items()})


FATE_NUMBERS = {letter: number for number, letter in enumerate(LETTERS)}
EXACT = {None: -1, False: 0, True: 1}
STALL = Cause.LOCAL_STALL.value

_decode_ping = msgspec.json.Decoder(_Ping).decode
_decode_head = msgspec.json.Decoder(_Head).decode


def _durations(values: Sequence[int | None]) -> Sequence[int]:
    """With `UNKNOWN` for None, and none out of range."""
    known = [UNKNOWN if value is None else value for value in values]
    if known and (max(known) > LARGEST or min(known) < UNKNOWN):
        return [value if value == UNKNOWN else min(max(value, UNKNOWN + 1), LARGEST) for value in known]
    return known


def unix(at: str) -> int | None:
    """A time in ISO 8601, UTC where it does not say, as Unix microseconds; None: it is none, or nobody can believe it."""
    try:
        when = datetime.fromisoformat(at)
        value = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND
    except (ValueError, OverflowError):
        return None
    return value if EARLIEST <= value <= LATEST else None


def microseconds(t: float) -> int | None:
    """The program's time; None: nobody can believe it."""
    return round(t * 1e6) if math.isfinite(t) and abs(t) < FURTHEST / 1e6 else None


def read_rows(file: BufferedIOBase, size: int, tick: Callable[[int], None]) -> Rows:
    """All records of a file.

    Args:
        file: Open at its beginning; a `gzip.GzipFile` where it is compressed.
        size: Bytes that it had, uncompressed; what a running program appends meanwhile is left for the next time.
        tick: Called with the bytes read, at least each `CHUNK`.
    """
    rows = Rows()
    try:
        for line in _lines(file, size, tick):
            if line is None:
                rows.torn += 1
            else:
                rows.add(line)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        rows.torn += 1
    return rows


def _lines(file: BufferedIOBase, size: int, tick: Callable[[int], None]) -> Iterator[bytes | None]:
    """Lines without their ends; None for one that is too long."""
    rest, is_skipping = b"", False
    while chunk := file.read1(min(CHUNK, size)):  # what there is, before it turns out that a compressed file is cut
        size -= len(chunk)
        tick(len(chunk))
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if is_skipping and lines:
            del lines[0]
            is_skipping = False
        yield from lines
        if is_skipping:
            rest = b""
        elif len(rest) > LONGEST:
            yield None
            rest, is_skipping = b"", True
    if rest and not is_skipping:
        yield rest
