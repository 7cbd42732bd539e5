"""Writes the journal: sessions put records into a bounded queue, one task hands them to a thread in batches."""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections import deque
from contextlib import asynccontextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import trio

from .._background import open_background
from ..events import ClockJumped, Event, PingRecord, PongReceived, QualitySnapshot
from ..observe import jsonlines
from .disk import RETRY, Disk
from .policy import JournalPolicy
from .records import ISSUES, SCHEMA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from .disk import Fields, Record

CLOSE_TIMEOUT = 1.0
"""Seconds that the end waits for the disk."""

GATHER = 0.02
"""Seconds after an issue in which others may join its write: what goes wrong seldom goes wrong alone."""

MINUTE = 60.0

T = TypeVar("T")


class SessionJournal:
    """One session's part of a journal; what `Session` calls a recorder."""

    def __init__(
        self,
        journal: Journal,
        name: str,
        endpoint: str,
        configuration: Mapping[str, object],
        quality: Callable[[], QualitySnapshot],
    ) -> None:
        self._journal = journal
        self.name = name
        self._endpoint = endpoint
        self.quality = quality
        fields = {"configuration": dict(configuration)}
        self.begun = journal.entry("session", trio.current_time(), name, endpoint, fields)
        """The record of the session's beginning, with what is known of its configuration by now."""
        self._has_ended = False

    def configure(self, facts: Mapping[str, object]) -> None:
        """Tell the beginning again, with more of the configuration."""
        known = self.begun["configuration"] | msgspec.to_builtins(dict(facts))  # what JSON cannot hold is refused here
        self.begun = self.begun | {"configuration": known}
        self._journal.put(("session", self.begun))

    def record_event(self, connection: int, event: Event) -> None:
        """Keep an event. Pongs in time are kept with their pings."""
        if isinstance(event, ClockJumped):
            self._journal.set_clock()
        described = None if isinstance(event, PongReceived) else jsonlines.describe(event)
        if described is not None:
            self._put(described[0], event.at, {"connection": connection} | described[1])

    def record_ping(self, connection: int, record: PingRecord) -> None:
        """Keep a ping's record."""
        self._journal.put((None, (self.name, connection, record)))

    def record_statistics(self) -> None:
        """Keep what the session's statistics are now."""
        self._put("statistics", trio.current_time(), jsonlines.describe_quality(self.quality()))

    def close(self) -> None:
        """The session ended. More than once is as good as once."""
        if not self._has_ended:
            self._has_ended = True
            self.record_statistics()
            self._journal.end_session(self)

    def _put(self, event: str, at: float, fields: Fields) -> None:
        self._journal.put((event, self._journal.entry(event, at, self.name, self._endpoint, fields)))


class Journal:
    """A folder's journal, as `open_journal` gives it: hand it to `open_session(..., journal=journal)`.

    Nothing here waits or raises, whatever the disk does.
    """

    def __init__(self, folder: Path, policy: JournalPolicy) -> None:
        self.folder = folder
        self._policy = policy
        self._queue: deque[Record] = deque()
        self._sessions: list[SessionJournal] = []
        self._writer = f"{os.getpid()}-{secrets.token_hex(3)}"
        self._count = 0
        self._limiter = trio.CapacityLimiter(1)
        self._urgent = trio.Event()
        self._overflowed = 0
        self.set_clock()
        self._disk = Disk(folder, self._writer, policy, begun=self._describe_writer(), sessions=self._list_sessions)

    @property
    def dropped(self) -> int:
        """Records that were lost to a slow or full disk."""
        return self._overflowed + self._disk.refused

    def __repr__(self) -> str:
        return f"<Journal {self.folder} waiting={len(self._queue)} dropped={self.dropped}>"

    def start_session(
        self, endpoint: str, configuration: Mapping[str, object], quality: Callable[[], QualitySnapshot]
    ) -> SessionJournal:
        """See `heartbeat_trio.recorder.Recorder.start_session`."""
        self._count += 1
        session = SessionJournal(self, f"{self._writer}-{self._count}", endpoint, configuration, quality)
        self._sessions.append(session)
        self.put(("session", session.begun))
        return session

    def end_session(self, session: SessionJournal) -> None:
        """It has told its last words."""
        self._sessions.remove(session)

    def put(self, record: Record) -> None:
        """Queue a record; if too many wait, it is dropped and counted."""
        if len(self._queue) >= self._policy.capacity:
            self._overflowed += 1
            return
        self._queue.append(record)
        if record[0] in ISSUES:
            self._urgent.set()

    def entry(self, event: str, at: float, session: str | None, endpoint: str | None, fields: Fields) -> Fields:
        """An object of the journal."""
        head: Fields = {"event": event, "at": jsonlines.timestamp(at + self._offset), "t": round(at, 6)}
        if session is not None:
            head |= {"session": session, "endpoint": endpoint}
        return head | fields

    def set_clock(self) -> None:
        """Take the wall clock's offset anew: it is only a label, and stays put until somebody sets the clock."""
        self._offset = time.time() - trio.current_time()

    # -- the tasks ---------------------------------------------------------------------------------------------------

    async def write(self) -> None:
        """The writer task."""
        while True:
            with trio.move_on_after(self._policy.flush_interval):
                await self._urgent.wait()
                await trio.sleep(GATHER)
            self._urgent = trio.Event()
            if not await self._flush():
                await trio.sleep(RETRY)

    async def tell_statistics(self) -> None:
        """The task that keeps the statistics of each minute."""
        while True:
            await trio.sleep(MINUTE)
            for session in self._sessions:
                session.record_statistics()

    async def close(self) -> None:
        """Write what is left. Bound it with a timeout: the disk may hang."""
        await self._flush()
        await self._in_thread(self._disk.close)

    async def _flush(self) -> bool:
        """Write everything that waits; False if the disk refused."""
        await trio.lowlevel.checkpoint()
        batch = list(self._queue)
        self._queue.clear()
        dropped = self.entry("dropped", trio.current_time(), None, None, {})
        return await self._in_thread(partial(self._disk.write, batch, self._overflowed, dropped))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Left alone when cancelled, since a disk may hang; what comes next waits for its turn."""
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)

    def _list_sessions(self) -> list[Fields]:
        """In the thread."""
        return [session.begun for session in list(self._sessions)]

    def _describe_writer(self) -> Fields:
        versions = {name: _version(name) for name in ("heartbeat-trio", "trio")}
        versions |= {"python": platform.python_version(), "platform": platform.platform()}
        fields: Fields = {"schema": SCHEMA, "writer": self._writer, "versions": versions}
        return self.entry("journal", trio.current_time(), None, None, fields)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


@asynccontextmanager
async def open_journal(folder: Path | str, *, policy: JournalPolicy | None = None) -> AsyncIterator[Journal]:
    """Keep a journal in a folder for the length of the block, which is made if it is not there.

    Leaving the block writes what is left, within a second. A kill loses at most the last `JournalPolicy.flush_interval`.

    Args:
        folder: Any number of processes may share it.
        policy: Sizes and times.
    """
    journal = Journal(Path(folder), policy or JournalPolicy())
    try:
        async with open_background() as background:
            background.start_soon(journal.write, name=f"journal {folder}")
            background.start_soon(journal.tell_statistics, name=f"journal statistics {folder}")
            yield journal
    finally:
        with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
            await journal.close()
