"""What a balancer does, in words and in JSON; what a server said cannot hurt a terminal."""

from __future__ import annotations

import pytest

from heartbeat_trio.events import Connected, Event
from heartbeat_trio.observe.orders import describe_endpoint, describe_json, describe_text, table
from heartbeat_trio.orders import (
    Ejected,
    EndpointChanged,
    EndpointSnapshot,
    EndpointState,
    OrderChanged,
    OrderContradicted,
    OrderState,
    Switched,
)

A, B = "tcp://a:1", "tcp://b:1"
PENDING, ACKNOWLEDGED, REJECTED, AMBIGUOUS = OrderState

EXPECTED: list[tuple[Event, str | None, str, dict[str, object]]] = [
    (
        Switched(at=1.0, old=None, new=A, reason="first", old_score=None, new_score=None, after=0.5),
        "orders go to tcp://a:1",
        "switched",
        {"old": None, "new": A, "reason": "first", "old_ms": None, "new_ms": None, "after": 0.5},
    ),
    (
        Switched(at=1.0, old=A, new=B, reason="suspect", old_score=0.02, new_score=None, after=9.0),
        "orders go to tcp://b:1, no longer to tcp://a:1 (suspect: 20.0 ms there, unknown here)",
        "switched",
        {"old": A, "new": B, "reason": "suspect", "old_ms": 20.0, "new_ms": None, "after": 9.0},
    ),
    (
        Ejected(at=1.0, endpoint=A, seconds=60.0, count=2),
        "tcp://a:1 may not win for 60 s (failure 2 of late)",
        "ejected",
        {"endpoint": A, "seconds": 60.0, "count": 2},
    ),
    (
        EndpointChanged(at=1.0, endpoint=A, old=EndpointState.READY, new=EndpointState.DOWN, detail="reset"),
        "tcp://a:1 ready -> down (reset)",
        "endpoint",
        {"endpoint": A, "from": "ready", "to": "down", "detail": "reset"},
    ),
    (
        EndpointChanged(at=1.0, endpoint=A, old=EndpointState.DOWN, new=EndpointState.PROBING),
        "tcp://a:1 down -> probing",
        "endpoint",
        {"endpoint": A, "from": "down", "to": "probing", "detail": ""},
    ),
    (
        OrderChanged(at=1.0, id="1", old=PENDING, new=ACKNOWLEDGED, endpoint=A),
        None,
        "order",
        {"id": "1", "endpoint": A, "from": "pending", "to": "acknowledged", "reason": ""},
    ),
    (
        OrderChanged(at=1.0, id="1", old=AMBIGUOUS, new=ACKNOWLEDGED, endpoint=A),
        "order 1 is acknowledged, at tcp://a:1",
        "order",
        {"id": "1", "endpoint": A, "from": "ambiguous", "to": "acknowledged", "reason": ""},
    ),
    (
        OrderChanged(at=1.0, id="1", old=PENDING, new=REJECTED, endpoint=A, reason="\x1b[2J"),
        r"order 1 is rejected, at tcp://a:1: \x1b[2J",
        "order",
        {"id": "1", "endpoint": A, "from": "pending", "to": "rejected", "reason": "\x1b[2J"},
    ),
    (
        OrderContradicted(at=1.0, id="1", known=REJECTED, says="acknowledged", endpoint=A, reason="oh"),
        "order 1 is rejected, but tcp://a:1 says acknowledged: look into it (oh)",
        "order_contradicted",
        {"id": "1", "endpoint": A, "known": "rejected", "says": "acknowledged", "reason": "oh"},
    ),
]


@pytest.mark.parametrize(("event", "line", "name", "fields"), EXPECTED)
def test_each_event(event: Event, line: str | None, name: str, fields: dict[str, object]) -> None:
    """In words, and as its name and fields."""
    assert line == describe_text(event)
    assert (name, fields) == describe_json(event)


def test_events_of_others() -> None:
    """They are told elsewhere."""
    assert (None, None) == (describe_text(Connected(at=1.0)), describe_json(Connected(at=1.0)))


def test_an_endpoint_and_a_table() -> None:
    """The figures of one, and rows under each other."""
    snapshot = EndpointSnapshot(
        endpoint=A,
        state=EndpointState.READY,
        is_best=True,
        score=0.0212,
        median=0.02,
        misses=0.04166,
        pongs=9,
        ejected_for=0.0,
        ejections=0,
        share=0.99999,
    )
    fields = {"endpoint": A, "state": "ready", "best": True, "score_ms": 21.2, "misses": 0.042, "ejected_for": 0.0}
    assert fields | {"share": 1.0} == describe_endpoint(snapshot)
    assert ["a     1", "long  x"] == table([("a", "1"), ("long", "x")])
