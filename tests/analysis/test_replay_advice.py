"""Advice: exact changes from patterns, replays and counts, with honest confidence; and nothing from nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

import msgspec
import pytest

from heartbeat_trio.analysis.advice import advise
from heartbeat_trio.analysis.findings import (
    Estimate,
    Finding,
    Kind,
    LineReport,
    NotEnough,
    Recommendation,
    ReplayCurve,
    ReplayPoint,
)
from heartbeat_trio.analysis.tables import Happening, Journals, Line, SessionSpan
from heartbeat_trio.config import BackoffPolicy, HeartbeatPolicy, InboxPolicy
from heartbeat_trio.policies import RotationPolicy
from tests.support.replayed import Recorded, to_journals

DAY = 86_400.0
CLASSIC, INBOX = HeartbeatPolicy(), InboxPolicy()
LINES = (Line("here", "wss://a/"), Line("here", "wss://b/"), Line("there", "wss://a/"))
LARGE = Estimate(0.3, 0.2, 0.4, 28)
BEGUN = 1_700_000_000.0
ENDED = BEGUN + 28 * DAY


def journals(
    *happenings: Happening,
    heartbeat: HeartbeatPolicy = CLASSIC,
    inbox: InboxPolicy = INBOX,
    lines: tuple[Line, ...] = LINES,
) -> Journals:
    made = to_journals([Recorded(1, 0.0, end=1.0)], heartbeat, quick=0.25)
    configuration = {"heartbeat": asdict(heartbeat), "inbox": asdict(inbox), "backoff": asdict(BackoffPolicy())}
    sessions = tuple(
        SessionSpan(f"s{line}", line, "w", BEGUN, ENDED, 0.0, 28 * DAY, configuration) for line in range(len(lines))
    )
    return replace(made, lines=lines, sessions=sessions, happenings=happenings, quick=(0.25,) * len(lines))


def finding(
    kind: Kind,
    details: Mapping[str, object],
    *,
    effect: Estimate = LARGE,
    line: int | None = 0,
    p: float = 0.001,
    halves: bool = True,
) -> Finding:
    return Finding(
        kind=kind,
        metric="rtt",
        line=line,
        claim="It is so.",
        effect=effect,
        n=28,
        p=p,
        p_adjusted=p,
        begun_at=BEGUN,
        ended_at=ENDED,
        halves_agree=halves,
        details=details,
    )


def report(line: int) -> LineReport:
    none = Estimate(None)
    estimates = ("availability", "mtbf", "mttr", "detection", "recovery", "success")
    return LineReport(
        client="here",
        endpoint=f"line {line}",
        sessions=1,
        begun_at=BEGUN,
        ended_at=ENDED,
        observed=28 * DAY,
        ours=0.0,
        connected=28 * DAY,
        losses=(),
        failed_connects=0,
        pings=1000,
        rtt=(),
        gaps=0,
        stalls=0,
        **dict.fromkeys(estimates, none),
    )


REPORTS = (report(0), report(1), report(2))


def advice_from(*findings: Finding, read: Journals | None = None) -> list[Recommendation]:
    return list(advise(read or journals(), findings, (), (), REPORTS))


def test_nothing_is_said_about_nothing() -> None:
    """Silence is better than a false alarm."""
    assert [] == advice_from()


@pytest.mark.parametrize(
    ("survived", "killed", "change"),
    [
        (340, 400, "ping_interval = 315"),
        (55, 60, "ping_interval = 45"),
        (20, 60, "ping_interval = 20"),
        (8, 12, "ping_interval = 8"),
        (2, 12, "ping_interval = 5"),
    ],
)
def test_an_idle_time_that_kills_calls_for_pings_in_less(survived: float, killed: float, change: str) -> None:
    """Never more than connections survived, and well below what killed them."""
    slow = journals(heartbeat=HeartbeatPolicy(ping_interval=600))
    found = finding("idle_kill", {"survived": survived, "killed": killed}, effect=Estimate(killed, survived, killed, 20))

    [advice] = advice_from(found, read=slow)

    assert (change, "high", "idle-kill-0", "seconds") == (advice.change, advice.confidence, advice.id, advice.unit)
    assert "message limit" in advice.against


def test_an_idle_time_where_nothing_pings_calls_for_a_schedule() -> None:
    """And where pings are sent more often already, there is nothing to say."""
    found = finding("idle_kill", {"survived": 340, "killed": 360}, effect=Estimate(360, 340, 360, 20))

    [advice] = advice_from(found, read=journals(heartbeat=HeartbeatPolicy(schedule="never")))

    assert 'ping_interval = 285, schedule = "every"' == advice.change
    assert [] == advice_from(found, read=journals(heartbeat=HeartbeatPolicy(ping_interval=45)))


def test_a_connections_age_calls_for_rotation_before_it() -> None:
    """As a policy that can be built; losses by the clock are nobody's setting."""
    effect = Estimate(86_400, 86_390, 86_410, 20)

    [aged, clock] = advice_from(
        finding("period", {"period": 86_400.0, "is_age": True}, effect=effect),
        finding("period", {"period": 86_400.0, "is_age": False}, effect=effect, line=1),
    )

    assert "RotationPolicy(max_age=86390)" == aged.change
    assert 86_390 == RotationPolicy(max_age=86390).max_age
    assert clock.change.startswith("nothing to set")
    assert ("period-0", "period-1-clock") == (aged.id, clock.id)
    assert ("seconds", "seconds") == (aged.unit, clock.unit)


