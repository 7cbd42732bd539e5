"""A line is replaced before it ends: no quote lost, none doubled, and the old one stays if the new one cannot be had."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import HeartbeatPolicy, RestartPolicy, ServerPolicy, SilencePolicy
from heartbeat_trio.events import Event, Gap, Lost, Quote, Rotated, RotationFailed, RotationStarted, SourceEvent, Throttled
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.policies import RotationPolicy, VenueLimits
from heartbeat_trio.redundant import RedundantFeed, open_redundant_feed
from heartbeat_trio.server import QuoteServer, SyntheticSource, serve_quotes
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork, VirtualStream
from tests.support.shared_source import SharedSource

URL = "tcp://server:1"
ROTATIONS = (RotationStarted, Rotated, RotationFailed)


async def rotations_of(feed: RedundantFeed) -> list[Event]:
    async with feed.events() as events:
        return [event for event in events.take_nowait() if isinstance(event, ROTATIONS)]


def check_complete(quotes: list[Quote]) -> None:
    assert list(range(quotes[0].seq, quotes[0].seq + len(quotes))) == [quote.seq for quote in quotes]


async def test_rotation_of_a_busy_feed_on_real_sockets(nursery: trio.Nursery) -> None:
    """500 quotes/s, replaced three times on request: the sequence is complete, and each old line is closed."""
    source = SyntheticSource(["A", "B"], rate=500, seed=1)
    with trio.fail_after(8):
        server: QuoteServer = await nursery.start(partial(serve_quotes, source, tcp="127.0.0.1:0"))
        policy = RotationPolicy(overlap=0.1)
        async with (
            open_redundant_feed([f"tcp://{server.addresses['tcp']}"], subscribe=["A", "B"], rotation=policy) as feed,
            feed.events() as events,
        ):
            quotes: list[Quote] = []
            told: list[Event] = []
            while len(quotes) < 2500:
                quotes += await feed.receive_batch()
                told += events.take_nowait()
                done = [event for event in told if isinstance(event, Rotated)]
                if len(done) < 3 and len(quotes) > 400 * (1 + len(done)):
                    feed.rotate("the server will go away")
            assert 1 == len(feed.lines())
            assert 1 == server.clients
        for symbol in ("A", "B"):
            check_complete([quote for quote in quotes if quote.symbol == symbol])
        assert [("line-1", "line-2"), ("line-2", "line-3"), ("line-3", "line-4")] == [(e.old, e.new) for e in done]
        assert all(0.1 <= each.took < 1 for each in done)
        assert not [event for event in told if isinstance(event, Gap | RotationFailed)]
    nursery.cancel_scope.cancel()


async def test_three_days_of_maximum_ages(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Every connection is cut at 24 h; the feed never sees that happen."""
    day = 86400.0
    net = VirtualNetwork(latency=0.02, jitter=0.01, seed=1)
    source = SyntheticSource(["A"], rate=0.005, seed=1)
    server = partial(serve_quotes, source, tcp=net.listen("server", 1), policy=ServerPolicy(idle_timeout=300))
    await nursery.start(server)

    async def cut(stream: VirtualStream) -> None:
        await trio.sleep(day)
        stream.break_off(politely=False)

    async def connect(host: str, port: int) -> trio.abc.Stream:
        stream = await net.connect(host, port)
        assert isinstance(stream, VirtualStream)
        nursery.start_soon(cut, stream)
        return stream

    quotes: list[Quote] = []
    told: list[Event] = []
    with trio.move_on_after(3 * day):
        async with (
            open_redundant_feed(
                [URL],
                subscribe=["A"],
                connector=connect,
                rng=Random(1),
                rotation=RotationPolicy(max_age=day),
                heartbeat=HeartbeatPolicy(ping_interval=120, pong_timeout=10),
                silence=SilencePolicy(last_step="none"),
            ) as feed,
            feed.events() as events,
        ):
            while batch := await feed.receive_batch():
                quotes += batch
                told += events.take_nowait()
    check_complete(quotes)
    assert len(quotes) > 3 * 430
    started = [event for event in told if isinstance(event, RotationStarted)]
    assert 3 == len(started) == len([event for event in told if isinstance(event, Rotated)])
    for each in started:
        assert "max_age" == each.reason
        assert each.age is not None
        assert day * 0.94 <= each.age <= day * 0.98
    assert 3 == len({each.age for each in started})  # each with its own jitter
    assert not [event for event in told if isinstance(event, Gap)]
    assert not [event for event in told if isinstance(event, SourceEvent) and isinstance(event.event, Lost)]
    nursery.cancel_scope.cancel()


