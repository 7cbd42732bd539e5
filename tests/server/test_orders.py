"""The server's orders on loopback, in raw bytes; and its books: idempotent, shared, fencing, and honest in trouble."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.orders import Order, OrderAck, OrderQuery
from heartbeat_trio.server import MemoryOrderBook, OrderBook, SqliteOrderBook
from heartbeat_trio.server.order_book import FENCED, FULL, UNKNOWN
from heartbeat_trio.server.order_desk import BATCH, QUEUE, OrderDesk
from tests.support.raw_clients import TEXT, LineClient, open_lines, open_websocket, running

BUY = b'ORDER:{"id":"a","symbol":"BTCUSD","side":"buy","quantity":1.5}\n'


def order(order_id: str = "a", quantity: float = 1.5) -> Order:
    return Order(order_id, "BTCUSD", "buy", quantity)


async def ask(client: LineClient, line: bytes) -> tuple[str, str, str, bool]:
    answer = (await client.ask(line)).decode()
    assert answer.startswith("ORDER_ACK:")
    fields = json.loads(answer.removeprefix("ORDER_ACK:"))
    return fields["id"], fields["state"], fields["reason"], fields["authoritative"]


# -- on the wire -------------------------------------------------------------------------------------------------------


async def test_orders_over_lines() -> None:
    """Acknowledged; the same again, the same answer; another under the same id is rejected, and the first stands."""
    async with running(orders=MemoryOrderBook(is_shared=True)) as server:
        client, other = await open_lines(server), await open_lines(server)
        assert ("a", "acknowledged", "", True) == await ask(client, BUY)
        assert ("a", "acknowledged", "", True) == await ask(other, BUY)
        reused = await ask(client, BUY.replace(b"1.5", b"2"))
        assert ("a", "rejected", "the id was used for another order", True) == reused
        assert ("a", "acknowledged", "", True) == await ask(client, b'ORDER_STATUS:{"id":"a"}\n')
        assert ("b", "rejected", FENCED, True) == await ask(other, b'ORDER_STATUS:{"id":"b"}\n')
        assert ("b", "rejected", FENCED, True) == await ask(client, BUY.replace(b'"a"', b'"b"'))
        assert 4 == server.statistics().orders
        assert await client.is_alive()


async def test_orders_over_websocket() -> None:
    """The same as operations."""
    async with running(orders=MemoryOrderBook()) as server:
        client = await open_websocket(server)
        await client.send_op("order", id="a", symbol="BTCUSD", side="sell", quantity=1, price=99.5)
        expected = {"op": "order_ack", "id": "a", "state": "acknowledged", "reason": "", "authoritative": False}
        assert expected == await client.op()
        await client.send_op("order_status", id="b")
        assert expected | {"id": "b", "state": "unknown", "reason": UNKNOWN} == await client.op()
        await client.send(TEXT, b'{"op":"order","id":"a"}')
        error = await client.op()
        assert ("error", "bad_message") == (error["op"], error["code"])
        assert await client.is_alive()


@pytest.mark.parametrize(
    "garbage",
    [
        b"ORDER:",
        b"ORDER:{}",
        b"ORDER:[1]",
        b"ORDER:" + b"[" * 4000,
        BUY[:-1].replace(b"1.5", b"-1"),
        b'ORDER_STATUS:{"id":""}',
    ],
)
async def test_garbage_is_a_bad_message(garbage: bytes) -> None:
    """And the connection stays."""
    async with running(orders=MemoryOrderBook()) as server:
        client = await open_lines(server)
        assert (await client.ask(garbage + b"\n")).startswith(b"ERROR:bad_message:")
        assert await client.is_alive()


async def test_a_server_without_a_book() -> None:
    """It refuses orders, and cannot say anything about others."""
    async with running() as server:
        client = await open_lines(server)
        assert ("a", "rejected", "this server takes no orders", False) == await ask(client, BUY)
        assert ("a", "unknown", "this server takes no orders", False) == await ask(client, b'ORDER_STATUS:{"id":"a"}\n')


async def test_a_symbol_that_is_not_served() -> None:
    """Rejected, with its name."""
    async with running(orders=MemoryOrderBook()) as server:
        client = await open_lines(server)
        answer = await ask(client, BUY.replace(b"BTCUSD", b"NOPE"))
        assert ("a", "rejected", "unknown symbol NOPE", False) == answer


async def test_orders_need_the_token() -> None:
    """Before it nothing is taken."""
    book = MemoryOrderBook()
    async with running(orders=book, token="s3cret") as server:
        client = await open_lines(server)
        assert (await client.ask(BUY)).startswith(b"ERROR:unauthorized:")
        assert 0 == len(book)


async def test_draining_answers_what_came_and_refuses_what_comes() -> None:
    """No order is left without an answer because the server goes away in good order."""
    book = WaitingBook()
    async with running(orders=book) as server, trio.open_nursery() as nursery:
        client = await open_lines(server)
        await client.send(BUY)
        await book.asked.wait()
        nursery.start_soon(server.drain)
        await wait_all_tasks_blocked(0.02)
        refused = await ask(client, BUY.replace(b'"a"', b'"b"'))
        assert ("b", "rejected", "the server is going away", False) == refused
        book.may_answer.set()
        assert b"ORDER_ACK" in await client.line()
        assert b"GOODBYE" in await client.line()


# -- the desk ----------------------------------------------------------------------------------------------------------


class WaitingBook(MemoryOrderBook):
    """Answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = trio.Event()
        self.may_answer = trio.Event()
        self.batches: list[int] = []

    async def answer(self, requests: Any) -> list[OrderAck]:
        self.batches.append(len(requests))
        self.asked.set()
        await self.may_answer.wait()
        return await super().answer(requests)


