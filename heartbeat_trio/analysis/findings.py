"""What an analysis says: a report of frozen records, the same for people, for JSON and for the page.

Fields named ``..._at`` are Unix seconds (ISO 8601 in JSON); all durations are seconds; shares and effects are fractions:
0.3 is 30 %. ``line`` is an index into `Report.lines`; None: all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from .tables import Sources

SCHEMA = 1

Confidence = Literal["low", "medium", "high"]
Kind = Literal["hour", "weekday", "step", "drift", "period", "idle_kill", "slower", "venue_wide", "local"]
Unit = Literal["seconds", "fraction", "per_day"]


class Estimate(msgspec.Struct, frozen=True):
    """A figure with its 95 % interval and how many observations stand behind it; None: not enough to say."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


class Percentile(msgspec.Struct, frozen=True):
    """The ``q``-quantile of the round-trip time. A miss counts as at least its timeout: ``is_bound`` then."""

    q: float
    rtt: Estimate
    is_bound: bool = False


class LossCount(msgspec.Struct, frozen=True):
    """How often connections were lost for a cause (`exceptions.LossCause`) and by whose fault (`events.Cause`)."""

    cause: str
    blame: str | None
    count: int


class LineReport(msgspec.Struct, frozen=True, kw_only=True):
    """How stable one line was; or all of them together.

    Args:
        client: Whose; "" for all.
        endpoint: To what; "" for all.
        sessions: How many sessions.
        begun_at: First record.
        ended_at: Last record.
        observed: Seconds that sessions lasted, without `ours`.
        ours: Seconds in which our own program or clock was at fault: in no other figure.
        connected: Seconds of `observed` with a connection that lived.
        availability: connected / observed, with an interval over days.
        losses: Losses of established connections that the owner did not end, by cause.
        failed_connects: Attempts that failed.
        mtbf: Seconds connected per loss, with the Poisson interval; a bound where there was none.
        mttr: Mean seconds from a loss's last sign of life to the next connection. Outages whose end was not seen count
            with their time; a bound where none was.
        detection: Median seconds from the last sign of life to the verdict.
        recovery: Median seconds from the verdict to the next connection.
        pings: All that were sent.
        success: Pings answered in time, of those decided, with the Wilson interval.
        rtt: Percentiles on the wire.
        gaps: Announced gaps of quotes.
        stalls: Local stalls.
    """

    client: str
    endpoint: str
    sessions: int
    begun_at: float
    ended_at: float
    observed: float
    ours: float
    connected: float
    availability: Estimate
    losses: tuple[LossCount, ...]
    failed_connects: int
    mtbf: Estimate
    mttr: Estimate
    detection: Estimate
    recovery: Estimate
    pings: int
    success: Estimate
    rtt: tuple[Percentile, ...]
    gaps: int
    stalls: int


class Moment(msgspec.Struct, frozen=True):
    """One line of an incident's timeline; ``offset`` is seconds from the incident's beginning."""

    at: float
    offset: float
    phase: Literal["before", "during", "after"]
    text: str


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch in which a line was not usable, or our own program did not run.

    Args:
        line: Which line.
        begun_at: The last sign of life before it.
        ended_at: The next connection or pong; None: it had not ended.
        duration: Seconds, by the program's own clock.
        cause: `exceptions.LossCause`, or `local_stall`, `degraded`.
        blame: Whose fault (`events.Cause`), where known.
        detail: In words.
        detected_after: Seconds until the verdict.
        losses: Losses in it, failed attempts included.
        others: Indexes of lines that had an incident at the same time.
        timeline: Before, during and after.
    """

    line: int
    begun_at: float
    ended_at: float | None
    duration: float
    cause: str
    blame: str | None
    detail: str
    detected_after: float | None
    losses: int
    others: tuple[int, ...] = ()
    timeline: tuple[Moment, ...] = ()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern that chance does not explain.

    Args:
        kind: Which. ``details`` holds, by kind: `hour` and `weekday`: ``numbers`` (hours 0..23, or days 0 Monday..6),
            ``zone``; `step`: ``moment_at``, ``before``, ``after`` (seconds); `drift`: ``per_day`` (a fraction);
            `period`: ``period`` (seconds between losses, or a connection's age), ``is_age``; `idle_kill`: ``survived``
            and ``killed`` (the longest idle time that a connection survived, the shortest that killed one);
            `slower`: ``than`` (a line); `venue_wide` and `local`: ``incidents``, ``lines``; `local` also
            ``cause`` `way_out` where lines were lost at once, and no stall of the program was told.
        metric: Of what: `rtt`, `misses` or `losses`.
        line: Which line.
        claim: One sentence.
        effect: Its size, in its `unit`: a fraction of what is normal there, but for `period` and `idle_kill`.
        n: Observations behind it: days, weeks, cells or losses, as the claim says.
        p: By chance alone.
        p_adjusted: ... considering all that was looked for (Benjamini and Hochberg, 1995).
        begun_at: Of the evidence.
        ended_at: Of the evidence.
        halves_agree: Whether both halves of the data say the same by themselves.
        details: See `kind`.
    """

    kind: Kind
    metric: Literal["rtt", "misses", "losses"]
    line: int | None
    claim: str
    effect: Estimate
    n: int
    p: float
    p_adjusted: float
    begun_at: float
    ended_at: float
    halves_agree: bool
    details: Mapping[str, object]

    @property
    def unit(self) -> Unit:
        """What `effect` counts."""
        return "seconds" if self.kind in ("period", "idle_kill") else "fraction"


