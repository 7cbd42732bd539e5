"""What the connections to one venue share: its limits, and the knowledge that many of them were lost at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from .exceptions import ConfigError
from .policies import VenueLimits
from .protocol.dialect_schedule import venue_limits
from .sansio.budget import Budget
from .sansio.mass_loss import MassLossWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .protocol.dialect_record import Dialect


class Member(Protocol):
    """Who keeps a connection to the venue."""

    def spread(self) -> None:
        """Your loss was part of a mass loss: take longer to come back."""


class VenueSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One venue, frozen. Limits are the part that is used; None: there is none.

    Args:
        name: The venue's name, or host.
        connections: Connections that stand.
        connects: Attempts to connect in the present window.
        waiting: Attempts that wait for their time.
        connect_limit: How many may be.
        messages: Messages sent in the present window.
        message_limit: How many may be.
    """

    name: str
    connections: int
    connects: int
    waiting: int
    connect_limit: int | None
    messages: int
    message_limit: int | None


class Venue:
    """One venue, as all of its connections in this program see it.

    Args:
        name: Told in events.
        limits: What it allows.
    """

    def __init__(self, name: str, limits: VenueLimits) -> None:
        self.name = name
        self._budget = Budget(limits)
        self._losses = MassLossWatch()

    def __repr__(self) -> str:
        return f"<Venue {self.name} with {self._losses.connections} connections>"

    def reserve_connect(self, member: Member, ping_interval: float, now: float) -> float | None:
        """When a member's next attempt to connect may begin; that time is taken. None: not until another one leaves."""
        return self._budget.reserve_connect(member, ping_interval, now)

    def give_back_connect(self, at: float) -> None:
        """The attempt that was to begin then will not be made."""
        self._budget.give_back_connect(at)

    def next_message(self, now: float) -> float:
        """When the next message may be sent."""
        return self._budget.next_message(now)

    def try_probe(self, now: float) -> bool:
        """Count a ping that need not be sent if there is room for it, and say whether there was."""
        return self._budget.try_probe(now)

    def record_message(self, now: float, *, is_ping: bool) -> None:
        """A message was sent."""
        self._budget.record_message(now, is_ping=is_ping)

    def connected(self, member: Member) -> None:
        """A member's connection stands."""
        self._losses.connected(member)

    def lost(self, member: Member, now: float) -> bool:
        """A member's connection was lost; whether that is part of a mass loss. Members lost just before are told, too."""
        found = self._losses.lost(member, now)
        for each in found:
            if each is not member:
                each.spread()  # type: ignore[attr-defined]  # only members are handed in
        return member in found

    def gone(self, member: Member, now: float) -> None:
        """A member will not come back."""
        self._budget.remove(member, now)
        self._losses.gone(member)

    def snapshot(self, now: float) -> VenueSnapshot:
        """What is used now, frozen."""
        budget = self._budget
        return VenueSnapshot(
            name=self.name,
            connections=self._losses.connections,
            connects=budget.used_connects(now),
            waiting=budget.waiting_connects(now),
            connect_limit=budget.connect_limit,
            messages=budget.used_messages(now),
            message_limit=budget.message_limit,
        )


class Venues:
    """All venues, made when they are first named.

    Args:
        limits: By the venue's name, which is its host where none is given. Others have those of their dialect.

    Raises:
        ConfigError: What is given for a venue is no `VenueLimits`.
    """

    def __init__(self, limits: Mapping[str, VenueLimits] | None = None) -> None:
        for name, each in (limits or {}).items():
            if not isinstance(each, VenueLimits):
                raise ConfigError(f"limits[{name!r}] = {each!r} must be VenueLimits(...)")
        self._limits = dict(limits or {})
        self._venues: dict[str, Venue] = {}

    def get(self, name: str, dialect: Dialect | None = None) -> Venue:
        """The venue of that name. Where no limits were given for it, those of the dialect count that is named first."""
        venue = self._venues.get(name)
        if venue is None:
            venue = self._venues[name] = Venue(name, self._limits.get(name) or venue_limits(dialect))
        return venue

    def snapshots(self, now: float) -> tuple[VenueSnapshot, ...]:
        """All of them, frozen."""
        return tuple(venue.snapshot(now) for venue in self._venues.values())
