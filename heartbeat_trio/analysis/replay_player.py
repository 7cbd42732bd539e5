"""Which stretches of a recording can hold a verdict, and `Heartbeat` run over them. Why that is exact: see `replay`."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from heapq import heapify, heappop, heappush
from math import inf
from random import Random
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ..events import Evidence
from ..sansio.heartbeat import Heartbeat
from ..sansio.pings import SendPing
from ..sansio.schedule import RecordedSchedule
from .replay_trace import MICROSECOND, Recording, View, look

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..config import HeartbeatPolicy
    from .tables import Floats, Ints

Window = tuple[int, float]
"""The first ping of a view that is replayed, and until when."""


class Loss(msgspec.Struct, frozen=True):
    """A replayed verdict: on which run, when on the recording's axis, and whether the connection showed life later."""

    run: int
    at: float
    is_false: bool


def losses_of(recording: Recording, policy: HeartbeatPolicy, view: View | None = None) -> list[Loss]:
    """The verdicts that a policy would have had.

    Args:
        recording: What was recorded ...
        policy: ... what to judge it by: with the recorded liveness, and a timeout of at least `quick` ...
        view: ... and which of the pings it sent; all of them by default.
    """
    return losses_of_each(recording, [policy], look(recording) if view is None else view)[0]


def losses_of_each(recording: Recording, policies: Sequence[HeartbeatPolicy], view: View) -> list[list[Loss]]:
    """The verdicts that each of several policies would have had (see `losses_of`)."""
    silences = {missed: _silences(view, missed) for missed in {policy.max_missed_pongs for policy in policies}}
    pongless = _pongless(recording, view)
    columns = _Columns(recording, view)
    found = []
    for policy in policies:
        player = _Player(columns, policy)
        windows = _long(silences[policy.max_missed_pongs], policy.pong_timeout)
        for start, end in _merge(columns, [*windows, *_with_misses(view, pongless, policy)]):
            player.play(start, end)
        found.append(player.losses)
    return found


# -- what is worth replaying -------------------------------------------------------------------------------------------


def _silences(view: View, missed: int) -> tuple[Floats, list[Window]]:
    """For each silence with at least so many ticks: how long it lasts after the tick that matters; the longest first."""
    length = len(view.due) - missed + 1
    if length <= 0:
        return np.empty(0), []
    first, last = slice(0, length), slice(missed - 1, missed - 1 + length)
    slack = np.where(view.run[first] == view.run[last], view.next_life[first] - view.tick[last], -1.0)
    begins = np.append(True, np.diff(view.next_life[first]) != 0)  # the first tick of each silence is the earliest verdict's
    found = np.flatnonzero(begins & (slack > 0))
    found = found[np.argsort(-slack[found], kind="stable")]
    windows = list(zip(found.tolist(), view.next_life[found].tolist(), strict=True))
    return -slack[found], windows


def _long(silences: tuple[Floats, list[Window]], timeout: float) -> list[Window]:
    """Those in which a verdict may be found."""
    lengths, windows = silences
    return windows[: int(np.searchsorted(lengths, MICROSECOND - timeout, side="right"))]


def _pongless(recording: Recording, view: View) -> tuple[Floats, Floats, Ints]:
    """Stretches without a pong that are long enough for the verdict that data alone does not count.

    From when, until when, and of which ping the pong before them was.
    """
    policy = recording.policy
    if policy.liveness != "any_inbound" or not len(view.due):
        return np.empty(0), np.empty(0), np.empty(0, dtype=np.int64)
    begins = np.flatnonzero(np.append(True, np.diff(view.run) != 0))
    runs = view.run[begins]
    moments = np.concatenate([view.birth[begins], view.pongs, recording.limit[runs]])
    senders = np.concatenate([begins, view.senders, begins])
    order = np.argsort(moments, kind="stable")
    moments, senders = moments[order], senders[order]
    gaps = np.flatnonzero(np.diff(moments) >= policy.max_pongless - MICROSECOND)
    gaps = gaps[view.run[senders[gaps]] == view.run[senders[gaps + 1]]]
    return moments[gaps], moments[gaps + 1], senders[gaps]


