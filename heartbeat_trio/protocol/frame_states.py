"""Where a WebSocket connection is, and what leads where. See `frames`."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Where one side of a connection is."""

    __hash__ = object.__hash__  # there is one of each, and the state is looked up with every read

    CONNECTING = "CONNECTING"
    """Nothing was asked yet."""
    REQUESTED = "REQUESTED"
    """The client asked for a WebSocket; the server has to answer."""
    REFUSING = "REFUSING"
    """The request was none; the server has to say so (`WebSocketProtocol.reject`)."""
    OPEN = "OPEN"
    """Messages flow."""
    CLOSE_RECEIVED = "CLOSE_RECEIVED"
    """The peer said Close, we have to."""
    CLOSE_SENT = "CLOSE_SENT"
    """We said Close; the peer's messages still come until it does."""
    FAILED = "FAILED"
    """The peer broke the protocol; we have to say Close and never listen again."""
    DRAINING = "DRAINING"
    """The peer broke the protocol and was told so. What it still sends is thrown away: with unread input, closing would
    reset the connection, and the peer would never read our Close."""
    CLOSED = "CLOSED"
    """Nothing more is said or heard. The server closes the TCP connection first (RFC 6455 §7.1.1)."""


class Step(Enum):
    """What moves a connection on."""

    REQUEST = "request"
    BAD_REQUEST = "bad request"
    ACCEPT = "accept"
    REFUSE = "refuse"
    SEND_CLOSE = "send Close"
    RECEIVE_CLOSE = "receive Close"
    FAIL = "fail"
    END = "end of input"


TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.CONNECTING, Step.REQUEST): State.REQUESTED,
    (State.CONNECTING, Step.BAD_REQUEST): State.REFUSING,
    (State.REQUESTED, Step.BAD_REQUEST): State.REFUSING,
    (State.REQUESTED, Step.ACCEPT): State.OPEN,
    (State.REQUESTED, Step.REFUSE): State.CLOSED,
    (State.REFUSING, Step.REFUSE): State.CLOSED,
    (State.OPEN, Step.SEND_CLOSE): State.CLOSE_SENT,
    (State.OPEN, Step.RECEIVE_CLOSE): State.CLOSE_RECEIVED,
    (State.OPEN, Step.FAIL): State.FAILED,
    (State.CLOSE_SENT, Step.RECEIVE_CLOSE): State.CLOSED,
    (State.CLOSE_SENT, Step.FAIL): State.DRAINING,
    (State.CLOSE_RECEIVED, Step.SEND_CLOSE): State.CLOSED,
    (State.FAILED, Step.SEND_CLOSE): State.DRAINING,
    **{(state, Step.END): State.CLOSED for state in State},
}
"""What leads where. A step that is not listed is not possible in that state."""

BEFORE_OPEN = frozenset({State.CONNECTING, State.REQUESTED, State.REFUSING})
LISTENING = frozenset({State.OPEN, State.CLOSE_SENT})
SENDING = frozenset({State.OPEN, State.FAILED})
"""After a failure, what the peer said before it may still be answered; then our Close follows."""
CLOSE_OWED = frozenset(state for state, step in TRANSITIONS if step is Step.SEND_CLOSE)
