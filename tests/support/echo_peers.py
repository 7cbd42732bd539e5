"""Peers that send back what they get, text as text and binary as binary, on our own transport: what conformance tests want.

The transport answers pings and closes; only the opening handshake is done here, since a quote server has other messages and
limits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import msgspec
import trio

from heartbeat_trio._background import open_background
from heartbeat_trio.exceptions import ConnectError, ConnectionClosed, ConnectionLost, HeartbeatTrioError
from heartbeat_trio.protocol.frames import HandshakeAccepted, HandshakeRequested, WebSocketProtocol
from heartbeat_trio.protocol.messages import Message
from heartbeat_trio.transports.evidence import open_socket_stream
from heartbeat_trio.transports.websocket import WebSocketTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LARGEST = 64 * 2**20
"""Bytes of a message, and of what may wait to be sent."""

HANDSHAKE_TIMEOUT = 10.0
CLOSE_TIMEOUT = 2.0


class Echo(msgspec.Struct, frozen=True):
    """One message, whatever it says."""

    payload: bytes
    is_text: bool


class EchoCodec:
    """Takes every message for an `Echo`."""

    encoding = "echo"

    def unpack(self, payload: bytes) -> Message:
        return _as_message(payload, is_text=False)

    def decode_text(self, text: bytes) -> list[Message]:
        return [_as_message(text, is_text=True)]

    def decode_texts(self, texts: list[bytes]) -> list[Message]:
        return [_as_message(text, is_text=True) for text in texts]

    def encode(self, message: Message) -> bytes:
        raise NotImplementedError(f"{message} is none of the messages that are sent back")

    def encode_ping(self, nonce: bytes) -> bytes | None:
        return None


def _as_message(payload: bytes, *, is_text: bool) -> Message:
    return cast("Message", Echo(payload, is_text))


class Peer(NamedTuple):
    """One end of a connection."""

    transport: WebSocketTransport
    protocol: WebSocketProtocol

    async def receive(self) -> list[Echo]:
        """The messages of one read."""
        return [message for message in await self.transport.receive() if isinstance(message, Echo)]

    def send(self, message: Echo) -> None:
        """Send one as it is."""
        encode = self.protocol.encode_text if message.is_text else self.protocol.encode_binary
        self.transport.put(encode(message.payload))


async def shake_hands(
    stream: trio.abc.Stream,
    nursery: trio.Nursery,
    role: Literal["client", "server"],
    *,
    host: str = "server",
    path: str = "/",
    deflate: bool = False,
) -> Peer:
    """Open a connection on a stream, on either side."""
    protocol = WebSocketProtocol(role, host=host, path=path, max_message_size=LARGEST, deflate=deflate)
    transport = WebSocketTransport(stream, nursery, protocol, role=role, limit=LARGEST, codec=EchoCodec())
    with trio.fail_after(HANDSHAKE_TIMEOUT):
        if role == "client":
            await stream.send_all(protocol.connect())
        while not (events := await transport.receive_handshake()):
            pass
        if not isinstance(events[0], HandshakeAccepted | HandshakeRequested):
            raise ConnectError(f"{transport.peer} answered with {events[0]}", cause="handshake")
        if role == "server":
            await stream.send_all(protocol.accept())
            events += protocol.receive_runs(b"")
    transport.end_handshake(events[1:])
    return Peer(transport, protocol)


async def send_back(peer: Peer, *, on_message: Callable[[Echo], None] | None = None) -> HeartbeatTrioError:
    """Send back, or hand over, what comes until the connection ends; returns what ended it, once it is closed."""
    handle = on_message or peer.send
    try:
        while True:
            for message in await peer.receive():
                handle(message)
    except ConnectionClosed as error:
        with trio.move_on_after(CLOSE_TIMEOUT):
            await peer.transport.aclose()
        return error
    except ConnectionLost as error:
        await peer.transport.abort()
        return error


async def serve_echo(stream: trio.abc.Stream, *, deflate: bool) -> None:
    """Serve one client."""
    try:
        async with open_background() as background:
            await send_back(await shake_hands(stream, background.nursery, "server", deflate=deflate))
    except (HeartbeatTrioError, trio.TooSlowError, trio.BrokenResourceError):
        pass  # no client of ours
    finally:
        await trio.aclose_forcefully(stream)


async def ask(port: int, path: str, *, deflate: bool = False, answers_back: bool = True) -> list[Echo]:
    """Connect to a server and send back what it sends, or else collect it, until it closes."""
    collected: list[Echo] = []
    stream = await open_socket_stream("127.0.0.1", port)
    try:
        async with open_background() as background:
            peer = await shake_hands(
                stream, background.nursery, "client", host=f"127.0.0.1:{port}", path=path, deflate=deflate
            )
            await send_back(peer, on_message=None if answers_back else collected.append)
    finally:
        await trio.aclose_forcefully(stream)
    return collected


def server(*, deflate: bool) -> Callable[[trio.abc.Stream], Awaitable[None]]:
    """For `trio.serve_listeners`."""
    return partial(serve_echo, deflate=deflate)
