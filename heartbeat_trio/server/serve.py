"""The quote server: listeners, admission, fan-out, and going away in good order."""

from __future__ import annotations

import hmac
import logging
from collections import Counter
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import msgspec
import trio

from .._background import open_background
from ..config import ServerPolicy
from ..exceptions import ConfigError, ConnectError, HeartbeatTrioError, InternalError
from ..protocol.messages import ErrorNotice
from ..transports.evidence import listen_tcp
from ..transports.tcp import accept_tcp
from ..transports.tls import wrap_tls
from ..transports.trio_websocket import adopt_websocket
from ..transports.websocket import accept_websocket
from .client import Client
from .hub import Hub
from .order_desk import OrderDesk

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    import trio_websocket

    from .._background import Background
    from ..transports.abc import Transport
    from .order_book import OrderBook
    from .sources import Source

    Started = Callable[["QuoteServer"], None]

Protocol = Literal["tcp", "ws"]
AnyListener = trio.abc.Listener[trio.abc.Stream]

logger = logging.getLogger("heartbeat_trio.server")

ROOM = 64 * 1024
"""Bytes of quotes in the output buffer, beside the control messages that may wait there."""

EXPECTED = (HeartbeatTrioError, trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError, OSError)
"""What clients and networks do to a server. Anything else is a bug, and is logged."""


class ServerStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the start; ``clients`` is now."""

    clients: int
    accepted: int
    refused: int
    dropped_idle: int
    dropped_slow: int
    quotes: int
    delivered: int
    skipped: int
    orders: int = 0


class QuoteServer:
    """A running server, as ``await nursery.start(partial(serve_quotes, ...))`` gives it."""

    def __init__(
        self,
        hub: Hub,
        policy: ServerPolicy,
        *,
        token: str | None,
        ssl_context: ssl.SSLContext | None,
        allow_origins: Iterable[str],
        orders: OrderBook | None = None,
    ) -> None:
        self._desk = OrderDesk(orders, frozenset(hub.symbols))
        self._hub = hub
        self._policy = policy
        self._token = token
        self._ssl_context = ssl_context
        self._origins = frozenset(allow_origins)
        self._clients: dict[Client, None] = {}
        self._seats: set[trio.abc.Stream] = set()
        self._addresses: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._accepting = trio.CancelScope()
        self._has_drained = trio.Event()

    def __repr__(self) -> str:
        return f"<QuoteServer on {', '.join(self._addresses.values())} with {self.clients} clients>"

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where it listens: ``tcp`` as host:port, ``ws`` as a URL."""
        return MappingProxyType(self._addresses)

    @property
    def symbols(self) -> tuple[str, ...]:
        """What can be subscribed to."""
        return self._hub.symbols

    @property
    def clients(self) -> int:
        """Clients that are connected now."""
        return len(self._clients)

    def statistics(self) -> ServerStatistics:
        """A frozen snapshot of the counts."""
        counts, clients = self._counts, self._clients
        return ServerStatistics(
            clients=len(clients),
            accepted=counts["accepted"],
            refused=counts["refused"],
            dropped_idle=counts["idle"],
            dropped_slow=counts["slow"],
            quotes=self._hub.published,
            delivered=self._hub.delivered + counts["delivered"] + sum(client.delivered for client in clients),
            skipped=counts["skipped"] + sum(client.outbound.skipped for client in clients),
            orders=self._desk.orders,
        )

    async def drain(self, timeout: float = 2.0, *, reason: str = "shutdown") -> None:
        """Go away in good order: accept nobody, say goodbye, wait for what is unsent, close. `serve_quotes` then returns.

        Every client gets the same ``retry_after`` (`ServerPolicy`), over which it spreads its return by itself.

        Args:
            timeout: Seconds that this may take.
            reason: Sent to the clients.
        """
        await trio.lowlevel.checkpoint()
        self._accepting.cancel(reason="draining")
        self._desk.close()
        with trio.move_on_after(timeout):
            await self._desk.wait_idle()
            self._hub.finish()
            async with trio.open_nursery() as nursery:
                for client in list(self._clients):
                    nursery.start_soon(client.leave, reason, self._policy.retry_after, name=f"leave {client!r}")
        self._has_drained.set()

    async def serve_connection(self, websocket: trio_websocket.WebSocketConnection) -> None:
        """Serve one client on a WebSocket connection that the application accepted; see `serve_connection`."""
        async with open_background() as background:
            await self._serve(adopt_websocket(websocket, background.nursery, role="server"), background)

    # -- what `serve_quotes` calls -----------------------------------------------------------------------------------------

    async def listen(self, protocol: Protocol, where: str | AnyListener) -> list[AnyListener]:
        """Open the listeners of one protocol, and remember their address."""
        await trio.lowlevel.checkpoint()
        listeners: list[AnyListener] = []
        if isinstance(where, str):
            listeners += await listen_tcp(*_host_and_port(protocol, where))
        else:
            listeners.append(where)
        address = getattr(listeners[0], "address", "?")
        scheme = "ws" if self._ssl_context is None else "wss"
        self._addresses[protocol] = address if protocol == "tcp" else f"{scheme}://{address}/"
        return listeners

    async def run(self, opened: list[tuple[Protocol, list[AnyListener]]], source: Source, started: Started) -> None:
        """Serve until drained or cancelled."""
        async with open_background() as background:
            background.start_soon(partial(source.run, self._hub.publish), name="source")
            background.start_soon(self._hub.run, name="hub")
            background.start_soon(self._desk.run, name="orders")
            background.start_soon(partial(self._accept, opened, background.nursery), name="listeners")
            started(self)
            await self._has_drained.wait()

    async def _accept(self, opened: list[tuple[Protocol, list[AnyListener]]], clients: trio.Nursery) -> None:
        with self._accepting:
            async with trio.open_nursery() as nursery:
                for protocol, listeners in opened:
                    handler = partial(self._serve_stream, protocol)
                    nursery.start_soon(partial(trio.serve_listeners, handler, listeners, handler_nursery=clients))
        for listener in [each for _, listeners in opened for each in listeners]:
            await listener.aclose()  # who comes now is refused by the kernel, and need not wait for the end

    # -- clients -----------------------------------------------------------------------------------------------------------

    async def _serve_stream(self, protocol: Protocol, stream: trio.abc.Stream) -> None:  # noqa: ASYNC910 - nobody awaits it
        try:
            async with open_background() as background:
                with trio.fail_after(self._policy.handshake_timeout):
                    transport = await self._open_transport(protocol, stream, background.nursery)
                await self._serve(transport, background)
        except InternalError:
            logger.exception("serving a %s client failed; please report this", protocol)
        except EXPECTED as error:
            logger.debug("a %s client ended: %s", protocol, error)
        except Exception:
            # A bug in serving one client must not take the others down.
            logger.exception("serving a %s client failed; please report this", protocol)
        finally:
            self._seats.discard(stream)
            with trio.move_on_after(1, shield=True):  # closing never waits
                await trio.aclose_forcefully(stream)

    async def _open_transport(self, protocol: Protocol, stream: trio.abc.Stream, nursery: trio.Nursery) -> Transport:
        """TLS, handshake and admission."""
        accepted = stream
        if self._ssl_context is not None:
            tls = wrap_tls(stream, self._ssl_context, server_side=True)
            await tls.do_handshake()
            stream = tls
        limit = self._policy.control_limit + ROOM
        try:
            if protocol == "ws":
                check = partial(self._check_request, accepted)
                deflate = self._policy.deflate
                return await accept_websocket(stream, nursery, check=check, control_limit=limit, deflate=deflate)
            transport = await accept_tcp(stream, nursery, control_limit=limit)
            if not self._seat(accepted):
                await self._refuse(transport)
        except HeartbeatTrioError:
            self._counts["refused"] += 1
            raise
        return transport

    async def _refuse(self, transport: Transport) -> None:
        text = f"{self._policy.max_clients} clients are connected already"
        transport.put(transport.encode(ErrorNotice("server_full", text)))
        await transport.aclose()
        raise ConnectError(f"{transport.peer} was refused: {text}", cause="handshake")

    def _seat(self, stream: trio.abc.Stream) -> bool:
        """Give a connection one of the places; only then it counts. Who is being refused takes no place from others."""
        if len(self._seats) >= self._policy.max_clients:
            return False
        self._seats.add(stream)
        return True

    def _check_request(self, stream: trio.abc.Stream, _path: str, headers: dict[str, str]) -> int | None:
        """An HTTP status to refuse a WebSocket handshake with, or None."""
        if "origin" in headers and headers["origin"] not in self._origins:
            return 403
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if self._token is not None and not (
            scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token.encode())
        ):
            return 401
        return None if self._seat(stream) else 503

    async def _serve(self, transport: Transport, background: Background) -> None:
        """Serve a client until its connection ends, which is raised."""
        token = self._token if transport.encoding == "line" else None  # over WebSocket, the handshake has asked for it
        client = Client(transport, background, self._hub, self._policy, token, self._desk)
        self._clients[client] = None
        self._counts["accepted"] += 1
        try:
            background.start_soon(client.watch, name=f"watchdog {transport.peer}")
            await client.read()
        except trio.Cancelled:
            client.say_goodbye("shutdown", self._policy.retry_after)
            raise
        finally:
            self._forget(client)

    def _forget(self, client: Client) -> None:
        self._hub.forget(client)
        del self._clients[client]
        self._counts["delivered"] += client.delivered
        self._counts["skipped"] += client.outbound.skipped
        self._counts["idle"] += client.was_idle
        self._counts["slow"] += client.was_slow


