"""Recordings of what came, in the format that `ReplaySource` reads: ``unix time: message``, one a line."""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..exceptions import ConfigError
from .output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

logger = logging.getLogger("heartbeat_trio.recording")


@contextmanager
def open_recording(path: Path, endpoint: str) -> Iterator[Callable[[bytes], None]]:
    """Append to a file that only its owner can read; gives a function that records one message.

    It never waits: a thread writes. A full disk ends the recording, not the connection, and is logged as a warning.

    Raises:
        ConfigError: The file cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise ConfigError(f"recording {path}: {error.strerror}") from error
    file = os.fdopen(descriptor, "a", encoding="utf-8", errors="replace")
    try:
        with Output(file) as output:
            output.put(f"{endpoint} <-> {time.time()}")

            def record(message: bytes) -> None:
                text = message.decode("utf-8", "replace").replace("\n", " ").rstrip("\r")
                output.put(f"{time.time()}: {text}")

            yield record
        if output.error is not None:
            logger.warning("the recording %s ended early: %s", path, output.error)
    finally:
        with suppress(OSError):  # what could not be written will not be written now
            file.close()
