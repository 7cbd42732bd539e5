"""The error tree. Every expected failure reaches the caller as one bare exception of it, never as a group.

HeartbeatTrioError
├── ConfigError(ValueError)          a policy or an endpoint that cannot be; names the field and the value
├── ProtocolError
│   ├── LocalProtocolError           you asked for something the protocol does not allow
│   └── RemoteProtocolError          the peer broke the protocol
├── ConnectError                     one attempt to connect failed; ``__cause__`` says why
├── ConnectionClosed                 an orderly end
├── ConnectionLost(ConnectionError)  the connection ended without a goodbye
│   └── PongTimeout(TimeoutError)    ... because the peer stopped answering
├── SlowConsumer                     the consumer fell behind, not the connection
├── GateClosed                       the trading gate closed while you relied on it
├── OrderAmbiguous                   nobody can say whether an order arrived; ``record`` tells all that is known
├── GaveUp                           every allowed attempt failed; ``history`` lists them
└── InternalError                    a bug of ours; ``__cause__`` holds what happened
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .events import Attempt, Cause, Evidence
    from .orders import OrderRecord

LossCause = Literal[
    "pong_timeout",
    "closed_by_peer",
    "goodbye",
    "reset",
    "protocol_error",
    "tls",
    "connect_refused",
    "connect_timeout",
    "dns",
    "handshake",
    "silence",
]
"""Why a connection, or one attempt at it, ended: the machine-readable half of a loss."""


class HeartbeatTrioError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(HeartbeatTrioError, ValueError):
    """A policy or an endpoint is impossible; raised when it is built, naming the field and the value."""


class ProtocolError(HeartbeatTrioError):
    """Somebody broke the protocol: `LocalProtocolError` is you, `RemoteProtocolError` is the peer."""


class LocalProtocolError(ProtocolError):
    """You asked for a message that the wire format cannot carry."""


class RemoteProtocolError(ProtocolError):
    """The peer sent bytes that are no valid message.

    Args:
        message: What was wrong, with the offending value.
        code: The WebSocket close code that says so (RFC 6455 §7.4.1), or the line protocol's error code.
    """

    def __init__(self, message: str, *, code: int | str | None = None) -> None:
        super().__init__(message)
        self.code = code


class ConnectError(HeartbeatTrioError):
    """One attempt to connect failed. ``__cause__`` is the `OSError` or TLS error behind it, where there is one.

    Args:
        message: What failed, with the endpoint.
        cause: `connect_refused`, `connect_timeout`, `dns`, `tls`, `handshake`, or `reset`.
        status: The HTTP status with which the handshake was refused, if it was (401: token, 403: origin).
    """

    def __init__(self, message: str, *, cause: LossCause, status: int | None = None) -> None:
        super().__init__(message)
        self.cause: LossCause = cause
        self.status = status


class ConnectionClosed(HeartbeatTrioError):
    """The connection ended in an orderly way.

    Args:
        message: Who closed and how.
        reason: The close reason as sent, or "".
        initiated_by: "us" or "peer".
        code: The WebSocket close code, where there is one.
        retry_after: Seconds the server asked to wait before coming back (`GOODBYE`), where it did.
        cause: `goodbye` if the server announced that it goes away, else `closed_by_peer`.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        initiated_by: Literal["us", "peer"] = "peer",
        code: int | None = None,
        retry_after: float | None = None,
        cause: LossCause = "closed_by_peer",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.initiated_by = initiated_by
        self.code = code
        self.retry_after = retry_after
        self.cause: LossCause = cause
        self.evidence: Evidence | None = None
        """What was known of the connection at its end."""


class ConnectionLost(HeartbeatTrioError, ConnectionError):
    """The connection ended without a goodbye: reset, protocol error, TLS failure, or no answer.

    Args:
        message: What happened, with numbers and the peer.
        cause: One of `LossCause`.

    Attributes:
        blame: Whose fault a `pong_timeout` was, as far as is known.
        evidence: What was known of the connection at its end.
    """

    blame: Cause | None = None
    evidence: Evidence | None = None

    def __init__(self, message: str, *, cause: LossCause) -> None:
        super().__init__(message)
        self.cause: LossCause = cause


class PongTimeout(ConnectionLost, TimeoutError):
    """The peer stopped answering pings.

    Args:
        message: How many pongs are missing and for how long nothing came.
        missed: Pongs missed since the last sign of life.
        silent_for: Seconds since the last byte that counted.
        blame: Whose fault it was, as far as is known.
        evidence: What that rests on.
    """

    def __init__(
        self,
        message: str,
        *,
        missed: int,
        silent_for: float,
        blame: Cause | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        super().__init__(message, cause="pong_timeout")
        self.missed = missed
        self.silent_for = silent_for
        self.blame = blame
        self.evidence = evidence


class SlowConsumer(HeartbeatTrioError):
    """The inbox overflowed under `InboxPolicy(overflow="close")`: the consumer is too slow, the connection is fine.

    It ends the session and is never retried.
    """


class GateClosed(HeartbeatTrioError):
    """The trading gate is closed, or closed while your block relied on it.

    Args:
        message: Why, for people.
        reasons: As in `Verdict`.
        codes: As in `Verdict`.
    """

    def __init__(self, message: str, *, reasons: Sequence[str] = (), codes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.reasons = tuple(reasons)
        self.codes = tuple(codes)


class OrderAmbiguous(HeartbeatTrioError):
    """An order may have arrived, and nobody could say so yet. It is never sent again: `Balancer.resolve` asks about it.

    Args:
        message: Which order, where it was sent, and why nothing is known.
        record: All that is known of it.
    """

    def __init__(self, message: str, *, record: OrderRecord) -> None:
        super().__init__(message)
        self.record = record


class GaveUp(HeartbeatTrioError):
    """Every allowed attempt failed. ``history`` lists the last ones, oldest first, each with its cause."""

    def __init__(self, message: str, *, history: Sequence[Attempt]) -> None:
        super().__init__(message)
        self.history = tuple(history)


class InternalError(HeartbeatTrioError):
    """A bug of this package: please report it with its ``__cause__``."""
