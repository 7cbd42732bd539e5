"""Where a server remembers orders: in memory, or in a SQLite file that several servers share.

A book answers each order id once: the same order again gets the same answer, another order under the same id is rejected.
Asking fences: where a book is shared, an id that it does not know is recorded as rejected in the same transaction, so that
a late copy of the order is refused, whichever server it reaches. Only then is "it did not arrive" an answer. And only while
the order would still be remembered, had it arrived: of older ones a book can say nothing.

A shared book has an id, which stands in its answers: who asks must know whether it is the book of the server that got the
order. Of two servers that each have a file of their own, the one knows nothing of the other's orders.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import stat
import threading
import time
from collections import OrderedDict, deque
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self

import msgspec
import trio

from ..exceptions import ConfigError
from ..orders import AckState, Order, OrderAck, OrderQuery
from ..protocol.orders import ORDER_ID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Request = Order | OrderQuery

REMEMBER = 600.0
"""Seconds for which an order is remembered at least."""

LIMIT = 1_000_000
"""Orders that a book holds at most; more are rejected."""

BUSY_TIMEOUT = 1.0
"""Seconds that another process may keep the file locked."""

MARGIN = 60.0
"""Seconds that a question may be under way: so much sooner than it forgets, a book says that it cannot know."""

TRIES = 20
SCHEMA = 1
FENCED = "it had not arrived when it was asked about"
UNKNOWN = "this server does not know it"
FULL = "the order book is full"
REUSED = "the id was used for another order"


class OrderBook(Protocol):
    """What a server needs of a book. Any object with these methods will do."""

    async def prepare(self) -> None:
        """Open it. Raises `ConfigError` if that cannot be."""

    async def answer(self, requests: Sequence[Request]) -> list[OrderAck]:
        """Answer orders and questions, in order. Whatever goes wrong becomes an answer.

        Servers that share a book answer for each other only if the answers tell its id (`OrderAck.book`).
        """


class _Row(msgspec.Struct, frozen=True):
    """What a book knows of one id; no content: it was fenced by somebody who did not tell it."""

    state: AckState
    reason: str
    content: tuple[str, str, float, float | None] | None


def _content(request: Request) -> tuple[str, str, float, float | None] | None:
    """What is asked for, or asked about; None: the client did not tell."""
    order = request if isinstance(request, Order) else request.order
    return None if order is None else (order.symbol, order.side, order.quantity, order.price)


def _decide(row: _Row | None, request: Request, *, book: str, remember: float) -> tuple[OrderAck, _Row | None]:
    """The answer, and what is to be remembered if that is new. The book's id is "" where it is not shared."""
    content, is_shared = _content(request), bool(book)
    is_old = isinstance(request, OrderQuery) and request.age is not None and request.age + MARGIN > remember
    if row is not None and (row.content == content or (not is_old and None in (row.content, content))):
        return OrderAck(request.id, row.state, row.reason, is_shared, book), None
    if is_old:  # it may have been here and be forgotten, even if its id was used again since
        too_old = f"it is too old to be resolved by asking: this server remembers orders for {remember:g} s"
        return OrderAck(request.id, "unknown", too_old, book=book), None
    if row is not None:
        return OrderAck(request.id, "rejected", REUSED, is_shared, book), None
    if isinstance(request, Order):
        return OrderAck(request.id, "acknowledged", "", is_shared, book), _Row("acknowledged", "", content)
    if not is_shared:
        return OrderAck(request.id, "unknown", UNKNOWN), None
    return OrderAck(request.id, "rejected", FENCED, is_shared, book), _Row("rejected", FENCED, content)


def _new_id() -> str:
    """An id that no other book has."""
    return secrets.token_hex(8)