class NotEnough(msgspec.Struct, frozen=True):
    """What could not be looked for yet: ``have`` of ``need`` ``unit`` (such as days)."""

    kind: Kind
    line: int | None
    have: int
    need: int
    unit: str


class ReplayPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a heartbeat policy would have done with the recorded pings, by `sansio.heartbeat` itself.

    Args:
        ping_interval: Of the policy.
        pong_timeout: Of the policy.
        max_missed_pongs: Of the policy.
        detection_mean: Seconds from a peer's last byte to the verdict, on average over when it dies.
        detection_max: ... at most.
        losses: Verdicts in all.
        false_losses: Those after which the same connection still showed life.
        is_recorded: Whether it is the policy that ran.
        is_censored: Whether `losses` are a bound only, since the recording does not show what this policy would have seen.
        is_suggested: Whether it is the one suggested.
    """

    ping_interval: float
    pong_timeout: float
    max_missed_pongs: int
    detection_mean: float
    detection_max: float
    losses: int
    false_losses: int
    is_recorded: bool = False
    is_censored: bool = False
    is_suggested: bool = False


class ReplayCurve(msgspec.Struct, frozen=True, kw_only=True):
    """Detection time against false losses for one line. ``observed`` is seconds of connections; ``pings`` how many."""

    line: int
    observed: float
    pings: int
    points: tuple[ReplayPoint, ...]


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """Something to change.

    Args:
        id: Stable for the same advice about the same line, such as ``pong-timeout-1``.
        line: About which line.
        lines: About which lines, where it is several and `line` is None.
        claim: Why, one sentence.
        effect: The size of what it mends, ...
        unit: ... in `seconds`, as a `fraction` of what is normal or of the whole, or as times `per_day`.
        n: Observations behind it.
        p_adjusted: By chance alone, of all that was looked for; None where it is a count and no test.
        begun_at: Of the evidence.
        ended_at: Of the evidence.
        confidence: `high` needs p at most 0.01, an effect whose interval excludes less than 10 %, and both halves to agree;
            of a count, 30 of them; of a replay, 14 days.
        change: Exactly what to write, such as ``ping_interval = 45``.
        gain: What it would bring.
        against: What speaks against it.
        is_censored: Whether the gain is a bound.
    """

    id: str
    line: int | None
    claim: str
    effect: Estimate
    unit: Unit
    n: int
    p_adjusted: float | None
    begun_at: float
    ended_at: float
    confidence: Confidence
    change: str
    gain: str
    against: str
    is_censored: bool = False
    lines: tuple[int, ...] = ()


class Day(msgspec.Struct, frozen=True):
    """One line's day, by the report's zone. ``availability`` is None where nothing was observed."""

    line: int
    date: str
    availability: float | None
    observed: float
    losses: int


class RttPoint(msgspec.Struct, frozen=True):
    """Round trips of one line from ``begun_at`` on, for the length that `Report.rtt_step` says."""

    line: int
    begun_at: float
    p50: float
    p95: float | None
    p99: float | None
    n: int


class HourCell(msgspec.Struct, frozen=True):
    """One hour of one weekday (0: Monday) in the report's zone: the median, success and how many pings."""

    line: int
    weekday: int
    hour: int
    p50: float | None
    success: float | None
    n: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that an analysis says."""

    schema: int = SCHEMA
    made_at: float
    version: str
    zone: str
    sources: Sources
    overall: LineReport | None
    lines: tuple[LineReport, ...]
    advice: tuple[Recommendation, ...]
    findings: tuple[Finding, ...]
    not_enough: tuple[NotEnough, ...]
    incidents: tuple[Incident, ...]
    replays: tuple[ReplayCurve, ...]
    days: tuple[Day, ...]
    rtt: tuple[RttPoint, ...]
    rtt_step: float
    hours: tuple[HourCell, ...]
    notes: tuple[str, ...] = ()
