"""Notices that a feed fell silent, against the gaps that are normal for it, and what to do about it, step by step.

A connection can live while its feed is dead: pongs come, quotes do not. What gap is normal is learned for the connection
as a whole and for each subscription. Silence calls for a probe first, then for subscribing again, then for another
connection; each step has its outcome recorded, and waits for a pong that came since the one before it: without one the
peer may be dead, which is the heartbeat's to judge. One silence costs one reconnect at most: after the last step the feed
is left alone until data comes.

A new connection owes nothing at once: until data comes on it, everything may be silent for `unconfirmed_after` seconds.
After that a subscription that never had data is suspect, and one that had some if its normal gap was learned.
"""

from __future__ import annotations

from collections import Counter, deque
from math import inf
from typing import TYPE_CHECKING

import msgspec

from ..events import Event, Silence
from .cause import STALL
from .windows import bucket_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config import SilencePolicy
    from ..events import SilenceOutcome, SilenceStep

STEPS: tuple[SilenceStep, ...] = ("probe", "resubscribe", "reconnect")

MEMORY = 600.0
"""Seconds over which gaps are learned."""
CELL = 60.0
ENOUGH = 300
"""Gaps without which nothing is said: the 99.9th percentile needs more than a handful."""
RATE = 0.5
"""Messages a second below which nothing is said either."""
RELEARN = 10.0
"""Seconds for which a threshold is good before it is worked out again."""
LOOK = 5.0
"""Seconds after which it is looked whether enough has been learned."""


class GapModel:
    """The gaps between messages in the last ten minutes."""

    def __init__(self, policy: SilencePolicy) -> None:
        self._policy = policy
        self._cells: deque[tuple[float, Counter[int]]] = deque()
        self._gaps: Counter[int] = Counter()
        """The sum of the cells: a session may have a thousand of these models, which all want to know."""
        self._last: float | None = None
        self._threshold: float | None = None
        self._worked_out_at = -inf

    def add(self, now: float) -> None:
        """A message came; several at one instant are one."""
        last, self._last = self._last, now
        if last is None or now <= last:
            return
        if not self._cells or now - self._cells[-1][0] >= CELL:
            self._cells.append((now, Counter()))
        bucket = bucket_of(now - last)
        self._cells[-1][1][bucket] += 1
        self._gaps[bucket] += 1

    def pause(self) -> None:
        """The next gap is no gap: there was no connection."""
        self._last = None

    def threshold(self, now: float) -> float | None:
        """Seconds of silence that are not normal: `factor` times the 99.9th percentile, clamped. None: not enough known."""
        if now - self._worked_out_at >= RELEARN or (self._threshold is None and now - self._worked_out_at >= 1):
            self._worked_out_at = now
            self._threshold = self._work_out(now)
        return self._threshold

    def _work_out(self, now: float) -> float | None:
        while self._cells and now - self._cells[0][0] > MEMORY:
            self._gaps -= self._cells.popleft()[1]
        gaps, total = self._gaps, self._gaps.total()
        # The rate while messages came: the silence that is judged must not count against it.
        if total < ENOUGH or total < RATE * sum(value_of(bucket) * count for bucket, count in gaps.items()):
            return None
        policy, rest = self._policy, total // 1000
        for bucket in sorted(gaps, reverse=True):
            rest -= gaps[bucket]
            if rest < 0:
                return min(policy.maximum, max(policy.minimum, policy.factor * value_of(bucket)))
        return None  # pragma: no cover - some bucket holds the percentile


