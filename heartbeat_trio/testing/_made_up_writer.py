"""Writes a made-up journal's files, day by day, as `journal.writer` and `journal.files` would have named and begun them."""

from __future__ import annotations

from collections import Counter
from importlib import metadata
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..config import BackoffPolicy, InboxPolicy, RestartPolicy, SilencePolicy
from ..exceptions import ConfigError
from ..journal.files import FOLDER_MODE, MODE, journal_files
from ..journal.policy import LARGEST
from ..journal.records import SCHEMA, SUFFIX
from ..observe import jsonlines
from ..recorder import describe
from ._made_up_session import MadeUpSession
from ._made_up_statistics import Statistics
from ._made_up_truth import TrueOutage, TrueStall, Truth
from ._made_up_world import World
from .made_up import DAY, PAUSE, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from ._made_up_calm import Piece
    from ._made_up_world import LineWorld

    Floats = npt.NDArray[np.float64]

MINUTE = 60.0
LAST = 0.5
"""Seconds before the last day's end at which the client is stopped."""


class _Told:
    """One session, its statistics, and those of its lines that belong to a later day."""

    def __init__(self, session: MadeUpSession, shift: float, begun_at: float) -> None:
        self.session = session
        self.statistics = Statistics(session, shift, begun_at)
        self._pieces: Iterator[Piece] = session.pieces()
        self._is_told_until = -np.inf
        self._times: list[Floats] = []
        self._lines: list[str] = []

    def take(self, end: float, minutes: Floats, *, is_last: bool) -> tuple[Floats, list[str]]:
        """Lines from before a time, and the statistics of these minutes."""
        while self._is_told_until < end or is_last:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._is_told_until = piece.begin
            self._times.append(piece.times)
            self._lines += piece.lines
        times = np.concatenate([*self._times, np.empty(0)])
        is_due = np.ones(len(times), dtype=np.bool_) if is_last else times < end
        lines = np.array([*self._lines, None], dtype=object)[:-1]
        self._times, self._lines = [times[~is_due]], lines[~is_due].tolist()
        return np.append(times[is_due], minutes), lines[is_due].tolist() + self.statistics.lines(minutes)


class _Run:
    """One run of the client, from its start to its end."""

    def __init__(self, world: World, number: int, begin: float, end: float) -> None:
        recipe, rng = world.recipe, Random(f"{world.recipe.seed} run {number}")
        self._recipe, self._begin, self._end = recipe, begin, end
        self.writer = f"{rng.randrange(1000, 60000)}-{rng.getrandbits(24):06x}"
        self._shift = round(rng.uniform(10_000, 1_000_000), 3) - begin  # Trio's clock begins anywhere
        self.told = [
            _Told(self._session(line, index + 1), self._shift, recipe.begun_at) for index, line in enumerate(world.lines)
        ]
        versions = {"heartbeat-trio": metadata.version("heartbeat-trio"), "platform": f"made up, seed {recipe.seed}"}
        facts: dict[str, Any] = {"schema": SCHEMA, "writer": self.writer, "versions": versions}
        told = jsonlines.timestamp(recipe.begun_at + begin)
        self._head = [{"event": "journal", "at": told, "t": round(begin + self._shift, 6)} | facts]
        self._sessions = [self._describe(each.session, line) for each, line in zip(self.told, world.lines, strict=True)]

    def write(self) -> Iterator[tuple[int, int]]:
        """Write file by file; yields each one's lines and bytes."""
        start = self._recipe.begun_at
        first = (start + self._begin) // DAY * DAY - start  # the UTC day's beginning
        for begin in np.arange(first, self._end, DAY):
            yield from self._write_day(float(begin), float(begin) + DAY)

    def _write_day(self, begin: float, end: float) -> Iterator[tuple[int, int]]:
        is_first, is_last = begin <= self._begin, end >= self._end
        parts = [each.take(end, self._minutes(begin, end), is_last=is_last) for each in self.told]
        order = np.argsort(np.concatenate([times for times, _ in parts]), kind="stable")
        lines = np.array([line for _, lines in parts for line in lines] + [None], dtype=object)[:-1][order].tolist()
        if is_first:
            lines = [_encoded(record) for record in self._sessions] + lines
        day = jsonlines.timestamp(self._recipe.begun_at + max(begin, self._begin))[:10]
        yield from self._write_files(day, lines, is_first=is_first)

    def _write_files(self, day: str, lines: list[str], *, is_first: bool) -> Iterator[tuple[int, int]]:
        """As many as it takes; each begins with what is needed to read it alone."""
        journal, again = [_encoded(each) for each in self._head], [_encoded(each) for each in self._sessions]
        number, rest = 0, lines
        while rest:
            number += 1
            told = journal + ([] if is_first and number == 1 else again)
            count = _fitting(rest, LARGEST - sum(map(len, told)) - len(told))
            data = "\n".join([*told, *rest[:count], ""]).encode()
            path = self._recipe.folder / f"{day}.{self.writer}.{number:04}{SUFFIX}"
            path.touch(MODE)
            path.write_bytes(data)
            yield count + len(told), len(data)
            rest = rest[count:]

    def _minutes(self, begin: float, end: float) -> Floats:
        """When the statistics of a day are written: each minute, and at the end."""
        every = np.arange(self._begin + MINUTE, self._end, MINUTE)
        last = [self._end] if self._end <= end else []
        return np.append(every[(every >= begin) & (every < end)], last)

    def _session(self, line: LineWorld, number: int) -> MadeUpSession:
        name = f"{self.writer}-{number}"
        return MadeUpSession(line, name, begin=self._begin, end=self._end, shift=self._shift)

    def _describe(self, session: MadeUpSession, line: LineWorld) -> dict[str, Any]:
        policies = [self._recipe.heartbeat, BackoffPolicy(), RestartPolicy(), InboxPolicy(), SilencePolicy()]
        facts = describe(line.endpoint, self._recipe.subscribe, policies)
        return session.head("session", self._begin + 0.0005) | {"configuration": facts}


