"""Calm hours of a made-up connection, in columns; and what its statistics are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..journal.records import FATES

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._made_up_life import Decision
    from ._made_up_world import LineWorld

    Floats = npt.NDArray[np.float64]

PROMPT = 0.98
"""Part of the timeout and of the interval within which a pong is no matter for the simulation."""


class Piece(NamedTuple):
    """Lines of a session with their times; no later piece has a line from before ``begin``."""

    begin: float
    times: Floats
    lines: list[str]


class Figures:
    """What `statistics` are made of: when pings were sent, what was decided, and where connections began."""

    def __init__(self) -> None:
        self.sent: list[Floats] = []
        self.at: list[Floats] = []
        self.fate: list[npt.NDArray[np.str_]] = []
        self.sample: list[Floats] = []
        self.connected: list[float] = []

    def add(self, pings: list[float], decisions: list[Decision]) -> None:
        """What a stretch of life says."""
        samples = [np.nan if each.sample is None else each.sample for each in decisions]
        self.sent.append(np.array(pings, dtype=np.float64))
        self.put([each.at for each in decisions], [FATES[each.fate] for each in decisions], samples)

    def put(self, at: Any, fate: Any, sample: Any) -> None:  # noqa: ANN401 - whatever numpy takes
        """Decisions, by column."""
        self.at.append(np.array(at, dtype=np.float64))
        self.fate.append(np.array(fate, dtype="U1"))
        self.sample.append(np.array(sample, dtype=np.float64))


class CalmPings:
    """Pings of a steady schedule. Those that are odd are lived through one by one, and left out here.

    Args:
        line: Whose.
        tick: When the first one is due.
        first: Its number.
        count: How many; the last ones are never odd.
    """

    def __init__(self, line: LineWorld, tick: float, first: int, count: int) -> None:
        policy = line.recipe.heartbeat
        self.first = first
        self._line = line
        self._interval = policy.ping_interval
        self.ticks: Floats = tick + policy.ping_interval * np.arange(count, dtype=np.float64)
        self._rtt, missed = line.round_trips(self.ticks)
        limit = PROMPT * min(policy.pong_timeout, policy.ping_interval)
        self._missed = missed
        self._odd = missed | (self._rtt >= limit)
        for place in (0, -1, -2):
            self._odd[place] = self._missed[place] = False
            self._rtt[place] = min(self._rtt[place], limit / 2)
        self._is_calm = np.ones(count, dtype=np.bool_)

    def tick(self, number: int) -> float:
        """When a ping is due."""
        return float(self.ticks[number - self.first])

    def odd_numbers(self) -> list[int]:
        """Pings without a quick answer."""
        found: list[int] = (np.flatnonzero(self._odd) + self.first).tolist()
        return found

    def is_odd(self, number: int) -> bool:
        """Whether a ping is one of them; pings beyond the last one are not."""
        index = number - self.first
        return index < len(self._odd) and bool(self._odd[index])

    def answer(self, number: int, sent_at: float) -> float | None:
        """See `Circumstances`."""
        index = number - self.first
        if index >= len(self._odd):
            return self._line.round_trip(sent_at)
        return self._line.late_answer() if self._missed[index] else float(self._rtt[index])

    def leave_out(self, begin: int, end: int) -> None:
        """Pings of these numbers, the end excluded, are told elsewhere."""
        self._is_calm[begin - self.first : end - self.first] = False

    def cut(self, number: int) -> None:
        """All pings from this number on are told elsewhere."""
        self._is_calm[number - self.first :] = False

    def sent(self) -> Floats:
        """When the calm ones were sent."""
        sent: Floats = self.ticks[self._is_calm]
        return sent

    def decisions(self) -> tuple[Floats, Any, Floats]:
        """When they were decided, their fates, and the samples."""
        rtt = self._rtt[self._is_calm]
        return self.sent() + rtt, np.full(len(rtt), "a"), rtt

    def lines(self, session: str, connection: int, shift: float) -> tuple[Floats, list[str]]:
        """When they were recorded, which is when the next one was due, and the records."""
        draw, numbers = self._line.vectors, np.flatnonzero(self._is_calm) + self.first
        ticks, rtt, count = self.sent(), self._rtt[self._is_calm], len(numbers)
        gap, interval = 1 / self._line.law.quotes, self._interval
        sent_after = draw.integers(12, 60, count)
        pong = rtt + sent_after * 1e-6
        first, last = draw.exponential(gap, count), interval - draw.exponential(gap, count)
        has_quotes = first < interval
        first_in = np.where(has_quotes, np.minimum(pong, first), pong)
        last_in = np.where(has_quotes, np.maximum(pong, np.maximum(first, last)), pong)
        columns = (
            numbers,
            _microseconds(ticks + shift),
            sent_after,
            _microseconds(rtt),
            _microseconds(first_in),
            _microseconds(last_in),
        )
        row = f'["p","{session}",{connection},%d,%d,%d,"a",%d,true,%d,%d]'
        return ticks + interval, list(map(row.__mod__, zip(*(column.tolist() for column in columns), strict=True)))


def _microseconds(seconds: Floats) -> npt.NDArray[np.int64]:
    return (seconds * 1e6).astype(np.int64)
