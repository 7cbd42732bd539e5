"""Output through one worker thread and a bounded queue: a stalled terminal or disk must not become our own stall."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

CAPACITY = 100_000
"""Lines that may wait for a slow terminal. More are dropped, and counted."""

CLOSE_TIMEOUT = 1.0
"""Seconds that the end waits for what is unwritten."""

POLL = 0.01


class Sink(Protocol):
    """Where lines go. Both are called in the worker thread."""

    def write(self, text: str) -> object:
        """Write text; an `OSError` ends the output."""

    def flush(self) -> object:
        """Let everybody see it."""


class Output:
    """A writer of lines that never waits.

    Use it as a context manager around `trio.run`; it knows nothing of Trio. When the reader of a pipe goes away, it falls
    silent (`is_broken`).

    Args:
        sink: Where the lines go.
        capacity: Lines that may wait.
    """

    def __init__(self, sink: Sink, *, capacity: int = CAPACITY) -> None:
        self._sink = sink
        self._queue: queue.Queue[str] = queue.Queue(capacity)
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="output", daemon=True)
        self.dropped = 0
        """Lines that were dropped because the sink was too slow."""
        self.error: OSError | None = None
        """Why nothing is written any more, if so."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_broken(self) -> bool:
        """Whether the sink failed: the reader of our pipe has gone, or the disk is full."""
        return self.error is not None

    def put(self, line: str) -> None:
        """Write a line, soon. If too many wait, it is dropped and counted."""
        if self.error is not None:
            return
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits, for at most a second."""
        self._is_closing.set()
        deadline = time.monotonic() + CLOSE_TIMEOUT
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._thread.join(POLL)

    def _work(self) -> None:
        try:
            while not (self._is_closing.is_set() and self._queue.empty()):
                try:
                    line = self._queue.get(timeout=0.05)
                except queue.Empty:
                    continue
                self._sink.write(line + "\n")
                self._sink.flush()
        except (OSError, ValueError) as error:  # ValueError: somebody closed the file
            self.error = error if isinstance(error, OSError) else OSError(str(error))
