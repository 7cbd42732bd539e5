"""Losses that have a reason: periods, idle times, venues and ourselves; and those that have none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from heartbeat_trio.analysis.findings import NotEnough
from heartbeat_trio.analysis.patterns import find_patterns, idle, periods, together
from heartbeat_trio.analysis.patterns.lost import losses
from heartbeat_trio.analysis.spans import session_times
from heartbeat_trio.analysis.tables import Happening, Line
from tests.support.analysis_happenings import DAY, Life, Ping, journals_with

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heartbeat_trio.analysis.findings import Finding

UTC = ZoneInfo("UTC")
HOUR = 3600.0
VENUE = (Line("desk", "ws://a.example/feed"), Line("desk", "ws://a.example/other"))


def claims(lives: Sequence[Sequence[Life]], **more: object) -> tuple[Finding, ...]:
    """Patterns of these connections."""
    return find_patterns(journals_with(lives, **more), zone=UTC)[0]  # type: ignore[arg-type]


def chained(ages: Sequence[float], pause: float = 5.0) -> list[Life]:
    """One connection after another."""
    lives, begun = [], 0.0
    for age in ages:
        lives.append(Life(begun, begun + age))
        begun += age + pause
    return lives


def random_lives(seed: int, days: float = 30, per_day: float = 4, down: float = 60) -> list[Life]:
    """Losses at random moments."""
    rng = np.random.default_rng(seed)
    return [life for life in chained(rng.exponential(DAY / per_day, 500).tolist(), down) if life.lost < days * DAY]


def test_losses_are_of_established_connections_only() -> None:
    """A failed attempt is none; the age is that of the connection; the next one ends it."""
    journals = journals_with([[Life(0, 100), Life(150, 400)]])
    failed = Happening(journals.happenings[1].at + 10, 110.0, "lost", "s0", 0, 1, {"cause": "connect_refused"}, "desk")
    first, second = losses(session_times(replace(journals, happenings=(*journals.happenings, failed))))

    assert (first.age, first.connection, first.cause) == (100, 1, "closed_by_peer")
    assert first.back_at == pytest.approx(first.at + 50, abs=1e-5)
    assert (second.age, second.back_at) == (250, None)


def test_a_loss_in_or_just_after_a_stall_is_our_own() -> None:
    """And so is one with the blame on us; one before the stall is not, nor one that a peer told well after it."""
    told = [Life(0, 100), Life(110, 202.1), Life(210, 270), Life(280, 400, "pong_timeout", "LOCAL_STALL")]
    found = losses(session_times(journals_with([told], stalls=[(202.0, 20.0), (265.0, 1.0)])))

    assert [loss.is_ours for loss in found] == [False, True, False, True]
    assert [loss.blame for loss in found] == [None, "LOCAL_STALL", None, "LOCAL_STALL"]


def test_a_connection_of_unknown_age_has_no_part_in_patterns() -> None:
    """The file with its beginning is gone: the report counts its loss, but nobody knows how old it was."""
    journals = journals_with([[Life(0, 100), Life(150, 400)]])
    cut = replace(journals, happenings=journals.happenings[1:])
    times = session_times(cut)

    assert sum(each.loss is not None for time in times for each in time.outages) == 2
    assert [loss.age for loss in losses(times)] == [250]


def test_a_rotation_after_24_hours_is_an_age() -> None:
    """Ten connections of 24 h and three that were lost before."""
    ages = [DAY, DAY, 5 * HOUR, DAY, DAY, DAY, 13 * HOUR, DAY, DAY, DAY, DAY, 2 * HOUR, DAY]
    (finding,) = claims([chained(ages)])

    assert (finding.kind, finding.metric, finding.line, finding.n) == ("period", "losses", 0, 10)
    assert finding.details == {"period": DAY, "is_age": True}
    assert finding.halves_agree
    assert finding.claim == "10 of 13 losses came when the connection was 24 h old (24 h to 24 h)."


def test_old_connections_that_nobody_sees_make_no_age() -> None:
    """A client that starts anew each day, and loses a connection in each at random: all ages are below a day."""
    tested = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        lives = [Life(day * DAY, day * DAY + float(rng.uniform(0, DAY))) for day in range(60)]
        lost = losses(session_times(journals_with([lives], days=60)))
        tested.append(periods.periods(0, lost, 5.0, explained=False)[0][0].p)

    assert len(lost) == 60
    assert np.mean(np.array(tested) <= 0.05) <= 0.05


def test_rotations_at_once_are_no_trouble_of_the_venue() -> None:
    """Two lines that were begun together are closed together each day: that is their age, and nobody's outage."""
    found = claims([chained([DAY] * 12), chained([DAY] * 12)], lines=VENUE)

    assert [(each.kind, each.line) for each in found] == [("period", 0), ("period", 1)]


