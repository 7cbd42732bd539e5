"""The parts that are benchmarks of their own, run as such: fan-out, and many quiet connections."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

from ..child import Outcome, finish_command, start_command
from ..figures import Cell, Table, Tell
from .common import Scale


def _run(module: str, arguments: list[str], *, limit: float) -> Outcome:
    """Its JSON."""
    if importlib.util.find_spec(module) is None:
        return Outcome(problem="there is no such benchmark")
    out = finish_command(start_command([module, *arguments, "--output", "json"], limit))
    return out if out.problem is not None else Outcome(json.loads(out.value))


def _spread(cell: dict[str, float], names: tuple[str, str, str]) -> str:
    middle, least, most = (cell[name] for name in names)
    return f"{middle:.2f} ({least:.2f}..{most:.2f})"


def _failed(name: str, title: str, outcome: Outcome) -> list[Table]:
    return [Table(name, title, ("result",), [("not done in time" if outcome.problem == "hung" else str(outcome.problem),)])]


def fan_out(scale: Scale, tell: Tell) -> list[Table]:
    """CPU of the server per delivery; see `tests.benchmarks.fanout`."""
    tell("fan-out")
    # Five rounds of all its servers would take longer than everything else together: `scripts/bench fanout` does them.
    rounds, clients = str(min(3, scale.rounds)), [str(scale.number(each, each // 10)) for each in (200, 1000)]
    deliveries = str(scale.number(10_000, 400))
    arguments = ["--rounds", rounds, "--deliveries", deliveries, "--clients", *clients]
    outcome = _run("tests.benchmarks.fanout", arguments, limit=240)
    title = "Fan-out: CPU of the server per delivery, µs"
    if outcome.problem is not None:
        return _failed("fan_out", title, outcome)
    names = ("median_us", "least_us", "most_us")
    rows: list[tuple[str, *tuple[Cell, ...]]] = [
        (row["peer"], f"{row['clients']}", f"{row['quotes']}", *_delivery(row, names)) for row in outcome.value["cost"]
    ]
    stall, steps = outcome.value["stall"], outcome.value["steps"]
    longest = ", ".join(f"{step['longest']:.1f} ms with {step['quotes']} quotes a tick" for step in steps)
    note = (
        f"Rounds: {rounds}. One client of {stall['clients']} that does not read changes the others' p99 from "
        f"{stall['alone']:.2f} to {stall['beside']:.2f} ms. Longest step of its loop, {clients[-1]} clients: {longest}."
    )
    return [Table("fan_out", title, ("server", "clients", "quotes a tick", "times ours", "CPU µs"), rows, note=note)]


def _delivery(row: dict[str, Any], names: tuple[str, str, str]) -> tuple[Cell, Cell]:
    return (1 / row["ratio"], _spread(row, names)) if row["ratio"] else ("", "not installed")


def idle(scale: Scale, tell: Tell) -> list[Table]:
    """Memory and CPU of many quiet connections; see `tests.benchmarks.idle`."""
    tell("many quiet connections")
    connections = scale.number(2000, 20)
    # A round of 2000 connections at 5 s takes half a minute; three tell enough.
    arguments = ["--connections", str(connections), "--rounds", str(min(3, scale.rounds)), "--interval", "1"]
    arguments += ["--interval", "5"] if scale.work >= 1 else ["--no-peers"]
    outcome = _run("tests.benchmarks.idle", arguments, limit=200)
    title = f"{connections} quiet connections with heartbeats"
    if outcome.problem is not None:
        return _failed("idle", title, outcome)
    names = ("median", "low", "high")
    rows: list[tuple[str, *tuple[Cell, ...]]] = [
        (row["kind"], f"{row['interval_s']:g} s", _spread(row["cpu_us"], names), _spread(row["memory_kib"], names))
        for row in outcome.value["rows"]
    ]
    ratios = ", ".join(f"{ratio:.2f} at {interval} s" for interval, ratio in outcome.value["cpu_ratio_to_bare"].items())
    columns = ("kind", "ping every", "CPU µs per ping and pong", "KiB per connection")
    return [Table("idle", title, columns, rows, note=f"Ours as a multiple of the bare Trio loop's CPU: {ratios}.")]
