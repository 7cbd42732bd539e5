"""WebSocket frames: a client and a server joined by a fake wire, and everything that may go wrong on it."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from wsproto.frame_protocol import FrameProtocol

from heartbeat_trio.exceptions import LocalProtocolError
from heartbeat_trio.protocol.frames import (
    TRANSITIONS,
    BadRequest,
    BinaryReceived,
    CloseReceived,
    FrameEvent,
    HandshakeAccepted,
    HandshakeRejected,
    HandshakeRequested,
    PingReceived,
    PongReceived,
    ProtocolFailed,
    State,
    Step,
    TextReceived,
    WebSocketProtocol,
    encode_server_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Role = Literal["client", "server"]

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA


def joined(max_message_size: int = 2**20) -> tuple[WebSocketProtocol, WebSocketProtocol]:
    """A client and a server after their handshake."""
    client = WebSocketProtocol("client", host="a", max_message_size=max_message_size)
    server = WebSocketProtocol("server", max_message_size=max_message_size)
    (request,) = server.receive_data(client.connect())
    assert isinstance(request, HandshakeRequested)
    assert [HandshakeAccepted()] == client.receive_data(server.accept())
    return client, server


def receiver(role: Role, max_message_size: int = 2**20) -> WebSocketProtocol:
    return joined(max_message_size)[role == "server"]


def frame(
    role: Role, opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool | None = None
) -> bytes:
    """Build a frame for this role by hand, as RFC 6455 §5.2 draws it."""
    size = len(payload)
    is_masked = role == "server" if masked is None else masked
    head = bytes([fin << 7 | reserved << 4 | opcode])
    mask_bit = is_masked << 7
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 65536:
        head += struct.pack("!BH", mask_bit | 126, size)
    else:
        head += struct.pack("!BQ", mask_bit | 127, size)
    if not is_masked:
        return head + payload
    key = b"\x01\x02\x03\x04"
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


ROLES: st.SearchStrategy[Role] = st.sampled_from(["client", "server"])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=300).map(str.encode)
CONTROLS = st.binary(max_size=125)


@st.composite
def frame_sequences(draw: st.DrawFn, role: Role) -> tuple[bytes, list[FrameEvent]]:
    """Bytes of valid frames, fragments with control frames among them, and the events that they mean."""
    wire, events = b"", list[FrameEvent]()
    for kind in draw(st.lists(st.sampled_from(["text", "binary", "ping", "pong"]), max_size=6)):
        if kind in ("ping", "pong"):
            payload = draw(CONTROLS)
            wire += frame(role, PING if kind == "ping" else PONG, payload)
            events.append(PingReceived(payload) if kind == "ping" else PongReceived(payload))
            continue
        payload = draw(TEXTS if kind == "text" else st.binary(max_size=300))
        edges = [0, *sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3))), len(payload)]
        opcode = TEXT if kind == "text" else BINARY
        for index, (start, end) in enumerate(pairwise(edges)):
            wire += frame(role, CONTINUATION if index else opcode, payload[start:end], fin=index == len(edges) - 2)
            if index < len(edges) - 2 and draw(st.booleans()):
                wire += frame(role, PING, b"between")
                events.append(PingReceived(b"between"))
        events.append(TextReceived(payload) if kind == "text" else BinaryReceived(payload))
    return wire, events


@given(st.data(), ROLES)
def test_any_cut_gives_the_same_events(data: st.DataObject, role: Role) -> None:
    """Fragmented or not, glued or split, byte by byte: each message once and in order."""
    wire, events = data.draw(frame_sequences(role))
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6))), len(wire)]
    whole, cut, bytewise = receiver(role), receiver(role), receiver(role)

    assert events == whole.receive_data(wire)
    assert events == [event for start, end in pairwise(edges) for event in cut.receive_data(wire[start:end])]
    assert events == [event for i in range(len(wire)) for event in bytewise.receive_data(wire[i : i + 1])]


@st.composite
def garbage(draw: st.DrawFn) -> tuple[Role, bytes]:
    """A role and bytes that it may get: frames that are nearly right, and anything else."""
    role = draw(ROLES)
    nearly = st.builds(
        lambda opcode, payload, fin, reserved: frame(role, opcode, payload, fin=fin, reserved=reserved),
        st.sampled_from([TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG]) | st.integers(0, 15),
        st.binary(max_size=130),
        st.booleans(),
        st.sampled_from([0, 0, 0, 1]),
    )
    return role, b"".join(draw(st.lists(nearly | st.binary(max_size=20), max_size=8)))


@given(garbage(), st.integers(1, 7))
def test_arbitrary_bytes_never_raise(case: tuple[Role, bytes], step: int) -> None:
    """Garbage ends in a failure, in a Close, or in waiting for more; and it does not matter how it is cut."""
    role, data = case
    cut, whole = receiver(role, max_message_size=200), receiver(role, max_message_size=200)
    events = whole.receive_data(data)

    assert events == [event for i in range(0, len(data), step) for event in cut.receive_data(data[i : i + step])]
    assert whole.state in (State.OPEN, State.FAILED, State.CLOSE_RECEIVED)
    assert whole.state == cut.state


def test_a_failure_reads_the_same_for_any_cut() -> None:
    """Where in the read the bad byte stood is not told."""
    whole, cut = receiver("server"), receiver("server")
    wire = frame("server", TEXT, b"aa\x80")
    failure = ProtocolFailed(1007, "text must be UTF-8")

    assert [failure] == whole.receive_data(wire)
    assert [failure] == [event for i in range(len(wire)) for event in cut.receive_data(wire[i : i + 1])]


@given(TEXTS, CONTROLS, ROLES)
def test_what_one_side_sends_the_other_receives(text: bytes, payload: bytes, sender: Role) -> None:
    client, server = joined()
    ours, theirs = (client, server) if sender == "client" else (server, client)
    wire = ours.encode_text(text) + ours.encode_ping(payload) + ours.encode_pong(payload) + ours.encode_close(1001, "gone")

    assert [
        TextReceived(text),
        PingReceived(payload),
        PongReceived(payload),
        CloseReceived(1001, "gone"),
    ] == theirs.receive_data(wire)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 2**20])
def test_lengths_in_all_their_encodings(size: int) -> None:
    """At each border of the length's encoding, both ways; the shared frame is what wsproto would send."""
    client, server = joined()
    payload = b"x" * size

    assert [TextReceived(payload)] == server.receive_data(client.encode_text(payload))
    assert [TextReceived(payload)] == client.receive_data(server.encode_text(payload))
    assert [BinaryReceived(payload)] == client.receive_data(server.encode_binary(payload))
    assert bytes(FrameProtocol(client=False, extensions=[]).send_data("x" * size)) == encode_server_text(payload)


