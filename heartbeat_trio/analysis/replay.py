"""What other heartbeat policies would have done with the recorded pings, by the very `sansio.heartbeat` that runs live.

**What is replayed.** Each recorded ping becomes the calls that the live shell made: its tick, `ping_sent`, `receive_data` at
the first and at the last inbound byte before the next ping, and `receive_pong` of its own pong, however late; a schedule of
the recorded ticks (`RecordedSchedule`) stands in for the policy's own. Inputs of one instant come before its verdicts, since
the shell reads what lies unread first.

**Why the first and the last byte are enough.** A miss counts if no sign of life came after its ping's tick, and the count
starts anew with each. Let a deadline fall between one ping and the next, and let bytes have come there. Before the first of
them, or after the last, everything is known. Between them the ping in question, due no later than the first byte, has seen
life: its miss does not count, and nothing that counted is left to start anew, whatever else came.

**Why calm stretches can be left out.** A verdict needs a *silence*: `max_missed_pongs` ticks and then a timeout without a
sign of life. Both ends of it are known beforehand, so only silences that are long enough are replayed, each from its first
tick with a new `Heartbeat`: what came before it cannot count, since life came after those ticks, and the sign of life that
ends it resets what is left. A ping that was answered within `quick`, and so within any timeout of the grid, ends a silence;
no silence reaches into a stretch where all were. The one other verdict, that of data without any pong for `max_pongless`
seconds, needs a stretch without a pong, and these are replayed from the pong before them.

**After a verdict** of a policy that is stricter than the one that ran, the same connection goes on with a new `Heartbeat`
from the next recorded ping; pongs of older pings are bytes like any others to it. A verdict was false if the same connection
showed any byte after it. The recorded policy's own verdicts ended their connections, so that nobody can say it of them.

**What is a bound only.** A more patient policy than the recorded one: where the recorded verdict ended a connection before
it would have had one of its own, that counts as a loss. An interval of several recorded ones: each phase is replayed and the
worst one given; bytes that may be pongs of the pings left out are no sign of life, and the count is a bound where they would
have changed it. Shorter intervals were not observed and are not offered; neither are adaptive policies nor schedules other
than `every` and `negotiated` at its own interval, since what the kernel said, and probes, are not recorded (`not_replayed`
names such lines). Pings that were voided for a stall of our own stay so, and pings between two that are one interval apart
were probes: their misses do not count. Without a simulated clock all this holds to within the time that a timer wakes up
late, well below `PUNCTUAL`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from ..config import HeartbeatPolicy
from ..exceptions import ConfigError
from ..observe.printable import printable
from .findings import ReplayCurve, ReplayPoint
from .losses import LONGEST
from .replay_detection import detection
from .replay_player import Loss, losses_of, losses_of_each
from .replay_trace import MATTERS, Recording, View, look, record
from .sketches import rows_of
from .suggest import mark_suggested
from .tables import GAMMA, quantile
from .wording import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .tables import Cells, Journals

TIMEOUTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0)
MISSES = (1, 2, 3, 4, 5)
MULTIPLES = (1, 2, 3, 4, 6)
SETTLED = 1.05
"""A negotiated interval may be longer than the policy's by so much, and is another beyond that."""


def replay(journals: Journals) -> tuple[ReplayCurve, ...]:
    """Each line's curve, for those lines that can be replayed (see `not_replayed`)."""
    told = tuple(each for each in journals.happenings if each.event in MATTERS)
    journals, curves, beyond = replace(journals, happenings=told), [], []
    for line in range(len(journals.lines)):
        policy, sessions, _ = _choose(journals, line)
        if policy is not None:
            curve, p999 = _curve(journals, line, policy, sessions)
            curves.append(curve)
            beyond.append(p999)
    return mark_suggested(curves, beyond)


def not_replayed(journals: Journals) -> tuple[str, ...]:
    """Which lines or sessions have no curve, and why, each a sentence."""
    reasons = (_choose(journals, line)[2] for line in range(len(journals.lines)))
    return tuple(reason for reason in reasons if reason)


# -- the grid ----------------------------------------------------------------------------------------------------------


