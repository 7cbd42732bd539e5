"""One line's recorded pings, laid out for `replay`: on one axis, with what each policy of fewer pings would have seen.

The pings of `Journals.pings` come in runs; between two runs every ping was answered within `quick`. Each run gets a stretch
of its own on one axis of seconds, so that numpy can look at all of them at once; differences within a run are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..sansio.heartbeat import NOTICEABLE
from ..sansio.schedule import PUNCTUAL

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..config import HeartbeatPolicy
    from .tables import Flags, Floats, Ints, Journals

MICROSECOND = 1e-6
MATTERS = frozenset({"lost", "closed", "ping_voided"})
"""Events that a recording needs."""
APART = 10
"""Ping intervals from one run to the next on the axis: more than any replayed interval has."""


@dataclass(frozen=True, slots=True)
class Recording:
    """The kept pings of sessions with one policy. All times are on the axis; NaN: never, or not known.

    ``tick`` is ``due``, or a little sooner where a pong called late shows that it was. ``first`` and ``last`` are the first
    and the last inbound byte before the next ping. ``run`` counts runs, by which the last four columns go: whether quick
    pings went before, the end of what is known of it, whether a missing pong was that end, and the last byte that its
    connection showed (`inf`: later ones).
    """

    policy: HeartbeatPolicy
    due: Floats
    tick: Floats
    sent: Floats
    pong: Floats
    first: Floats
    last: Floats
    is_acknowledged: Flags
    """Answered, but only a later ping's pong told so."""
    is_caught_up: Flags
    """Found unread after its deadline: our own delay."""
    is_excused: Flags
    """Nothing came, but our own program did not run."""
    is_probe: Flags
    ordinal: Ints
    run: Ints
    follows: Flags
    limit: Floats
    is_timeout: Flags
    alive_until: Floats


@dataclass(frozen=True, slots=True)
class View:
    """What a policy sees that sends only some of the recorded pings: columns by ping, and moments of life.

    ``data`` are moments of inbound bytes that would have been there all the same; ``next_life`` is for each ping the first
    sign of life after it, or the end of what is known of its run; ``birth`` is when the last pong before it may have come,
    if a heartbeat begins with this ping.
    """

    index: Ints
    """Of the recording's pings."""
    due: Floats
    tick: Floats
    run: Ints
    birth: Floats
    pong: Floats
    next_life: Floats
    data: Floats
    pongs: Floats
    """Moments of the pongs of these pings, in order ..."""
    senders: Ints
    """... and of which of `index` each is."""


def record(journals: Journals, sessions: list[int], policy: HeartbeatPolicy) -> Recording:
    """Lay out the kept pings of some sessions, all of which ran under `policy`."""
    pings = journals.pings
    rows = np.flatnonzero(np.isin(pings.session, sessions))
    session, connection, number = pings.session[rows], pings.connection[rows], pings.ping[rows]
    t, fate = pings.t[rows], pings.fate[rows]
    is_new = np.ones(len(rows), dtype=bool)
    is_new[1:] = (np.diff(session) != 0) | (np.diff(connection) != 0)
    begins = np.flatnonzero(is_new | np.append(True, np.diff(number) != 1)[: len(rows)])
    run = np.cumsum(np.isin(np.arange(len(rows)), begins)) - 1
    lasts = np.append(begins[1:], len(rows)) - 1 if len(rows) else begins
    limit, is_timeout, goes_on = _ends(journals, session, connection, t, lasts, fate, policy)
    # Whole seconds, so that no rounding comes between what the clock told apart.
    lengths = np.ceil(limit - np.floor(t[begins])) + APART * policy.ping_interval
    shift = np.append(0.0, np.cumsum(np.ceil(lengths))[:-1])[: len(begins)] - np.floor(t[begins])
    moved = shift[run]
    due = t + moved
    sent = due + pings.sent_after[rows]
    is_answered = (fate == "a") | (fate == "l")
    pong = np.where(is_answered, sent + pings.rtt[rows], np.nan)
    first, last = _moments(due, run, due + pings.first_in[rows], due + pings.last_in[rows])
    is_probe = _find_probes(due, run, policy)
    alive = np.full(len(begins), -np.inf)
    for moments in (last, pong):
        np.fmax.at(alive, run, moments)
    is_excused = _find_excused(journals, rows, first, last, moved)
    return Recording(
        policy=policy,
        due=due,
        tick=_find_ticks(due, pong, fate, policy),
        sent=sent,
        pong=pong,
        first=first,
        last=last,
        is_acknowledged=is_answered & np.isnan(pong),
        is_caught_up=(fate == "v") & ~is_excused,
        is_excused=is_excused,
        is_probe=is_probe,
        ordinal=number - np.cumsum(is_probe),
        run=run,
        follows=number[begins] > 1,
        limit=limit + shift,
        is_timeout=is_timeout,
        alive_until=np.where(goes_on, np.inf, alive),
    )


