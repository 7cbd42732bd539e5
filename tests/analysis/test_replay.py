"""The replay judges recorded pings as the live heartbeat would have, for the policy that ran and for every stricter one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import msgspec
import numpy as np
import pytest

from heartbeat_trio.analysis.findings import ReplayCurve, ReplayPoint
from heartbeat_trio.analysis.replay import not_replayed, p999_of, replay
from heartbeat_trio.analysis.replay_detection import detection
from heartbeat_trio.analysis.replay_player import losses_of
from heartbeat_trio.analysis.replay_trace import look, record
from heartbeat_trio.analysis.suggest import mark_suggested
from heartbeat_trio.analysis.tables import Happening, Journals
from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.events import PingRecord
from tests.support.analysis_cells import cells_of
from tests.support.replayed import Recorded, Truth, judge_live, record_live, to_journals

QUICK = 0.25
CLASSIC = HeartbeatPolicy()


def any_policy(rng: Random) -> HeartbeatPolicy:
    return HeartbeatPolicy(
        pong_timeout=rng.choice([1.0, 2.0, 3.0, 4.0, 6.0]),
        max_missed_pongs=rng.choice([1, 2, 3, 4]),
        liveness=rng.choice(["any_inbound", "any_inbound", "pong_only"]),
        max_pongless=rng.choice([15.0, 30.0, 60.0]),
    )


def stricter(policy: HeartbeatPolicy, rng: Random, *, every: int = 1) -> list[HeartbeatPolicy]:
    """Four of them, those with one miss and with the shortest timeout among them."""
    timeouts = [each for each in (0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0) if each <= policy.pong_timeout]
    misses = range(1, policy.max_missed_pongs + 1)
    pairs = {(rng.choice(timeouts), rng.choice(misses)) for _ in range(2)}
    pairs |= {(timeouts[0], rng.choice(misses)), (rng.choice(timeouts), 1)}
    return [
        replace(policy, pong_timeout=timeout, max_missed_pongs=missed, ping_interval=every * policy.ping_interval)
        for timeout, missed in sorted(pairs)
    ]


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_losses_are_those_of_the_live_heartbeat(first: int) -> None:
    """On 200 made-up lines: those of the policy that ran, and those, with the false ones, of up to four stricter ones."""
    total = 0
    for seed in range(first, first + 50):
        rng = Random(seed)
        policy, truth = any_policy(rng), Truth(seed, 400.0)
        connections = record_live(truth, policy, seed)
        recording = record(to_journals(connections, policy, quick=QUICK), [0], policy)
        own = losses_of(recording, policy)
        assert len(own) == sum(each.cause == "pong_timeout" for each in connections), seed
        assert not any(loss.is_false for loss in own)
        for other in stricter(policy, rng):
            found = losses_of(recording, other)
            assert judge_live(truth, connections, other) == (len(found), sum(each.is_false for each in found)), (seed, other)
            total += len(found)
    assert total > 1000


def test_longer_intervals_are_bounds() -> None:
    """Never fewer losses than a live heartbeat had that sent only every second or third ping."""
    exact = total = 0
    for seed in range(15):
        rng = Random(seed)
        policy, truth = replace(any_policy(rng), liveness="any_inbound", max_pongless=60.0), Truth(seed, 400.0)
        connections = record_live(truth, policy, seed)
        recording = record(to_journals(connections, policy, quick=QUICK), [0], policy)
        every = 2 + seed % 2
        for other in stricter(policy, rng, every=every):
            for phase in range(every):
                losses, _ = judge_live(truth, connections, other, every=every, phase=phase)
                found = len(losses_of(recording, other, look(recording, every, phase)))
                assert losses <= found
                exact += losses == found
                total += 1
    assert exact > 0.8 * total  # so the bound is no idle one


def connection(*records: PingRecord, end: float, cause: str = "closed", number: int = 1) -> Recorded:
    return Recorded(number, 0.0, records=list(records), end=end, cause=cause)


def ping(
    number: int,
    fate: str = "answered",
    *,
    at: float | None = None,
    rtt: float = 0.0625,
    first_in: float | None = None,
    last_in: float | None = None,
) -> PingRecord:
    """Each 5 s from 0 s on; the pong is all that comes, unless something else is said."""
    pong = rtt if fate in ("answered", "late") else None
    return PingRecord(
        ping=number,
        at=5.0 * (number - 1) if at is None else at,
        sent_after=0.0,
        fate=fate,
        rtt=pong,
        first_in=pong if first_in is None else first_in,
        last_in=pong if last_in is None else last_in,
    )


def count(policy: HeartbeatPolicy, recorded: HeartbeatPolicy, *connections: Recorded) -> tuple[int, int]:
    found = losses_of(record(to_journals(list(connections), recorded, quick=QUICK), [0], recorded), policy)
    return len(found), sum(loss.is_false for loss in found)


STRICT = replace(CLASSIC, pong_timeout=1.0, max_missed_pongs=1)


def test_a_slow_pong_is_a_false_loss_of_a_stricter_policy() -> None:
    """A pong after 2 s: none for 3 s, a false one for 1 s; but not where data came in that second."""
    slow = connection(ping(1), ping(2, rtt=2.0), ping(3), end=12.0)
    busy = connection(ping(1), ping(2, rtt=2.0, first_in=0.5), ping(3), end=12.0)

    assert (0, 0) == count(CLASSIC, CLASSIC, slow)
    assert (1, 1) == count(STRICT, CLASSIC, slow)
    assert (0, 0) == count(STRICT, CLASSIC, busy)


def test_what_is_cancelled_may_have_been_a_miss_of_a_stricter_policy() -> None:
    """Nothing came for 2 s before the end: a loss for a timeout of 1 s, which nobody can call false."""
    assert (1, 0) == count(STRICT, CLASSIC, connection(ping(1), ping(2, "cancelled"), end=7.0, cause="reset"))
    assert (0, 0) == count(STRICT, CLASSIC, connection(ping(1), ping(2, "cancelled"), end=6.0, cause="reset"))


def test_a_probe_that_is_missed_does_not_count() -> None:
    """A ping between two that are an interval apart was asked for by somebody."""
    probed = connection(ping(1), ping(2), ping(3, "missed", at=7.0), ping(4, at=10.0), ping(5, at=15.0), end=17.0)
    shifted = connection(ping(1), ping(2), ping(3, "missed", at=8.0), ping(4, at=13.0), ping(5, at=18.0), end=20.0)

    assert (0, 0) == count(STRICT, STRICT, probed)
    assert (1, 1) == count(STRICT, STRICT, shifted)


def test_a_ping_that_left_late_is_judged_by_what_was_left_of_its_time() -> None:
    """Unsent at its deadline it is missed."""
    late = connection(
        ping(1), msgspec.structs.replace(ping(2, first_in=2.0, last_in=2.0), sent_after=1.5), ping(3), end=12.0
    )

    assert (0, 0) == count(CLASSIC, CLASSIC, late)
    assert (1, 1) == count(STRICT, CLASSIC, late)


def test_what_was_voided_stays_so() -> None:
    """Neither a pong found too late nor a stall that was excused is a miss, of any policy; the next ping is judged."""
    caught_up = connection(ping(1), ping(2, "voided", first_in=4.0, last_in=4.0), ping(3), end=12.0)
    excused = connection(ping(1), ping(2, "voided"), ping(3, at=8.0), ping(4, at=13.0), end=15.0)
    and_lost = connection(ping(1), ping(2, "voided"), ping(3, "missed", at=6.0), end=7.0, cause="pong_timeout")

    assert (0, 0) == count(STRICT, CLASSIC, caught_up)
    assert (0, 0) == count(STRICT, CLASSIC, excused)
    assert (1, 0) == count(STRICT, STRICT, and_lost)


def test_the_event_tells_what_voided_a_ping() -> None:
    """Data that came meanwhile is no pong: the event's time says whether anything came in that moment."""
    policy = replace(STRICT, liveness="pong_only")
    one = connection(
        ping(1), ping(2, "voided", first_in=0.5, last_in=0.5), ping(3, "voided", at=6.5, first_in=1.0, last_in=1.0), end=9
    )
    journals = to_journals([one], policy, quick=QUICK)

    def told(t: float, number: int) -> Happening:
        return Happening(t, t, "ping_voided", "s-1", 0, 1, {"ping": number})

    excused = with_happenings(journals, (*journals.happenings, told(6.5, 2), told(7.5, 3)))
    recording = record(excused, [0], policy)

    assert [False, True, False] == recording.is_excused.tolist()
    assert [False, False, True] == recording.is_caught_up.tolist()
    assert [] == losses_of(recording, policy)


