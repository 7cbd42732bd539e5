"""A session's own losses are those of the replay of its journal."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio import BackoffPolicy, HeartbeatPolicy, open_connection, open_session
from heartbeat_trio.analysis.load import load
from heartbeat_trio.analysis.replay import replay
from heartbeat_trio.analysis.replay_player import losses_of
from heartbeat_trio.analysis.replay_trace import record
from heartbeat_trio.events import PingRecord
from heartbeat_trio.journal import open_journal
from heartbeat_trio.testing.network import VirtualNetwork
from heartbeat_trio.testing.scripted import ScriptedPeer

POLICY = HeartbeatPolicy()


async def make_trouble(net: VirtualNetwork, clock: MockClock, rng: Random) -> None:
    """Half an hour: freezes of up to 40 s, slow minutes, stalls of our own up to 12 s, and calm ones between them."""
    host = net.host("server")
    for _ in range(25):
        await trio.sleep(rng.uniform(5, 40))
        kind = rng.choice(["freeze", "freeze", "slow", "stall", "both"])
        if kind == "slow":
            net.latency, net.jitter = rng.uniform(0.2, 2), rng.uniform(0, 3)
            await trio.sleep(rng.uniform(5, 40))
            net.latency, net.jitter = 0.02, 0.01
            continue
        if kind != "stall":
            host.freeze()
            await trio.sleep(rng.uniform(5, 40))
        if kind != "freeze":
            clock.jump(rng.uniform(0.3, 12))
        host.thaw()


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_losses_of_a_session(tmp_path: Path, autojump_clock: MockClock, nursery: trio.Nursery, seed: int) -> None:
    """Written by the session, read as any journal: as many as it called dead; and strictly more for less patience."""
    net = VirtualNetwork(seed, latency=0.02, jitter=0.01)
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    async with open_journal(tmp_path) as journal:
        async with open_session(
            "tcp://server:1",
            subscribe=["A"],
            heartbeat=POLICY,
            backoff=BackoffPolicy(initial=0.5, maximum=2.0),
            journal=journal,
            connector=net.connect,
            rng=Random(seed),
        ):
            await make_trouble(net, autojump_clock, Random(seed))
        autojump_clock.autojump_threshold, autojump_clock.rate = math.inf, 1.0  # the disk is real
    nursery.cancel_scope.cancel()

    journals = load([tmp_path], use_cache=False)
    lost = [each for each in journals.happenings if each.event == "lost" and each.fields["cause"] == "pong_timeout"]
    recording = record(journals, [0], POLICY)
    [curve] = replay(journals)
    own = next(point for point in curve.points if point.is_recorded)

    assert len(lost) >= 3
    assert (len(lost), 0, False) == (own.losses, own.false_losses, own.is_censored)
    assert len(losses_of(recording, replace(POLICY, pong_timeout=1.0, max_missed_pongs=1))) > len(lost)


async def test_a_pong_that_nobody_waits_for_is_no_sign_of_life(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """The record of a ping knows of its pong and of data, and not of a stray pong after them."""
    net = VirtualNetwork(latency=0.0625)
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    records: list[PingRecord] = []
    async with open_connection("tcp://server:1", connector=net.connect, rng=Random(1), on_ping=records.append):
        await trio.sleep(1)
        await peer.live[0].send(b"SUBSCRIBED:A\n")
        await trio.sleep(0.5)
        await peer.live[0].send(b"PONG 12345678\n")
        await trio.sleep(6)
    nursery.cancel_scope.cancel()

    first = records[0]
    assert (1, "answered") == (first.ping, first.fate)
    assert first.first_in == first.rtt == pytest.approx(0.125)
    assert first.last_in == pytest.approx(1.0625)
