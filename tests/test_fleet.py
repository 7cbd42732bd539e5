"""Many sessions side by side: what happens to one is an event and a line of a table, and harms no other."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import HeartbeatPolicy, InboxPolicy, RestartPolicy
from heartbeat_trio.events import (
    Connecting,
    Event,
    LineAdded,
    LineEnded,
    Lost,
    RetryScheduled,
    SessionStatus,
    SourceEvent,
    Throttled,
)
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.fleet import Fleet, open_fleet
from heartbeat_trio.journal import open_journal, read_journal
from heartbeat_trio.policies import VenueLimits
from heartbeat_trio.server import SyntheticSource, serve_quotes
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork

T = TypeVar("T", bound=Event)


async def start_peers(net: VirtualNetwork, nursery: trio.Nursery, *hosts: str) -> list[ScriptedPeer]:
    peers = [ScriptedPeer(net.listen(host, 1)) for host in hosts]
    for peer in peers:
        await nursery.start(peer.run)
    return peers


async def events_of(fleet: Fleet) -> list[Event]:
    async with fleet.events() as events:
        return events.take_nowait()


def told_by(source: str, events: list[Event], kind: type[T]) -> list[T]:
    """The events of one kind of one session."""
    theirs = [each.event for each in events if isinstance(each, SourceEvent) and each.source == source]
    return [each for each in theirs if isinstance(each, kind)]


async def test_quotes_come_with_their_source(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Sessions are added and removed while it runs; what waits of a removed one can still be taken."""
    net = VirtualNetwork(latency=0.01)
    one, two = await start_peers(net, nursery, "one", "two")
    async with open_fleet(connector=net.connect) as fleet:
        fleet.add("a", "tcp://one:1", subscribe=["X"])
        assert fleet.session("a") is None
        assert SessionStatus.CONNECTING is fleet.snapshot().sessions[0].status
        await trio.sleep(0.1)
        fleet.add("b", "tcp://two:1", subscribe=["X"])
        await trio.sleep(0.1)
        await one.send_quote("X", 1.0, 2.0)
        await two.send_quote("X", 1.0, 2.0)
        await trio.sleep(0.1)
        assert [("a", 1), ("b", 1)] == sorted([(name, quote.seq) for name, quote in await fleet.receive_batch()])
        await two.send_quote("X", 1.0, 2.0)
        await trio.sleep(0.1)
        await fleet.remove("b")
        name, quote = await anext(fleet)
        assert ("b", 2) == (name, quote.seq)
        await trio.sleep(0.1)
        assert (1, 0) == (one.connections, two.connections)
        assert ["a"] == [each.name for each in fleet.snapshot().sessions]
        with pytest.raises(ConfigError, match="there is no session 'b'"):
            await fleet.remove("b")
        with pytest.raises(ConfigError, match="there is a session 'a' already"):
            fleet.add("a", "tcp://two:1")
        with pytest.raises(ConfigError, match="unknown scheme"):
            fleet.add("c", "http://two:1")
        told = await events_of(fleet)
    assert [("a", "tcp://one:1"), ("b", "tcp://two:1")] == [(e.name, e.endpoint) for e in told if isinstance(e, LineAdded)]
    assert [("b", "removed")] == [(each.name, each.cause) for each in told if isinstance(each, LineEnded)]
    assert [] == [each async for each in fleet]
    assert [] == await fleet.receive_batch()
    await trio.sleep(0.1)
    assert 0 == one.connections
    with pytest.raises(ConfigError, match="the fleet has ended"):
        fleet.add("z", "tcp://two:1")


