"""The half of the journal that runs in the writer's thread: it encodes, writes, counts what the disk refused, and warns."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from .files import JournalFile
from .records import ISSUES, ping_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .policy import JournalPolicy

logger = logging.getLogger("heartbeat_trio.journal")

RETRY = 10.0
"""Seconds after which a disk that refused is tried again."""

Fields = dict[str, Any]
Record = tuple[str | None, Any]
"""An event's name with its object, or None with a ping's session, connection and record."""


class Disk:
    """Writes batches of records. Only one thread at a time may be in here; nothing raises for what the disk does.

    Args:
        folder: Where.
        writer: Names the process.
        policy: Sizes and fsync.
        begun: The record that each file begins with.
        sessions: Gives the records of the sessions that run, which follow it.
    """

    def __init__(
        self, folder: Path, writer: str, policy: JournalPolicy, *, begun: Fields, sessions: Callable[[], list[Fields]]
    ) -> None:
        self.folder = folder
        self.refused = 0
        """Records that the disk did not take."""
        self._fsync = policy.fsync
        self._begun = begun
        self._sessions = sessions
        self._told: set[str] = set()
        self._reported = 0
        self._has_warned = False
        self._has_warned_of_sync = False
        self._encoder = msgspec.json.Encoder()
        self._file = JournalFile(folder, writer, max_bytes=policy.max_bytes, make_head=self._make_head)

    def write(self, batch: Sequence[Record], overflowed: int, dropped: Fields) -> bool:
        """Write records, and how many were lost since that was last written; False if the disk refused.

        Args:
            batch: What to write.
            overflowed: Records that never came here, since the program began.
            dropped: The record that takes the count.
        """
        missing = overflowed + self.refused - self._reported
        if not batch and not missing:
            return True
        lines = [ping_line(*content) if name is None else content for name, content in batch]
        if missing:
            lines.append(dropped | {"count": missing})
        before = self._file.lines
        is_well = True
        try:
            self._file.append(self._encoder.encode_lines(lines))
        except OSError as error:
            is_well = False
            self.warn(error)
        finally:  # a session's record that was refused is told at the head of the next file
            self._told |= {content["session"] for name, content in batch if name == "session"}
        self._account(len(batch), missing, self._file.lines - before)
        self._has_warned = self._has_warned and not is_well
        if is_well and self._needs_fsync(batch):
            self._sync()
        return is_well

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError as error:  # some network file systems tell only now that there is no room
            self.warn(error)

    def _account(self, tried: int, missing: int, written: int) -> None:
        self.refused += max(0, tried - written)
        if written > tried:  # the count of what was lost comes last
            self._reported += missing

    def _needs_fsync(self, batch: Sequence[Record]) -> bool:
        return self._fsync == "always" or (self._fsync == "issues" and any(name in ISSUES for name, _ in batch))

    def _sync(self) -> None:
        """What was written counts as written, whatever comes of this: many file systems know no fsync."""
        try:
            self._file.sync()
        except OSError as error:
            if not self._has_warned_of_sync:
                self._has_warned_of_sync = True
                logger.warning(
                    "the journal in %s is written, but fsync fails (%s): a power cut may cost its last records;"
                    ' JournalPolicy(fsync="never") does without.',
                    self.folder,
                    error.strerror or str(error),
                )

    def _make_head(self) -> bytes:
        sessions = self._sessions()
        self._told &= {session["session"] for session in sessions}  # those that ended are not told again
        return self._encoder.encode_lines([self._begun, *(each for each in sessions if each["session"] in self._told)])

    def warn(self, error: OSError) -> None:
        """Once until it works again: the connections go on without a journal."""
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "the journal in %s cannot be written (%s): records are lost until it can; free the disk, or make the folder"
                " writable. It is tried again every %.0f s, and the connections go on.",
                self.folder,
                error.strerror or str(error),
                RETRY,
            )
