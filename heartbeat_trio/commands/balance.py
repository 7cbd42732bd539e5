"""``heartbeat-trio balance``: send test orders over several servers, and show that none is lost and none doubled."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import trio

from ..balancer import Balancer, open_balancer
from ..events import Event
from ..exceptions import ConfigError, GaveUp, OrderAmbiguous
from ..observe import jsonlines
from ..observe.orders import describe_endpoint, describe_json, describe_text, table
from ..observe.output import Output
from ..orders import Order, OrderContradicted, OrderRecord, OrderState, Switched
from ..server.order_book import SqliteOrderBook
from .common import check_duration, discard_stdout, first_leaf, on_output_error, on_signals, warn

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from ..config import BackoffPolicy, HeartbeatPolicy, RestartPolicy
    from ..endpoint import Endpoint
    from ..orders import EndpointSnapshot
    from ..policies import BalancerPolicy

UNSETTLED, GAVE_UP = 1, 3
"""Exit codes; 0 is success."""

OUTSTANDING = 1000
"""Orders that may wait at once, for lines or answers; while so many do, none is made."""

SETTLE = 10.0
"""Seconds that the end waits for answers."""

RESOLVE_EVERY = 1.0
"""Seconds between two attempts to resolve an order that nobody knows."""


@dataclass(frozen=True, kw_only=True)
class BalanceOptions:
    """What the command line asked for."""

    endpoints: tuple[Endpoint, ...]
    policy: BalancerPolicy
    heartbeat: HeartbeatPolicy
    backoff: BackoffPolicy
    restart: RestartPolicy
    orders_per_second: float
    symbol: str
    order_book: Path | None
    token: str | None
    ssl_context: ssl.SSLContext | None
    seed: int | None
    duration: float | None
    output: Literal["text", "json"]


@dataclass
class _Tally:
    """What became of the orders."""

    made: int = 0
    states: Counter[OrderState] = field(default_factory=Counter)
    was_ambiguous: int = 0
    held_back: int = 0
    switches: Counter[str] = field(default_factory=Counter)
    contradicted: int = 0
    failovers: dict[float, tuple[float, float]] = field(default_factory=dict)
    """When the best endpoint failed: when the next order left on another one, and how long after it could have."""

    def settle(self, record: OrderRecord) -> None:
        self.states[record.state] += 1
        if record.sent_at is None:
            return
        for failed_at, (sent_at, _) in self.failovers.items():
            if failed_at <= record.sent_at < sent_at:
                self.failovers[failed_at] = record.sent_at, record.sent_at - max(failed_at, record.created_at)


def check_order_book(path: Path) -> None:
    """Look into the servers' book before any order is sent.

    Raises:
        ConfigError: It is none.
    """
    if not path.exists():
        raise ConfigError(f"--order-book {path}: there is no such file; start the servers first")
    try:
        SqliteOrderBook(path).count()
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"--order-book {path} is no order book: {error}; name the file of serve --order-book") from error


def balance(options: BalanceOptions) -> int:
    """Balance until a signal, the end of `duration`, its reader's leave, or until every endpoint was given up: the code."""
    check_duration(options.duration)
    with Output(sys.stdout) as output:
        command = _Balance(options, output)
        trio.run(command.run)
    if output.error is not None:
        discard_stdout()
    if output.dropped:
        warn(f"{output.dropped} lines were not shown: the output is too slow")
    return command.exit_code


