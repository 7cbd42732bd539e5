"""How a quote server goes away, comes back, and what its clients then know, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio import BackoffPolicy, ServerPolicy, open_session
from heartbeat_trio.events import Event, Gap, Lost, Quote, RetryScheduled
from heartbeat_trio.server import QuoteServer, serve_quotes
from heartbeat_trio.testing import VirtualNetwork
from tests.support.raw_clients import CLOSE, TEXT, LineClient, ManualSource, RawWebSocket

URLS = {"tcp": "tcp://server:1", "ws": "ws://server:2/", "ws engine": "ws://server:2/#engine=trio-websocket"}


class Life:
    """One life of a server: its task's scope, and the server itself."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.has_ended = trio.Event()
        self.server: QuoteServer

    async def run(self, net: VirtualNetwork, source: Any, *, task_status: trio.TaskStatus[None], **options: Any) -> None:
        with self.scope:
            async with trio.open_nursery() as nursery:
                tcp, ws = net.listen("server", 1), net.listen("server", 2)
                self.server = await nursery.start(partial(serve_quotes, source, tcp=tcp, ws=ws, **options))
                task_status.started()
        self.has_ended.set()


async def start(nursery: trio.Nursery, net: VirtualNetwork, source: Any, **options: Any) -> Life:
    life = Life()
    await nursery.start(partial(life.run, net, source, **options))
    await trio.testing.wait_all_tasks_blocked()
    return life


def server_streams(net: VirtualNetwork) -> list[str]:
    return [stream.address for stream in net.open_streams if stream.address.startswith("server:")]


async def lines_client(net: VirtualNetwork, host: str = "client") -> LineClient:
    return LineClient(await net.host(host).connect("server", 1))


async def websocket_client(net: VirtualNetwork, host: str = "client") -> RawWebSocket:
    client = RawWebSocket(await net.host(host).connect("server", 2))
    assert await client.handshake() == 101
    return client


# -- going away ------------------------------------------------------------------------------------------------------------


async def test_a_drain_says_goodbye_and_closes(autojump_clock: MockClock) -> None:
    net = VirtualNetwork(latency=0.01)
    async with trio.open_nursery() as nursery:
        life = await start(nursery, net, ManualSource(), policy=ServerPolicy(retry_after=7.5))
        lines, websocket = await lines_client(net), await websocket_client(net)
        assert await lines.is_alive()
        began = trio.current_time()
        nursery.start_soon(life.server.drain)
        assert await lines.line() == b"GOODBYE:shutdown:7.5\n"
        assert await lines.line() == b""
        assert await websocket.op() == {"op": "goodbye", "reason": "shutdown", "retry_after": 7.5}
        assert await websocket.frame() == (CLOSE, b"\x03\xe9shutdown")
        await websocket.send(CLOSE, b"\x03\xe9")
        assert await websocket.is_closed()
        await life.has_ended.wait()
        assert trio.current_time() - began < 0.2
        assert server_streams(net) == []
        for client in (lines, websocket):
            await client.stream.aclose()


async def test_a_drain_lets_slow_clients_read_what_they_were_sent(autojump_clock: MockClock) -> None:
    net = VirtualNetwork(latency=0.01, send_buffer=4096, receive_buffer=4096)
    source = ManualSource()
    async with trio.open_nursery() as nursery:
        life = await start(nursery, net, source)
        source.quote(count=200)
        net.host("slow").slow_reader(20_000)
        slow = await lines_client(net, "slow")
        await slow.send(b"SUBSCRIBE:BTCUSD:s1:0\n")
        await trio.sleep(0.1)
        began = trio.current_time()
        nursery.start_soon(life.server.drain)
        received = []
        while line := await slow.line():
            received.append(line)
        assert received[-1] == b"GOODBYE:shutdown:1.0\n"
        assert len([line for line in received if line.startswith(b"QUOTE:")]) == 200
        assert 0.5 < trio.current_time() - began < 2
        await life.has_ended.wait()
        assert trio.current_time() - began < 2.01
        await slow.stream.aclose()


