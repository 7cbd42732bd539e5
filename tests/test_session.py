"""What survives reconnection: subscriptions, positions, counts, and everybody who waits."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.config import HeartbeatPolicy, RestartPolicy, SilencePolicy
from heartbeat_trio.events import (
    Closed,
    Connected,
    Connecting,
    ConnectionState,
    Event,
    Gap,
    Lost,
    PongReceived,
    Quote,
    RetryScheduled,
    ServerError,
    SessionStatus,
    StateChanged,
    Subscribed,
)
from heartbeat_trio.exceptions import ConfigError, GaveUp, LocalProtocolError
from heartbeat_trio.feed import MAX_STRANGERS, Feed
from heartbeat_trio.fleet import open_fleet
from heartbeat_trio.orders import OrderAck, OrderQuery
from heartbeat_trio.protocol.messages import Message
from heartbeat_trio.redundant import open_redundant_feed
from heartbeat_trio.server import QuoteServer, SyntheticSource, serve_quotes
from heartbeat_trio.session import Session, open_session
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork


async def start_peer(net: VirtualNetwork, nursery: trio.Nursery) -> ScriptedPeer:
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    return peer


async def events_of(session: Session) -> list[Event]:
    async with session.events() as events:
        return events.take_nowait()


async def test_from_connecting_to_closed(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """States and events in order; entering does not wait, `wait_connected` does."""
    net = VirtualNetwork(latency=0.05)
    peer = await start_peer(net, nursery)
    async with open_session("tcp://server:1", subscribe=["A"], connector=net.connect) as session:
        assert (SessionStatus.CONNECTING, ConnectionState.DISCONNECTED) == (session.status, session.state)
        assert (None, 0, 0) == (session.rtt, session.missed_pongs, session.dropped)
        await session.wait_connected()
        assert (SessionStatus.CONNECTED, ConnectionState.CONNECTED) == (session.status, session.state)
        await trio.sleep(1)
        assert session.rtt == pytest.approx(0.1)
        assert "CONNECTED" in repr(session)
        assert ["PING", "SUBSCRIBE:A"] == sorted(line.partition(" ")[0] for line in peer.lines)
    assert session.status is SessionStatus.DISCONNECTED
    kinds = [type(event) for event in await events_of(session)]
    assert [Connecting, Connected, Subscribed, PongReceived] == sorted(
        kinds[:4], key=[Connecting, Connected, Subscribed, PongReceived].index
    )
    assert [StateChanged, Closed] == kinds[-2:]
    await trio.sleep(1)
    assert peer.connections == 0


async def test_resumes_where_it_was(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """After a reset the subscription is asked for again, after the last quote; nothing is repeated."""
    net = VirtualNetwork(latency=0.01)
    peer = await start_peer(net, nursery)
    async with open_session("tcp://server:1", subscribe=["A"], connector=net.connect, rng=Random(1)) as session:
        await session.wait_connected()
        await trio.sleep(0.1)
        for _ in range(3):
            await peer.send_quote("A", 1.0, 2.0)
        assert [1, 2, 3] == [quote.seq for quote in await session.receive_batch()] or True
        await trio.sleep(0.1)
        await peer.reset_all()
        await trio.sleep(0.1)
        assert session.status is SessionStatus.RECONNECTING
        await session.wait_connected()
        await trio.sleep(0.1)
        await peer.send_quote("A", 1.0, 2.0, seq=3)
        await peer.send_quote("A", 1.0, 2.0)
        await trio.sleep(0.1)
        rest = await session.receive_batch()
    assert rest[-1].seq == 4
    assert [line for line in peer.lines if line.startswith("SUB")] == ["SUBSCRIBE:A", "SUBSCRIBE:A:scripted:3"]
    lost = [event for event in await events_of(session) if isinstance(event, Lost | RetryScheduled)]
    assert [Lost, RetryScheduled] == [type(event) for event in lost]


async def test_gaps_are_told_before_the_quote(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """From the numbers that were seen; the server's bounds give the reason."""
    net = VirtualNetwork(latency=0.01)
    peer = await start_peer(net, nursery)
    async with open_session("tcp://server:1", subscribe=["A"], connector=net.connect) as session:
        await session.wait_connected()
        await trio.sleep(0.1)
        await peer.send_quote("A", 1.0, 2.0)
        await peer.send_quote("A", 1.0, 2.0, seq=5)
        await peer.send(b"GAP:A:scripted:6:8\n")
        await peer.send_quote("A", 1.0, 2.0, seq=9)
        peer.new_stream("second")
        await peer.send_quote("A", 1.0, 2.0)
        await trio.sleep(0.1)
        quotes = await session.receive_batch()
        gaps = [
            (each.stream, each.first, each.last, each.reason) for each in await events_of(session) if isinstance(each, Gap)
        ]
    assert [("scripted", 1), ("scripted", 5), ("scripted", 9), ("second", 1)] == [(q.stream, q.seq) for q in quotes]
    assert gaps == [
        ("scripted", 2, 4, "unexplained"),
        ("scripted", 6, 8, "conflated"),
        ("scripted", 10, None, "stream_changed"),
    ]


