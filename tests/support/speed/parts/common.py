"""What the parts share: the peers by name, and rounds in which each has its turn."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..child import Outcome, run
from ..figures import Cell, Spread, Tell

OURS = "heartbeat_trio"
PEERS = {
    OURS: "peers.ours",
    "picows": "peers.picows",
    "aiohttp": "peers.aiohttp",
    "websockets.asyncio": "peers.websockets_asyncio",
    "websockets.trio": "peers.websockets_trio",
    "trio-websocket": "peers.trio_websocket",
}
ENOUGH = 75.0
"""Seconds after which no further round of one measurement begins."""

ADAPTIVE = f"{OURS}, adaptive"


class Scale(NamedTuple):
    """How much is measured.

    Args:
        rounds: Of each measurement.
        work: Part of the usual number of messages, connections, and seconds.
        peers: Which ones; None: all.
    """

    rounds: int = 5
    work: float = 1.0
    peers: frozenset[str] | None = None

    def number(self, usual: int, least: int) -> int:
        """So many messages or connections."""
        return max(least, int(usual * self.work))

    def seconds(self, usual: float, least: float) -> float:
        """So long."""
        return max(least, usual * self.work)

    def chosen(self, peers: dict[str, str]) -> dict[str, str]:
        """The peers that were asked for; what is ours always is."""
        return {name: each for name, each in peers.items() if self.peers is None or name in self.peers or OURS in name}


def functions(suffix: str) -> dict[str, str]:
    """Each peer's function of that name."""
    return {name: f"{module}:{suffix}" for name, module in PEERS.items()}


def in_time(rounds: int) -> Iterator[int]:
    """The numbers of the rounds, of which none begins late: on a slow machine there are fewer."""
    until = time.monotonic() + ENOUGH
    for number in range(1, rounds + 1):
        if number > 1 and time.monotonic() > until:
            return
        yield number


def in_turns(
    tell: Tell, what: str, targets: dict[str, tuple[str, dict[str, Any]]], *, rounds: int, limit: float
) -> dict[str, list[Outcome]]:
    """Each target once a round, so that all suffer alike from what else the machine does; none again after a failure."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in targets}
    for number in in_time(rounds):
        tell(f"{what}: round {number} of {rounds}")
        for name, (target, arguments) in targets.items():
            if all(each.problem is None for each in outcomes[name]):
                outcomes[name].append(run(target, arguments, limit=limit))
    return outcomes


def cell(outcomes: list[Outcome], key: str | None = None) -> Cell:
    """Their spread, or the word for what went wrong."""
    problems = [each.problem for each in outcomes if each.problem is not None]
    if problems or not outcomes:
        return problems[0] if problems else "not measured"
    return Spread(tuple(float(each.value if key is None else each.value[key]) for each in outcomes))
