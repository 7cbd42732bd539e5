"""A virtual network: hosts, connectors and listeners without sockets, and every fault that a heartbeat must survive.

It needs no task and no nursery: when bytes arrive is computed when they leave, and a reader sleeps until then. So a day of
heartbeats under `trio.testing.MockClock` costs what its bytes cost. It works with any clock.

The process of a virtual host is simply the tasks that use the host's listeners and streams. Freezing it therefore freezes
what those tasks see and send, not the tasks themselves: their timers go on.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from ._conditions import Weather
from ._link import BUFFER
from .hosts import Fabric, VirtualHost
from .listener import BACKLOG

if TYPE_CHECKING:
    from ..transports.abc import ByteStream
    from .hosts import TraceEntry
    from .listener import VirtualListener
    from .streams import VirtualStream

CLIENT = "client"
"""The host that `VirtualNetwork.connect` connects from."""


class VirtualNetwork:
    """Hosts that can reach each other, with latency, jitter and faults.

    Two runs with the same seed do the same, if the tasks do (see `run_deterministic`).

    Args:
        seed: Of the jitter; each direction of each connection has its own series.
        latency: Seconds one way.
        jitter: Each chunk takes up to this many seconds more; the order is kept.
        send_buffer: Bytes that a sender's kernel takes beyond the receive window.
        receive_buffer: Bytes that may be in flight or unread in one direction: the receive window.
        trace: Record what happens, for `trace_hash`. A long run makes a long list.
    """

    def __init__(
        self,
        seed: int | str = 0,
        *,
        latency: float = 0.0,
        jitter: float = 0.0,
        send_buffer: int = BUFFER,
        receive_buffer: int = BUFFER,
        trace: bool = False,
    ) -> None:
        self._weather = Weather(latency=latency, jitter=jitter, seed=seed)
        self._fabric = Fabric(
            self._weather, send_buffer=send_buffer, receive_buffer=receive_buffer, trace=[] if trace else None
        )

    def __repr__(self) -> str:
        return f"<VirtualNetwork of {len(self._fabric.hosts)} hosts, {len(self._fabric.open_streams)} open streams>"

    @property
    def latency(self) -> float:
        """Seconds one way, for what is sent from now on."""
        return self._weather.latency

    @latency.setter
    def latency(self, latency: float) -> None:
        self._weather.latency = latency

    @property
    def jitter(self) -> float:
        """Seconds that a chunk takes longer at most, for what is sent from now on."""
        return self._weather.jitter

    @jitter.setter
    def jitter(self, jitter: float) -> None:
        self._weather.jitter = jitter

    @property
    def open_streams(self) -> tuple[VirtualStream, ...]:
        """Every stream end that its owner has not closed, oldest first, those that wait to be accepted included."""
        return tuple(self._fabric.open_streams)

    @property
    def trace(self) -> list[TraceEntry] | None:
        """What happened, in order; None unless it was asked for."""
        return self._fabric.trace

    def trace_hash(self) -> str:
        """SHA-256 of the trace, in hexadecimal.

        Raises:
            RuntimeError: No trace was asked for.
        """
        if self.trace is None:
            raise RuntimeError("this network records no trace: make it with VirtualNetwork(..., trace=True)")
        return sha256("".join(f"{e.time!r} {e.what} {e.where} {e.size}\n" for e in self.trace).encode()).hexdigest()

    def host(self, name: str) -> VirtualHost:
        """The host of that name. It exists, for name resolution too, from the first time that it is asked for."""
        hosts = self._fabric.hosts
        if name not in hosts:
            hosts[name] = VirtualHost(self._fabric, name)
        return hosts[name]

    def listen(self, host: str, port: int = 0, *, backlog: int = BACKLOG) -> VirtualListener:
        """Listen on a port of a host, for use with `trio.serve_listeners` or `accept`.

        Args:
            host: The host's name; it exists from now on.
            port: The port; 0 picks a free one, see `VirtualListener.port`.
            backlog: Connections that wait to be accepted; more of them cannot connect.

        Raises:
            OSError: Somebody listens there already (EADDRINUSE).
        """
        return self.host(host).listen(port, backlog=backlog)

    async def connect(self, host: str, port: int) -> ByteStream:
        """Connect from the host "client". It is a connector: pass ``connector=net.connect``. See `VirtualHost.connect`."""
        return await self.host(CLIENT).connect(host, port)
