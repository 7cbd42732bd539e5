"""Servers that take orders, on a virtual network, and a balancer over them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio

from heartbeat_trio import Balancer, BalancerPolicy, MemoryOrderBook, Order, open_balancer
from heartbeat_trio.server import OrderBook, QuoteServer, serve_quotes
from heartbeat_trio.testing import VirtualNetwork
from tests.support.raw_clients import ManualSource

QUICK = BalancerPolicy(dwell=0.0, confirmations=2, probes=2, slow_start=0.0)


def order(number: int, quantity: float = 1.0) -> Order:
    return Order(f"o-{number}", "BTCUSD", "buy", quantity)


def url(name: str) -> str:
    return f"tcp://{name}:1"


class SlowBook(MemoryOrderBook):
    """Takes its time: before it records (`before`), and between that and its answer (`after`)."""

    def __init__(self, *, is_shared: bool = True) -> None:
        super().__init__(is_shared=is_shared)
        self.before = self.after = 0.0

    async def answer(self, requests: Any) -> Any:
        await trio.sleep(self.before)
        acks = await super().answer(requests)
        await trio.sleep(self.after)
        return acks


class Servers:
    """Quote servers by name, each on a host of its own."""

    def __init__(self, net: VirtualNetwork, nursery: trio.Nursery) -> None:
        self.net = net
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}
        self.running: dict[str, QuoteServer] = {}

    async def start(self, name: str, book: OrderBook | None) -> None:
        self.running[name] = await self._nursery.start(self._run, name, book)

    def stop(self, name: str) -> None:
        """End its process: its connections are broken off."""
        self.net.host(name).reset_all()
        self._scopes[name].cancel()

    async def _run(  # noqa: ASYNC128 - `serve_quotes` calls started
        self, name: str, book: OrderBook | None, task_status: trio.TaskStatus[QuoteServer] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.CancelScope() as self._scopes[name]:
            listener: Any = self.net.listen(name, 1)
            await serve_quotes(ManualSource(), tcp=listener, orders=book, task_status=task_status)


@asynccontextmanager
async def balancing(
    *names: str, book: OrderBook | None = None, books: dict[str, OrderBook] | None = None, **options: Any
) -> AsyncIterator[tuple[Balancer, Servers]]:
    """Servers with one book (or one each), 10 ms away, and a balancer that is connected to all of them."""
    net = VirtualNetwork(latency=0.010)
    async with trio.open_nursery() as nursery:
        servers = Servers(net, nursery)
        for name in names:
            await servers.start(name, (books or {}).get(name, book))
        given: dict[str, Any] = {"policy": QUICK, "connector": net.connect, "rng": Random(1)} | options
        async with open_balancer([url(name) for name in names], **given) as balancer:
            await trio.sleep(0.2)
            yield balancer, servers
        nursery.cancel_scope.cancel()