def test_maintenance_each_six_hours_is_by_the_clock() -> None:
    """The connection dies at 3:10, 9:10, ... whenever it began."""
    rng = np.random.default_rng(1)
    lost = [3 * HOUR + 600 + 6 * HOUR * number for number in range(100)]
    lives = [Life(at - rng.uniform(0.2, 1) * 5 * HOUR, at) for at in lost]
    (finding,) = claims([lives])

    assert finding.details == {"period": 6 * HOUR, "is_age": False}
    assert finding.n == 100


def test_maintenance_at_night_is_told_with_its_hour() -> None:
    """Each day at 5:10, after connections of all ages."""
    rng = np.random.default_rng(2)
    lives = [Life(at - rng.uniform(2, 20) * HOUR, at) for at in (DAY * day + 5 * HOUR + 600 for day in range(20))]
    (finding,) = claims([lives])

    assert finding.details == {"period": DAY, "is_age": False}
    assert "every 24 h, at 05:10 UTC" in finding.claim


def test_four_losses_show_no_period() -> None:
    """Whatever their ages: not enough."""
    findings, missing = find_patterns(journals_with([chained([DAY] * 4)]), zone=UTC)

    assert findings == ()
    assert NotEnough(kind="period", line=0, have=4, need=5, unit="losses") in missing


def test_random_losses_have_no_period() -> None:
    """In 60 months, no more than the procedure's share."""
    tested = []
    for seed in range(60):
        lost = losses(session_times(journals_with([random_lives(seed)])))
        tested.append(min(test.p for test in periods.periods(0, lost, 5.0, explained=False)[0]))

    assert np.mean(np.array(tested) <= 0.05) <= 0.05


def test_a_burst_is_no_period() -> None:
    """Fifty losses within an hour, each after a minute or so, are not daily."""
    rng = np.random.default_rng(4)
    assert claims([chained(rng.exponential(300, 50).tolist())]) == ()


def idle_pings(kill: float | None, seed: int, *, interval: float = 400.0) -> tuple[list[Life], list[Ping]]:
    """Connections with bursts of data; those that nothing passed over for ``kill`` seconds die (None: at random)."""
    rng = np.random.default_rng(seed)
    lives, pings, t = [], [], 0.0
    for connection in range(1, 13):
        begun, number, last = t, 0, t
        while True:
            number += 1
            t += interval
            dies = t - last >= kill if kill is not None else rng.random() < 0.1
            if number > 1 and dies:
                pings.append(Ping(connection, number, t, "m", np.nan, np.nan))
                break
            data = float(min(rng.exponential(150), interval - 1))
            pings.append(Ping(connection, number, t, "a", 0.03, data))
            last = t + data
        lives.append(Life(begun, t + 10, "pong_timeout", "PATH_DEAD"))
        t += 30
    return lives, pings