@pytest.mark.parametrize("timeout", [0.0, 0.5, 2.0])
async def test_a_drain_is_bounded_by_its_timeout(timeout: float, autojump_clock: MockClock) -> None:
    net = VirtualNetwork(send_buffer=2048, receive_buffer=2048)
    source = ManualSource()
    async with trio.open_nursery() as nursery:
        life = await start(nursery, net, source)
        clients: list[Any] = [await lines_client(net, "frozen"), await websocket_client(net, "frozen")]
        await clients[0].send(b"SUBSCRIBE:BTCUSD\n")
        await clients[1].send(TEXT, b'{"op":"subscribe","symbols":["BTCUSD"]}')
        await trio.testing.wait_all_tasks_blocked()
        net.host("frozen").freeze()
        source.quote(count=500)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await life.server.drain(timeout)
        await life.has_ended.wait()
        assert trio.current_time() - began == pytest.approx(timeout)
        assert server_streams(net) == []
        for client in clients:
            await client.stream.aclose()


async def test_nobody_is_accepted_during_a_drain(autojump_clock: MockClock) -> None:
    net = VirtualNetwork(latency=0.01)
    async with trio.open_nursery() as nursery:
        life = await start(nursery, net, ManualSource())
        websocket = await websocket_client(net)
        nursery.start_soon(life.server.drain)
        await trio.sleep(0.05)
        assert not life.has_ended.is_set(), "it waits for the peer's Close"
        with pytest.raises(ConnectionRefusedError):
            await net.connect("server", 1)
        await websocket.stream.aclose()
        await life.has_ended.wait()


@pytest.mark.parametrize("count", [0, 1, 40])
async def test_a_cancelled_server_returns_at_once(count: int, autojump_clock: MockClock) -> None:
    """Whoever reads gets the goodbye; whoever is frozen costs nothing."""
    net = VirtualNetwork(send_buffer=2048, receive_buffer=2048)
    source = ManualSource()
    async with trio.open_nursery() as nursery:
        life = await start(nursery, net, source)
        good, websocket = await lines_client(net), await websocket_client(net)
        assert await good.is_alive()
        frozen: list[Any] = []
        for _ in range(count):
            frozen += [await lines_client(net, "frozen"), await websocket_client(net, "frozen")]
            await frozen[-2].send(b"SUBSCRIBE:BTCUSD\n")
            await frozen[-1].send(TEXT, b'{"op":"subscribe","symbols":["BTCUSD"]}')
        handshaking = await net.connect("server", 2)
        await trio.testing.wait_all_tasks_blocked()
        net.host("frozen").freeze()
        source.quote(count=500)
        await trio.testing.wait_all_tasks_blocked()
        assert life.server.clients == 2 + 2 * count
        began = trio.current_time()
        life.scope.cancel()
        await life.has_ended.wait()
        assert trio.current_time() - began == 0.0
        assert server_streams(net) == []
        assert await good.line() == b"GOODBYE:shutdown:1.0\n"
        assert await good.line() == b""
        assert (await websocket.op())["op"] == "goodbye"
        assert await websocket.close_code() == 1001
        for client in (good, websocket, *frozen):
            await client.stream.aclose()
        await handshaking.aclose()
        assert net.open_streams == ()


async def test_cancelled_in_the_middle_of_a_drain(autojump_clock: MockClock) -> None:
    net = VirtualNetwork()
    async with trio.open_nursery() as nursery:
        life = await start(nursery, net, ManualSource())
        websocket = await websocket_client(net)
        nursery.start_soon(life.server.drain)
        await trio.sleep(0.5)
        life.scope.cancel()
        await life.has_ended.wait()
        assert trio.current_time() == pytest.approx(0.5)
        await websocket.stream.aclose()
        assert net.open_streams == ()


# -- coming back -----------------------------------------------------------------------------------------------------------


class Follower:
    """A session and everything that it told."""

    def __init__(self) -> None:
        self.quotes: list[Quote] = []
        self.told: list[Event | Quote] = []
        self.events: list[Event] = []

    def gaps(self) -> list[tuple[str, int, int | None, str]]:
        return [(e.stream, e.first, e.last, e.reason) for e in self.events if isinstance(e, Gap)]

    def seqs(self, stream: str) -> list[int]:
        return [quote.seq for quote in self.quotes if quote.stream == stream]


@asynccontextmanager
async def following(url: str, net: VirtualNetwork) -> AsyncIterator[Follower]:
    follower = Follower()
    async with trio.open_nursery() as nursery:
        options: Any = {"connector": net.host("client").connect, "rng": Random(1), "backoff": BackoffPolicy(maximum=2)}
        async with open_session(url, subscribe=["BTCUSD"], **options) as session, session.events() as events:

            async def follow_events() -> None:
                async for event in events:
                    follower.events.append(event)

            async def follow_quotes() -> None:
                async for quote in session:
                    follower.quotes.append(quote)

            nursery.start_soon(follow_events)
            nursery.start_soon(follow_quotes)
            await session.wait_connected()
            await trio.sleep(0.5)
            yield follower
            nursery.cancel_scope.cancel()