async def serve_quotes(  # noqa: ASYNC128 - `run` calls started
    source: Source,
    *,
    tcp: str | AnyListener | None = None,
    ws: str | AnyListener | None = None,
    policy: ServerPolicy | None = None,
    token: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    allow_origins: Iterable[str] = (),
    orders: OrderBook | None = None,
    task_status: trio.TaskStatus[QuoteServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a source's quotes over TCP lines and over WebSocket, until drained or cancelled.

    Start it with ``server = await nursery.start(partial(serve_quotes, source, tcp="127.0.0.1:8080"))``. `QuoteServer.drain`
    ends it in good order; cancelled, it says goodbye where that needs no waiting, and returns at once.

    Args:
        source: Where the quotes come from.
        tcp: "host:port" for the line protocol (port 0 picks one), or a listener; None: not served.
        ws: The same for WebSocket.
        policy: What clients may do.
        token: What clients must show; None: nothing.
        ssl_context: For TLS on both.
        allow_origins: Origins of web pages that may connect. A handshake with any other `Origin` header is refused.
        orders: Remembers orders (`MemoryOrderBook`, `SqliteOrderBook`); None: orders are rejected.
        task_status: Gets the server once it listens.

    Raises:
        ConfigError: The source or the order book cannot work, or an address is none.
        OSError: An address cannot be bound; the message names it.
    """
    policy = policy or ServerPolicy()
    await source.prepare()
    if orders is not None:
        await orders.prepare()
    hub = Hub(source, policy.ring_size)
    server = QuoteServer(hub, policy, token=token, ssl_context=ssl_context, allow_origins=allow_origins, orders=orders)
    opened: list[tuple[Protocol, list[AnyListener]]] = []
    try:
        if tcp is not None:
            opened.append(("tcp", await server.listen("tcp", tcp)))
        if ws is not None:
            opened.append(("ws", await server.listen("ws", ws)))
        await server.run(opened, source, task_status.started)
    finally:
        with trio.move_on_after(1, shield=True):  # closing never waits
            await trio.lowlevel.checkpoint()
            for listener in [each for _, listeners in opened for each in listeners]:
                await trio.aclose_forcefully(listener)


async def serve_connection(websocket: trio_websocket.WebSocketConnection, server: QuoteServer) -> None:
    """Serve one client on a WebSocket connection that your application accepted with trio-websocket, and will close.

    The library keeps the client's control-frame pings to itself, so such a client is called idle unless it sends pings as
    operations.

    Raises:
        ConnectionClosed: The client closed in an orderly way.
        ConnectionLost: It did not, or it was dropped.
    """
    await server.serve_connection(websocket)


def _host_and_port(protocol: Protocol, where: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(
            f"{protocol} = {where!r} must be host:port, such as 127.0.0.1:8080 or [::1]:8080 (port 0 picks one)"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)
