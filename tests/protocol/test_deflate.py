"""permessage-deflate (RFC 7692): what is agreed on, what comes through it, and what must not."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, Request, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol

from heartbeat_trio.protocol.deflate import FINAL_BLOCKS, SMALLEST, TAIL, Deflate
from heartbeat_trio.protocol.frames import (
    BinaryReceived,
    FrameEvent,
    HandshakeAccepted,
    HandshakeRequested,
    PingReceived,
    ProtocolFailed,
    TextReceived,
    WebSocketProtocol,
)
from heartbeat_trio.protocol.lane import unmask

if TYPE_CHECKING:
    from collections.abc import Callable

Role = Literal["client", "server"]
KEY = b"\x01\x02\x03\x04"
LIMIT = 5000
JSON = b'{"op":"quote","symbol":"BTCUSD","bid":100.5,"ask":101.5,"seq":1,"stream":"s1","at":1700000000000000}'


def offered(header: str | None) -> tuple[WebSocketProtocol, str | None]:
    """A server that was offered this, and its answer."""
    server = WebSocketProtocol("server", max_message_size=LIMIT, deflate=True)
    request = (
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    )
    request += b"" if header is None else f"Sec-WebSocket-Extensions: {header}\r\n".encode()
    [event] = server.receive_data(request + b"\r\n")
    assert isinstance(event, HandshakeRequested)
    return server, find_header(server.accept())


def find_header(head: bytes) -> str | None:
    found = [line for line in head.decode().split("\r\n") if line.lower().startswith("sec-websocket-extensions:")]
    return found[0].partition(": ")[2] if found else None


def answered(header: str | None, *, deflate: bool = True) -> tuple[WebSocketProtocol, list[FrameEvent]]:
    """A client that was given this answer, and what it makes of it."""
    client = WebSocketProtocol("client", host="a", max_message_size=LIMIT, deflate=deflate)
    server = WebSocketProtocol("server")
    server.receive_data(client.connect())
    extra = b"" if header is None else f"Sec-WebSocket-Extensions: {header}\r\n".encode()
    return client, client.receive_data(server.accept().removesuffix(b"\r\n") + extra + b"\r\n")


def agreed(role: Role, parameters: str = "") -> WebSocketProtocol:
    """One side, on a connection that was agreed on with these parameters."""
    header = "permessage-deflate" + parameters
    protocol = answered(header)[0] if role == "client" else offered(header)[0]
    assert protocol.deflate_bits is not None
    return protocol


def frame(role: Role, payload: bytes, *, opcode: int = 1, fin: bool = True, packed: bool = False) -> bytes:
    """A frame for this role."""
    mask = 0x80 if role == "server" else 0
    size = len(payload)
    length = bytes([mask | size]) if size < 126 else struct.pack("!BH", mask | 126, size)
    body = KEY + unmask(payload, KEY) if mask else payload
    return bytes([0x80 * fin | 0x40 * packed | opcode]) + length + body


def pack(data: bytes) -> bytes:
    """What a sender without memory makes of a message."""
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


# -- what is agreed on -----------------------------------------------------------------------------------------------------

OURS = "permessage-deflate; server_no_context_takeover"


@pytest.mark.parametrize(
    ("offer", "answer", "bits"),
    [
        (None, None, None),
        ("permessage-deflate", OURS, 12),
        ("permessage-deflate; client_max_window_bits", f"{OURS}; client_max_window_bits=12", 12),
        ("permessage-deflate; client_max_window_bits=10", f"{OURS}; client_max_window_bits=10", 12),
        ('permessage-deflate; client_max_window_bits="10"', f"{OURS}; client_max_window_bits=10", 12),
        ("permessage-deflate; server_max_window_bits=15", f"{OURS}; server_max_window_bits=12", 12),
        ("permessage-deflate;server_max_window_bits = 9", f"{OURS}; server_max_window_bits=9", 9),
        ("permessage-deflate; server_max_window_bits=8", f"{OURS}; server_max_window_bits=8", 8),
        ("permessage-deflate; client_no_context_takeover", f"{OURS}; client_no_context_takeover", 12),
        ("permessage-deflate; server_no_context_takeover", OURS, 12),
        ("permessage-deflate; x=1, permessage-deflate", OURS, 12),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", f"{OURS}; server_max_window_bits=10", 10),
        ("x-webkit-deflate-frame", None, None),
        ("permessage-deflate; x", None, None),
        ("permessage-deflate;", None, None),
        ("permessage-deflate; server_max_window_bits", None, None),
        ("permessage-deflate; server_max_window_bits=7", None, None),
        ("permessage-deflate; server_max_window_bits=16", None, None),
        ("permessage-deflate; server_max_window_bits=09", None, None),
        ("permessage-deflate; server_max_window_bits=ten", None, None),
        ("permessage-deflate; client_max_window_bits=", None, None),
        ("permessage-deflate; server_no_context_takeover=1", None, None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None, None),
    ],
)
def test_a_server_answers_an_offer(offer: str | None, answer: str | None, bits: int | None) -> None:
    """The first that makes sense; of what does not it says nothing, and the connection does without."""
    server, header = offered(offer)

    assert (answer, bits) == (header, server.deflate_bits)


@pytest.mark.parametrize(
    ("answer", "bits"),
    [
        (None, None),
        ("permessage-deflate", 12),
        ("permessage-deflate; client_max_window_bits=10; server_max_window_bits=10", 10),
        ("permessage-deflate; client_max_window_bits=15; server_no_context_takeover", 12),
        ("permessage-deflate; client_no_context_takeover", 12),
    ],
)
def test_a_client_takes_an_answer(answer: str | None, bits: int | None) -> None:
    client, events = answered(answer)

    assert [HandshakeAccepted()] == events
    assert bits == client.deflate_bits


@pytest.mark.parametrize(
    "answer",
    [
        "x-webkit-deflate-frame",
        "permessage-deflate; x",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=ten",
        "permessage-deflate, permessage-deflate",
    ],
)
def test_a_client_does_not_take_any_answer(answer: str) -> None:
    """What cannot be done or understood ends the handshake (RFC 7692 §7.1), as does what was not asked for."""
    for deflate in (True, False):
        [event] = answered(answer, deflate=deflate)[1]

        assert isinstance(event, ProtocolFailed)
        assert 1002 == event.code


def test_nobody_asks_unasked() -> None:
    """By default nothing is offered and nothing is taken; a client offers what it does."""
    plain, packing = WebSocketProtocol("client", host="a"), WebSocketProtocol("client", host="a", deflate=True)
    server = WebSocketProtocol("server")
    server.receive_data(request := packing.connect())

    assert "permessage-deflate; client_no_context_takeover; client_max_window_bits" == find_header(request)
    assert find_header(plain.connect()) is None
    assert find_header(server.accept()) is None


@pytest.mark.parametrize("role", ["client", "server"])
def test_without_an_agreement_compression_is_a_violation(role: Role) -> None:
    """RSV1 is nobody's then, though it was offered."""
    protocol = answered(None)[0] if role == "client" else offered(None)[0]

    assert [ProtocolFailed(1002, "Reserved bit set unexpectedly")] == protocol.receive_data(
        frame(role, pack(JSON), packed=True)
    )


