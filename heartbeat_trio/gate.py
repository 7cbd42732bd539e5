"""The trading gate: may the feed be traded on, now and until you are told otherwise?"""

from __future__ import annotations

from contextlib import asynccontextmanager
from math import inf, nextafter
from typing import TYPE_CHECKING

import trio

from .exceptions import GateClosed
from .sansio.gate import GateKeeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from .config import GatePolicy
    from .events import Event, Gap
    from .sansio.quality import ConnectionQuality, Verdict


class Gate:
    """Open while the feed may be traded on, by `Session.is_suitable_for_trading` with dwell and hysteresis.

    As `Session.gate` gives it. It closes as soon as a reason appears (or after `GatePolicy.close_after`) and at once on a
    loss or a gap; it opens when every reason was absent for `GatePolicy.open_after` seconds.
    """

    def __init__(
        self,
        policy: GatePolicy,
        quality: ConnectionQuality,
        *,
        judge: Callable[[float], Verdict],
        on_event: Callable[[Event], None],
    ) -> None:
        self._policy = policy
        self._quality = quality
        self._judge = judge
        self._on_event = on_event
        self._keeper = GateKeeper(policy)
        self._timer = trio.CancelScope()
        self._opened = trio.Event()
        self._users: dict[trio.CancelScope, GateClosed | None] = {}
        """Blocks that rely on the gate, and why each was cancelled."""

    def __repr__(self) -> str:
        return f"<Gate {'open' if self.is_open else 'closed: ' + '; '.join(self.reasons)}>"

    @property
    def is_open(self) -> bool:
        """Whether the feed may be traded on."""
        return self._keeper.is_open

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is closed, for people; () while it is open."""
        return self._keeper.reasons

    @property
    def codes(self) -> tuple[str, ...]:
        """Why it is closed, for programs: those of `Verdict`, `gap`, or `dwell`."""
        return self._keeper.codes

    async def wait_open(self) -> None:
        """Wait until it is open. Use your own `trio.fail_after` around it if you like."""
        await trio.lowlevel.checkpoint()
        while not self.is_open:
            await self._opened.wait()

    @asynccontextmanager
    async def require(self) -> AsyncIterator[None]:
        """Run a block only while the gate is open; its closing cancels the block.

        Raises:
            GateClosed: It is closed, or closed while the block ran; `.reasons` and `.codes` say why.
        """
        await trio.lowlevel.checkpoint()
        if not self.is_open:
            raise self._closed()
        with trio.CancelScope() as scope:  # noqa: ASYNC100 - the caller's block has checkpoints, or needs no cancelling
            self._users[scope] = None
            try:
                yield
            finally:
                why = self._users.pop(scope)
        if scope.cancelled_caught and why is not None:
            raise why

    # -- what the session calls ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """The gate's task: looks again when time alone may change the answer."""
        while True:
            self.update(trio.current_time())
            with trio.CancelScope(deadline=self._next_look()) as self._timer:
                await trio.sleep_forever()

    def update(self, now: float) -> None:
        """Something happened: look again."""
        self._tell(self._keeper.update(now, self._judge(0.0), self._judge(self._policy.hysteresis)))
        self._timer.deadline = self._next_look()

    def receive_data(self, now: float) -> None:
        """Data came. Only a gate that is closed for want of it need look: this is called with every batch."""
        if "stale_data" in self.codes:
            self.update(now)

    def gap(self, symbol: str, text: str, now: float) -> None:
        """Quotes of a symbol are missing."""
        self._tell(self._keeper.gap(symbol, text, now))

    def resolve(self, symbol: str) -> None:
        """Nothing of a symbol is missing any more."""
        if self._keeper.resolve(symbol):
            self.update(trio.current_time())

    def _next_look(self) -> float:
        """When the dwell is over, or when the newest data will be too old."""
        data_at, limit = self._quality.data_at, self._policy.max_data_age
        if data_at is None or "stale_data" in self.codes:
            return self._keeper.next_deadline()
        now, ages = trio.current_time(), (limit * (1 - self._policy.hysteresis), limit)
        stale_at = min((at for age in ages if (at := _when_old(data_at, age)) > now), default=now + limit)
        return min(self._keeper.next_deadline(), stale_at)

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            if self.is_open:
                self._opened.set()
                self._opened = trio.Event()
            else:
                for scope in self._users:
                    self._users[scope] = self._users[scope] or self._closed()  # a resolved gap is forgotten at once
                    scope.cancel(reason="the trading gate closed")
            self._on_event(event)

    def _closed(self) -> GateClosed:
        return GateClosed(f"the trading gate is closed: {'; '.join(self.reasons)}", reasons=self.reasons, codes=self.codes)


class Gates:
    """All gates of one session, one per policy.

    Args:
        quality: What they judge by.
        judge: The verdict, for a limit on the data's age and a margin.
        on_event: Called with `GateChanged`.
    """

    def __init__(
        self, quality: ConnectionQuality, judge: Callable[[float, float], Verdict], on_event: Callable[[Event], None]
    ) -> None:
        self._quality = quality
        self._judge = judge
        self._on_event = on_event
        self._gates: dict[GatePolicy, Gate] = {}

    def __bool__(self) -> bool:
        return bool(self._gates)

    @property
    def policies(self) -> list[GatePolicy]:
        """Of each gate, oldest first."""
        return list(self._gates)

    def get(self, policy: GatePolicy) -> tuple[Gate, bool]:
        """The gate of a policy, and whether it is new: then its task must be started."""
        gate, is_new = self._gates.get(policy), policy not in self._gates
        if gate is None:
            gate = self._gates[policy] = Gate(
                policy,
                self._quality,
                judge=lambda margin: self._judge(policy.max_data_age, margin),
                on_event=self._on_event,
            )
        return gate, is_new

    def update(self) -> None:
        """Something happened: look again."""
        for gate in self._gates.values():
            gate.update(trio.current_time())

    def gap(self, gap: Gap) -> None:
        """Quotes of a symbol are missing."""
        for gate in self._gates.values():
            gate.gap(gap.symbol, f"a gap in {gap.symbol}", gap.at)

    def resolve(self, symbol: str) -> None:
        """Nothing of a symbol is missing any more."""
        for gate in self._gates.values():
            gate.resolve(symbol)

    def receive_data(self, symbols: set[str]) -> None:
        """Quotes of these symbols came; the next quote after a gap resolves it."""
        now = trio.current_time()
        for gate in self._gates.values():
            for symbol in symbols:
                gate.resolve(symbol)
            gate.receive_data(now)


def _when_old(since: float, age: float) -> float:
    """The first instant at which `now - since >= age` holds, in spite of rounding: a look too early would be the last."""
    at = since + age
    return at if at - since >= age else nextafter(at, inf)
