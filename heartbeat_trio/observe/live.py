"""The live view: one table, drawn by the output's thread. rich is imported here and nowhere else."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..events import ConnectionState, SessionStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..session import Session

BARS = "▁▂▃▄▅▆▇█"
SAMPLES = 8
"""Round trips in a sparkline."""
RECENT = 8
"""Lines of what happened last."""


class Row:
    """One session's line of the table, and what it remembers between two drawings."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.rtts: deque[float] = deque(maxlen=SAMPLES)
        self.quotes = 0
        self._counted = 0
        self._counted_at = 0.0
        self.rate = 0.0

    def measure(self, now: float) -> None:
        """Update the quotes per second; `now` is Trio time."""
        if now - self._counted_at >= 1:
            self.rate = (self.quotes - self._counted) / (now - self._counted_at)
            self._counted, self._counted_at = self.quotes, now

    def cells(self) -> list[str | Text]:
        """The cells, from left to right."""
        session = self.session
        quality = session.quality()
        return [
            str(session.endpoint),
            _state(session),
            _ms(session.rtt),
            " ".join(_ms(value) for value in (quality.p50, quality.p95, quality.p99)),
            _ms(quality.local_p99),
            sparkline(self.rtts),
            str(session.missed_pongs),
            f"{quality.success_rate:.1%}" if quality.decided else "-",
            f"{self.rate:.0f}",
        ]

    def verdict(self) -> Text:
        """Whether it may be traded on, and why not."""
        verdict = self.session.is_suitable_for_trading()
        name = str(self.session.endpoint)
        if verdict:
            return Text(f"{name}: suitable for trading", "green")
        return Text(f"{name}: not suitable for trading: {'; '.join(verdict.reasons)}", "yellow")


def sparkline(values: Iterable[float]) -> str:
    """Values as bars, from the smallest to the largest of them."""
    listed = list(values)
    if not listed:
        return ""
    low, high = min(listed), max(listed)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in listed)


def draw(rows: Sequence[Row], recent: Iterable[str]) -> Group:
    """The whole view."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("endpoint", overflow="fold")
    for title in ("state", "RTT ms", "p50 p95 p99", "own p99", "trend", "miss", "ok", "q/s"):
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*row.cells())
    return Group(table, *(row.verdict() for row in rows), *(Text(line, "dim") for line in recent))


class LiveView:
    """A sink for `Output` that shows a table above the last lines.

    `refresh` makes the next frame in Trio's thread, since sessions live there; the output's thread draws it.
    """

    def __init__(self, rows: Sequence[Row], console: Console | None = None) -> None:
        self._rows = rows
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._frame = draw(rows, ())
        self._live = Live(self._frame, console=console or Console(), auto_refresh=False, transient=False)
        self._live.start()

    def write(self, text: str) -> None:
        """Add a line of what happened; an empty one only redraws."""
        if text.strip():
            self._recent.append(text.rstrip("\n"))

    def flush(self) -> None:
        """Draw."""
        self._live.update(self._frame, refresh=True)

    def refresh(self, now: float) -> None:
        """Make the next frame."""
        for row in self._rows:
            row.measure(now)
        self._frame = draw(self._rows, tuple(self._recent))

    def stop(self) -> None:
        """Leave the last frame standing."""
        self._live.stop()


def _state(session: Session) -> Text:
    if session.status is not SessionStatus.CONNECTED:
        if session.status is SessionStatus.RECONNECTING:
            return Text(f"RETRY #{session.attempt}", "red")
        return Text(session.status.value, "red")
    if session.state is ConnectionState.DEGRADED:
        return Text(f"DEGRADED {session.missed_pongs}", "yellow")
    if session.is_suspect:
        return Text("SUSPECT", "yellow")
    return Text("CONNECTED", "green")


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f}"