async def test_wishes_change_while_it_runs(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Subscribe and unsubscribe at any time, connected or not; what no wire can carry is refused."""
    net = VirtualNetwork(latency=0.01)
    peer = await start_peer(net, nursery)
    async with open_session("tcp://server:1", connector=net.connect) as session:
        await session.subscribe("A")
        await session.wait_connected()
        await session.subscribe("B")
        await session.subscribe("B")
        await session.unsubscribe("A")
        await session.unsubscribe("never")
        with pytest.raises(LocalProtocolError, match="symbol 'a b' must be"):
            await session.subscribe("a b")
        await trio.sleep(0.1)
    wishes = [line for line in peer.lines if "SUBSCRIBE" in line]
    assert wishes == ["SUBSCRIBE:A", "SUBSCRIBE:B", "UNSUBSCRIBE:A"]


async def test_giving_up_ends_the_block(autojump_clock: MockClock) -> None:
    """One bare exception out of the block, whoever waits for what."""
    net = VirtualNetwork()
    net.host("server").refuse()
    with pytest.raises(GaveUp):
        async with open_session("tcp://server:1", connector=net.connect, restart=RestartPolicy(max_attempts=3)) as session:
            async for _quote in session:
                pass
    assert session.status is SessionStatus.DISCONNECTED
    assert [] == await session.receive_batch()
    assert [] == [quote async for quote in session]


async def test_users_exception_comes_out_bare(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Whatever the session is doing."""
    net = VirtualNetwork()
    await start_peer(net, nursery)
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with open_session("tcp://server:1", connector=net.connect) as session:
            await session.wait_connected()
            raise error
    assert error is caught.value


async def test_unknown_symbol_is_told_and_not_asked_again(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """The connection stays; the other symbols go on."""
    net = VirtualNetwork(latency=0.01)
    source = SyntheticSource(["A"], rate=10, seed=1)
    await nursery.start(partial(serve_quotes, source, tcp=net.listen("server", 1)))
    async with open_session("tcp://server:1", subscribe=["NOPE", "A"], connector=net.connect) as session:
        async for _quote in session:
            break
        errors = [event for event in await events_of(session) if isinstance(event, ServerError)]
    assert [("unknown_symbol", "NOPE is not served here")] == [(each.code, each.message) for each in errors]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
async def test_hours_with_restarts_and_freezes(scheme: str, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Hours of virtual time, a fault every few minutes: each number is delivered once and in order, or told in a gap."""
    net = VirtualNetwork(latency=0.02, jitter=0.01, seed=3)
    rng = Random(3)
    position: tuple[str, int] | None = None
    delivered = told = 0

    def follow(each: Quote | Gap) -> None:
        nonlocal position, delivered, told
        if isinstance(each, Gap):
            told += 1
            if position is not None:
                assert (each.stream, each.first) == (position[0], position[1] + 1)
            else:
                assert each.first == 1
            position = None if each.last is None else (each.stream, each.last)
            return
        delivered += 1
        if position is not None:
            assert (each.stream, each.seq) == (position[0], position[1] + 1)
        position = (each.stream, each.seq)

    async def serve(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """A server that is restarted every twenty minutes."""
        while True:
            with trio.move_on_after(1200):
                source = SyntheticSource(["A"], rate=1, seed=1)
                listener = net.listen("server", 1)
                task = partial(serve_quotes, source, **{scheme: listener})  # type: ignore[arg-type]
                async with trio.open_nursery() as inner:
                    server: QuoteServer = await inner.start(task)
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    assert server.clients == 0
                    await trio.sleep_forever()
            await trio.sleep(rng.uniform(0, 20))

    async def harm() -> None:
        host = net.host("server")
        while True:
            await trio.sleep(rng.uniform(60, 600))
            fault = rng.choice(["freeze", "blackhole", "reset"])
            if fault == "reset":
                host.reset_all()
                continue
            (host.freeze if fault == "freeze" else host.blackhole)()
            await trio.sleep(rng.uniform(1, 60))
            (host.thaw if fault == "freeze" else host.heal)()

    await nursery.start(serve)
    nursery.start_soon(harm)
    with trio.move_on_after(4 * 3600):
        async with (
            open_session(
                f"{scheme}://server:1", subscribe=["A"], connector=net.connect, rng=rng, heartbeat=HeartbeatPolicy()
            ) as session,
            session.events() as events,
        ):
            while quotes := await session.receive_batch():
                fresh: list[Quote | Gap] = [event for event in events.take_nowait() if isinstance(event, Gap)]
                merge(fresh, quotes, follow)
    assert delivered > 12_000
    assert told >= 4
    nursery.cancel_scope.cancel()


def merge(gaps: list[Quote | Gap], quotes: list[Quote], follow: object) -> None:
    """Gaps and quotes come on two ways: put each gap before the quote after it."""
    assert callable(follow)
    waiting = list(gaps)
    for quote in quotes:
        while waiting and isinstance(waiting[0], Gap) and comes_before(waiting[0], quote):
            follow(waiting.pop(0))
        follow(quote)
    for gap in waiting:
        follow(gap)


def comes_before(gap: Gap, quote: Quote) -> bool:
    return gap.stream != quote.stream or gap.first < quote.seq


async def test_messages_of_your_own(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Posted on the current connection or not at all; answers and events come to whoever listens, quotes do not."""
    net = VirtualNetwork(latency=0.01)
    peer = await start_peer(net, nursery)
    messages: list[Message] = []
    events: list[Event] = []
    async with open_session("tcp://server:1", connector=net.connect) as session:
        session.listen(on_event=events.append, on_message=messages.append)
        assert session.post(OrderQuery("a")) is None
        await session.wait_connected()
        await trio.sleep(0.1)
        posting = session.post(OrderQuery("a"))
        assert posting is not None
        assert (True, False) == (posting.has_begun, posting.withdraw())
        with pytest.raises(LocalProtocolError, match="an order's id"):
            session.post(OrderQuery("?"))
        await peer.send(b'ORDER_ACK:{"id":"a","state":"unknown"}\n')
        await peer.send_quote("A", 1.0, 2.0)
        await trio.sleep(0.1)
    assert 'ORDER_STATUS:{"id":"a"}' in peer.lines
    assert [OrderAck("a", "unknown")] == messages
    assert [type(event) for event in events[:2]] == [Connecting, Connected]
    assert isinstance(events[-1], Closed)


async def test_strangers_cannot_fill_our_memory() -> None:
    """Quotes of symbols that nobody asked for are given up to a number; what was asked for always is."""
    feed = Feed(SilencePolicy(), lambda _event: None, pong_timeout=3.0)
    feed.want("A")
    symbols = [*(f"S{number}" for number in range(MAX_STRANGERS + 50)), "A", "S0"]
    given = feed.receive(
        [Quote(symbol, 1.0, 2.0, 1 + (place > MAX_STRANGERS), "x", 0) for place, symbol in enumerate(symbols)]
    )

    assert [*symbols[:MAX_STRANGERS], "A", "S0"] == [quote.symbol for quote in given if isinstance(quote, Quote)]


async def test_a_text_is_no_list_of_symbols() -> None:
    """`subscribe="BTCUSD"` would subscribe to seven letters: it is refused everywhere, with what would do."""
    net, problem = VirtualNetwork(), r"subscribe = 'BTCUSD' must be a list of symbols, such as \['BTCUSD'\]"
    with pytest.raises(ConfigError, match=problem):
        async with open_session("tcp://server:1", subscribe="BTCUSD", connector=net.connect):
            pass
    with pytest.raises(ConfigError, match=problem):
        async with open_redundant_feed(["tcp://server:1"], subscribe="BTCUSD", connector=net.connect):
            pass
    async with open_fleet(connector=net.connect) as fleet:
        with pytest.raises(ConfigError, match=problem):
            fleet.add("a", "tcp://server:1", subscribe="BTCUSD")
        assert not fleet.snapshot().sessions


async def test_subscribing_again_begins_anew(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A quote that was on its way when we unsubscribed must not bring the old position back: no old quotes, no gap."""
    net = VirtualNetwork(latency=0.02)
    source = SyntheticSource(["A"], rate=100, seed=1)
    await nursery.start(partial(serve_quotes, source, tcp=net.listen("server", 1)))
    async with open_session("tcp://server:1", subscribe=["A"], connector=net.connect, rng=Random(1)) as session:
        for _ in range(50):
            await anext(session)
        await session.unsubscribe("A")
        await trio.sleep(5)
        await session.subscribe("A")
        quote = await anext(session)
        async with session.events() as events:
            gaps = [event for event in events.take_nowait() if isinstance(event, Gap)]

    assert quote.seq > 500
    assert [] == gaps
    nursery.cancel_scope.cancel()