class _Balance:
    def __init__(self, options: BalanceOptions, output: Output) -> None:
        self.options = options
        self.output = output
        self.exit_code = 0
        self._prefix = f"{Random().getrandbits(32):08x}"
        self._rng = Random(options.seed)
        self._stop = trio.Event()
        self._tally = _Tally()
        self._outstanding = 0
        self._balancer: Balancer | None = None
        self._snapshots: tuple[EndpointSnapshot, ...] = ()
        self._offset = 0.0  # wall time is only a label, taken once

    async def run(self) -> None:
        await trio.lowlevel.checkpoint()
        options = self.options
        self._offset = time.time() - trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(on_signals, self._stop.set, nursery.cancel_scope.cancel), name="signals")
                nursery.start_soon(partial(on_output_error, self.output, self._stop.set), name="output")
                async with open_balancer(
                    options.endpoints,
                    policy=options.policy,
                    heartbeat=options.heartbeat,
                    backoff=options.backoff,
                    restart=options.restart,
                    token=options.token,
                    ssl_context=options.ssl_context,
                    rng=self._rng,
                ) as self._balancer:
                    await self._work(self._balancer)
                nursery.cancel_scope.cancel()
        except ExceptionGroup as group:  # one error reaches the user; the others are consequences of it
            error = first_leaf(group)
            if not isinstance(error, GaveUp):
                raise error from group
            self._tell("gave_up", str(error), {"detail": str(error)})
            self.exit_code = GAVE_UP
        if self._balancer is not None:
            await self._report(self._balancer)

    async def _work(self, balancer: Balancer) -> None:
        async with balancer.events() as events, trio.open_nursery() as nursery:
            nursery.start_soon(self._show, events, name="show")
            async with trio.open_nursery() as orders:
                duration = self.options.duration
                with trio.move_on_after(float("inf") if duration is None else duration):
                    async with trio.open_nursery() as making:
                        making.start_soon(self._make_orders, balancer, orders, name="orders")
                        await self._stop.wait()
                        making.cancel_scope.cancel()
                orders.cancel_scope.deadline = trio.current_time() + SETTLE
            self._snapshots = balancer.endpoints()  # before they close
            nursery.cancel_scope.cancel()
            for event in events.take_nowait():
                self._show_event(event)

    async def _make_orders(self, balancer: Balancer, orders: trio.Nursery) -> None:
        await balancer.wait_connected()
        due, tally = trio.current_time(), self._tally
        while True:
            await trio.sleep_until(due)
            due = max(due + 1 / self.options.orders_per_second, trio.current_time())
            if self._outstanding >= OUTSTANDING:
                tally.held_back += 1
                continue
            tally.made += 1
            side: Literal["buy", "sell"] = self._rng.choice(("buy", "sell"))
            order = Order(f"{self._prefix}-{tally.made}", self.options.symbol, side, 1.0)
            orders.start_soon(self._send, balancer, order, name=f"order {order.id}")

    async def _send(self, balancer: Balancer, order: Order) -> None:
        """Send one order, and ask about it until its fate is known."""
        self._outstanding += 1
        try:
            self._tally.settle(await balancer.send_order(order))
        except OrderAmbiguous:
            self._tally.was_ambiguous += 1
            self._tally.settle(await self._resolve(balancer, order.id))
        finally:
            self._outstanding -= 1

    async def _resolve(self, balancer: Balancer, order_id: str) -> OrderRecord:
        while True:
            try:
                return await balancer.resolve(order_id)
            except OrderAmbiguous:
                await trio.sleep(RESOLVE_EVERY)

    # -- showing -----------------------------------------------------------------------------------------------------------

    async def _show(self, events: Any) -> None:  # noqa: ANN401 - an event channel
        async for event in events:
            self._show_event(event)

    def _show_event(self, event: Event) -> None:
        if isinstance(event, Switched):
            self._tally.switches[event.reason] += 1
            if event.old is not None and event.reason != "quality":
                self._tally.failovers[event.at] = float("inf"), 0.0
        self._tally.contradicted += isinstance(event, OrderContradicted)
        described, line = describe_json(event), describe_text(event)
        if self.options.output == "json" and described is not None:
            self.output.put(jsonlines.encode(described[0], None, event.at + self._offset, described[1]))
        elif self.options.output == "text" and line is not None:
            self._put_text(line, event.at)

    async def _report(self, balancer: Balancer) -> None:
        tally, states = self._tally, self._tally.states
        endpoints = [describe_endpoint(each) for each in self._snapshots or balancer.endpoints()]
        states.update(record.state for record in balancer.orders() if record.settled_at is None)
        doubled, lost = await self._compare(balancer)
        times = sorted(lag for sent_at, lag in tally.failovers.values() if sent_at < float("inf"))
        counts: dict[str, int | float | None] = {
            "orders": tally.made,
            "acknowledged": states[OrderState.ACKNOWLEDGED],
            "rejected": states[OrderState.REJECTED],
            "ambiguous": states[OrderState.AMBIGUOUS],
            "pending": states[OrderState.PENDING],
            "was_ambiguous": tally.was_ambiguous,
            "held_back": tally.held_back,
            "contradicted": tally.contradicted,
            "doubled": doubled,
            "lost": lost,
            "switches_for_quality": tally.switches["quality"],
            "failovers": len(tally.failovers),
            "failover_median_ms": jsonlines.milliseconds(median(times)) if times else None,
            "failover_maximum_ms": jsonlines.milliseconds(times[-1]) if times else None,
        }
        unsettled = ("ambiguous", "pending", "contradicted", "doubled", "lost")
        if not self.exit_code and (not states[OrderState.ACKNOWLEDGED] or any(counts[name] for name in unsettled)):
            self.exit_code = UNSETTLED
        if self.options.output == "json":
            self._tell("summary", "", counts | {"endpoints": endpoints})
            return
        shown = [(name.replace("_", " "), "not known" if value is None else f"{value:g}") for name, value in counts.items()]
        columns = ("endpoint", "state", "score_ms", "misses", "share")
        servers = [columns, *[tuple(str(each[name]) for name in columns) for each in endpoints]]
        for line in ["", *table(servers), "", *table(shown)]:
            self.output.put(line)

    async def _compare(self, balancer: Balancer) -> tuple[int | None, int | None]:
        """Count in the servers' book what was executed twice, and what it says otherwise than we do."""
        await trio.lowlevel.checkpoint()
        if self.options.order_book is None:
            return None, None
        book = SqliteOrderBook(self.options.order_book)
        try:
            counts = await trio.to_thread.run_sync(book.count)
            executed = await trio.to_thread.run_sync(book.acknowledged)
        except (OSError, sqlite3.Error) as error:  # it was readable at the start
            warn(f"--order-book {self.options.order_book} cannot be read any more: {error}")
            return None, None
        records = balancer.orders()
        settled = {record.order.id for record in records if record.settled_at is not None}
        acknowledged = {record.order.id for record in records if record.state is OrderState.ACKNOWLEDGED}
        return counts.doubled, len((executed & settled) ^ acknowledged)

    def _tell(self, event: str, line: str, fields: jsonlines.Fields) -> None:
        now = trio.current_time()
        if self.options.output == "json":
            self.output.put(jsonlines.encode(event, None, now + self._offset, fields))
        else:
            self._put_text(line, now)

    def _put_text(self, line: str, at: float) -> None:
        self.output.put(f"{time.strftime('%H:%M:%S', time.localtime(at + self._offset))} {line}")
