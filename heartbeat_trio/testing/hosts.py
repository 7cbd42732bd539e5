"""The hosts of a virtual network, and the switches of their faults."""

from __future__ import annotations

import errno
import os
import socket
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple

import trio

from ._conditions import Alarm, Condition, Weather, is_cut, latency_between
from .listener import VirtualListener
from .streams import VirtualStream, connect_hosts

if TYPE_CHECKING:
    from ..transports.abc import ByteStream

CONNECT_RETRIES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Seconds that TCP waits for an answer to each of its attempts to connect; then it gives up (Linux: after 127 s)."""

MERGE_WITHIN = 0.02
"""Seconds that `VirtualHost.merge_reads` delays a chunk, so that others can be glued to it."""

FIRST_EPHEMERAL_PORT = 49152
"""RFC 6335 §6: where the ports begin that nobody has asked for."""


class TraceEntry(NamedTuple):
    """One thing that happened on a virtual network.

    Attributes:
        time: Trio's time, in seconds.
        what: "connect", "refuse", "send", "receive", "end" (the peer's end was read), "close", "reset",
            "hang up", or the name of a fault that was switched.
        where: The host, or the two ends of the connection, the one it happened to first.
        size: Bytes.
    """

    time: float
    what: str
    where: str
    size: int


class Fabric:
    """What the hosts of one network share: the weather, the names, the live connections, the trace."""

    def __init__(self, weather: Weather, *, send_buffer: int, receive_buffer: int, trace: list[TraceEntry] | None) -> None:
        self.weather = weather
        self.hosts: dict[str, VirtualHost] = {}
        self.open_streams: dict[VirtualStream, None] = {}  # a dict, because it keeps their order
        self.trace = trace
        self._send_buffer = send_buffer
        self._receive_buffer = receive_buffer

    def note(self, what: str, where: str, size: int = 0) -> None:
        """Add to the trace, if there is one."""
        if self.trace is not None:
            self.trace.append(TraceEntry(trio.current_time(), what, where, size))

    def join(self, source: Condition, target: Condition, address: str, peer: str) -> tuple[VirtualStream, VirtualStream]:
        """Make a connection."""
        ours, theirs = connect_hosts(
            source,
            target,
            address,
            peer,
            observer=self._observe,
            send_buffer=self._send_buffer,
            receive_buffer=self._receive_buffer,
        )
        self.open_streams[ours] = self.open_streams[theirs] = None
        self._observe(ours, "connect", 0)
        return ours, theirs

    def _observe(self, stream: VirtualStream, what: str, size: int) -> None:
        if what == "close":
            del self.open_streams[stream]
        if self.trace is not None:
            self.note(what, f"{stream.address}>{stream.peer}", size)


class VirtualHost:
    """A host of a `VirtualNetwork`, and the switches of its faults. Each works at any moment, on live and new connections.

    Made by `VirtualNetwork.host`. All durations are seconds.

    Attributes:
        name: What it is called.
    """

    def __init__(self, fabric: Fabric, name: str) -> None:
        self.name = name
        self._fabric = fabric
        self._condition = Condition(fabric.weather)
        self._refuses = False
        self._closes_accepted = False
        self._listeners: dict[int, VirtualListener] = {}
        self._ports = count(FIRST_EPHEMERAL_PORT)
        self._thawed = Alarm()

    def __repr__(self) -> str:
        return f"<VirtualHost {self.name}{', frozen' if self.is_frozen else ''}>"

    def listen(self, port: int, *, backlog: int) -> VirtualListener:
        """See `VirtualNetwork.listen`."""
        if not port:
            port = next(free for free in self._ports if free not in self._listeners)
        if port in self._listeners:
            raise OSError(errno.EADDRINUSE, f"{os.strerror(errno.EADDRINUSE)}: {self.name}:{port}")
        listener = VirtualListener(self.name, port, self._condition, backlog=backlog, on_close=self._forget)
        self._listeners[port] = listener
        return listener

    async def connect(self, host: str, port: int) -> ByteStream:
        """Connect from this host. It is a connector: pass ``connector=net.host("bot").connect``.

        Raises:
            socket.gaierror: There is no host of that name.
            ConnectionRefusedError: Nobody listens there, or the host refuses.
            TimeoutError: No answer for 127 s. Use a timeout of your own.
        """
        await self._wait_thawed()
        target = self._fabric.hosts.get(host)
        if target is None:
            raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {host}")
        attempt = trio.current_time()
        for patience in CONNECT_RETRIES:
            stream = await self._try_connect(target, port)
            if stream is not None:
                return stream
            attempt += patience
            await trio.sleep_until(attempt)
        raise TimeoutError(errno.ETIMEDOUT, f"{os.strerror(errno.ETIMEDOUT)}: {host}:{port}")

    # Faults of the process

    @property
    def is_frozen(self) -> bool:
        """Whether the process stands still."""
        return self._condition.is_frozen

    def freeze(self) -> None:
        """Stop the process, as SIGSTOP does.

        Its kernel still completes connections and takes bytes until the receive window is full. Its tasks receive and
        accept nothing; what they send and close leaves when it is thawed.
        """
        self._condition.is_frozen = True
        self._fabric.note("freeze", self.name)

    def thaw(self) -> None:
        """Let the process go on, as SIGCONT does: first with what it did meanwhile, then with what has come."""
        self._condition.is_frozen = False
        self._fabric.note("thaw", self.name)
        now = trio.current_time()
        deeds, self._condition.at_thaw = self._condition.at_thaw, []
        for deed in deeds:
            deed(now)
        self._thawed.ring(now)
        for listener in self._listeners.values():
            listener.refresh()
        self._refresh()

    def slow_reader(self, bytes_per_second: float | None) -> None:
        """Let the host's tasks read from each connection at this rate only; None: as fast as they like."""
        if bytes_per_second is not None and not bytes_per_second > 0:
            raise ValueError(f"bytes_per_second must be positive, not {bytes_per_second}")
        self._condition.read_rate = bytes_per_second
        self._refresh()

    def split_reads(self, on: bool = True) -> None:
        """Let each read of the host's tasks get a single byte."""
        self._condition.read_limit = 1 if on else None

    def merge_reads(self, on: bool = True, *, within: float = MERGE_WITHIN) -> None:
        """Delay each chunk that is sent to the host from now on by `within`; those that come meanwhile are glued to it."""
        self._condition.merge_within = within if on else 0.0

    def reset_all(self) -> None:
        """Reset every connection of the host, as when its process is killed with bytes unread: both ends are broken."""
        for stream in self._streams():
            stream.break_off(politely=False)

    def end_all(self) -> None:
        """End every connection of the host, as when its process exits: the peers read b"", its own tasks are cut off."""
        for stream in self._streams():
            stream.break_off(politely=True)

    def refuse(self, on: bool = True) -> None:
        """Answer new connections with a refusal, as if nobody listened. Live ones go on."""
        self._refuses = on

    def accept_then_close(self, on: bool = True) -> None:
        """Complete new connections and end them at once; the host's listeners never see them."""
        self._closes_accepted = on

    # Faults of the network

    @property
    def latency(self) -> float | None:
        """Seconds one way to and from this host, for what is sent from now on; None: the network's latency.

        Between two hosts that both have their own, the larger one holds.
        """
        return self._condition.latency

    @latency.setter
    def latency(self, latency: float | None) -> None:
        self._condition.latency = latency

    def blackhole(self, direction: Literal["in", "out", "both"] = "both") -> None:
        """Let all packets vanish silently: to the host (``in``), from it (``out``), or both.

        Nothing fails. What is under way is lost, sends are accepted until the buffers are full, connecting hangs.
        """
        self._condition.loses_incoming |= direction != "out"
        self._condition.loses_outgoing |= direction != "in"
        self._fabric.note("blackhole", self.name)
        self._refresh()

    def heal(self) -> None:
        """Let packets through again. What was lost comes when TCP next retransmits it: its timeout has been doubling.

        Lost at 0 s with a latency of 50 ms and healed at 6 s, it comes at 9.35 s. A virtual TCP never gives up.
        """
        self._condition.loses_incoming = self._condition.loses_outgoing = False
        self._fabric.note("heal", self.name)
        self._refresh()

    def _refresh(self) -> None:
        for stream in self._fabric.open_streams:
            if stream.touches(self._condition):
                stream.refresh()

    # Connecting

    async def _wait_thawed(self) -> None:
        await trio.lowlevel.checkpoint()
        while self.is_frozen:
            await self._thawed.sleep_until(inf)

    async def _try_connect(self, target: VirtualHost, port: int) -> VirtualStream | None:
        """One attempt: None if it got no answer."""
        here, there = self._condition, target._condition
        await trio.sleep(latency_between(here, there))
        listener = target._listener_at(port)
        if is_cut(here, there) or (listener is not None and listener.is_full):
            return None
        await trio.sleep(latency_between(there, here))
        if is_cut(there, here):
            return None
        await self._wait_thawed()
        if listener is None or listener is not target._listener_at(port):
            self._fabric.note("refuse", f"{self.name}>{target.name}:{port}")
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"{os.strerror(errno.ECONNREFUSED)}: {target.name}:{port}")
        return self._establish(target, listener)

    def _establish(self, target: VirtualHost, listener: VirtualListener) -> VirtualStream:
        here, there = self._condition, target._condition
        ours, theirs = self._fabric.join(here, there, f"{self.name}:{next(self._ports)}", listener.address)
        if target._closes_accepted:
            theirs.close()
        else:
            listener.enqueue(theirs, trio.current_time() + latency_between(here, there))
        return ours

    def _listener_at(self, port: int) -> VirtualListener | None:
        return None if self._refuses else self._listeners.get(port)

    def _forget(self, listener: VirtualListener) -> None:
        del self._listeners[listener.port]

    def _streams(self) -> list[VirtualStream]:
        return [stream for stream in self._fabric.open_streams if stream.is_on(self._condition)]
