"""Ten thousand clients are cut off at once: how soon are they back, by kind of jitter?

Virtual time, without Trio: a heap of moments, and the decisions of the real `Restarts` (with its `Backoff` and
`RollingLimit`) for each client. The server admits so many connects a second and refuses the rest at once; the clients know
that it was a mass loss, as they do from a GOODBYE or a close code 1001.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
from collections import Counter
from random import Random
from typing import NamedTuple, get_args

from heartbeat_trio.config import BackoffPolicy, Jitter, RestartPolicy
from heartbeat_trio.sansio.restart import Restarts, Retry

GOAL = 1.7
"""Times the ideal."""


class Result(NamedTuple):
    """Seconds since the cut, connects, and ratios."""

    jitter: str
    outage: float
    t50: float
    t99: float
    ideal: float
    peak_per_second: int
    attempts_per_client: float

    @property
    def ratio(self) -> float:
        """How many times the ideal it took until 99 % were back, counted from the end of the outage."""
        return (self.t99 - self.outage) / self.ideal


class Server:
    """Admits `rate` connects a second from a bucket of a tenth of that, once the outage is over."""

    def __init__(self, rate: float, outage: float) -> None:
        self.rate = rate
        self.back_at = outage
        self.tokens = rate / 10
        self.filled_at = outage

    def admits(self, now: float) -> bool:
        """Whether this connect goes well."""
        if now < self.back_at:
            return False
        self.tokens = min(self.rate / 10, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def simulate(jitter: Jitter, *, clients: int = 10_000, rate: float = 500, outage: float = 5.0, seed: int = 1) -> Result:
    """Cut `clients` off at second 0 from a server that is away for `outage` seconds."""
    rng = Random(seed)
    server = Server(rate, outage)
    herd = [Restarts(RestartPolicy(), BackoffPolicy(jitter=jitter)) for _ in range(clients)]
    queue: list[tuple[float, int]] = []
    for number, client in enumerate(herd):
        client.attempt_started(-100.0)
        client.connected(-100.0)
        client.alive(-100.0)
        client.alive(-0.05)
        schedule(queue, client, number, rng.uniform(0, 0.05), rng, is_mass_loss=True)
    back: list[float] = []
    connects: Counter[int] = Counter()
    while queue:
        now, number = heapq.heappop(queue)
        herd[number].attempt_started(now)
        connects[math.floor(now)] += 1
        if server.admits(now):
            back.append(now)
        else:
            schedule(queue, herd[number], number, now, rng, is_mass_loss=False)
    after = [count for second, count in connects.items() if second >= outage]
    return Result(
        jitter,
        outage,
        back[len(back) // 2],
        back[math.ceil(len(back) * 0.99) - 1],
        clients / rate,
        max(after),
        sum(connects.values()) / clients,
    )


def schedule(
    queue: list[tuple[float, int]], client: Restarts, number: int, now: float, rng: Random, *, is_mass_loss: bool
) -> None:
    """Ask the client when it will try again."""
    decision = client.ended(now, cause="reset", detail="", rng=rng, is_mass_loss=is_mass_loss)
    assert isinstance(decision, Retry)
    heapq.heappush(queue, (now + decision.delay, number))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    results = [
        simulate(jitter, clients=options.clients, rate=options.clients / 20, outage=outage, seed=options.seed)
        for outage in (0.0, 5.0, 30.0)
        for jitter in get_args(Jitter)
    ]
    if options.output == "json":
        print(json.dumps([result._asdict() | {"ratio": result.ratio} for result in results]))
        return
    print(
        f"{options.clients} clients cut at once; the server admits {options.clients / 20:.0f} connects a second: ideal 20 s"
    )
    print("| outage | jitter | half back | 99 % back | x ideal | peak connects/s | attempts each |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for each in results:
        times = f"{each.t50:.1f} s | {each.t99:.1f} s | {each.ratio:.2f}"
        print(f"| {each.outage:.0f} s | {each.jitter} | {times} | {each.peak_per_second} | {each.attempts_per_client:.1f} |")


if __name__ == "__main__":
    main()
