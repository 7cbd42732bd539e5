"""Messages that came together are read as if each had come by itself, only faster."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.dialects import builtin_dialects
from heartbeat_trio.events import Quote
from heartbeat_trio.protocol.codec import OpsCodec, decode_message, decode_messages
from heartbeat_trio.protocol.dialect_codec import DialectCodec
from heartbeat_trio.protocol.messages import UNMATCHED, Pong

Role = Literal["client", "server"]

QUOTE = b'{"type":"quote","symbol":"%s","bid":1.5,"ask":null,"seq":%s,"stream":"%s","ts":5}'
TEXTS = [
    QUOTE % (b"A", b"1", b"s"),
    QUOTE % (b"A", b"2", b"s"),
    QUOTE % (b"B", b"9", b"s"),
    QUOTE % (b"a symbol", b"3", b"s"),
    QUOTE % (b"A", b"3", b"no stream!"),
    QUOTE % (b"A", b"0", b"s"),
    QUOTE % (b"A", b"99999999999999999999", b"s"),
    QUOTE[:30],
    b'{"symbol":"A","bid":1.5,"ask":null,"seq":1,"stream":"s","ts":5}',
    b'{"op":"pong","id":7}',
    b'{"op":"subscribed","symbol":"A"}',
    b'{"op":"subscribe","symbols":["A","B"]}',
    b"nonsense",
]


@given(st.lists(st.sampled_from(TEXTS), max_size=6), st.sampled_from(["client", "server"]))
def test_a_batch_is_its_messages(texts: list[bytes], role: Role) -> None:
    """Quotes, operations, mistakes: in any mixture, for either side."""
    codec = OpsCodec(role)
    told: list[bytes] = []

    each = [message for text in texts for message in decode_message(codec, text, is_text=True)]
    assert each == decode_messages(codec, texts, on_raw=told.append)
    assert texts == told


def test_quotes_come_in_bulk() -> None:
    """And a pong among the operations answers none of our pings, in a batch as well."""
    codec = OpsCodec("client")

    assert [Quote("A", 1.5, None, 1, "s", 5), Quote("A", 1.5, None, 2, "s", 5)] == decode_messages(codec, TEXTS[:2])
    assert [Pong(UNMATCHED, b"7")] == codec.decode_texts([b'{"op":"pong","id":7}'])


@pytest.mark.parametrize("name", ["okx-v5", "bybit-v5"])
def test_dialects_read_each_by_itself(name: str) -> None:
    """Whatever a venue sends together."""
    codec = DialectCodec(builtin_dialects()[name], unix_time=lambda: 1.0)
    texts = [b"pong", b'{"op":"pong"}', b"[]"]

    assert [message for text in texts for message in codec.decode_text(text)] == codec.decode_texts(texts)
