"""Quotes to many WebSocket clients: the server's CPU for each delivery, against its peers, in the same run.

Each server runs in a process of its own on one core; the clients are bare sockets in another on the other core. All send the
same quotes of 85 bytes at the same pace, and each run counts until the last byte was received. `bare send` is the least that
can be done: one `send` for each client and tick. The peers are needed (extra `bench`); one that is missing is named.
"""

from __future__ import annotations

import argparse
import json
from statistics import median
from typing import Any, NamedTuple

from tests.support.fanout_drain import Cost, NotInstalled, run
from tests.support.fanout_servers import SIZE, WARM_UP, Job

OURS = "ours"
PEERS = [
    OURS,
    "bare send",
    "picows",
    "trio-websocket",
    "trio-websocket, in turn",
    "websockets.trio",
    "websockets.asyncio",
    "aiohttp",
]
TEN = [OURS, "bare send", "picows", "websockets.asyncio"]
"""Who sends ten quotes at each tick."""
PACE = 60e-6
"""Seconds between two deliveries on average: a pace that all can keep, so that no backlog makes their work another one."""


class Row(NamedTuple):
    """One peer's CPU per delivery, in microseconds: median, least, most; None: it is not installed."""

    peer: str
    clients: int
    quotes: int
    times: tuple[float, float, float] | None


class Stall(NamedTuple):
    """How old quotes are when they come, p99 in milliseconds: without and with a client that does not read.

    Attributes:
        missed: The share of the quotes that this client was not sent, which shows that it was full.
    """

    clients: int
    alone: float
    beside: float
    missed: float


class Step(NamedTuple):
    """The longest that one task of the server kept the loop, in milliseconds of CPU."""

    clients: int
    quotes: int
    longest: float


def make_job(clients: int, quotes: int, deliveries: int) -> Job:
    """So many deliveries at the common pace."""
    return Job(clients, quotes, max(10, deliveries // (clients * quotes)), clients * quotes * PACE)


def measure(peers: list[str], job: Job, rounds: int) -> list[Row]:
    """All peers, one after the other, round after round; each round begins with another."""
    times: dict[str, list[float]] = {peer: [] for peer in peers}
    missing: set[str] = set()
    for number in range(rounds):
        first = number % len(peers)
        for peer in peers[first:] + peers[:first]:
            if peer in missing:
                continue
            try:
                cost = run(peer, job)
            except NotInstalled:
                missing.add(peer)
                continue
            times[peer].append(1e6 * cost.cpu / (job.clients * job.symbols * job.ticks))
    return [
        Row(peer, job.clients, job.symbols, (median(each), min(each), max(each)) if each else None)
        for peer, each in times.items()
    ]


def measure_stall(clients: int, rounds: int) -> Stall:
    """With and without a client that does not read, in turns."""
    job = Job(clients, 10, 200, clients * 10 * PACE / 5)
    costs: dict[bool, list[Cost]] = {False: [], True: []}
    for _ in range(rounds):
        for stall, each in costs.items():
            each.append(run(OURS, job, stall=stall, watch=True, latencies=True))
    alone, beside = (median(cost.percentile(99) / 1e3 for cost in each) for each in costs.values())
    each_quotes = (WARM_UP + job.ticks) * job.symbols
    sent = max(cost.delivered for cost in costs[True]) - clients * each_quotes
    return Stall(clients, alone, beside, 1 - sent / each_quotes)


def measure_step(clients: int, quotes: int, deliveries: int, rounds: int) -> Step:
    """The longest step of each run; the median of them."""
    job = make_job(clients, quotes, deliveries)
    return Step(clients, quotes, 1e3 * median(run(OURS, job, watch=True).longest for _ in range(rounds)))


def as_json(rows: list[Row], stall: Stall, steps: list[Step]) -> str:
    """One document."""
    told: list[dict[str, Any]] = []
    for row in rows:
        ratio = ratio_of(row, rows)
        names = ("median_us", "least_us", "most_us")
        figures = dict(zip(names, row.times, strict=True)) if row.times else {}
        told.append({"ratio": ratio, "peer": row.peer, "clients": row.clients, "quotes": row.quotes, **figures})
    return json.dumps({"cost": told, "stall": stall._asdict(), "steps": [step._asdict() for step in steps]})


def ratio_of(row: Row, rows: list[Row]) -> float | None:
    """What ours costs, as a multiple of what this one costs."""
    [ours] = [each for each in rows if (each.peer, each.clients, each.quotes) == (OURS, row.clients, row.quotes)]
    return ours.times[0] / row.times[0] if ours.times and row.times else None


def as_text(rows: list[Row], stall: Stall, steps: list[Step]) -> str:
    """Tables."""
    lines = [f"quotes of {SIZE} bytes; ratio: ours to this one's CPU per delivery, below 1 ours costs less", ""]
    lines += ["| clients | quotes a tick | ratio | server | µs per delivery | least to most |"]
    lines += ["| ---: | ---: | ---: | --- | ---: | ---: |"]
    for row in rows:
        head = f"| {row.clients} | {row.quotes} |"
        if row.times is None:
            lines.append(f"{head} | {row.peer} | not installed | |")
        else:
            middle, least, most = row.times
            lines.append(f"{head} {ratio_of(row, rows):.3f} | {row.peer} | {middle:.2f} | {least:.2f} to {most:.2f} |")
    change = stall.beside / stall.alone
    lines += ["", f"age of a quote when it comes, p99, {stall.clients} clients, 10 quotes a tick: {stall.alone:.2f} ms;"]
    lines += [
        f"with one that does not read {stall.beside:.2f} ms: x {change:.3f} (it was not sent {stall.missed:.0%} of them)"
    ]
    lines += [""]
    for step in steps:
        lines.append(f"longest step, {step.clients} clients, {step.quotes} quotes a tick: {step.longest:.1f} ms of CPU")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--deliveries", type=int, default=20_000, help="of each server and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    rows: list[Row] = []
    for clients in options.clients:
        rows += measure(PEERS, make_job(clients, 1, options.deliveries), options.rounds)
    for clients in options.clients:
        rows += measure(TEN, make_job(clients, 10, 2 * options.deliveries), options.rounds)
    stall = measure_stall(min(options.clients), options.rounds)
    steps = [measure_step(max(options.clients), quotes, 2 * options.deliveries, options.rounds) for quotes in (1, 10)]
    print(as_json(rows, stall, steps) if options.output == "json" else as_text(rows, stall, steps))


if __name__ == "__main__":
    main()