def look(recording: Recording, every: int = 1, phase: int = 0, *, is_strict: bool = True) -> View:
    """What a policy sees that sends each so-manieth ping only.

    Args:
        recording: All pings.
        every: Which ones ...
        phase: ... counted from where.
        is_strict: Count only bytes as life that can be told apart from the pongs that would not have been there; else all
            that could be others.
    """
    is_kept = ~recording.is_probe & ((recording.ordinal - phase) % every == 0)
    index = np.flatnonzero(is_kept)
    pong = (recording.pong if is_strict or every == 1 else _acknowledged(recording))[index]
    order = np.flatnonzero(~np.isnan(pong))
    order = order[np.argsort(pong[order], kind="stable")]
    data = np.empty(0)
    if recording.policy.liveness == "any_inbound":
        data = np.sort(_bytes(recording, ~is_kept & ~recording.is_probe, is_strict=is_strict), kind="stable")
    lives = np.sort(np.concatenate([data, pong[order]]), kind="stable")
    due, run, birth = recording.due[index], recording.run[index], recording.tick[index]
    if is_strict and every > 1:  # the last ping before the run was another one
        begins = np.flatnonzero(np.append(True, np.diff(run) != 0)[: len(run)])
        birth[begins] -= recording.follows[run[begins]] * every * recording.policy.ping_interval
    after = np.append(lives, np.inf)[np.searchsorted(lives, due, side="right")]
    return View(
        index=index,
        due=due,
        tick=recording.tick[index],
        run=run,
        birth=birth,
        pong=pong,
        next_life=np.minimum(after, recording.limit[run]),
        data=data,
        pongs=pong[order],
        senders=order,
    )


def _acknowledged(recording: Recording) -> Floats:
    """Pongs, and for pings that only a later pong acknowledged, when it did: their own pongs were there by then, or soon."""
    own = np.where(np.isnan(recording.pong), np.inf, recording.pong)
    later = np.minimum.accumulate(own[::-1])[::-1]
    is_known = recording.is_acknowledged & (later <= recording.limit[recording.run])
    return np.where(is_known, later, recording.pong)


def _bytes(recording: Recording, is_dropped: Flags, *, is_strict: bool) -> Floats:
    """Moments of bytes that are no pongs of dropped pings."""
    first, last = recording.first, recording.last
    pongs = np.sort(recording.pong[is_dropped & ~np.isnan(recording.pong)], kind="stable")
    if len(pongs):
        is_first, is_last = _is_near(first, pongs), _is_near(last, pongs)
        if not is_strict:  # two moments, and one of them a pong's: anything may have been between
            is_first = is_last = is_first & is_last & (last - first <= NOTICEABLE)
        first, last = np.where(is_first, np.nan, first), np.where(is_last, np.nan, last)
    moments: Floats = np.stack([first, last], axis=1).ravel()  # hardly out of order
    return moments[~np.isnan(moments)]


def _is_near(moments: Floats, pongs: Floats) -> Flags:
    """Whether bytes may be a pong's that our program read a little later than our kernel had it."""
    at = np.searchsorted(pongs, moments + 10 * MICROSECOND, side="right") - 1
    near: Flags = (at >= 0) & (moments - pongs[np.maximum(at, 0)] <= NOTICEABLE)
    return near