async def publish(source: ManualSource, count: int, interval: float = 0.01) -> None:
    for _ in range(count):
        source.quote()
        await trio.sleep(interval)


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
async def test_after_a_cut_nothing_is_missing_and_nothing_comes_twice(url: str, autojump_clock: MockClock) -> None:
    net = VirtualNetwork(latency=0.02)
    source = ManualSource()
    async with trio.open_nursery() as nursery:
        life = await start(nursery, net, source)
        async with following(url, net) as follower:
            for _ in range(5):
                await publish(source, 50)
                net.host("client").reset_all()
                await publish(source, 20)
                await trio.sleep(5)
            await publish(source, 50)
            await trio.sleep(20)
        assert follower.seqs("s1") == list(range(1, 401))
        assert follower.gaps() == []
        assert len([event for event in follower.events if isinstance(event, Lost)]) == 5
        life.scope.cancel()
    assert net.open_streams == ()


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
async def test_what_is_no_longer_held_is_a_gap_with_exact_bounds(url: str, autojump_clock: MockClock) -> None:
    net = VirtualNetwork(latency=0.02)
    source = ManualSource()
    async with trio.open_nursery() as nursery:
        life = await start(nursery, net, source, policy=ServerPolicy(ring_size=10))
        async with following(url, net) as follower:
            await publish(source, 50)
            net.host("client").reset_all()
            source.quote(count=100)
            await trio.sleep(20)
            await publish(source, 5)
            await trio.sleep(1)
        [(stream, first, last, reason)] = follower.gaps()
        assert (stream, last, reason) == ("s1", 140, "expired")
        assert follower.seqs("s1") == [*range(1, first), *range(141, 156)]
        assert 48 <= first <= 51
        life.scope.cancel()


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
@pytest.mark.parametrize("waited", [5, 40])
async def test_a_restarted_server_has_another_stream(waited: int, url: str, autojump_clock: MockClock) -> None:
    """Drained, away for a while, and back with a new numbering: the first quotes of which may have expired already."""
    net = VirtualNetwork(latency=0.02)
    policy = ServerPolicy(ring_size=20, retry_after=3)
    async with trio.open_nursery() as nursery:
        old, new = ManualSource(stream="old"), ManualSource(stream="new")
        life = await start(nursery, net, old, policy=policy)
        async with following(url, net) as follower:
            await publish(old, 30)
            await trio.sleep(0.5)
            await life.server.drain()
            await life.has_ended.wait()
            ended = trio.current_time()
            life = await start(nursery, net, new, policy=policy)
            new.quote(count=waited)
            await trio.sleep(30)
            await publish(new, 5)
            await trio.sleep(1)
        retries = [event for event in follower.events if isinstance(event, RetryScheduled)]
        assert retries[0].delay <= 3, "retry_after is what the client spreads over"
        assert retries[0].at <= ended + 0.5
        assert next(event.cause for event in follower.events if isinstance(event, Lost)) == "goodbye"
        assert follower.seqs("old") == list(range(1, 31))
        gone = ("old", 31, None, "stream_changed")
        if waited == 5:
            assert follower.gaps() == [gone]
            assert follower.seqs("new") == list(range(1, 11))
        else:
            assert follower.gaps() == [gone, ("new", 1, 20, "expired")]
            assert follower.seqs("new") == list(range(21, 46))
        life.scope.cancel()
    assert net.open_streams == ()


@pytest.mark.parametrize("url", [URLS["tcp"], URLS["ws"]])
async def test_a_frozen_client_that_comes_back_is_told_what_was_conflated(url: str, autojump_clock: MockClock) -> None:
    """Its process stood still for a second, on a connection with small buffers."""
    net = VirtualNetwork(latency=0.001, send_buffer=2048, receive_buffer=2048)
    source = ManualSource()
    async with trio.open_nursery() as nursery:
        life = await start(nursery, net, source)
        async with following(url, net) as follower:
            await publish(source, 50)
            net.host("client").freeze()
            await publish(source, 100)
            net.host("client").thaw()
            await trio.sleep(0.5)
            await publish(source, 50)
            await trio.sleep(5)
        seqs = follower.seqs("s1")
        [(_, first, last, reason)] = follower.gaps()
        assert reason == "conflated"
        assert last == 149
        assert seqs == [*range(1, first), *range(150, 201)]
        statistics = life.server.statistics()
        assert statistics.skipped == 149 - first + 1
        life.scope.cancel()