def test_fragments_are_joined_around_control_frames() -> None:
    """A ping within a message does not wait for its end; an empty fragment is one."""
    wire = (
        frame("client", BINARY, b"ab", fin=False)
        + frame("client", PING, b"1")
        + frame("client", CONTINUATION, fin=False)
        + frame("client", PONG, b"2")
        + frame("client", CONTINUATION, b"c")
    )

    assert [PingReceived(b"1"), PongReceived(b"2"), BinaryReceived(b"abc")] == receiver("client").receive_data(wire)


def test_a_client_masks_and_a_server_does_not() -> None:
    client, server = joined()

    assert client.encode_text(b"secret")[1] & 0x80
    assert b"secret" not in client.encode_text(b"secret")
    assert b"\x81\x06secret" == server.encode_text(b"secret")


VIOLATIONS: list[tuple[str, Callable[[Role], bytes], int]] = [
    ("masked", lambda role: frame(role, TEXT, b"a", masked=role == "client"), 1002),
    ("reserved bit 1", lambda role: frame(role, TEXT, b"a", reserved=4), 1002),
    ("reserved bit 2", lambda role: frame(role, TEXT, b"a", reserved=2), 1002),
    ("reserved bit 3", lambda role: frame(role, PING, b"a", reserved=1), 1002),
    ("data opcode 3", lambda role: frame(role, 0x3), 1002),
    ("control opcode 11", lambda role: frame(role, 0xB), 1002),
    ("fragmented ping", lambda role: frame(role, PING, fin=False), 1002),
    ("long ping", lambda role: frame(role, PING, b"x" * 126), 1002),
    ("continuation of nothing", lambda role: frame(role, CONTINUATION, b"a"), 1002),
    ("text within text", lambda role: frame(role, TEXT, b"a", fin=False) + frame(role, TEXT, b"b"), 1002),
    ("long form of a short length", lambda role: bytes([0x81, 126 | (role == "server") << 7, 0, 1]), 1002),
    (
        "longest form of a short length",
        lambda role: bytes([0x81, 127 | (role == "server") << 7]) + b"\0" * 7 + b"\x01",
        1002,
    ),
    ("a length with its top bit", lambda role: bytes([0x81, 127 | (role == "server") << 7]) + b"\xff" * 8, 1002),
    ("close of one byte", lambda role: frame(role, CLOSE, b"a"), 1002),
    ("close with 999", lambda role: frame(role, CLOSE, struct.pack("!H", 999)), 1002),
    ("close with 1004", lambda role: frame(role, CLOSE, struct.pack("!H", 1004)), 1002),
    ("close with 1005", lambda role: frame(role, CLOSE, struct.pack("!H", 1005)), 1002),
    ("close with 1006", lambda role: frame(role, CLOSE, struct.pack("!H", 1006)), 1002),
    ("close with 1015", lambda role: frame(role, CLOSE, struct.pack("!H", 1015)), 1002),
    ("close with 2000", lambda role: frame(role, CLOSE, struct.pack("!H", 2000)), 1002),
    ("close with 5000", lambda role: frame(role, CLOSE, struct.pack("!H", 5000)), 1002),
    ("close with a reason that is no UTF-8", lambda role: frame(role, CLOSE, b"\x03\xe8\xff"), 1007),
    ("text that is no UTF-8", lambda role: frame(role, TEXT, b"a\xff"), 1007),
    ("text that ends within a character", lambda role: frame(role, TEXT, b"\xe2\x82"), 1007),
    ("text that is no UTF-8 so far", lambda role: frame(role, TEXT, b"\xf4\x90" + b"x" * 50)[:-50], 1007),
    ("a surrogate", lambda role: frame(role, TEXT, b"\xed\xa0\x80"), 1007),
]


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize(("build", "code"), [pytest.param(build, code, id=name) for name, build, code in VIOLATIONS])
def test_violations_have_their_close_code(role: Role, build: Callable[[Role], bytes], code: int) -> None:
    """What came before is delivered, our Close carries the code, and what comes after is ignored."""
    protocol, peer = receiver(role), receiver("client" if role == "server" else "server")
    *before, failure = protocol.receive_data(frame(role, PING, b"before") + build(role) + frame(role, PING, b"after"))

    assert [PingReceived(b"before")] == before
    assert isinstance(failure, ProtocolFailed)
    assert code == failure.code
    assert protocol.is_open
    assert [] == protocol.receive_data(frame(role, PING, b"later"))
    close = protocol.encode_close(failure.code, failure.reason)
    assert [CloseReceived(code, failure.reason)] == peer.receive_data(close)
    assert [] == protocol.receive_data(frame(role, PING, b"last"))
    assert State.DRAINING is protocol.state
    assert [] == protocol.receive_eof()
    assert protocol.is_closed


