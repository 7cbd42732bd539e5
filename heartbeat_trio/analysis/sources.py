"""Which files there are to read, of which client and program, and which of them are others' copies."""

from __future__ import annotations

import errno
import gzip
import os
import stat
import zlib
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..exceptions import ConfigError
from ..journal.files import journal_files
from ..journal.reader import IRREGULAR
from ..journal.records import Entry, parse_line
from ..observe.printable import printable
from .rows import unix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BufferedIOBase

LINES, LONGEST = 4096, 1 << 23
"""Lines and bytes of a file's beginning in which its first record is looked for."""
TAIL = 1 << 14
"""Bytes by whose sameness a copy is known."""
WRITES = "watch --journal FOLDER writes one"


class Source(msgspec.Struct, frozen=True):
    """One file to read.

    Args:
        path: Where.
        folder: Index of the client's folder.
        size: Bytes on disk.
        writer: Who wrote it.
        head: What tells that process from others that call themselves the same: when it began.
        first: Digest of its first record behind the head; empty: there is none.
        begun_at: Unix microseconds of its first record; 0: unknown.
    """

    path: Path
    folder: int
    size: int
    writer: str
    head: str
    first: bytes
    begun_at: int

    @property
    def process(self) -> tuple[str, str]:
        """Which program wrote it."""
        return self.writer, self.head


class Gathered:
    """The files of all folders.

    Attributes:
        folders: Those that were named, each once.
        clients: By folder, a name for it.
        sources: To be read, oldest first.
        excluded: What was left out, and why.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.excluded: list[str] = []
        self.folders = self._distinct(folders)
        self.clients = _short_names(self.folders)
        found = [source for number, folder in enumerate(self.folders) for source in self._look(number, folder)]
        found.sort(key=lambda source: (source.begun_at, source.path.name, source.folder))
        self.sources = self._originals(self._one_program_each(found))

    def name(self, path: Path, folder: int) -> str:
        """A file, for people."""
        return printable(path.name if len(self.clients) == 1 else f"{self.clients[folder]}/{path.name}")

    def _distinct(self, folders: Sequence[Path]) -> list[Path]:
        if not folders:
            raise ConfigError(f"journal: no folder was named; {WRITES}")
        seen: dict[Path, Path] = {}
        for folder in folders:
            where = printable(str(folder))
            if not folder.is_dir():
                why = "it is a file; name its folder" if folder.exists() else f"there is no such folder; {WRITES}"
                raise ConfigError(f"journal {where!r}: {why}")
            resolved = folder.resolve()
            if resolved in seen:
                self.excluded.append(f"{where}: this is {printable(str(seen[resolved]))} once more, counted once")
            else:
                seen[resolved] = folder
        return list(seen)

    def _look(self, number: int, folder: Path) -> list[Source]:
        try:
            paths = journal_files(folder)
        except PermissionError as error:
            where = printable(str(folder))
            raise ConfigError(f"journal {where!r}: {error.strerror}; read it as the user who wrote it") from error
        if not paths:
            raise ConfigError(f"journal {printable(str(folder))!r}: there are no journals in it; {WRITES}")
        names = {path.name for path in paths}
        sources = []
        for path in paths:
            try:
                if path.suffix == ".gz" and path.stem in names:
                    self.excluded.append(f"{self.name(path, number)}: a compressed copy of {printable(path.stem)}")
                else:
                    sources.append(_peek(path, number))
            except FileNotFoundError:
                pass  # somebody tidied up while we looked
            except OSError as error:
                self.excluded.append(f"{self.name(path, number)}: {error.strerror or type(error).__name__}")
        return sources

    def _one_program_each(self, found: list[Source]) -> list[Source]:
        """Two programs that call themselves the same would be taken for one: the later one is left out."""
        heads: dict[str, str] = {}
        for source in found:
            if source.head:
                heads.setdefault(source.writer, source.head)
        kept = []
        for source in found:
            head = heads.get(source.writer, "")
            if not source.head:  # the beginning is damaged
                kept.append(msgspec.structs.replace(source, head=head))
            elif source.head != head:
                self.excluded.append(
                    f"{self.name(source.path, source.folder)}: another program wrote under the name "
                    f"{printable(source.writer)} before, and nobody could tell their sessions apart"
                )
            else:
                kept.append(source)
        return kept

    def _originals(self, found: list[Source]) -> list[Source]:
        """Without copies, made whenever: files that begin with the same record as a longer one and go on like it."""
        alike: dict[object, list[Source]] = {}
        for source in found:
            alike.setdefault((source.process, source.first) if source.first else source.path, []).append(source)
        copies: set[Path] = set()
        for sources in alike.values():
            originals: list[Source] = []
            for source in sorted(sources, key=lambda source: -source.size):
                original = next((longer for longer in originals if _is_beginning(source, longer)), None)
                if original is None:
                    originals.append(source)
                else:
                    copies.add(source.path)
                    name = self.name(original.path, original.folder)
                    self.excluded.append(f"{self.name(source.path, source.folder)}: a copy of {name}, counted once")
        return [source for source in found if source.path not in copies]


def _is_beginning(source: Source, longer: Source) -> bool:
    """Whether a file ends like the same place of a longer one. What is compressed is taken for it."""
    if ".gz" in (source.path.suffix, longer.path.suffix):
        return True
    ends = []
    for path in (source.path, longer.path):
        try:
            with path.open("rb") as file:
                file.seek(max(source.size - TAIL, 0))
                ends.append(file.read(min(TAIL, source.size)))
        except OSError:
            return False
    return ends[0] == ends[1]


def open_source(path: Path) -> BufferedIOBase:
    """A journal file, uncompressed.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe waits for its writer, and a device does who knows what
        raise OSError(errno.EINVAL, IRREGULAR)
    return gzip.GzipFile(path) if path.suffix == ".gz" else path.open("rb")


def _peek(path: Path, folder: int) -> Source:
    """Look at the beginning of a file: who wrote it, and what its first record of its own is."""
    parts = path.name.split(".")
    writer, head, first, begun_at, left = parts[1] if len(parts) > 3 else path.name, "", b"", 0, LONGEST
    with open_source(path) as file:
        size = os.fstat(file.fileno()).st_size
        for _ in range(LINES):
            line = _read_line(file, left)
            left -= len(line)
            if not line:
                break
            try:
                record = parse_line(line)
            except ValueError:
                continue
            if isinstance(record, Entry) and not begun_at:
                begun_at = unix(record.at) or 0
            if not isinstance(record, Entry) or record.event not in ("journal", "session"):
                first = blake2b(line.rstrip(b"\n"), digest_size=16).digest()
                break
            if record.event == "journal" and not head:
                name = record.fields.get("writer")
                writer, head = name if isinstance(name, str) else writer, f"{record.at} {record.t}"
    return Source(path, folder, size, writer, head, first, begun_at)


def _read_line(file: BufferedIOBase, left: int) -> bytes:
    try:
        return file.readline(left) if left > 0 else b""
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return b""


def _short_names(folders: Sequence[Path]) -> list[str]:
    """As little of each path as tells them apart."""
    resolved = [folder.resolve().parts for folder in folders]
    for length in range(1, max(len(parts) for parts in resolved) + 1):
        names = ["/".join(parts[-length:]) for parts in resolved]
        if len(set(names)) == len(names):
            break
    return [printable(name) for name in names]
