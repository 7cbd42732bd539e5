"""Orders over several servers: each once, each answered or told, whatever dies under it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from heartbeat_trio import (
    Balancer,
    ConfigError,
    ConnectionClosed,
    EndpointChanged,
    EndpointState,
    Event,
    GaveUp,
    LocalProtocolError,
    MemoryOrderBook,
    Order,
    OrderAmbiguous,
    OrderChanged,
    OrderContradicted,
    OrderRecord,
    OrderState,
    RestartPolicy,
    Switched,
    open_balancer,
)
from heartbeat_trio.server.order_book import FENCED
from heartbeat_trio.testing import VirtualNetwork
from tests.support.order_servers import QUICK, Servers, SlowBook, balancing, order, url
from tests.test_cancellation import CancelAtStep

PENDING, ACKNOWLEDGED, REJECTED, AMBIGUOUS = OrderState


def shared() -> MemoryOrderBook:
    return MemoryOrderBook(is_shared=True)


def best_of(balancer: Balancer) -> str:
    assert balancer.best is not None
    return balancer.best.host


async def events_of(balancer: Balancer) -> list[Event]:
    async with balancer.events() as events:
        return events.take_nowait()


async def send_ambiguous(balancer: Balancer, an_order: Order) -> OrderAmbiguous:
    """Send an order of which nothing can be known."""
    with pytest.raises(OrderAmbiguous) as caught:
        await balancer.send_order(an_order)
    return caught.value


async def test_an_order_goes_to_the_best_and_comes_back_answered(autojump_clock: MockClock) -> None:
    """With its times, and where it went; what is asked for twice is sent once."""
    book = shared()
    async with balancing("a", "b", book=book) as (balancer, _servers):
        await balancer.wait_connected()
        best = str(balancer.best)
        record = await balancer.send_order(order(1))
        assert (ACKNOWLEDGED, best, best) == (record.state, record.endpoint, record.answered_by)
        assert record.settled_at is not None
        assert record.settled_at - record.created_at == pytest.approx(0.020)
        assert record == await balancer.send_order(order(1)) == await balancer.resolve("o-1") == balancer.order("o-1")
        assert ((record,), {"o-1": 1}) == (balancer.orders(), book.copies)
        assert "best tcp://" in repr(balancer)


async def test_what_is_refused(autojump_clock: MockClock) -> None:
    """By the server with its reason; by us, before it could leave, what no server could understand."""
    async with balancing("a", book=shared()) as (balancer, _servers):
        record = await balancer.send_order(Order("x", "NOPE", "buy", 1.0))
        assert (REJECTED, "unknown symbol NOPE") == (record.state, record.reason)
        with pytest.raises(LocalProtocolError, match="order 'a b' cannot be sent: an order's id is"):
            await balancer.send_order(Order("a b", "BTCUSD", "buy", 1.0))
        await balancer.send_order(order(1))
        with pytest.raises(LocalProtocolError, match="id o-1 was used"):
            await balancer.send_order(order(1, quantity=2.0))
        with pytest.raises(LocalProtocolError, match="no order 'never'"):
            await balancer.resolve("never")


async def test_a_server_that_takes_no_orders_says_so(autojump_clock: MockClock) -> None:
    """At once, and finally."""
    async with balancing("a") as (balancer, _servers):
        record = await balancer.send_order(order(1))
    assert (REJECTED, "this server takes no orders") == (record.state, record.reason)


@pytest.mark.parametrize(("before", "after", "state"), [(0.0, 9.0, ACKNOWLEDGED), (9.0, 0.0, REJECTED)])
async def test_the_line_dies_before_the_answer(
    autojump_clock: MockClock, before: float, after: float, state: OrderState
) -> None:
    """The caller is told, and a backup with the same book knows; what had not arrived is refused when it comes late."""
    slow, book = SlowBook(), shared()
    slow._rows, slow.copies = book._rows, book.copies  # one book, slow on one server
    async with balancing("a", "b", books={"a": slow, "b": slow}) as (balancer, servers):
        slow.before, slow.after = before, after
        best = best_of(balancer)
        with trio.move_on_after(0.1):
            await balancer.send_order(order(1))
        slow.before = slow.after = 0.0
        servers.net.host(best).reset_all()
        error = await send_ambiguous(balancer, order(1))
        assert (AMBIGUOUS, url(best)) == (error.record.state, error.record.endpoint)
        assert f"order o-1 may or may not have reached tcp://{best}:1" in str(error)
        assert best_of(balancer) != best

        record = await balancer.resolve("o-1")

        assert (state, url(best_of(balancer))) == (record.state, record.answered_by)
        await trio.sleep(20)  # the copy that was under way is recorded now
        assert (state, {"o-1": 1}) == (balancer.order("o-1").state, book.copies)  # type: ignore[union-attr]
        told = [(event.old, event.new) for event in await events_of(balancer) if isinstance(event, OrderChanged)]
        assert [(PENDING, AMBIGUOUS), (AMBIGUOUS, state)] == told


async def test_without_a_shared_book_nobody_else_knows(autojump_clock: MockClock) -> None:
    """It stays ambiguous as long as the server that got it is gone; and is known when that one is back."""
    books = {"a": SlowBook(is_shared=False), "b": SlowBook(is_shared=False)}
    async with balancing("a", "b", books=dict(books)) as (balancer, servers):
        best = best_of(balancer)
        books[best].after = 0.1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_ambiguous, balancer, order(1))
            await trio.sleep(0.05)
            servers.net.host(best).refuse()
            servers.net.host(best).reset_all()
        with pytest.raises(OrderAmbiguous, match="no server that lives can say"):
            await balancer.resolve("o-1")
        servers.net.host(best).refuse(on=False)
        await trio.sleep(40)
        record = await balancer.resolve("o-1")
    assert (ACKNOWLEDGED, url(best)) == (record.state, record.answered_by)


async def test_a_restarted_server_has_forgotten(autojump_clock: MockClock) -> None:
    """Its own book is new: "unknown" is no answer, not even its own."""
    book = SlowBook(is_shared=False)
    book.after = 9.0
    async with balancing("a", book=book) as (balancer, servers):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_ambiguous, balancer, order(1))
            await trio.sleep(0.05)
            servers.stop("a")
        await servers.start("a", MemoryOrderBook())
        with pytest.raises(OrderAmbiguous, match="no server that lives can say"):
            await balancer.resolve("o-1")


async def test_an_order_waits_for_a_line(autojump_clock: MockClock) -> None:
    """None stands: it waits, and leaves on the first that does. Cancelled meanwhile, it never leaves by itself."""
    book, net = shared(), VirtualNetwork(latency=0.010)
    async with open_balancer([url("a")], connector=net.connect, policy=QUICK) as balancer, trio.open_nursery() as nursery:
        assert (None, ()) == (balancer.best, balancer.orders())
        net.host("a")
        with trio.move_on_after(1) as scope:
            await balancer.send_order(order(1))
        assert scope.cancelled_caught
        nursery.start_soon(balancer.send_order, order(2))
        await trio.sleep(1)
        await Servers(net, nursery).start("a", book)
        await balancer.wait_connected()
        await trio.sleep(0.1)
        assert {"o-2": 1} == book.copies
        waiting = balancer.order("o-1")
        assert waiting is not None
        assert (PENDING, None, waiting) == (waiting.state, waiting.sent_at, await balancer.resolve("o-1"))

        await balancer.send_order(order(1))

        assert {"o-2": 1, "o-1": 1} == book.copies
        nursery.cancel_scope.cancel()


async def test_resolving_waits_for_a_line(autojump_clock: MockClock) -> None:
    """And survives the loss of the line that it asked on."""
    book = SlowBook()
    async with balancing("a", book=book) as (balancer, servers):
        book.after = 1.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_ambiguous, balancer, order(1))
            await trio.sleep(0.05)
            servers.net.host("a").reset_all()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(balancer.resolve, "o-1")
            await trio.sleep(2)
            servers.net.host("a").reset_all()  # the question is under way
        record = balancer.order("o-1")
    assert record is not None
    assert ACKNOWLEDGED is record.state


async def test_a_suspect_server_is_left_before_it_is_dead(autojump_clock: MockClock) -> None:
    """The next order goes to the other one; what is under way on the suspect line is not given up."""
    book = shared()
    async with balancing("a", "b", book=book) as (balancer, servers):
        best = best_of(balancer)
        servers.net.host(best).freeze()
        frozen_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(balancer.send_order, order(1))
            while best_of(balancer) == best:
                await trio.sleep(0.1)
            assert trio.current_time() - frozen_at < 7, "two probe timeouts after the next ping"
            record = await balancer.send_order(order(2))
            assert url(best) != record.endpoint
            assert PENDING is balancer.order("o-1").state  # type: ignore[union-attr]
            servers.net.host(best).thaw()
        assert ACKNOWLEDGED is balancer.order("o-1").state  # type: ignore[union-attr]
        assert {"o-1": 1, "o-2": 1} == book.copies
        [switch] = [event for event in await events_of(balancer) if isinstance(event, Switched) and event.old]
        assert "suspect" == switch.reason


async def test_what_has_not_left_on_a_failing_line_leaves_on_another(autojump_clock: MockClock) -> None:
    """The best is frozen and its socket full; the orders behind that go elsewhere, and arrive once."""
    book = shared()
    async with balancing("a", "b", book=book) as (balancer, servers):
        best = best_of(balancer)
        servers.net.host(best).freeze()
        async with trio.open_nursery() as nursery:
            for number in range(3000):
                nursery.start_soon(partial(settle, balancer), Order(f"o-{number}", "BTCUSD", "buy", 1.0))
            await wait_all_tasks_blocked()
            unsent = [record for record in balancer.orders() if record.sent_at is None]
            assert len(unsent) > 100
        assert {ACKNOWLEDGED} == {balancer.order(record.order.id).state for record in unsent}  # type: ignore[union-attr]
        assert set(book.copies.values()) == {1}
        assert len(unsent) <= len(book.copies)


async def test_the_next_order_leaves_at_the_instant_of_the_verdict(autojump_clock: MockClock) -> None:
    """Of orders each millisecond, the first that finds the line lost is on the other one at once: nothing is waited for."""
    async with balancing("a", "b", book=shared()) as (balancer, servers):
        best = best_of(balancer)
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(partial(settle, balancer), order(number))
                await trio.sleep(0.001)
                if number == 50:
                    servers.net.host(best).reset_all()
        [switch] = [event for event in await events_of(balancer) if isinstance(event, Switched) and event.old]
        sent = [(each.sent_at, each.created_at) for each in balancer.orders() if each.endpoint != url(best)]
        assert (url(best), "lost") == (switch.old, switch.reason)
        assert 39 == len(sent)  # the reset is under way for 10 ms
        assert [max(switch.at, created) for _, created in sent] == [at for at, _ in sent]


async def test_cancelled_behind_a_full_socket(autojump_clock: MockClock) -> None:
    """What has left meanwhile is not taken back; what has not never leaves; and all that is asked for again goes once."""
    book, orders = shared(), [order(number) for number in range(6000)]
    async with balancing("a", book=book) as (balancer, servers):
        servers.net.host("a").freeze()
        async with trio.open_nursery() as nursery:
            for each in orders:
                nursery.start_soon(balancer.send_order, each)
            await wait_all_tasks_blocked()
            before = {record.order.id for record in balancer.orders() if record.sent_at is None}
            servers.net.host("a").thaw()
            await trio.sleep(1)  # the server reads 1000 a second
            nursery.cancel_scope.cancel()
        unsent = {record.order.id for record in balancer.orders() if record.sent_at is None}
        assert 100 < len(unsent) < len(before)
        await trio.sleep(9)
        assert unsent.isdisjoint(book.copies)
        assert {ACKNOWLEDGED} == {record.state for record in balancer.orders() if record.order.id not in unsent}
        async with trio.open_nursery() as nursery:
            for each in orders:
                nursery.start_soon(balancer.send_order, each)
        assert (6000, {1}) == (len(book.copies), set(book.copies.values()))
        assert not [event for event in await events_of(balancer) if isinstance(event, OrderContradicted)]


async def settle(balancer: Balancer, an_order: Order) -> None:
    try:
        await balancer.send_order(an_order)
    except OrderAmbiguous:
        await balancer.resolve(an_order.id)


async def settle_patiently(balancer: Balancer, an_order: Order) -> None:
    """Of a server that froze before it told its book, no other knows; it will."""
    try:
        await balancer.send_order(an_order)
    except OrderAmbiguous:
        while True:
            with suppress(OrderAmbiguous):
                await balancer.resolve(an_order.id)
                return
            await trio.sleep(1)


async def test_a_slower_server_is_left(autojump_clock: MockClock) -> None:
    """In the whole system: pongs to the selector, and a switch that tells its figures."""
    async with balancing("a", "b", book=shared()) as (balancer, servers):
        best = best_of(balancer)
        await trio.sleep(60)
        servers.net.host(best).latency = 0.080
        await trio.sleep(200)
        assert best != best_of(balancer)
        [switch] = [event for event in await events_of(balancer) if isinstance(event, Switched) and event.old]
        assert switch.reason == "quality"
        assert switch.old_score is not None
        assert switch.new_score is not None
        assert switch.old_score > switch.new_score == pytest.approx(0.020)
        snapshots = {each.endpoint: each for each in balancer.endpoints()}
        assert (EndpointState.READY, True) == (snapshots[switch.new].state, snapshots[switch.new].is_best)
        assert sum(each.share for each in snapshots.values()) == pytest.approx(1, abs=0.01)


async def test_one_session_that_gives_up_leaves_the_others_alone(autojump_clock: MockClock) -> None:
    """And the last one's error comes out bare."""
    book, net, restart = shared(), VirtualNetwork(latency=0.010), RestartPolicy(max_attempts=3)
    async with trio.open_nursery() as nursery:
        servers = Servers(net, nursery)
        for name in "ab":
            await servers.start(name, book)
        with pytest.raises(GaveUp) as caught:
            async with open_balancer([url("a"), url("b")], connector=net.connect, restart=restart) as balancer:
                await trio.sleep(1)
                servers.stop("a")
                await trio.sleep(60)
                assert "b" == best_of(balancer)
                assert ACKNOWLEDGED is (await balancer.send_order(order(1))).state
                servers.stop("b")
                await trio.sleep_forever()
        nursery.cancel_scope.cancel()
    assert "tcp://b:1" in str(caught.value)
    downs = [event for event in await events_of(balancer) if isinstance(event, EndpointChanged)]
    assert {"reset"} == {event.detail for event in downs if event.new is EndpointState.DOWN}


