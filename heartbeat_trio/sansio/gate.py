"""When the trading gate opens and closes: a verdict with dwell. It closes on the facts, and opens only on lasting ones."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..events import Event, GateChanged

if TYPE_CHECKING:
    from ..config import GatePolicy
    from .quality import Verdict

AT_ONCE = frozenset({"disconnected", "gap"})
"""Codes that close the gate without any dwell."""


class GateKeeper:
    """Decides about one gate, which is closed at first.

    `update` is called whenever something may have changed, and at `next_deadline`.

    Args:
        policy: Dwell and hysteresis.
    """

    def __init__(self, policy: GatePolicy) -> None:
        self._policy = policy
        self._good_since: float | None = None
        self._bad_since: float | None = None
        self._gaps: dict[str, str] = {}
        self.is_open = False
        self.reasons: tuple[str, ...] = ("nothing is known yet",)
        self.codes: tuple[str, ...] = ("warming_up",)

    def next_deadline(self) -> float:
        """When the dwell under way is over; `inf` without one."""
        if self._good_since is not None and not self.is_open:
            return self._good_since + self._policy.open_after
        if self._bad_since is not None and self.is_open:
            return self._bad_since + self._policy.close_after
        return inf

    def gap(self, symbol: str, text: str, now: float) -> list[Event]:
        """Quotes of a symbol are missing: closed until that is resolved."""
        self._gaps[symbol] = text
        self._good_since = None
        return self._close(now, (text,), ("gap",))

    def resolve(self, symbol: str) -> bool:
        """A symbol is whole again, or wanted no more; False if nothing of it was missing."""
        return self._gaps.pop(symbol, None) is not None

    def update(self, now: float, verdict: Verdict, strict: Verdict) -> list[Event]:
        """Look again.

        Args:
            now: Trio time.
            verdict: What keeps the gate open.
            strict: The same with the policy's margin: what opens it.
        """
        if self._gaps:
            return self._close(now, tuple(self._gaps.values()), ("gap",) * len(self._gaps))
        return self._watch_open(now, verdict) if self.is_open else self._watch_closed(now, strict)

    def _watch_open(self, now: float, verdict: Verdict) -> list[Event]:
        if verdict.ok:
            self._bad_since = None
            return []
        self._bad_since = now if self._bad_since is None else self._bad_since
        if now < self._bad_since + self._policy.close_after and not AT_ONCE.intersection(verdict.codes):
            return []
        return self._close(now, verdict.reasons, verdict.codes)

    def _watch_closed(self, now: float, strict: Verdict) -> list[Event]:
        if not strict.ok:
            self._good_since, self.reasons, self.codes = None, strict.reasons, strict.codes
            return []
        self._good_since = now if self._good_since is None else self._good_since
        if now < self._good_since + self._policy.open_after:  # as `next_deadline` rounds it
            self.reasons = (f"suitable for less than {self._policy.open_after:g} s",)
            self.codes = ("dwell",)
            return []
        self.is_open, self._good_since, self._bad_since = True, None, None
        self.reasons = self.codes = ()
        return [GateChanged(at=now, is_open=True)]

    def _close(self, now: float, reasons: tuple[str, ...], codes: tuple[str, ...]) -> list[Event]:
        was_open, self.is_open = self.is_open, False
        self._good_since = self._bad_since = None
        self.reasons, self.codes = reasons, codes
        return [GateChanged(at=now, is_open=False, reasons=reasons, codes=codes)] if was_open else []
