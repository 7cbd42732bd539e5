"""A venue's limits, shared by all connections: never exceeded in any window, pings included."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.policies import VenueLimits
from heartbeat_trio.sansio.budget import Budget


def most_in_any_window(times: list[float], period: float) -> int:
    return max((sum(start <= each < start + period for each in times) for start in times), default=0)


def test_without_limits_nothing_waits() -> None:
    """And nothing is counted."""
    budget = Budget(VenueLimits())
    budget.record_message(1.0, is_ping=False)
    budget.record_message(1.0, is_ping=True)
    assert (1.0, 1.0) == (budget.reserve_connect("a", 5.0, 1.0), budget.next_message(1.0))
    assert (None, None) == (budget.connect_limit, budget.message_limit)
    assert (0, 0) == (budget.used_connects(1.0), budget.used_messages(1.0))


def test_connects_are_reserved_in_turn() -> None:
    """80 % of five are four; each that must wait gets a time of its own."""
    budget = Budget(VenueLimits(connects=5, connect_period=100.0))
    assert 4 == budget.connect_limit
    assert [0.0, 0.0, 1.0, 1.0, 100.0, 100.0, 101.0, 101.0, 200.0] == [
        budget.reserve_connect("a", 5.0, now) for now in (0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0)
    ]
    assert (4, 5) == (budget.used_connects(2.0), budget.waiting_connects(2.0))
    budget.give_back_connect(200.0)
    assert 200.0 == budget.reserve_connect("a", 5.0, 3.0)
    unlimited = Budget(VenueLimits())
    unlimited.give_back_connect(1.0)
    assert 0 == unlimited.waiting_connects(1.0)


def test_a_share_below_one_takes_longer() -> None:
    """One a second, 80 % of it: one in 1.25 s."""
    budget = Budget(VenueLimits(connects=1, connect_period=1.0))
    assert [0.0, 1.25] == [budget.reserve_connect("a", 5.0, 0.0), budget.reserve_connect("a", 5.0, 0.0)]


def test_messages_leave_room_for_pings() -> None:
    """Ten a second, 80 % of it, two sessions that may each send a ping: six."""
    budget = Budget(VenueLimits(messages=10))
    assert (8, 0.0, 0.0) == (
        budget.message_limit,
        budget.reserve_connect("a", 5.0, 0.0),
        budget.reserve_connect("b", 5.0, 0.0),
    )
    for _ in range(6):
        assert 0.0 == budget.next_message(0.0)
        budget.record_message(0.0, is_ping=False)
    assert 1.0 == budget.next_message(0.0)
    budget.record_message(0.5, is_ping=True)
    budget.record_message(0.5, is_ping=True)
    assert 8 == budget.used_messages(0.5)
    assert 1.0 == budget.next_message(0.5)
    budget.remove("a", 0.5)
    budget.remove("a", 0.5)
    assert 1.0 == budget.next_message(0.5)  # its ping counts for a while
    for _ in range(7):
        assert 1.5 == budget.next_message(1.5)
        budget.record_message(1.5, is_ping=False)
    assert 2.5 == budget.next_message(1.5)


def test_who_joins_waits_until_another_one_leaves() -> None:
    """Of four, one stays for messages: there is room for the pings of three, and of one that left for a while."""
    budget = Budget(VenueLimits(messages=5))
    assert [0.0, 0.0, 0.0, None] == [budget.reserve_connect(key, 5.0, 0.0) for key in "abcd"]
    budget.remove("a", 0.25)
    assert 1.25 == budget.reserve_connect("d", 5.0, 0.5)
    assert budget.reserve_connect("a", 5.0, 0.75) is None


def test_who_comes_back_may_have_pinged_just_now() -> None:
    """So there must be room for one more ping for a while, or the while is waited for."""
    budget = Budget(VenueLimits(messages=5))
    assert [0.0, 0.0] == [budget.reserve_connect(key, 5.0, 0.0) for key in "ab"]
    assert [0.25, 1.25] == [budget.reserve_connect(key, 5.0, 0.25) for key in "ab"]
    assert 1.5 == budget.reserve_connect("b", 5.0, 1.5)


def test_probes_are_sent_only_if_there_is_room() -> None:
    """They count as messages do, and never wait."""
    budget = Budget(VenueLimits(messages=5))
    budget.reserve_connect("a", 5.0, 0.0)
    assert [True, True, True, False] == [budget.try_probe(0.5) for _ in range(4)]
    assert 3 == budget.used_messages(0.5)
    assert budget.try_probe(1.5)
    for limits in (VenueLimits(), VenueLimits(messages=1, counts_pings=False)):
        free = Budget(limits)
        assert [True, True, 0] == [free.try_probe(0.0), free.try_probe(0.0), free.used_messages(0.0)]


def test_who_joins_waits_until_there_is_room_for_its_pings() -> None:
    """The window is full of messages; those that come later wait behind it, and leave the room."""
    budget = Budget(VenueLimits(messages=10))
    for number in range(8):
        budget.record_message(number * 0.1, is_ping=False)
    assert 1.0 == budget.reserve_connect("a", 5.0, 0.75)
    assert 1.1 == budget.next_message(0.75)
    assert 1.1 == budget.reserve_connect("b", 5.0, 0.75)


def test_where_pings_do_not_count() -> None:
    """They take no room, and are not counted."""
    budget = Budget(VenueLimits(messages=5, counts_pings=False))
    budget.reserve_connect("a", 0.1, 0.0)
    for _ in range(9):
        budget.record_message(0.0, is_ping=True)
    assert (0.0, 0) == (budget.next_message(0.0), budget.used_messages(0.0))


def test_where_pings_alone_fill_the_limit() -> None:
    """One message in each period goes all the same."""
    budget = Budget(VenueLimits(messages=2))
    budget.reserve_connect("a", 0.1, 0.0)
    budget.record_message(0.0, is_ping=True)
    assert 0.0 == budget.next_message(0.0)
    budget.record_message(0.0, is_ping=False)
    assert 1.0 == budget.next_message(0.5)


@given(
    limit=st.integers(1, 20),
    period=st.sampled_from([1.0, 10.0, 300.0]),
    pauses=st.lists(st.floats(0, 5), max_size=80),
)
def test_connects_never_exceed_the_share_in_any_window(limit: int, period: float, pauses: list[float]) -> None:
    """Whenever who asks."""
    budget = Budget(VenueLimits(connects=limit, connect_period=period))
    now, times = 0.0, []
    for pause in pauses:
        now += pause
        at = budget.reserve_connect("a", 5.0, now)
        assert at is not None
        times.append(at)
    assert times == sorted(times)
    assert most_in_any_window(times, period * 0.999) <= max(1, int(0.8 * limit))


@given(
    limit=st.integers(5, 60),
    joins=st.lists(st.tuples(st.floats(0, 5), st.sampled_from([1.0, 5.0, 20.0])), min_size=1, max_size=4),
    pauses=st.lists(st.floats(0, 0.3), min_size=1, max_size=60),
    rng=st.randoms(use_true_random=False),
)
def test_messages_and_pings_together_never_exceed_it(  # noqa: C901 - one agenda of all that happens
    limit: int, joins: list[tuple[float, float]], pauses: list[float], rng: Random
) -> None:
    """Sessions join, ping, and are lost at any time; messages and probes go when they may: never too many in any window."""
    budget = Budget(VenueLimits(messages=limit))
    share = int(0.8 * limit)
    lives: dict[int, int] = {}
    joining = [(at, number, interval) for number, (at, interval) in enumerate(joins)]
    agenda = [(at, "join", number, interval) for at, number, interval in joining]
    now = 0.0
    for pause in pauses:
        now += pause
        agenda.append((now, rng.choice(["message", "probe", "loss", "leave"]), rng.randrange(4), 0.0))
    heapify(agenda)
    times: list[float] = []
    while agenda and len(times) < 300:
        at, what, number, interval = heappop(agenda)
        if what == "join":
            begins = budget.reserve_connect(number, interval, at)
            lives[number] = lives.get(number, 0) + 1
            if begins is not None:
                heappush(agenda, (begins, f"ping {lives[number]}", number, interval))
            elif at < now:
                heappush(agenda, (at + 0.5, "join", number, interval))
        elif what.startswith("ping"):
            if what != f"ping {lives[number]}":  # that connection was lost
                continue
            times.append(at)
            budget.record_message(at, is_ping=True)
            if at < now + 5:
                heappush(agenda, (at + interval, what, number, interval))
        elif what in ("loss", "leave"):
            if number in lives:
                lives[number] += 1
                if what == "leave":
                    budget.remove(number, at)
                heappush(agenda, (at, "join", number, joins[number][1]))
        elif what == "probe":
            if budget.try_probe(at):
                times.append(at)
        elif (allowed := budget.next_message(at)) > at:
            heappush(agenda, (allowed, what, number, interval))
        else:
            times.append(at)
            budget.record_message(at, is_ping=False)
    assert most_in_any_window(times, 0.999) <= share
