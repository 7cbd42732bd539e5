"""What happens right now to the packets and to the process of a virtual host, and how its tasks sleep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


class Alarm:
    """Tasks that sleep until a time which anybody may bring forward."""

    __slots__ = ("_scopes",)

    def __init__(self) -> None:
        self._scopes: list[trio.CancelScope] = []

    async def sleep_until(self, deadline: float) -> None:
        """Sleep until `deadline`, or until an earlier time that `ring` names meanwhile."""
        with trio.CancelScope(deadline=deadline) as scope:
            self._scopes.append(scope)
            try:
                await trio.sleep_forever()
            finally:
                self._scopes.remove(scope)

    def ring(self, at: float) -> None:
        """Wake everybody who sleeps now, no later than `at`."""
        for scope in self._scopes:
            scope.deadline = min(scope.deadline, at)


class Weather:
    """What all paths of a network share: one-way latency and jitter, in seconds."""

    __slots__ = ("jitter", "latency", "seed")

    def __init__(self, *, latency: float = 0.0, jitter: float = 0.0, seed: int | str = 0) -> None:
        self.latency = latency
        self.jitter = jitter
        self.seed = seed


class Condition:
    """What happens right now to the packets and to the process of one host.

    Attributes:
        weather: The network's latency and jitter.
        latency: One way, to and from this host, instead of the network's; None: the network's.
        loses_incoming: Packets to this host vanish.
        loses_outgoing: Packets from this host vanish.
        is_frozen: The process stands still, its kernel does not.
        read_rate: Bytes a second that its tasks read from one connection; None: as fast as they like.
        read_limit: Bytes that one read gets at most; None: as many as it asks for.
        merge_within: A chunk waits this long (seconds) for others to be glued to it.
        at_thaw: What the frozen process did, to be done when it runs again.
    """

    __slots__ = (
        "at_thaw",
        "is_frozen",
        "latency",
        "loses_incoming",
        "loses_outgoing",
        "merge_within",
        "read_limit",
        "read_rate",
        "weather",
    )

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.latency: float | None = None
        self.loses_incoming = False
        self.loses_outgoing = False
        self.is_frozen = False
        self.read_rate: float | None = None
        self.read_limit: int | None = None
        self.merge_within = 0.0
        self.at_thaw: list[Callable[[float], None]] = []


def latency_between(source: Condition, target: Condition) -> float:
    """Seconds one way: what a host of the two says (the larger, if both do), else the network's."""
    if source.latency is None:
        return source.weather.latency if target.latency is None else target.latency
    return source.latency if target.latency is None else max(source.latency, target.latency)


def is_cut(source: Condition, target: Condition) -> bool:
    """Whether packets from `source` to `target` vanish."""
    return source.loses_outgoing or target.loses_incoming
