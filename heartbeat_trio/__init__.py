"""Connections to quote servers that stay alive, on Trio.

A map of the package, from the bottom up; a module imports only what stands above it:

- `events`, `exceptions`, `config`, `policies`: what happens, what goes wrong, and what you may choose;
- `sansio`: every decision, without I/O or clock: heartbeat, detector, cause, latency, quality, gate, silence, backoff, ...;
- `protocol`: bytes to messages and back: the line protocol, the operations over WebSocket, WebSocket frames, and the
  dialects of exchanges, of which `dialects` has those that come with the package; `endpoint`: where to connect;
- `transports`: Trio streams that carry messages: TCP, TLS, WebSocket with two engines;
- `connection`: one connection and its three tasks, of which `pulse` pings and `monitor` tells; `supervisor`: connect, run,
  lose, back off;
- `session`: what survives, with `feed`, its quotes, and `gate`, which says whether they may be traded on;
- `redundant`: one feed over several lines, which are rotated; `fleet`: many sessions, which share their venues' limits;
- `balancer`: several sessions, and orders that go to the best of them, with `courier`, which carries those;
- `server`: a quote server; `observe`: what people see, and alerts; `journal`: what went wrong, on disk; `analysis`: what
  weeks of it say; `testing`: a virtual network, scripted peers, simulated exchanges, made-up journals; `cli`: the commands.
"""

from .balancer import Balancer, open_balancer
from .config import BackoffPolicy, GatePolicy, HeartbeatPolicy, InboxPolicy, RestartPolicy, ServerPolicy, SilencePolicy
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
    LineAdded,
    LineEnded,
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
    Rotated,
    RotationFailed,
    RotationStarted,
    ServerError,
    SessionStatus,
    Silence,
    SourceEvent,
    Stalled,
    StateChanged,
    Subscribed,
    Suspected,
    Throttled,
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
    OrderAmbiguous,
    PongTimeout,
    ProtocolError,
    RemoteProtocolError,
    SlowConsumer,
)
from .fleet import Fleet, open_fleet
from .fleet_snapshot import FleetSnapshot, MemberSnapshot
from .gate import Gate
from .journal import Journal, JournalPolicy, open_journal, read_journal
from .orders import (
    Ejected,
    EndpointChanged,
    EndpointSnapshot,
    EndpointState,
    Order,
    OrderAck,
    OrderChanged,
    OrderContradicted,
    OrderQuery,
    OrderRecord,
    OrderState,
    Switched,
)
from .policies import BalancerPolicy, RedundantPolicy, RotationPolicy, VenueLimits
from .redundant import RedundantFeed, open_redundant_feed
from .redundant_line import LineSnapshot
from .sansio.detector import DetectorSnapshot
from .sansio.line_figures import LineFigures
from .sansio.quality import Verdict
from .server import (
    MemoryOrderBook,
    QuoteServer,
    ReplaySource,
    SqliteOrderBook,
    SyntheticSource,
    serve_connection,
    serve_quotes,
)
from .session import Session, open_session
from .supervisor import run_session
from .transports.tls import client_context, server_context
from .venue import VenueSnapshot
from .venue_events import BeatMissed, RotationAdvised

__version__ = "0.1.0"

__all__ = [
    "Alert",
    "AlertFailed",
    "Attempt",
    "BackoffPolicy",
    "Balancer",
    "BalancerPolicy",
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
    "Ejected",
    "EndedForGood",
    "Endpoint",
    "EndpointChanged",
    "EndpointSnapshot",
    "EndpointState",
    "Event",
    "EventsDropped",
    "Evidence",
    "Fleet",
    "FleetSnapshot",
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
    "LineAdded",
    "LineEnded",
    "LineFigures",
    "LineSnapshot",
    "LocalProtocolError",
    "Lost",
    "MemberSnapshot",
    "MemoryOrderBook",
    "Order",
    "OrderAck",
    "OrderAmbiguous",
    "OrderChanged",
    "OrderContradicted",
    "OrderQuery",
    "OrderRecord",
    "OrderState",
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
    "RedundantFeed",
    "RedundantPolicy",
    "RemoteProtocolError",
    "ReplaySource",
    "RestartPolicy",
    "RetryScheduled",
    "Rotated",
    "RotationAdvised",
    "RotationFailed",
    "RotationPolicy",
    "RotationStarted",
    "ServerError",
    "ServerPolicy",
    "Session",
    "SessionStatus",
    "Silence",
    "SilencePolicy",
    "SlowConsumer",
    "SourceEvent",
    "SqliteOrderBook",
    "Stalled",
    "StateChanged",
    "Subscribed",
    "Suspected",
    "Switched",
    "SyntheticSource",
    "Throttled",
    "VenueLimits",
    "VenueSnapshot",
    "Verdict",
    "builtin_dialects",
    "client_context",
    "load_dialects",
    "open_balancer",
    "open_connection",
    "open_fleet",
    "open_journal",
    "open_redundant_feed",
    "open_session",
    "read_journal",
    "run_session",
    "serve_connection",
    "serve_quotes",
    "server_context",
]