class BrokenBook(MemoryOrderBook):
    """Has a bug."""

    def __init__(self, fault: Callable[[], list[OrderAck]]) -> None:
        super().__init__()
        self.fault = fault

    async def answer(self, requests: Any) -> list[OrderAck]:
        await trio.lowlevel.checkpoint()
        return self.fault()


async def open_desk(nursery: trio.Nursery, book: OrderBook) -> OrderDesk:
    desk = OrderDesk(book, frozenset({"BTCUSD"}))
    nursery.start_soon(desk.run)
    await wait_all_tasks_blocked()
    return desk


async def test_the_desk_answers_each_once_in_order_and_in_batches(nursery: trio.Nursery) -> None:
    """And turns away what is too much, without waiting."""
    book, answers = WaitingBook(), list[OrderAck]()
    desk = await open_desk(nursery, book)
    desk.submit(order("first"), answers.append)
    await book.asked.wait()
    for number in range(QUEUE):
        desk.submit(order(str(number)), answers.append)
    assert [] == answers
    desk.submit(order("surplus"), answers.append)
    desk.submit(OrderQuery("0"), answers.append)
    assert [("surplus", "rejected"), ("0", "unknown")] == [(ack.id, ack.state) for ack in answers]
    book.may_answer.set()
    await desk.wait_idle()
    assert ["first", *map(str, range(QUEUE))] == [ack.id for ack in answers[2:]]
    assert {"acknowledged"} == {ack.state for ack in answers[2:]}
    assert [1, *[BATCH] * 10] == book.batches


def crash() -> list[OrderAck]:
    raise RuntimeError("oh")


@pytest.mark.parametrize("fault", [crash, list, lambda: [OrderAck("other", "acknowledged")]])
async def test_a_book_with_a_bug(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, fault: Callable[[], list[OrderAck]]
) -> None:
    """Nobody knows what became of the order, which is said; and the desk goes on."""
    answers = list[OrderAck]()
    desk = await open_desk(nursery, BrokenBook(fault))
    for number in range(2):
        desk.submit(order(str(number)), answers.append)
        await desk.wait_idle()
    assert [OrderAck(str(number), "unknown", "the order book failed") for number in range(2)] == answers
    assert "please report" in caplog.text


