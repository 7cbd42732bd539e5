"""Puts the files' cells together: sessions and lines of all clients, each ping once, nothing of two that look the same."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..journal.records import SCHEMA, Entry, parse_line
from ..observe.jsonlines import timestamp
from ..observe.printable import printable
from .cells import SKETCH, FileCells, SessionPart, in_order
from .ours import MINUTE, NEAR, is_ours
from .rows import FATE_NUMBERS, LETTERS, UNKNOWN, microseconds, unix
from .sources import Source
from .tables import QUARTER, Cells, Happening, Journals, Line, Pings, SessionSpan, Sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from .cells import Columns
    from .ours import Jump
    from .sources import Gathered

    Ints = npt.NDArray[np.int64]

GRACE = 150 * 10**6
"""Microseconds after a session's beginning in which it must have told something (its statistics come each minute), or else
its first files are gone: it counts from its first record."""
ALIKE = 10**5
"""Microseconds by which sessions' measures of the same set clock differ at most."""
MOST_JUMPS = 5
"""Sentences about set clocks, for one program."""


class Part(msgspec.Struct, frozen=True):
    """A file and its cells."""

    source: Source
    cells: FileCells


class _Known:
    """A session, from all of its files."""

    def __init__(self, process: tuple[str, str], folder: int, part: SessionPart) -> None:
        self.process, self.folder, self.name = process, folder, part.name
        self.endpoint, self.configuration = part.endpoint, part.configuration
        self.told, self.first, self.last, self.quick = part.told, part.first, part.last, part.quick
        self.number = -1
        self.line = -1

    def add(self, part: SessionPart) -> None:
        """A later file's."""
        self.endpoint = self.endpoint or part.endpoint
        self.configuration = part.configuration or self.configuration
        self.told = _least(self.told, part.told)
        self.first = _least(self.first, part.first)
        self.last = max(filter(None, (self.last, part.last)), default=None)
        self.quick = max(self.quick, part.quick)

    @property
    def begin(self) -> tuple[int, int]:
        """(``t``, ``at``) of its beginning."""
        told, first = self.told or self.first or (0, 0), self.first or self.told or (0, 0)
        return told if first[0] - told[0] <= GRACE else first

    @property
    def end(self) -> tuple[int, int]:
        """(``t``, ``at``) of its last record."""
        return max(self.last or self.begin, self.begin)


def assemble(gathered: Gathered, parts: Sequence[Part], *, cached: int) -> Journals:
    """All files' cells as one; ``parts`` come oldest first, ``cached`` of them from kept cells."""
    known = _Sessions(gathered, parts)
    gathered.excluded.extend(_remarks(gathered, parts))
    singles, dropped = _singles(parts, known)
    return Journals(
        sources=_sources(gathered, parts, cached),
        lines=known.lines,
        sessions=tuple(known.span(each) for each in known.sessions),
        cells=_cells(parts, known, dropped),
        pings=_pings(singles),
        quick=known.quick(),
        happenings=_happenings(parts, known),
    )


