"""The journal's files. Everything here runs in the writer's thread, and may block or raise `OSError`."""

from __future__ import annotations

import os
import time
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
        self._day = ""
        self._size = 0
        self._number = 0

    def append(self, data: bytes, *, fsync: bool) -> None:
        """Append whole lines. What raises is not written, but for a torn line that readers skip."""
        day = time.strftime("%Y-%m-%d", time.gmtime())
        if self._has_room(len(data), day):
            self._write(data)
        else:
            for chunk in self._chunks(data):
                if not self._has_room(len(chunk), day):
                    self._begin(day)
                self._write(chunk)
        if fsync and self._descriptor is not None:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file, if one is open."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _has_room(self, size: int, day: str) -> bool:
        return self._descriptor is not None and day == self._day and self._size + size <= self._max_bytes

    def _chunks(self, data: bytes) -> Iterator[bytes]:
        """Whole lines, as many as any file takes with its head."""
        step = self._max_bytes // 2
        while data:
            end = len(data) if len(data) <= step else data.rfind(b"\n", 0, step) + 1 or data.find(b"\n") + 1
            yield data[:end]
            data = data[end:]

    def _begin(self, day: str) -> None:
        self.close()
        self._number = 1 if day != self._day else self._number + 1
        self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        path = self._folder / f"{day}.{self._writer}.{self._number:04}{SUFFIX}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, MODE)
        self._day, self._size = day, 0
        self._write(self._make_head())

    def _write(self, data: bytes) -> None:
        assert self._descriptor is not None  # noqa: S101 - its callers have opened it
        try:
            done = os.write(self._descriptor, data)
            if done < len(data):  # a full disk takes a part, and says why only when asked for the rest
                os.write(self._descriptor, data[done:])
        except OSError:
            self.close()  # a line may be torn: what comes next begins a file of its own
            raise
        self._size += len(data)


def journal_files(folder: Path) -> list[Path]:
    """The files of a folder, compressed ones too, oldest first."""
    found = [path for path in folder.iterdir() if path.name.endswith((SUFFIX, SUFFIX + ".gz"))]
    return sorted(found, key=lambda path: path.name)
