"""The parts that wait: detection, recovery, reconnect storm, and the heartbeat torture. All libraries at once, unpinned."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from ..child import Outcome, run_together
from ..figures import Cell, Spread, Table, Tell
from .common import ADAPTIVE, OURS, Scale, cell, functions

HUNG_AFTER = 12.0
"""Seconds in which a line must be left once it was cancelled."""


def _rounds(
    scale: Scale, tell: Tell, what: str, *, rounds: int, within: float, adaptive: bool = False, **arguments: Any
) -> dict[str, list[Outcome]]:
    """All at once, `rounds` times."""
    targets = scale.chosen(functions("scenario") | ({ADAPTIVE: "peers.ours:scenario_adaptive"} if adaptive else {}))
    outcomes: dict[str, list[Outcome]] = {name: [] for name in targets}
    for number in range(1, rounds + 1):
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
    """How soon a frozen and an ended server is noticed, and the next one found."""
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
    for name, each in _rounds(scale, tell, "recover", rounds=scale.rounds, within=40, down=0.5, limit=15.0).items():
        found[name].append(cell(each))
    table = Table(
        "detection",
        "Detection and recovery, seconds",
        ("library", "frozen server (SIGSTOP)", "ended server (SIGKILL)", "first quote of the next server"),
        [(name, *(cells if len(cells) == 3 else [*cells, ""])) for name, cells in found.items()],
        note="A ping every second, an answer within a second (aiohttp: heartbeat 2 s), one miss ends the line; close timeout "
        "1 s. The next server starts half a second after the first one's end; how soon it is found is the backoff's matter.",
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
    lines, quick = scale.number(8, 2), scale.work < 1
    cases: dict[str, tuple[dict[str, Any], Callable[[Outcome], Cell]]] = {
        "stall": ({"lines": lines, "stalls": 1 if quick else 3, "length": scale.seconds(2.0, 0.6)}, _lost),
        "slow_consumer": ({"lines": lines, "limit": scale.seconds(15.0, 1.0)}, _lost),
        "blocked_writer": ({"limit": scale.seconds(HUNG_AFTER, 2.5)}, _noticed),
        "leave": ({"warm": scale.seconds(1.0, 0.2)}, _left),
    }
    cells: dict[str, list[Cell]] = {}
    kills: dict[str, list[int]] = {}
    for what, (arguments, describe) in cases.items():
        # A library that hangs does so for ever: it is given time to start, and as long as a case asks for.
        within = (HUNG_AFTER if not quick else 3.0) + 13 * scale.work + 7
        for name, [outcome] in _rounds(scale, tell, what, rounds=1, within=within, **arguments).items():
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
        note="Local stall: healthy peers 0.3 s away, our own loop stopped for 2 s three times. Slow consumer: two messages a "
        "second taken, a hundred sent. Blocked writer: the peer reads nothing while we send. Exit: the same, cancelled. "
        f"Accept-then-close is the reconnect storm above. {OURS} buffers for a slow consumer and drops the oldest; picows' "
        "listener fills a queue without bound.",
    )
    return [table]


def _lost(outcome: Outcome) -> Cell:
    value = outcome.value
    return f"{value['lost']} of {value['of']} killed" if value["lost"] else "all alive"


def _noticed(outcome: Outcome) -> Cell:
    return "not noticed" if outcome.value is None else f"noticed after {outcome.value:.1f} s"


def _left(outcome: Outcome) -> Cell:
    return f"{1e3 * outcome.value:.0f} ms" if outcome.value < HUNG_AFTER else "hung"
