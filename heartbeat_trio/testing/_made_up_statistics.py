"""The `statistics` that a made-up session writes each minute."""

from __future__ import annotations

from collections import Counter
from math import floor
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ..journal.records import FATES
from ..sansio.quality import WINDOW

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from ._made_up_session import MadeUpSession

    Floats = npt.NDArray[np.float64]

COUNTED = ("answered", "late", "missed", "voided", "cancelled")
PLACES = (50, 95, 99)
LATENCIES = ("avg", "p50", "p95", "p99", "min", "max")
OWN = {"p50": "0.08", "p99": "0.21", "max": "0.3"}
"""Milliseconds from the kernel's receipt to ours: the same always."""


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
        names = ",".join(f'"{name}":%d' for name in columns)
        row = f'{{"event":"statistics","at":"%sZ","t":%s,{self._names()},{names},"success_rate":%s,%s}}'
        told = [
            np.datetime_as_string(moments, unit="us").tolist(),
            np.round(minutes + self._shift, 6).tolist(),
            *(column.tolist() for column in columns.values()),
            [rate if count else "null" for rate, count in zip(rates.tolist(), decided.tolist(), strict=True)],
            windows,
        ]
        return list(map(row.__mod__, zip(*told, strict=True)))

    def _names(self) -> str:
        """The session and its endpoint, as they stand in each line."""
        head = self._session.head("", 0.0)
        return f'"session":{_json(head["session"])},"endpoint":{_json(head["endpoint"])}'.replace("%", "%%")

    def _count(self, minutes: Floats) -> dict[str, npt.NDArray[np.int64]]:
        """Counts by the end of each minute; what came later is left for the next time."""
        figures, last = self._session.figures, minutes[-1]
        sent, at = _joined(figures.sent), _joined(figures.at)
        fate = np.concatenate([*figures.fate, np.empty(0, "U1")])
        sample = _joined(figures.sample)
        order = np.argsort(at, kind="stable")
        at, fate, sample = at[order], fate[order], sample[order]
        columns = {"sent": self.counts["sent"] + np.searchsorted(np.sort(sent), minutes, side="right")}
        for name in COUNTED:
            columns[name] = self.counts[name] + np.searchsorted(at[fate == FATES[name]], minutes, side="right")
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
        found = [""] * len(minutes)
        for size in np.unique(ends - starts).tolist():
            rows = np.flatnonzero(ends - starts == size)
            for index, text in zip(rows.tolist(), _described(self._samples, starts[rows], size), strict=True):
                found[index] = text
        return found


def _described(samples: Floats, starts: npt.NDArray[np.int64], size: int) -> list[str]:
    """What is said of windows of one size; our own delays were small."""
    if not size:
        return [_window(dict.fromkeys(LATENCIES, "null"), dict.fromkeys(OWN, "null"), 0)] * len(starts)
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(samples, size)[starts], axis=1)
    places = [windows[:, floor(place / 100 * (size - 1) + 0.5)] for place in PLACES]
    columns = [windows.mean(axis=1), *places, windows[:, 0], windows[:, -1]]
    row = _window(dict.fromkeys(LATENCIES, "%s"), OWN, size)
    return list(map(row.__mod__, zip(*(np.round(1000 * column, 3).tolist() for column in columns), strict=True)))


def _window(latencies: Mapping[str, str], own: Mapping[str, str], size: int) -> str:
    known = ",".join(f'"{name}_ms":{value}' for name, value in latencies.items())
    local = ",".join(f'"local_{name}_ms":{value}' for name, value in own.items())
    return f'{known},"n":{size},"inexact":0,{local},"local_n":{size}'


def _joined(parts: list[Floats]) -> Floats:
    return np.concatenate([*parts, np.empty(0)])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