@pytest.mark.parametrize("seed", range(3))
def test_idle_times_that_kill_are_bounded(seed: int) -> None:
    """The longest survived and the shortest that killed are on either side of 350 s, which is named."""
    lives, pings = idle_pings(350.0, seed)
    (finding,) = [each for each in claims([lives], pings=pings) if each.kind == "idle_kill"]
    survived, killed = finding.details["survived"], finding.details["killed"]

    assert isinstance(survived, float)
    assert isinstance(killed, float)
    assert 200 < survived < 350 <= killed < 400
    assert finding.effect.value == killed
    assert finding.n == 12
    assert finding.halves_agree
    assert "usually after 350 s" in finding.claim


@pytest.mark.parametrize("seed", range(5))
def test_losses_that_have_nothing_to_do_with_idle_times(seed: int) -> None:
    """Nothing is claimed."""
    lives, pings = idle_pings(None, seed)
    assert [each.kind for each in claims([lives], pings=pings)] == []


def test_a_peer_that_dies_while_data_flow_makes_no_threshold() -> None:
    """Data come each second until it dies: the idle times of the end are the longest, but none near them was survived."""
    rng = np.random.default_rng(6)
    lives, pings, t = [], [], 0.0
    for connection in range(1, 13):
        begun = t
        for number in range(1, 20):
            t += 400
            pings.append(Ping(connection, number, t, "a", 0.03, 399.5 if number < 19 else float(rng.uniform(1, 300))))
        t += 400
        pings.append(Ping(connection, 20, t, "m", np.nan, np.nan))
        lives.append(Life(begun, t + 10, "pong_timeout"))
        t += float(rng.uniform(10, 5000))
    journals = journals_with([lives], pings=pings)
    test, _ = idle.idle_test(0, idle.idle_times(journals, losses(session_times(journals)))[0])

    assert test is not None
    assert test.p < 0.001
    assert test.finding is None


def test_few_idle_losses_are_not_enough() -> None:
    """Three are said to be three of five."""
    lives, pings = idle_pings(350.0, 1)
    _, missing = find_patterns(journals_with([lives[:3]], pings=[each for each in pings if each.connection <= 3]), zone=UTC)

    assert NotEnough(kind="idle_kill", line=0, have=3, need=5, unit="losses") in missing


def test_a_proxy_that_closes_idle_connections() -> None:
    """The loss itself comes after the idle time, without a ping before it."""
    rng = np.random.default_rng(7)
    lives, pings, t = [], [], 0.0
    for connection in range(1, 11):
        begun = t
        for number in range(1, 8):
            t += 90.0
            data = float(rng.uniform(31, 89))
            pings.append(Ping(connection, number, t, "a", 0.03, data if number < 7 else 5.0))
        lives.append(Life(begun, t + 65.0))
        t += 100
    journals = journals_with([lives], pings=pings)
    times = idle.idle_times(journals, losses(session_times(journals)))[0]

    assert times.killed == pytest.approx([60.0] * 10)
    assert times.survived.max() < 60
    test, _ = idle.idle_test(0, times)
    assert test is not None
    assert test.finding is not None
    assert test.finding.details["killed"] == pytest.approx(60.0)


def common(moments: Sequence[float], cause: str = "pong_timeout", blame: str | None = None) -> list[Life]:
    """A line that is lost at these moments, for a minute."""
    begins = [0.0, *(at + 60 for at in moments)]
    return [Life(begun, at, cause, blame) for begun, at in zip(begins, moments, strict=False)]


MOMENTS = [DAY * day for day in (1.3, 2.1, 6.7, 9.25, 9.9, 15.4, 21.82, 27.55)]


def test_lines_of_several_clients_lost_at_once_are_the_venues() -> None:
    """Two clients at one host, eight times within seconds; a line to another host is well."""
    lines = (Line("desk", "ws://v.example:80/a"), Line("home", "ws://V.example/b"), Line("home", "w.example:7001"))
    near = [at + 4 for at in MOMENTS]
    (finding,) = claims([common(MOMENTS), common(near), []], lines=lines)

    assert (finding.kind, finding.line, finding.n) == ("venue_wide", None, 8)
    assert finding.details == {"incidents": 8, "lines": (0, 1)}
    assert finding.effect.value == 1.0
    assert finding.halves_agree
    assert "v.example" in finding.claim


