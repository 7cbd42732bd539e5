"""Several servers, a warm session to each: orders go to the best one, each once, and none is lost in silence.

What is decided is decided by `sansio.selection` (where orders go) and `sansio.orders` (what is known of each). When the best
endpoint fails, the next order leaves on another line in the same instant; those that had left on the dead line without an
answer are ambiguous, and are told.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import trio

from ._background import open_background
from ._broadcast import Broadcast, Events
from .config import HeartbeatPolicy, RestartPolicy
from .courier import Courier, Slot
from .endpoint import Endpoint, parse_endpoints
from .events import Connected, ConnectionState, Event, Lost, PongMissed, PongReceived, StateChanged, Suspected
from .exceptions import ConfigError, HeartbeatTrioError, InternalError
from .orders import Line, Order, OrderAck, OrderRecord, Switched
from .policies import BalancerPolicy
from .protocol.messages import ErrorNotice
from .sansio.selection import EndpointSelector
from .session import open_session

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from .config import BackoffPolicy
    from .orders import EndpointSnapshot, SwitchReason
    from .protocol.messages import Message
    from .recorder import Recorder
    from .session import Session
    from .transports.abc import Connector


FORGET_EVERY = 60.0
"""Seconds between two looks at what can be forgotten."""


class Balancer:
    """Sends orders to the best of several endpoints, as `open_balancer` gives it."""

    def __init__(self, endpoints: Sequence[Endpoint], policy: BalancerPolicy) -> None:
        self._slots = {str(endpoint): Slot(endpoint) for endpoint in endpoints}
        self._selector = EndpointSelector(tuple(self._slots), policy, trio.current_time())
        self._courier = Courier(
            self._ranked, self._announce, remember=policy.remember_orders, answer_timeout=policy.answer_timeout
        )
        self._events = Broadcast()
        self._leaving = trio.Event()
        self._has_ended = trio.Event()
        self._open = len(self._slots)

    def __repr__(self) -> str:
        return f"<Balancer of {len(self._slots)} endpoints, best {self._selector.best}>"

    @property
    def best(self) -> Endpoint | None:
        """Where orders go now; None before anything was connected. While nothing is, it is where they went last."""
        best = self._selector.best
        return None if best is None else self._slots[best].endpoint

    def endpoints(self) -> tuple[EndpointSnapshot, ...]:
        """What is thought of each endpoint: state, score, share of the time; frozen, in the order of `open_balancer`."""
        return self._selector.snapshot(trio.current_time())

    def orders(self) -> tuple[OrderRecord, ...]:
        """What is known of every order that is remembered, oldest first."""
        self._courier.note_left()
        return tuple(self._courier.ledger.records())

    def order(self, order_id: str) -> OrderRecord | None:
        """What is known of one order; None if it never was, or was forgotten."""
        return self._courier.record(order_id)

    def events(self) -> Events:
        """Open a channel of `Switched`, `Ejected`, `EndpointChanged`, `OrderChanged` and `OrderContradicted` events.

        It works as `Session.events` does, with the last 100 events at its head.
        """
        return Events(self._events)

    async def wait_connected(self) -> None:
        """Wait until some endpoint is connected. Use your own `trio.fail_after` around it if you like."""
        await trio.lowlevel.checkpoint()
        while not self._selector.ranked():
            self._courier.check_open()
            await self._courier.connected.wait()

    async def send_order(self, order: Order) -> OrderRecord:
        """Send an order, once, and wait for its answer. Your own `trio.fail_after` may stand around it.

        While no endpoint is connected it waits for one. Cancelled before a byte of the order left, it never leaves; later,
        it is pending until its answer comes, or ambiguous if its line dies first or none comes within
        `BalancerPolicy.answer_timeout`: see `order`. The same order given again is not sent again, unless it never left.

        Returns:
            The record: acknowledged or rejected.

        Raises:
            OrderAmbiguous: Its line died before the answer came, or none came in time. `resolve` asks what became of it.
            LocalProtocolError: No wire format carries it, its id was used for another order, or too many are open.
            ConnectionClosed: The balancer was closed first, and the order never left.
        """
        return await self._courier.send(order)

    async def resolve(self, order_id: str) -> OrderRecord:
        """Ask living servers what became of an order, its own first, until one can say.

        A server that has the book of the server that got the order, and finds no such order in it, refuses it from then on,
        so that "rejected" is final. Answers from other books settle nothing. An order that never left is returned as it is.

        Ask soon: servers remember orders for 10 minutes, and so fence them only in the first 9. Of an older one they cannot
        say whether it came; it stays ambiguous, its reason says so, and only the exchange's own records tell.

        While no endpoint is connected, it waits for one.

        Returns:
            The record: acknowledged or rejected.

        Raises:
            OrderAmbiguous: No server that lives can say.
            LocalProtocolError: There is no such order.
        """
        return await self._courier.resolve(order_id)

    # -- what happens to the sessions ------------------------------------------------------------------------------------

    def _receive_event(self, slot: Slot, event: Event) -> None:
        selector, now = self._selector, trio.current_time()
        match event:
            case Connected():
                slot.lines += 1
                slot.line = Line(slot.name, slot.lines)
                slot.is_suspect = slot.is_degraded = False
                self._announce(selector.connected(slot.name, now))
                self._courier.connect()
            case Lost():
                self._lose(slot, event.cause)
            case PongReceived(rtt=float() as rtt):
                self._announce(selector.receive_pong(slot.name, rtt, now))
            case PongMissed():
                self._announce(selector.missed(slot.name, now))
            case Suspected():
                slot.is_suspect = event.is_suspect
                self._judge(slot)
            case StateChanged() if event.new is not ConnectionState.DISCONNECTED:
                slot.is_degraded = event.new is ConnectionState.DEGRADED
                self._judge(slot)

    def _judge(self, slot: Slot) -> None:
        now = trio.current_time()
        if slot.line is None:
            return
        if slot.is_suspect or slot.is_degraded:
            reason: SwitchReason = "degraded" if slot.is_degraded else "suspect"
            self._announce(self._selector.doubted(slot.name, now, reason=reason))
        else:
            self._announce(self._selector.recovered(slot.name, now))

    def _lose(self, slot: Slot, detail: str) -> None:
        line, slot.line = slot.line, None
        self._announce(self._selector.lost(slot.name, trio.current_time(), detail=detail))
        if line is not None:
            self._courier.lose(line, detail)
        self._courier.dispatch_waiting()

    def _receive_message(self, slot: Slot, message: Message) -> None:
        if slot.line is None:
            return
        if isinstance(message, OrderAck):
            self._courier.receive_ack(message, slot.line)
        elif isinstance(message, ErrorNotice) and message.code == "unknown_command":
            self._courier.receive_refusal(slot.line, message.message)

    def _ranked(self) -> list[Slot]:
        return [self._slots[name] for name in self._selector.ranked()]

    def _announce(self, events: list[Event]) -> None:
        for event in events:
            self._events.put(event)
            if isinstance(event, Switched) and event.old is not None and event.reason != "quality":
                failing = self._slots[event.old].line
                if failing is not None:
                    self._courier.leave_behind(failing)

    # -- the tasks ---------------------------------------------------------------------------------------------------------

    async def keep(self, endpoint: Endpoint, opened: AbstractAsyncContextManager[Session]) -> None:  # noqa: ASYNC910 - a task
        """Keep a session to one endpoint. Its failure ends the balancer only if it was the last."""
        slot = self._slots[str(endpoint)]
        try:
            async with opened as session:
                slot.session = session
                session.listen(on_event=partial(self._receive_event, slot), on_message=partial(self._receive_message, slot))
                await self._leaving.wait()
        except (ConfigError, InternalError):
            raise
        except HeartbeatTrioError as error:
            self._lose(slot, f"given up: {type(error).__name__}")
            if self._open == 1:
                raise
        finally:
            slot.session = None
            self._open -= 1
            if not self._open:
                self._has_ended.set()

    async def dispatch(self) -> None:
        """Send what waits whenever a line stands: the session has it only after it was told."""
        while True:
            await self._courier.connected.wait()
            self._courier.ask_books()
            self._courier.dispatch_waiting()

    async def watch(self) -> None:
        """Tell of orders that get no answer, though their line stands."""
        await self._courier.watch()

    async def forget(self) -> None:
        """Forget settled orders now and then."""
        while True:
            await trio.sleep(FORGET_EVERY)
            self._courier.ledger.forget_old(trio.current_time())

    async def leave(self, timeout: float) -> None:
        """Let the sessions close in an orderly way."""
        await trio.lowlevel.checkpoint()
        self._leaving.set()
        with trio.move_on_after(timeout):
            await self._has_ended.wait()

    def end(self) -> None:
        """The last word: what was not answered is ambiguous, and whoever waits is told."""
        for slot in self._slots.values():
            self._lose(slot, "the balancer was closed")
        self._courier.close()
        self._events.close()


@asynccontextmanager
async def open_balancer(
    endpoints: Sequence[str | Endpoint],
    *,
    policy: BalancerPolicy | None = None,
    heartbeat: HeartbeatPolicy | None = None,
    backoff: BackoffPolicy | None = None,
    restart: RestartPolicy | None = None,
    journal: Recorder | None = None,
    connector: Connector | None = None,
    rng: Random | None = None,
    token: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[Balancer]:
    """Keep a session to each endpoint, and send orders to the best, for the length of the block.

    The endpoints should be servers of the same orders, with one book: a server answers for another only if both told the
    same book's id, for which each is asked when it is connected. The other arguments are those of `open_session`, for every
    session; the heartbeat is adaptive by default, so that a failing endpoint is left as soon as it is suspect.

    One session's end leaves the others alone. When the last one has given up, the block is cancelled and its error comes out
    of it, bare.

    Raises:
        ConfigError: An endpoint is none, none is given, or one is given twice; one speaks a dialect that has no orders; or
            a policy is impossible.
        GaveUp: Every endpoint was given up; this is the last one's.
    """
    where = parse_endpoints(endpoints)
    if not where or len({str(endpoint) for endpoint in where}) < len(where):
        listed = ", ".join(map(str, where)) or "none"
        raise ConfigError(f"endpoints = {listed}: at least one is needed, and each once")
    for endpoint in where:
        if endpoint.venue is not None:  # else orders would fail whenever it is the best
            raise ConfigError(
                f"endpoint {endpoint}: {endpoint.venue.title} takes no orders here, only servers of this package"
            )
    restart = restart or RestartPolicy()
    rng = rng or Random()
    balancer = Balancer(where, policy or BalancerPolicy())
    try:
        async with open_background() as background:
            for endpoint in where:
                session = open_session(
                    endpoint,
                    heartbeat=heartbeat or HeartbeatPolicy(adaptive=True),
                    backoff=backoff,
                    restart=restart,
                    journal=journal,
                    connector=connector,
                    rng=Random(rng.getrandbits(64)),
                    token=token,
                    ssl_context=ssl_context,
                )
                background.start_soon(partial(balancer.keep, endpoint, session), name=f"balance {endpoint}")
            background.start_soon(balancer.dispatch, name="dispatch")
            background.start_soon(balancer.forget, name="forget")
            background.start_soon(balancer.watch, name="watch orders")
            yield balancer
            background.leave()
            await balancer.leave(restart.close_timeout)
    finally:
        balancer.end()
