"""The one way out of a connection: a bounded buffer that never makes anybody wait who did not ask for it.

Whoever finds it idle writes at once, without blocking; when the socket is full, an on-demand ``writer`` task takes over.
Control messages overtake data that has not begun; of several unsent messages of one kind only the newest is kept where the
kind says so. A write that has begun is finished: half a frame, or a cancelled write below TLS, would break the stream.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

from .tls import bytes_below

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 64 * 1024
"""Bytes that one write may gather from many messages."""


MERGED = 4096
"""Bytes from which on an urgent message takes no more small ones."""


class Entry:
    """One message on its way out."""

    __slots__ = ("data", "has_begun", "is_done", "on_sent", "slot")

    def __init__(self, data: bytes, slot: str | None, on_sent: Callable[[float], None] | None) -> None:
        self.data = data
        self.slot = slot
        self.on_sent = on_sent
        self.has_begun = False
        self.is_done = False


NOTHING: deque[Entry] = deque()
"""An empty queue: nothing is ever put into this one, which all buffers share until they have something to queue."""


class OutputBuffer:
    """Everything that a connection sends passes through here.

    Args:
        stream: Where the bytes go: a `ByteStream`, or TLS or a stranger's stream on top of anything.
        nursery: Where the writer task runs when one is needed; cancelling it is the tear-down.
        name: The peer, for the task's name.
        limit: Bytes that may wait. More break the connection: the peer does not read (`on_overflow`).
        on_overflow: Called once when the limit is passed.
        spacing: Seconds between writes, one message each, for a peer that takes one read for one message.
    """

    def __init__(
        self,
        stream: trio.abc.SendStream,
        nursery: trio.Nursery,
        *,
        name: str,
        limit: int,
        on_overflow: Callable[[], None],
        spacing: float = 0.0,
    ) -> None:
        self._stream = stream
        self._nursery = nursery
        self._name = name
        self._limit = limit
        self._on_overflow = on_overflow
        self._spacing = spacing
        below = bytes_below(stream) if isinstance(stream, trio.abc.Stream) else None
        self._direct = below if below is stream and not spacing else None
        self._recall: Callable[[], None] | None = None
        self._below = below
        self._can_stamp = below is not None
        if below is not None:
            below.on_handed_over = self._handed_over
        self._urgent = NOTHING
        self._data = NOTHING
        self._writing: list[Entry] = []
        self._rest = b""
        self._is_writing = False
        self._progress: trio.Event | None = None
        self.unsent_bytes = 0
        self.is_broken = False
        self._has_ended = False

    def put(
        self, data: bytes, *, urgent: bool = False, slot: str | None = None, on_sent: Callable[[float], None] | None = None
    ) -> Entry:
        """Send without waiting, at once if nothing is queued.

        Args:
            data: One whole message.
            urgent: Overtake data that has not begun.
            slot: Replace an unsent urgent message of the same slot.
            on_sent: Called with the time at which the message was handed over.
        """
        entry = Entry(data, slot, on_sent)
        if self.is_broken or not data:
            return entry
        if self._is_writing or self.unsent_bytes:
            self._queue(entry, urgent=urgent)
        else:
            self._begin([entry])
        self.unsent_bytes += len(data)
        if not self._is_writing:
            self._flush()
        if self.unsent_bytes > self._limit:
            self.fail()
            self._on_overflow()
        return entry

    def lend(self, recall: Callable[[], None]) -> Callable[[bytes], int] | None:
        """See `Transport.lend`."""
        if self._direct is None or self.is_broken or self._has_ended or self._is_writing or self.unsent_bytes:
            return None
        self._recall = recall
        return self._direct.quick_send

    def end(self) -> None:
        """Nothing more is lent: what comes now is the last of it."""
        self._has_ended = True
        self._call_back()

    async def send(self, data: bytes) -> bool:
        """Send and wait until it was handed over; False if the connection broke first.

        Cancelled before its first byte left, the message is withdrawn whole; later, it is completed all the same.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while self.unsent_bytes and self.unsent_bytes + len(data) > self._limit and not self.is_broken:
            await self._wait_progress()
        entry = self.put(data)
        try:
            while not (entry.is_done or self.is_broken):
                await self._wait_progress()
        finally:
            self.withdraw(entry)
        await trio.lowlevel.checkpoint_if_cancelled()
        return entry.is_done

    def withdraw(self, entry: Entry) -> bool:
        """Take a message back; False if it is too late: a byte of it may have left."""
        if entry.has_begun:
            return False
        if entry in self._data:
            self._data.remove(entry)
            self.unsent_bytes -= len(entry.data)
        return True

    async def wait_idle(self) -> None:
        """Wait until nothing is queued, or the connection is broken."""
        while self.unsent_bytes and not self.is_broken:
            await self._wait_progress()
        await trio.lowlevel.checkpoint()

    def fail(self) -> None:
        """The stream is broken or was given up: forget what is queued, and wake everybody who waits."""
        self.is_broken = True
        self._call_back()
        self._urgent = self._data = NOTHING
        self.unsent_bytes = 0
        self._wake()

    def _queue(self, entry: Entry, *, urgent: bool) -> None:
        if entry.slot is not None:
            self._drop_slot(entry.slot)
        if not urgent:
            self._data = self._data or deque()
            self._data.append(entry)
        elif not self._merge(entry):
            self._urgent = self._urgent or deque()
            self._urgent.append(entry)

    def _drop_slot(self, slot: str) -> None:
        for entry in self._urgent:
            if entry.slot == slot:
                self._urgent.remove(entry)
                self.unsent_bytes -= len(entry.data)
                return

    def _merge(self, entry: Entry) -> bool:
        """Glue a small answer to the one that waits before it: a flood of pings must not cost an object each."""
        last = self._urgent[-1] if self._urgent and not self._spacing else entry
        if last is entry or entry.slot or last.slot or entry.on_sent or last.on_sent or len(last.data) > MERGED:
            return False
        last.data += entry.data
        return True

    def _flush(self) -> None:
        """Write what goes without waiting; leave the rest to a writer task."""
        if self._direct is not None:
            try:
                while self._gather():
                    sent = self._direct.send_nowait(self._rest)
                    if sent < len(self._rest):
                        self._rest = self._rest[sent:]
                        break
                    self._handed_over()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                # The reader learns of it from the same socket, after what the peer still had to say. The write that
                # failed was a new one, and nothing of it was taken.
                for entry in self._writing:
                    entry.has_begun = False
                self.fail()
        if self._gather() and not self.is_broken:
            self._start_writer()

    def _start_writer(self) -> None:
        self._is_writing = True
        self._call_back()
        self._nursery.start_soon(self._write, name=f"writer {self._name}")

    async def _write(self) -> None:  # noqa: ASYNC910 - nobody awaits it
        """The writer task: there is something to write when it starts, and it ends when nothing is left."""
        try:
            while True:
                if not self._can_stamp:
                    self._stamp()
                await self._stream.send_all(self._rest)
                self._handed_over()
                if self._spacing:
                    await trio.sleep(self._spacing)
                if self.is_broken or not self._gather():
                    break
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.fail()
        finally:
            self._is_writing = False

    def _call_back(self) -> None:
        """Take back what was lent."""
        recall, self._recall = self._recall, None
        if recall is not None:
            recall()

    def _gather(self) -> bool:
        """Make the next write of whole messages: all that is urgent, or as much data as fits; False if there is none."""
        if self._writing:
            return True
        queue = self._urgent or self._data
        if not queue:
            return False
        taken: list[Entry] = []
        size = 0
        while queue and (not taken or (size + len(queue[0].data) <= CHUNK and not self._spacing)):
            taken.append(queue.popleft())
            size += len(taken[-1].data)
        self._begin(taken)
        return True

    def _begin(self, entries: list[Entry]) -> None:
        """Make these whole messages the next write."""
        for entry in entries:
            entry.has_begun = True
        self._writing = entries
        self._rest = entries[0].data if len(entries) == 1 else b"".join(entry.data for entry in entries)

    def _handed_over(self) -> None:
        """All bytes of the current write were accepted below us. Called again for the same write, it does nothing."""
        if not self._writing:
            return
        self._stamp()
        for entry in self._writing:
            entry.is_done = True
            self.unsent_bytes -= len(entry.data)
        self._writing = []
        self._rest = b""
        self._wake()

    def _stamp(self) -> None:
        """Say when it left: just before it was handed over, as a near peer's pong can be faster than the call's return."""
        sent_at = self._below.sent_at if self._below is not None else None
        now = trio.current_time() if sent_at is None else sent_at
        for entry in self._writing:
            if entry.on_sent is not None:
                entry.on_sent(now)
                entry.on_sent = None

    def _wake(self) -> None:
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.set()

    async def _wait_progress(self) -> None:
        if self._progress is None:
            self._progress = trio.Event()
        await self._progress.wait()