class _Feed:
    """What is known of one symbol's data, or of all of it."""

    __slots__ = (
        "had_data",
        "has_data",
        "has_ponged",
        "is_excused",
        "is_probed",
        "is_waiting",
        "last_at",
        "model",
        "step",
        "step_at",
        "stepped_after",
    )

    def __init__(self, model: GapModel, now: float) -> None:
        self.model = model
        self.last_at = now
        self.had_data = False
        """On any connection of the session."""
        self.has_data = False
        """On this connection."""
        self.step = -1
        """Index of the step that was taken last; -1: none since data came."""
        self.step_at = now
        """From when on the silence counts, should that be later than the last data."""
        self.stepped_after: float | None = None
        """The threshold of this silence."""
        self.is_probed = True
        """Whether a ping was sent for its first step."""
        self.has_ponged = False
        """Since the last step."""
        self.is_waiting = False
        """Without a pong nothing more is done."""
        self.is_excused = False
        """Whether a stall of our own was taken off already, since data or the last step."""

    def begin_step(self, step: int, now: float) -> None:
        self.step, self.step_at = step, now
        self.has_ponged = self.is_waiting = self.is_excused = False

    def starts_at(self) -> float:
        return max(self.last_at, self.step_at)


class SilenceWatch:
    """Watches one session's feeds. A `Silence` event without an outcome is also the order to take that step.

    Args:
        policy: What is silence, and how far to go.
        pong_timeout: Seconds that a pong may take: each step waits at least so long for one.
    """

    def __init__(self, policy: SilencePolicy, *, pong_timeout: float) -> None:
        self._policy = policy
        self._pong_timeout = pong_timeout
        self._steps = STEPS[: STEPS.index(policy.last_step) + 1] if policy.last_step != "none" else ()
        self._feeds: dict[str | None, _Feed] = {}
        self._is_connected = False
        self._next = inf

    def start_connection(self, now: float) -> None:
        """A connection stands: nothing can have been missed on it yet."""
        self._is_connected = True
        for feed in self._feeds.values():
            feed.last_at = now
            feed.has_data = False
            feed.begin_step(feed.step, now)
        self._next = now + LOOK if self._steps else inf

    def end_connection(self) -> None:
        """There is no connection: nothing is expected."""
        self._is_connected = False
        for feed in self._feeds.values():
            feed.model.pause()

    def acknowledged(self, symbol: str, now: float) -> None:
        """The peer agreed to a subscription: data is expected from now on."""
        if not self._steps:
            return
        feed = self._feed(symbol, now)
        if not feed.has_data:
            feed.last_at = now
            self._next = min(self._next, self._deadline(feed, now))

    def forget(self, symbol: str, now: float) -> list[Event]:
        """It is wanted no more. What gap is normal for the rest of the connection has to be learned again."""
        gone = self._feeds.pop(symbol, None)
        if gone is None:
            return []
        forgotten = [(symbol, gone), (None, self._feeds.pop(None, None))]
        return [
            self._event(each, feed, now, "unsubscribed") for each, feed in forgotten if feed is not None and feed.step >= 0
        ]

    def receive(self, symbols: Iterable[str], now: float) -> list[Event]:
        """Data of these symbols came in one read."""
        if not self._steps:
            return []
        events: list[Event] = []
        for symbol in (None, *symbols):
            feed = self._feed(symbol, now)
            if feed.step >= 0:
                events.append(self._event(symbol, feed, now, "data"))
                feed.step = -1
            feed.model.add(now)
            feed.last_at, feed.has_data, feed.had_data = now, True, True
            feed.is_waiting = feed.is_excused = False
        return events

    def receive_pong(self, now: float) -> None:
        """The peer lives, whatever its feed does. Steps that waited for that go on, unless data follows."""
        for feed in self._feeds.values():
            feed.has_ponged = True
            if feed.is_waiting:
                feed.is_waiting, feed.step_at = False, now
                self._next = min(self._next, self._deadline(feed, now))

    def next_deadline(self) -> float:
        """When `handle_timer` is due; `inf` without a connection. It may change after every call of any method."""
        return self._next if self._is_connected else inf

    def accused_since(self, now: float) -> float | None:
        """Since when what `handle_timer` would judge now is silent: first make sure that nothing of it lies unread.

        None if there is nothing to judge.
        """
        due = [] if now < self.next_deadline() else self._due(now)
        return min((feed.starts_at() for _, feed in due), default=None)

    def handle_timer(self, now: float, lag: float = 0.0) -> list[Event]:
        """Take the steps that are due; ``lag``: seconds since `accused_since` in which our own loop did not run."""
        if now < self.next_deadline():
            return []
        events: list[Event] = []
        for symbol, feed in self._due(now):
            if not self._excuse(feed, now, lag):
                events += self._escalate(symbol, feed, now)
        soonest = min((self._deadline(feed, now) for feed in self._feeds.values()), default=inf)
        self._next = min(max(soonest, now + 0.01), now + LOOK)
        return events

    def without_probe(self, events: Iterable[Event]) -> list[Event]:
        """No extra ping may be sent for these orders: they wait for the answer to the next ordinary one, and say so."""
        told: list[Event] = []
        for event in events:
            if isinstance(event, Silence) and event.outcome is None:
                feed = self._feeds[event.symbol]
                feed.is_waiting = True
                if event.step == "probe":
                    feed.is_probed = False
                    event = msgspec.structs.replace(event, step="wait")
            told.append(event)
        return told

    def _feed(self, symbol: str | None, now: float) -> _Feed:
        feed = self._feeds.get(symbol)
        if feed is None:
            feed = self._feeds[symbol] = _Feed(GapModel(self._policy), now)
        return feed

    def _due(self, now: float) -> list[tuple[str | None, _Feed]]:
        """The whole connection comes first: its silence is not that of each symbol."""
        due = [(symbol, feed) for symbol, feed in self._feeds.items() if self._deadline(feed, now) <= now]
        return sorted(due, key=lambda each: each[0] is not None)

    def _threshold(self, feed: _Feed, now: float) -> float | None:
        """Seconds of silence that are not normal; None: nothing is known that could be missed."""
        return feed.model.threshold(now) if feed.had_data else self._policy.unconfirmed_after

    def _deadline(self, feed: _Feed, now: float) -> float:
        """When the silence calls for the next step."""
        if feed.is_waiting or feed.step >= len(self._steps):
            return inf
        limit = self._threshold(feed, now) if feed.step < 0 else feed.stepped_after
        if limit is None:
            return inf
        if feed.step >= 0:
            limit = max(limit, self._pong_timeout)
        if not feed.has_data:
            limit = max(limit, self._policy.unconfirmed_after)
        return feed.starts_at() + limit

    def _excuse(self, feed: _Feed, now: float, lag: float) -> bool:
        """Take time in which our own loop did not run off a silence, once; whether it has some time left thereby."""
        if lag < STALL or feed.is_excused:
            return False
        feed.is_excused = True  # a loop that stalls all the time must not hide a dead feed for ever
        feed.step_at = min(now, feed.starts_at() + lag)
        feed.model.pause()  # nor is it normal
        return self._deadline(feed, now) > now

    def _escalate(self, symbol: str | None, feed: _Feed, now: float) -> list[Event]:
        if symbol is not None and self._is_one_of_many(feed, now):
            feed.step_at = now  # look again after the same time
            return []
        events: list[Event] = []
        if feed.step < 0:
            feed.stepped_after, feed.is_probed = self._threshold(feed, now), True
        elif not feed.has_ponged:
            feed.is_waiting = True
            return [self._event(symbol, feed, now, "none")]
        else:
            events.append(self._event(symbol, feed, now, "pong"))
        feed.begin_step(feed.step + 1, now)
        if feed.step < len(self._steps):
            events.append(self._event(symbol, feed, now, None))
        return events

    def _is_one_of_many(self, feed: _Feed, now: float) -> bool:
        """Whether the whole connection is silent: then that is what is judged, and not each symbol."""
        whole = self._feeds.get(None)
        if whole is None or (whole.step < 0 and whole.model.threshold(now) is None):
            return False
        # The last quotes before a silence are not of one instant: only others that went on for a while tell it apart.
        return whole.step >= 0 or (feed.has_data and whole.last_at - feed.last_at < (now - feed.last_at) / 2)

    def _event(self, symbol: str | None, feed: _Feed, now: float, outcome: SilenceOutcome | None) -> Silence:
        step = self._steps[min(feed.step, len(self._steps) - 1)]
        return Silence(
            at=now,
            symbol=symbol,
            silent_for=now - feed.last_at,
            threshold=feed.stepped_after if feed.had_data else None,
            step="wait" if step == "probe" and not feed.is_probed else step,
            outcome=outcome,
        )