def test_close_codes_of_the_registry_are_understood() -> None:
    """1012 and 1013 came after the RFC; 3000 to 4999 are for libraries and applications."""
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4999):
        client, server = joined()

        assert [CloseReceived(code, "why")] == client.receive_data(server.encode_close(code, "why"))
        assert [CloseReceived(code, "")] == server.receive_data(client.encode_close(code))


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
def test_close_codes_that_must_not_be_sent(code: int) -> None:
    client, _ = joined()

    with pytest.raises(LocalProtocolError, match=f"close code {code} must not be sent"):
        client.encode_close(code)
    assert client.is_open


def test_a_close_without_a_code_and_one_with_a_long_reason() -> None:
    """No code is None; a reason is cut between characters, and what it could do to a terminal is taken out."""
    client, server = joined()
    assert [CloseReceived(None, "")] == server.receive_data(client.encode_close(None, "ignored"))

    client, server = joined()
    assert [CloseReceived(1000, "é" * 61)] == server.receive_data(client.encode_close(1000, "é" * 70))

    assert [CloseReceived(1000, r"\x1b[2J")] == receiver("client").receive_data(frame("client", CLOSE, b"\x03\xe8\x1b[2J"))


def test_a_message_of_just_the_limit_and_one_byte_more() -> None:
    for size, expected in ((100, TextReceived(b"x" * 100)), (101, ProtocolFailed(1009, "a message has at most 100 bytes"))):
        client, _ = joined()

        assert [expected] == receiver("server", max_message_size=100).receive_data(client.encode_text(b"x" * size))


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_huge_message_fails_before_it_is_gathered(opcode: int) -> None:
    """In one frame or in many fragments, it fails as soon as what came is too much."""
    single, at_once, fragments = (receiver("server", max_message_size=1000) for _ in range(3))
    huge = frame("server", opcode, b"x" * 100_000)
    failure = ProtocolFailed(1009, "a message has at most 1000 bytes")

    assert [] == single.receive_data(huge[:1000])
    assert [failure] == single.receive_data(huge[1000:1100])
    assert [] == single.receive_data(huge[1100:])
    assert [failure] == at_once.receive_data(huge + frame("server", PING, b"after"))
    assert [] == fragments.receive_data(frame("server", opcode, b"x" * 600, fin=False))
    assert [failure] == fragments.receive_data(frame("server", CONTINUATION, b"x" * 600, fin=False))


