"""The tap sees every ping and pong, whatever lies between them and however the bytes are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode

from heartbeat_trio.protocol.tap import FrameTap

HANDSHAKE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def frames() -> st.SearchStrategy[tuple[str, bytes]]:
    """A kind, and the payload of one frame of it."""
    sizes = st.one_of(st.integers(0, 200), st.sampled_from([125, 126, 65535, 65536]))
    data = st.tuples(st.just("data"), sizes.map(lambda size: b"x" * size))
    control = st.tuples(st.sampled_from(["ping", "pong"]), st.binary(max_size=125))
    return st.one_of(data, control)


def encode(protocol: FrameProtocol, kind: str, payload: bytes) -> bytes:
    if kind == "data":
        return bytes(protocol.send_data(payload, fin=True))
    return bytes(protocol.ping(payload) if kind == "ping" else protocol.pong(payload))


@given(st.data(), st.booleans(), st.lists(frames(), max_size=8))
def test_finds_all_pings_and_pongs_for_any_cut(data: st.DataObject, client: bool, script: list[tuple[str, bytes]]) -> None:
    """Masked or not, glued or split, each ping and pong comes out once and in order."""
    protocol = FrameProtocol(client=client, extensions=[])
    wire = HANDSHAKE + b"".join(encode(protocol, kind, payload) for kind, payload in script)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    tap = FrameTap()
    pongs: list[bytes] = []
    pings: list[bytes] = []

    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        result = tap.receive_data(wire[start:end])
        pongs += result.pongs
        pings += result.pings

    assert [payload for kind, payload in script if kind == "pong"] == pongs
    assert [payload for kind, payload in script if kind == "ping"] == pings


def test_a_pong_in_pieces_is_no_data() -> None:
    """Bytes of an unfinished pong are no sign of life; bytes of an unfinished message are."""
    protocol = FrameProtocol(client=False, extensions=[])
    pong = bytes(protocol.pong(b"12345678"))
    text = bytes(protocol.send_data("x" * 300, fin=True))
    tap = FrameTap()

    assert tap.receive_data(HANDSHAKE[:10]).has_data
    assert not tap.receive_data(HANDSHAKE[10:]).has_data
    assert not tap.receive_data(pong[:1]).has_data
    assert not tap.receive_data(pong[1:5]).has_data
    assert [b"12345678"] == tap.receive_data(pong[5:]).pongs
    assert tap.receive_data(text[:1]).has_data
    assert tap.receive_data(text[1:3]).has_data
    assert tap.receive_data(text[3:] + pong[:1]).has_data
    assert bytes([0x80 | Opcode.PONG]) == pong[:1]