async def test_closing_tells_whoever_waits(autojump_clock: MockClock) -> None:
    """What had left is ambiguous, what had not is unsent, and nothing can be sent any more."""
    book, found = SlowBook(), dict[int, object]()
    book.after = 99.0

    async def send(number: int) -> None:
        try:
            await balancer.send_order(order(number))
        except (OrderAmbiguous, ConnectionClosed) as error:
            found[number] = type(error)

    async with trio.open_nursery() as nursery, balancing("a", book=book) as (balancer, servers):
        nursery.start_soon(send, 1)
        await trio.sleep(1)
        servers.stop("a")
        await trio.sleep(0.1)
        nursery.start_soon(send, 2)
        await wait_all_tasks_blocked()
    assert {1: OrderAmbiguous, 2: ConnectionClosed} == found
    for use in (balancer.send_order(order(3)), balancer.resolve("o-1"), balancer.wait_connected()):
        with pytest.raises(ConnectionClosed):
            await use


@pytest.mark.parametrize("urls", [[], ["tcp://a:1", "tcp://a:1"], ["tcp://a:1", "http://b"]])
async def test_impossible_endpoints(urls: list[str]) -> None:
    """Told before anything is connected."""
    with pytest.raises(ConfigError, match="endpoint"):
        async with open_balancer(urls):
            pass


