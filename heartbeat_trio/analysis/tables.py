"""What a journal's files become: lines, sessions, quarter-hour cells, happenings and the pings that need a second look.

A *line* is one client's connections to one endpoint. A *client* is a folder of journals, named as it was given. Times named
``..._at`` are Unix seconds; everything else is seconds too. Columns of one table have one length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

QUARTER = 900
"""Seconds of a cell: every time zone's hours are whole numbers of them."""
ALPHA = 0.01
"""Relative error of the sketch (DDSketch, Masson et al., VLDB 2019, section 2.1)."""
GAMMA = (1 + ALPHA) / (1 - ALPHA)


class Line(msgspec.Struct, frozen=True):
    """One client's connections to one endpoint."""

    client: str
    endpoint: str


class SessionSpan(msgspec.Struct, frozen=True):
    """A session as far as it was journaled. ``begun`` and ``ended`` are the program's monotonic seconds.

    ``ended_at`` is its last record's time: that of a killed program's last words.
    """

    name: str
    line: int
    writer: str
    begun_at: float
    ended_at: float
    begun: float
    ended: float
    configuration: Mapping[str, Any]


class Happening(msgspec.Struct, frozen=True):
    """One record that is neither a ping nor a statistic, such as `lost`; ``fields`` is the rest of it.

    ``t`` orders what one program wrote, whatever was done to its clock.
    """

    at: float
    t: float
    event: str
    session: str | None
    line: int | None
    connection: int
    fields: Mapping[str, Any]
    writer: str = ""


@dataclass(frozen=True, slots=True)
class Cells:
    """Pings by line and quarter of an hour, in the order of line and time.

    ``sent`` counts all; ``ours`` those of minutes in which our own program did not run or our clock was set: they are in
    no other column and not in the sketch. The sketch of row ``i`` is ``bucket[offset[i]:offset[i + 1]]`` with as many
    ``count``: bucket ``b`` holds round trips around ``bucket_value(b)``.
    """

    line: Ints
    begin: Ints
    sent: Ints
    answered: Ints
    late: Ints
    missed: Ints
    voided: Ints
    cancelled: Ints
    ours: Ints
    offset: Ints
    bucket: Ints
    count: Ints

    def __len__(self) -> int:
        return len(self.line)


@dataclass(frozen=True, slots=True)
class Pings:
    """Single pings, in the order of session, connection and ping: all those near one that was not answered quickly.

    ``is_quick`` pings were answered within ``quick`` (see `Journals`); a run of pings whose numbers follow each other is
    complete, and what is left out between two runs was quick. ``fate`` is one letter of `journal.records.FATES`. Unknown
    durations are NaN. ``t`` is the program's monotonic time at which the ping was due; ``at`` the same in Unix seconds.
    """

    session: Ints
    """Index into `Journals.sessions`."""
    connection: Ints
    ping: Ints
    t: Floats
    at: Floats
    sent_after: Floats
    fate: npt.NDArray[np.str_]
    rtt: Floats
    is_exact: Flags
    first_in: Floats
    last_in: Floats

    def __len__(self) -> int:
        return len(self.ping)


class Sources(msgspec.Struct, frozen=True):
    """What was read, and what was not, with reasons.

    Args:
        folders: As they were given.
        files: Files that were read.
        cached: Those of them whose cells were up to date.
        records: Lines that were records.
        pings: Those that were pings.
        torn: Lines that were no records.
        unknown: Records of kinds that this version does not know.
        newest_schema: The highest schema version met.
        excluded: What was left out and why, each a sentence.
    """

    folders: tuple[str, ...]
    files: int = 0
    cached: int = 0
    records: int = 0
    pings: int = 0
    torn: int = 0
    unknown: int = 0
    newest_schema: int = 1
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Journals:
    """All that was read. ``quick`` is, by line, the time within which every ping outside `pings` was answered."""

    sources: Sources
    lines: tuple[Line, ...]
    sessions: tuple[SessionSpan, ...]
    cells: Cells
    pings: Pings
    quick: tuple[float, ...]
    happenings: tuple[Happening, ...] = field(default=())


def bucket_value(bucket: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Seconds in the middle of a bucket: within `ALPHA` of everything in it. Bucket ``b`` is (GAMMA^(b-1), GAMMA^b] µs."""
    middle: npt.NDArray[np.float64] = 2e-6 * GAMMA ** np.asarray(bucket, dtype=np.float64) / (GAMMA + 1)
    return middle


def quantile(bucket: npt.ArrayLike, count: npt.ArrayLike, q: float) -> float:
    """The q-quantile (0..1) of a sketch in seconds, NaN of an empty one. Buckets may come unsorted and repeated."""
    buckets, counts = np.asarray(bucket, dtype=np.int64), np.asarray(count, dtype=np.int64)
    if not len(buckets):
        return float("nan")
    order = np.argsort(buckets, kind="stable")
    total = np.cumsum(counts[order])
    rank = q * (total[-1] - 1)
    return float(bucket_value(buckets[order][np.searchsorted(total, rank, side="right")]))
