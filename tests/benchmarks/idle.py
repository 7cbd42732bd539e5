"""Many quiet connections: memory of each, and processor time per ping and pong, against the least that Trio can do.

One process holds 2000 idle WebSocket connections with heartbeats to a cheap server in another one. Each kind runs in a
process of its own, ours and the bare loop (a reader, a pinger and a monitor per connection, on Trio's sockets) in turn:
their ratio is what counts. Peers run once; trio-websocket has no keepalive of its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

PEERS = {
    "websockets.trio": "websockets",
    "websockets.asyncio": "websockets",
    "aiohttp": "aiohttp",
    "picows": "picows",
}
"""Kinds that may be absent, and the module that each needs."""


class Figures(msgspec.Struct):
    """What was measured of one kind at one interval: bytes per connection, seconds per ping and pong."""

    kind: str
    interval: float
    memory: list[float] = []
    costs: list[float] = []


@contextmanager
def serving() -> Iterator[str]:
    """A server in a process of its own; its port."""
    command = [sys.executable, "-m", "tests.support.idle_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()


def measure(figures: Figures, port: str, connections: int, windows: int) -> None:
    """Run one kind in a process of its own; a window is one interval long."""
    numbers = [port, connections, figures.interval, windows, figures.interval]
    command = [sys.executable, "-m", "tests.support.idle_clients", figures.kind, *map(str, numbers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    answer = json.loads(done.stdout)
    figures.memory.append(answer["memory"])
    figures.costs += answer["costs"]


def run(connections: int, rounds: int, intervals: list[float], *, has_peers: bool) -> list[Figures]:
    """All kinds; those whose ratio counts in turn, so that a machine that is busy for a while is so for both."""
    pairs = [[Figures("bare", interval), Figures("ours", interval)] for interval in intervals]
    others = [Figures("session", intervals[0])]
    if has_peers:
        others += [Figures(kind, intervals[0]) for kind, module in PEERS.items() if importlib.util.find_spec(module)]
    with serving() as port:
        for pair in pairs:
            for _ in range(rounds):
                for figures in pair:
                    measure(figures, port, connections, 1)
        for figures in others:
            measure(figures, port, connections, rounds)
    return [figures for pair in pairs for figures in pair] + others


def ratios(measured: list[Figures]) -> dict[float, float]:
    """Our processor time per ping and pong as a multiple of the bare loop's, per interval: the median of the rounds."""
    costs = {(figures.kind, figures.interval): figures.costs for figures in measured}
    pairs = {
        interval: zip(costs["ours", interval], costs["bare", interval], strict=True)
        for kind, interval in costs
        if kind == "ours"
    }
    return {interval: statistics.median(ours / bare for ours, bare in pair) for interval, pair in pairs.items()}


def describe(samples: list[float], unit: float) -> dict[str, float]:
    """Median and spread."""
    return {"median": statistics.median(samples) / unit, "low": min(samples) / unit, "high": max(samples) / unit}


def show(measured: list[Figures], connections: int) -> None:
    """The table."""
    print(f"{connections} idle WebSocket connections in one process; median (lowest to highest)\n")
    print("| kind | ping every | RSS per connection | CPU per ping and pong |")
    print("| --- | ---: | ---: | ---: |")
    for figures in measured:
        memory, cost = describe(figures.memory, 1024), describe(figures.costs, 1e-6)
        print(
            f"| {figures.kind} | {figures.interval:g} s | {memory['median']:.1f} KiB ({memory['low']:.1f} to "
            f"{memory['high']:.1f}) | {cost['median']:.0f} µs ({cost['low']:.0f} to {cost['high']:.0f}) |"
        )
    for kind in PEERS.keys() - {figures.kind for figures in measured}:
        print(f"| {kind} | | not installed, or not asked for | |")
    print()
    for interval, ratio in ratios(measured).items():
        print(f"ours at {interval:g} s: {ratio:.2f} times the bare loop's CPU (goal: at most 1.5)")


def main() -> None:
    """Print the table, or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--interval", type=float, action="append", help="seconds between pings; 1 and 5 by default")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    measured = run(options.connections, options.rounds, options.interval or [1.0, 5.0], has_peers=not options.no_peers)
    if options.output == "text":
        show(measured, options.connections)
        return
    rows = [
        {
            "kind": figures.kind,
            "interval_s": figures.interval,
            "memory_kib": describe(figures.memory, 1024),
            "cpu_us": describe(figures.costs, 1e-6),
        }
        for figures in measured
    ]
    told = {f"{interval:g}": ratio for interval, ratio in ratios(measured).items()}
    print(json.dumps({"connections": options.connections, "rows": rows, "cpu_ratio_to_bare": told}))


if __name__ == "__main__":
    main()