def test_the_limit_counts_bytes_and_each_message_by_itself() -> None:
    protocol = receiver("server", max_message_size=5)

    assert [TextReceived("éé".encode())] * 9 == protocol.receive_data(frame("server", TEXT, "éé".encode()) * 9)
    assert [ProtocolFailed(1009, "a message has at most 5 bytes")] == protocol.receive_data(
        frame("server", TEXT, "ééé".encode())
    )


@pytest.mark.parametrize(
    ("data", "is_sign_of_life"),
    [
        (b"", False),
        (frame("server", PONG, b"12345678")[:1], False),
        (frame("server", PONG, b"12345678")[:-1], False),
        (frame("server", TEXT, b"12345678")[:1], True),
        (frame("server", TEXT, b"12345678")[:-1], True),
        (frame("server", TEXT, b"12", fin=False), True),
        (frame("server", TEXT, b"12345678"), True),
        (frame("server", CLOSE, b"\x03\xe8")[:3], True),
    ],
)
def test_bytes_of_an_unfinished_message_are_a_sign_of_life(data: bytes, is_sign_of_life: bool) -> None:
    """Those of a pong are not."""
    protocol = receiver("server")
    protocol.receive_data(data)

    assert is_sign_of_life == protocol.has_partial_data


def test_a_pong_within_a_message_is_no_sign_of_life() -> None:
    """Only the last read counts, not what is still unfinished from before it."""
    protocol = receiver("server")
    protocol.receive_data(frame("server", TEXT, b"12", fin=False))
    protocol.receive_data(frame("server", PONG, b"12345678")[:5])

    assert not protocol.has_partial_data


def test_frames_that_come_with_the_handshake_are_not_lost() -> None:
    """In the same read as the response, and in the same read as the request."""
    client, server = WebSocketProtocol("client", host="a"), WebSocketProtocol("server")
    requested = server.receive_data(client.connect() + frame("server", TEXT, b"early")[:7])

    assert [HandshakeRequested] == [type(event) for event in requested]
    assert [] == server.receive_data(frame("server", TEXT, b"early")[7:])
    response = server.accept() + server.encode_text(b"welcome") + server.encode_ping(b"1")
    assert [HandshakeAccepted(), TextReceived(b"welcome"), PingReceived(b"1")] == client.receive_data(response)
    assert [TextReceived(b"early")] == server.receive_data(b"")
    assert [] == server.receive_data(b"")


def test_a_client_is_refused() -> None:
    client, server = WebSocketProtocol("client", host="a"), WebSocketProtocol("server")
    server.receive_data(client.connect())

    assert [HandshakeRejected(403, b"no web pages\n")] == client.receive_data(server.reject(403, "no web pages"))
    assert client.is_closed
    assert server.is_closed
    assert [] == client.receive_data(b"more")


