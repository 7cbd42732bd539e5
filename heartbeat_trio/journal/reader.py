"""Reads journals: of any number of processes, while they write, compressed or not."""

from __future__ import annotations

import gzip
import heapq
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from ..exceptions import ConfigError
from .files import journal_files
from .records import SCHEMA, Entry, PingEntry, parse_line

if TYPE_CHECKING:
    from collections.abc import Iterator


class JournalReader:
    """The records of a folder's journals. Iterate over `records`, or over one file's.

    Attributes:
        torn: Lines that were no records: the last ones of killed processes.
        unknown: Records of kinds that this version does not know.
        newest_schema: The highest schema version that was met; above `SCHEMA`, something may be missing.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(f"journal {str(folder)!r}: there is no such folder; watch --journal FOLDER writes one")
        self.folder = folder
        self.torn = 0
        self.unknown = 0
        self.newest_schema = SCHEMA

    def files(self) -> list[Path]:
        """The folder's files, oldest first."""
        return journal_files(self.folder)

    def records(self, *, since: str | None = None) -> Iterator[Entry | PingEntry]:
        """Every record, in the order of its file; files of one day and of several processes follow each other.

        Args:
            since: UTC as in the records (ISO 8601); earlier days' files are not even opened.
        """
        for path in self.files():
            if since is None or path.name[:10] >= since[:10]:
                yield from self.read_file(path)

    def entries(self, *, since: str | None = None) -> Iterator[Entry]:
        """Every record but the pings, oldest first across all processes."""
        streams: dict[str, list[Path]] = {}
        for path in self.files():
            if since is None or path.name[:10] >= since[:10]:
                streams.setdefault(path.name.split(".")[1], []).append(path)
        merged = heapq.merge(*(self._entries_of(paths) for paths in streams.values()), key=lambda entry: entry.at)
        return (entry for entry in merged if since is None or entry.at >= since)

    def read_file(self, path: Path) -> Iterator[Entry | PingEntry]:
        """One file's records."""
        with _open(path) as file:
            try:
                for line in file:
                    record = self._parse(line)
                    if record is not None:
                        yield record
            except (EOFError, gzip.BadGzipFile):
                self.torn += 1

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


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