def _choose(journals: Journals, line: int) -> tuple[HeartbeatPolicy | None, list[int], str]:
    """The policy that ran longest on a line, its sessions, and what is left out and why."""
    by_policy: dict[HeartbeatPolicy | None, list[int]] = {}
    for index, span in enumerate(journals.sessions):
        if span.line == line:
            by_policy.setdefault(_policy_of(span.configuration), []).append(index)
    if not by_policy:
        return None, [], ""
    length = {policy: sum(_length(journals, at) for at in sessions) for policy, sessions in by_policy.items()}
    policy = max(by_policy, key=lambda each: (length[each], each is not None))
    sessions, name = by_policy[policy], printable(journals.lines[line].endpoint)
    if policy is None:
        return None, [], f"{name}: its sessions do not say how they pinged, so their pings are not replayed."
    if policy.adaptive:
        return None, [], f"{name}: pings of adaptive policies are not replayed: what the kernel said is not recorded."
    if policy.schedule not in ("every", "negotiated"):
        return None, [], f"{name}: pings on the schedule {policy.schedule!r} are not replayed."
    if policy.schedule == "negotiated" and not _is_settled(journals, sessions, policy):
        return None, [], f"{name}: the server named another ping interval, so the pings are not replayed."
    others = sum(length.values()) - length[policy]
    note = f"{name}: {seconds(others)} under other heartbeat policies are not replayed." if others > 0 else ""
    return policy, sessions, note


def _policy_of(configuration: Mapping[str, Any]) -> HeartbeatPolicy | None:
    """The heartbeat policy of a session's configuration; None: it does not say, or nobody can believe it."""
    known = configuration.get("heartbeat")
    if not isinstance(known, dict):
        return None
    try:
        policy = HeartbeatPolicy(**{each.name: known[each.name] for each in fields(HeartbeatPolicy) if each.name in known})
        return policy if policy.bound <= LONGEST else None
    except (ConfigError, TypeError, OverflowError):  # the last: of an integer beyond all floats
        return None


def _length(journals: Journals, session: int) -> float:
    span = journals.sessions[session]
    return span.ended - span.begun


def _is_settled(journals: Journals, sessions: list[int], policy: HeartbeatPolicy) -> bool:
    pings = journals.pings
    mine = np.isin(pings.session, sessions)
    follow = (np.diff(pings.ping) == 1) & (np.diff(pings.connection) == 0) & mine[1:] & mine[:-1]
    spacing = np.diff(pings.t)[follow]
    usual = float(np.median(spacing)) if len(spacing) else policy.ping_interval
    return policy.ping_interval / SETTLED <= usual <= policy.ping_interval * SETTLED


def _curve(journals: Journals, line: int, policy: HeartbeatPolicy, sessions: list[int]) -> tuple[ReplayCurve, float]:
    """A line's curve, and its 99.9 % round trip in seconds."""
    cells = journals.cells
    rows = rows_of(journals, line)
    entries = slice(int(cells.offset[rows.start]), int(cells.offset[rows.stop]))
    buckets, counts = cells.bucket[entries], cells.count[entries]
    all_sessions = [index for index, span in enumerate(journals.sessions) if span.line == line]
    share = sum(_length(journals, at) for at in sessions) / (sum(_length(journals, at) for at in all_sessions) or 1.0)
    sent = int(share * int(cells.sent[rows].sum()))
    curve = ReplayCurve(
        line=line,
        observed=sent * policy.ping_interval,
        pings=sent,
        points=_points(record(journals, sessions, policy), journals.quick[line], quantile(buckets, counts, 0.5)),
    )
    return curve, p999_of(cells, rows, policy.pong_timeout)


def p999_of(cells: Cells, rows: slice, timeout: float) -> float:
    """The 99.9 % round trip of these rows in seconds, NaN if not known; ``timeout``, if more were late than that leaves."""
    entries = slice(int(cells.offset[rows.start]), int(cells.offset[rows.stop]))
    late = int(cells.late[rows].sum())
    if not late:
        return quantile(cells.bucket[entries], cells.count[entries], 0.999)
    limit = int(np.ceil(np.log(1e6 * timeout) / np.log(GAMMA)))
    return quantile(np.append(cells.bucket[entries], limit), np.append(cells.count[entries], late), 0.999)