def test_what_is_no_request_is_answered() -> None:
    server = WebSocketProtocol("server")
    (bad,) = server.receive_data(b"PING\n")

    assert BadRequest(400, "expected 'GET '") == bad
    assert State.REFUSING is server.state
    assert [] == server.receive_data(b"PING\n")
    assert b"" == server.encode_close()
    assert server.reject(400, "expected 'GET '").startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert server.is_closed


def test_a_client_that_does_not_wait_is_answered() -> None:
    server = WebSocketProtocol("server")
    server.receive_data(WebSocketProtocol("client", host="a").connect())

    assert [BadRequest(400, "wait for the answer before you send more")] == server.receive_data(bytes(70_000))
    with pytest.raises(LocalProtocolError, match="accept: not possible in state REFUSING"):
        server.accept()


def test_a_bad_response_ends_it() -> None:
    client = WebSocketProtocol("client", host="a")
    client.connect()

    assert [ProtocolFailed(1002, "bad response to the handshake: expected 'HTTP/1.'")] == client.receive_data(b"PONG\n")
    assert client.is_closed


@pytest.mark.parametrize("role", ["client", "server"])
def test_the_end_without_a_close_is_1006(role: Role) -> None:
    """RFC 6455 §7.1.5; it is told once."""
    protocol = receiver(role)

    assert [CloseReceived(1006, "")] == protocol.receive_eof()
    assert protocol.is_closed
    assert b"" == protocol.encode_close()
    assert [] == protocol.receive_eof()


def test_the_end_during_the_handshake_is_a_failure() -> None:
    client, server = WebSocketProtocol("client", host="a"), WebSocketProtocol("server")
    client.connect()
    failure = ProtocolFailed(1006, "the connection ended during the handshake")

    assert [failure] == client.receive_eof()
    assert [failure] == server.receive_eof()


def test_the_end_after_a_close_says_nothing_new() -> None:
    client, server = joined()
    client.receive_data(server.encode_close())

    assert [] == client.receive_eof()
    assert [CloseReceived(1006, "")] == server.receive_eof()


def test_nothing_follows_a_close() -> None:
    """Neither ours nor the peer's, nor that after a failure: what still wants to be sent is dropped without a fuss."""
    said, told = joined()
    told.receive_data(said.encode_close())
    failed, _ = joined()
    failed.receive_data(frame("client", 0x3))
    failed.encode_close(1002)

    for protocol in (said, told, failed):
        sent = protocol.encode_text(b"x"), protocol.encode_binary(b"x"), protocol.encode_ping(b""), protocol.encode_pong(b"")
        assert (b"",) * 4 == sent
    assert [b"", True, b""] == [said.encode_close(), bool(told.encode_close()), failed.encode_close()]


def test_what_came_before_a_failure_can_be_answered() -> None:
    """Messages and pongs leave until our Close does, which says what was wrong."""
    client, server = joined()
    events = client.receive_data(server.encode_text(b"one") + server.encode_ping(b"two") + frame("client", 0x3))
    answers = client.encode_text(b"one") + client.encode_pong(b"two") + client.encode_close(1002, "Invalid opcode 0x3")

    assert [TextReceived(b"one"), PingReceived(b"two"), ProtocolFailed(1002, "Invalid opcode 0x3")] == events
    assert [TextReceived(b"one"), PongReceived(b"two"), CloseReceived(1002, "Invalid opcode 0x3")] == server.receive_data(
        answers
    )


def test_messages_still_come_after_our_close() -> None:
    """The peer may be in the middle of something; its Close ends it."""
    client, server = joined()
    in_flight = server.encode_text(b"quote")
    client.encode_close(1000)

    assert [TextReceived(b"quote")] == client.receive_data(in_flight)
    assert [CloseReceived(1000, "")] == client.receive_data(server.encode_close(1000))
    assert client.is_closed


def test_a_violation_after_our_close_ends_it() -> None:
    client, _ = joined()
    client.encode_close(1000)
    (failure,) = client.receive_data(frame("client", 0x3))

    assert isinstance(failure, ProtocolFailed)
    assert State.DRAINING is client.state
    assert b"" == client.encode_close(1002)