def test_a_client_all_of_whose_lines_are_lost_while_others_live_is_local() -> None:
    """Another client at the same hosts saw nothing."""
    hosts = ("ws://v.example/", "ws://w.example/")
    lines = tuple(Line(client, host) for client in ("desk", "home") for host in hosts)
    (finding,) = claims([common(MOMENTS), common(MOMENTS), [], []], lines=lines)

    assert (finding.kind, finding.details["lines"]) == ("local", (0, 1))
    assert finding.details["cause"] == "way_out"
    assert "desk" in finding.claim


def test_one_host_of_a_client_is_the_venues() -> None:
    """Its other host is well, so it is neither the client nor its network."""
    lines = (Line("desk", "ws://v.example/a"), Line("desk", "ws://v.example/b"), Line("desk", "ws://w.example/"))
    (finding,) = claims([common(MOMENTS), common(MOMENTS), []], lines=lines)

    assert finding.kind == "venue_wide"
    assert "at v.example" in finding.claim


@pytest.mark.parametrize(
    ("cause", "blame", "kind"),
    [
        ("closed_by_peer", None, "venue_wide"),
        ("pong_timeout", "PEER_SILENT", "venue_wide"),
        ("pong_timeout", "PATH_DEAD", "local"),
        ("pong_timeout", None, "local"),
    ],
)
def test_where_one_client_saw_all_its_lines_die_their_causes_decide(cause: str, blame: str | None, kind: str) -> None:
    """A peer that closes, or is silent over a path that acknowledges, is to blame; a path that is dead may be our own."""
    (finding,) = claims([common(MOMENTS, cause, blame), common(MOMENTS, cause, blame)])

    assert finding.kind == kind


def test_independent_outages_are_together_by_chance_only() -> None:
    """In 40 months of four lines with an outage every few hours, never more than the procedure's share."""
    wrong = 0
    for seed in range(40):
        lives = [random_lives(4 * seed + line, down=600) for line in range(4)]
        journals = journals_with(lives)
        wrong += any(test.p <= 0.01 for test in together.together(journals, losses(session_times(journals))))

    assert wrong <= 2


def test_stalls_are_ours_and_never_a_venues() -> None:
    """All lines of two hosts are lost in each of our stalls: only the stalls are told."""
    moments = [DAY * day + 1000.0 for day in range(1, 20)]
    lives = common([at - 1 for at in moments], "closed_by_peer")
    (finding,) = claims([lives, lives, lives], stalls=[(at, 20.0) for at in moments])

    assert (finding.kind, finding.n, finding.details["incidents"]) == ("local", 19, 19)
    assert "no peer is blamed" in finding.claim
    assert "cause" not in finding.details


def test_several_venues_at_once_are_not_called_one() -> None:
    """Peers of two hosts closed at once: what they share is to blame, and no single venue."""
    lines = (Line("desk", "ws://v.example/"), Line("desk", "ws://w.example/"))
    (finding,) = claims([common(MOMENTS, "closed_by_peer"), common(MOMENTS, "closed_by_peer")], lines=lines)

    assert "were lost at several venues at once" in finding.claim
    assert finding.claim.endswith("what these venues share is the likely cause.")


def test_a_stall_now_and_then_is_nobodys_concern() -> None:
    """Four in a month."""
    assert claims([[]], stalls=[(DAY * day, 20.0) for day in (1, 9, 17, 25)]) == ()


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("wss://A.example:443/x", "a.example"),
        ("quotes.example:7001", "quotes.example"),
        ("[::1]:7", "::1"),
        ("ws://[", "ws://["),
    ],
)
def test_hosts_of_endpoints(endpoint: str, host: str) -> None:
    """URLs, `host:port`, and what is neither."""
    assert together.host_of(endpoint) == host
