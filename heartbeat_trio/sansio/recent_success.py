"""The success rate of late."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .quality import WARM_UP, WINDOW

if TYPE_CHECKING:
    from ..events import QualitySnapshot


class RecentSuccess:
    """The success rate of the last 100 decided pings: that of a long session hardly moves when everything fails."""

    def __init__(self) -> None:
        self._totals: deque[tuple[int, int]] = deque([(0, 0)])

    def receive(self, snapshot: QualitySnapshot) -> float | None:
        """The rate, 0..1; None before 20 pings were decided."""
        decided = snapshot.decided
        if decided > self._totals[-1][1]:
            self._totals.append((snapshot.answered, decided))
        while len(self._totals) > 2 and self._totals[1][1] <= decided - WINDOW:
            self._totals.popleft()
        answered_before, decided_before = self._totals[0]
        if decided < WARM_UP:
            return None
        return (snapshot.answered - answered_before) / (decided - decided_before)
