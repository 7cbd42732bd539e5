"""A report made by hand: four weeks of three lines, with one of everything that a report can hold; and read from JSON."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from heartbeat_trio.analysis.findings import (
    Day,
    Estimate,
    Finding,
    HourCell,
    Incident,
    LineReport,
    LossCount,
    Moment,
    NotEnough,
    Percentile,
    Recommendation,
    ReplayCurve,
    ReplayPoint,
    Report,
    RttPoint,
)
from heartbeat_trio.analysis.jsonform import is_time
from heartbeat_trio.analysis.tables import Sources

BEGUN = datetime(2026, 10, 18, tzinfo=UTC).timestamp()
DAY = 86_400.0
ZONE = "Europe/Berlin"
ENDPOINTS = (
    "wss://stream.binance.com:9443/ws",
    "wss://ws.okx.com:8443/ws/v5/public#dialect=okx-v5",
    "tcp://10.0.7.4:8080",
)
MEDIANS = (0.012, 0.048, 0.0009)
HOSTILE = "tcp://<script>alert(1)</script>\x1b[2J\u202e&\"'"


def make_report(*, lines: int = 3, days: int = 28, hostile: bool = False) -> Report:
    """Of so many lines and days; ``hostile``: the first endpoint's name is an attack."""
    rng = random.Random(5)
    endpoints = [ENDPOINTS[n % 3] + ("" if n < 3 else f"?line={n}") for n in range(lines)]
    if hostile:
        endpoints[0] = HOSTILE
    made = tuple(_line(n, endpoint, days) for n, endpoint in enumerate(endpoints))
    return Report(
        made_at=BEGUN + days * DAY + 3661.5,
        version="0.1.0",
        zone=ZONE,
        sources=_sources(endpoints),
        overall=_line(0, "", days) if lines else None,
        lines=made,
        advice=_advice(days) if lines > 1 else (),
        findings=_findings(days) if lines > 1 else (),
        not_enough=(
            NotEnough(kind="weekday", line=None, have=4, need=8, unit="weeks"),
            NotEnough(kind="hour", line=lines - 1, have=6, need=9, unit="days"),
        ),
        incidents=tuple(_incident(n, lines, days) for n in range(min(10, 10 * lines))),
        replays=tuple(_replay(n, days) for n in range(lines)),
        days=tuple(_day(line, day, rng) for line in range(lines) for day in range(days)),
        rtt=tuple(_rtt(line, step, rng) for line in range(lines) for step in range(days * 8)),
        rtt_step=10_800.0,
        hours=tuple(_hour(n, day, hour, rng) for n in range(lines) for day in range(7) for hour in range(24)),
        notes=("the clock of client weeks was set back once, by 3.2 s",),
    )


def read_report(document: str) -> Report:
    """A JSON document as a report again; raises `msgspec.ValidationError` if it is none."""
    return msgspec.convert(_read("", msgspec.json.decode(document)), Report)


def _read(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _read(key, each) for key, each in value.items()}
    if isinstance(value, list):
        return [_read(name, each) for each in value]
    return datetime.fromisoformat(value).timestamp() if is_time(name) and isinstance(value, str) else value


def _sources(endpoints: list[str]) -> Sources:
    return Sources(
        folders=("weeks",),
        files=29,
        cached=28,
        records=1_452_310,
        pings=1_451_520,
        torn=1,
        unknown=3,
        excluded=(f"weeks/other.json: no journal of {endpoints[0] if endpoints else 'any'}", "12 records without a time"),
    )


