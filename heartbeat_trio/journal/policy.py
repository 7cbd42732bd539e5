"""How a journal is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..config import _require, _require_one_of, _require_whole

Fsync = Literal["never", "issues", "always"]
KINDS = ("never", "issues", "always")
SMALLEST = 4096
LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPolicy:
    """Sizes and times of a journal.

    Args:
        max_bytes: Bytes of one file; the next record begins a new one. So does a new day (UTC).
        capacity: Records that may wait for a slow disk; more are dropped, counted, and the count is journaled.
        flush_interval: Seconds between two writes, at most one: a kill loses no more. An issue is written at once.
        fsync: When the disk is asked to keep what was written, which protects against a crash of the machine (a crash of
            the program loses nothing that was written): `never`, with each `issues` batch, or `always`.
    """

    max_bytes: int = LARGEST
    capacity: int = 100_000
    flush_interval: float = 0.5
    fsync: Fsync = "issues"

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        _require_whole(self, "max_bytes", minimum=SMALLEST)
        _require(self, "max_bytes", minimum=SMALLEST, maximum=LARGEST)
        _require_whole(self, "capacity", minimum=1)
        _require(self, "flush_interval", minimum=0, exclusive=True, maximum=1)
        _require_one_of(self, "fsync", KINDS)
