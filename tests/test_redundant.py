"""Several lines of one feed: what one loses the other brings, and the end of one is nobody else's."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import HeartbeatPolicy, InboxPolicy, RestartPolicy
from heartbeat_trio.events import Event, Gap, LineAdded, LineEnded, Lost, Overrun, Quote, Rotated, SessionStatus, SourceEvent
from heartbeat_trio.exceptions import ConfigError, GaveUp, LocalProtocolError, SlowConsumer
from heartbeat_trio.journal import open_journal, read_journal
from heartbeat_trio.policies import RedundantPolicy, RotationPolicy
from heartbeat_trio.redundant import RedundantFeed, open_redundant_feed
from heartbeat_trio.server import QuoteServer, serve_quotes
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork
from tests.support.shared_source import SharedSource

QUICK = HeartbeatPolicy(ping_interval=1, pong_timeout=0.5, max_missed_pongs=2)
PAIR = ("tcp://one:1", "tcp://two:1")


async def start_pair(net: VirtualNetwork, nursery: trio.Nursery) -> tuple[ScriptedPeer, ScriptedPeer]:
    peers = ScriptedPeer(net.listen("one", 1)), ScriptedPeer(net.listen("two", 1))
    for peer in peers:
        await nursery.start(peer.run)
    return peers


async def events_of(feed: RedundantFeed) -> list[Event]:
    async with feed.events() as events:
        return events.take_nowait()


async def test_each_quote_once_from_whoever_is_first(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Holes of one line are filled by the other; what neither has is one gap of the feed."""
    net = VirtualNetwork(latency=0.01)
    one, two = await start_pair(net, nursery)
    async with open_redundant_feed(PAIR, subscribe=["A"], connector=net.connect) as feed:
        await feed.wait_connected()
        await trio.sleep(0.1)
        for seq in (1, 2, 4, 6):
            await one.send_quote("A", 1.0, 2.0, seq=seq)
        await trio.sleep(0.05)
        for seq in (1, 3, 6):
            await two.send_quote("A", 1.0, 2.0, seq=seq)
        await trio.sleep(0.1)
        assert [1, 2, 3, 4, 6] == [quote.seq for quote in await feed.receive_batch()]
        first, second = feed.lines()
        assert ("line-1", "tcp://one:1", "main", SessionStatus.CONNECTED) == (
            first.name,
            first.endpoint,
            first.role,
            first.status,
        )
        assert (4, 2, 2) == (first.figures.won, first.figures.holes, first.figures.missing)
        assert pytest.approx(0.05) == second.figures.lag_maximum
        told = await events_of(feed)
    gaps = [event for event in told if isinstance(event, Gap)]
    assert [(5, 5, "unexplained")] == [(each.first, each.last, each.reason) for each in gaps]
    assert [("line-1", "tcp://one:1"), ("line-2", "tcp://two:1")] == [
        (each.name, each.endpoint) for each in told if isinstance(each, LineAdded)
    ]