def _line(number: int, endpoint: str, days: int) -> LineReport:
    median = MEDIANS[number % 3]
    observed = days * DAY - 1860
    lost = (LossCount("pong_timeout", "PEER_SILENT", 9 + number), LossCount("closed_by_peer", None, 28))
    extra = (LossCount("pong_timeout", "PATH_DEAD", 3), LossCount("reset", None, 1))
    return LineReport(
        client="weeks" if endpoint else "",
        endpoint=endpoint,
        sessions=2,
        begun_at=BEGUN,
        ended_at=BEGUN + days * DAY,
        observed=observed,
        ours=1860.0,
        connected=observed - 412,
        availability=Estimate(1 - 412 / observed, 0.99971, 0.99993, days),
        losses=lost + extra if number % 3 == 1 or not endpoint else lost,
        failed_connects=6,
        mtbf=Estimate(61_200.0, 45_100.0, 85_900.0, 41) if number % 3 < 2 else Estimate(None, 800_000.0, None, 0),
        mttr=Estimate(9.8, 7.1, 13.4, 41),
        detection=Estimate(15.4, 13.9, 16.8, 13),
        recovery=Estimate(1.31, 1.12, 1.6, 41),
        pings=483_840,
        success=Estimate(0.99934, 0.99927, 0.99941, 483_011),
        rtt=(
            Percentile(0.5, Estimate(median, median * 0.99, median * 1.01, 482_690)),
            Percentile(0.95, Estimate(median * 2.1, median * 2.05, median * 2.14, 482_690)),
            Percentile(0.99, Estimate(median * 5.3, median * 5.1, median * 5.6, 482_690)),
            Percentile(0.999, Estimate(3.0, None, None, 482_690), is_bound=True),
        ),
        gaps=44,
        stalls=5,
    )


def _advice(days: int) -> tuple[Recommendation, ...]:
    end = BEGUN + days * DAY
    return (
        Recommendation(
            id="ping-interval-1",
            line=1,
            claim="Connections that were idle for 350 s or more were dead: 27 of 27. Something on the way, a NAT or "
            "a proxy, forgets them.",
            effect=Estimate(0.63, 0.48, 0.76, 27),
            unit="fraction",
            n=27,
            p_adjusted=0.0004,
            begun_at=BEGUN,
            ended_at=end,
            confidence="high",
            change="ping_interval = 300",
            gain="About 27 fewer losses in 28 days, each of which took 9.8 s.",
            against="A ping each 300 s finds a dead peer only after 15 minutes.",
        ),
        Recommendation(
            id="pong-timeout-0",
            line=0,
            claim="3 of 12 verdicts were false: the same connection answered within 0.4 s after its last deadline.",
            effect=Estimate(0.25, 0.09, 0.53, 12),
            unit="fraction",
            n=12,
            p_adjusted=None,
            begun_at=BEGUN + 3 * DAY,
            ended_at=end,
            confidence="medium",
            change="pong_timeout = 4, max_missed_pongs = 3",
            gain="At least 3 false losses fewer in 28 days; a dead peer is found in 16.4 s rather than 15.4 s, on average.",
            against="Nothing was recorded after the connection was given up, so the gain is a bound.",
            is_censored=True,
        ),
        Recommendation(
            id="venue-hours-1",
            line=None,
            claim="All lines are slower from 14:00 to 16:00.",
            effect=Estimate(0.31, 0.22, 0.41, 28),
            unit="fraction",
            n=28,
            p_adjusted=0.012,
            begun_at=BEGUN,
            ended_at=end,
            confidence="low",
            change="rotation = RotationPolicy(max_age=43200)",
            gain="Connections are replaced at quiet hours.",
            against="The second half of the data does not show it by itself.",
        ),
    )


def _findings(days: int) -> tuple[Finding, ...]:
    end = BEGUN + days * DAY
    return (
        Finding(
            kind="hour",
            metric="rtt",
            line=0,
            claim="Round trips are slower from 15:00 to 16:00.",
            effect=Estimate(0.31, 0.22, 0.41, 28),
            n=28,
            p=0.0002,
            p_adjusted=0.0048,
            begun_at=BEGUN,
            ended_at=end,
            halves_agree=True,
            details={"numbers": [15], "zone": ZONE},
        ),
        Finding(
            kind="step",
            metric="rtt",
            line=1,
            claim="The median round trip rose from 41 ms to 61 ms and stayed there.",
            effect=Estimate(0.49, 0.44, 0.55, 672),
            n=672,
            p=0.0005,
            p_adjusted=0.006,
            begun_at=BEGUN,
            ended_at=end,
            halves_agree=True,
            details={"moment_at": BEGUN + 17.3 * DAY, "before": 0.041, "after": 0.061},
        ),
        Finding(
            kind="idle_kill",
            metric="losses",
            line=1,
            claim="No connection survived 350 s without a message.",
            effect=Estimate(350.0, 346.2, 350.4, 27),
            n=27,
            p=0.0001,
            p_adjusted=0.0004,
            begun_at=BEGUN,
            ended_at=end,
            halves_agree=False,
            details={"survived": 346.2, "killed": 350.4},
        ),
    )


