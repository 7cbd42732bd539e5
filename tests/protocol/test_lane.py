"""The fast lane: what takes it, what does not, and that nobody can tell the difference."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heartbeat_trio.protocol.frames import FrameEvent, State, TextsReceived, WebSocketProtocol
from heartbeat_trio.protocol.lane import BINARY, LARGEST, OTHER, TEXT, FrameLane, Run, unmask
from heartbeat_trio.protocol.tap import END_OF_HEADERS, FrameTap

if TYPE_CHECKING:
    from collections.abc import Iterable

Role = Literal["client", "server"]
KEY = b"\x11\x22\x33\x44"
LIMIT = 300


class NoLane(FrameLane):
    """Everything goes to wsproto as it comes, and a tap tells the signs of life."""

    def __init__(self) -> None:
        super().__init__("client", max_message_size=LIMIT)
        self.tap = FrameTap()
        self.tap.receive_data(END_OF_HEADERS)

    def split(self, data: bytes) -> list[Run]:
        self.has_data = self.tap.receive_data(data).has_data
        return [Run(OTHER, [data])]


def frame(
    payload: bytes = b"",
    *,
    opcode: int = 1,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = None,
    width: int | None = None,
    claimed: int | None = None,
) -> bytes:
    """A frame, right or wrong: ``width`` bytes of extended length where that is not the shortest."""
    size = len(payload) if claimed is None else claimed
    width = (0 if size < 126 else 2 if size < 2**16 else 8) if width is None else width
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    mask = 0 if key is None else 0x80
    length = (
        bytes([mask | size]) if width == 0 else bytes([mask | (126 if width == 2 else 127)]) + size.to_bytes(width, "big")
    )
    body = payload if key is None else unmask(payload, key)
    return bytes([first]) + length + (key or b"") + body


def pack(payload: bytes) -> bytes:
    """A message as a compressing peer sends it (RFC 7692 §7.2.1)."""
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def open_protocol(role: Role, lane: FrameLane | None = None, *, deflate: bool = False) -> WebSocketProtocol:
    """One that is past its handshake."""
    protocol = WebSocketProtocol(role, host="x", max_message_size=LIMIT, deflate=deflate)
    if protocol._deflate is not None:
        assert protocol._deflate.accept("permessage-deflate") is not None
    protocol.state = State.OPEN
    if lane is not None:
        protocol._lane = lane
    return protocol


def feed(protocol: WebSocketProtocol, pieces: Iterable[bytes]) -> tuple[list[FrameEvent], list[bool], State]:
    events: list[FrameEvent] = []
    signs: list[bool] = []
    for piece in pieces:
        events += protocol.receive_data(piece)
        signs.append(protocol.has_partial_data)
        if protocol.state is State.FAILED:
            protocol.encode_close(1002)
    return events, signs, protocol.state


@st.composite
def any_frame(draw: st.DrawFn, role: Role, *, deflate: bool) -> bytes:
    """Mostly what a peer should send, with every kind of mistake now and then."""
    is_right = draw(st.integers(0, 9)) > 0
    key = draw(st.binary(min_size=4, max_size=4)) if (role == "server") is is_right else None
    text = st.text(max_size=40).map(str.encode)
    payload = draw(
        text | st.binary(max_size=20) | st.sampled_from([b"x" * 125, b"y" * 126, b"z" * LIMIT, b"w" * (LIMIT + 1)])
    )
    opcode = draw(st.sampled_from([1, 1, 1, 1, 2, 0, 9, 10]) if is_right else st.integers(0, 15))
    if opcode == 8:
        payload = draw(
            st.sampled_from([b"", b"\x03", struct.pack("!H", 1000) + b"bye", struct.pack("!H", 1005), b"\x03\xe8\xff"])
        )
    fin = draw(st.integers(0, 4)) > 0 or opcode > 7
    rsv = 0 if is_right else draw(st.integers(0, 7))
    if deflate and is_right and opcode in (1, 2) and draw(st.booleans()):
        payload, rsv = pack(payload), 4
    width = None if is_right else draw(st.sampled_from([None, 2, 8]))
    claimed = None if is_right else draw(st.none() | st.integers(0, 125))
    return frame(payload, opcode=opcode, fin=fin, rsv=rsv, key=key, width=width, claimed=None if width else claimed)


@st.composite
def any_stream(draw: st.DrawFn, role: Role, *, deflate: bool) -> list[bytes]:
    """Frames and garbage, cut anywhere."""
    frames = draw(st.lists(any_frame(role, deflate=deflate), max_size=8))
    garbage = draw(st.just(b"") | st.binary(max_size=30))
    data = b"".join(frames) + garbage
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if b > a]


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("role", ["client", "server"])
def test_nobody_can_tell_the_difference(role: Role, deflate: bool) -> None:
    """Any byte stream, cut anywhere: the same messages, pongs, closes, errors and signs of life as through wsproto alone."""

    @given(any_stream(role, deflate=deflate))
    @example([frame(b"\xff"), frame(b"ok")])
    @example([frame(b"", opcode=8) + frame(b"late") + frame(b"", opcode=8)])
    @example([frame(b"a", fin=False) + frame(b"b")])
    @example([frame(b"\0", rsv=4) + frame(b"") + frame(b"00000", opcode=0, fin=False)])
    def same(pieces: list[bytes]) -> None:
        alone, laned = open_protocol(role, NoLane(), deflate=deflate), open_protocol(role, deflate=deflate)
        assert feed(alone, pieces) == feed(laned, pieces)

    same()


def runs(data: bytes, role: Role = "client") -> list[tuple[int, list[bytes]]]:
    return [(run.kind, run.payloads) for run in FrameLane(role, max_message_size=2**20).split(data)]


@pytest.mark.parametrize(
    ("role", "key"),
    [("client", None), ("server", KEY)],
)
@pytest.mark.parametrize("size", [0, 1, 125, 126, 300, LARGEST])
def test_whole_messages_take_the_lane(role: Role, key: bytes | None, size: int) -> None:
    """Whatever their length, text and binary each in runs of their own."""
    payload = b"x" * size
    text, binary = frame(payload, key=key), frame(payload, opcode=2, key=key)

    assert [(TEXT, [payload] * 3), (BINARY, [payload])] == runs(text * 3 + binary, role)


@pytest.mark.parametrize(
    "odd",
    [
        frame(b"x", opcode=9),
        frame(b"x", opcode=8),
        frame(b"x", fin=False),
        frame(b"x", rsv=4),
        frame(b"x", key=KEY),
        frame(b"x", width=2),
        frame(b"x", width=8),
        frame(b"\xff"),
        frame(b"x" * (LARGEST + 1)),
    ],
    ids=["ping", "close", "fragment", "rsv", "masked", "long-length", "longest-length", "no-utf-8", "large"],
)
def test_everything_else_is_a_counted_run(odd: bytes) -> None:
    """It ends with its frame; what follows takes the lane again, unless a fragmented message is to go on."""
    found = runs(frame(b"before") + odd + frame(b"after"))

    after = OTHER if odd == frame(b"x", fin=False) else TEXT
    assert [(TEXT, [b"before"]), (OTHER, [odd]), (after, [frame(b"after") if after == OTHER else b"after"])] == found


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("size", [5, 200])
def test_a_frame_cut_by_the_end_of_a_read_goes_to_wsproto_at_once(role: Role, size: int) -> None:
    """Nothing is held back here, wherever it is cut; the next frame takes the lane again."""
    data = frame(b"x" * size, key=KEY if role == "server" else None)
    for cut in range(1, len(data)):
        lane = FrameLane(role, max_message_size=2**20)

        assert [(OTHER, [data[:cut]])] == lane.split(data[:cut])
        assert [(OTHER, [data[cut:]]), (TEXT, [b"x" * size])] == lane.split(data[cut:] + data)


def test_after_the_last_fragment_the_lane_is_open_again() -> None:
    """A ping between the fragments changes nothing."""
    pieces = [frame(b"a", fin=False), frame(b"", opcode=9), frame(b"b", opcode=0), frame(b"c")]

    assert [OTHER, OTHER, OTHER, TEXT] == [kind for kind, _ in runs(b"".join(pieces))]


def test_text_before_what_is_no_utf_8_is_taken() -> None:
    """And text that is UTF-8 without being ASCII is no trouble."""
    good, bad = "grüße".encode(), b"\xc3"

    assert [(TEXT, [good, good])] == runs(frame(good) * 2)
    assert [(TEXT, [good]), (OTHER, [frame(bad)]), (TEXT, [good])] == runs(frame(good) + frame(bad) + frame(good))


def test_the_limit_holds_before_anything_is_taken() -> None:
    """What is larger is counted by wsproto while it comes, and the connection fails with 1009."""
    lane = FrameLane("client", max_message_size=5)

    assert [(TEXT, [b"12345"]), (OTHER, [frame(b"123456")])] == lane.split(frame(b"12345") + frame(b"123456"))


def test_runs_come_as_one_event() -> None:
    """Who reads runs gets the messages of a read at once, in order with everything else."""
    found = open_protocol("client").receive_runs(frame(b"a") * 2 + frame(b"", opcode=10) + frame(b"b"))

    assert [TextsReceived([b"a", b"a"]), TextsReceived([b"b"])] == [found[0], found[2]]