async def test_a_degraded_line_is_replaced_before_it_is_lost(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Its path is dead, a new one works: after two misses the new line resumes where the old one stopped."""
    net = VirtualNetwork(latency=0.02)
    source = SharedSource(["A"])
    hosts = iter(["one", "two"])

    async def connect(_host: str, port: int) -> trio.abc.Stream:
        """One name, two servers behind it, in turn."""
        return await net.connect(next(hosts), port)

    for host in ("one", "two"):
        await nursery.start(partial(serve_quotes, source.outlet(), tcp=net.listen(host, 1)))
    nursery.start_soon(source.run, 10.0)
    async with (
        open_redundant_feed(
            [URL], subscribe=["A"], connector=connect, rng=Random(1), rotation=RotationPolicy(overlap=0.5)
        ) as feed,
        feed.events() as events,
    ):
        quotes: list[Quote] = []
        start = 0.0
        with trio.move_on_after(60):
            while True:
                quotes += await feed.receive_batch()
                if not start and len(quotes) >= 300:
                    start = trio.current_time()
                    net.host("one").blackhole()
        told = events.take_nowait()
    check_complete(quotes)
    assert len(quotes) > 580
    [first] = [event for event in told if isinstance(event, RotationStarted)]
    [done] = [event for event in told if isinstance(event, Rotated)]
    assert "degraded" == first.reason
    assert 8 <= first.at - start <= 13.1  # two misses of the 18 s that the line would have had
    assert 0.5 <= done.took < 1
    assert not [event for event in told if isinstance(event, SourceEvent) and isinstance(event.event, Lost)]
    nursery.cancel_scope.cancel()


async def test_the_old_line_stays_if_there_is_no_new_one(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Refused, or connected but silent: told, closed, and tried again later."""
    net = VirtualNetwork(latency=0.02)
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    async with open_redundant_feed(
        [URL], subscribe=["A"], connector=net.connect, rng=Random(1), restart=RestartPolicy(max_attempts=3)
    ) as feed:
        await trio.sleep(1)
        await peer.send_quote("A", 1.0, 2.0)
        net.host("server").refuse()
        feed.rotate("leaving")
        await trio.sleep(30)
        net.host("server").refuse(False)
        await peer.send_quote("A", 1.0, 2.0)
        assert ["line-1"] == [line.name for line in feed.lines()]
        started, failed = await rotations_of(feed)
        assert isinstance(started, RotationStarted)
        assert isinstance(failed, RotationFailed)
        assert ("line-1", "line-2", "leaving") == (failed.old, failed.new, failed.reason)
        assert "gave up" in failed.detail
        peer._on_line = lambda line: "" if line.startswith("SUB") else None
        await trio.sleep(60)
        *_, again, silent = await rotations_of(feed)
        assert isinstance(again, RotationStarted)
        assert isinstance(silent, RotationFailed)
        assert 60 <= again.at - failed.at <= 60.1
        assert (10, "it did not deliver within 10 s") == (round(silent.took, 6), silent.detail)
        assert 1 == peer.connections
        assert [1, 2] == [quote.seq for quote in await feed.receive_batch()]


async def test_a_rotation_keeps_the_venues_limits(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """The new line waits like any other connection; if that takes too long, the old one stays."""
    net = VirtualNetwork(latency=0.02)
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    limits = {"server": VenueLimits(connects=2, connect_period=100.0)}
    calm = SilencePolicy(last_step="none")
    async with open_redundant_feed([URL], subscribe=["A"], connector=net.connect, limits=limits, silence=calm) as feed:
        await trio.sleep(1)
        feed.rotate("leaving")
        await trio.sleep(20)
        async with feed.events() as events:
            told = events.take_nowait()
        [wait] = [each.event for each in told if isinstance(each, SourceEvent) and isinstance(each.event, Throttled)]
        assert ("server", "connect", 99.0) == (wait.venue, wait.kind, round(wait.delay, 6))
        assert 1 == len([event for event in told if isinstance(event, RotationFailed)])
        assert 1 == peer.accepted
        await trio.sleep(125)  # tried again at 71 s, in vain, and at 141 s: what was not used is free again
        assert 2 == peer.accepted
        assert ["line-4"] == [line.name for line in feed.lines()]


async def test_a_quiet_feed_rotates_on_acknowledgements(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Where there is no data at all, there is none to wait for."""
    net = VirtualNetwork(latency=0.02)
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    async with open_redundant_feed([URL], subscribe=["A"], connector=net.connect) as feed:
        await trio.sleep(1)
        feed.rotate("leaving")
        with pytest.raises(ConfigError, match="no line 'x'"):
            feed.rotate("leaving", line="x")
        await trio.sleep(3)
        assert ["RotationStarted", "Rotated"] == [type(event).__name__ for event in await rotations_of(feed)]
        assert ["line-2"] == [line.name for line in feed.lines()]
        assert 1 == peer.connections
        assert "scripted" not in {line.rpartition(":")[0] for line in peer.lines}


async def test_the_new_line_takes_over_when_the_old_one_ends(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """The old line gives up while the new one is being made: the feed goes on with the new one."""
    net = VirtualNetwork(latency=0.02)
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    async with open_redundant_feed(
        [URL], subscribe=["A"], connector=net.connect, rng=Random(1), rotation=RotationPolicy(overlap=5)
    ) as feed:
        await trio.sleep(1)
        await peer.send_quote("A", 1.0, 2.0)
        feed.rotate("leaving")
        await trio.sleep(1)
        feed._merger.lines["line-1"].leaving.set()
        await trio.sleep(0.5)
        assert [("line-2", "main")] == [(line.name, line.role) for line in feed.lines()]
        assert ["RotationStarted", "Rotated"] == [type(event).__name__ for event in await rotations_of(feed)]
        await peer.send_quote("A", 1.0, 2.0)
        await trio.sleep(0.5)
        assert [1, 2] == [quote.seq for quote in await feed.receive_batch()]