async def use_orders(balancer: Balancer, servers: Servers) -> None:
    """Orders on a line that dies, and questions about them."""
    await settle(balancer, order(1))
    async with trio.open_nursery() as nursery:
        for number in (2, 3):
            nursery.start_soon(settle, balancer, order(number))
        await trio.sleep(0.015)
        servers.net.host(best_of(balancer)).reset_all()
    await settle(balancer, order(4))


def test_cancelled_at_every_step() -> None:
    """Whenever it comes: no order arrives twice, and what is said of each agrees with the book."""

    async def run(step: int) -> bool:
        book, canceller = shared(), CancelAtStep(step)
        async with balancing("a", "b", book=book) as (balancer, servers):
            trio.lowlevel.add_instrument(canceller)
            with canceller.scope:
                await use_orders(balancer, servers)
            trio.lowlevel.remove_instrument(canceller)
            await trio.sleep(5)
            for record in balancer.orders():
                check(record, book)
                assert record.state is not PENDING or record.sent_at is None, "a line that lives answers"
                await settle(balancer, record.order)
                settled = balancer.order(record.order.id)
                assert settled is not None
                assert settled.state.value == book._rows[record.order.id][1].state
                assert book.copies.get(record.order.id, 0) == (settled.reason != FENCED)
        return canceller.left <= 0

    def check(record: OrderRecord, book: MemoryOrderBook) -> None:
        copies = book.copies.get(record.order.id, 0)
        assert copies <= 1
        assert record.state is not ACKNOWLEDGED or copies == 1
        assert record.sent_at is not None or copies == 0

    steps = 0
    while trio.run(run, steps + 1, clock=MockClock(autojump_threshold=0)):
        steps += 1
        assert steps < 1500
    assert steps > 30