def with_happenings(journals: Journals, happenings: tuple[Happening, ...]) -> Journals:
    return replace(journals, happenings=happenings)


def test_a_timer_that_woke_up_late_is_seen_by_its_pong() -> None:
    """The journal's time is that of the wake-up: a pong called late 1 ms too soon shows that the deadline was sooner."""
    policy = replace(CLASSIC, max_missed_pongs=1)
    woken = connection(ping(1), ping(2, "late", rtt=2.999), ping(3), end=12.0)
    gone = connection(ping(1), ping(2, "missed", at=5.001), end=8.0, cause="pong_timeout")

    assert [1] == [len(losses_of(record(to_journals([woken], policy, quick=QUICK), [0], policy), policy))]
    assert (1, 0) == count(policy, policy, gone)


def test_detection_times_are_those_of_the_formula() -> None:
    """From (n - 1) intervals and the timeout to n and the timeout, less half a step of the 50 moments."""
    for policy in (
        CLASSIC,
        STRICT,
        replace(CLASSIC, pong_timeout=7.5),
        replace(CLASSIC, ping_interval=30, max_pongless=200),
    ):
        shortest = (policy.max_missed_pongs - 1) * policy.ping_interval + policy.pong_timeout
        mean, longest = detection(policy, 0.04)

        assert mean == pytest.approx(shortest + policy.ping_interval / 2)
        assert longest == pytest.approx(shortest + 0.99 * policy.ping_interval)
    assert 93.0 == pytest.approx(detection(replace(CLASSIC, ping_interval=30), 0.0)[1] + 0.3)