def test_a_slower_line_calls_for_the_better_one_first() -> None:
    """Within one client by the balancer; of two clients by their place; else there is nothing to choose."""
    lines = (Line("here", "wss://a/"), Line("here", "wss://b/"), Line("there", "wss://a/"), Line("there", "wss://c/"))

    def change(line: int, than: int) -> list[str]:
        return [
            each.change for each in advice_from(finding("slower", {"than": than}, line=line), read=journals(lines=lines))
        ]

    assert ["heartbeat-trio balance wss://b/ wss://a/"] == change(0, 1)
    assert ["nothing to set: run it where there runs rather than where here does, or ask why its way is longer"] == change(
        0, 2
    )
    assert [] == change(0, 3)
    assert [] == change(0, 99)


def test_slow_hours_call_for_a_gate() -> None:
    """With the hours and their zone; fast ones for nothing."""
    [hours, days] = advice_from(
        finding("hour", {"numbers": (8, 14), "zone": "Europe/Berlin"}), finding("weekday", {"numbers": (0,), "zone": "UTC"})
    )

    assert "08:00-08:59, 14:00-14:59 (Europe/Berlin)" in hours.change
    assert "gate = session.gate()" in hours.change
    assert "Monday (UTC)" in days.change
    assert ("hour-0-8-14", "weekday-0-0", "fraction") == (hours.id, days.id, hours.unit)
    assert [] == advice_from(finding("hour", {"numbers": (3,), "zone": "UTC"}, effect=Estimate(-0.3, -0.4, -0.2, 28)))


def test_what_cannot_be_set_is_said_to_be_so() -> None:
    """A step with its moment, a drift, trouble of a whole venue; changes for the better are none to advise about."""
    step = {"moment_at": BEGUN, "before": 0.04, "after": 0.06}

    told = advice_from(
        finding("step", step),
        finding("drift", {"per_day": 0.02}),
        finding("venue_wide", {"incidents": 5, "lines": (0, 1)}, line=None),
    )

    assert ["step-0-472222", "drift-0", "venue-wide-all-0-1"] == [each.id for each in told]
    assert all(each.change.startswith("nothing to set: ") for each in told)
    assert "2023-11-14 22:13 UTC" in told[0].change
    assert [] == advice_from(finding("step", step | {"after": 0.03}), finding("drift", {"per_day": -0.02}))