@pytest.mark.parametrize("seed", range(3))
async def test_chaos(autojump_clock: MockClock, seed: int) -> None:
    """Five minutes of resets, freezes, blackholes and restarts: in the end the book and the client say the same of each."""
    rng, book = Random(seed), SlowBook()
    book.before, book.after = 0.005, 0.01
    async with balancing("a", "b", "c", book=book) as (balancer, servers):
        async with trio.open_nursery() as nursery:
            for number in range(600):
                nursery.start_soon(settle_patiently, balancer, order(number))
                await trio.sleep(rng.expovariate(2.0))
                if rng.random() < 0.15:
                    nursery.start_soon(harm, servers, rng.choice("abc"), book, rng)
        records = balancer.orders()
    assert 600 == len(records)
    assert {ACKNOWLEDGED, REJECTED} >= {record.state for record in records}
    acknowledged = {record.order.id for record in records if record.state is ACKNOWLEDGED}
    assert acknowledged == {order_id for order_id, (_, row) in book._rows.items() if row.state == "acknowledged"}
    assert set(book.copies.values()) == {1}
    assert 400 < len(acknowledged) < 600, "and some were fenced"


async def harm(servers: Servers, name: str, book: MemoryOrderBook, rng: Random) -> None:
    """One of four evils, for a while."""
    host, kind = servers.net.host(name), rng.randrange(4)
    if kind == 0:
        host.reset_all()
    elif kind == 1:
        host.freeze()
        await trio.sleep(8)
        host.thaw()
    elif kind == 2:
        host.blackhole()
        await trio.sleep(8)
        host.heal()
    elif name in servers.running:
        del servers.running[name]
        servers.stop(name)
        await trio.sleep(5)
        await servers.start(name, book)