def _fitting(lines: list[str], room: int) -> int:
    """How many of the first lines a file takes: at least one."""
    sizes = np.cumsum([len(line) + 1 for line in lines])  # all is ASCII
    return max(1, int(np.searchsorted(sizes, room, side="right")))


def _encoded(record: dict[str, Any]) -> str:
    return msgspec.json.encode(record).decode()


def write_journal(recipe: Recipe) -> Truth:
    """See `made_up.make_up_journal`."""
    world = World(recipe)
    _prepare(recipe.folder)
    edges = [0.0, *recipe.restarts, recipe.length - LAST]
    runs, records, size = [], 0, 0
    for number, (begin, end) in enumerate(pairwise(edges)):
        run = _Run(world, number, begin + (PAUSE if number else 0.0), end)
        for lines, written in run.write():
            records, size = records + lines, size + written
        runs.append(run)
    return _truth(world, runs, records, size)


def _prepare(folder: Path) -> None:
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    if journal_files(folder):
        raise ConfigError(f"folder {str(folder)!r} holds a journal: made-up records must not mix with it, name another")


def _truth(world: World, runs: list[_Run], records: int, size: int) -> Truth:
    recipe, start = world.recipe, world.recipe.begun_at
    told = [each for run in runs for each in run.told]
    by_name = {
        name: [each for run in runs for each in run.told[index : index + 1]] for index, name in enumerate(recipe.names)
    }
    fates: Counter[str] = Counter()
    for each in told:
        fates.update(each.statistics.counts)
    fates["missed"] -= fates["late"]
    fates.pop("sent")
    return Truth(
        folder=recipe.folder,
        begun_at=start,
        ended_at=start + recipe.length - LAST,
        endpoints=recipe.names,
        planted=recipe.planted,
        restarts=tuple(start + moment for moment in recipe.restarts),
        outages=_outages(world),
        stalls=tuple(TrueStall(start + begin, start + end) for begin, end in world.stalls),
        losses=tuple(sorted((loss for each in told for loss in each.session.losses), key=lambda loss: loss.at)),
        kills=tuple(sorted((kill for each in told for kill in each.session.kills), key=lambda kill: kill.killed_at)),
        survived={name: max(each.session.survived for each in mine) for name, mine in by_name.items()},
        pings={name: sum(each.session.pings for each in mine) for name, mine in by_name.items()},
        fates=dict(fates),
        connections={name: sum(each.session.connections for each in mine) for name, mine in by_name.items()},
        records=records,
        size=size,
    )


def _outages(world: World) -> tuple[TrueOutage, ...]:
    start = world.recipe.begun_at
    found = [
        TrueOutage(
            endpoint=line.name,
            begun_at=start + each.begin,
            ended_at=start + each.end,
            trouble=each.trouble,
            venue_wide=each.venue_wide,
            lost_at=None if each.lost_at is None else start + each.lost_at,
        )
        for line in world.lines
        for each in line.outages
    ]
    return tuple(sorted(found, key=lambda each: each.begun_at))
