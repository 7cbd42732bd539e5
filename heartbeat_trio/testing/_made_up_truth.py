"""What is true of a made-up journal. Times named ``..._at`` are Unix seconds; all durations are seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

Trouble = Literal["path_dead", "peer_silent", "reset", "closed_by_peer"]
"""What an outage does: the network takes nothing; the peer's program is frozen; connections are reset, or closed with code
1001, and nobody listens until it is over."""


class TrueOutage(msgspec.Struct, frozen=True, kw_only=True):
    """An outage as it was. ``lost_at`` is when the client lost its connection to it; None: it survived, or had none."""

    endpoint: str
    begun_at: float
    ended_at: float
    trouble: Trouble
    venue_wide: bool
    lost_at: float | None


class TrueLoss(msgspec.Struct, frozen=True, kw_only=True):
    """An established connection that was lost: a `lost` record stands at ``at``. ``begun_at`` is when it truly broke."""

    endpoint: str
    at: float
    begun_at: float
    cause: str
    blame: str | None
    why: Literal["outage", "idle_kill", "rotation", "misses"]


class TrueKill(msgspec.Struct, frozen=True):
    """A connection that was forgotten on its way, with no byte since ``idle_since``."""

    endpoint: str
    idle_since: float
    killed_at: float


class TrueStall(msgspec.Struct, frozen=True):
    """A time in which our own program did not run: a `local_stall` record tells it."""

    begun_at: float
    ended_at: float


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What was planted, and when it happened. Endpoints are named as the journal names them.

    Args:
        folder: The journal's.
        begun_at: The client's first start.
        ended_at: Its last end.
        endpoints: Their names.
        planted: As given.
        restarts: When the client was stopped; it started again `PAUSE` seconds later.
        outages: Each once for every endpoint, in the order of time.
        stalls: Of our own program.
        losses: Of established connections, but for those that the client ended itself.
        kills: By idle time.
        survived: By endpoint: the longest idle time that a connection survived, where idle times kill.
        pings: By endpoint: how many were sent.
        fates: Of all endpoints' pings, at last: `answered`, `missed`, `late`, `voided`, `cancelled`.
        connections: By endpoint.
        records: Lines that were written.
        size: Bytes of them.
    """

    folder: Path
    begun_at: float
    ended_at: float
    endpoints: tuple[str, ...]
    planted: tuple[object, ...]
    restarts: tuple[float, ...]
    outages: tuple[TrueOutage, ...]
    stalls: tuple[TrueStall, ...]
    losses: tuple[TrueLoss, ...]
    kills: tuple[TrueKill, ...]
    survived: dict[str, float]
    pings: dict[str, int]
    fates: dict[str, int]
    connections: dict[str, int]
    records: int
    size: int
