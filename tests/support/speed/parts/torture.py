"""The parts that wait: detection, recovery, reconnect storm, and the heartbeat torture. All libraries at once, unpinned."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from ..child import Outcome, run_together
from ..figures import Cell, Spread, Table, Tell
from .common import ADAPTIVE, OURS, Scale, cell, functions, in_time

HUNG_AFTER = 12.0
"""Seconds in which a line must be left once it was cancelled."""


def _rounds(
    scale: Scale, tell: Tell, what: str, *, rounds: int, within: float, adaptive: bool = False, **arguments: Any
) -> dict[str, list[Outcome]]:
    """All at once, `rounds` times."""
    targets = scale.chosen(functions("scenario") | ({ADAPTIVE: "peers.ours:scenario_adaptive"} if adaptive else {}))
    outcomes: dict[str, list[Outcome]] = {name: [] for name in targets}
    for number in in_time(rounds):
        tell(f"{what.replace('_', ' ')}: round {number} of {rounds}")
        together = run_together(targets, {"what": what, **arguments}, limit=within)
        for name, outcome in together.items():
            outcomes[name].append(outcome)
    return outcomes


def _found(outcomes: list[Outcome], lines: int, limit: float) -> Cell:
    """The median of each round's median; words where lines were not found dead."""
    for outcome in outcomes:
        if outcome.problem is not None:
            return outcome.problem
        if len(outcome.value) < lines:
            return f"{lines - len(outcome.value)} of {lines} not within {limit:g} s"
    return Spread(tuple(median(outcome.value) for outcome in outcomes))


def detection(scale: Scale, tell: Tell) -> list[Table]:
    """How soon a frozen and an ended server is noticed."""
    lines, limit, warm = scale.number(10, 2), 8.0, scale.seconds(1.3, 0.2)
    found: dict[str, list[Cell]] = {}
    for how in ("stop", "kill"):
        outcomes = _rounds(
            scale,
            tell,
            "detect",
            rounds=scale.rounds,
            within=25,
            adaptive=True,
            how=how,
            lines=lines,
            limit=limit,
            warm=warm,
        )
        for name, each in outcomes.items():
            found.setdefault(name, []).append(_found(each, lines, limit))
    table = Table(
        "detection",
        "Detection: seconds until a server's end is noticed",
        ("library", "frozen server (SIGSTOP)", "ended server (SIGKILL)"),
        [(name, *cells) for name, cells in found.items()],
        digits=3,
        note="A ping every second, an answer within a second (aiohttp: heartbeat 2 s), one miss ends the line; close "
        "timeout 1 s, which websockets and trio-websocket wait for before they tell.",
    )
    return [table]


def recovery(scale: Scale, tell: Tell) -> list[Table]:
    """How soon the next server is found."""
    outcomes = _rounds(scale, tell, "recover", rounds=scale.rounds, within=40, down=0.5, limit=15.0)
    table = Table(
        "recovery",
        "Recovery: seconds from a new server's start, 0.5 s after the old one's end, to its first quote",
        ("library", "seconds"),
        [(name, cell(each)) for name, each in outcomes.items()],
        note="What this shows is each one's backoff with its jitter: neither hurries.",
    )
    return [table]


def storm(scale: Scale, tell: Tell) -> list[Table]:
    """Connects a second to a server that accepts and closes at once."""
    seconds = scale.seconds(5.0, 0.5)
    outcomes = _rounds(scale, tell, "storm", rounds=min(scale.rounds, 3), within=seconds + 25, seconds=seconds)
    table = Table(
        "storm",
        f"Reconnect storm: connects a second to a server that accepts, then closes with 1013, over {seconds:g} s",
        ("library", "connects/s"),
        [(name, cell(each)) for name, each in outcomes.items()],
    )
    return [table]


def torture(scale: Scale, tell: Tell) -> list[Table]:
    """What kills healthy lines, hides dead ones, and keeps a program from ending."""
    lines = scale.number(8, 2)
    cases: dict[str, tuple[dict[str, Any], Callable[[Outcome], Cell]]] = {
        "stall": (
            {
                "lines": lines,
                "stalls": 3 if scale.work >= 1 else 1,
                "length": scale.seconds(2.0, 0.6),
                "pause": scale.seconds(1.3, 0.4),
            },
            _lost,
        ),
        "slow_consumer": ({"lines": lines, "limit": scale.seconds(15.0, 1.0)}, _lost),
        "blocked_writer": ({"limit": scale.seconds(HUNG_AFTER, 2.5)}, _noticed),
        "leave": ({"warm": scale.seconds(1.0, 0.2)}, _left),
    }
    cells: dict[str, list[Cell]] = {}
    kills: dict[str, list[int]] = {}

    def run_case(what: str) -> dict[str, list[Outcome]]:
        return _rounds(scale, tell, what, rounds=1, within=20.0 if what == "leave" else 30.0, **cases[what][0])

    # One after the other, unless they are so small that nothing is measured.
    with ThreadPoolExecutor(1 if scale.work >= 0.1 else len(cases)) as pool:
        done = dict(zip(cases, pool.map(run_case, cases), strict=True))
    for what, (_, describe) in cases.items():
        for name, [outcome] in done[what].items():
            cells.setdefault(name, []).append(outcome.problem or describe(outcome))
            if describe is _lost and outcome.problem is None:
                kills.setdefault(name, []).append(outcome.value["lost"])
    for name, each in cells.items():
        each.append(f"{sum(kills[name])} of {lines * len(kills[name])}" if name in kills else "")
    table = Table(
        "torture",
        "Heartbeat torture",
        ("library", "local stall", "slow consumer", "blocked writer", "exit after cancel", "false kills"),
        [(name, *each) for name, each in cells.items()],
        note="Local stall: healthy peers 0.3 s away, our own loop stopped for 2 s three times. Slow consumer: two messages "
        "a second taken, a hundred sent. Blocked writer: the peer reads nothing while we send. Exit: the same, cancelled. "
        f"Accept-then-close is the reconnect storm above. {OURS} buffers for a slow consumer and drops the oldest; picows' "
        "listener fills a queue without bound, and has no close timeout: its orderly end is given a second.",
    )
    return [table]


def _lost(outcome: Outcome) -> Cell:
    value = outcome.value
    return f"{value['lost']} of {value['of']} killed" if value["lost"] else "all alive"


def _noticed(outcome: Outcome) -> Cell:
    return "not noticed" if outcome.value is None else f"noticed after {outcome.value:.1f} s"


def _left(outcome: Outcome) -> Cell:
    return f"{1e3 * outcome.value:.0f} ms" if outcome.value < HUNG_AFTER else "hung"
