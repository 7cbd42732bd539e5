"""When pings are due under each kind of schedule, and what the heartbeat makes of it."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from heartbeat_trio.config import HeartbeatPolicy, PingSchedule
from heartbeat_trio.events import ConnectionState
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.sansio.heartbeat import Heartbeat
from heartbeat_trio.sansio.pings import SendPing
from heartbeat_trio.sansio.schedule import PingSchedule as Schedule
from heartbeat_trio.sansio.schedule import RecordedSchedule


def heartbeat(schedule: PingSchedule, *, misses: int = 1, now: float = 0.0, probes: int = 30) -> Heartbeat:
    policy = HeartbeatPolicy(
        ping_interval=20, pong_timeout=8, max_missed_pongs=misses, schedule=schedule, max_pongless=30, max_probes=probes
    )
    return Heartbeat(policy, now=now, rng=Random(0))


def pings(beating: Heartbeat, now: float) -> list[bytes]:
    sent = [each.nonce for each in beating.handle_timer(now) if isinstance(each, SendPing)]
    for nonce in sent:
        beating.ping_sent(nonce, now)
    return sent


def test_an_idle_schedule_waits_for_silence() -> None:
    """Every byte that comes begins the interval anew; the silent peer is dead one interval and one timeout later."""
    beating = heartbeat("inbound_idle")
    assert 20 == beating.next_deadline()
    assert [] == pings(beating, 0)
    for now in (10.0, 25.0, 44.0):
        beating.receive_data(now)
        assert now + 20 == beating.next_deadline()
    [nonce] = pings(beating, 64.0)
    beating.receive_pong(nonce, 64.1)
    assert 84.1 == beating.next_deadline()
    assert 1 == len(pings(beating, 84.1))
    beating.handle_timer(92.1)
    assert beating.is_over
    assert 28.0 == beating.silent_for(92.1)


def test_a_busy_peer_is_not_dead_for_want_of_pongs_that_nobody_asked_for() -> None:
    """An hour of data without a ping, then one missed ping of two: degraded, no more. A steady one: lost."""
    idle, steady = heartbeat("inbound_idle", misses=2), heartbeat("every", misses=2)
    for beating in (idle, steady):
        for minute in range(61):
            beating.receive_data(60.0 * minute)
    pings(idle, 3620.0)
    idle.handle_timer(3628.0)
    assert ConnectionState.DEGRADED is idle.state
    pings(steady, 3620.0)
    steady.handle_timer(3628.0)
    assert steady.is_over


def test_an_outbound_idle_schedule_waits_until_nothing_was_sent() -> None:
    """What we send, pings included, begins the interval anew; what comes does not."""
    beating = heartbeat("outbound_idle")
    beating.receive_data(5.0)
    assert 20 == beating.next_deadline()
    beating.bytes_sent(10.0)
    assert 30 == beating.next_deadline()
    assert 1 == len(pings(beating, 30.0))
    assert 38 == beating.next_deadline()


def test_never_is_never_not_even_a_probe_where_none_is_allowed() -> None:
    """No ping, no deadline; a user who allows probes still gets them."""
    beating = heartbeat("never", probes=0)
    beating.request_probe(1.0)
    beating.receive_data(2.0)
    beating.bytes_sent(2.0)
    beating.negotiate(1.0, 2.0)
    assert inf == beating.next_deadline()
    assert [] == beating.handle_timer(1e9)
    probing = heartbeat("never")
    probing.request_probe(1.0)
    assert 1 == len(pings(probing, 1.0))


def test_a_negotiated_interval_counts_where_it_was_agreed_on() -> None:
    """It shortens the wait that is running; a user's own interval stays."""
    negotiated, fixed = heartbeat("negotiated"), heartbeat("every")
    for beating in (negotiated, fixed):
        [nonce] = pings(beating, 0.0)
        beating.receive_pong(nonce, 0.1)
        beating.negotiate(5.0, 1.0)
    assert 6.0 == negotiated.next_deadline()
    assert 10.0 <= fixed.next_deadline() <= 20.0
    [nonce] = pings(negotiated, 6.0)
    negotiated.receive_pong(nonce, 6.1)
    assert 11.0 == negotiated.next_deadline()


def test_a_long_delay_moves_and_spreads_the_schedule() -> None:
    """Pings in quick succession would count one silence twice."""
    schedule = Schedule(HeartbeatPolicy(ping_interval=10), now=0.0, rng=Random(1))
    assert schedule.is_steady
    assert 0.0 == schedule.take(0.0)
    due = schedule.next_tick
    assert due == schedule.take(due + 0.004)
    assert due + 10 == schedule.next_tick
    assert due + 11 == schedule.take(due + 11)
    assert due + 20 == schedule.next_tick
    assert due + 30 == schedule.take(due + 30)
    assert due + 39 <= schedule.next_tick <= due + 40  # sooner, never later
    schedule.hurry(due + 31)
    assert due + 31 == schedule.next_tick
    schedule.hurry(due + 32)
    assert due + 31 == schedule.next_tick


def test_an_unknown_schedule_is_refused() -> None:
    """With the choices."""
    with pytest.raises(ConfigError, match="schedule = 'often' must be one of every, inbound_idle"):
        HeartbeatPolicy(schedule="often")  # type: ignore[arg-type]


def test_a_recorded_schedule_is_what_it_was() -> None:
    """Its ticks and no others, whatever comes and however late a wake-up is; after the last one nothing is due."""
    policy = HeartbeatPolicy(ping_interval=5, pong_timeout=2, max_missed_pongs=9)
    beating = Heartbeat(policy, now=0.0, rng=Random(0), schedule=RecordedSchedule([1.0, 4.0, 50.0]))
    due = []
    while (now := beating.next_deadline()) < inf:
        due += [now] if pings(beating, now) else []
        beating.receive_data(now)
        beating.negotiate(1.0, now)

    assert [1.0, 4.0, 50.0] == due
    empty = RecordedSchedule([])
    empty.hurry(3.0)
    assert empty.is_steady
    assert inf == empty.next_tick
