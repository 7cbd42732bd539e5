"""Our own stall is not the peer's silence: no ping is called missed, and a peer that died meanwhile is still found."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
import trio

from heartbeat_trio.config import SilencePolicy
from heartbeat_trio.events import Event, Lost, PongMissed, Silence, Stalled, Subscribed
from heartbeat_trio.server import SyntheticSource, serve_quotes
from heartbeat_trio.session import open_session
from tests.support.stalls import KINDS, POLICY, Outcome, distant_peer, survive

pytestmark = pytest.mark.alone

CONNECTIONS = 20
STALL = 2.0


def run(folder: Path, kinds: tuple[str, ...], *, rate: float, kill: bool = False, after: float = 1.0) -> Outcome:
    with distant_peer(folder, rate=rate) as peer:

        async def main() -> Outcome:
            with trio.fail_after(9):
                return await survive(
                    peer, kinds, connections=CONNECTIONS, stall=STALL, subscribe=rate > 1, kill=kill, after=after
                )

        return trio.run(main)


def test_stall_on_idle_lines(tmp_path: Path) -> None:
    """120 connections of every kind at once, pings in flight, and nobody is blamed."""
    outcome = run(tmp_path, KINDS, rate=1)

    assert (0, 0) == (outcome.lost, outcome.missed)
    assert outcome.voided > 0
    assert outcome.answered > 0


@pytest.mark.parametrize("kind", KINDS)
def test_stall_while_quotes_flow(kind: str, tmp_path: Path) -> None:
    """200 quotes a second on each of 20 connections: the pong lies behind them, and is found."""
    outcome = run(tmp_path, (kind,), rate=200)

    assert (0, 0) == (outcome.lost, outcome.missed)
    assert outcome.voided > 0


def test_a_peer_that_dies_during_the_stall_is_found(tmp_path: Path) -> None:
    """A stall excuses nobody: dead within the bound, the stall, and a second."""
    outcome = run(tmp_path, KINDS, rate=1, kill=True, after=POLICY.bound + 1)

    assert outcome.lost == CONNECTIONS * len(KINDS)
    assert outcome.found_dead_after <= POLICY.bound + STALL + 1


def test_a_stall_is_not_the_peers_silence(tmp_path: Path) -> None:
    """Quotes flowed all the time, but we did not look: the feed is not called silent."""
    told: list[Event] = []

    async def main(url: str) -> None:
        policy = SilencePolicy(minimum=0.3, maximum=0.5)
        async with open_session(url, subscribe=["A"], silence=policy) as session, session.events() as events:
            received = 0
            while received < 400:  # 300 gaps are learned from
                received += len(await session.receive_batch())
            for _ in range(3):
                time.sleep(0.6)  # noqa: ASYNC251 - the stall
                for _ in range(20):
                    await session.receive_batch()
            told.extend(events.take_nowait())

    with distant_peer(tmp_path, rate=200) as peer:
        trio.run(main, peer.url("tcp"))

    assert [event for event in told if isinstance(event, Subscribed)]
    assert [] == [event for event in told if isinstance(event, Silence)]


async def test_a_stall_is_told_though_no_ping_was_in_flight() -> None:
    """On loopback none ever is; the program must know all the same who was away."""
    events: list[Event] = []
    with trio.fail_after(8):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(partial(serve_quotes, SyntheticSource(["A"], rate=20), tcp="127.0.0.1:0"))
            url = f"tcp://{server.addresses['tcp']}"
            async with open_session(url, subscribe=["A"]) as session, session.events() as channel:
                await session.wait_connected()
                await trio.sleep(0.2)
                time.sleep(0.6)  # noqa: ASYNC251 - the stall is what this is about
                async for event in channel:
                    events.append(event)
                    if isinstance(event, Stalled):
                        break
            nursery.cancel_scope.cancel()

    stalls = [event.seconds for event in events if isinstance(event, Stalled)]
    assert [True] == [0.6 <= seconds < 1.0 for seconds in stalls]
    assert not any(isinstance(event, Lost | PongMissed) for event in events)