class _Sessions:
    """Sessions and lines, numbered."""

    def __init__(self, gathered: Gathered, parts: Sequence[Part]) -> None:
        self._known: dict[tuple[tuple[str, str], str], _Known] = {}
        for part in parts:
            for session in part.cells.sessions:
                key = part.source.process, session.name
                if key in self._known:
                    self._known[key].add(session)
                else:
                    self._known[key] = _Known(part.source.process, part.source.folder, session)
        excluded = self._exclude()
        gathered.excluded.extend(excluded)
        kept = [each for each in self._known.values() if each.endpoint is not None]
        pairs = sorted({(each.folder, each.endpoint or "") for each in kept})
        self.lines = tuple(Line(gathered.clients[folder], endpoint) for folder, endpoint in pairs)
        numbers = {pair: line for line, pair in enumerate(pairs)}
        for each in kept:
            each.line = numbers[each.folder, each.endpoint or ""]
        self.sessions = sorted(kept, key=lambda each: (each.line, each.begin[1], each.name, each.process))
        for number, each in enumerate(self.sessions):
            each.number = number

    def get(self, part: Part, name: str | None) -> _Known | None:
        """A session of a file; None: it was left out, or there is none of that name."""
        return None if name is None else self._known.get((part.source.process, name))

    def quick(self) -> tuple[float, ...]:
        """By line."""
        longest = [0] * len(self.lines)
        for each in self.sessions:
            longest[each.line] = max(longest[each.line], each.quick)
        return tuple(quick / 1e6 for quick in longest)

    def span(self, each: _Known) -> SessionSpan:
        begin, end = each.begin, each.end
        return SessionSpan(
            name=each.name,
            line=each.line,
            writer=each.process[0],
            begun_at=begin[1] / 1e6,
            ended_at=end[1] / 1e6,
            begun=begin[0] / 1e6,
            ended=end[0] / 1e6,
            configuration=each.configuration,
        )

    def _exclude(self) -> list[str]:
        """Forget sessions that look the same as others at the same time, and those that no record places."""
        excluded: list[str] = []
        taken: dict[str, list[_Known]] = {}
        for key, each in sorted(self._known.items(), key=lambda item: (item[1].begin[1], item[0])):
            name = printable(each.name)
            others = [other for other in taken.get(each.name, ()) if _overlap(each, other)]
            if others:
                writers = printable(each.process[0]), printable(others[0].process[0])
                excluded.append(f"session {name} of {writers[0]}: left out, {writers[1]} has one of that name at that time")
                del self._known[key]
                continue
            taken.setdefault(each.name, []).append(each)
            if each.endpoint is None and each.quick:
                excluded.append(f"session {name}: its pings are left out, since no record says what they went to")
        return excluded


def _overlap(one: _Known, other: _Known) -> bool:
    return one.begin[1] <= other.end[1] and other.begin[1] <= one.end[1]


def _least(one: tuple[int, int] | None, other: tuple[int, int] | None) -> tuple[int, int] | None:
    return min(filter(None, (one, other)), default=None)


# -- tables ------------------------------------------------------------------------------------------------------------


def _indexes(part: Part, known: _Sessions, column: str) -> Ints:
    """By the file's session number what it is now: `number` or `line`, -1 where it is left out."""
    found = [known.get(part, session.name) for session in part.cells.sessions]
    return np.array([-1 if each is None else getattr(each, column) for each in found] or [-1], dtype=np.int64)


def _cells(parts: Sequence[Part], known: _Sessions, dropped: Ints) -> Cells:
    """``dropped`` are rows (line, quarter, whether it is ours) of missed pings that another file tells again as late."""
    tables = []
    for part in parts:
        table, sketches = part.cells.table("cells"), part.cells.table("sketches")
        line = _indexes(part, known, "line")[table["session"]]
        key = line << 40 | table["begin"] // QUARTER
        owner = np.repeat(key, table["buckets"])
        kept, has = line >= 0, np.repeat(line >= 0, table["buckets"])
        rows = {name: table[name][kept].astype(np.int64) for name in ("sent", *LETTERS, "ours")}
        tables.append((key[kept], rows, owner[has], {name: sketches[name][has].astype(np.int64) for name in sketches}))
    every = np.concatenate([key for key, *_ in tables] or [np.empty(0, np.int64)])
    keys, cell = np.unique(every, return_inverse=True)

    def total(name: str) -> Ints:
        values = np.concatenate([rows[name] for _, rows, *_ in tables] or [np.empty(0, np.int64)])
        return _sum(cell, values, len(keys))

    columns = {name: total(name) for name in ("sent", *LETTERS, "ours")}
    for line, quarter, is_set_apart in dropped.tolist():
        row = int(np.searchsorted(keys, line << 40 | quarter))
        columns["sent"][row] -= 1
        columns["ours" if is_set_apart else "m"][row] -= 1
    bucket, count, offset = _sketches(keys, tables)
    return Cells(
        line=keys >> 40,
        begin=(keys & ((1 << 40) - 1)) * QUARTER,
        sent=columns["sent"],
        answered=columns["a"],
        late=columns["l"],
        missed=columns["m"],
        voided=columns["v"],
        cancelled=columns["c"],
        ours=columns["ours"],
        offset=offset,
        bucket=bucket,
        count=count,
    )


