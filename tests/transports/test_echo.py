"""The WebSocket transport under what the Autobahn test suite does to it, in the cases that found something."""

from __future__ import annotations

from typing import Literal, NamedTuple

import pytest
import trio
import trio.testing

from heartbeat_trio._background import open_background
from heartbeat_trio.exceptions import ConnectionClosed, ConnectionLost
from heartbeat_trio.protocol.frames import (
    BinaryReceived,
    CloseReceived,
    FrameEvent,
    PongReceived,
    TextReceived,
    WebSocketProtocol,
)
from tests.support.echo_peers import LARGEST, send_back, shake_hands
from tests.support.raw_clients import encode_frame

Role = Literal["client", "server"]
TEXT, BINARY, PING = 1, 2, 9


class Heard(NamedTuple):
    """What a peer of ours said until it closed, in how many bytes, and why it closed."""

    events: list[FrameEvent]
    size: int
    ended: Exception


async def converse(role: Role, wire: bytes, *, deflate: bool = False, close_after: int = 0) -> Heard:
    """Send these bytes, which come in one read, to a peer in this role.

    Our Close follows its own, or that many events.
    """
    ours, theirs = trio.testing.memory_stream_pair()
    other: Role = "client" if role == "server" else "server"
    protocol = WebSocketProtocol(other, host="a", max_message_size=LARGEST, deflate=deflate)
    ended: list[Exception] = []

    async def act() -> None:
        async with open_background() as background:
            ended.append(await send_back(await shake_hands(ours, background.nursery, role, deflate=deflate)))

    events: list[FrameEvent] = []
    size = 0
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(act)
            if role == "server":
                await theirs.send_all(protocol.connect())
            protocol.receive_data(bytes(await theirs.receive_some()))
            await theirs.send_all(protocol.accept() if role == "client" else b"")
            await theirs.send_all(wire)
            while data := bytes(await theirs.receive_some()):
                size += len(data)
                events += protocol.receive_data(data)
                if len(events) == close_after or isinstance(events[-1], CloseReceived):
                    await theirs.send_all(protocol.encode_close())
            await theirs.aclose()
    return Heard(events, size, ended[0])


def frames(role: Role, *each: tuple[int, bytes]) -> bytes:
    return b"".join(encode_frame(opcode, payload, mask=role == "server") for opcode, payload in each)


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("opcode", [0x0, 0x3, 0xB, 0x41])
async def test_what_came_before_a_violation_is_answered(role: Role, opcode: int) -> None:
    """In the same read (cases 3.2 to 3.4, 4.1.3 to 4.2.5, 5.15): messages and pings first, then the Close that says why."""
    wire = frames(role, (TEXT, b"Hello"), (PING, b"are you there"), (BINARY, b"\xff"), (opcode, b"x"), (TEXT, b"late"))
    events, _, ended = await converse(role, wire)

    assert [PongReceived(b"are you there"), TextReceived(b"Hello"), BinaryReceived(b"\xff")] == events[:-1]
    assert isinstance(events[-1], CloseReceived)
    assert 1002 == events[-1].code
    assert isinstance(ended, ConnectionLost)
    assert "protocol_error" == ended.cause


@pytest.mark.parametrize("role", ["client", "server"])
async def test_a_violation_alone_is_answered_at_once(role: Role) -> None:
    """Nothing came before it (case 6.3.1: text that is no UTF-8)."""
    events, _, ended = await converse(role, frames(role, (TEXT, b"\xce\xba\xed\xa0\x80")))

    assert [CloseReceived(1007, "text must be UTF-8")] == events
    assert isinstance(ended, ConnectionLost)


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("deflate", [False, True])
async def test_large_messages_come_back(role: Role, deflate: bool) -> None:
    """Text as text and binary as binary (cases 9.1 and 9.2), compressed where that was agreed on (case 12)."""
    payload = bytes(range(32, 127)) * 10_000
    wire = frames(role, (TEXT, payload), (BINARY, payload))
    events, size, ended = await converse(role, wire, deflate=deflate, close_after=2)

    assert [TextReceived(payload), BinaryReceived(payload), CloseReceived(1000, "")] == events
    assert (size < len(payload)) is deflate
    assert isinstance(ended, ConnectionClosed)
