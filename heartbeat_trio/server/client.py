"""One client of the quote server: its reader, its watchdog, and the pump that works when its socket was full."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import trio

from ..exceptions import ConnectionLost
from ..orders import Order, OrderQuery
from ..protocol.messages import (
    Auth,
    AuthOk,
    ErrorNotice,
    GapNotice,
    Goodbye,
    Invalid,
    Message,
    Ping,
    Subscribe,
    Subscribed,
    Unknown,
    Unsubscribe,
    Unsubscribed,
)
from ..sansio.limits import RollingLimit
from ..transports.catch_up import catch_up
from .outbound import BURST, Outbound

if TYPE_CHECKING:
    from .._background import Background
    from ..config import ServerPolicy
    from ..transports.abc import Transport
    from .feed import Entry
    from .hub import Hub
    from .order_desk import OrderDesk

POLICY_VIOLATION = 1008
CLOSE_TIMEOUT = 0.5
"""Seconds that closing may take a client that is turned away or dropped."""


class Client:
    """What the server knows of one client.

    Args:
        transport: The connection.
        background: Where the client's tasks run.
        hub: All symbols.
        policy: The limits.
        token: What `AUTH` must bring first; None: nothing is asked.
        desk: Where orders go.
    """

    def __init__(
        self,
        transport: Transport,
        background: Background,
        hub: Hub,
        policy: ServerPolicy,
        token: str | None,
        desk: OrderDesk,
    ) -> None:
        self.transport = transport
        self.outbound = Outbound(policy.outbound, policy.outbound_size)
        self.delivered = 0
        """Quotes that were sent to it alone: what it got with others, the hub counts."""
        self.was_idle = False
        self.was_slow = False
        self._background = background
        self._hub = hub
        self._policy = policy
        self._token = token
        self._desk = desk
        self._is_authorized = token is None
        self._last_ping = trio.current_time()
        self._began = trio.current_time()
        self._rate = RollingLimit(policy.max_message_rate, 1.0)
        self._is_pumping = False
        self._ready: list[bytes] = []

    def __repr__(self) -> str:
        return f"<Client {self.transport.peer} of {len(self.outbound)} symbols>"

    # -- what comes in -----------------------------------------------------------------------------------------------

    async def read(self) -> None:
        """Answer the client until its connection ends, which is raised."""
        while True:
            batch = await self.transport.receive()
            for message in batch:
                await self._wait_for_rate()
                if not self._receive(message):
                    await self._turn_away()

    async def _wait_for_rate(self) -> None:  # noqa: ASYNC910 - `read` has waited for the batch
        """Who sends too fast is read more slowly; nothing is dropped."""
        now = trio.current_time()
        allowed = self._rate.next_allowed(now)
        if allowed > now:
            await trio.sleep_until(allowed)
        self._rate.record(trio.current_time())

    def _receive(self, message: Message) -> bool:
        """Act on one message; False if the client is to be turned away."""
        match message:
            case Ping():
                self._last_ping = trio.current_time()
                if not message.is_control:
                    self.transport.pong(message)
            case Auth():
                return self._authorize(message)
            case _ if not self._is_authorized:
                self._answer(ErrorNotice("unauthorized", "AUTH:<token> must come first"))
                return False
            case Subscribe():
                self._subscribe(message)
            case Unsubscribe():
                self._hub.unsubscribe(self, message.symbol)
                self._answer(Unsubscribed(message.symbol))
            case Order() | OrderQuery():
                self._desk.submit(message, self._answer)
            case Invalid():
                self._answer(ErrorNotice(message.code, message.detail))
            case Unknown():
                self._answer(ErrorNotice("unknown_command", message.text))
            case _:
                self._answer(ErrorNotice("unknown_command", f"{type(message).__name__} is not for a client to send"))
        return True

    def _authorize(self, message: Auth) -> bool:
        if self._token is not None and not hmac.compare_digest(message.token.encode(), self._token.encode()):
            self._answer(ErrorNotice("unauthorized", "the token is wrong"))
            return False
        self._is_authorized = True
        self._answer(AuthOk())
        return True

    def _subscribe(self, message: Subscribe) -> None:
        if message.symbol not in self._hub:
            self._answer(ErrorNotice("unknown_symbol", f"{message.symbol} is not served here"))
        elif message.symbol in self.outbound:
            self._answer(Subscribed(message.symbol))
        elif len(self.outbound) >= self._policy.max_subscriptions:
            self._answer(ErrorNotice("too_many_subscriptions", f"at most {self._policy.max_subscriptions} symbols"))
        else:
            plan = self._hub.plan(message.symbol, message.resume)
            self._answer(Subscribed(message.symbol))
            for notice in plan.notices:
                self._answer(notice)
            self._hub.subscribe(self, message.symbol, plan.cursor)
            self.flush()

    def _answer(self, message: Message) -> None:
        self.transport.put(self.transport.encode(message))

    async def _turn_away(self) -> None:
        with trio.move_on_after(CLOSE_TIMEOUT):
            await self.transport.aclose(code=POLICY_VIOLATION, reason="unauthorized")
        raise ConnectionLost(f"{self.transport.peer} was turned away", cause="protocol_error")

    # -- what goes out -----------------------------------------------------------------------------------------------

    @property
    def is_in_step(self) -> bool:
        """Whether it has been sent everything, and could take more."""
        return not (self.outbound.is_waiting or self._is_pumping or self.transport.unsent_bytes)

    def offer(self, entry: Entry) -> None:
        """A new quote of a symbol that is subscribed to; `flush` sends it, if it can be sent now."""
        is_full = self.transport.unsent_bytes > 0 or len(self._ready) >= BURST
        if self.outbound.offer(entry, is_full=is_full):
            self._ready.append(entry.encoded(self.transport.encoding, self.transport.encode))

    def flush(self) -> None:
        """Send what `offer` found ready, in one write; let the pump do the rest."""
        if self._ready:
            ready, self._ready = self._ready, []
            self.delivered += len(ready)
            for data in self._join(ready):
                self.transport.put(data)
        if self.outbound.is_waiting and not self._is_pumping:
            self._is_pumping = True
            self._background.start_soon(self._pump, name=f"pump {self.transport.peer}")
        if self.outbound.is_overfull and not self.was_slow:
            self.was_slow = True
            self._background.start_soon(self._drop_slow, name=f"drop {self.transport.peer}")

    async def _pump(self) -> None:
        """Send what waits, as fast as the client reads, until nothing waits."""
        try:
            while True:
                await self.transport.wait_idle()
                burst = self.outbound.take(BURST)
                if not burst:
                    break
                self.delivered += sum(not isinstance(each, GapNotice) for each in burst)
                for data in self._join(self._encode(burst)):
                    self.transport.put(data)
        finally:
            self._is_pumping = False

    def _encode(self, burst: list[GapNotice | Entry]) -> list[bytes]:
        encoding, encode = self.transport.encoding, self.transport.encode
        return [encode(each) if isinstance(each, GapNotice) else each.encoded(encoding, encode) for each in burst]

    def _join(self, encoded: list[bytes]) -> list[bytes]:
        """What leaves in one write, where the transport's messages may be glued together."""
        return [b"".join(encoded)] if self.transport.may_join else encoded

    # -- the watchdog ------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Drop the client when it sends no ping for too long, is never authorized, or is too slow for `close`."""
        policy = self._policy
        while True:
            deadline = self._last_ping + policy.idle_timeout
            if not self._is_authorized:
                deadline = min(deadline, self._began + policy.handshake_timeout)
            await trio.sleep_until(deadline)
            await catch_up(self.transport)
            now = trio.current_time()
            if not self._is_authorized and now >= self._began + policy.handshake_timeout:
                await self._drop("unauthorized", f"no AUTH within {policy.handshake_timeout:g} s")
            if now >= self._last_ping + policy.idle_timeout:
                self.was_idle = True
                await self._drop("idle", f"no ping for {policy.idle_timeout:g} s")

    async def _drop_slow(self) -> None:
        """Too much waits under the policy `close`."""
        await self._drop("slow_consumer", f"more than {self._policy.outbound_size} quotes wait")

    async def _drop(self, code: str, text: str) -> None:
        """Say why, close as far as that goes in a moment, and end."""
        self._answer(ErrorNotice(code, text))
        with trio.move_on_after(CLOSE_TIMEOUT):
            await self.transport.aclose(code=POLICY_VIOLATION, reason=text)
        raise ConnectionLost(f"{self.transport.peer} was dropped: {text}", cause="reset")

    # -- the end -----------------------------------------------------------------------------------------------------

    def say_goodbye(self, reason: str, retry_after: float) -> None:
        """Tell the client that the server goes away, without waiting."""
        self._answer(Goodbye(reason, retry_after))
        self.transport.put_close(1001, reason)

    async def leave(self, reason: str, retry_after: float) -> None:
        """Tell it, let it read everything that it was sent, and close."""
        self._answer(Goodbye(reason, retry_after))
        await self.transport.aclose(code=1001, reason=reason)
