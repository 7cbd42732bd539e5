"""Connections that die of silence: a NAT or a proxy forgets those on which nothing went either way for long enough.

Before each ping there was an idle time: since the ping before it, or since the last byte that came in after that. If a
threshold kills, every ping after a longer idle time remains unanswered for ever, and none after a shorter one does for that
reason. If losses have nothing to do with idle times, it is chance that those of the lost are the longest of all: of ``n`` in
order, the top ``r`` are all losses with the probability (n - r over losses - r) / (n over losses).

A peer that dies while data flow makes an idle time by that; there, nothing lived through a time half as long, and nothing
is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..findings import Estimate, Finding, NotEnough
from .chance import Tested

if TYPE_CHECKING:
    from ..tables import Flags, Floats, Ints, Journals
    from .lost import Loss

STANDARD = (60.0, 300.0, 350.0)
"""Seconds after which common devices forget: proxies, firewalls, and cloud load balancers and NAT gateways."""
SHORTEST = 30.0
"""Seconds; nothing forgets sooner."""
FEW = 5
"""Losses that show a threshold."""
NEAR = 0.5
"""Idle times of at least this part of the shortest that killed must have been survived ..."""
SURVIVORS = 5
"""... so often."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Idle times of one line in seconds: those survived, those that killed, and the Unix time of the latter."""

    survived: Floats
    killed: Floats
    killed_at: Floats


def idle_times(journals: Journals, lost: list[Loss]) -> dict[int, Idle]:
    """By line."""
    pings = journals.pings
    if not len(pings):
        return {}
    key = np.stack([pings.session, pings.connection, pings.ping])
    last = np.append(np.any(key[:, 1:] != key[:, :-1], axis=0), True)  # a late pong's record follows that of the miss
    rows = np.flatnonzero(last)
    session, connection, number = key[:, rows]
    t, fate = pings.t[rows], pings.fate[rows]
    sent = t + np.nan_to_num(pings.sent_after[rows])
    active = np.fmax(sent, t + pings.last_in[rows])
    follows = np.zeros(len(rows), dtype=np.bool_)
    follows[1:] = (session[1:] == session[:-1]) & (connection[1:] == connection[:-1]) & (number[1:] == number[:-1] + 1)
    idle = np.full(len(rows), np.nan)
    idle[1:] = np.where(follows[1:], sent[1:] - active[:-1], np.nan)
    answered = np.isin(fate, ("a", "l"))
    lives = answered | ~np.isnan(pings.first_in[rows])
    line = np.array([each.line for each in journals.sessions], dtype=np.int64)[session]
    killed, killed_line, killed_at = _kills(
        journals, lost, (session, connection), follows, lives, (idle, active, sent, fate)
    )
    survived = answered & ~np.isnan(idle)
    return {
        each: Idle(
            idle[survived & (line == each)],
            killed[killed_line == each],
            killed_at[killed_line == each],
        )
        for each in np.unique(line).tolist()
    }


def _kills(
    journals: Journals,
    lost: list[Loss],
    owner: tuple[Ints, Ints],
    follows: Flags,
    lives: Flags,
    columns: tuple[Floats, Floats, Floats, np.ndarray[tuple[int], np.dtype[np.str_]]],
) -> tuple[Floats, Ints, Floats]:
    """Idle times after which a connection was lost, their lines, and when."""
    session, connection = owner
    idle, active, sent, fate = columns
    number = {(each.name, each.writer, each.line): index for index, each in enumerate(journals.sessions)}
    rows = _rows_by_connection(session, connection)
    found: list[tuple[float, int, float]] = []
    for loss in lost:
        where = rows.get((number.get((loss.session, loss.writer, loss.line), -1), loss.connection))
        if loss.is_ours or where is None:
            continue
        living = np.flatnonzero(lives[where[0] : where[1]])
        if not len(living):
            continue
        row = where[0] + int(living[-1])
        if row + 1 == where[1]:  # answered to the last: it was closed while idle
            found.append((loss.t - active[row], loss.line, loss.at))
        elif follows[row + 1] and fate[row + 1] in ("m", "c") and sent[row + 1] <= loss.t:
            found.append((float(idle[row + 1]), loss.line, loss.at))
    times = [each for each in found if np.isfinite(each[0])]
    return (
        np.array([each[0] for each in times]),
        np.array([each[1] for each in times], dtype=np.int64),
        np.array([each[2] for each in times]),
    )


def _rows_by_connection(session: Ints, connection: Ints) -> dict[tuple[int, int], tuple[int, int]]:
    starts = np.flatnonzero(np.append(True, (session[1:] != session[:-1]) | (connection[1:] != connection[:-1])))
    ends = np.append(starts[1:], len(session))
    return {(int(session[low]), int(connection[low])): (int(low), int(high)) for low, high in zip(starts, ends, strict=True)}


def idle_test(line: int, times: Idle) -> tuple[Tested | None, NotEnough | None]:
    """Test one line's idle times."""
    long = int(np.sum(times.killed >= SHORTEST))
    if not long or not len(times.survived):
        return None, None
    if long < FEW:
        return None, NotEnough(kind="idle_kill", line=line, have=long, need=FEW, unit="losses")
    best = float(times.survived.max())
    above = times.killed[times.killed > best]
    p = _p(len(times.survived), len(times.killed), len(above))
    return Tested("idle", p, _finding(line, times, best, above, p) if _is_threshold(times, above) else None), None


def _p(survived: int, killed: int, above: int) -> float:
    index = np.arange(above)
    return float(np.prod((killed - index) / (survived + killed - index)))


def _is_threshold(times: Idle, above: Floats) -> bool:
    if len(above) < max(FEW, len(times.killed) / 2) or above.min() < SHORTEST:
        return False
    return int(np.sum(times.survived >= NEAR * above.min())) >= SURVIVORS


def _finding(line: int, times: Idle, survived: float, above: Floats, p: float) -> Finding:
    killed = float(above.min())
    middle = float(np.median(times.killed_at))
    names = [each for each in STANDARD if survived < each <= killed]
    usual = f", usually after {names[-1]:g} s" if names else ""
    return Finding(
        kind="idle_kill",
        metric="losses",
        line=line,
        claim=(
            f"Connections die of silence: {len(above)} of {len(times.killed)} losses came after an idle time of"
            f" {killed:.4g} s or more, and the longest of {len(times.survived)} that connections lived through is"
            f" {survived:.4g} s; something forgets them in between{usual}."
        ),
        effect=Estimate(value=killed, low=survived, high=killed, n=len(above)),
        n=len(above),
        p=p,
        p_adjusted=p,
        begun_at=float(times.killed_at.min()),
        ended_at=float(times.killed_at.max()),
        halves_agree=all(_agrees(times, half) for half in (times.killed_at <= middle, times.killed_at > middle)),
        details={"survived": survived, "killed": killed},
    )


def _agrees(times: Idle, half: Flags) -> bool:
    """Whether one half's losses lie above all that was survived, mostly."""
    killed = times.killed[half]
    return len(killed) >= 2 and float(np.mean(killed > times.survived.max())) > 0.5
