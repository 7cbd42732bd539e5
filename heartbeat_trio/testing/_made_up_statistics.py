"""The `statistics` that a made-up session writes each minute."""

from __future__ import annotations

from collections import Counter
from math import floor
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..sansio.quality import WINDOW

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._made_up_session import MadeUpSession

    Floats = npt.NDArray[np.float64]

COUNTED = {"answered": "a", "late": "l", "missed": "m", "voided": "v", "cancelled": "c"}
PLACES = {"p50": 50, "p95": 95, "p99": 99}


class Statistics:
    """One session's figures, minute by minute. Percentiles are of the connection's last 100 samples.

    Args:
        session: Whose.
        shift: What its monotonic clock was ahead of the seconds since the journal's start.
        begun_at: The journal's start.
    """

    def __init__(self, session: MadeUpSession, shift: float, begun_at: float) -> None:
        self._session = session
        self._shift, self._begun_at = shift, begun_at
        self.counts: Counter[str] = Counter()
        """What became of its pings by the last minute told; ``sent`` among them."""
        self._samples: Floats = np.empty(0)
        self._sampled_at: Floats = np.empty(0)
        self._connected: list[float] = []

    def lines(self, minutes: Floats) -> list[str]:
        """The records of these times, which follow those of the last call."""
        if not len(minutes):
            return []
        columns = self._count(minutes)
        windows = self._windows(minutes)
        moments = np.datetime64(0, "us") + ((self._begun_at + minutes) * 1e6).round().astype("timedelta64[us]")
        decided = columns["answered"] + columns["late"] + columns["missed"]
        rates = np.round(columns["answered"] / np.maximum(decided, 1), 6)
        lines = []
        for index, (moment, at) in enumerate(zip(np.datetime_as_string(moments, unit="us").tolist(), minutes, strict=True)):
            head = f'"at":"{moment}Z","t":{round(float(at) + self._shift, 6)}'
            counts = ",".join(f'"{name}":{column[index]}' for name, column in columns.items())
            rate = rates[index] if decided[index] else "null"
            lines.append(f'{{"event":"statistics",{head},{self._names},{counts},"success_rate":{rate},{windows[index]}}}')
        return lines

    @property
    def _names(self) -> str:
        head = self._session.head("", 0.0)
        return f'"session":{_json(head["session"])},"endpoint":{_json(head["endpoint"])}'

    def _count(self, minutes: Floats) -> dict[str, npt.NDArray[np.int64]]:
        """Counts by the end of each minute; what came later is left for the next time."""
        figures, last = self._session.figures, minutes[-1]
        sent, at = _joined(figures.sent), _joined(figures.at)
        fate = np.concatenate([*figures.fate, np.empty(0, "U1")])
        sample = _joined(figures.sample)
        order = np.argsort(at, kind="stable")
        at, fate, sample = at[order], fate[order], sample[order]
        columns = {"sent": self.counts["sent"] + np.searchsorted(np.sort(sent), minutes, side="right")}
        for name, letter in COUNTED.items():
            columns[name] = self.counts[name] + np.searchsorted(at[fate == letter], minutes, side="right")
        self.counts = Counter({name: int(column[-1]) for name, column in columns.items()})
        columns["missed"] = columns["missed"] - columns["late"]
        columns["in_flight"] = columns["sent"] - sum(columns[name] for name in COUNTED)
        columns["unknown_pongs"] = np.zeros(len(minutes), dtype=np.int64)
        figures.sent[:], figures.at[:] = [sent[sent > last]], [at[at > last]]
        figures.fate[:], figures.sample[:] = [fate[at > last]], [sample[at > last]]
        is_sample = (at <= last) & ~np.isnan(sample) & (fate != "l")
        self._samples = np.concatenate([self._samples[-WINDOW:], sample[is_sample]])
        self._sampled_at = np.concatenate([self._sampled_at[-WINDOW:], at[is_sample]])
        return columns

    def _windows(self, minutes: Floats) -> list[str]:
        """What is said of the last samples of each minute's connection."""
        connected = [*self._connected[-1:], *self._session.figures.connected]
        self._connected, self._session.figures.connected[:] = connected, []
        begins = np.array([-np.inf, *connected])
        begun = begins[np.searchsorted(begins, minutes, side="right") - 1]
        ends = np.searchsorted(self._sampled_at, minutes, side="right")
        starts = np.maximum(np.searchsorted(self._sampled_at, begun, side="left"), ends - WINDOW)
        full = np.flatnonzero(ends - starts == WINDOW)
        found: dict[int, Floats] = {}
        if len(full):
            views = np.lib.stride_tricks.sliding_window_view(self._samples, WINDOW)
            found = dict(zip(full.tolist(), np.sort(views[starts[full]], axis=1), strict=True))
        pairs = enumerate(zip(starts.tolist(), ends.tolist(), strict=True))
        return [_described(found[i] if i in found else np.sort(self._samples[start:end])) for i, (start, end) in pairs]


def _described(window: Floats) -> str:
    """Figures of sorted samples, and of our own delays, which were small."""
    size = len(window)
    values: dict[str, Any] = dict.fromkeys(("avg", *PLACES, "min", "max"))
    if size:
        places = {name: window[floor(place / 100 * (size - 1) + 0.5)] for name, place in PLACES.items()}
        values |= {"avg": window.mean()} | places | {"min": window[0], "max": window[-1]}
    told = ",".join(
        f'"{name}_ms":{"null" if value is None else round(1000 * float(value), 3)}' for name, value in values.items()
    )
    own = (
        '"local_p50_ms":0.08,"local_p99_ms":0.21,"local_max_ms":0.3'
        if size
        else '"local_p50_ms":null,"local_p99_ms":null,"local_max_ms":null'
    )
    return f'{told},"n":{size},"inexact":0,{own},"local_n":{size}'


def _joined(parts: list[Floats]) -> Floats:
    return np.concatenate([*parts, np.empty(0)])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