# -- both ways -------------------------------------------------------------------------------------------------------------


def joined() -> dict[Role, WebSocketProtocol]:
    """A client and a server of ours after their handshake."""
    client = WebSocketProtocol("client", host="a", max_message_size=LIMIT, deflate=True)
    server = WebSocketProtocol("server", max_message_size=LIMIT, deflate=True)
    server.receive_data(client.connect())
    client.receive_data(server.accept())
    return {"client": client, "server": server}


MESSAGES = st.text("ab{}ü€", max_size=400) | st.just(JSON.decode()) | st.just("x" * LIMIT)


@given(st.lists(MESSAGES, max_size=6), st.sampled_from(["client", "server"]), st.data())
def test_what_one_side_sends_the_other_receives(texts: list[str], sender: Role, data: st.DataObject) -> None:
    """Cut anywhere; and a frame that was made may leave late, never, or twice."""
    sides = joined()
    receiver = sides["server" if sender == "client" else "client"]
    frames = [sides[sender].encode_text(text.encode()) for text in texts]
    order = data.draw(st.lists(st.integers(0, len(frames) - 1), max_size=8)) if frames else []
    wire = b"".join(frames[index] for index in order)
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6))), len(wire)]
    events = [event for start, end in pairwise(edges) for event in receiver.receive_data(wire[start:end])]

    assert [TextReceived(texts[index].encode()) for index in order] == events


@pytest.mark.parametrize("role", ["client", "server"])
def test_only_what_gains_is_compressed(role: Role) -> None:
    """Small messages, and those that would grow, go as they are; control frames always do."""
    protocol, other = joined()[role], joined()["server" if role == "client" else "client"]
    noise = bytes(zlib.crc32(bytes([index])) & 0xFF for index in range(256))
    assert len(pack(noise)) >= len(noise)

    assert 0x81 == protocol.encode_text(b"x" * (SMALLEST - 1))[0]
    assert 0xC1 == protocol.encode_text(b"x" * SMALLEST)[0]
    assert 0x82 == protocol.encode_binary(noise)[0]
    assert 0xC2 == (binary := protocol.encode_binary(JSON))[0]
    assert 0x89 == protocol.encode_ping(b"x" * 125)[0]
    assert 0x88 == protocol.encode_close(1000, "x" * 123)[0]
    assert [BinaryReceived(JSON)] == other.receive_data(binary)