# -- the books -----------------------------------------------------------------------------------------------------------


async def test_a_memory_book_forgets_after_ten_minutes(autojump_clock: MockClock) -> None:
    """Not sooner; and it is never fuller than allowed."""
    book = MemoryOrderBook(limit=2)
    await book.prepare()
    await book.answer([order("a"), order("b")])
    assert [OrderAck("c", "rejected", FULL)] == await book.answer([order("c")])
    await trio.sleep(599)
    assert [OrderAck("a", "acknowledged")] == await book.answer([OrderQuery("a")])
    await trio.sleep(1)
    assert [OrderAck("a", "unknown", UNKNOWN)] == await book.answer([OrderQuery("a")])
    assert (0, {}) == (len(book), book.copies)


def modes_in(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def wipe(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


async def test_a_file_is_shared_between_servers(tmp_path: Path) -> None:
    """Two servers, two open files, one book: a backup answers for a primary, and fences."""
    with SqliteOrderBook(tmp_path / "book") as one, SqliteOrderBook(tmp_path / "book") as two:
        async with running(orders=one) as primary, running(orders=two) as backup:
            first, second = await open_lines(primary), await open_lines(backup)
            assert ("a", "acknowledged", "", True) == await ask(first, BUY)
            assert ("a", "acknowledged", "", True) == await ask(second, b'ORDER_STATUS:{"id":"a"}\n')
            assert ("b", "rejected", FENCED, True) == await ask(second, b'ORDER_STATUS:{"id":"b"}\n')
            assert ("b", "rejected", FENCED, True) == await ask(first, BUY.replace(b'"a"', b'"b"'))
            assert ("a", "acknowledged", "", True) == await ask(second, BUY)
        counts = one.count()
        assert (1, 1, 1, 1) == (counts.acknowledged, counts.rejected, counts.fenced, counts.doubled)
        assert {"a"} == one.acknowledged()
        modes = modes_in(tmp_path)
    assert {0o600} == modes


async def test_a_file_outlives_its_servers(tmp_path: Path) -> None:
    """What was acknowledged is known after a restart, price and all; a looser mode is tightened."""
    path, limit = tmp_path / "book", Order("b", "X", "sell", 2.0, 0.1)
    with SqliteOrderBook(path) as book:
        await book.prepare()
        await book.answer([order(), limit])
    path.chmod(0o644)
    with SqliteOrderBook(path) as book:
        await book.prepare()
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)
        acks = await book.answer([order(), limit, order(quantity=9.0), OrderQuery("a")])
    assert ["acknowledged", "acknowledged", "rejected", "acknowledged"] == [ack.state for ack in acks]


async def test_a_book_has_an_id(tmp_path: Path) -> None:
    """All who open a file find the same, later too; another file or memory book has another; it is told on the wire."""
    with SqliteOrderBook(tmp_path / "book") as one, SqliteOrderBook(tmp_path / "book") as two:
        async with running(orders=one) as primary, running(orders=two) as backup:
            for server in (primary, backup):
                answer = await (await open_lines(server)).ask(BUY)
                assert one.id == json.loads(answer.removeprefix(b"ORDER_ACK:"))["book"]
    with SqliteOrderBook(tmp_path / "book") as again, SqliteOrderBook(tmp_path / "other") as other:
        await again.prepare()
        await other.prepare()
        ids = [again.id, other.id, MemoryOrderBook(is_shared=True).id, MemoryOrderBook(is_shared=True).id]
    assert one.id == two.id == again.id
    assert 4 == len(set(ids) - {""})
    assert "" == MemoryOrderBook().id


async def test_files_of_the_time_before_there_were_ids(tmp_path: Path) -> None:
    """They get one, the same for all who open them at once, and keep what stands in them."""
    path = tmp_path / "book"
    with SqliteOrderBook(path) as book:
        await book.prepare()
        await book.answer([order()])
    with closing(sqlite3.connect(path)) as file:
        file.execute("DROP TABLE book")
        file.commit()
    books = [SqliteOrderBook(path) for _ in range(4)]
    async with trio.open_nursery() as nursery:
        for each in books:
            nursery.start_soon(each.prepare)
    answers = {(await each.answer([OrderQuery("a")]))[0] for each in books}
    assert {OrderAck("a", "acknowledged", "", True, books[0].id)} == answers
    assert books[0].id not in ("", book.id)
    for each in books:
        each.close()


@pytest.mark.parametrize("spoil", ["UPDATE book SET id = ?", "INSERT INTO book VALUES (?)"])
@pytest.mark.parametrize("value", ["", "a b", b"\xff", "x" * 65])
async def test_a_file_that_does_not_say_which_it_is(tmp_path: Path, spoil: str, value: object) -> None:
    """Nothing that no wire carries is told, nor one of two: it is refused at the start."""
    path = tmp_path / "book"
    with SqliteOrderBook(path) as book:
        await book.prepare()
    with closing(sqlite3.connect(path)) as file:
        file.execute(spoil, (value,))
        file.commit()
    with pytest.raises(ConfigError, match="it does not say which book it is"):
        await SqliteOrderBook(path).prepare()


async def test_several_servers_start_at_once(tmp_path: Path) -> None:
    """One makes the file, and all of them open it."""
    for number in range(10):
        books = [SqliteOrderBook(tmp_path / str(number)) for _ in range(4)]
        async with trio.open_nursery() as nursery:
            for book in books:
                nursery.start_soon(book.prepare)
        for book in books:
            assert ["acknowledged"] == [ack.state for ack in await book.answer([order()])]
        for book in books:
            book.close()


async def test_racing_for_the_fence(tmp_path: Path) -> None:
    """Orders and questions about them at two servers at once: both always say the same."""
    with SqliteOrderBook(tmp_path / "book") as one, SqliteOrderBook(tmp_path / "book") as two:
        await one.prepare()
        await two.prepare()
        answers: dict[str, set[str]] = {}

        async def put(book: SqliteOrderBook, request: Order | OrderQuery) -> None:
            [ack] = await book.answer([request])
            answers.setdefault(ack.id, set()).add(ack.state)

        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(put, one, order(str(number)))
                nursery.start_soon(put, two, OrderQuery(str(number)))
        assert 60 == len(answers)
        assert all(len(states) == 1 for states in answers.values())
        assert {"acknowledged", "rejected"} >= set.union(*answers.values())


async def test_a_file_forgets_by_its_own_clock(tmp_path: Path, autojump_clock: MockClock) -> None:
    """After ten minutes at the earliest, after eleven at the latest, whatever the machine's clock says."""
    with SqliteOrderBook(tmp_path / "book") as book:
        await book.prepare()
        book._work([order("a")], 0.0)
        known = []
        for now in (30.0, 60.0, 659.0, 661.0):
            book._work([order(f"other-{now}")], now)
            known.append("a" in book.acknowledged())
    assert [True, True, True, False] == known


async def test_a_file_is_never_fuller_than_allowed(tmp_path: Path) -> None:
    """What is known stays known."""
    with SqliteOrderBook(tmp_path / "book", limit=2) as book:
        await book.prepare()
        for order_id in "abc":
            await book.answer([order(order_id)])
        acks = await book.answer([order("d"), order("a"), OrderQuery("e")])
    assert [("rejected", FULL), ("acknowledged", ""), ("unknown", FULL)] == [(ack.state, ack.reason) for ack in acks]


async def test_a_locked_file_rejects_and_recovers(tmp_path: Path) -> None:
    """Another process holds it for too long: the order is rejected, a question left open, and the server goes on."""
    path = tmp_path / "book"
    with SqliteOrderBook(path) as book:
        async with running(orders=book) as server:
            client = await open_lines(server)
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                await client.send(BUY)
                assert await client.is_alive(), "the loop is not blocked"
                fields = json.loads((await client.line()).removeprefix(b"ORDER_ACK:"))
                assert ("rejected", "the order book failed: database is locked") == (fields["state"], fields["reason"])
                other.execute("ROLLBACK")
            assert "acknowledged" == (await ask(client, BUY))[1]


async def test_a_full_disk_rejects_and_recovers(tmp_path: Path) -> None:
    """Nothing of the batch is recorded; once there is room again, orders are taken."""
    with SqliteOrderBook(tmp_path / "book") as book:
        await book.prepare()
        assert book._file is not None
        book._file.execute("PRAGMA max_page_count = 1")
        many = [Order(f"{number}-" + "x" * 50, "S" * 60, "buy", 1.0) for number in range(100)]
        acks = await book.answer([*many, OrderQuery("q")])
        assert {"rejected"} == {ack.state for ack in acks[:-1]}
        assert ("unknown", "the order book failed: database or disk is full") == (acks[-1].state, acks[-1].reason)
        assert 0 == book.count().acknowledged
        book._file.execute("PRAGMA max_page_count = 1000")
        assert {"acknowledged"} == {ack.state for ack in await book.answer(many)}


async def test_a_failed_sync_is_no_rejection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction may be found after a crash, so nobody knows: it stays ambiguous."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_FSYNC"

    def fail(*_: object) -> None:
        raise error

    with SqliteOrderBook(tmp_path / "book") as book:
        await book.prepare()
        monkeypatch.setattr(book, "_transact", fail)
        [ack] = await book.answer([order()])
    assert OrderAck("a", "unknown", "the order book failed: disk I/O error") == ack


async def test_a_file_that_vanished_is_not_written_on(tmp_path: Path) -> None:
    """A removed file would be shared with nobody: a new one is made; where that cannot be, orders are rejected."""
    path = tmp_path / "book"
    with SqliteOrderBook(path) as book:
        await book.prepare()
        await book.answer([order("a")])
        before = book.id
        wipe(tmp_path)
        assert ["acknowledged"] == [ack.state for ack in await book.answer([order("b")])]
        assert {"b"} == book.acknowledged()
        assert book.id != before
        wipe(tmp_path)
        path.mkdir()
        [ack] = await book.answer([order("c")])
        assert "rejected" == ack.state
        assert "Is a directory" in ack.reason


@pytest.mark.parametrize("what", ["text", "database", "folder", "missing folder"])
async def test_what_is_no_order_book(tmp_path: Path, what: str) -> None:
    """Told at the start, in one line, with the file's name; nothing of it is changed."""
    path = tmp_path / "book"
    if what == "text":
        path.write_text("dear diary, " * 100)
    elif what == "database":
        with closing(sqlite3.connect(path)) as file:
            file.execute("CREATE TABLE mine (x)")
            file.commit()
    elif what == "folder":
        path.mkdir()
    else:
        path = tmp_path / "no" / "book"
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ConfigError, match=r"order book .*book: "):
        await SqliteOrderBook(path).prepare()
    assert before == (path.read_bytes() if path.is_file() else None)


async def test_cancelled_while_the_disk_works(tmp_path: Path) -> None:
    """It returns at once; the thread ends by itself, and closing waits for it."""
    path = tmp_path / "book"
    with SqliteOrderBook(path) as book:
        await book.prepare()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            begin = trio.current_time()
            with trio.move_on_after(0.05) as scope:
                await book.answer([order()])
            assert scope.cancelled_caught
            assert trio.current_time() - begin < 0.5
            other.execute("ROLLBACK")
        await trio.to_thread.run_sync(partial(book.close))
