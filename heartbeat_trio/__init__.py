"""Connections to quote servers that stay alive, on Trio.

A map of the package, from the bottom up; a module imports only what stands above it:

- `exceptions`, `events`, `config`: what goes wrong, what happens, and what you may choose;
- `sansio`: every decision, without I/O or clock: heartbeat, detector, cause, latency, quality, gate, silence, backoff, ...;
- `protocol`: bytes to messages and back: the line protocol, the operations over WebSocket, WebSocket frames, and the
  `dialects` of exchanges;
- `transports`: Trio streams that carry messages: TCP, TLS, WebSocket with two engines;
- `connection`: one connection and its three tasks, `pulse`: its pinger; `supervisor`: connect, run, lose, back off;
- `session`: what survives, with `feed`, its quotes, and `gate`, which says whether they may be traded on;
- `server`: a quote server; `journal`: what went wrong, on disk; `testing`: a virtual network and scripted peers;
- `observe` and `cli`: what people see, and alerts.
"""

from .config import (
    BackoffPolicy,
    GatePolicy,
    HeartbeatPolicy,
    InboxPolicy,
    RestartPolicy,
    ServerPolicy,
    SilencePolicy,
)
from .connection import Connection, open_connection
from .dialects import builtin_dialects, load_dialects
from .endpoint import Endpoint
from .events import (
    Alert,
    AlertFailed,
    Attempt,
    Cause,
    ClockJumped,
    Closed,
    Connected,
    Connecting,
    ConnectionState,
    EndedForGood,
    Event,
    EventsDropped,
    Evidence,
    Gap,
    GateChanged,
    HighLatency,
    Lost,
    Overrun,
    PingRecord,
    PongLate,
    PongMissed,
    PongReceived,
    PongVoided,
    QualitySnapshot,
    Quote,
    RetryScheduled,
    ServerError,
    SessionStatus,
    Silence,
    StateChanged,
    Subscribed,
    Suspected,
)
from .exceptions import (
    ConfigError,
    ConnectError,
    ConnectionClosed,
    ConnectionLost,
    GateClosed,
    GaveUp,
    HeartbeatTrioError,
    InternalError,
    LocalProtocolError,
    PongTimeout,
    ProtocolError,
    RemoteProtocolError,
    SlowConsumer,
)
from .gate import Gate
from .journal import Journal, JournalPolicy, open_journal, read_journal
from .sansio.detector import DetectorSnapshot
from .sansio.quality import Verdict
from .server import QuoteServer, ReplaySource, SyntheticSource, serve_connection, serve_quotes
from .session import Session, open_session
from .supervisor import run_session
from .transports.tls import client_context, server_context
from .venue_events import BeatMissed, RotationAdvised

__version__ = "0.1.0"

__all__ = [
    "Alert",
    "AlertFailed",
    "Attempt",
    "BackoffPolicy",
    "BeatMissed",
    "Cause",
    "ClockJumped",
    "Closed",
    "ConfigError",
    "ConnectError",
    "Connected",
    "Connecting",
    "Connection",
    "ConnectionClosed",
    "ConnectionLost",
    "ConnectionState",
    "DetectorSnapshot",
    "EndedForGood",
    "Endpoint",
    "Event",
    "EventsDropped",
    "Evidence",
    "Gap",
    "Gate",
    "GateChanged",
    "GateClosed",
    "GatePolicy",
    "GaveUp",
    "HeartbeatPolicy",
    "HeartbeatTrioError",
    "HighLatency",
    "InboxPolicy",
    "InternalError",
    "Journal",
    "JournalPolicy",
    "LocalProtocolError",
    "Lost",
    "Overrun",
    "PingRecord",
    "PongLate",
    "PongMissed",
    "PongReceived",
    "PongTimeout",
    "PongVoided",
    "ProtocolError",
    "QualitySnapshot",
    "Quote",
    "QuoteServer",
    "RemoteProtocolError",
    "ReplaySource",
    "RestartPolicy",
    "RetryScheduled",
    "RotationAdvised",
    "ServerError",
    "ServerPolicy",
    "Session",
    "SessionStatus",
    "Silence",
    "SilencePolicy",
    "SlowConsumer",
    "StateChanged",
    "Subscribed",
    "Suspected",
    "SyntheticSource",
    "Verdict",
    "builtin_dialects",
    "client_context",
    "load_dialects",
    "open_connection",
    "open_journal",
    "open_session",
    "read_journal",
    "run_session",
    "serve_connection",
    "serve_quotes",
    "server_context",
]