def test_a_peer_with_the_smallest_window_gets_nothing_compressed() -> None:
    """Since zlib cannot; but what such a peer compresses is understood."""
    server = agreed("server", "; server_max_window_bits=8; client_max_window_bits=8")

    assert 0x81 == server.encode_text(JSON)[0]
    assert [TextReceived(JSON)] == server.receive_data(frame("server", pack(JSON), packed=True))


def test_fragments_are_not_compressed() -> None:
    """Whether a message gains is known of a whole one only."""
    deflate = Deflate("server", max_message_size=LIMIT)
    assert deflate.accept("permessage-deflate") is not None
    protocol = FrameProtocol(client=False, extensions=[deflate])

    assert [0x01, 0x80] == [protocol.send_data(JSON.decode(), fin=False)[0], protocol.send_data(JSON.decode(), fin=True)[0]]


@pytest.mark.parametrize("takeover", [True, False])
def test_with_the_implementation_of_others(takeover: bool) -> None:
    """The one of wsproto as a server, which remembers earlier messages or does not."""
    client = WebSocketProtocol("client", host="a", deflate=True)
    theirs = WSConnection(ConnectionType.SERVER)
    theirs.receive_data(client.connect())
    [request] = theirs.events()
    assert isinstance(request, Request)
    extension = PerMessageDeflate(server_no_context_takeover=not takeover)
    client.receive_data(theirs.send(AcceptConnection(extensions=[extension])))
    wire = b"".join(theirs.send(TextMessage(JSON.decode())) for _ in range(5)) + theirs.send(BytesMessage(b"\x00" * 100))

    assert (len(wire) < 3 * len(JSON)) is takeover
    assert [TextReceived(JSON)] * 5 + [BinaryReceived(b"\x00" * 100)] == client.receive_data(wire)
    theirs.receive_data(client.encode_text(JSON) * 2)
    assert [JSON.decode()] * 2 == [event.data for event in theirs.events() if isinstance(event, TextMessage)]


# -- what comes in ---------------------------------------------------------------------------------------------------------


@st.composite
def conversations(draw: st.DrawFn, role: Role, bits: int) -> tuple[bytes, list[FrameEvent]]:
    """What a sender with a memory sends, fragmented and with pings among the fragments, and what it means."""
    deflater = zlib.compressobj(wbits=-bits)
    wire, events = b"", list[FrameEvent]()
    for text in draw(st.lists(MESSAGES.map(str.encode), max_size=5)):
        packed = draw(st.booleans())
        payload = (deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL) if packed else text
        edges = [0, *sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3))), len(payload)]
        for index, (start, end) in enumerate(pairwise(edges)):
            is_last = index == len(edges) - 2
            wire += frame(role, payload[start:end], opcode=0 if index else 1, fin=is_last, packed=packed and not index)
            if draw(st.booleans()):
                wire += frame(role, b"between", opcode=9)
                events.append(PingReceived(b"between"))
                if is_last:
                    events[-1:] = [TextReceived(text), events[-1]]
            elif is_last:
                events.append(TextReceived(text))
    return wire, events


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_any_conversation_is_understood(role: Role, bits: int) -> None:
    """Compressed or not, fragmented or not, with pings between, and cut anywhere."""

    @given(conversations(role, bits), st.data())
    def same(conversation: tuple[bytes, list[FrameEvent]], data: st.DataObject) -> None:
        wire, events = conversation
        edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6))), len(wire)]
        parameters = f"; {'server' if role == 'client' else 'client'}_max_window_bits={bits}"
        protocol = agreed(role, parameters if bits < 13 else "")
        assert events == [event for start, end in pairwise(edges) for event in protocol.receive_data(wire[start:end])]

    same()


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_sender_that_forgets(role: Role) -> None:
    """Agreed on, nothing is held between its messages."""
    other = "server" if role == "client" else "client"
    protocol = agreed(role, f"; {other}_no_context_takeover")
    for _ in range(2):
        assert [TextReceived(JSON)] == protocol.receive_data(frame(role, pack(JSON), packed=True))
        assert protocol._deflate is not None
        assert protocol._deflate._inflater is None


