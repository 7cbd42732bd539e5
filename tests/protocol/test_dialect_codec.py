"""The codec of dialects against what a hostile or broken venue sends: nothing raises, everything is bounded."""

from __future__ import annotations

import gzip
import json
import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat_trio.dialects import builtin_dialects
from heartbeat_trio.events import Quote
from heartbeat_trio.protocol.codec import MessageCodec, OpsCodec, decode_message
from heartbeat_trio.protocol.dialect_codec import MAX_PENDING, DialectCodec
from heartbeat_trio.protocol.dialect_record import Dialect
from heartbeat_trio.protocol.messages import UNMATCHED, Beat, Invalid, Ping, Pong, Subscribe, Subscribed, Unknown
from heartbeat_trio.protocol.ops import encode_text

DIALECTS = builtin_dialects()
NAMES = sorted(name for name, each in DIALECTS.items() if each.transport == "websocket")
QUOTE = Quote("X", 1.0, 2.0, 1, "s", 0)

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=12)
WORDS = st.sampled_from(
    ["ping", "pong", "op", "event", "id", "req_id", "result", "code", "method", "type", "channel", "subscribe"]
)
ANY_JSON = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=5),
    max_leaves=12,
)


def codec(name: str) -> DialectCodec:
    return DialectCodec(DIALECTS[name], unix_time=lambda: 0.0)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(data=st.binary(max_size=200) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_nothing_that_comes_makes_it_raise(name: str, data: bytes) -> None:
    """As text, as binary, and as what a gzip frame holds; and there is always an answer, since bytes are life."""
    speaker = codec(name)

    assert decode_message(speaker, data, is_text=True)
    assert decode_message(speaker, data, is_text=False)
    assert decode_message(speaker, gzip.compress(data), is_text=False)


@pytest.mark.parametrize("name", NAMES)
def test_depth_and_numbers_without_end(name: str) -> None:
    """Deep nesting, numbers of thousands of digits, half a message, text that is no UTF-8: one `Invalid` each."""
    speaker = codec(name)

    for text in (nested(100_000), b"9" * 5000, b'{"id":1e999}', b'{"a":', b"\xff\xfe", b'"\xff"', b'{"ping":"\xff"}', b""):
        [answer] = decode_message(speaker, text, is_text=True)
        assert isinstance(answer, Invalid), text[:20]
        assert len(answer.detail) <= 256


def test_a_gzip_bomb_is_refused_before_it_is_inflated() -> None:
    """1 MiB is the end, however small the frame; so is a frame cut off, one with a tail, and what is no gzip."""
    speaker = codec("htx-spot")
    just_right = b'"%s"' % (b"x" * (2**20 - 200))
    bombs = [gzip.compress(b"\0" * (2**20 + 1)), gzip.compress(b'{"ping":1}' * 10**6)]
    broken = [
        gzip.compress(b'{"ping":1}')[:-4],
        gzip.compress(b'{"ping":1}') + b"x",
        zlib.compress(b'{"ping":1}'),
        b"{}",
        b"",
    ]

    assert [Unknown] == [*map(type, decode_message(speaker, gzip.compress(just_right), is_text=False))]
    for frame in bombs + broken:
        [answer] = decode_message(speaker, frame, is_text=False)
        assert isinstance(answer, Invalid), frame[:20]


def test_what_is_echoed_is_bounded() -> None:
    """A ping of a megabyte gets no pong of a megabyte; a structure is no ping at all."""
    speaker = codec("htx-spot")

    [long] = decode_message(speaker, b'{"ping":"%s"}' % (b"x" * 300), is_text=True)
    [odd] = decode_message(speaker, b'{"ping":{"a":1}}', is_text=True)
    assert isinstance(long, Invalid)
    assert isinstance(odd, Unknown)


def test_binary_frames() -> None:
    """Refused where a venue sends none, life where nobody reads them, JSON where they hold it."""
    assert [Invalid] == [*map(type, decode_message(codec("okx-v5"), b"ping", is_text=False))]
    assert [Unknown("<4 bytes>")] == decode_message(codec("mexc-spot"), b"\x08\x01\x02\x03", is_text=False)
    assert [Beat(is_scheduled=False)] == decode_message(codec("upbit"), b'{"status":"UP"}', is_text=False)


def test_quotes_come_out_of_the_callable() -> None:
    """It gets every object that is no heartbeat, acknowledgement or notice, and data inside an acknowledgement."""
    seen: list[object] = []

    def decode_quotes(message: object) -> list[Quote]:
        seen.append(message)
        return [QUOTE] if isinstance(message, dict) and "contents" in message else []

    speaker = DialectCodec(DIALECTS["dydx-v4"], unix_time=lambda: 0.0, decode_quotes=decode_quotes)
    speaker.encode(Subscribe("BTC-USD"))
    ack = b'{"type":"subscribed","channel":"v4_trades","id":"BTC-USD","contents":{}}'

    assert [Subscribed("BTC-USD"), QUOTE] == speaker.decode_text(ack)
    assert [QUOTE] == speaker.decode_text(b'{"type":"channel_data","contents":[]}')
    assert [Unknown("[1]")] == speaker.decode_text(b"[1]")
    assert [{"type": "channel_data", "contents": []}, [1]] == seen[1:]


def test_what_it_remembers_is_bounded() -> None:
    """A venue that never acknowledges, and a user who never stops asking, fill no memory; the latest are remembered."""
    speaker = codec("binance-spot")
    for number in range(MAX_PENDING + 10):
        speaker.encode(Subscribe(f"S{number}"))

    assert [Beat] != [*map(type, speaker.decode_text(b'{"result":null,"id":%d}' % (MAX_PENDING + 10)))]
    assert [Unknown] == [*map(type, speaker.decode_text(b'{"result":null,"id":10}'))]
    assert "binance-spot" in repr(speaker)
    for number in range(200):  # messages of ever new shapes are read as well, and forgotten
        assert [Unknown] == [*map(type, speaker.decode_text(b'{"f%d":1}' % number))]
    assert [Subscribed("S4000")] == speaker.decode_text(b'{"result":null,"id":4001,"more":{}}')


def test_the_oldest_request_is_meant_where_an_answer_names_none() -> None:
    """Coinbase and Gate acknowledge in order; an answer too many is life and nothing else."""
    speaker = codec("gate-v4")
    answer = b'{"time":1,"channel":"spot.tickers","event":"%s","result":{"status":"success"}}'
    for symbol in ("A", "B"):
        speaker.encode(Subscribe(symbol))

    assert [Beat(is_scheduled=False)] == speaker.decode_text(answer % b"unsubscribe")
    answers = [speaker.decode_text(answer % b"subscribe") for _ in range(3)]
    assert [[Subscribed("A")], [Subscribed("B")], [Beat(is_scheduled=False)]] == answers


def test_a_user_can_write_a_dialect_with_every_oddity() -> None:
    """Bare pings of the server's, an echoed id, times in answers, upper case, a text in a text."""
    dialect = msgspec.convert(
        {
            "name": "odd",
            "title": "Odd",
            "id": "int",
            "parameters": {"room": "a"},
            "probe": {"level": "text", "ping": "hello $room", "pongs": ["$room"]},
            "server_pings": [
                {"level": "text", "ping": "hi", "reply": '{"at":$unix_ms,"id":$id,"s":"$unix"}'},
                {"level": "text", "ping": '{"q":[$any,$id]}', "reply": '[$id,$unix_text,"$room-$unix_ms"]'},
            ],
            "subscriptions": {"subscribe": "SUB $symbol", "case": "upper", "acks": ["OK $symbol"]},
        },
        Dialect,
    )
    speaker = DialectCodec(dialect, unix_time=lambda: 12.5, parameters={"room": "b"})

    assert [Ping(token=b'{"at":12500,"id":1,"s":"12"}')] == speaker.decode_text(b"hi")
    assert [Ping(token=b'["x","12","b-12500"]')] == speaker.decode_text(b'{"q":[0,"x"]}')
    assert b"SUB ABC" == speaker.encode(Subscribe("abc"))
    assert [Subscribed("ABC")] == speaker.decode_text(b"OK ABC")
    assert [Unknown('{"OK":1}')] == speaker.decode_text(b'{"OK":1}')
    assert b"hello b" == speaker.encode_ping(b"00000000")
    assert [Pong(b"")] == speaker.decode_text(b"b")


def test_ops_meets_the_same_interface() -> None:
    """Its text pongs answer none of our pings, it has no binary messages, and its pings are control frames."""
    speaker: MessageCodec = OpsCodec("client")

    assert [Pong(UNMATCHED, b"7")] == speaker.decode_text(b'{"op":"pong","id":7}')
    assert [Invalid] == [*map(type, decode_message(speaker, b"x", is_text=False))]
    assert speaker.encode_ping(b"00000000") is None
    assert encode_text(Subscribe("A")) == speaker.encode(Subscribe("A"))
    assert "ops" == speaker.encoding
    venue: MessageCodec = codec("okx-v5")
    assert venue.encoding != codec("okx-v5").encoding or venue is None