def _incident(number: int, lines: int, days: int) -> Incident:
    begun = BEGUN + (days * (number + 1) / 12) * DAY + 12_345.678
    is_ours = number % 4 == 3
    duration = 340.0 / (number + 1)
    return Incident(
        line=number % lines,
        begun_at=begun,
        ended_at=None if number == 0 else begun + duration,
        duration=duration,
        cause="local_stall" if is_ours else "pong_timeout",
        blame="LOCAL_STALL" if is_ours else "PEER_SILENT",
        detail="our own program did not run"
        if is_ours
        else "no pong, 3 missed: the peer's machine answers but says nothing",
        detected_after=None if is_ours else 15.2,
        losses=0 if is_ours else 2,
        others=tuple(n for n in range(min(lines, 3)) if n != number % lines) if number == 1 else (),
        timeline=(
            Moment(begun - 31.2, -31.2, "before", "p95 142 ms in the minute before (median 48 ms)"),
            Moment(begun, 0.0, "during", "last sign of life"),
            Moment(begun + 8.1, 8.1, "during", "pong missed [PEER_SILENT]"),
            Moment(begun + 15.2, 15.2, "during", "lost (pong_timeout): no pong, 3 missed"),
            Moment(begun + 15.9, 15.9, "during", "attempt 2 failed: connect_refused"),
            Moment(begun + duration, duration, "after", "connected; 1 gap of 211 quotes"),
        ),
    )


def _replay(line: int, days: int) -> ReplayCurve:
    points = [
        ReplayPoint(
            ping_interval=interval,
            pong_timeout=timeout,
            max_missed_pongs=missed,
            detection_mean=interval * missed - interval / 2 + timeout,
            detection_max=interval * missed + timeout,
            losses=9 + _false_losses(interval, timeout, missed),
            false_losses=_false_losses(interval, timeout, missed),
            is_recorded=(interval, timeout, missed) == (5, 3, 3),
            is_censored=timeout > 3 or missed > 3,
            is_suggested=line == 0 and (interval, timeout, missed) == (5, 4, 3),
        )
        for interval in (5.0, 10.0, 15.0)
        for timeout in (0.5, 1.0, 2.0, 3.0, 4.0)
        for missed in (1, 2, 3, 4)
    ]
    return ReplayCurve(line=line, observed=days * DAY, pings=483_840, points=tuple(points))


def _false_losses(interval: float, timeout: float, missed: int) -> int:
    return round(900 * math.exp(-1.1 * timeout - 1.15 * (missed - 1)) * 5 / interval)


def _day(line: int, day: int, rng: random.Random) -> Day:
    date = (datetime.fromtimestamp(BEGUN, ZoneInfo(ZONE)) + timedelta(days=day)).date().isoformat()
    if line == 2 and 9 <= day <= 11:
        return Day(line, date, None, 0.0, 0)
    bad = rng.choices((0.0, 3e-5, 4e-4, 0.004, 0.03, 0.2), (60, 15, 12, 7, 4, 2))[0]
    return Day(line, date, 1 - bad, DAY, 0 if not bad else 1 + int(bad * 40))


def _rtt(line: int, step: int, rng: random.Random) -> RttPoint:
    at = BEGUN + step * 10_800
    is_after = line == 1 and at > BEGUN + 17.3 * DAY
    median = (
        MEDIANS[line % 3] * (1.45 if is_after else 1) * (1 + 0.12 * math.sin(step / 8 * math.tau)) * rng.uniform(0.96, 1.05)
    )
    if line == 2 and 72 <= step < 96 and step != 80:
        return RttPoint(line, at, median, None, None, 3)
    spike = rng.choices((1.0, 3.0), (30, 1))[0]
    return RttPoint(line, at, median, median * 2.1 * spike, median * 5.3 * spike * rng.uniform(0.8, 1.3), 2160)


def _hour(line: int, weekday: int, hour: int, rng: random.Random) -> HourCell:
    if line == 2 and weekday == 6:
        return HourCell(line, weekday, hour, None, None, 0)
    slow = (1.31 if hour == 15 else 1.12 if hour in (14, 16) else 1.0) if weekday < 5 else 0.9
    median = MEDIANS[line % 3] * slow * rng.uniform(0.97, 1.03)
    return HourCell(line, weekday, hour, median, 0.987 if (hour, weekday) == (15, 2) else 0.9995, 2880)