def final(data: bytes) -> bytes:
    """One block that is marked as the last of a stream."""
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (bytes.fromhex("f248cdc9c90700"), b"Hello"),
        (bytes.fromhex("000500faff48656c6c6f00"), b"Hello"),
        (bytes.fromhex("f348cdc9c9070000"), b"Hello"),
        (bytes.fromhex("f24805000000ffffcac9c90700"), b"Hello"),
        (final(b"Hello"), b"Hello"),
        (final(b"Hel") + final(b"lo"), b"Hello"),
        (final(b"Hel") + pack(b"lo"), b"Hello"),
        (b"\x00", b""),
        (b"", b""),
    ],
    ids=["one", "stored", "final", "two", "no-tail", "two-finals", "final-first", "empty", "nothing"],
)
def test_the_rfc_s_examples(payload: bytes, text: bytes) -> None:
    """RFC 7692 §7.2.3, and what comes near them; the next message is understood as well."""
    client = agreed("client")

    for _ in range(2):
        assert [TextReceived(text)] == client.receive_data(frame("client", payload, packed=True))
        assert [TextReceived(JSON)] == client.receive_data(frame("client", pack(JSON), packed=True))


def test_the_memory_of_a_sender() -> None:
    """RFC 7692 §7.2.3.2: the second Hello is a mere reference to the first."""
    client = agreed("client")
    again = frame("client", bytes.fromhex("f200110000"), packed=True)

    assert [TextReceived(b"Hello")] == client.receive_data(frame("client", bytes.fromhex("f248cdc9c90700"), packed=True))
    assert [TextReceived(b"Hello")] == client.receive_data(again)


# -- what must not come ----------------------------------------------------------------------------------------------------

NONSENSE = ProtocolFailed(1007, "compressed data makes no sense")
VIOLATION = ProtocolFailed(1002, "Reserved bit set unexpectedly")


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize(
    ("build", "failure"),
    [
        (lambda role: frame(role, b"\xff\xff\xff\xff", packed=True), NONSENSE),
        (lambda role: frame(role, bytes.fromhex("f200110000"), packed=True), NONSENSE),
        (lambda role: frame(role, pack(b"\xff\xfe"), packed=True), ProtocolFailed(1007, "text must be UTF-8")),
        (lambda role: frame(role, b"x", opcode=9, packed=True), VIOLATION),
        (lambda role: frame(role, b"\x03\xe8", opcode=8, packed=True), VIOLATION),
        (lambda role: frame(role, b"x", fin=False) + frame(role, pack(b"y"), opcode=0, packed=True), VIOLATION),
        (
            lambda role: frame(role, final(b"") * (FINAL_BLOCKS + 1), packed=True),
            ProtocolFailed(1007, "compressed data has too many final blocks"),
        ),
    ],
    ids=["noise", "no-such-memory", "no-utf-8", "ping", "close", "continuation", "final-blocks"],
)
def test_violations_have_their_close_code(role: Role, build: Callable[[Role], bytes], failure: ProtocolFailed) -> None:
    """However they are cut."""
    wire = build(role)
    whole, cut = agreed(role), agreed(role)

    assert [failure] == whole.receive_data(wire)
    assert [failure] == [event for index in range(len(wire)) for event in cut.receive_data(wire[index : index + 1])]


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_bomb_is_not_inflated(role: Role) -> None:
    """64 KiB that would become 64 MiB: 1009 at the limit, and no more memory than that."""
    bomb = frame(role, pack(bytes(2**26))[:65000], packed=True)
    protocol = agreed(role)
    tracemalloc.start()
    try:
        failure = protocol.receive_data(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert [ProtocolFailed(1009, "a message has at most 5000 bytes")] == failure
    assert peak < 2**20


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_the_limit_counts_what_is_inflated(role: Role, pieces: int) -> None:
    """Just the limit comes through, in any number of fragments and as often as one likes; one byte more does not."""
    protocol = agreed(role)

    def message(size: int) -> bytes:
        payload = pack(b"x" * size)
        edges = [len(payload) * index // pieces for index in range(pieces + 1)]
        return b"".join(
            frame(role, payload[start:end], opcode=0 if start else 1, fin=end == len(payload), packed=not start)
            for start, end in pairwise(edges)
        )

    assert [TextReceived(b"x" * LIMIT)] * 2 == protocol.receive_data(message(LIMIT) * 2)
    assert [ProtocolFailed(1009, "a message has at most 5000 bytes")] == protocol.receive_data(message(LIMIT + 1))


def test_messages_that_are_not_compressed_keep_the_lane() -> None:
    """In runs, in order with those that are."""
    client = agreed("client")
    wire = frame("client", b"a") * 2 + frame("client", pack(JSON), packed=True) + frame("client", b"b")

    assert [2, 1, 1] == [len(getattr(event, "payloads", "1")) for event in client.receive_runs(wire)]
    assert [TextReceived(each) for each in (b"a", b"a", JSON, b"b")] == client.receive_data(wire)
