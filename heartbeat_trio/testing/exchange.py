"""Exchanges to test against: each behaves as its dialect says, on a virtual network or on a real listener.

They ping as the venue does, answer as it does, and drop a client that does not do as the venue wants; with `spoil` they
break the venue's rules. They know nothing of the quotes that a venue sends: `ExchangeSimulator.push` sends whatever a test
gives it, and `ExchangeSimulator.replay` what was recorded.
"""

from __future__ import annotations

import time
from math import isfinite
from random import Random
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import trio
from wsproto.frame_protocol import FrameProtocol

from ..dialects import builtin_dialects
from ..exceptions import ConfigError
from ..protocol.dialect_mirror import DialectMirror, Frame
from ..protocol.dialect_record import Dialect
from ..protocol.frames import (
    BinaryReceived,
    CloseReceived,
    FrameEvent,
    HandshakeRequested,
    PingReceived,
    PongReceived,
    TextReceived,
    WebSocketProtocol,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..protocol.spoiling import Spoil

StreamT = TypeVar("StreamT", bound=trio.abc.Stream)

READ_SIZE = 64 * 1024
HANDSHAKE_TIMEOUT = 5.0


class Dropped(NamedTuple):
    """The simulator ended a connection.

    Attributes:
        time: Trio's time, in seconds.
        code: The close code; None: it just ended (1006).
        connection: The number of its connection, from 1.
    """

    time: float
    code: int | None
    connection: int


class SimulatedConnection:
    """One client of a simulated exchange.

    Attributes:
        number: Counts the connections, from 1.
        mirror: The venue's view of it.
    """

    def __init__(self, number: int, stream: trio.abc.Stream, mirror: DialectMirror) -> None:
        self.number = number
        self.mirror = mirror
        self.protocol = WebSocketProtocol("server")
        self.timer = trio.CancelScope()
        self._stream = stream
        self._frames = FrameProtocol(client=False, extensions=[])
        self._lock = trio.Lock()
        self._waiting: list[bytes] = []

    def __repr__(self) -> str:
        return f"<SimulatedConnection {self.number} {self.mirror!r}>"

    async def send(self, *frames: Frame) -> None:
        """Send frames in order; what others send meanwhile waits. That the client is gone is no error here."""
        self._waiting += map(self._encode, frames)
        async with self._lock:
            data, self._waiting = b"".join(self._waiting), []
            try:
                if data:
                    await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await trio.lowlevel.checkpoint()

    def _encode(self, frame: Frame) -> bytes:
        match frame.kind:
            case "text":
                return self.protocol.encode_text(frame.payload)
            case "binary":
                return bytes(self._frames.send_data(frame.payload)) if self.protocol.is_open else b""
            case "ping":
                return self.protocol.encode_ping(frame.payload)
            case "pong":
                return self.protocol.encode_pong(frame.payload)
            case _:
                return self.protocol.encode_close(int(frame.payload)) if frame.payload else b""


class ExchangeSimulator:
    """A venue that speaks a dialect. Start it with ``await nursery.start(exchange.run)``; cancel the nursery to stop it.

    Args:
        dialect: The venue's, or its name.
        listener: Where clients come in.
        rng: Source of the phase of its pings; the first one comes after up to one period.
        parameters: As for an endpoint: `channel`, `beat_interval` and the like.
        pong: Which of the dialect's pongs it sends.
        unix_time: The venue's time of day.

    Attributes:
        pings_clients: Whether it sends pings and beats.
        answers_pings: Whether it answers pings.
        accepted: How many connections were accepted in all.
        dropped: Connections that it ended, in order.

    Raises:
        ConfigError: There is no such dialect.
    """

    def __init__(
        self,
        dialect: Dialect | str,
        listener: trio.abc.Listener[StreamT],
        *,
        rng: Random | None = None,
        parameters: Mapping[str, str | int | float] | None = None,
        pong: int = 0,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        known = builtin_dialects()
        if isinstance(dialect, str) and dialect not in known:
            raise ConfigError(f"dialect {dialect!r} is not known; choose one of {', '.join(known)}")
        self.dialect = known[dialect] if isinstance(dialect, str) else dialect
        self.pings_clients = True
        self.answers_pings = True
        self.accepted = 0
        self.dropped: list[Dropped] = []
        self._listener = listener
        self._rng = rng
        self._parameters = parameters
        self._pong = pong
        self._unix_time = unix_time
        self._spoil: Spoil | None = None
        self._live: dict[SimulatedConnection, None] = {}

    def __repr__(self) -> str:
        return f"<ExchangeSimulator {self.dialect.name}, {len(self._live)} of {self.accepted} connections live>"

    @property
    def live(self) -> tuple[SimulatedConnection, ...]:
        """The live connections, oldest first."""
        return tuple(self._live)

    @property
    def spoil(self) -> Spoil | None:
        """The mistake in all pongs, pings and beats from now on; None: there is none.

        One of `spoils`: a wrong "id", the wrong "case" of a literal, or the wrong "type" of an id or a number.

        Raises:
            ConfigError: The dialect leaves no room for this mistake.
        """
        return self._spoil

    @spoil.setter
    def spoil(self, kind: Spoil | None) -> None:
        if kind is not None and kind not in self.spoils:
            choices = ", ".join(self.spoils) or "none"
            raise ConfigError(f"spoil = {kind!r} is not possible with {self.dialect.title}; possible: {choices}")
        self._spoil = kind

    @property
    def spoils(self) -> tuple[Spoil, ...]:
        """The mistakes for which the dialect leaves room."""
        return self._mirror(0.0).spoils

    async def run(self, *, task_status: trio.TaskStatus[ExchangeSimulator] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then everything is closed, the listener too."""
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._serve, [self._listener], name=f"exchange {self.dialect.name}")
            task_status.started(self)

    async def push(self, text: bytes) -> None:
        """Send a message of the venue's to every client, in the frame that the venue would use."""
        await trio.lowlevel.checkpoint()
        await self._push(text, self.live)

    async def replay(self, messages: Iterable[tuple[float, bytes | str]], *, speed: float = 1.0) -> int:
        """Send recorded messages to the clients that have subscribed (to all where the dialect knows no subscriptions).

        One message is read at a time, and sent before the next is read: a slow client holds up the others. The first is
        sent at once; one whose time is earlier than that of the one before follows it at once.

        Args:
            messages: When each came, in seconds since whenever, and its text (inflated).
            speed: How many times faster than recorded; `inf`: without any waiting.

        Returns:
            How many messages were sent.

        Raises:
            ConfigError: The speed is not above 0, or a time is no finite number.
        """
        if not speed > 0:
            raise ConfigError(f"speed = {speed!r} must be above 0")
        await trio.lowlevel.checkpoint()
        count, begin, due = 0, 0.0, trio.current_time()
        for count, (at, text) in enumerate(messages, 1):
            if not isfinite(at):
                raise ConfigError(f"message {count} of the replay: the time {at!r} must be a finite number of seconds")
            due += 0.0 if count == 1 else max(0.0, at - begin) / speed
            begin = at
            await trio.sleep_until(due)
            await self._push(text.encode() if isinstance(text, str) else text, self._subscribed())
        return count

    def _subscribed(self) -> tuple[SimulatedConnection, ...]:
        if self.dialect.subscriptions is None:
            return self.live
        return tuple(each for each in self.live if each.mirror.subscribed)

    async def _push(self, text: bytes, connections: tuple[SimulatedConnection, ...]) -> None:
        await trio.lowlevel.checkpoint()
        for connection in connections:
            await connection.send(connection.mirror.push(text, trio.current_time()))

    def _mirror(self, now: float, phase: float = 1.0) -> DialectMirror:
        return DialectMirror(
            self.dialect,
            now=now,
            unix_time=self._unix_time,
            parameters=self._parameters,
            pong=self._pong,
            phase=phase,
        )

    async def _serve(self, stream: trio.abc.Stream) -> None:
        self.accepted += 1
        mirror = self._mirror(trio.current_time(), 1.0 if self._rng is None else 1 - self._rng.random())
        connection = SimulatedConnection(self.accepted, stream, mirror)
        try:
            if await _shake_hands(stream, connection.protocol):
                self._live[connection] = None
                await self._converse(stream, connection)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()
        finally:
            self._live.pop(connection, None)
            await trio.aclose_forcefully(stream)

    async def _converse(self, stream: trio.abc.Stream, connection: SimulatedConnection) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_timer, connection, nursery.cancel_scope, name=f"timer {connection.number}")
            await connection.send(*connection.mirror.greet())
            events = connection.protocol.receive_data(b"")
            while await self._handle(events, connection):
                events = await _receive(stream, connection.protocol)
            nursery.cancel_scope.cancel()

    async def _run_timer(self, connection: SimulatedConnection, scope: trio.CancelScope) -> None:
        mirror = connection.mirror
        while True:
            with trio.CancelScope(deadline=mirror.next_deadline()) as connection.timer:
                await trio.sleep_forever()
            self._set_switches(mirror)
            if not await self._send(mirror.handle_timer(trio.current_time()), connection):
                scope.cancel()

    async def _handle(self, events: list[FrameEvent], connection: SimulatedConnection) -> bool:
        """Let the mirror answer what came; False when the connection has ended."""
        await trio.lowlevel.checkpoint()
        mirror = connection.mirror
        self._set_switches(mirror)
        for event in events:
            frame = _as_frame(event)
            if frame is None:  # a Close, or what is no WebSocket
                if isinstance(event, CloseReceived):
                    await connection.send(Frame("close", b"1000"))
                return False
            if not await self._send(mirror.receive(frame, trio.current_time()), connection):
                return False
        connection.timer.deadline = mirror.next_deadline()
        return not connection.protocol.is_closed

    async def _send(self, frames: list[Frame], connection: SimulatedConnection) -> bool:
        await connection.send(*frames)
        for frame in frames:
            if frame.kind == "close":
                code = int(frame.payload) if frame.payload else None
                self.dropped.append(Dropped(trio.current_time(), code, connection.number))
                return False
        return True

    def _set_switches(self, mirror: DialectMirror) -> None:
        mirror.pings_clients, mirror.answers_pings, mirror.spoil = self.pings_clients, self.answers_pings, self._spoil


async def _shake_hands(stream: trio.abc.Stream, protocol: WebSocketProtocol) -> bool:
    """Accept any WebSocket; False if what came was none."""
    with trio.move_on_after(HANDSHAKE_TIMEOUT):
        while data := bytes(await stream.receive_some(READ_SIZE)):
            for event in protocol.receive_data(data):
                if not isinstance(event, HandshakeRequested):
                    return False
                await stream.send_all(protocol.accept())
                return True
    return False


async def _receive(stream: trio.abc.Stream, protocol: WebSocketProtocol) -> list[FrameEvent]:
    try:
        data = bytes(await stream.receive_some(READ_SIZE))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        await trio.lowlevel.checkpoint()
        data = b""
    return protocol.receive_data(data) if data else protocol.receive_eof()


def _as_frame(event: FrameEvent) -> Frame | None:
    match event:
        case TextReceived(payload=payload):
            return Frame("text", payload)
        case BinaryReceived(payload=payload):
            return Frame("binary", payload)
        case PingReceived(payload=payload):
            return Frame("ping", payload)
        case PongReceived(payload=payload):
            return Frame("pong", payload)
        case _:
            return None
