"""The place of a line in a redundant feed: the line that holds it, and the one that is to take it. See `sansio.rotation`."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio

from .events import Connected, ConnectionState, Event, Lost, Rotated, RotationFailed, RotationStarted, StateChanged
from .sansio.rotation import Finish, Rotation, RotationState, Start
from .venue_events import RotationAdvised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from .policies import RotationPolicy
    from .redundant_line import FeedLine
    from .sansio.rotation import Command


class Slot:
    """One place, which a line holds for as long as the feed wants it.

    Args:
        line: Who holds it first.
        policy: When it is given to a new line; None: never, and `rotate` cannot be asked for.
        rng: Source of the jitter.
        make_line: Makes a new line to the same endpoint, and starts it.
        on_event: Called with the rotations' events.
    """

    def __init__(
        self,
        line: FeedLine,
        policy: RotationPolicy,
        *,
        rng: Random,
        make_line: Callable[[FeedLine], FeedLine],
        on_event: Callable[[Event], None],
    ) -> None:
        self.main = line
        self.new: FeedLine | None = None
        self._policy = policy
        self._rotation = Rotation(policy)
        self._rng = rng
        self._make_line = make_line
        self._on_event = on_event

    @property
    def lines(self) -> tuple[FeedLine, ...]:
        """Who is in it."""
        return (self.main,) if self.new is None else (self.main, self.new)

    def rotate(self, reason: str) -> None:
        """Replace the line as soon as that is allowed."""
        self._rotation.request(reason)

    def follow(self, line: FeedLine, event: Event) -> None:
        """Something happened to one of its lines."""
        rotation, is_main = self._rotation, line is self.main
        match event:
            case Connected():
                (rotation.connected if is_main else rotation.new_connected)(event.at, self._rng)
            case Lost() if is_main:
                rotation.lost()
            case Lost():
                rotation.new_lost()
            case StateChanged(new=ConnectionState.DEGRADED) if is_main:
                rotation.degraded(event.at, event.missed_pongs)
            case StateChanged(new=ConnectionState.CONNECTED) if is_main:
                rotation.recovered()
            case RotationAdvised() if self._policy.follow_venue:
                (rotation.request if is_main else rotation.new_request)(event.reason)
            case _:
                pass

    def line_ended(self, line: FeedLine, detail: str) -> bool:
        """One of its lines is over; False if nobody is left in it."""
        now = trio.current_time()
        if line is self.main:
            if self.new is None:
                return False
            self._perform(self._rotation.ended(now), now)
        elif line is self.new:
            self._perform(self._rotation.new_ended(now, detail), now)
        return True

    def next_deadline(self, wanted: Iterable[str], last_given: float) -> float:
        """When `look` has something to do."""
        return min(self._rotation.next_deadline(), self._ready_at(wanted, last_given))

    def look(self, wanted: Iterable[str], last_given: float, now: float) -> None:
        """Decide what is due. `last_given` is when the feed gave its last quote."""
        if now >= self._ready_at(wanted, last_given):
            self._rotation.new_ready(now)
        self._perform(self._rotation.handle_timer(now), now)

    def _ready_at(self, wanted: Iterable[str], last_given: float) -> float:
        """When the new line is good enough to take over: it has all that the old one has, and it delivers.

        Where no data comes on any line, its acknowledgements must do, after a moment.
        """
        new = self.new
        if new is None or new.connected_at is None or self._rotation.state is not RotationState.PREPARING:
            return inf
        required = self.main.served.intersection(wanted) or set(wanted)
        if not new.served >= required:
            return inf
        if new.has_data or not required:
            return -inf
        acknowledged = max(new.connected_at, new.served_at)
        return inf if last_given > acknowledged else acknowledged + self._policy.overlap

    def _perform(self, commands: list[Command], now: float) -> None:
        for command in commands:
            if isinstance(command, Start):
                self.new = self._make_line(self.main)
                self.new.role = "new"
                self._on_event(
                    RotationStarted(at=now, old=self.main.name, new=self.new.name, reason=command.reason, age=command.age)
                )
                continue
            assert self.new is not None  # noqa: S101 - only a rotation that was started ends
            old, new, self.new = self.main, self.new, None
            names = {"old": old.name, "new": new.name, "reason": command.reason}
            if isinstance(command, Finish):
                self.main, new.role, old.role = new, "main", "old"
                old.leaving.set()
                self._on_event(Rotated(at=now, took=command.took, **names))
            else:
                new.leaving.set()
                self._on_event(RotationFailed(at=now, took=command.took, detail=command.detail, **names))
