"""A WebSocket server that does exactly what a test scripts, frame by frame, and remembers what came and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import trio
from wsproto.frame_protocol import FrameProtocol

from heartbeat_trio.protocol.frames import (
    BinaryReceived,
    CloseReceived,
    FrameEvent,
    HandshakeRequested,
    PingReceived,
    PongReceived,
    TextReceived,
    WebSocketProtocol,
)


class Heard(NamedTuple):
    """A frame from the client: when, which kind, and what was in it."""

    at: float
    kind: str
    payload: bytes


class VenuePeer:
    """One client at a time.

    Args:
        listener: Where it comes in.
        on_text: What to answer to a text, if anything.
    """

    def __init__(
        self, listener: trio.abc.Listener[trio.abc.Stream], on_text: Callable[[bytes], bytes | None] = lambda _text: None
    ) -> None:
        self.heard: list[Heard] = []
        self.on_text = on_text
        self.connected = trio.Event()
        self._listener = listener
        self._protocol = WebSocketProtocol("server")
        self._frames = FrameProtocol(client=False, extensions=[])
        self._stream: trio.abc.Stream | None = None

    @property
    def texts(self) -> list[bytes]:
        """The texts that came, in order."""
        return [each.payload for each in self.heard if each.kind == "text"]

    async def run(self, *, task_status: trio.TaskStatus[VenuePeer] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        task_status.started(self)
        while True:
            stream = await self._listener.accept()
            self._protocol, self._stream = WebSocketProtocol("server"), stream
            try:
                await self._read(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                await trio.aclose_forcefully(stream)

    async def send_text(self, text: bytes) -> None:
        """Send a text frame."""
        await self._send(self._protocol.encode_text(text))

    async def send_binary(self, payload: bytes) -> None:
        """Send a binary frame."""
        await self._send(bytes(self._frames.send_data(payload)))

    async def send_ping(self, payload: bytes) -> None:
        """Send a control frame."""
        await self._send(self._protocol.encode_ping(payload))

    async def _send(self, data: bytes) -> None:
        assert self._stream is not None
        await self._stream.send_all(data)

    async def _read(self, stream: trio.abc.Stream) -> None:
        while data := bytes(await stream.receive_some(65536)):
            for event in self._protocol.receive_data(data):
                await self._handle(event)

    async def _handle(self, event: FrameEvent) -> None:
        now = trio.current_time()
        match event:
            case HandshakeRequested():
                await self._send(self._protocol.accept())
                self.connected.set()
            case TextReceived(payload=payload):
                self.heard.append(Heard(now, "text", payload))
                answer = self.on_text(payload)
                if answer is not None:
                    await self.send_text(answer)
            case BinaryReceived(payload=payload):
                self.heard.append(Heard(now, "binary", payload))
            case PingReceived(payload=payload):
                self.heard.append(Heard(now, "ping", payload))
                await self._send(self._protocol.encode_pong(payload))
            case PongReceived(payload=payload):
                self.heard.append(Heard(now, "pong", payload))
            case CloseReceived():
                await self._send(self._protocol.encode_close())
            case _:
                pass
