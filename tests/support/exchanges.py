"""A session with a simulated exchange for a stretch of virtual time, and what came of it."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import trio

from heartbeat_trio.config import SilencePolicy
from heartbeat_trio.dialects import builtin_dialects
from heartbeat_trio.session import open_session
from heartbeat_trio.testing import ExchangeSimulator, VirtualNetwork


class Outcome(NamedTuple):
    """What happened on one session.

    Attributes:
        connections: That stood.
        dropped: Seconds after the beginning at which the exchange ended one.
        sent: Our pings.
        answered: ... of which so many were answered in time.
        lost: ... and so many missed, late, or answered with a pong that matched nothing.
        asked: Pings of the exchange's that were answered as they should be, on the last connection.
        unanswered: ... and those whose answer did not come in time.
        subscribed: Symbols that the exchange knows of.
        unknown: Messages that the exchange did not understand.
        pings_received: Pings that it got on the last connection.
    """

    connections: int
    dropped: tuple[float, ...]
    sent: int
    answered: int
    lost: int
    asked: int
    unanswered: int
    subscribed: tuple[str, ...]
    unknown: int
    pings_received: int


def symbols_of(name: str) -> list[str]:
    """What can be subscribed to there."""
    return [] if builtin_dialects()[name].subscriptions is None else ["BTCUSD"]


async def live_through(name: str, seconds: float, *, engine: str = "native", seed: int = 1) -> Outcome:
    """Keep one session with an exchange for so many seconds."""
    net = VirtualNetwork(latency=0.02, jitter=0.05, seed=seed)
    exchange = ExchangeSimulator(name, net.listen("venue", 443), rng=Random(seed))
    async with trio.open_nursery() as nursery:
        await nursery.start(exchange.run)
        async with open_session(
            f"ws://venue:443/#dialect={name}&engine={engine}",
            subscribe=symbols_of(name),
            silence=SilencePolicy(last_step="none"),
            connector=net.connect,
            rng=Random(seed),
        ) as session:
            begin = trio.current_time()
            await session.wait_connected()
            await trio.sleep(seconds)
            if not exchange.live:
                await session.wait_connected()
            mirror, quality = exchange.live[-1].mirror, session.quality()
            outcome = Outcome(
                connections=session.connections,
                dropped=tuple(each.time - begin for each in exchange.dropped),
                sent=quality.sent,
                answered=quality.answered,
                lost=quality.missed + quality.late + quality.unknown_pongs,
                asked=mirror.answered,
                unanswered=mirror.unanswered,
                subscribed=tuple(mirror.subscribed),
                unknown=len(mirror.unknown),
                pings_received=mirror.pings_received,
            )
        nursery.cancel_scope.cancel()
    return outcome