def curve_of(*connections: Recorded, policy: HeartbeatPolicy = CLASSIC) -> dict[tuple[float, float, int], ReplayPoint]:
    [curve] = replay(to_journals(list(connections), policy, quick=QUICK))
    return {(each.ping_interval, each.pong_timeout, each.max_missed_pongs): each for each in curve.points}


def test_the_curve_holds_the_policy_that_ran_and_bounds_for_more_patient_ones() -> None:
    """After 13 s of silence the connection was ended: whether 18 s would have been too much, nobody knows."""
    points = curve_of(
        connection(
            ping(1), ping(2), ping(3, "missed"), ping(4, "missed"), ping(5, "missed"), end=23.0, cause="pong_timeout"
        ),
    )
    recorded, patient, strict = points[5, 3, 3], points[5, 3, 4], points[5, 3, 1]

    assert [True, False, False] == [each.is_recorded for each in (recorded, patient, strict)]
    assert [False, True, False] == [each.is_censored for each in (recorded, patient, strict)]
    assert [(1, 0), (1, 0), (3, 0)] == [(each.losses, each.false_losses) for each in (recorded, patient, strict)]
    assert {5.0, 10.0, 15.0, 20.0, 30.0} == {interval for interval, _, _ in points}
    assert points[10, 3, 1].is_censored is False  # either phase found it out in time
    assert points[10, 3, 3].is_censored
    assert (10.0, 4.0, 3) not in points


def test_lines_that_cannot_be_replayed_are_named() -> None:
    """Adaptive policies, idle schedules, unknown ones, impossible ones, and intervals that the server named."""

    def why(policy: HeartbeatPolicy, change: Callable[[Journals], Journals] = lambda journals: journals) -> str:
        journals = change(to_journals([connection(ping(1, rtt=2.0), ping(2), end=8.0)], policy, quick=QUICK))
        assert () == replay(journals)
        [reason] = not_replayed(journals)
        return reason

    def configure(configuration: dict[str, object]) -> Callable[[Journals], Journals]:
        return lambda journals: replace(
            journals,
            sessions=tuple(msgspec.structs.replace(each, configuration=configuration) for each in journals.sessions),
        )

    assert "adaptive" in why(replace(CLASSIC, adaptive=True))
    assert "'inbound_idle'" in why(replace(CLASSIC, schedule="inbound_idle"))
    assert "another ping interval" in why(replace(CLASSIC, schedule="negotiated", ping_interval=4.0))
    assert "do not say" in why(CLASSIC, configure({}))
    assert "do not say" in why(CLASSIC, configure({"heartbeat": {"ping_interval": -1}}))
    for name in ("ping_interval", "max_missed_pongs"):
        assert "do not say" in why(CLASSIC, configure({"heartbeat": {name: 10**400}}))
    assert () == not_replayed(to_journals([connection(ping(1), end=8.0)], CLASSIC, quick=QUICK))


def test_time_under_other_policies_is_named() -> None:
    """The policy that ran longest is replayed; how long others ran is said."""
    journals = to_journals([connection(ping(1), end=8.0)], CLASSIC, quick=QUICK)
    [span] = journals.sessions
    long = msgspec.structs.replace(span, ended=span.begun + 7200)
    configuration = {"heartbeat": {"ping_interval": 9.0}}
    short = msgspec.structs.replace(span, name="s-2", ended=span.begun + 1800, configuration=configuration)

    [note] = not_replayed(replace(journals, sessions=(long, short)))

    assert note.endswith(": 30 min under other heartbeat policies are not replayed.")