def _with_misses(view: View, pongless: tuple[Floats, Floats, Ints], policy: HeartbeatPolicy) -> list[Window]:
    """Those of them in which a ping is missed late enough: only a miss brings that verdict."""
    since, until, senders = pongless
    earliest = np.searchsorted(view.tick, since + policy.pongless_bound - policy.pong_timeout - MICROSECOND)
    latest = np.searchsorted(view.tick, until - policy.pong_timeout + MICROSECOND)
    has_miss = latest > earliest
    return list(zip(senders[has_miss].tolist(), until[has_miss].tolist(), strict=True))


class _Columns:
    """A view as plain lists, for going through it ping by ping."""

    def __init__(self, recording: Recording, view: View) -> None:
        self.recording = recording
        self.view = view
        self.due: list[float] = view.due.tolist()
        self.tick: list[float] = view.tick.tolist() if (view.tick != view.due).any() else self.due
        self.run: list[int] = view.run.tolist()
        self.next_life: list[float] = view.next_life.tolist()
        is_odd = (recording.is_caught_up | recording.is_excused)[view.index] | (view.birth != view.tick)
        self.odd = frozenset(np.flatnonzero(is_odd).tolist())
        """Pings by which a silence is unlike another."""


def _merge(view: _Columns, windows: Iterable[Window]) -> list[Window]:
    """In order, and none begins within another."""
    merged: list[Window] = []
    for start, end in sorted(windows):
        if merged and view.due[start] <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


# -- the replay itself -------------------------------------------------------------------------------------------------


class _Player:
    """Runs `Heartbeat` over windows of a view, one after the other."""

    def __init__(self, columns: _Columns, policy: HeartbeatPolicy) -> None:
        self._columns = columns
        self._recording = columns.recording
        self._view = columns.view
        self._policy = policy
        self._rng = Random(0)  # nonces need not differ from run to run
        self._next = 0
        self._known: dict[tuple[int, ...], bool] = {}
        self.losses: list[Loss] = []

    def play(self, start: int, end: float) -> None:
        """Replay a window; what a verdict of the window before it has taken is over."""
        columns = self._columns
        start = self._oldest_open(max(start, self._next))
        while start < len(columns.due) and columns.due[start] < end:
            run, verdict = columns.run[start], self._find_verdict(start, end)
            if verdict is None:
                return
            self.losses.append(Loss(run, verdict, bool(self._recording.alive_until[run] > verdict)))
            self._next = start = bisect_left(columns.due, verdict, lo=start + 1)
            if self._policy.liveness == "pong_only":  # pongs of older pings are none to a new heartbeat
                end = max(end, self._first_pong(start))

    def _find_verdict(self, start: int, end: float) -> float | None:
        """The verdict of a heartbeat that begins with this ping. The same silence twice is played once.

        Where nothing at all comes until the last deadline that matters, only the distances of the ticks do.
        """
        columns, last = self._columns, start + self._policy.max_missed_pongs - 1
        silence = None
        if (
            last < len(columns.due)
            and columns.run[last] == columns.run[start]
            and columns.odd.isdisjoint(range(start, last + 1))
        ):
            deadline = columns.tick[last] + self._policy.pong_timeout
            if deadline + MICROSECOND < min(columns.next_life[start], end):
                silence = tuple(
                    round((columns.tick[at] - columns.tick[start]) / MICROSECOND) for at in range(start + 1, last + 1)
                )
                if self._known.get(silence):
                    return deadline
        verdict = _Life(self._recording, self._policy, self._view, start, end, self._rng).run()
        if silence is not None:
            self._known[silence] = verdict is not None and abs(verdict - deadline) < MICROSECOND
        return verdict

    def _first_pong(self, start: int) -> float:
        """When a pong of this or of a later ping of its run comes."""
        view = self._view
        if start >= len(view.due):
            return -inf
        of_run = np.flatnonzero(view.run[start:] == view.run[start]) + start
        pongs = view.pong[of_run]
        return float(np.nanmin(pongs, initial=self._recording.limit[view.run[start]]))

    def _oldest_open(self, start: int) -> int:
        """With `pong_only`, the pong of an older ping is life: go back to the oldest one whose pong comes later."""
        if self._policy.liveness != "pong_only":
            return start
        view = self._view
        at = start
        while at > self._next and start - at < 64 and view.run[at - 1] == view.run[start]:
            at -= 1
            if view.pong[at] > view.due[start]:
                start = at
        return start


