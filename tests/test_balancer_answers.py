"""Orders over servers that do not answer, have forgotten, or know another order by the same id."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio import (
    LocalProtocolError,
    MemoryOrderBook,
    OrderAck,
    OrderAmbiguous,
    OrderRecord,
    OrderState,
    open_balancer,
)
from heartbeat_trio.server.order_book import FENCED, REUSED
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork
from tests.support.order_servers import QUICK, SlowBook, balancing, order, url
from tests.test_balancer import best_of, send_ambiguous

PENDING, ACKNOWLEDGED, REJECTED, AMBIGUOUS = OrderState


@pytest.mark.parametrize("after", [500, 601])
async def test_resolved_late(autojump_clock: MockClock, after: int) -> None:
    """Executed, and its answer lost: known for nine minutes, and never called rejected when the book has forgotten it."""
    book = SlowBook()
    async with balancing("a", "b", book=book) as (balancer, servers):
        book.after = 1.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_ambiguous, balancer, order(1))
            await trio.sleep(0.5)
            servers.net.host(best_of(balancer)).reset_all()
        book.after = 0.0
        await trio.sleep(after)
        if after == 500:
            assert ACKNOWLEDGED is (await balancer.resolve("o-1")).state
            return
        with pytest.raises(OrderAmbiguous, match=r"it is too old to be resolved by asking: .* for 600 s") as caught:
            await balancer.resolve("o-1")
        assert AMBIGUOUS is caught.value.record.state
        assert 0 == len(book)


async def test_another_clients_order_is_not_taken_for_ours(autojump_clock: MockClock) -> None:
    """The same id, another content, and our copy lost: rejected, and theirs stands."""
    book = SlowBook()
    async with balancing("a", "b", book=book) as (one, servers):
        await one.send_order(order(1))
        options: Any = {"policy": QUICK, "connector": servers.net.connect, "rng": Random(2)}
        async with open_balancer([url("a"), url("b")], **options) as two:
            await trio.sleep(0.2)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_ambiguous, two, order(1, quantity=500.0))
                await trio.sleep(0.001)
                servers.net.host(best_of(two)).reset_all()
            record = await two.resolve("o-1")
        assert (REJECTED, REUSED, {"o-1": 1}) == (record.state, record.reason, book.copies)
        assert ACKNOWLEDGED is (await one.resolve("o-1")).state


@pytest.mark.parametrize("quantity", [Decimal("0.5"), Fraction(1, 2), 10**400, True])
async def test_a_number_that_no_wire_carries(autojump_clock: MockClock, quantity: Any) -> None:
    """Refused before it is taken; the balancer lives through the loss of its line, and the id is free."""
    book = MemoryOrderBook(is_shared=True)
    async with balancing("a", "b", book=book) as (balancer, servers):
        with pytest.raises(LocalProtocolError, match=r"quantity is a finite number above 0, not .*: give an int or a float"):
            await balancer.send_order(order(1, quantity))
        assert () == balancer.orders()
        servers.net.host(best_of(balancer)).reset_all()
        await trio.sleep(60)
        assert ACKNOWLEDGED is (await balancer.send_order(order(1, 2))).state


@pytest.mark.parametrize(
    ("answer", "took", "reason"),
    [
        ("ERROR:unknown_command:what?", 0.02, "tcp://a:1 seems to take no orders, and said: what\\?"),
        ("ERROR:bad_message:what?", 10, "no answer came from tcp://a:1 within 10 s"),
        (None, 10, "no answer came from tcp://a:1 within 10 s"),
    ],
)
async def test_a_server_that_knows_no_orders(
    autojump_clock: MockClock, answer: str | None, took: float, reason: str
) -> None:
    """It is told at once, or after ten seconds; and a question that gets no answer ends as well."""
    net = VirtualNetwork(latency=0.01)
    peer = ScriptedPeer(net.listen("a", 1), on_line=lambda line: answer if line.startswith("ORDER") else None)
    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        async with open_balancer([url("a")], connector=net.connect, policy=QUICK, rng=Random(1)) as balancer:
            await balancer.wait_connected()
            await trio.sleep(1)
            start = trio.current_time()
            with pytest.raises(OrderAmbiguous, match=reason):
                await balancer.send_order(order(1))
            assert trio.current_time() - start == pytest.approx(took, abs=0.03)
            start = trio.current_time()
            with pytest.raises(OrderAmbiguous, match="no server that lives can say"):
                await balancer.resolve("o-1")
            assert trio.current_time() - start == pytest.approx(10, abs=0.03)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("resolves", [False, True])
async def test_a_late_answer_settles(autojump_clock: MockClock, resolves: bool) -> None:
    """The book takes 15 s: ambiguous after ten, and then acknowledged by the answer itself, or by another server."""
    slow, book = SlowBook(), MemoryOrderBook(is_shared=True)
    slow._rows, slow.copies = book._rows, book.copies
    async with balancing("a", "b", book=slow) as (balancer, _servers):
        slow.after = 15.0
        await send_ambiguous(balancer, order(1))
        slow.after = 0.0
        if resolves:
            assert ACKNOWLEDGED is (await balancer.resolve("o-1")).state
        await trio.sleep(6)
        record = balancer.order("o-1")
        assert record is not None
        assert (ACKNOWLEDGED, "", {"o-1": 1}) == (record.state, record.reason, book.copies)
        assert FENCED not in {row.reason for _, row in book._rows.values()}


class Mute(SlowBook):
    """The book of an older server, which does not tell its id."""

    async def answer(self, requests: Any) -> list[OrderAck]:
        return [msgspec.structs.replace(ack, book="") for ack in await super().answer(requests)]


@pytest.mark.parametrize(
    ("books", "why"),
    [
        ([SlowBook(), SlowBook()], "has another order book than"),
        ([Mute(), Mute()], "is not known to have the order book that"),
        ([SlowBook()] * 2, None),
    ],
    ids=["foreign", "untold", "shared"],
)
async def test_a_frozen_server_and_its_backup(autojump_clock: MockClock, books: list[SlowBook], why: str | None) -> None:
    """With another book it says "rejected", and is not believed: ambiguous until the server that got the order thaws.

    With the same book it knows the order at once, though none was answered before this one.
    """
    named = dict(zip("ab", books, strict=True))
    async with balancing("a", "b", books=dict(named)) as (balancer, servers):
        best = best_of(balancer)
        [other] = {"a", "b"} - {best}
        named[best].after = 1.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_ambiguous, balancer, order(1))
            await trio.sleep(0.05)
            servers.net.host(best).freeze()
        named[best].after = 0.0
        if why is None:
            assert (ACKNOWLEDGED, url(other)) == answer_of(await balancer.resolve("o-1"))
            return
        with pytest.raises(
            OrderAmbiguous, match=f"no server that lives can say .*{url(other)} was asked, and {why} {url(best)}"
        ):
            await balancer.resolve("o-1")
        assert (FENCED, "acknowledged") == (named[other]._rows["o-1"][1].reason, named[best]._rows["o-1"][1].state)
        servers.net.host(best).thaw()
        await trio.sleep(60)
        assert (ACKNOWLEDGED, url(best)) == answer_of(await balancer.resolve("o-1"))


def answer_of(record: OrderRecord) -> tuple[OrderState, str | None]:
    return record.state, record.answered_by


async def test_a_server_that_comes_back_with_another_book(autojump_clock: MockClock) -> None:
    """Not even its own "it had not arrived" is believed then."""
    book = SlowBook()
    async with balancing("a", book=book) as (balancer, servers):
        book.after = 9.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_ambiguous, balancer, order(1))
            await trio.sleep(0.05)
            servers.stop("a")
        await servers.start("a", MemoryOrderBook(is_shared=True))
        with pytest.raises(OrderAmbiguous, match="tcp://a:1 was asked, and has another order book than tcp://a:1 had"):
            await balancer.resolve("o-1")
        assert 1 == len(book)


async def test_books_are_asked_for_once_on_each_line(autojump_clock: MockClock) -> None:
    """Before anything else is posted, on idle lines too; nothing is recorded."""
    net, asked = VirtualNetwork(latency=0.01), list[str]()
    peers = [ScriptedPeer(net.listen(name, 1), on_line=lambda line: asked.append(line)) for name in "ab"]
    async with trio.open_nursery() as nursery:
        for peer in peers:
            await nursery.start(peer.run)
        async with open_balancer([url("a"), url("b")], connector=net.connect, policy=QUICK, rng=Random(1)) as balancer:
            with trio.move_on_after(1):
                await balancer.send_order(order(1))
            net.host("b").reset_all()
            await trio.sleep(5)
        nursery.cancel_scope.cancel()
    lines = [line for line in asked if line.startswith("ORDER")]
    question = 'ORDER_STATUS:{"id":"-which-book-","age":1000000000.0}'
    assert [question] * 3 == [line for line in lines if line.startswith("ORDER_STATUS")]
    assert 4 == len(lines)
    assert question == lines[0]
