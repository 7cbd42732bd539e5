"""Which endpoint is best: the score, and the hysteresis that keeps two good ones from changing places all day.

The score is the mean of the last 22 round trips without the highest and lowest fifth, plus a penalty for misses. Whoever is
in use is judged by its score: news matter. Whoever waits is judged by the same mean of its last 240, its *level*: a promise
must have held for long; and its score must not contradict it. So chance has to deceive once, not twice at the same moment.
(Two medians of 24 cannot do it. Between servers of 20 and 21 ms with log-normal noise of sigma .35, every fourth day has two
switches or more, or every second, as confirmations are counted; 2 to 9 % of runs leave a server that became twice as slow
later than after 120 s. Two means of 24 without the sixths: every tenth day, 1 to 1.5 %. This rule: no such day in
400 (one, begun at the slower), no such run in 2000, see `tests/benchmarks/selection.py`; of many runs 4 in 10 000 would be
late. At sigma .5 it does not suffice: every second day, 2 %. 22, because 24 pings fit into 120 s, and the confirmations take
the last three of them.)

A switch for *quality* must be worth it, be confirmed, and be rare; a switch away from an endpoint that *fails* is immediate.
Who failed is ejected: for longer each time, never the last one, and with a handicap on its return. `TRANSITIONS` says how
far each endpoint can be relied on; among those equally reliable the lowest score wins.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from enum import Enum
from math import fsum, inf
from statistics import median
from typing import TYPE_CHECKING

from ..orders import Ejected, EndpointChanged, EndpointSnapshot, EndpointState, Switched
from .limits import RollingLimit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events import Event
    from ..orders import SwitchReason
    from ..policies import BalancerPolicy

HOUR = 3600.0


class Step(Enum):
    """What happens to an endpoint."""

    WELL = "connected or recovered"
    EJECT = "well, but its ejection lasts"
    PARDON = "its ejection is over"
    PROVE = "enough pongs came"
    DOUBT = "suspect or degraded"
    LOSE = "the connection is gone"


_S = EndpointState
TRANSITIONS: dict[tuple[EndpointState, Step], EndpointState] = {
    (_S.DOWN, Step.WELL): _S.PROBING,
    (_S.FAILING, Step.WELL): _S.PROBING,
    (_S.FAILING, Step.LOSE): _S.DOWN,
    (_S.PROBING, Step.EJECT): _S.EJECTED,
    (_S.PROBING, Step.PROVE): _S.READY,
    (_S.PROBING, Step.DOUBT): _S.FAILING,
    (_S.PROBING, Step.LOSE): _S.DOWN,
    (_S.EJECTED, Step.PARDON): _S.PROBING,
    (_S.EJECTED, Step.DOUBT): _S.FAILING,
    (_S.EJECTED, Step.LOSE): _S.DOWN,
    (_S.READY, Step.DOUBT): _S.FAILING,
    (_S.READY, Step.LOSE): _S.DOWN,
}
"""What is not listed changes nothing."""

RANKS = {state: rank for rank, state in enumerate(EndpointState)}
"""The higher, the sooner an endpoint is taken."""

WELL = (_S.EJECTED, _S.PROBING, _S.READY)
"""States in which an endpoint can be used without a second thought, where nothing better is there."""


class _Window:
    """The last pings of one line, at most so many: their round trips also sorted; None is a miss."""

    __slots__ = ("_last", "_sorted")

    def __init__(self, size: int) -> None:
        self._last: deque[float | None] = deque(maxlen=size)
        self._sorted: list[float] = []

    def append(self, rtt: float | None) -> None:
        if len(self._last) == self._last.maxlen and (oldest := self._last[0]) is not None:
            del self._sorted[bisect_left(self._sorted, oldest)]
        self._last.append(rtt)
        if rtt is not None:
            insort(self._sorted, rtt)

    def clear(self) -> None:
        self._last.clear()
        self._sorted.clear()

    def median(self) -> float | None:
        return median(self._sorted) if self._sorted else None

    def middle(self) -> float | None:
        """The mean without the highest and the lowest fifth."""
        count = len(self._sorted)
        cut = max(1, count // 5) if count > 2 else 0
        return fsum(self._sorted[cut : count - cut]) / (count - 2 * cut) if count else None

    def misses(self) -> float:
        """Part of the pings, 0..1."""
        return 1 - len(self._sorted) / len(self._last) if self._last else 0.0


class _Endpoint:
    """What is remembered of one endpoint."""

    __slots__ = (
        "chosen_for",
        "ejected_until",
        "failures",
        "forgive_at",
        "name",
        "past",
        "pongs",
        "returned_at",
        "score",
        "state",
        "streak",
        "trouble",
        "window",
    )

    def __init__(self, name: str, policy: BalancerPolicy) -> None:
        self.name = name
        self.state = EndpointState.DOWN
        self.window = _Window(policy.window)
        self.past = _Window(policy.patience)
        self.score: float | None = None
        self.pongs = 0
        self.streak = 0
        self.failures = 0
        self.ejected_until = -inf
        self.forgive_at = inf
        self.returned_at: float | None = None
        self.chosen_for = 0.0
        self.trouble: SwitchReason = "lost"

    def forget(self) -> None:
        """A new line: nothing is known."""
        self.window.clear()
        self.past.clear()
        self.score = None

    def learn(self, rtt: float | None) -> None:
        self.window.append(rtt)
        self.past.append(rtt)


class EndpointSelector:
    """Decides where orders go.

    Args:
        names: The endpoints; of equally good ones the first is taken.
        policy: The numbers.
        now: When it begins.
    """

    def __init__(self, names: Sequence[str], policy: BalancerPolicy, now: float) -> None:
        self._policy = policy
        self._endpoints = {name: _Endpoint(name, policy) for name in names}
        self._best: _Endpoint | None = None
        self._began_at = self._switched_at = now
        self._is_settled = False
        self._budget = RollingLimit(policy.max_switches, HOUR)

    @property
    def best(self) -> str | None:
        """Where orders go; None before any endpoint was connected. It stays where it is while none is."""
        return None if self._best is None else self._best.name

    def ranked(self) -> list[str]:
        """All endpoints that are connected, the one to try first at the head."""
        connected = [each for each in self._endpoints.values() if each.state is not EndpointState.DOWN]
        connected.sort(key=lambda each: (each is not self._best, -RANKS[each.state], _or_inf(each.score)))
        return [each.name for each in connected]

    # -- what happens to an endpoint ---------------------------------------------------------------------------------------

    def connected(self, name: str, now: float) -> list[Event]:
        """A connection stands: a new line, of which nothing is known."""
        endpoint = self._endpoints[name]
        endpoint.forget()
        return self._well(endpoint, now, "connected")

    def recovered(self, name: str, now: float) -> list[Event]:
        """It answers again, and is neither suspect nor degraded."""
        endpoint = self._endpoints[name]
        return self._well(endpoint, now, "answers again") if endpoint.state is EndpointState.FAILING else []

    def doubted(self, name: str, now: float, *, reason: SwitchReason) -> list[Event]:
        """It is suspect or degraded."""
        return self._fail(self._endpoints[name], Step.DOUBT, reason, reason, now)

    def lost(self, name: str, now: float, *, detail: str = "lost") -> list[Event]:
        """Its connection is gone."""
        return self._fail(self._endpoints[name], Step.LOSE, "lost", detail, now)

    def missed(self, name: str, now: float) -> list[Event]:
        """A ping was not answered in time."""
        endpoint = self._endpoints[name]
        endpoint.learn(None)
        return self._look(endpoint, now)

    def receive_pong(self, name: str, rtt: float, now: float) -> list[Event]:
        """A ping was answered after so many seconds."""
        endpoint = self._endpoints[name]
        endpoint.learn(rtt)
        endpoint.pongs += 1
        return self._look(endpoint, now)

    # -- what follows from it ----------------------------------------------------------------------------------------------

    def _well(self, endpoint: _Endpoint, now: float, detail: str) -> list[Event]:
        events = self._step(endpoint, Step.WELL, now, detail)
        if events:
            endpoint.pongs = endpoint.streak = 0
            endpoint.forgive_at = now + self._policy.forgive_after
        if now < endpoint.ejected_until:
            events += self._step(endpoint, Step.EJECT, now, f"ejected for {endpoint.ejected_until - now:.0f} s more")
        return events + self._choose_live(now)

    def _fail(self, endpoint: _Endpoint, step: Step, reason: SwitchReason, detail: str, now: float) -> list[Event]:
        was_well = endpoint.state in WELL
        events = self._step(endpoint, step, now, detail)
        endpoint.streak = 0
        endpoint.forgive_at = inf
        endpoint.trouble = reason
        if was_well:  # one outage is one failure, however long it takes
            events += self._eject(endpoint, now)
        return events + self._choose_live(now)

    def _eject(self, endpoint: _Endpoint, now: float) -> list[Event]:
        """Keep a failed endpoint from winning for a while, unless all others are kept from it already."""
        endpoint.failures += 1
        endpoint.returned_at = None
        seconds = min(self._policy.max_ejection, self._policy.ejection * endpoint.failures)
        others = [each for each in self._endpoints.values() if each is not endpoint and now >= each.ejected_until]
        if not others or not seconds:
            return []
        endpoint.ejected_until = now + seconds
        return [Ejected(at=now, endpoint=endpoint.name, seconds=seconds, count=endpoint.failures)]

    def _look(self, endpoint: _Endpoint, now: float) -> list[Event]:
        """A ping of this endpoint was decided: what has changed?"""
        events: list[Event] = []
        if endpoint.state is EndpointState.EJECTED and now >= endpoint.ejected_until:
            events += self._step(endpoint, Step.PARDON, now, "its ejection is over")
        if endpoint.state is EndpointState.PROBING and endpoint.pongs >= self._policy.probes:
            endpoint.returned_at = now if endpoint.failures else None
            events += self._step(endpoint, Step.PROVE, now, f"{endpoint.pongs} pongs")
        if now >= endpoint.forgive_at:
            endpoint.failures = max(0, endpoint.failures - 1)
            endpoint.forgive_at = now + self._policy.forgive_after
        endpoint.score = self._score(endpoint, endpoint.window, now)
        return events + self._choose_better(endpoint, now)

    def _score(self, endpoint: _Endpoint, window: _Window, now: float) -> float | None:
        """The middle of this window, with the penalty for what was missed of late and the handicap after a failure."""
        middle = window.middle()
        if middle is None:
            return None
        score = middle + self._policy.miss_penalty * endpoint.window.misses()
        if endpoint.returned_at is None or now >= endpoint.returned_at + self._policy.slow_start:
            return score
        return score * (2.0 - (now - endpoint.returned_at) / self._policy.slow_start)

    # -- switching ---------------------------------------------------------------------------------------------------------

    def _choose_live(self, now: float) -> list[Event]:
        """Leave an endpoint that fails for one that does not. This waits for nothing."""
        best = self._best
        if best is not None and best.state in WELL:
            return []
        candidates = [each for each in self._endpoints.values() if each is not best]
        other = min(candidates, key=lambda each: (-RANKS[each.state], _or_inf(each.score)), default=None)
        if other is None or RANKS[other.state] <= (RANKS[best.state] if best else RANKS[EndpointState.DOWN]):
            return []
        return self._switch(other, "first" if best is None else best.trouble, now)

    def _choose_better(self, endpoint: _Endpoint, now: float) -> list[Event]:
        """Count a confirmation for whoever is better than the endpoint in use, and switch when there are enough."""
        best, policy = self._best, self._policy
        others = [each for each in self._endpoints.values() if each is not best]
        for other in others if endpoint is best else [endpoint]:
            other.streak = other.streak + 1 if self._is_better(other, best, now) else 0
        # The first choice was made blindly: a better-founded one need not wait.
        has_dwelt = not self._is_settled or now >= self._switched_at + policy.dwell
        if not has_dwelt or all(each.streak < policy.confirmations for each in others):
            return []
        rivals = [each for each in others if each.state is EndpointState.READY]
        rival = min(rivals, key=lambda each: _or_inf(self._level(each, now)))
        if rival.streak < policy.confirmations or not self._budget.try_acquire(now):
            return []
        return self._switch(rival, "quality", now)

    def _level(self, endpoint: _Endpoint, now: float) -> float | None:
        return self._score(endpoint, endpoint.past, now)

    def _is_better(self, endpoint: _Endpoint, best: _Endpoint | None, now: float) -> bool:
        """Its level is better than the score of the one in use, by enough; and its own score does not contradict that."""
        policy = self._policy
        if endpoint.state is not EndpointState.READY or endpoint.score is None:
            return False
        if best is None or best.score is None or best.pongs < policy.probes:
            return False  # it is not known well enough yet to be called worse
        if best.score - endpoint.score < min(policy.min_gain, policy.min_recent_gain) * best.score:
            return False
        gain = best.score - _or_inf(self._level(endpoint, now))
        return gain >= policy.min_gain * best.score and gain >= policy.min_gain_seconds

    def _switch(self, new: _Endpoint, reason: SwitchReason, now: float) -> list[Event]:
        old, after = self._best, now - self._switched_at
        if old is not None:
            old.chosen_for += after
        self._is_settled = old is not None
        self._best, self._switched_at = new, now
        for endpoint in self._endpoints.values():
            endpoint.streak = 0
        return [
            Switched(
                at=now,
                old=None if old is None else old.name,
                new=new.name,
                reason=reason,
                old_score=None if old is None else old.score,
                new_score=self._level(new, now) if reason == "quality" else new.score,
                after=after,
            )
        ]

    def _step(self, endpoint: _Endpoint, step: Step, now: float, detail: str) -> list[Event]:
        old = endpoint.state
        endpoint.state = TRANSITIONS.get((old, step), old)
        if endpoint.state is old:
            return []
        return [EndpointChanged(at=now, endpoint=endpoint.name, old=old, new=endpoint.state, detail=detail)]

    def snapshot(self, now: float) -> tuple[EndpointSnapshot, ...]:
        """What is thought of each endpoint, frozen, in the order in which they were given."""
        return tuple(self._describe(endpoint, now) for endpoint in self._endpoints.values())

    def _describe(self, endpoint: _Endpoint, now: float) -> EndpointSnapshot:
        is_best, lasted = endpoint is self._best, now - self._began_at
        chosen_for = endpoint.chosen_for + (now - self._switched_at if is_best else 0.0)
        return EndpointSnapshot(
            endpoint=endpoint.name,
            state=endpoint.state,
            is_best=is_best,
            score=self._score(endpoint, endpoint.window, now),
            median=endpoint.window.median(),
            misses=endpoint.window.misses(),
            pongs=endpoint.pongs,
            ejected_for=max(0.0, endpoint.ejected_until - now),
            ejections=endpoint.failures,
            share=chosen_for / lasted if lasted else 0.0,
        )


def _or_inf(score: float | None) -> float:
    return inf if score is None else score
