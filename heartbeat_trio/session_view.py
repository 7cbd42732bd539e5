"""What can be asked of a session at any moment: where it is, how good it is, whether it may be traded on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import trio

from .events import ConnectionState, QualitySnapshot, SessionStatus

if TYPE_CHECKING:
    from .connection import Connection
    from .endpoint import Endpoint
    from .feed import Feed
    from .inbox import Inbox
    from .sansio.detector import DetectorSnapshot
    from .sansio.quality import ConnectionQuality, Verdict
    from .sansio.windows import WindowSnapshot


class SessionView:
    """The half of `Session` that only answers. Nothing here waits or changes anything."""

    _feed: Feed

    def __init__(self, endpoint: Endpoint, inbox: Inbox, quality: ConnectionQuality) -> None:
        self.endpoint = endpoint
        self.status = SessionStatus.CONNECTING
        """Where the session is between its connections."""
        self.connections = 0
        """Connections that stood so far; the number of the one that stands, or stood last."""
        self.attempt = 0
        """The attempt that runs or ran last."""
        self._inbox = inbox
        self._quality = quality
        self._connection: Connection | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.endpoint} {self.status.value}>"

    @property
    def state(self) -> ConnectionState:
        """What the current connection's heartbeat says; DISCONNECTED between connections."""
        return ConnectionState.DISCONNECTED if self._connection is None else self._connection.state

    @property
    def missed_pongs(self) -> int:
        """Pongs missed since the last one came, on the current connection."""
        return 0 if self._connection is None else self._connection.missed_pongs

    @property
    def is_suspect(self) -> bool:
        """Whether the adaptive detector doubts the peer, while the state may be CONNECTED still."""
        return self._connection is not None and self._connection.is_suspect

    @property
    def rtt(self) -> float | None:
        """The current connection's last round-trip time in seconds, None before its first."""
        return None if self._connection is None else self._connection.rtt

    @property
    def dropped(self) -> int:
        """Quotes dropped so far because you were slow."""
        return self._inbox.dropped

    def quality(self) -> QualitySnapshot:
        """A frozen snapshot of the session's counts and the current connection's latencies (seconds)."""
        return self._quality.snapshot(trio.current_time())

    def window(self, minutes: Literal[1, 5, 60]) -> WindowSnapshot:
        """Counts and latencies (seconds) of the last 1, 5 or 60 minutes."""
        return self._quality.window(minutes, trio.current_time())

    def report(self) -> str:
        """The statistics for people, seven lines."""
        return self._quality.report()

    def is_suitable_for_trading(self, *, max_data_age: float = 10.0) -> Verdict:
        """Whether the feed may be traded on now: falsy if not, with `.reasons`.

        Args:
            max_data_age: Seconds that the newest quote may be old, where something is subscribed.
        """
        return self._judge(max_data_age, 0.0)

    def detector(self) -> DetectorSnapshot:
        """How good the failure detector has been on this session: mistakes, and how soon it found the dead."""
        return self._quality.detector.snapshot(trio.current_time())

    def should_reconnect(self) -> Verdict:
        """Whether the connection is so bad that another may be better, with `.reasons`. Advice: nothing acts on it."""
        return self._quality.should_reconnect(trio.current_time())

    def _judge(self, max_data_age: float, margin: float) -> Verdict:
        return self._quality.is_suitable_for_trading(
            trio.current_time(),
            is_connected=self._connection is not None,
            has_subscriptions=bool(self._feed.wanted),
            max_data_age=max_data_age,
            margin=margin,
        )
