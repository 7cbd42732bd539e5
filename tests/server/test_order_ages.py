"""What a book says of orders that it may have forgotten, and of ids that were used twice."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.orders import Order, OrderAck, OrderQuery
from heartbeat_trio.server import MemoryOrderBook, SqliteOrderBook
from heartbeat_trio.server.order_book import FENCED, REUSED
from tests.support.raw_clients import open_lines, running

MINE, OTHER = Order("a", "BTCUSD", "buy", 1.5), Order("a", "BTCUSD", "sell", 500.0)
TOO_OLD = OrderAck("a", "unknown", "it is too old to be resolved by asking: this server remembers orders for 600 s")
HERE, NOT_HERE = OrderAck("a", "acknowledged", "", True), OrderAck("a", "rejected", FENCED, True)
ANOTHERS = OrderAck("a", "rejected", REUSED, True)

Book = MemoryOrderBook | SqliteOrderBook


@pytest.fixture(params=["memory", "file"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Book:
    """Both kinds, shared."""
    return MemoryOrderBook(is_shared=True) if request.param == "memory" else SqliteOrderBook(tmp_path / "book")


async def say(book: Book, request: Order | OrderQuery) -> OrderAck:
    """What the book answers, but for its id, which each answer of a shared book tells."""
    [ack] = await book.answer([request])
    assert ack.book == book.id != ""
    return msgspec.structs.replace(ack, book="")


async def test_what_may_be_forgotten_is_not_fenced(book: Book) -> None:
    """A minute before it would be forgotten; nothing is recorded then. Who tells no age is answered as ever."""
    await book.prepare()
    assert TOO_OLD == await say(book, OrderQuery("a", MINE, 540.1))
    assert HERE == await say(book, MINE)
    assert HERE == await say(book, OrderQuery("a", MINE, 9999.0)), "what is known is known, however old"
    assert OrderAck("b", "rejected", FENCED, True) == await say(book, OrderQuery("b", None, 540.0))
    assert OrderAck("c", "rejected", FENCED, True) == await say(book, OrderQuery("c"))


async def test_an_id_that_was_used_for_another_order(book: Book) -> None:
    """Its state is not told of mine, and it is not touched; of an old one, which may have been here before, nothing is."""
    await book.prepare()
    assert HERE == await say(book, OTHER)
    assert ANOTHERS == await say(book, OrderQuery("a", MINE, 1.0))
    assert TOO_OLD == await say(book, OrderQuery("a", MINE, 600.0))
    assert HERE == await say(book, OrderQuery("a", OTHER, 1.0)) == await say(book, OrderQuery("a")) == await say(book, OTHER)
    if isinstance(book, MemoryOrderBook):
        assert {"a": 2} == book.copies


async def test_a_fence_is_for_one_order(book: Book) -> None:
    """Its late copy is refused as late, another order as another; a fence of who told nothing refuses all."""
    await book.prepare()
    assert NOT_HERE == await say(book, OrderQuery("a", MINE, 1.0))
    assert NOT_HERE == await say(book, MINE) == await say(book, OrderQuery("a", MINE, 900.0))
    assert (ANOTHERS, TOO_OLD) == (await say(book, OTHER), await say(book, OrderQuery("a", OTHER, 900.0)))
    await say(book, OrderQuery("b"))
    late = Order("b", "X", "buy", 1.0)
    assert [FENCED, FENCED] == [(await say(book, each)).reason for each in (late, OrderQuery("b", late, 1.0))]
    assert "unknown" == (await say(book, OrderQuery("b", late, 900.0))).state, "who knows whose fence it is"
    if isinstance(book, SqliteOrderBook):
        assert (2, 2) == (book.count().fenced, book.count().rejected)


async def test_a_book_that_has_forgotten(autojump_clock: MockClock) -> None:
    """It was executed: the same question, once it is forgotten, is not answered with a lie."""
    book = MemoryOrderBook(is_shared=True)
    assert HERE == await say(book, MINE)
    await trio.sleep(601)
    assert TOO_OLD == await say(book, OrderQuery("a", MINE, 601.0))
    assert 0 == len(book)


async def test_over_the_wire() -> None:
    """A line carries content and age to the book."""
    query = b'ORDER_STATUS:{"id":"a","symbol":"BTCUSD","side":"buy","quantity":1.5,"age":%d}\n'
    async with running(orders=MemoryOrderBook(is_shared=True)) as server:
        client = await open_lines(server)
        assert b'"state":"unknown"' in await client.ask(query % 541)
        await client.ask(b'ORDER:{"id":"a","symbol":"BTCUSD","side":"sell","quantity":500}\n')
        assert REUSED.encode() in await client.ask(query % 1)
