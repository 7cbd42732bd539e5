"""Reads journals: of any number of processes, while they write, compressed or not."""

from __future__ import annotations

import errno
import gzip
import heapq
import math
import stat
import zlib
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from ..exceptions import ConfigError
from ..observe.jsonlines import timestamp
from ..observe.text import printable
from .files import journal_files
from .records import SCHEMA, Entry, PingEntry, parse_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    Queue = list[tuple[str, int, Entry, Iterator[Entry]]]


IRREGULAR = "this is no regular file"


class JournalReader:
    """The records of a folder's journals. Iterate over `records`, or over one file's.

    Attributes:
        torn: Lines that were no records: the last ones of killed processes.
        unknown: Records of kinds that this version does not know.
        newest_schema: The highest schema version that was met; above `SCHEMA`, something may be missing.
        skipped: Names of files that could not be read, and why: others wrote them, or they are no files (folders, pipes,
            devices), which are not even opened.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(
                f"journal {printable(str(folder))!r}: there is no such folder; watch --journal FOLDER writes one"
            )
        self.folder = folder
        self.torn = 0
        self.unknown = 0
        self.newest_schema = SCHEMA
        self.skipped: dict[str, str] = {}

    def files(self) -> list[Path]:
        """The folder's files, oldest first."""
        try:
            return journal_files(self.folder)
        except PermissionError as error:
            where = printable(str(self.folder))
            raise ConfigError(f"journal {where}: {error.strerror}; read it as the user who wrote it") from error

    def records(self, *, since: str | None = None) -> Iterator[Entry | PingEntry]:
        """Every record, in the order of its file; files of one day and of several processes follow each other.

        Args:
            since: A time in ISO 8601, UTC where it does not say. Earlier records are left out, pings too; files of earlier
                days are not even opened.

        Raises:
            ConfigError: `since` is no time.
        """
        since = _as_recorded(since)
        for path in self._files_since(since):
            records = self.read_file(path)
            yield from records if since is None else _later(records, since)

    def entries(self, *, since: str | None = None) -> Iterator[Entry]:
        """Every record but the pings, oldest first across all processes; `since` as in `records`."""
        since = _as_recorded(since)
        streams: dict[str, list[Path]] = {}
        for path in self._files_since(since):
            streams.setdefault(path.name.split(".")[1], []).append(path)
        return (entry for entry in self._merge(list(streams.values())) if since is None or entry.at >= since)

    def _files_since(self, since: str | None) -> list[Path]:
        return [path for path in self.files() if since is None or path.name[:10] >= since[:10]]

    def read_file(self, path: Path) -> Iterator[Entry | PingEntry]:
        """One file's records; none, and an entry in `skipped`, where it cannot be read."""
        try:
            with _open(path) as file:
                for line in file:
                    record = self._parse(line)
                    if record is not None:
                        yield record
        except FileNotFoundError:
            pass  # somebody tidied up while we read
        except (EOFError, gzip.BadGzipFile, zlib.error):
            self.torn += 1
        except OSError as error:
            self.skipped[path.name] = error.strerror or type(error).__name__

    def _merge(self, streams: list[list[Path]]) -> Iterator[Entry]:
        """Entries by time. A stream is opened when its time has come: a program that keeps crashing leaves thousands."""
        waiting = sorted(((_begin(paths[0]), number) for number, paths in enumerate(streams)), reverse=True)
        queue: Queue = []
        while waiting or queue:
            while waiting and (not queue or waiting[-1][0] <= queue[0][0]):
                number = waiting.pop()[1]
                _push(queue, number, self._entries_of(streams[number]))
            if queue:
                _, number, entry, entries = heapq.heappop(queue)
                yield entry
                _push(queue, number, entries)

    def _entries_of(self, paths: list[Path]) -> Iterator[Entry]:
        for path in paths:
            for record in self.read_file(path):
                if isinstance(record, Entry):
                    yield record

    def _parse(self, line: bytes) -> Entry | PingEntry | None:
        try:
            record = parse_line(line)
        except ValueError:
            self.torn += 1
            return None
        if record is None:
            self.unknown += 1
        elif isinstance(record, Entry) and record.event == "journal":
            schema = record.fields.get("schema")
            self.newest_schema = max(self.newest_schema, schema if isinstance(schema, int) else 0)
        return record


def read_journal(folder: Path | str) -> JournalReader:
    """Open a folder of journals for reading.

    Raises:
        ConfigError: There is no such folder.
    """
    return JournalReader(Path(folder))


def _later(records: Iterator[Entry | PingEntry], since: str) -> Iterator[Entry | PingEntry]:
    """Those of `since` or later. A ping knows only the program's time; the entry before it in its file knows both."""
    start, earliest = _unix(since), -math.inf
    for record in records:
        if isinstance(record, Entry):
            with suppress(ValueError, OverflowError):  # a strange line dates nothing
                earliest = record.t + start - _unix(record.at)
        if record.at >= since if isinstance(record, Entry) else record.t >= earliest:
            yield record


def _unix(at: str) -> float:
    """A time in ISO 8601, UTC where it does not say, as seconds."""
    when = datetime.fromisoformat(at)
    return when.replace(tzinfo=when.tzinfo or UTC).timestamp()


def _as_recorded(since: str | None) -> str | None:
    """A time as the records have it, so that their text can be compared."""
    try:
        return None if since is None else timestamp(_unix(since))
    except (ValueError, OverflowError) as error:
        example = "a time in UTC such as 2026-11-24 or 2026-11-24T10:00"
        raise ConfigError(f"journal since {printable(since or '')!r}: it must be {example}") from error


def _push(queue: Queue, number: int, entries: Iterator[Entry]) -> None:
    entry = next(entries, None)
    if entry is not None:
        heapq.heappush(queue, (entry.at, number, entry, entries))


def _begin(path: Path) -> str:
    """When a file's first record was made; one that cannot be told is read first."""
    try:
        with _open(path) as file:
            record = parse_line(file.readline())
    except (ValueError, EOFError, OSError, zlib.error):
        return ""
    return record.at if isinstance(record, Entry) else ""


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe waits for its writer, and a device does who knows what
        raise OSError(errno.EINVAL, IRREGULAR)
    with cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb") as file:
        yield file
