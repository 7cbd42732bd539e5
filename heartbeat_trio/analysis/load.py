"""Reads folders of journals into `Journals`: each file once, and from its kept cells while it does not change.

Nothing that a file holds stops it: what cannot be read is counted, or left out with a reason in `Sources.excluded`. Journals
of running programs can be read: what is appended meanwhile is left for the next time.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..exceptions import ConfigError
from .assemble import Part, assemble
from .cache import forget_others, keep_cells, key_of, read_cells
from .cells import build
from .fast import read_fast
from .ours import merge
from .rows import read_rows
from .sources import Gathered, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .cache import Key
    from .cells import FileCells
    from .ours import Span
    from .sources import Source
    from .tables import Journals

OFTEN = 0.1
"""Seconds between two calls of ``progress``."""


class Progress(msgspec.Struct, frozen=True):
    """How far the reading is. ``done`` and ``size`` are bytes of uncompressed files, and estimates of compressed ones."""

    files_done: int
    files: int
    done: int
    size: int


def load(folders: Sequence[Path], *, progress: Callable[[Progress], None] | None = None, use_cache: bool = True) -> Journals:
    """Read all journals of some folders, one folder being one client.

    Args:
        folders: They may be written to meanwhile.
        progress: Called some ten times a second, and at the end. What it raises ends the reading.
        use_cache: Whether cells are taken from, and kept in, a folder ``.cells`` beside the journals. The result is the
            same but for `Sources.cached`.

    Raises:
        ConfigError: There is no such folder, no journal in it, or nothing in them could be read.
    """
    gathered = Gathered([Path(folder) for folder in folders])
    return _Loading(gathered, progress, use_cache=use_cache).run()


class _Loading:
    def __init__(self, gathered: Gathered, progress: Callable[[Progress], None] | None, *, use_cache: bool) -> None:
        self._gathered = gathered
        self._progress = progress
        self._use_cache = use_cache
        self._cached: set[Path] = set()
        self._sealed: set[int] = set()
        self._files_done, self._done, self._told_at = 0, 0, 0.0
        self._size = sum(source.size for source in gathered.sources)

    def run(self) -> Journals:
        parts = []
        for source in self._gathered.sources:
            before = self._done
            cells = self._take(source, None)
            if cells is not None:
                parts.append(Part(source, cells))
            self._files_done += 1
            self._tick(before + source.size - self._done)
        parts = self._share(parts)
        self._note_cache(parts)
        self._tell()
        if not any(part.cells.records for part in parts):
            self._refuse(parts)
        return assemble(self._gathered, parts, cached=len(self._cached & {part.source.path for part in parts}))

    def _share(self, parts: list[Part]) -> list[Part]:
        """What one file says of our own faults is true for the pings in the file before and after it, too."""
        spans: dict[tuple[str, str], list[Span]] = {}
        for part in parts:
            spans.setdefault(part.source.process, []).extend(part.cells.ours)
        shared = []
        for part in parts:
            extra = _beyond(part.cells, spans[part.source.process])
            cells = part.cells if extra == part.cells.extra else self._take(part.source, extra)
            shared.append(part if cells is None else Part(part.source, cells))
        return shared

    def _take(self, source: Source, extra: Sequence[Span] | None) -> FileCells | None:
        """A file's cells, kept ones if they will do; None, and a sentence, where it cannot be read."""
        try:
            key = key_of(source.path)
            kept = read_cells(source.path, key) if self._use_cache else None
            if kept is not None and extra in (None, kept.extra):
                self._cached.add(source.path)
                return kept
            self._cached.discard(source.path)
            return self._read(source, key, extra or ())
        except FileNotFoundError:
            return None  # somebody tidied up while we read
        except OSError as error:
            name = self._gathered.name(source.path, source.folder)
            self._gathered.excluded.append(f"{name}: {error.strerror or type(error).__name__}")
            return None

    def _read(self, source: Source, key: Key, extra: Sequence[Span]) -> FileCells:
        is_packed = source.path.suffix == ".gz"
        rows = None if is_packed else read_fast(source.path, key.size, self._tick)
        if rows is None:
            with open_source(source.path) as file:
                rows = read_rows(file, 1 << 62 if is_packed else key.size, self._tick)
        cells = build(rows, extra)
        if self._use_cache and not keep_cells(source.path, key, cells):
            self._sealed.add(source.folder)
        return cells

    def _note_cache(self, parts: Sequence[Part]) -> None:
        if not self._use_cache:
            return
        for folder in sorted({part.source.folder for part in parts}):
            forget_others(self._gathered.folders[folder])
            if folder in self._sealed:
                client = self._gathered.clients[folder]
                self._gathered.excluded.append(
                    f"{client}: cells cannot be kept in this folder, so that the next analysis reads all of it again"
                )

    def _refuse(self, parts: Sequence[Part]) -> None:
        names = [self._gathered.name(part.source.path, part.source.folder) for part in parts]
        reasons = [*self._gathered.excluded, *(f"{name}: no record of a journal in it" for name in names)]
        more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        raise ConfigError(
            f"journal: nothing could be read ({'; '.join(reasons[:3])}{more}); name a folder of watch --journal"
        )

    def _tick(self, read: int) -> None:
        self._done += read
        now = time.monotonic()
        if now - self._told_at >= OFTEN:
            self._told_at = now
            self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            size = max(self._size, self._done)
            self._progress(Progress(self._files_done, len(self._gathered.sources), self._done, size))


def _beyond(cells: FileCells, spans: Sequence[Span]) -> list[Span]:
    """Spans of the program that touch the file's pings, and that it does not know itself."""
    if cells.span is None:
        return []
    first, last = cells.span
    touching = [span for span in spans if span.first <= last and span.last >= first]
    return [] if merge([*touching, *cells.ours]) == cells.ours else merge(touching)
