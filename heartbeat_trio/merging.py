"""The lines of a redundant feed at work: started, followed, replaced, and merged through one arbiter."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import trio

from .endpoint import Endpoint
from .events import Connected, Connecting, Event, Gap, LineAdded, LineEnded, Lost, Quote, SourceEvent
from .exceptions import ConfigError, GaveUp, HeartbeatTrioError, SlowConsumer
from .policies import RotationPolicy
from .redundant_line import FeedLine, LineOptions
from .rotating import Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._background import Background
    from .protocol.messages import Message
    from .sansio.lines import LineArbiter

NEVER = RotationPolicy(degraded_for=1e9, degraded_misses=10**9, follow_venue=False)
"""The policy of a feed without one: lines are replaced only when somebody asks for it."""

ERRORS = 16
"""Ends of lines that are remembered, for the end of the last one."""


def policy_at(endpoint: Endpoint, policy: RotationPolicy) -> RotationPolicy:
    """The policy for a line to an endpoint, with the age at which its venue ends connections where it leaves that open."""
    venue = endpoint.venue
    if policy.max_age is not None or not policy.follow_venue or venue is None:
        return policy
    return replace(policy, max_age=venue.max_age)


class Merger:
    """Runs lines, and hands on what they bring, each quote once.

    Args:
        arbiter: Decides which copy wins.
        options: What each line's session is opened with.
        rotation: When a line is replaced.
        on_quotes: Called with quotes, in order; raises `SlowConsumer` if they are too many.
        on_event: Called with events.
    """

    def __init__(
        self,
        arbiter: LineArbiter,
        options: LineOptions,
        rotation: RotationPolicy,
        *,
        on_quotes: Callable[[list[Message]], None],
        on_event: Callable[[Event], None],
    ) -> None:
        self.arbiter = arbiter
        self.lines: dict[str, FeedLine] = {}
        """By their names, in the order in which they joined."""
        self.wanted: dict[str, None] = {}
        """Symbols; changed by the owner."""
        self._options = options
        self._rotation = rotation
        self._on_quotes = on_quotes
        self._on_event = on_event
        self._slots: list[Slot] = []
        self._background: Background | None = None
        self._timer = trio.CancelScope()
        self._is_connected = trio.Event()
        self._count = 0
        self._given_at = 0.0
        self._errors: deque[HeartbeatTrioError] = deque(maxlen=ERRORS)

    def begin(self, background: Background) -> None:
        """Lines can be added from now on."""
        self._background = background
        self._given_at = trio.current_time()
        background.start_soon(self._watch_time, name="redundant feed: timer")

    def add(self, endpoint: Endpoint) -> str:
        """Start a line; its name is returned."""
        line = self._start_line(endpoint)
        rng = self._options.rng
        policy = policy_at(endpoint, self._rotation)
        self._slots.append(Slot(line, policy, rng=rng, make_line=self._replace, on_event=self._on_event))
        return line.name

    async def remove(self, name: str) -> None:
        """Close a line, and the one that is to take its place, in an orderly way."""
        await trio.lowlevel.checkpoint()
        slot = self._slot_of(name)
        self._slots.remove(slot)
        for line in slot.lines:
            line.leaving.set()
        for line in slot.lines:
            await line.has_ended.wait()

    def rotate(self, reason: str, name: str | None) -> None:
        """Replace a line, or all, as soon as that is allowed."""
        for slot in self._slots if name is None else [self._slot_of(name)]:
            slot.rotate(reason)
        self._look()

    async def leave(self, timeout: float) -> None:
        """Let all lines close in an orderly way; none can be added any more."""
        await trio.lowlevel.checkpoint()
        self._background = None
        lines = tuple(self.lines.values())
        for line in lines:
            line.leaving.set()
        with trio.move_on_after(timeout):
            await trio.lowlevel.checkpoint()
            for line in lines:
                await line.has_ended.wait()

    async def wait_connected(self) -> None:
        """Wait until any line has a connection."""
        await trio.lowlevel.checkpoint()
        while not any(line.connected_at is not None for line in self.lines.values()):
            await self._is_connected.wait()

    # -- lines -----------------------------------------------------------------------------------------------------------

    def _slot_of(self, name: str) -> Slot:
        for slot in self._slots:
            if any(line.name == name for line in slot.lines):
                return slot
        raise ConfigError(f"there is no line {name!r}; there are {', '.join(self.lines) or 'none'}")

    def _replace(self, old: FeedLine) -> FeedLine:
        return self._start_line(old.endpoint)

    def _start_line(self, endpoint: Endpoint) -> FeedLine:
        if self._background is None:
            raise ConfigError("the feed has ended: no line can be added")
        self._count += 1
        line = FeedLine(f"line-{self._count}", endpoint, on_quotes=self._receive, on_event=self._follow)
        self.lines[line.name] = line
        self.arbiter.add_line(line.name)
        self._on_event(LineAdded(at=trio.current_time(), name=line.name, endpoint=str(endpoint)))
        self._background.start_soon(partial(self._run_line, line), name=f"{line.name} {endpoint}")
        return line

    async def _run_line(self, line: FeedLine) -> None:  # noqa: ASYNC910 - nobody awaits it
        """A line's task: its failure is its own, until no other line is left."""
        error: HeartbeatTrioError | None = None
        try:
            await line.run(self._options, self.wanted)
        except SlowConsumer:  # not the line's fault: the feed's own inbox has overflowed
            raise
        except HeartbeatTrioError as caught:
            error = caught
        finally:
            role = line.role  # a new line takes the place of its old one when that ends
            self._forget_line(line, error)
        self._give(self.arbiter.remove_line(line.name, trio.current_time()))
        self._move_timer()
        if error is not None and self._background is not None:
            if role == "main" or not self.lines:  # a new one that failed leaves the old one in its place
                self._errors.append(error)
            if not self.lines:
                raise self._why_ended() from error

    def _forget_line(self, line: FeedLine, error: HeartbeatTrioError | None) -> None:
        now = trio.current_time()
        del self.lines[line.name]
        line.has_ended.set()
        cause = "removed" if error is None else type(error).__name__
        self._on_event(LineEnded(at=now, name=line.name, cause=cause, detail="" if error is None else str(error)))
        self._slots = [slot for slot in self._slots if slot.line_ended(line, str(error) if error else "it was removed")]

    def _why_ended(self) -> HeartbeatTrioError:
        """Every line is over, and none was removed: one error for all."""
        if not all(isinstance(error, GaveUp) for error in self._errors):
            return self._errors[-1]
        history = [attempt for error in self._errors if isinstance(error, GaveUp) for attempt in error.history]
        return GaveUp(f"all lines gave up: {'; '.join(map(str, self._errors))}", history=history)

    # -- what comes ------------------------------------------------------------------------------------------------------

    def _receive(self, line: FeedLine, quotes: Iterable[Message]) -> None:
        now = trio.current_time()
        told: list[Quote | Gap] = []
        for quote in quotes:
            if isinstance(quote, Quote) and quote.symbol in self.wanted:  # what was unsubscribed may be on its way
                line.serve(quote.symbol, now)
                told += self.arbiter.receive(line.name, quote, now)
        self._give(told)
        if line.role == "new":
            self._look()
        self._move_timer()

    def _give(self, told: list[Quote | Gap]) -> None:
        quotes: list[Message] = []
        for each in told:
            if isinstance(each, Gap):
                self._on_event(each)
            else:
                quotes.append(each)
        if quotes:
            self._given_at = trio.current_time()
            self._on_quotes(quotes)

    def _follow(self, line: FeedLine, event: Event) -> None:
        match event:
            case Connecting() if line.session is not None:
                line.session.advance(self.arbiter.positions)
            case Connected():
                self.arbiter.line_up(line.name)
                self._is_connected.set()
                self._is_connected = trio.Event()
            case Lost():
                self.arbiter.line_down(line.name)
            case Gap():
                self.arbiter.announce(event)
            case _:
                pass
        self._on_event(SourceEvent(at=event.at, source=line.name, event=event))
        for slot in self._slots:
            if line in slot.lines:
                slot.follow(line, event)
        self._move_timer()

    # -- time ------------------------------------------------------------------------------------------------------------

    async def _watch_time(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._next_deadline()) as self._timer:
                await trio.sleep_forever()
            self._give(self.arbiter.handle_timer(trio.current_time()))
            self._look()

    def _look(self) -> None:
        now = trio.current_time()
        for slot in self._slots if self._background is not None else ():
            slot.look(self.wanted, self._given_at, now)
        self._move_timer()

    def _next_deadline(self) -> float:
        due = self.arbiter.next_deadline()
        return min([due, *(slot.next_deadline(self.wanted, self._given_at) for slot in self._slots)])

    def _move_timer(self) -> None:
        due = self._next_deadline()
        if due != self._timer.deadline:
            self._timer.deadline = due
