"""How good a connection is: counts, latencies, verdicts with reasons, and the report for people.

Latencies are those of the wire. A round trip that is only known as an upper bound, because other data came with its pong, is
counted and left out; what our own program adds between the kernel's receipt and ours is kept apart. A missed pong enters the
latencies as at least `pong_timeout`, until a late pong tells its true time: leaving it out would make an outage look fast.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from ..events import Event, HighLatency, QualitySnapshot
from .detector import DetectorRecord
from .pings import REMEMBERED
from .rtt import LatencyStats
from .windows import MinuteCells, Minutes, Outcome, WindowSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW = 100
"""Decided pings that a verdict looks at."""
WARM_UP = 20
"""Decided pings that a verdict needs."""
HIGH_LATENCY, LOW_LATENCY = 0.100, 0.080
"""Seconds of p95 above which `HighLatency` is told, and below which it is armed again."""
TRADING_P99, TRADING_SUCCESS = 0.100, 0.99
RECONNECT_MISSED, RECONNECT_SUCCESS, RECONNECT_P99 = 3, 0.90, 1.0


class Verdict(msgspec.Struct, frozen=True):
    """Yes or no, with reasons. It is true or false as itself: ``if not session.is_suitable_for_trading(): ...``.

    Args:
        ok: The verdict.
        reasons: For people, with numbers.
        codes: For programs, one per reason: `disconnected`, `warming_up`, `p99`, `success_rate`, `missed_pongs`,
            `stale_data`.
    """

    ok: bool
    reasons: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.ok


class ConnectionQuality:
    """Counts over a session, and verdicts over the current connection's last 100 decided pings.

    Args:
        pong_timeout: Seconds that a missed pong took at least.
        window: Decided pings that verdicts and percentiles look at.
    """

    def __init__(self, *, pong_timeout: float, window: int = WINDOW) -> None:
        self._pong_timeout = pong_timeout
        self._size = window
        self._counts: Counter[str] = Counter()
        self._cells: MinuteCells | None = None
        self._missed_at: list[float] = []
        self._data_at: float | None = None
        self._has_high_latency = False
        self.detector = DetectorRecord()
        """How good the failure detector has been."""
        self.missed_pongs = 0
        """Misses since the last pong."""
        self._begin()

    def start_connection(self, now: float) -> None:  # noqa: ARG002 - each fact is told with its time
        """A new connection stands: verdicts begin anew, and old data proves nothing about it."""
        self._begin()
        self._data_at = None

    def end_connection(self, now: float) -> None:
        """The connection is gone; its figures stay until the next one stands."""

    def record_ping(self, now: float) -> None:  # noqa: ARG002 - each fact is told with its time
        """A ping was due."""
        self._counts["sent"] += 1

    def record_pong(
        self, rtt: float | None, now: float, *, is_exact: bool | None = None, local: float | None = None
    ) -> list[Event]:
        """A ping was answered in time.

        Args:
            rtt: Seconds on the wire, where known.
            now: Trio time.
            is_exact: False if `rtt` is only an upper bound: it is no sample then.
            local: Seconds from the kernel's receipt to ours, where known.
        """
        if is_exact is False:
            self._counts["inexact"] += 1
            rtt = None
        self._add_local(local)
        self._decide("answered", rtt, now)
        self.missed_pongs = 0
        return self._watch_latency(now)

    def record_missed_pong(self, now: float) -> list[Event]:
        """A ping's deadline passed."""
        self._decide("missed", self._pong_timeout, now)
        self._missed_at.append(now)
        del self._missed_at[:-REMEMBERED]
        self.missed_pongs += 1
        return self._watch_latency(now)

    def record_late_pong(self, rtt: float | None, now: float, *, is_exact: bool | None = None) -> list[Event]:
        """The pong of the oldest missed ping came, after `rtt` seconds where that is known and no mere upper bound."""
        if is_exact is False:
            self._counts["inexact"] += 1
            rtt = None
        self.missed_pongs = 0
        self._counts["missed"] -= 1
        self._counts["late"] += 1
        missed_at = self._missed_at.pop(0) if self._missed_at else now
        if self._cells is not None:
            self._cells.make_late(missed_at, self._pong_timeout, rtt)
        if rtt is not None:
            self._stats.replace(self._pong_timeout, rtt)
        return []

    def record_voided(self, now: float, *, is_answered: bool, local: float | None = None) -> list[Event]:
        """The delay was ours: `local` seconds from the kernel's receipt to ours, where a pong came and that is known."""
        self._add_local(local)
        self._count("voided", now)
        if is_answered:
            self.missed_pongs = 0
        return []

    def record_cancelled(self, now: float) -> list[Event]:
        """A ping was in flight when the connection ended."""
        self._count("cancelled", now)
        return []

    def record_unknown_pong(self, now: float) -> list[Event]:  # noqa: ARG002 - each fact is told with its time
        """A pong matched no ping."""
        self._counts["unknown"] += 1
        return []

    def record_data(self, now: float) -> list[Event]:
        """Data came."""
        self._data_at = now
        return []

    def snapshot(self, now: float) -> QualitySnapshot:  # noqa: ARG002 - all questions are asked with the time
        """Everything at once, frozen."""
        counts, stats = self._counts, self._stats
        decided = self._decided()
        closed = decided + counts["voided"] + counts["cancelled"]
        return QualitySnapshot(
            sent=counts["sent"],
            answered=counts["answered"],
            late=counts["late"],
            missed=counts["missed"],
            voided=counts["voided"],
            cancelled=counts["cancelled"],
            in_flight=counts["sent"] - closed,
            unknown_pongs=counts["unknown"],
            success_rate=counts["answered"] / decided if decided else 1.0,
            average=stats.average(),
            p50=stats.percentile(50),
            p95=stats.percentile(95),
            p99=stats.percentile(99),
            minimum=stats.minimum(),
            maximum=stats.maximum(),
            jitter=stats.jitter(),
            n=len(stats),
            inexact=counts["inexact"],
            local_p50=self._local.percentile(50),
            local_p99=self._local.percentile(99),
            local_maximum=self._local.maximum(),
            local_n=len(self._local),
        )

    def window(self, minutes: Minutes, now: float) -> WindowSnapshot:
        """The last 1, 5 or 60 minutes. Counting begins with the first call."""
        self._cells = self._cells or MinuteCells()
        return self._cells.snapshot(minutes, now)

    def should_reconnect(self, now: float) -> Verdict:  # noqa: ARG002 - all questions are asked with the time
        """Whether another connection may be better: yes, with reasons. It is advice; nothing acts on it."""
        p99, success = self._stats.percentile(99), self._success_rate()
        is_warm = len(self._outcomes) >= WARM_UP
        found = [
            ("missed_pongs", f"{self.missed_pongs} pongs missed in a row", self.missed_pongs >= RECONNECT_MISSED),
            ("success_rate", f"success rate {success:.1%} is below 90 %", is_warm and success < RECONNECT_SUCCESS),
            ("p99", f"p99 {_ms(p99)} is above 1000 ms", is_warm and p99 is not None and p99 > RECONNECT_P99),
        ]
        reasons = [(code, reason) for code, reason, holds in found if holds]
        return _verdict(bool(reasons), reasons)

    def is_suitable_for_trading(
        self,
        now: float,
        *,
        is_connected: bool,
        has_subscriptions: bool,
        max_data_age: float = 10.0,
        margin: float = 0.0,
    ) -> Verdict:
        """Whether the feed may be traded on: no, with reasons, or yes.

        Args:
            now: Trio time.
            is_connected: Whether a connection stands.
            has_subscriptions: Whether data is expected at all.
            max_data_age: Seconds that the newest data may be old.
            margin: Part of each limit by which it must be kept better, 0 to below 1: for whoever wants hysteresis.
        """
        p99, success, decided = self._stats.percentile(99), self._success_rate(), len(self._outcomes)
        p99_limit, max_data_age = TRADING_P99 * (1 - margin), max_data_age * (1 - margin)
        success_limit = 1 - (1 - TRADING_SUCCESS) * (1 - margin)
        age = None if self._data_at is None else now - self._data_at
        is_stale = has_subscriptions and (age is None or age >= max_data_age)
        found = [
            ("disconnected", "not connected", not is_connected),
            ("warming_up", f"warming up: {decided} of {WARM_UP} pings decided", decided < WARM_UP),
            ("p99", f"p99 {_ms(p99)} is not below {1000 * p99_limit:.0f} ms", p99 is not None and p99 >= p99_limit),
            (
                "success_rate",
                f"success rate {success:.1%} is not above {100 * success_limit:.4g} %",
                success <= success_limit,
            ),
            ("missed_pongs", f"{self.missed_pongs} pongs missed", self.missed_pongs > 0),
            ("stale_data", "no data yet" if age is None else f"no data for {age:.1f} s", is_stale),
        ]
        reasons = [(code, reason) for code, reason, fails in found if fails]
        return _verdict(not reasons, reasons)

    @property
    def data_at(self) -> float | None:
        """When data came last on this connection; None: never."""
        return self._data_at

    def report(self) -> str:
        """The statistics for people: seven lines, latencies over the verdict window; "-" is what nothing is known of."""
        stats = self._stats
        decided = self._decided()
        success = f"{100 * self._counts['answered'] / decided:.1f}%" if decided else "-"
        average = stats.average()
        if average is None:
            unknown = "".join(f"\n• Latency {what}: -" for what in ("avg", "p50", "p99", "min/max"))
            return f"📊 Connection Statistics:\n• Success rate: {success}\n• Missed pongs: {self.missed_pongs}{unknown}"
        return (
            "📊 Connection Statistics:\n"
            f"• Success rate: {success}\n"
            f"• Missed pongs: {self.missed_pongs}\n"
            f"• Latency avg: {1000 * average:.2f}ms\n"
            f"• Latency p50: {_whole_ms(stats.percentile(50))}ms\n"
            f"• Latency p99: {_whole_ms(stats.percentile(99))}ms\n"
            f"• Latency min/max: {_whole_ms(stats.minimum())}/{_whole_ms(stats.maximum())}ms"
        )

    def _begin(self) -> None:
        self._stats = LatencyStats(self._size)
        self._local = LatencyStats(self._size)
        self._outcomes = bytearray()
        self._missed_at.clear()
        self._has_high_latency = False
        self.missed_pongs = 0

    def _add_local(self, local: float | None) -> None:
        if local is not None:
            self._local.add(local)

    def _decide(self, outcome: Outcome, sample: float | None, now: float) -> None:
        self._count(outcome, now, sample)
        self._outcomes.append(outcome == "answered")
        del self._outcomes[: -self._size]
        if sample is not None:
            self._stats.add(sample)

    def _count(self, outcome: Outcome, now: float, sample: float | None = None) -> None:
        self._counts[outcome] += 1
        if self._cells is not None:
            self._cells.record(outcome, now, sample)

    def _decided(self) -> int:
        return self._counts["answered"] + self._counts["late"] + self._counts["missed"]

    def _success_rate(self) -> float:
        return sum(self._outcomes) / len(self._outcomes) if self._outcomes else 1.0

    def _watch_latency(self, now: float) -> list[Event]:
        p95 = self._stats.percentile(95)
        if p95 is None:
            return []
        if self._has_high_latency:
            self._has_high_latency = p95 >= LOW_LATENCY
        elif p95 > HIGH_LATENCY:
            self._has_high_latency = True
            return [HighLatency(at=now, p95=p95)]
        return []


def _verdict(ok: bool, reasons: Iterable[tuple[str, str]]) -> Verdict:
    listed = list(reasons)
    return Verdict(ok, tuple(reason for _, reason in listed), tuple(code for code, _ in listed))


def _ms(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{1000 * seconds:.1f} ms"


def _whole_ms(seconds: float | None) -> str:
    """Milliseconds as in the report: whole ones, with two decimals only where they would say too little."""
    milliseconds = 1000 * (seconds or 0.0)
    is_whole = abs(milliseconds - round(milliseconds)) < 1e-6
    return f"{milliseconds:.0f}" if milliseconds >= 10 or is_whole else f"{milliseconds:.2f}"