def _moments(due: Floats, run: Ints, first: Floats, last: Floats) -> tuple[Floats, Floats]:
    """Bytes before the next ping stay before it, whatever the rounding to microseconds did."""
    following = np.append(np.where(np.diff(run) == 0, due[1:], np.inf), np.inf)[: len(due)]
    return np.minimum(first, following), np.minimum(last, following)


def _find_ticks(due: Floats, pong: Floats, fate: npt.NDArray[np.str_], policy: HeartbeatPolicy) -> Floats:
    """A timer wakes up a little late: where a pong that was called late seems in time, so long at least."""
    latest = pong - policy.pong_timeout - 2 * MICROSECOND
    return np.where((fate == "l") & (latest < due) & (latest > due - PUNCTUAL), latest, due)


def _find_probes(due: Floats, run: Ints, policy: HeartbeatPolicy) -> Flags:
    """Pings between two that are one interval apart were asked for by somebody; their misses do not count."""
    is_probe = np.zeros(len(due), dtype=bool)
    following = np.searchsorted(due, due + policy.ping_interval - PUNCTUAL)
    inside = np.minimum(following, max(0, len(due) - 1))
    is_next = (due[inside] - due <= policy.ping_interval + PUNCTUAL) & (run[inside] == run) & (following < len(due))
    for at in np.flatnonzero(is_next & (following > np.arange(len(due)) + 1)):
        if not is_probe[at]:
            is_probe[at + 1 : following[at]] = True
    return is_probe


def _find_excused(journals: Journals, rows: Ints, first: Floats, last: Floats, moved: Floats) -> Flags:
    """Voided pings whose pong was not what voided them: nothing came in the moment of the verdict."""
    pings = journals.pings
    fate = pings.fate[rows]
    is_excused: Flags = (fate == "v") & np.isnan(first)
    if not (fate == "v").any():
        return is_excused
    told = {
        (each.session, each.connection, each.fields.get("ping")): each.t
        for each in journals.happenings
        if each.event == "ping_voided"
    }
    for at in np.flatnonzero(fate == "v"):
        row = rows[at]
        key = (journals.sessions[pings.session[row]].name, int(pings.connection[row]), int(pings.ping[row]))
        if key not in told:
            continue
        moment = told[key] + moved[at]
        near = slice(max(0, at - 1), at + 65)
        gap = np.fmin(np.abs(first[near] - moment), np.abs(last[near] - moment))
        is_excused[at] = not np.any(gap <= PUNCTUAL)
    return is_excused


def _ends(
    journals: Journals,
    session: Ints,
    connection: Ints,
    t: Floats,
    lasts: Ints,
    fate: npt.NDArray[np.str_],
    policy: HeartbeatPolicy,
) -> tuple[Floats, Flags, Flags]:
    """By run: until when it is known, whether a missing pong ended it, and whether its connection showed life later."""
    ended: dict[tuple[str | None, int], tuple[float, bool]] = {}
    for each in journals.happenings:
        if each.event in ("lost", "closed"):
            end = (each.t, each.fields.get("cause") == "pong_timeout")
            key = (each.session, each.connection)
            ended[key] = min(end, ended.get(key, end))
    limit, is_timeout, goes_on = t[lasts] + policy.ping_interval, np.zeros(len(lasts), bool), np.ones(len(lasts), bool)
    for number, at in enumerate(lasts):
        if at + 1 < len(t) and session[at + 1] == session[at] and connection[at + 1] == connection[at]:
            continue
        span = journals.sessions[session[at]]
        end, is_lost = ended.get((span.name, int(connection[at])), (span.ended, False))
        if not is_lost and fate[at] != "c" and end > t[at] + 1.25 * policy.ping_interval:
            continue  # quick pings followed
        is_timeout[number], goes_on[number] = is_lost, False
        # What is due in the moment of an end is judged only if that verdict was the end.
        limit[number] = max(t[at], end + PUNCTUAL if is_lost else end - MICROSECOND)
    return limit, is_timeout, goes_on