DATA, PONG, SENT = 0, 1, 2


class _Life:
    """One `Heartbeat` over recorded pings, driven as the shell does it: until a verdict, or the window's end."""

    def __init__(
        self, recording: Recording, policy: HeartbeatPolicy, view: View, start: int, end: float, rng: Random
    ) -> None:
        self._recording = recording
        self._view = view
        self._timeout = policy.pong_timeout
        self._start = self._next = start
        self._end = end
        stop = bisect_right(view.due, end, lo=start)
        ticks = view.tick[start:stop].tolist()
        self._heartbeat = Heartbeat(policy, now=float(view.birth[start]), rng=rng, schedule=RecordedSchedule(ticks))
        self._nonces: dict[int, bytes] = {}
        self._excuses: list[float] = []
        data = view.data[bisect_left(view.data, ticks[0]) : bisect_right(view.data, end)].tolist()
        of_window = slice(np.searchsorted(view.pongs, ticks[0]), np.searchsorted(view.pongs, end, side="right"))
        self._inputs: list[tuple[float, int, int]] = [(at, DATA, 0) for at in data]
        pongs = zip(view.pongs[of_window].tolist(), view.senders[of_window].tolist(), strict=True)
        self._inputs += [(at, PONG, sender) for at, sender in pongs]
        heapify(self._inputs)

    def run(self) -> float | None:
        """When the peer was called dead, if it was."""
        heartbeat, inputs = self._heartbeat, self._inputs
        while True:
            deadline = heartbeat.next_deadline()
            if inputs and inputs[0][0] <= deadline:
                now, kind, ping = heappop(inputs)
                self._receive(now, kind, ping)
            elif deadline <= self._end:
                for decision in heartbeat.handle_timer(deadline, self._excuse(deadline)):
                    if isinstance(decision, SendPing):
                        self._send(decision.nonce, deadline)
            else:
                return None
            if heartbeat.is_over:
                return deadline

    def _receive(self, now: float, kind: int, ping: int) -> None:
        if kind == SENT:
            self._heartbeat.ping_sent(self._nonces[ping], now)
        elif kind == PONG and ping in self._nonces:
            self._heartbeat.receive_pong(self._nonces[ping], now)
        else:
            self._heartbeat.receive_data(now)

    def _send(self, nonce: bytes, now: float) -> None:
        """A ping: what is recorded of it follows."""
        ping, self._next = self._next, self._next + 1
        row = self._view.index[ping]
        self._nonces[ping] = nonce
        recording = self._recording
        sent = float(recording.sent[row])
        if sent <= now + MICROSECOND:
            self._heartbeat.ping_sent(nonce, now)
        elif sent > now:
            heappush(self._inputs, (sent, SENT, ping))
        if recording.is_caught_up[row]:  # it lay unread at its deadline
            heappush(self._inputs, (now + self._timeout, PONG, ping))
        elif recording.is_excused[row]:
            self._excuses.append(now + self._timeout)

    def _excuse(self, now: float) -> Evidence | None:
        """That our own program did not run, if it is so recorded of a ping that is judged now."""
        if not self._excuses or self._excuses[0] > now:
            return None
        self._excuses = [each for each in self._excuses if each > now]
        return Evidence(age=self._timeout, timeout=self._timeout, unread=1)