def _sketches(keys: Ints, tables: Sequence[tuple[Ints, Any, Ints, Columns]]) -> tuple[Ints, Ints, Ints]:
    empty = [np.empty(0, np.int64)]
    owner = np.searchsorted(keys, np.concatenate([owner for *_, owner, _ in tables] or empty))
    bucket = np.concatenate([sketch["bucket"] for *_, sketch in tables] or empty)
    count = np.concatenate([sketch["count"] for *_, sketch in tables] or empty)
    found, place = np.unique(owner * SKETCH + bucket, return_inverse=True)
    offset = np.searchsorted(found // SKETCH, np.arange(len(keys) + 1)).astype(np.int64)
    return found % SKETCH, _sum(place, count, len(found)), offset


def _sum(place: Ints, values: Ints, size: int) -> Ints:
    result = np.zeros(size, dtype=np.int64)
    np.add.at(result, place, values)
    return result


def _singles(parts: Sequence[Part], known: _Sessions) -> tuple[Columns, Ints]:
    """All single pings in order, and rows of those that were missed in one file and late in another."""
    tables = []
    for part in parts:
        table = part.cells.table("singles")
        session = _indexes(part, known, "number")[table["session"]].astype(np.int64)
        kept = session >= 0
        tables.append({name: column[kept] for name, column in (table | {"session": session}).items()})
    names = tables[0].keys() if tables else ()
    singles = {name: np.concatenate([table[name] for table in tables]) for name in names}
    singles, is_dropped = in_order(singles)
    is_dropped[:-1] &= (singles["fate"][:-1] == FATE_NUMBERS["m"]) & (singles["fate"][1:] == FATE_NUMBERS["l"])
    dropped = _dropped({name: column[is_dropped] for name, column in singles.items()}, parts, known)
    return {name: column[~is_dropped] for name, column in singles.items()}, dropped


def _dropped(singles: Columns, parts: Sequence[Part], known: _Sessions) -> Ints:
    rows = []
    for session, at in zip(singles["session"].tolist(), singles["at"].tolist(), strict=True):
        each = known.sessions[session]
        ours = [span for part in parts if part.source.process == each.process for span in part.cells.ours]
        is_set_apart = bool(is_ours(ours, each.name, np.array([at // MINUTE]))[0])
        rows.append((each.line, at // (QUARTER * 10**6), is_set_apart))
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _pings(singles: Columns) -> Pings:
    def seconds(name: str) -> npt.NDArray[np.float64]:
        return np.where(singles[name] == UNKNOWN, np.nan, singles[name] / 1e6)

    return Pings(
        session=singles["session"].astype(np.int64),
        connection=singles["connection"].astype(np.int64),
        ping=singles["ping"].astype(np.int64),
        t=singles["t"] / 1e6,
        at=singles["at"] / 1e6,
        sent_after=seconds("sent_after"),
        fate=np.array(list(LETTERS), dtype=np.str_)[singles["fate"]],
        rtt=seconds("rtt"),
        is_exact=(singles["exact"] != 0) & (singles["rtt"] != UNKNOWN),  # no mere upper bound, as in the sketches
        first_in=seconds("first_in"),
        last_in=seconds("last_in"),
    )


# -- what happened -----------------------------------------------------------------------------------------------------


def _happenings(parts: Sequence[Part], known: _Sessions) -> tuple[Happening, ...]:
    """By time; those of one program in the order of its own clock, whatever was done to the wall clock."""
    programs: dict[tuple[str, str], list[Happening]] = {}
    for part in parts:
        programs.setdefault(part.source.process, []).extend(_told(part, known))
    ordered: list[tuple[float, int, int, Happening]] = []
    for number, happenings in enumerate(programs.values()):
        once = list(_told_once(sorted(happenings, key=lambda happening: happening.t)))
        latest = accumulate((happening.at for happening in once), max)
        ordered += [(at, number, place, told) for place, (at, told) in enumerate(zip(latest, once, strict=True))]
    ordered.sort(key=lambda item: item[:3])
    return tuple(happening for *_, happening in ordered)


def _told(part: Part, known: _Sessions) -> Iterable[Happening]:
    for line in part.cells.objects:
        entry = parse_line(line)
        if not isinstance(entry, Entry):
            continue
        session, at, t = known.get(part, entry.session), unix(entry.at), microseconds(entry.t)
        if at is None or t is None or (entry.session is not None and session is None):
            continue
        yield Happening(
            at=at / 1e6,
            t=t / 1e6,
            event=entry.event,
            session=entry.session,
            line=None if session is None or session.line < 0 else session.line,
            connection=entry.connection or 0,
            fields=entry.fields,
            writer=part.source.writer,
        )


def _told_once(happenings: Sequence[Happening]) -> Iterable[Happening]:
    """Without what each new file tells again."""
    seen: set[tuple[str, str | None, float]] = set()
    for happening in happenings:
        if happening.event in ("journal", "session"):
            key = happening.event, happening.session, happening.t
            if key in seen:
                continue
            seen.add(key)
        yield happening


# -- what was read -----------------------------------------------------------------------------------------------------


def _sources(gathered: Gathered, parts: Sequence[Part], cached: int) -> Sources:
    cells = [part.cells for part in parts]
    return Sources(
        folders=tuple(str(folder) for folder in gathered.folders),
        files=len(parts),
        cached=cached,
        records=sum(each.records for each in cells),
        pings=sum(each.pings for each in cells),
        torn=sum(each.torn for each in cells),
        unknown=sum(each.unknown for each in cells),
        newest_schema=max((each.newest_schema for each in cells), default=SCHEMA),
        excluded=tuple(gathered.excluded),
    )


def _remarks(gathered: Gathered, parts: Sequence[Part]) -> Iterable[str]:
    jumps: dict[tuple[str, str], list[Jump]] = {}
    for part in parts:
        name = gathered.name(part.source.path, part.source.folder)
        if not part.cells.records and part.source.size:
            yield f"{name}: no record of a journal in it"
        if part.cells.undated:
            yield f"{name}: {part.cells.undated} records without a time that can be believed are left out"
        if part.cells.newest_schema > SCHEMA:
            schema = part.cells.newest_schema
            yield f"{name}: a newer version wrote it (schema {schema}); what this one does not know is left out"
        jumps.setdefault(part.source.process, []).extend(part.cells.jumps)
    for (writer, _), told in jumps.items():
        found = _different(told)
        for jump in found[:MOST_JUMPS]:
            when, minutes = timestamp(jump.at / 1e6)[:19], "the minutes before and after are set apart as ours"
            yield f"{printable(writer)}: somebody set its clock by {jump.by / 1e6:+.3f} s at {when}Z; {minutes}"
        if len(found) > MOST_JUMPS:
            yield f"{printable(writer)}: somebody set its clock {len(found) - MOST_JUMPS} times more"


def _different(jumps: Iterable[Jump]) -> list[Jump]:
    """Each once, though every session tells it, a little later and a little different."""
    found: list[Jump] = []
    for jump in sorted(jumps):
        if not any(jump.at - other.at <= NEAR and abs(jump.by - other.by) <= ALIKE for other in found[-2:]):
            found.append(jump)
    return found
