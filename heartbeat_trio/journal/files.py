"""The journal's files. Everything here runs in the writer's thread, and may block or raise `OSError`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .records import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MODE, FOLDER_MODE = 0o600, 0o700


class JournalFile:
    """Appends whole lines to the file of the day, and begins another where it is time.

    Args:
        folder: Where.
        writer: Names the process, so that many can share the folder without locks.
        max_bytes: Size of one file.
        make_head: Makes the lines that each file begins with.
    """

    def __init__(self, folder: Path, writer: str, *, max_bytes: int, make_head: Callable[[], Sequence[bytes]]) -> None:
        self._folder = folder
        self._writer = writer
        self._max_bytes = max_bytes
        self._make_head = make_head
        self._descriptor: int | None = None
        self._day = ""
        self._size = 0
        self._number = 0

    def append(self, lines: Sequence[bytes], *, fsync: bool) -> None:
        """Append lines, each with its line end. What raises is not written, but for a torn line that readers skip."""
        day = time.strftime("%Y-%m-%d", time.gmtime())
        while lines:
            if self._descriptor is None or day != self._day or self._size + len(lines[0]) > self._max_bytes:
                self._begin(day)
            fitting = self._fitting(lines)
            self._write(b"".join(lines[:fitting]))
            lines = lines[fitting:]
        if fsync and self._descriptor is not None:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file, if one is open."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _fitting(self, lines: Sequence[bytes]) -> int:
        """How many of the lines still fit, at least one."""
        size = self._size
        for index, line in enumerate(lines):
            size += len(line)
            if size > self._max_bytes and index:
                return index
        return len(lines)

    def _begin(self, day: str) -> None:
        self.close()
        self._number = 1 if day != self._day else self._number + 1
        self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        path = self._folder / f"{day}.{self._writer}.{self._number:04}{SUFFIX}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, MODE)
        self._day, self._size = day, 0
        self._write(b"".join(self._make_head()))

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