def test_local_trouble_names_its_worst_hours() -> None:
    """Those with most stalls of this client's programs."""
    stalls = [
        Happening(BEGUN + 3600 * hour, 0.0, "local_stall", None, None, 0, {"seconds": 1}, writer)
        for hour, writer in ((0, "w"), (0, "w"), (5, "w"), (7, "other"))
    ]

    [advice] = advice_from(finding("local", {"incidents": 9, "lines": (0, 1)}, line=None), read=journals(*stalls))

    assert advice.change.startswith("await trio.to_thread.run_sync(work)")
    assert "Most stalls: 2023-11-14 22:00 UTC (2), 2023-11-15 03:00 UTC (1)." in advice.gain


def test_lines_lost_at_once_without_a_stall_call_for_no_threads() -> None:
    """The way out failed, and not the program: there is nothing to move into a thread."""
    details = {"incidents": 9, "lines": (0, 1), "cause": "way_out"}
    [advice] = advice_from(finding("local", details, line=None))

    assert advice.change.startswith("nothing to set: look at the machine, its network")
    assert "stall" not in advice.gain


def test_confidence_needs_a_small_p_a_large_effect_and_both_halves() -> None:
    """One of them missing is one step less."""
    details = {"numbers": (8,), "zone": "UTC"}

    def confidence(**how: object) -> str:
        [advice] = advice_from(finding("hour", details, **how))  # type: ignore[arg-type]  # as `finding` takes it
        return advice.confidence

    assert "high" == confidence()
    assert "medium" == confidence(p=0.02)
    assert "medium" == confidence(effect=Estimate(0.12, 0.05, 0.2, 28))
    assert "low" == confidence(halves=False)
    assert "low" == confidence(p=0.2)


def point(timeout: float, missed: int, mean: float, *, interval: float = 5.0, losses: int = 0, **flags: bool) -> ReplayPoint:
    return ReplayPoint(
        ping_interval=interval,
        pong_timeout=timeout,
        max_missed_pongs=missed,
        detection_mean=mean,
        detection_max=mean + 2.5,
        losses=losses,
        false_losses=0,
        **flags,
    )


def curve(*points: ReplayPoint, days: float = 28.0) -> ReplayCurve:
    return ReplayCurve(line=0, observed=days * DAY, pings=int(days * 17_280), points=points)


RECORDED = point(3.0, 3, 15.5, losses=2, is_recorded=True)


def test_a_replay_calls_for_what_differs() -> None:
    """With the bound on what may have gone unseen, and what is not known yet."""
    better = point(1.5, 2, 9.0, losses=3, is_suggested=True)
    little = NotEnough(kind="weekday", line=0, have=4, need=8, unit="weeks")

    [advice] = advise(journals(), (), (little,), (curve(RECORDED, better),), REPORTS)

    assert "pong_timeout = 1.5, max_missed_pongs = 2" == advice.change
    assert ("pong-timeout-0", "high", 483_840, None) == (advice.id, advice.confidence, advice.n, advice.p_adjusted)
    assert advice.effect.value == pytest.approx(1 - 9 / 15.5)
    assert advice.unit == "fraction"
    assert (
        advice.gain == "A dead peer is found after 9 s on average instead of 15.5 s, after 11.5 s at most instead of 18 s."
    )
    assert advice.against == (
        "Up to 0.11 false losses a day may have gone unseen (95 %, none in 28.0 days)."
        " Connections that ended otherwise would have been called dead before: 1."
        " Weekdays were not compared yet (4 of 8 weeks)."
    )
    assert [] == list(advise(journals(), (), (), (curve(RECORDED),), REPORTS))


def test_one_missed_pong_is_not_said_to_end_a_connection_on_which_data_come() -> None:
    """Where data count as a sign of life, a late pong alone ends nothing."""
    [advice] = advise(journals(), (), (), (curve(RECORDED, point(3, 1, 5.5, is_suggested=True)),), REPORTS)

    assert "ends the connection then, unless data came meanwhile and count." in advice.against


@pytest.mark.parametrize(("days", "confidence"), [(2.0, "low"), (7.0, "medium"), (14.0, "high")])
def test_short_recordings_are_trusted_less(days: float, confidence: str) -> None:
    """A day or two show little about what is rare."""
    better = point(1.5, 2, 9.0, is_suggested=True)

    [advice] = advise(journals(), (), (), (curve(RECORDED, better, days=days),), REPORTS)

    assert confidence == advice.confidence


