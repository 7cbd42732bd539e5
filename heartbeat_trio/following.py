"""How one of several sessions is followed: at the instant of each quote and each event, without a task in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import InboxPolicy
from .inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .events import Event, PingRecord, QualitySnapshot
    from .protocol.messages import Message
    from .recorder import Recorder, SessionRecorder


class Inlet(Inbox):
    """Hands a session's quotes on at once, instead of keeping them.

    Args:
        on_quotes: Gets the quotes of each read; never waits.
    """

    def __init__(self, on_quotes: Callable[[Iterable[Message]], None]) -> None:
        super().__init__(InboxPolicy(size=1))
        self._on_quotes = on_quotes

    def put(self, messages: Iterable[Message]) -> None:
        """See `Inbox.put`."""
        self._on_quotes(messages)


class Follower:
    """Stands in for a session's journal: hands every event on at once, and to the journal, if there is one.

    Args:
        on_event: Called with each event; neither waits nor raises.
        journal: Gets everything too.
    """

    def __init__(self, on_event: Callable[[Event], None], journal: Recorder | None) -> None:
        self._on_event = on_event
        self._journal = journal
        self._session: SessionRecorder | None = None

    def start_session(
        self, endpoint: str, configuration: Mapping[str, object], quality: Callable[[], QualitySnapshot]
    ) -> Follower:
        """See `Recorder.start_session`."""
        if self._journal is not None:
            self._session = self._journal.start_session(endpoint, configuration, quality)
        return self

    def configure(self, facts: Mapping[str, object]) -> None:
        """See `SessionRecorder.configure`."""
        if self._session is not None:
            self._session.configure(facts)

    def record_event(self, connection: int, event: Event) -> None:
        """See `SessionRecorder.record_event`."""
        if self._session is not None:
            self._session.record_event(connection, event)
        self._on_event(event)

    def record_ping(self, connection: int, record: PingRecord) -> None:
        """See `SessionRecorder.record_ping`."""
        if self._session is not None:
            self._session.record_ping(connection, record)

    def close(self) -> None:
        """See `SessionRecorder.close`."""
        if self._session is not None:
            self._session.close()