class MemoryOrderBook:
    """A book in memory, gone with the process. Give the same one to several servers of a process, and they share it.

    Args:
        is_shared: Whether every server that a client may ask has this very book. If not, "not known here" is no answer.
        limit: Orders that it holds at most; more are rejected.
        remember: Seconds.
    """

    def __init__(self, *, is_shared: bool = False, limit: int = LIMIT // 5, remember: float = REMEMBER) -> None:
        self.id = _new_id() if is_shared else ""
        """Its id; "" if it is not shared."""
        self._limit = limit
        self._remember = remember
        self._rows: OrderedDict[str, tuple[float, _Row]] = OrderedDict()
        self.copies: dict[str, int] = {}
        """How often each order arrived."""

    def __len__(self) -> int:
        return len(self._rows)

    async def prepare(self) -> None:
        """Nothing to open."""
        await trio.lowlevel.checkpoint()

    async def answer(self, requests: Sequence[Request]) -> list[OrderAck]:
        """See `OrderBook.answer`."""
        await trio.lowlevel.checkpoint()
        now = trio.current_time()
        while self._rows and now - next(iter(self._rows.values()))[0] >= self._remember:
            self.copies.pop(self._rows.popitem(last=False)[0], None)
        return [self._answer_one(request, now) for request in requests]

    def _answer_one(self, request: Request, now: float) -> OrderAck:
        known = self._rows.get(request.id)
        known_row = None if known is None else known[1]
        ack, row = _decide(known_row, request, book=self.id, remember=self._remember)
        if row is not None:
            if len(self._rows) >= self._limit:
                return _trouble(request, FULL)
            self._rows[request.id] = (now, row)
        if isinstance(request, Order):
            self.copies[request.id] = self.copies.get(request.id, 0) + 1
        return ack


class BookCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a book. ``doubled`` acknowledged orders arrived more than once."""

    acknowledged: int
    rejected: int
    fenced: int
    doubled: int


class SqliteOrderBook:
    """A book in a SQLite file (WAL), shared by all servers that are given the same file, on one machine.

    All work is done in a worker thread, a whole batch in one transaction, on disk before it is answered. Disk trouble
    rejects orders with its reason, and leaves questions open; the next batch tries again. Close it after the servers.

    The file has a random id, by which clients see which servers share it. A copy of the file has the same one: never give
    a copy to another server.

    Args:
        path: The file; made if need be, for its owner's eyes only.
        limit: Orders that it holds at most; more are rejected.
        remember: Seconds, counted by each process from when it first saw an order.
    """

    def __init__(self, path: Path, *, limit: int = LIMIT, remember: float = REMEMBER) -> None:
        self.path = path
        self.id = ""
        """The file's id; "" until it was opened."""
        self._limit = limit
        self._remember = remember
        self._file: sqlite3.Connection | None = None
        self._inode = (0, 0)
        self._marks: deque[tuple[float, int]] = deque()
        self._thread = trio.CapacityLimiter(1)
        self._lock = threading.Lock()

    async def prepare(self) -> None:
        """Open the file.

        Raises:
            ConfigError: It cannot be opened, or is something else.
        """
        try:
            await trio.to_thread.run_sync(self._open, limiter=self._thread)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"order book {self.path}: {getattr(error, 'strerror', None) or error}") from error

    async def answer(self, requests: Sequence[Request]) -> list[OrderAck]:
        """See `OrderBook.answer`. Cancelled, it returns at once; the thread finishes what it began."""
        work = partial(self._work, tuple(requests), trio.current_time())
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._thread)

    def count(self) -> BookCounts:
        """What stands in the file. It blocks; for tools that look at a book."""
        with contextlib.closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            [[*counts]] = file.execute(
                "SELECT COALESCE(SUM(state = 'acknowledged'), 0), COALESCE(SUM(state = 'rejected'), 0), "
                "COALESCE(SUM(reason = ?), 0), COALESCE(SUM(state = 'acknowledged' AND copies > 1), 0) FROM orders",
                (FENCED,),
            )
        return BookCounts(acknowledged=counts[0], rejected=counts[1], fenced=counts[2], doubled=counts[3])

    def acknowledged(self) -> set[str]:
        """Ids of the acknowledged orders in the file. It blocks; for tools that look at a book."""
        with contextlib.closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            return {row[0] for row in file.execute("SELECT id FROM orders WHERE state = 'acknowledged'")}

    # -- in the worker thread ----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        with self._lock:
            self._close()
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise OSError("it is no regular file")
            finally:
                os.close(descriptor)
            file = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
            try:
                book = self._set_up(file)
                for side in ("", "-wal", "-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        self.path.with_name(self.path.name + side).chmod(0o600)
                self._use_wal(file)
            except BaseException:
                file.close()
                raise
            self._file, self._inode, self.id = file, (status.st_dev, status.st_ino), book

    @staticmethod
    def _set_up(file: sqlite3.Connection) -> str:
        """Make the tables, unless this is something else; all at once, as another server may be about to do the same.

        Returns:
            The file's id. Files of the time before there were ids get one.
        """
        file.execute("BEGIN IMMEDIATE")
        [version] = file.execute("PRAGMA user_version").fetchone()
        [tables] = file.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        if version != SCHEMA and (version or tables):
            raise OSError("it is no order book of this version")
        file.execute(
            "CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
            "state TEXT NOT NULL, reason TEXT NOT NULL, symbol TEXT, side TEXT, quantity REAL, price REAL, "
            "copies INTEGER NOT NULL)"
        )
        file.execute("CREATE TABLE IF NOT EXISTS book (id TEXT NOT NULL)")
        file.execute("INSERT INTO book SELECT ? WHERE NOT EXISTS (SELECT * FROM book)", (_new_id(),))
        ids = [row[0] for row in file.execute("SELECT id FROM book LIMIT 2")]
        if not (len(ids) == 1 and ORDER_ID.fullmatch(str(ids[0]))):
            raise OSError("it does not say which book it is")
        file.execute(f"PRAGMA user_version = {SCHEMA}")
        file.execute("COMMIT")
        return str(ids[0])

    @staticmethod
    def _use_wal(file: sqlite3.Connection) -> None:
        """Switch to WAL, which takes a moment without readers; the busy timeout does not wait for that."""
        for attempt in range(TRIES):
            try:
                [mode] = file.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.OperationalError:
                if attempt == TRIES - 1:
                    raise
                time.sleep(BUSY_TIMEOUT / TRIES)
        if mode != "wal":
            raise OSError(f"its journal stays {mode}: a book needs a local disk")
        file.execute("PRAGMA synchronous = FULL")  # an acknowledgement survives a power cut

    def _work(self, requests: Sequence[Request], now: float) -> list[OrderAck]:
        try:
            self._reopen_if_gone()
            with self._lock:
                assert self._file is not None  # noqa: S101 - it was opened just now
                return self._transact(self._file, requests, now)
        except (OSError, sqlite3.Error) as error:
            # After a failed sync nobody knows whether the transaction will be found after a crash; else it is undone.
            is_unsure = getattr(error, "sqlite_errorname", "") == "SQLITE_IOERR_FSYNC"
            return [_trouble(request, f"the order book failed: {error}", is_unsure=is_unsure) for request in requests]

    def _reopen_if_gone(self) -> None:
        """A file that was removed or replaced would go on unseen, and be shared with nobody."""
        try:
            status = self.path.stat()
            is_there = self._file is not None and self._inode == (status.st_dev, status.st_ino)
        except FileNotFoundError:
            is_there = False
        if not is_there:
            self._open()

    def _transact(self, file: sqlite3.Connection, requests: Sequence[Request], now: float) -> list[OrderAck]:
        file.execute("BEGIN IMMEDIATE")
        try:
            first, last = file.execute("SELECT COALESCE(MIN(number), 0), COALESCE(MAX(number), 0) FROM orders").fetchone()
            self._forget_old(file, last, now)
            acks = [self._answer_one(file, request, is_full=last - first >= self._limit) for request in requests]
            file.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                file.execute("ROLLBACK")
            raise
        return acks

    def _answer_one(self, file: sqlite3.Connection, request: Request, *, is_full: bool) -> OrderAck:
        found = file.execute(
            "SELECT state, reason, symbol, side, quantity, price FROM orders WHERE id = ?", (request.id,)
        ).fetchone()
        known = None if found is None else _Row(found[0], found[1], None if found[2] is None else tuple(found[2:]))
        ack, row = _decide(known, request, book=self.id, remember=self._remember)
        copies = int(isinstance(request, Order))
        if row is not None:
            if is_full:
                return _trouble(request, FULL)
            content = row.content or (None, None, None, None)
            file.execute(
                "INSERT INTO orders (id, state, reason, symbol, side, quantity, price, copies) VALUES (?,?,?,?,?,?,?,?)",
                (request.id, row.state, row.reason, *content, copies),
            )
        elif copies:
            file.execute("UPDATE orders SET copies = copies + 1 WHERE id = ?", (request.id,))
        return ack

    def _forget_old(self, file: sqlite3.Connection, last: int, now: float) -> None:
        """Delete what has been there for long enough, by this process's own clock: nobody can set that forward."""
        if not self._marks or now - self._marks[-1][0] >= self._remember / 10:
            self._marks.append((now, last))
        while now - self._marks[0][0] >= self._remember:
            file.execute("DELETE FROM orders WHERE number <= ?", (self._marks.popleft()[1],))

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. It waits for a transaction that is under way (`BUSY_TIMEOUT` and what the disk takes)."""
        with self._lock:
            self._close()


def _trouble(request: Request, reason: str, *, is_unsure: bool = False) -> OrderAck:
    """Nothing was recorded: an order is rejected, a question stays open."""
    state: AckState = "rejected" if isinstance(request, Order) and not is_unsure else "unknown"
    return OrderAck(request.id, state, reason)