async def test_a_line_that_comes_back_resumes_where_the_feed_is(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """What the other line brought meanwhile is not asked for again, and is no gap."""
    net = VirtualNetwork(latency=0.01)
    one, two = await start_pair(net, nursery)
    async with open_redundant_feed(PAIR, subscribe=["A"], connector=net.connect, rng=Random(1)) as feed:
        await trio.sleep(0.1)
        for peer in (one, two):
            await peer.send_quote("A", 1.0, 2.0, seq=1)
        await trio.sleep(0.1)
        await one.reset_all()
        for seq in range(2, 9):
            await two.send_quote("A", 1.0, 2.0, seq=seq)
        await trio.sleep(1)
        await one.send_quote("A", 1.0, 2.0, seq=9)
        await trio.sleep(0.1)
        assert list(range(1, 10)) == [quote.seq for quote in await feed.receive_batch()]
        told = await events_of(feed)
    assert [line for line in one.lines if line.startswith("SUB")] == ["SUBSCRIBE:A", "SUBSCRIBE:A:scripted:8"]
    assert not [each for each in told if isinstance(each, Gap)]
    assert not [each for each in told if isinstance(each, SourceEvent) and isinstance(each.event, Gap)]


async def test_lines_come_and_go(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Added and removed while the feed runs; symbols too."""
    net = VirtualNetwork(latency=0.01)
    one, two = await start_pair(net, nursery)
    async with open_redundant_feed(PAIR[:1], connector=net.connect) as feed:
        await feed.subscribe("A")
        await feed.wait_connected()
        await feed.subscribe("B")
        name = feed.add_line("tcp://two:1")
        await trio.sleep(0.1)
        assert ["A", "B"] == sorted(two.live[0].subscriptions)
        await feed.remove_line("line-1")
        await trio.sleep(0.1)
        assert 0 == one.connections
        assert [name] == [line.name for line in feed.lines()]
        assert feed.session("line-1") is None
        assert "tcp://two:1" in repr(feed.session(name))
        await feed.unsubscribe("B")
        await two.send_quote("A", 1.0, 2.0)
        await two.send_quote("B", 1.0, 2.0)  # on its way when it was unsubscribed
        await trio.sleep(0.1)
        assert ["A"] == [quote.symbol for quote in await feed.receive_batch()]
        assert ["A"] == sorted(two.live[0].subscriptions)
        with pytest.raises(ConfigError, match="there is no line 'line-1'; there are line-2"):
            await feed.remove_line("line-1")
        with pytest.raises(ConfigError, match="unknown scheme"):
            feed.add_line("http://x")
        with pytest.raises(LocalProtocolError, match="symbol 'a b' must be"):
            await feed.subscribe("a b")
        ended = [each for each in await events_of(feed) if isinstance(each, LineEnded)]
        assert [("line-1", "removed")] == [(each.name, each.cause) for each in ended]
        await feed.remove_line(name)
        assert () == feed.lines()
        assert ("no line",) == feed.is_suitable_for_trading().reasons
    with pytest.raises(ConfigError, match="ended"):
        feed.add_line("tcp://one:1")
    with pytest.raises(ConfigError, match="empty"):
        async with open_redundant_feed([]):
            pass


async def test_one_that_gives_up_is_an_event_all_are_the_end(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """One bare exception, with every line's history."""
    net = VirtualNetwork(latency=0.01)
    _one, two = await start_pair(net, nursery)
    net.host("one").refuse()
    with pytest.raises(GaveUp, match=r"all lines gave up: .*one:1.*two:1") as caught:
        async with open_redundant_feed(
            PAIR, subscribe=["A"], connector=net.connect, restart=RestartPolicy(max_attempts=2)
        ) as feed:
            await trio.sleep(30)
            assert ["line-2"] == [line.name for line in feed.lines()]
            await two.send_quote("A", 1.0, 2.0)
            assert 1 == (await anext(feed)).seq
            ended = [each for each in await events_of(feed) if isinstance(each, LineEnded)]
            assert [("line-1", "GaveUp")] == [(each.name, each.cause) for each in ended]
            net.host("two").refuse()
            net.host("two").reset_all()
            async for _quote in feed:
                pass
    assert 4 == len(caught.value.history)
    assert [] == [quote async for quote in feed]


async def test_suitable_if_any_line_is(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """With reasons by line if none is; a line with numbers of its own does not count."""
    net = VirtualNetwork(latency=0.01)
    one, two = await start_pair(net, nursery)
    two.new_stream("own")
    async with open_redundant_feed(PAIR, subscribe=["A"], connector=net.connect, heartbeat=QUICK) as feed:
        verdict = feed.is_suitable_for_trading()
        assert (False, ("disconnected", "disconnected")) == (verdict.ok, verdict.codes)
        assert ("line-1: not connected", "line-2: not connected") == verdict.reasons
        await trio.sleep(1)
        for _ in range(25):
            await one.send_quote("A", 1.0, 2.0)
            await trio.sleep(0.01)
            await two.send_quote("A", 1.0, 2.0)
            await trio.sleep(1)
        assert feed.is_suitable_for_trading()
        one.answer_pings = False
        await trio.sleep(0.5)
        await one.send_quote("A", 1.0, 2.0)
        await trio.sleep(1.3)
        verdict = feed.is_suitable_for_trading()
        assert not verdict.ok
        assert {"missed_pongs", "aside"} <= set(verdict.codes)
        assert (False, True) == tuple(line.is_aside for line in feed.lines())


async def test_a_slow_consumer(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Drops are counted and told; under `close` the feed ends, and no line is blamed."""
    net = VirtualNetwork(latency=0.01)
    one, _two = await start_pair(net, nursery)
    async with open_redundant_feed(PAIR, subscribe=["A"], connector=net.connect, inbox=InboxPolicy(size=2)) as feed:
        await trio.sleep(0.1)
        for _ in range(5):
            await one.send_quote("A", 1.0, 2.0)
        await trio.sleep(2)
        assert 3 == feed.dropped
        assert [4, 5] == [quote.seq for quote in await feed.receive_batch()]
        assert 3 == sum(each.dropped for each in await events_of(feed) if isinstance(each, Overrun))
    with pytest.raises(SlowConsumer):
        async with open_redundant_feed(
            PAIR, subscribe=["A"], connector=net.connect, inbox=InboxPolicy(size=2, overflow="close")
        ):
            await trio.sleep(0.1)
            for _ in range(3):
                await one.send_quote("A", 1.0, 2.0)
            await trio.sleep_forever()


async def test_without_numbers(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Copies are known by their content, if the caller says that numbers mean nothing."""
    net = VirtualNetwork(latency=0.01)
    one, two = await start_pair(net, nursery)
    two.new_stream("own")
    async with open_redundant_feed(
        PAIR, subscribe=["A"], connector=net.connect, is_sequenced=lambda _quote: False, policy=RedundantPolicy(window=3)
    ) as feed:
        await trio.sleep(1)
        line = b'QUOTE:{"symbol":"A","bid":1.5,"ask":2.5,"seq":%d,"stream":"%s","ts":7}\n'
        await one.send(line % (1, b"x"))
        await trio.sleep(0.5)
        await two.send(line % (77, b"y"))
        await trio.sleep(1)
        assert [("x", 1)] == [(quote.stream, quote.seq) for quote in await feed.receive_batch()]
        assert ["content", "content"] == [each.figures.by for each in feed.lines()]


async def serve(nursery: trio.Nursery, source: SharedSource, where: str) -> tuple[trio.CancelScope, str]:
    """A server that a test may kill: its scope, and its address."""
    scope = trio.CancelScope()

    async def run(task_status: trio.TaskStatus[QuoteServer]) -> None:  # noqa: ASYNC128 - serve_quotes calls started
        with scope:
            await serve_quotes(source.outlet(), tcp=where, task_status=task_status)

    server: QuoteServer = await nursery.start(run)
    return scope, f"tcp://{server.addresses['tcp']}"


async def test_killing_one_of_two_servers_shows_no_hole(nursery: trio.Nursery) -> None:
    """On real sockets, 500 quotes/s, each server killed and brought back in turn: complete, in order, no gap."""
    source = SharedSource(["A"])
    with trio.fail_after(8):
        first, one = await serve(nursery, source, "127.0.0.1:0")
        second, two = await serve(nursery, source, "127.0.0.1:0")
        nursery.start_soon(source.run, 500.0)
        quotes: list[Quote] = []

        async def collect(until: int) -> None:
            while len(quotes) < until:
                quotes.extend(await feed.receive_batch())

        async with open_redundant_feed([one, two], subscribe=["A"]) as feed:
            await collect(200)
            first.cancel()
            await collect(500)
            first, _ = await serve(nursery, source, one.removeprefix("tcp://"))
            while sum(line.status is SessionStatus.CONNECTED for line in feed.lines()) < 2:
                await collect(len(quotes) + 1)
            second.cancel()
            await collect(len(quotes) + 300)
            told = await events_of(feed)
        assert list(range(quotes[0].seq, quotes[0].seq + len(quotes))) == [quote.seq for quote in quotes]
        assert not [event for event in told if isinstance(event, Gap)]
        lost = {event.source for event in told if isinstance(event, SourceEvent) and isinstance(event.event, Lost)}
        assert {"line-1", "line-2"} == lost
    nursery.cancel_scope.cancel()


async def test_lines_that_cannot_work_end_it_with_their_own_error(autojump_clock: MockClock) -> None:
    """What no attempt can mend is no matter of giving up."""
    net = VirtualNetwork()
    with pytest.raises(ConfigError, match="a token is not sent in the clear"):
        async with open_redundant_feed(PAIR, connector=net.connect, token="secret") as feed:
            await feed.wait_connected()


async def test_the_journal_tells_the_feed_from_its_lines(tmp_path: Path, nursery: trio.Nursery) -> None:
    """A hole of one line is in its own session, a gap of the feed in the feed's; each has its statistics."""
    peers = []
    with trio.fail_after(8):
        urls = []
        for _ in range(2):
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            urls.append(f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}")
            peers.append(ScriptedPeer(listener))
            await nursery.start(peers[-1].run)
        async with (
            open_journal(tmp_path) as journal,
            open_redundant_feed(urls, subscribe=["A"], journal=journal) as feed,
        ):
            assert "<RedundantFeed of 2 lines>" == repr(feed)
            while sum(len(each.subscriptions) for peer in peers for each in peer.live) < 2:
                await trio.sleep(0.01)
            for seq, count in ((1, 2), (2, 1), (3, 2), (5, 2)):
                for peer in peers[:count]:
                    await peer.send_quote("A", 1.0, 2.0, seq=seq)
            seen = [(await anext(feed)).seq for _ in range(4)]
            while sum(each.figures.received for each in feed.lines()) < 7:
                await trio.sleep(0.01)
            feed.rotate("test")
            while not [each for each in await events_of(feed) if isinstance(each, Rotated)]:
                await trio.sleep(0.05)
        entries = list(read_journal(tmp_path).entries())
    assert [1, 2, 3, 5] == seen
    gaps = [(entry.endpoint, entry.fields["first"]) for entry in entries if entry.event == "gap"]
    assert [f"redundant feed of {urls[0]}, {urls[1]}"] == [where for where, first in gaps if where not in urls]
    assert {(urls[0], 4), (urls[1], 4), (urls[1], 2)} == {gap for gap in gaps if gap[0] in urls}
    events = [entry.event for entry in entries]
    assert (5, 2) == (events.count("session"), events.count("rotated"))
    assert events.count("statistics") >= 5
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("first", "attempts"), [(0, 4), (1, 2)])
async def test_lines_that_give_up_during_a_rotation_are_told_too(
    first: int, attempts: int, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Where the old line ends first, the history is of both; where the new one does, that was only a failed rotation."""
    net = VirtualNetwork(latency=0.01)
    one, _two = await start_pair(net, nursery)
    with pytest.raises(GaveUp) as caught:
        async with open_redundant_feed(
            ["tcp://one:1"],
            subscribe=["A"],
            connector=net.connect,
            restart=RestartPolicy(max_attempts=2),
            rotation=RotationPolicy(timeout=60, overlap=30),
        ) as feed:
            await trio.sleep(1)
            feed.rotate("asked")
            await trio.sleep(0.5)
            net.host("one").refuse()
            await one.live[first].reset()
            await trio.sleep(20)
            assert [f"line-{2 - first}"] == [line.name for line in feed.lines()]
            net.host("one").reset_all()
            await trio.sleep_forever()
    assert attempts == len(caught.value.history)
    nursery.cancel_scope.cancel()