def test_misuse_is_refused() -> None:
    """Roles and order are checked, and payloads that no frame can carry."""
    client, server = WebSocketProtocol("client", host="a"), WebSocketProtocol("server")
    with pytest.raises(LocalProtocolError, match="only a client connects"):
        server.connect()
    with pytest.raises(LocalProtocolError, match="only a server accepts or rejects"):
        client.accept()
    with pytest.raises(LocalProtocolError, match="only a server accepts or rejects"):
        client.reject(400, "")
    with pytest.raises(LocalProtocolError, match="accept: not possible in state CONNECTING"):
        server.accept()
    with pytest.raises(LocalProtocolError, match="nothing can be sent before the handshake is done"):
        server.encode_text(b"")
    client.connect()
    with pytest.raises(LocalProtocolError, match="request: not possible in state REQUESTED"):
        client.connect()

    for protocol in joined():
        with pytest.raises(LocalProtocolError, match="a text message must be UTF-8"):
            protocol.encode_text(b"\xff")
        with pytest.raises(LocalProtocolError, match="carries at most 125 bytes, not 126"):
            protocol.encode_ping(bytes(126))
        with pytest.raises(LocalProtocolError, match="carries at most 125 bytes, not 126"):
            protocol.encode_pong(bytes(126))


def test_every_state_can_be_reached_and_left() -> None:
    """The table has no island and no trap: from everywhere the end of input leads to CLOSED."""
    reached = {State.CONNECTING}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}

    assert set(State) == reached
    assert {State.CLOSED} == {TRANSITIONS[state, Step.END] for state in State}
    assert {Step.END} == {step for state, step in TRANSITIONS if state is State.CLOSED}


class Side:
    """One protocol, what it was told to send, and what a simple model says of it."""

    def __init__(self, role: Role) -> None:
        self.role: Role = role
        self.protocol = WebSocketProtocol(role, host="a", max_message_size=400)
        self.wire = bytearray()
        self.said: list[FrameEvent] = []
        self.heard: list[FrameEvent] = []
        self.has_closed = False
        self.has_ended = False

    @property
    def is_deaf(self) -> bool:
        """Whether it heard a last word."""
        return any(isinstance(event, (CloseReceived, ProtocolFailed)) for event in self.heard)

    @property
    def may_talk(self) -> bool:
        """A failure is answered with what was owed before it, and then our Close; a Close with nothing else."""
        was_told = any(isinstance(event, CloseReceived) for event in self.heard)
        return not (self.has_closed or self.has_ended or was_told)

    def expected_state(self) -> State:
        if self.has_ended:
            return State.CLOSED
        if not self.is_deaf:
            return State.CLOSE_SENT if self.has_closed else State.OPEN
        if isinstance(self.heard[-1], CloseReceived):
            return State.CLOSED if self.has_closed else State.CLOSE_RECEIVED
        return State.DRAINING if self.has_closed else State.FAILED