def point(timeout: float, missed: int, false: int = 0, **flags: bool) -> ReplayPoint:
    policy = replace(CLASSIC, pong_timeout=timeout, max_missed_pongs=missed)
    mean, longest = detection(policy, 0.0)
    return ReplayPoint(
        ping_interval=5.0,
        pong_timeout=timeout,
        max_missed_pongs=missed,
        detection_mean=mean,
        detection_max=longest,
        losses=false,
        false_losses=false,
        **flags,
    )


RECORDED = point(3.0, 3, is_recorded=True)


def suggested(
    *points: ReplayPoint, p999: float = 0.1, observed: float = 1e6, pings: int = 200_000
) -> tuple[float, int] | None:
    [marked] = mark_suggested([ReplayCurve(line=0, observed=observed, pings=pings, points=points)], [p999])
    found = [each for each in marked.points if each.is_suggested]
    assert len(found) <= 1
    return (found[0].pong_timeout, found[0].max_missed_pongs) if found else None


def test_the_soonest_detection_without_false_losses_is_suggested_with_a_margin() -> None:
    """The next shorter timeout had none either, and the timeout is twice the 99.9 % round trip."""
    grid = (point(0.5, 1, 3), point(1.0, 1, 1), point(2.0, 1), point(3.0, 1), point(1.0, 2), point(2.0, 2), RECORDED)

    assert (3.0, 1) == suggested(*grid)
    assert (3.0, 1) == suggested(*grid, p999=1.5)
    assert None is suggested(*grid, p999=1.6)
    assert (1.0, 2) == suggested(point(0.5, 2), point(1.0, 2), point(3.0, 1, is_censored=True), RECORDED)


def test_lines_under_one_policy_get_one_suggestion_where_one_is_good_for_all() -> None:
    """Else each gets its own; a line with too few pings has no say."""
    good = (point(0.5, 2), point(1.0, 2), point(2.0, 2), RECORDED)
    picky = (point(0.5, 2, 1), point(1.0, 2), point(2.0, 2), RECORDED)
    spoiled = (point(0.5, 2, 1), point(1.0, 2, 1), point(2.0, 2, 1), RECORDED)

    def suggestions(*lines: tuple[ReplayPoint, ...], pings: int = 100_000) -> list[list[float]]:
        curves = [ReplayCurve(line=at, observed=10 * 86_400, pings=pings, points=each) for at, each in enumerate(lines)]
        marked = mark_suggested(curves, [0.1] * len(lines))
        return [[each.pong_timeout for each in curve.points if each.is_suggested] for curve in marked]

    assert [[1.0], [1.0]] == suggestions(good, good)
    assert [[2.0], [2.0]] == suggestions(good, picky)
    assert [[1.0], []] == suggestions(good, spoiled)
    assert [[], []] == suggestions(good, good, pings=10)


def test_nothing_is_suggested_for_little_gain_or_from_little_data() -> None:
    """10 % of the time at least, a day and 5000 pings; and never from a round trip that is not known."""
    grid = (point(0.5, 2), point(1.0, 2), RECORDED)

    assert (1.0, 2) == suggested(*grid)
    assert None is suggested(point(1.0, 3), point(2.0, 3), RECORDED)
    assert None is suggested(*grid, observed=86_000)
    assert None is suggested(*grid, pings=4999)
    assert None is suggested(*grid, p999=float("nan"))
    assert None is suggested(point(0.5, 2), point(1.0, 2))
    assert None is suggested(point(1.0, 2), RECORDED)


def test_nothing_recorded_gives_an_empty_curve_of_no_losses() -> None:
    """All pings were quick: no policy of the grid would have lost anything."""
    points = curve_of(connection(*(ping(number) for number in range(1, 50)), end=247.0))

    assert {(0, 0, False)} == {(each.losses, each.false_losses, each.is_censored) for each in points.values()}
    assert np.isfinite([each.detection_mean for each in points.values()]).all()


def test_late_pongs_are_the_slowest_round_trips() -> None:
    """They are in no sketch; where they are more than one in a thousand, the 99.9 % round trip is the timeout at least."""
    cells = cells_of([np.full(100, np.log(0.03))], np.random.default_rng(1), misses=0.0)
    total = int(cells.answered.sum())
    few, many = (replace(cells, late=np.append(cells.late[:-1], late)) for late in (total // 1100, total // 900))

    assert p999_of(cells, slice(0, 100), 3.0) == pytest.approx(0.033, abs=0.005)
    assert p999_of(few, slice(0, 100), 3.0) == pytest.approx(0.033, abs=0.005)
    assert p999_of(many, slice(0, 100), 3.0) == pytest.approx(3.0, rel=0.02)
    assert np.isnan(p999_of(cells, slice(0, 0), 3.0))
