"""Records of orders and of the endpoints that they go to, and the events that tell of both. Frozen; seconds throughout."""

from __future__ import annotations

from enum import Enum
from typing import Literal, NamedTuple

import msgspec

from .events import Event

Side = Literal["buy", "sell"]
AckState = Literal["acknowledged", "rejected", "unknown"]
SwitchReason = Literal["first", "quality", "suspect", "degraded", "lost"]


class Order(msgspec.Struct, frozen=True):
    """What a client asks for.

    Args:
        id: The client's own name for it, 1 to 64 of ``A-Z a-z 0-9 . _ -``, never used for another order.
        symbol: What.
        side: `buy` or `sell`.
        quantity: How much, above 0.
        price: The limit; None: at market.
    """

    id: str
    symbol: str
    side: Side
    quantity: float
    price: float | None = None


class OrderAck(msgspec.Struct, frozen=True):
    """A server's answer to an `Order` or an `OrderQuery`.

    Args:
        id: The order's.
        state: `acknowledged`, `rejected`, or `unknown` (no answer at all: this server cannot tell).
        reason: Why, for people; "" where there is nothing to say.
        is_authoritative: Whether the server answers from a book that it shares with others, so that its answer holds for
            all that have this very book.
        book: That book's id, 1 to 64 of ``A-Z a-z 0-9 . _ -``; "": it has none, or the server does not tell. Without it
            no server's answer counts for an order that another one got.
    """

    id: str
    state: AckState
    reason: str = ""
    is_authoritative: bool = False
    book: str = ""


class OrderQuery(msgspec.Struct, frozen=True):
    """Asks what became of an order.

    A server with a shared book that does not know the order records it as rejected: a copy that comes later is refused. It
    does so only while it would still remember the order, had it come.

    Args:
        id: The order's.
        order: What was asked for, so that another order under the same id is not taken for it; None: not told.
        age: Seconds since it was handed over, by the client's clock; None: not told, and taken for recent.
    """

    id: str
    order: Order | None = None
    age: float | None = None


class OrderState(Enum):
    """What is known of an order."""

    PENDING = "pending"
    """No answer yet, and one may come still; or it never left (`OrderRecord.sent_at` is None)."""
    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    AMBIGUOUS = "ambiguous"
    """It may have arrived, and its line is gone, or no answer came in time. Never sent again: see `Balancer.resolve`."""


class Line(NamedTuple):
    """One connection: to which endpoint, and the how manieth."""

    endpoint: str
    number: int


class OrderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an order at one instant. Times are Trio time.

    Args:
        order: As it was asked for.
        state: What is known.
        reason: The server's, or why it is ambiguous.
        endpoint: Where it was sent; None: nowhere yet.
        created_at: When it was asked for.
        sent_at: When its bytes began to leave; None: they never did, and it can be sent with nothing to fear.
        settled_at: When it was acknowledged or rejected; None: it is not.
        answered_by: The endpoint whose answer settled it.
    """

    order: Order
    state: OrderState
    reason: str = ""
    endpoint: str | None = None
    created_at: float
    sent_at: float | None = None
    settled_at: float | None = None
    answered_by: str | None = None


class EndpointState(Enum):
    """How far an endpoint can be relied on; the later, the further."""

    DOWN = "down"
    """No connection."""
    FAILING = "failing"
    """Connected, but suspect or degraded."""
    EJECTED = "ejected"
    """Well again, but it failed not long ago."""
    PROBING = "probing"
    """Well, but not known well enough yet to win against others."""
    READY = "ready"


class EndpointSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the balancer thinks of one endpoint. Seconds; None: not known.

    Args:
        endpoint: Which.
        state: How far it can be relied on.
        is_best: Whether orders go there now.
        score: The middle of the last round trips, plus the penalty for misses, times the handicap after a failure: lower is
            better. Who waits is judged by the same of more of them, its level (`sansio.selection`).
        median: Of the last round trips.
        misses: Part of the last pings that was missed, 0..1.
        pongs: Answers since it connected or recovered.
        ejected_for: Seconds that its ejection lasts still, 0.0 without one.
        ejections: How often it failed, of late.
        share: Part of the time for which orders went there, 0..1.
    """

    endpoint: str
    state: EndpointState
    is_best: bool
    score: float | None
    median: float | None
    misses: float
    pongs: int
    ejected_for: float
    ejections: int
    share: float


class OrderChanged(Event, frozen=True, kw_only=True):
    """An order's state changed. ``endpoint`` is where it was sent, or who answered."""

    id: str
    old: OrderState
    new: OrderState
    endpoint: str | None
    reason: str = ""


class OrderContradicted(Event, frozen=True, kw_only=True):
    """A server says something that contradicts what is known of an order: somebody is wrong, so look into it."""

    id: str
    known: OrderState
    says: AckState
    endpoint: str
    reason: str = ""


class EndpointChanged(Event, frozen=True, kw_only=True):
    """How far an endpoint can be relied on changed; ``detail`` says why."""

    endpoint: str
    old: EndpointState
    new: EndpointState
    detail: str = ""


class Ejected(Event, frozen=True, kw_only=True):
    """An endpoint failed and may not win for so many seconds; ``count`` is how often that happened of late."""

    endpoint: str
    seconds: float
    count: int


class Switched(Event, frozen=True, kw_only=True):
    """Orders go to another endpoint now.

    Args:
        old: Where they went; None: nowhere yet.
        new: Where they go.
        reason: `first`, `quality`, or what is wrong with the old one: `suspect`, `degraded`, `lost`.
        old_score: The old one's score in seconds, where known.
        new_score: The new one's; its level (`sansio.selection`) if the reason is `quality`.
        after: Seconds since the last switch.
    """

    old: str | None
    new: str
    reason: SwitchReason
    old_score: float | None
    new_score: float | None
    after: float
