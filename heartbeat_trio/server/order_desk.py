"""Orders on their way through a server: from the clients' readers, which never wait, to the book and back."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import trio

from ..orders import Order, OrderAck

if TYPE_CHECKING:
    from collections.abc import Callable

    from .order_book import OrderBook, Request

    Answer = Callable[[OrderAck], None]

logger = logging.getLogger("heartbeat_trio.server")

QUEUE = 1000
"""Requests that may wait for the book. More are turned away at once: a slow disk must not grow our memory."""

BATCH = 100
"""Requests that the book gets at once."""


class OrderDesk:
    """Takes orders and questions, and answers each exactly once, in order.

    Args:
        book: Who knows the answers; None: this server takes no orders.
        symbols: What may be ordered.
    """

    def __init__(self, book: OrderBook | None, symbols: frozenset[str]) -> None:
        self._book = book
        self._symbols = symbols
        self._queue: deque[tuple[Request, Answer]] = deque()
        self._news = trio.Event()
        self._idle = trio.Event()
        self._idle.set()
        self._is_closed = False
        self.orders = 0
        """Orders that came."""

    def submit(self, request: Request, answer: Answer) -> None:
        """Take a request; `answer` is called with what becomes of it, now or later. Never waits."""
        self.orders += isinstance(request, Order)
        refusal = self._refusal(request)
        if refusal is not None:
            answer(OrderAck(request.id, "rejected" if isinstance(request, Order) else "unknown", refusal))
            return
        self._queue.append((request, answer))
        self._idle = trio.Event() if self._idle.is_set() else self._idle
        self._news.set()

    def close(self) -> None:
        """Take nothing more; what waits is answered still."""
        self._is_closed = True

    async def wait_idle(self) -> None:
        """Wait until everything that came is answered."""
        await self._idle.wait()

    async def run(self) -> None:
        """The desk's task."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                for (_, answer), ack in zip(batch, await self._ask([request for request, _ in batch]), strict=True):
                    answer(ack)
            self._idle.set()

    def _refusal(self, request: Request) -> str | None:
        """Why a request is turned away before the book sees it."""
        if self._book is None:
            return "this server takes no orders"
        if self._is_closed:
            return "the server is going away"
        if len(self._queue) >= QUEUE:
            return f"{QUEUE} orders are waiting: the server is too slow"
        if isinstance(request, Order) and request.symbol not in self._symbols:
            return f"unknown symbol {request.symbol}"
        return None

    async def _ask(self, requests: list[Request]) -> list[OrderAck]:
        assert self._book is not None  # noqa: S101 - nothing is queued without one
        try:
            acks = await self._book.answer(requests)
            if [ack.id for ack in acks] == [request.id for request in requests]:
                return acks
            logger.error("the order book answered %d requests with other ids; please report this", len(requests))
        except Exception:
            # A bug in a book must not take the server down; what became of these orders is not known.
            logger.exception("the order book failed; please report this")
        await trio.lowlevel.checkpoint()
        return [OrderAck(request.id, "unknown", "the order book failed") for request in requests]
