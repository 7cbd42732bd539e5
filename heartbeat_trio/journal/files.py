"""The journal's files. Everything here runs in the writer's thread, and may block or raise `OSError`."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .records import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODE, FOLDER_MODE = 0o600, 0o700


class JournalFile:
    """Appends whole lines to the file of the day, and begins another where it is time.

    Args:
        folder: Where.
        writer: Names the process, so that many can share the folder without locks.
        max_bytes: Size of one file.
        make_head: Makes the lines that each file begins with.
    """

    def __init__(self, folder: Path, writer: str, *, max_bytes: int, make_head: Callable[[], bytes]) -> None:
        self._folder = folder
        self._writer = writer
        self._max_bytes = max_bytes
        self._make_head = make_head
        self._descriptor: int | None = None
        self._path = folder
        self._day = ""
        self._size = 0
        self._number = 0
        self.lines = 0
        """Whole lines that the disk took, the heads apart."""

    def append(self, data: bytes) -> None:
        """Append whole lines.

        Raises:
            OSError: Not everything was written; `lines` tells how much. A torn line may be left, which readers skip.
        """
        self._leave_if_removed()
        day = time.strftime("%Y-%m-%d", time.gmtime())
        if self._has_room(len(data), day):
            self._write(data)
        else:
            for chunk in self._chunks(data):
                if not self._has_room(len(chunk), day):
                    self._begin(day)
                self._write(chunk)

    def sync(self) -> None:
        """Have the disk keep what was written. Not every file system can: `OSError` says nothing about the lines."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file, if one is open."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _has_room(self, size: int, day: str) -> bool:
        return self._descriptor is not None and day == self._day and self._size + size <= self._max_bytes

    def _leave_if_removed(self) -> None:
        """A file that somebody removed would take all that comes, and nobody would ever see it."""
        if self._descriptor is not None and not self._path.exists():
            self.close()

    def _chunks(self, data: bytes) -> Iterator[bytes]:
        """Whole lines, as many as any file takes with its head."""
        step, start = self._max_bytes // 2, 0
        while start < len(data):
            whole = data.rfind(b"\n", start, start + step) + 1 or data.find(b"\n", start) + 1
            end = len(data) if len(data) - start <= step else whole
            yield data[start:end]
            start = end

    def _begin(self, day: str) -> None:
        self.close()
        self._day, self._number = day, 1 if day != self._day else self._number + 1
        self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._descriptor = self._create()
        lines = self.lines
        try:
            self._size = self._write_all(self._make_head())
        except OSError:
            self.lines = lines
            with suppress(OSError):
                self._path.unlink()  # a full disk is tried again and again: leave no stump each time
            raise

    def _create(self) -> int:
        """Open the next file that is not there yet: where the clock was set back over midnight, the day has some."""
        while True:
            self._path = self._folder / f"{self._day}.{self._writer}.{self._number:04}{SUFFIX}"
            try:
                return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, MODE)
            except FileExistsError:
                self._number += 1

    def _write(self, data: bytes) -> None:
        self._size += self._write_all(data)
        self.lines += data.count(b"\n")

    def _write_all(self, data: bytes) -> int:
        """Write, and return the size."""
        assert self._descriptor is not None  # noqa: S101 - its callers have opened it
        done = 0
        try:
            while done < len(data):  # a full disk takes a part, and says why only when asked for the rest
                done += os.write(self._descriptor, data[done:] if done else data)
        except OSError:
            self.lines += data.count(b"\n", 0, done)
            with suppress(OSError):
                self.close()  # a line may be torn: what comes next begins a file of its own
            raise
        return done


def journal_files(folder: Path) -> list[Path]:
    """The files of a folder, compressed ones too, oldest first."""
    found = [path for path in folder.iterdir() if path.name.endswith((SUFFIX, SUFFIX + ".gz"))]
    return sorted(found, key=lambda path: path.name)
