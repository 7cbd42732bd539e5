"""Made-up lines for the balancer's selection, and what it does on them: nothing but seeds decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from heartbeat_trio.orders import Switched
from heartbeat_trio.policies import BalancerPolicy
from heartbeat_trio.sansio.selection import EndpointSelector

DAY = 86_400.0
INTERVAL = 5.0
"""Seconds between pings."""
EQUAL = (0.020, 0.021)
"""Seconds: medians of two servers within 5 % of each other; orders go to the first."""


@dataclass(frozen=True)
class Noise:
    """Round trips: log-normal around the median; one of a hundred is a spike.

    Args:
        name: For tables.
        sigma: Of the logarithm.
        added: Seconds that a spike adds, from and to ...
        times: ... or what it multiplies by, from and to.
    """

    name: str
    sigma: float
    added: tuple[float, float] = (0.0, 0.0)
    times: tuple[float, float] = (1.0, 1.0)

    def rtt(self, rng: Random, middle: float) -> float:
        """One round trip."""
        rtt = middle * rng.lognormvariate(0.0, self.sigma)
        return rtt * rng.uniform(*self.times) + rng.uniform(*self.added) if rng.random() < 0.01 else rtt


THEORY = Noise("sigma .35, spikes of 100 to 500 ms", 0.35, added=(0.1, 0.5))
LIGHT = Noise("sigma .2, spikes of 5 to 10 times", 0.2, times=(5.0, 10.0))
MIDDLE = Noise("sigma .35, spikes of 5 to 10 times", 0.35, times=(5.0, 10.0))
HEAVY = Noise("sigma .5, spikes of 5 to 10 times", 0.5, times=(5.0, 10.0))


class Servers:
    """Connected and proven servers under the real selector, pinged each five seconds.

    Args:
        noise: Of all of them.
        medians: Seconds of each; orders go to the first at first.
        seed: Of everything.
        policy: The numbers.
    """

    def __init__(self, noise: Noise, medians: Sequence[float], seed: int, policy: BalancerPolicy | None = None) -> None:
        policy = policy or BalancerPolicy()
        self.noise = noise
        self.medians = dict(zip("abcdef", medians, strict=False))
        self.now = 0.0
        self.selector = EndpointSelector(tuple(self.medians), policy, self.now)
        self._rng = Random(seed)
        for name in self.medians:
            self.selector.connected(name, self.now)
        for _ in range(policy.probes):
            for name, middle in self.medians.items():
                self.selector.receive_pong(name, middle, self.now)

    def tick(self) -> int:
        """One ping to each; returns the number of switches."""
        self.now += INTERVAL
        count = 0
        for name, middle in self.medians.items():
            events = self.selector.receive_pong(name, self.noise.rtt(self._rng, middle), self.now)
            count += sum(isinstance(event, Switched) for event in events)
        return count


def switches_in_a_day(
    noise: Noise, seed: int, medians: Sequence[float] = EQUAL, policy: BalancerPolicy | None = None
) -> int:
    """Switches for quality among servers that stay as they are."""
    servers = Servers(noise, medians, seed, policy)
    return sum(servers.tick() for _ in range(int(DAY / INTERVAL)))


def time_to_leave(
    noise: Noise,
    seed: int,
    medians: Sequence[float] = EQUAL,
    policy: BalancerPolicy | None = None,
    *,
    slow_at: float = 400.0,
) -> float:
    """Seconds from the moment at which the server in use becomes twice as slow, to the switch.

    A switch made by mistake before that begins anew with the next seed of a series of its own, since then the server in use
    would be another.
    """
    for attempt in range(100):
        servers = Servers(noise, medians, seed + 1_000_003 * attempt, policy)
        while servers.now < slow_at and servers.selector.best == "a":
            servers.tick()
        if servers.selector.best == "a":
            break
    servers.medians["a"] *= 2
    while servers.selector.best == "a":
        servers.tick()
    return servers.now - slow_at
