"""What one journal file comes to: quarter-hour cells, the pings that need a second look, and what happened.

Round trips are those of pings that were answered in time, and exact: an upper bound is no sample (as in `sansio.quality`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from .ours import MINUTE, Jump, Span, is_ours, merge, minutes_spans, spans_of, steps_of
from .rows import COLUMNS, EARLIEST, FATE_NUMBERS, LATEST, LETTERS, UNKNOWN
from .tables import GAMMA, QUARTER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from .ours import Minutes
    from .rows import Rows

    Column = npt.NDArray[Any]
    Columns = dict[str, Column]

BESIDE = 16
"""Pings that are kept on either side of one that was not answered quickly."""
QUICK, QUICK_SHARE = 250_000, 0.995
"""A ping is answered quickly within the longer of these microseconds and this quantile of its session's file."""
TICKS = QUARTER * 10**6
SKETCH = 4096
"""More than any bucket: 63 bits of microseconds fill 2184."""
CELLS = {"session": "<i4", "begin": "<i8", "sent": "<i4", **dict.fromkeys(LETTERS, "<i4"), "ours": "<i4", "buckets": "<i4"}
SKETCHES = {"bucket": "<i2", "count": "<i4"}
SINGLES = {name: dtype for name, dtype in COLUMNS.items() if name != "blamed"} | {"at": "<i8"}
TABLES = {"cells": CELLS, "sketches": SKETCHES, "singles": SINGLES}


class SessionPart(msgspec.Struct):
    """A session in one file. Times are microseconds, (``t``, ``at``); `told` is what its `session` record says.

    ``quick`` is 0 where it had no ping here.
    """

    name: str
    endpoint: str | None
    told: tuple[int, int] | None
    first: tuple[int, int] | None
    last: tuple[int, int] | None
    configuration: dict[str, Any]
    quick: int = 0


class FileCells(msgspec.Struct, kw_only=True):
    """What one file comes to, as the cache keeps it.

    Args:
        records: As in `Rows`; so are the other counts.
        sessions: That it knows.
        ours: Minutes that are ours by what this file says.
        extra: ... and by what others of the same program say: both are set apart in the cells.
        jumps: When the clock was set.
        span: First and last minute of its pings; None: it has none.
        objects: Lines of what happened.
        cells: One row for a session and a quarter; columns as `CELLS` has them, ``buckets`` is the sketch's length.
        sketches: One after the other.
        singles: The pings that need a second look.
    """

    records: int
    pings: int
    torn: int
    unknown: int
    undated: int
    newest_schema: int
    sessions: list[SessionPart]
    ours: list[Span]
    extra: list[Span]
    jumps: list[Jump]
    span: tuple[int, int] | None
    objects: list[bytes]
    cells: dict[str, bytes]
    sketches: dict[str, bytes]
    singles: dict[str, bytes]

    def table(self, name: str) -> Columns:
        """`cells`, `sketches` or `singles` as vectors."""
        packed: Mapping[str, bytes] = getattr(self, name)
        return {column: np.frombuffer(packed[column], dtype) for column, dtype in TABLES[name].items()}


def build(rows: Rows, extra: Sequence[Span]) -> FileCells:
    """Reckon a file's cells; ``extra`` are minutes that are ours by what other files of the same program say."""
    signs = _signs(rows)
    once = _once(rows.columns())
    pings = _date(once, signs)
    parts = _parts(rows, pings)
    told, jumps = spans_of(rows.objects)
    stepped, steps = steps_of(*signs, rows.objects)
    ours = merge([*told, *stepped, *_blamed(pings, parts)])
    cells, sketches = _cells(pings, parts, [*ours, *extra])
    return FileCells(
        records=rows.records,
        pings=rows.pings,
        torn=rows.torn,
        unknown=rows.unknown,
        undated=rows.undated + len(once["t"]) - len(pings["t"]),
        newest_schema=rows.newest_schema,
        sessions=parts,
        ours=ours,
        extra=list(extra),
        jumps=sorted(set(jumps) | set(steps)),
        span=_span(pings),
        objects=[told.line for told in rows.objects],
        cells=_packed(cells, CELLS),
        sketches=_packed(sketches, SKETCHES),
        singles=_packed(_singles(pings, parts), SINGLES),
    )