def happened(event: str, n: int, *, until: float = 1.0, **fields: object) -> list[Happening]:
    """So many over the first part of the time."""
    return [Happening(BEGUN + 28 * DAY * until * at / n, 0.0, event, "s0", 0, 1, fields) for at in range(n)]


def test_drops_call_for_another_inbox() -> None:
    """Conflated, and larger where they are; not from a few, nor from one half of the time."""
    [advice] = advice_from(read=journals(*happened("overrun", 40, dropped=100)))

    assert ('InboxPolicy(overflow="conflate")', "high", "overrun-0") == (advice.change, advice.confidence, advice.id)
    assert "40 times: 4000 messages" in advice.claim
    assert advice.effect.value == pytest.approx(40 / 28)
    assert advice.unit == "per_day"
    conflating = InboxPolicy(overflow="conflate", size=100)
    [advice] = advice_from(read=journals(*happened("overrun", 12, dropped=1), inbox=conflating))
    assert ("InboxPolicy(size=400)", "medium") == (advice.change, advice.confidence)
    assert [] == advice_from(read=journals(*happened("overrun", 9, dropped=1)))
    assert [] == advice_from(read=journals(*happened("overrun", 40, until=0.5, dropped=1)))


def test_refusals_for_too_many_attempts_call_for_patience() -> None:
    """Where the server says so; a plain refusal is none of our settings."""
    limited = happened("lost", 20, cause="handshake", detail="HTTP status 429 Too Many Requests")

    [advice] = advice_from(read=journals(*limited))

    assert ("rate-limit-0", "BackoffPolicy(initial=2, maximum=60)") == (advice.id, advice.change)
    assert [] == advice_from(read=journals(*happened("lost", 20, cause="connect_refused", detail="connection refused")))


@pytest.mark.parametrize("odd", ["many", None, [1], {}, -1, 10**400, True], ids=lambda odd: repr(odd)[:6])
def test_no_field_is_trusted(odd: object) -> None:
    """Counts and policies of any kind are as if they were not told: no traceback, and no setting that nobody can write."""
    refused = happened("lost", 40, cause="handshake", detail="HTTP status 429")
    read = journals(*happened("overrun", 40, dropped=odd), *refused)
    strange = {
        "heartbeat": {"ping_interval": odd, "schedule": odd},
        "inbox": {"size": odd, "overflow": "conflate"},
        "backoff": {"initial": odd, "maximum": odd},
    }
    sessions = tuple(msgspec.structs.replace(each, configuration=strange) for each in read.sessions)
    idle = finding("idle_kill", {"survived": 55, "killed": 60}, effect=Estimate(60, 55, 60, 20))

    told = advice_from(idle, read=replace(read, sessions=sessions))

    assert [
        "ping_interval = 45",
        f"InboxPolicy(size={4 * INBOX.size})",
        "BackoffPolicy(initial=2, maximum=60)",
    ] == [each.change for each in told]
    assert "40 times: 0 messages" in told[1].claim


def test_a_peer_that_does_not_read_is_sent_less() -> None:
    """There is no setting for that, and it says so."""
    [advice] = advice_from(read=journals(*happened("lost", 20, cause="pong_timeout", blame="WRITER_BLOCKED")))

    assert "writer-blocked-0" == advice.id
    assert advice.change.startswith("nothing to set: send less")


def test_the_most_certain_and_most_useful_comes_first() -> None:
    """By confidence, then by kind; and one of each id."""
    hour = {"numbers": (8,), "zone": "UTC"}
    weaker = msgspec.structs.replace(finding("hour", hour, p=0.03), metric="misses")

    told = advice_from(
        finding("drift", {"per_day": 0.02}),
        weaker,
        finding("hour", hour),
        finding("slower", {"than": 1}, halves=False),
        read=journals(*happened("overrun", 40, dropped=1)),
    )

    assert ["overrun-0", "hour-0-8", "drift-0", "slower-0"] == [each.id for each in told]
    assert ["high", "high", "high", "low"] == [each.confidence for each in told]
