"""What the user wants, and how far each wish has come on the current connection.

A wish outlives connections: it lives here, in the session, never in the socket. `TRANSITIONS` says how it advances; every
new connection begins with all of them WANTED again.
"""

from __future__ import annotations

from enum import Enum


class SubscriptionState(Enum):
    """How far a subscription has come."""

    WANTED = "wanted"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    CONFIRMED = "confirmed"
    """Data came: the only proof that it works."""
    REJECTED = "rejected"
    """The server does not know it; asked again on the next connection."""


class Step(Enum):
    """What happens to a subscription."""

    SEND = "send"
    ACK = "acknowledgement"
    DATA = "data"
    REJECTION = "rejection"


_S = SubscriptionState
TRANSITIONS: dict[tuple[SubscriptionState, Step], SubscriptionState] = {
    (_S.WANTED, Step.SEND): _S.SENT,
    (_S.SENT, Step.ACK): _S.ACKNOWLEDGED,
    (_S.SENT, Step.DATA): _S.CONFIRMED,
    (_S.SENT, Step.REJECTION): _S.REJECTED,
    (_S.ACKNOWLEDGED, Step.DATA): _S.CONFIRMED,
    (_S.ACKNOWLEDGED, Step.REJECTION): _S.REJECTED,
}
"""A step that is not listed changes nothing: a repeated acknowledgement, data that is still on its way."""


class _Subscription:
    """One wish. Times are Trio time in seconds."""

    __slots__ = ("data_at", "sent_at", "state")

    def __init__(self) -> None:
        self.state = SubscriptionState.WANTED
        self.sent_at = 0.0
        self.data_at: float | None = None


class SubscriptionBook:
    """The wishes of one session, in the order in which they were made."""

    def __init__(self) -> None:
        self._book: dict[str, _Subscription] = {}
        self._data_at: float | None = None

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every symbol that is wanted."""
        return tuple(self._book)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._book

    def want(self, symbol: str) -> bool:
        """Add a wish; False if it was there already."""
        if symbol in self._book:
            return False
        self._book[symbol] = _Subscription()
        return True

    def unwant(self, symbol: str) -> bool:
        """Remove a wish; False if there was none."""
        if self._book.pop(symbol, None) is None:
            return False
        # Here and not in `data_age`, which may be asked with every quote: fresh data of A must not hide that B is silent.
        self._data_at = max((each.data_at for each in self._book.values() if each.data_at is not None), default=None)
        return True

    def start_connection(self) -> None:
        """A new connection knows of nothing yet."""
        for subscription in self._book.values():
            subscription.state = SubscriptionState.WANTED

    def to_send(self) -> list[str]:
        """Symbols that the peer was not asked for yet; `mark_sent` each that is sent."""
        return [symbol for symbol, each in self._book.items() if each.state is SubscriptionState.WANTED]

    def mark_sent(self, symbol: str, now: float) -> None:
        """The peer was asked."""
        if self._advance(symbol, Step.SEND):
            self._book[symbol].sent_at = now

    def receive_ack(self, symbol: str, now: float) -> bool:  # noqa: ARG002 - the same shape as its siblings
        """The peer agreed; True the first time on this connection."""
        return self._advance(symbol, Step.ACK)

    def receive_data(self, symbol: str, now: float) -> bool:
        """Data came; True the first time on this connection."""
        subscription = self._book.get(symbol)
        if subscription is None:
            return False
        subscription.data_at = self._data_at = now
        return self._advance(symbol, Step.DATA)

    def receive_rejection(self, symbol: str, now: float) -> bool:  # noqa: ARG002 - the same shape as its siblings
        """The peer refused; True the first time on this connection."""
        return self._advance(symbol, Step.REJECTION)

    def state(self, symbol: str) -> SubscriptionState | None:
        """How far it has come; None if it is not wanted."""
        subscription = self._book.get(symbol)
        return None if subscription is None else subscription.state

    def data_age(self, now: float) -> float | None:
        """Seconds since data of any symbol that is still wanted came, on whatever connection; None if none ever did."""
        return None if self._data_at is None else now - self._data_at

    def unconfirmed(self, now: float, older_than: float) -> list[str]:
        """Symbols that were asked for more than `older_than` seconds ago, and of which no data has come since."""
        asked = (SubscriptionState.SENT, SubscriptionState.ACKNOWLEDGED)
        return [symbol for symbol, each in self._book.items() if each.state in asked and now - each.sent_at > older_than]

    def _advance(self, symbol: str, step: Step) -> bool:
        subscription = self._book.get(symbol)
        new = None if subscription is None else TRANSITIONS.get((subscription.state, step))
        if subscription is None or new is None:
            return False
        subscription.state = new
        return True