def _signs(rows: Rows) -> tuple[Minutes, Minutes]:
    """By which records a ping's time is told, in the order of the program's clock: ``t`` and ``at``."""
    signs = rows.signs or [(told.t, told.at) for told in rows.objects]
    pairs = np.array(signs, dtype=np.int64).reshape(-1, 2)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return pairs[:, 0], pairs[:, 1]


def _once(pings: Columns) -> Columns:
    """In the order of session, connection and number, each ping once: what was late is no more missed."""
    pings, is_told_again = in_order(pings)
    return {name: column[~is_told_again] for name, column in pings.items()} if is_told_again.any() else pings


def in_order(pings: Columns) -> tuple[Columns, npt.NDArray[np.bool_]]:
    """By session, connection and number, late ones last; and of each whether the one after it is the same ping."""
    late = pings["fate"] == FATE_NUMBERS["l"]
    order = np.lexsort((late, pings["ping"], pings["connection"], pings["session"]))
    pings = {name: column[order] for name, column in pings.items()}
    _, ends = _edges(pings, "session", "connection", "ping")
    is_told_again = np.ones(len(order), dtype=np.bool_)
    is_told_again[ends - 1] = False
    return pings, is_told_again


def _date(pings: Columns, signs: tuple[Minutes, Minutes]) -> Columns:
    """With ``at``: the clock's offset is that of the record before, or of the first. Those without a time are left out."""
    t, at = signs
    if not len(t):
        return {name: column[:0] for name, column in pings.items()} | {"at": np.empty(0, np.int64)}
    index = np.maximum(np.searchsorted(t, pings["t"], side="right") - 1, 0)
    pings = pings | {"at": pings["t"] + (at - t)[index]}
    is_dated = (pings["at"] >= EARLIEST) & (pings["at"] <= LATEST)
    return pings if is_dated.all() else {name: column[is_dated] for name, column in pings.items()}


def _edges(pings: Columns, *names: str) -> tuple[Minutes, Minutes]:
    """Where runs of the same values begin, and end."""
    count = len(pings["t"])
    is_new = np.zeros(count, dtype=np.bool_)
    is_new[:1] = True
    for name in names:
        is_new[1:] |= pings[name][1:] != pings[name][:-1]
    begins = np.flatnonzero(is_new)
    return begins, np.append(begins[1:], count) if count else begins


