"""How a journal is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..exceptions import ConfigError

Fsync = Literal["never", "issues", "always"]
KINDS = ("never", "issues", "always")
LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPolicy:
    """Sizes and times of a journal.

    Args:
        max_bytes: Bytes of one file; the next record begins a new one. So does a new day (UTC).
        capacity: Records that may wait for a slow disk; more are dropped, counted, and the count is journaled.
        flush_interval: Seconds between two writes, so that a kill never loses a whole second; an issue is written at once.
        fsync: When the disk is asked to keep what was written, which protects against a crash of the machine (a crash of
            the program loses nothing that was written): `never`, with each `issues` batch, or `always`.
    """

    max_bytes: int = LARGEST
    capacity: int = 100_000
    flush_interval: float = 0.5
    fsync: Fsync = "issues"

    def __post_init__(self) -> None:
        """Validate; raises `ConfigError`."""
        if not 4096 <= self.max_bytes <= LARGEST:
            raise ConfigError(f"JournalPolicy.max_bytes = {self.max_bytes!r} must be from 4096 to {LARGEST}")
        if self.capacity < 1:
            raise ConfigError(f"JournalPolicy.capacity = {self.capacity!r} must be at least 1")
        if not 0 < self.flush_interval <= 60:
            raise ConfigError(f"JournalPolicy.flush_interval = {self.flush_interval!r} must be above 0 and at most 60")
        if self.fsync not in KINDS:
            raise ConfigError(f"JournalPolicy.fsync = {self.fsync!r} must be one of {', '.join(KINDS)}")