def _points(recording: Recording, quick: float, p50: float) -> tuple[ReplayPoint, ...]:
    """Every policy of the grid, the soonest detection first."""
    recorded = recording.policy
    reached = {loss.run for loss in losses_of(recording, recorded) if recording.is_timeout[loss.run]}
    points = []
    for every in MULTIPLES:
        policies = _grid(recorded, quick, every)
        found = _count(recording, policies, every, reached)
        for policy, (losses, false, is_censored) in zip(policies, found, strict=True):
            mean, longest = detection(policy, 0.0 if np.isnan(p50) else p50)
            points.append(
                ReplayPoint(
                    ping_interval=policy.ping_interval,
                    pong_timeout=policy.pong_timeout,
                    max_missed_pongs=policy.max_missed_pongs,
                    detection_mean=mean,
                    detection_max=longest,
                    losses=losses,
                    false_losses=false,
                    is_recorded=policy == recorded,
                    is_censored=is_censored,
                )
            )
    return tuple(sorted(points, key=lambda point: (point.detection_mean, point.ping_interval, point.max_missed_pongs)))


def _grid(recorded: HeartbeatPolicy, quick: float, every: int) -> list[HeartbeatPolicy]:
    """At longer intervals none that is more patient besides: that would be two bounds in one."""
    timeouts = sorted({timeout for timeout in TIMEOUTS if timeout >= quick} | {recorded.pong_timeout})
    misses = sorted({*MISSES, recorded.max_missed_pongs})
    interval = recorded.ping_interval * every
    return [
        replace(recorded, ping_interval=interval, pong_timeout=timeout, max_missed_pongs=missed)
        for missed in misses
        for timeout in timeouts
        if timeout <= 60 * interval
        if every == 1 or (timeout <= recorded.pong_timeout and missed <= recorded.max_missed_pongs)
    ]


def _count(
    recording: Recording, policies: Sequence[HeartbeatPolicy], every: int, reached: set[int]
) -> list[tuple[int, int, bool]]:
    """Of each policy: losses, false ones, and whether that is a bound; of the worst phase.

    Args:
        recording: All pings.
        policies: With the same interval ...
        every: ... of so many recorded ones.
        reached: Runs that the recorded policy's verdict ended.
    """
    worst = [(0, 0, False)] * len(policies)
    recorded = recording.policy
    for phase in range(every):
        view = look(recording, every, phase)
        found = losses_of_each(recording, policies, view)
        doubt = view if every == 1 else look(recording, every, phase, is_strict=False)
        has_doubt = (len(doubt.data), len(doubt.pongs)) != (len(view.data), len(view.pongs))
        least = _count_least(recording, policies, found, doubt) if has_doubt else [len(losses) for losses in found]
        for at, (policy, losses) in enumerate(zip(policies, found, strict=True)):
            is_seen = every == 1 and _is_stricter(policy, recorded)
            unseen = set() if is_seen else reached - {loss.run for loss in losses if not loss.is_false}
            false = sum(loss.is_false for loss in losses)
            is_censored = bool(unseen) or len(losses) != least[at] or worst[at][2]
            worst[at] = max(worst[at][0], len(losses) + len(unseen)), max(worst[at][1], false), is_censored
    return worst


def _count_least(
    recording: Recording, policies: Sequence[HeartbeatPolicy], found: list[list[Loss]], doubt: View
) -> list[int]:
    """How many losses there are at least, should all bytes that may have been others than pongs have been others."""
    least = [len(losses) for losses in found]
    doubted = [at for at, losses in enumerate(found) if losses]
    fewer = losses_of_each(recording, [policies[at] for at in doubted], doubt)
    for at, losses in zip(doubted, fewer, strict=True):
        least[at] = len(losses)
    return least


def _is_stricter(policy: HeartbeatPolicy, recorded: HeartbeatPolicy) -> bool:
    return policy.pong_timeout <= recorded.pong_timeout and policy.max_missed_pongs <= recorded.max_missed_pongs
