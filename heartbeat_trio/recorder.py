"""What a session needs of whoever keeps its history: two small interfaces, which `heartbeat_trio.journal` implements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .events import Event, PingRecord, QualitySnapshot


class SessionRecorder(Protocol):
    """Keeps one session's history. Nothing here waits or raises."""

    def record_event(self, event: Event) -> None:
        """Something happened."""

    def record_ping(self, connection: int, record: PingRecord) -> None:
        """A ping's fate is known; `connection` counts the session's connections from 1."""

    def close(self) -> None:
        """The session ended."""


class Recorder(Protocol):
    """Keeps the history of any number of sessions."""

    def start_session(
        self, endpoint: str, configuration: Mapping[str, object], quality: Callable[[], QualitySnapshot]
    ) -> SessionRecorder:
        """A session began.

        Args:
            endpoint: Fit for printing: without query, fragment and user info.
            configuration: Its policies, as plain values without secrets.
            quality: Asked for the statistics of each minute.
        """