async def test_one_that_fails_harms_no_other(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Gave up, crashed in a hook, too slow a consumer: an event and a snapshot entry each; the last one goes on."""
    net = VirtualNetwork(latency=0.01)
    good, bad, slow = await start_peers(net, nursery, "good", "bad", "slow")
    net.host("gone").refuse()

    def crash(_raw: bytes) -> None:
        raise KeyError("hook\x1b[31m")

    async with open_fleet(connector=net.connect, rng=Random(1)) as fleet:
        fleet.add("good", "tcp://good:1", subscribe=["X"])
        fleet.add("gone", "tcp://gone:1", restart=RestartPolicy(max_attempts=2))
        fleet.add("crash", "tcp://bad:1", subscribe=["X"], on_raw=crash)
        fleet.add("slow", "tcp://slow:1", subscribe=["X"], inbox=InboxPolicy(size=2, overflow="close"))
        await trio.sleep(1)
        for _ in range(3):
            await slow.send_quote("X", 1.0, 2.0)
        await trio.sleep(10)
        await good.send_quote("X", 1.0, 2.0)
        await trio.sleep(0.1)
        snapshot = fleet.snapshot()
        told = await events_of(fleet)
        causes = {each.name: each.cause for each in told if isinstance(each, LineEnded)}
        assert {"gone": "GaveUp", "crash": "InternalError", "slow": "SlowConsumer"} == causes
        assert [None, "GaveUp", "InternalError", "SlowConsumer"] == [each.cause for each in snapshot.sessions]
        assert [SessionStatus.CONNECTED, *[SessionStatus.DISCONNECTED] * 3] == [each.status for each in snapshot.sessions]
        assert {("good", 1), ("slow", 1), ("slow", 2), ("slow", 3)} == {(n, q.seq) for n, q in await fleet.receive_batch()}
        lines = str(snapshot).splitlines()
        assert "4 sessions: 1 connected, 0 suitable for trading, 3 ended" == lines[0]
        assert ["session", "good", "gone", "crash", "slow"] == [line.split()[0] for line in lines[1:6]]
        assert "GaveUp: gave up on tcp://gone:1" in lines[3]
        assert lines[6:] == ["venue good: 1 connections", "venue gone: 0 connections", *lines[8:]]
        assert str(snapshot).replace("\n", "").isprintable()
        await fleet.remove("gone")
        fleet.add("gone", "tcp://bad:1")
        await trio.sleep(0.1)
        assert SessionStatus.CONNECTED is fleet.snapshot().sessions[-1].status
        assert bad.connections == 1


async def test_a_flood_starves_nobody(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Quotes are taken in turn; what the flooding session loses is its own, and exactly counted."""
    net = VirtualNetwork(latency=0.01)
    flood, calm = await start_peers(net, nursery, "flood", "calm")
    async with open_fleet(connector=net.connect, inbox=InboxPolicy(size=100)) as fleet:
        fleet.add("flood", "tcp://flood:1", subscribe=["X"])
        fleet.add("calm", "tcp://calm:1", subscribe=["X"])
        await trio.sleep(0.1)
        for _ in range(500):
            await flood.send_quote("X", 1.0, 2.0)
        for _ in range(3):
            await calm.send_quote("X", 1.0, 2.0)
        await trio.sleep(1)
        first = [await anext(fleet) for _ in range(6)]
        assert ["calm", "calm", "calm"] == sorted(name for name, _ in first)[:3]
        snapshot = {each.name: each for each in fleet.snapshot().sessions}
        assert (500, 97, 400) == (snapshot["flood"].quotes, snapshot["flood"].waiting, snapshot["flood"].dropped)
        assert (3, 0, 0) == (snapshot["calm"].quotes, snapshot["calm"].waiting, snapshot["calm"].dropped)
        rest = await fleet.receive_batch()
        assert list(range(404, 501)) == [quote.seq for _, quote in rest]


async def test_connects_of_a_venue_are_shared(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Ten sessions, five connects in ten seconds allowed: four are used, and each wait is told with its real length."""
    net = VirtualNetwork(latency=0.01)
    [peer] = await start_peers(net, nursery, "venue")
    limits = {"venue": VenueLimits(connects=5, connect_period=10.0)}
    async with open_fleet(connector=net.connect, limits=limits) as fleet:
        for number in range(10):
            fleet.add(str(number), "tcp://venue:1")
        await trio.sleep(5)
        assert 4 == peer.connections
        assert "venue venue: 4 connections, 4 of 4 connects, 6 wait to connect" in str(fleet.snapshot())
        await trio.sleep(25)
        assert 10 == peer.connections
        told = await events_of(fleet)
    waits = [each.event for each in told if isinstance(each, SourceEvent) and isinstance(each.event, Throttled)]
    assert [10.0] * 4 + [20.0] * 2 == sorted(each.delay for each in waits)
    assert {("venue", "connect")} == {(each.venue, each.kind) for each in waits}
    for name in map(str, range(10)):
        began = [each.at for each in told_by(name, told, Connecting)]
        waited = told_by(name, told, Throttled)
        assert began == [each.at + each.delay for each in waited] or not waited


async def test_messages_of_a_venue_are_shared_and_pings_counted(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Twenty subscriptions over two connections, ten messages a second allowed: at most eight in any second."""
    net = VirtualNetwork()
    peers = await start_peers(net, nursery, "one", "two")
    symbols = [f"S{number}" for number in range(10)]
    limits = {"venue": VenueLimits(messages=10)}
    async with open_fleet(connector=net.connect, limits=limits) as fleet:
        fleet.add("a", "tcp://one:1", subscribe=symbols, venue="venue")
        fleet.add("b", "tcp://two:1", subscribe=symbols, venue="venue")
        await trio.sleep(0.5)
        session = fleet.session("a")
        assert session is not None
        await session.unsubscribe("S9")
        await session.subscribe("S9")
        await session.unsubscribe("S9")
        await trio.sleep(20)
        told = await events_of(fleet)
        assert ("venue", 8) == (fleet.snapshot().venues[0].name, fleet.snapshot().venues[0].message_limit)
    times = sorted(received.time for peer in peers for received in peer.received)
    assert max(sum(start <= each < start + 1 for each in times) for start in times) <= 8
    assert symbols[:9] == sorted(peers[0].live[0].subscriptions if peers[0].live else symbols[:9])
    sent = [line for line in peers[0].lines if "S9" in line]
    assert sent in (["SUBSCRIBE:S9", "UNSUBSCRIBE:S9"], ["SUBSCRIBE:S9", "UNSUBSCRIBE:S9", "SUBSCRIBE:S9", "UNSUBSCRIBE:S9"])
    assert 10 == len({line for line in peers[1].lines if line.startswith("SUBSCRIBE")})
    waits = [each.event for each in told if isinstance(each, SourceEvent) and isinstance(each.event, Throttled)]
    assert {"message"} == {each.kind for each in waits}


async def test_half_of_a_venue_lost_at_once_is_a_mass_loss(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """All come back spread over ten seconds, those too who were lost first; another venue's loss is its own."""
    net = VirtualNetwork(latency=0.01)
    peers = await start_peers(net, nursery, "a", "b", "other")
    async with open_fleet(connector=net.connect, rng=Random(1)) as fleet:
        for number in range(40):
            fleet.add(f"v{number}", f"tcp://{'ab'[number % 2]}:1", venue="venue")
        fleet.add("other", "tcp://other:1")
        await trio.sleep(70)
        async with fleet.events() as events:
            events.take_nowait()
            await peers[2].reset_all()
            for connection in peers[0].live:  # half of them, one after another
                await connection.reset()
                await trio.sleep(0.005)
            await trio.sleep(15)
            told = events.take_nowait()
        assert 20 == peers[0].connections
    last = {}
    for name in (f"v{number}" for number in range(0, 40, 2)):
        retries = told_by(name, told, RetryScheduled)
        assert len(retries) in (1, 2)
        last[name] = retries[-1].delay
        [began] = told_by(name, told, Connecting)
        assert began.at == pytest.approx(retries[-1].at + retries[-1].delay)
    assert max(last.values()) > 8
    assert sum(delay < 0.25 for delay in last.values()) <= 6
    [single] = told_by("other", told, RetryScheduled)
    assert single.delay <= 0.25


async def test_each_has_its_own_quality_gate_and_journal(tmp_path: Path, nursery: trio.Nursery) -> None:
    """On real sockets: one journal, a session of it for each."""
    source = SyntheticSource(["A"], rate=50, seed=1)
    with trio.fail_after(8):
        server = await nursery.start(partial(serve_quotes, source, tcp="127.0.0.1:0"))
        async with open_journal(tmp_path) as journal, open_fleet(journal=journal) as fleet:
            for name in ("a", "b"):
                fleet.add(
                    name, f"tcp://{server.addresses['tcp']}", subscribe=["A"], heartbeat=HeartbeatPolicy(ping_interval=0.1)
                )
            seen = set()
            async for name, _quote in fleet:
                seen.add(name)
                if seen == {"a", "b"} and all(each.quality and each.quality.answered for each in fleet.snapshot().sessions):
                    break
            first, second = fleet.session("a"), fleet.session("b")
            assert first is not None
            assert second is not None
            assert first.gate() is not second.gate()
        sessions = {entry.session for entry in read_journal(tmp_path).entries() if entry.event == "connected"}
        assert 2 == len(sessions)
    nursery.cancel_scope.cancel()


async def test_removed_while_it_reconnects(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A session that waits for its next attempt ends at once, and the venue forgets it."""
    net = VirtualNetwork(latency=0.01)
    await start_peers(net, nursery, "one")
    async with open_fleet(connector=net.connect, rng=Random(1)) as fleet:
        fleet.add("a", "tcp://one:1")
        await trio.sleep(1)
        net.host("one").refuse()
        net.host("one").reset_all()
        await trio.sleep(5)
        assert told_by("a", await events_of(fleet), Lost)
        start = trio.current_time()
        await fleet.remove("a")
        assert start == trio.current_time()
        assert 0 == fleet.snapshot().venues[0].connections
        assert "0 sessions" in str(fleet.snapshot())
        assert "<Fleet of 0 sessions>" == repr(fleet)


async def test_quotes_taken_through_the_session_are_not_waited_for_twice(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The fleet finds the session's place in the queue empty, and waits for the next quote, or the end."""
    net = VirtualNetwork(latency=0.01)
    await nursery.start(partial(serve_quotes, SyntheticSource(["X"], rate=1, seed=1), tcp=net.listen("one", 1)))
    async with open_fleet(connector=net.connect) as fleet:
        fleet.add("a", "tcp://one:1", subscribe=["X"])
        for take_next in (fleet.__anext__, fleet.receive_batch):
            await trio.sleep(2.5)
            session = fleet.session("a")
            assert session is not None
            taken = (await session.receive_batch())[-1]
            given = await take_next()
            name, quote = given[0] if isinstance(given, list) else given
            assert ("a", taken.seq + 1) == (name, quote.seq)
        await trio.sleep(2.5)
        assert session is not None
        await session.receive_batch()
    assert [] == await fleet.receive_batch()
    with pytest.raises(StopAsyncIteration):
        await fleet.__anext__()
    nursery.cancel_scope.cancel()