class Conversation(RuleBasedStateMachine):
    """Two sides talk, break the rules and leave, while the wire hands over as many bytes as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = {"client": Side("client"), "server": Side("server")}
        self.is_open = False

    def peer(self, side: Side) -> Side:
        return self.sides["server" if side.role == "client" else "client"]

    @initialize(early=st.booleans(), cut=st.integers(1, 400))
    def shake_hands(self, early: bool, cut: int) -> None:
        client, server = self.sides["client"], self.sides["server"]
        request = client.protocol.connect()
        events = server.protocol.receive_data(request[:cut]) + server.protocol.receive_data(request[cut:])
        assert [HandshakeRequested] == [type(event) for event in events]
        response = server.protocol.accept()
        if early:
            response += server.protocol.encode_ping(b"early")
            server.said.append(PingReceived(b"early"))
        accepted, *client.heard = client.protocol.receive_data(response[:cut]) + client.protocol.receive_data(response[cut:])
        assert HandshakeAccepted() == accepted

    @rule(role=ROLES, text=TEXTS)
    def say_text(self, role: Role, text: bytes) -> None:
        self.say(role, self.sides[role].protocol.encode_text(text), self.limited(text))

    @rule(role=ROLES, payload=CONTROLS)
    def ping(self, role: Role, payload: bytes) -> None:
        self.say(role, self.sides[role].protocol.encode_ping(payload), PingReceived(payload))

    @rule(role=ROLES, payload=CONTROLS)
    def pong(self, role: Role, payload: bytes) -> None:
        self.say(role, self.sides[role].protocol.encode_pong(payload), PongReceived(payload))

    @rule(role=ROLES, code=st.sampled_from([1000, 1001, 1009, 4000]))
    def close(self, role: Role, code: int) -> None:
        side = self.sides[role]
        data = side.protocol.encode_close(code, "bye")
        assert bool(data) == (not side.has_closed and not side.has_ended)
        if data:
            side.has_closed = True
            side.wire += data
            side.said.append(CloseReceived(code, "bye"))

    @rule(role=ROLES)
    @precondition(lambda self: any(side.may_talk for side in self.sides.values()))
    def break_the_rules(self, role: Role) -> None:
        """Bytes of a stranger get onto the wire."""
        side = self.sides[role]
        if side.may_talk:
            side.wire += frame(self.peer(side).role, 0x3)
            side.said.append(ProtocolFailed(1002, "Invalid opcode 0x3"))

    @rule(role=ROLES, size=st.just(1_000_000) | st.integers(1, 300))
    def deliver(self, role: Role, size: int) -> None:
        """Some bytes reach this side."""
        side, peer = self.sides[role], self.peer(self.sides[role])
        data = bytes(peer.wire[:size])
        del peer.wire[:size]
        events = side.protocol.receive_data(data)
        assert not events or not (side.has_ended or side.is_deaf)
        side.heard += events

    @rule(role=ROLES)
    @precondition(lambda self: any(side.has_closed or side.is_deaf for side in self.sides.values()))
    def end(self, role: Role) -> None:
        """The connection breaks before this side has heard everything."""
        side = self.sides[role]
        side.protocol.receive_eof()
        side.has_ended = True

    @invariant()
    def each_hears_what_the_other_said(self) -> None:
        """In order, nothing twice, nothing after the last word; and all of it, once the wire is empty."""
        for side in self.sides.values():
            peer = self.peer(side)
            said = until_last_word(peer.said)
            assert said[: len(side.heard)] == side.heard
            if not peer.wire and not side.has_ended:
                assert said == side.heard

    @invariant()
    def states_follow_the_model(self) -> None:
        for side in self.sides.values():
            if side.protocol.state is not State.CONNECTING:
                assert side.expected_state() == side.protocol.state
                assert side.protocol.is_open == (not side.has_closed and not side.has_ended)
                assert side.protocol.is_closed == (side.protocol.state is State.CLOSED)

    def say(self, role: Role, data: bytes, event: FrameEvent) -> None:
        side = self.sides[role]
        assert bool(data) == side.may_talk
        if data:
            side.wire += data
            side.said.append(event)

    @staticmethod
    def limited(text: bytes) -> FrameEvent:
        return TextReceived(text) if len(text) <= 400 else ProtocolFailed(1009, "a message has at most 400 bytes")


def until_last_word(events: list[FrameEvent]) -> list[FrameEvent]:
    for index, event in enumerate(events):
        if isinstance(event, (CloseReceived, ProtocolFailed)):
            return events[: index + 1]
    return events


Conversation.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestConversation = Conversation.TestCase


def test_a_ping_with_a_mask_of_ours() -> None:
    """It is what wsproto would have made with that mask, and its server reads the payload."""
    server, client = WebSocketProtocol("server"), WebSocketProtocol("client", host="server", make_mask=lambda: b"\1\2\3\4")
    server.receive_data(client.connect())
    client.receive_data(server.accept())
    payloads = [b"", b"nonce", bytes(range(125))]
    frames = [client.encode_ping(payload) for payload in payloads]

    assert frames[1] == b"\x89\x85\1\2\3\4" + bytes(a ^ b for a, b in zip(b"nonce", b"\1\2\3\4\1", strict=True))
    assert [PingReceived(payload) for payload in payloads] == server.receive_data(b"".join(frames))
    with pytest.raises(LocalProtocolError, match="at most 125 bytes"):
        client.encode_ping(bytes(126))
