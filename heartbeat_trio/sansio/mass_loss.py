"""When the losses of single connections are one loss of many: their return must then be spread. Pure."""

from __future__ import annotations

WINDOW = 1.0
"""Seconds within which the connections drop."""

SHARE = 0.5
"""Part of a venue's connections that makes a mass."""

LEAST = 2
"""Connections that make a mass at least: one of one is none."""


class MassLossWatch:
    """Watches the connections of one venue. They are told apart by any hashable key."""

    def __init__(self) -> None:
        self._up: dict[object, None] = {}
        self._lost: dict[object, float] = {}
        self._known: dict[object, None] = {}

    def connected(self, key: object) -> None:
        """A connection stands."""
        self._up[key] = None

    def lost(self, key: object, now: float) -> list[object]:
        """An established connection was lost.

        Returns:
            All that are part of a mass loss by now, and were not told before; this one may be among them.
        """
        self._up.pop(key, None)
        for old in [each for each, at in self._lost.items() if now - at > WINDOW]:
            self._forget(old)
        self._known.pop(key, None)
        self._lost[key] = now
        if len(self._lost) < max(LEAST, SHARE * len(self._up | self._lost)):
            return []
        found = [each for each in self._lost if each not in self._known]
        self._known.update(dict.fromkeys(found))
        return found

    def gone(self, key: object) -> None:
        """A connection was closed by its owner, for good."""
        self._up.pop(key, None)
        self._forget(key)

    @property
    def connections(self) -> int:
        """How many stand."""
        return len(self._up)

    def _forget(self, key: object) -> None:
        self._lost.pop(key, None)
        self._known.pop(key, None)