def _span(pings: Columns) -> tuple[int, int] | None:
    at = pings["at"]
    return (int(at.min()) // MINUTE, int(at.max()) // MINUTE) if len(at) else None


# -- sessions ----------------------------------------------------------------------------------------------------------


def _parts(rows: Rows, pings: Columns) -> list[SessionPart]:
    """Sessions by the pings' index; those without pings follow."""
    names = dict(rows.names)
    for name in [told.entry.session for told in rows.objects] + list(rows.seen):
        if name is not None:
            names.setdefault(name, len(names))
    parts = [SessionPart(name, rows.endpoints.get(name), None, None, None, {}) for name in names]
    for told in rows.objects:
        if told.entry.session is not None:
            _hear(parts[names[told.entry.session]], told.entry.event, (told.t, told.at), told.entry.fields)
    for name, seen in rows.seen.items():
        _extend(parts[names[name]], seen.first)
        _extend(parts[names[name]], seen.last)
    for begin, end in zip(*_edges(pings, "session"), strict=True):
        _add_pings(parts[int(pings["session"][begin])], {name: column[begin:end] for name, column in pings.items()})
    return parts


def _hear(part: SessionPart, event: str, sign: tuple[int, int], fields: Mapping[str, Any]) -> None:
    if event != "session":
        _extend(part, sign)
        return
    part.told = min(part.told or sign, sign)
    configuration = fields.get("configuration")
    if isinstance(configuration, dict):
        part.configuration = configuration


def _extend(part: SessionPart, sign: tuple[int, int]) -> None:
    part.first = min(part.first or sign, sign)
    part.last = max(part.last or sign, sign)


def _add_pings(part: SessionPart, pings: Columns) -> None:
    """A ping's last word is the last byte before the next, or its pong."""
    reply = _reply(pings)
    end = pings["t"] + np.maximum(np.maximum(pings["last_in"], reply), 0)
    first, last = int(np.argmin(pings["t"])), int(np.argmax(end))
    _extend(part, (int(pings["t"][first]), int(pings["at"][first])))
    _extend(part, (int(end[last]), int(pings["at"][last] + end[last] - pings["t"][last])))
    known = reply[(pings["fate"] == FATE_NUMBERS["a"]) & (reply >= 0)]
    part.quick = max(QUICK, int(np.ceil(np.quantile(known, QUICK_SHARE))) if len(known) else 0)


def _reply(pings: Columns) -> Column:
    """Microseconds from a ping's tick to its pong, -1 where nobody knows."""
    sent, rtt = pings["sent_after"].astype(np.int64), pings["rtt"].astype(np.int64)
    return np.where((sent != UNKNOWN) & (rtt != UNKNOWN), np.maximum(sent + rtt, 0), -1)


def _blamed(pings: Columns, parts: Sequence[SessionPart]) -> list[Span]:
    """Minutes of pings that our own program delayed."""
    is_blamed = (pings["blamed"] != 0) | (pings["fate"] == FATE_NUMBERS["v"])
    session, minute = pings["session"][is_blamed], pings["at"][is_blamed] // MINUTE
    return [
        span for index in np.unique(session).tolist() for span in minutes_spans(parts[index].name, minute[session == index])
    ]


# -- tables ------------------------------------------------------------------------------------------------------------


def _cells(pings: Columns, parts: Sequence[SessionPart], ours: Sequence[Span]) -> tuple[Columns, Columns]:
    """Cells in the order of session and time, and their sketches."""
    session, quarter = pings["session"].astype(np.int64), pings["at"] // TICKS
    keys, cell = np.unique((session << 40) | quarter, return_inverse=True)
    set_apart = _set_apart(pings, parts, ours)

    def count(chosen: Column) -> Column:
        return np.bincount(cell[chosen], minlength=len(keys))

    cells = {"session": keys >> 40, "begin": (keys & ((1 << 40) - 1)) * QUARTER, "sent": count(np.ones_like(set_apart))}
    cells |= {letter: count((pings["fate"] == number) & ~set_apart) for letter, number in FATE_NUMBERS.items()}
    rtt = pings["rtt"]
    sample = (pings["fate"] == FATE_NUMBERS["a"]) & ~set_apart & (rtt != UNKNOWN) & (pings["exact"] != 0)
    buckets = np.ceil(np.log(np.maximum(rtt[sample], 1)) / np.log(GAMMA)).astype(np.int64)
    found, counts = np.unique(cell[sample] * SKETCH + buckets, return_counts=True)
    cells |= {"ours": count(set_apart), "buckets": np.bincount(found // SKETCH, minlength=len(keys))}
    return cells, {"bucket": found % SKETCH, "count": counts}


def _set_apart(pings: Columns, parts: Sequence[SessionPart], ours: Sequence[Span]) -> npt.NDArray[np.bool_]:
    result = np.zeros(len(pings["t"]), dtype=np.bool_)
    spans: dict[str, list[Span]] = {}
    for span in ours:
        spans.setdefault(span.session, []).append(span)
    for begin, end in zip(*_edges(pings, "session"), strict=True) if spans else ():
        name = parts[int(pings["session"][begin])].name
        mine = [*spans.get("", ()), *spans.get(name, ())]
        result[begin:end] = is_ours(mine, name, pings["at"][begin:end] // MINUTE)
    return result


def _singles(pings: Columns, parts: Sequence[SessionPart]) -> Columns:
    """Pings that were not answered quickly, those beside them, and both ends of each connection."""
    quick = np.array([part.quick for part in parts], dtype=np.int64)[pings["session"]]
    reply = _reply(pings)
    is_slow = ~((pings["fate"] == FATE_NUMBERS["a"]) & (reply >= 0) & (reply <= quick))
    begins, ends = _edges(pings, "session", "connection")
    begin, end = np.repeat(begins, ends - begins), np.repeat(ends, ends - begins)
    here = np.arange(len(reply))
    slow = np.append(0, np.cumsum(is_slow))
    near = slow[np.minimum(here + BESIDE + 1, end)] > slow[np.maximum(here - BESIDE, begin)]
    kept = near | (here - begin < BESIDE) | (end - here <= BESIDE)
    return {name: pings[name][kept] for name in SINGLES}


def _packed(columns: Columns, dtypes: Mapping[str, str]) -> dict[str, bytes]:
    return {name: columns[name].astype(dtype).tobytes() for name, dtype in dtypes.items()}
