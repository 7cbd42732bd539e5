"""The JSON operations: what each means to each side, and that nothing a stranger sends does harm."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.events import Quote
from heartbeat_trio.exceptions import LocalProtocolError
from heartbeat_trio.protocol.messages import (
    Auth,
    AuthOk,
    ErrorNotice,
    GapNotice,
    Goodbye,
    Invalid,
    Message,
    Ping,
    Pong,
    Resume,
    Subscribe,
    Subscribed,
    Unknown,
    Unsubscribe,
    Unsubscribed,
)
from heartbeat_trio.protocol.ops import decode_binary, decode_text, encode_text

Role = Literal["client", "server"]

QUOTE = Quote("BTCUSD", 1.5, None, 3, "s-1", 12345)
QUOTE_JSON = b'{"type":"quote","symbol":"BTCUSD","bid":1.5,"ask":null,"seq":3,"stream":"s-1","ts":12345}'

SYMBOLS = st.from_regex(r"[A-Za-z0-9._/\-]{1,64}", fullmatch=True)
STREAMS = st.from_regex(r"[A-Za-z0-9\-]{1,32}", fullmatch=True)
CODES = st.from_regex(r"[a-z_]{1,64}", fullmatch=True)
SEQS = st.integers(1, 2**63 - 1)
PRICES = st.none() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=50)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TOKENS = st.none() | SCALARS.map(lambda scalar: json.dumps(scalar).encode())
HEARTBEATS = st.builds(Ping, token=TOKENS) | st.builds(Pong, token=TOKENS)
RESUMES = st.builds(Resume, STREAMS, st.integers(0, 2**63 - 1))
GAPS = st.builds(
    lambda symbol, stream, bounds, is_open: GapNotice(symbol, stream, min(bounds), None if is_open else max(bounds)),
    SYMBOLS,
    STREAMS,
    st.tuples(SEQS, SEQS),
    st.booleans(),
)
TO_SERVER = st.one_of(HEARTBEATS, st.builds(Subscribe, SYMBOLS, st.none() | RESUMES), st.builds(Unsubscribe, SYMBOLS))
TO_CLIENT = st.one_of(
    HEARTBEATS,
    st.builds(Quote, SYMBOLS, PRICES, PRICES, SEQS, STREAMS, st.integers(0, 2**57), PRICES),
    st.builds(Subscribed, SYMBOLS),
    st.builds(Unsubscribed, SYMBOLS),
    GAPS,
    st.builds(ErrorNotice, CODES, st.text(st.characters(codec="utf-8"), max_size=50).filter(str.isprintable)),
    st.builds(Goodbye, CODES, st.floats(0, 1e300)),
)


@given(st.tuples(st.just("server"), TO_SERVER) | st.tuples(st.just("client"), TO_CLIENT))
def test_every_message_survives_the_wire(sent: tuple[Role, Message]) -> None:
    """As UTF-8 and as text, and with its fields in another order and with blanks."""
    role, message = sent
    data = encode_text(message)

    assert [message] == decode_text(data, role=role)
    assert [message] == decode_text(data.decode(), role=role)
    if not isinstance(message, (Ping, Pong)):
        shuffled = json.dumps(dict(reversed(json.loads(data).items())), indent=1)
        assert [message] == decode_text(shuffled, role=role)


@given(st.sampled_from(["client", "server"]), st.binary() | st.text(st.characters()) | ANY_JSON.map(json.dumps))
def test_nothing_raises(role: Role, text: bytes | str) -> None:
    """Arbitrary bytes, text and JSON give messages, if only one that says so."""
    messages = decode_text(text, role=role)

    assert messages
    assert all(isinstance(message, Message) for message in messages)


FIELD_NAMES = ["id", "symbols", "symbol", "resume", "stream", "first", "last", "code", "message", "reason", "retry_after"]


@given(
    st.sampled_from(["client", "server"]),
    st.sampled_from(["ping", "pong", "subscribe", "unsubscribe", "subscribed", "gap", "error", "goodbye"]),
    st.dictionaries(st.sampled_from(FIELD_NAMES), ANY_JSON | st.lists(SYMBOLS, max_size=3) | SYMBOLS),
)
def test_operations_with_any_fields_do_not_raise(role: Role, op: str, fields: dict[str, Any]) -> None:
    messages = decode_text(json.dumps({"op": op, **fields}), role=role)

    assert messages
    assert all(not isinstance(message, Invalid) or len(message.detail) <= 256 for message in messages)


@given(SCALARS)
def test_an_id_comes_back_as_it_came(scalar: object) -> None:
    """Any JSON scalar, with its own spelling."""
    token = json.dumps(scalar).encode()
    (ping,) = decode_text(b'{"id" : %b , "op":"ping"}' % token, role="server")

    assert Ping(token=token) == ping
    assert b'{"op":"pong","id":%b}' % token == encode_text(Pong(token=token))


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ('{"op":"ping"}', [Ping()]),
        ('{"op":"ping","id":7}', [Ping(token=b"7")]),
        ('{"op":"ping","id":"x"}', [Ping(token=b'"x"')]),
        ('{"op":"ping","id":1.50}', [Ping(token=b"1.50")]),
        ('{"op":"ping","id":null}', [Ping(token=b"null")]),
        ('{"op":"ping","id":1e999}', [Ping(token=b"1e999")]),
        ('{"op":"ping","id":1,"id":2}', [Ping(token=b"2")]),
        ('{"op":"pong","id":true}', [Pong(token=b"true")]),
        ('{"op":"ping","id":[1]}', [Invalid("bad_message", "ping: an id is a JSON scalar of at most 4096 bytes")]),
        ('{"op":"ping","id":{}}', [Invalid("bad_message", "ping: an id is a JSON scalar of at most 4096 bytes")]),
        (
            '{"op":"ping","id":"%s"}' % ("x" * 4095),
            [Invalid("bad_message", "ping: an id is a JSON scalar of at most 4096 bytes")],
        ),
        ('{"op":"subscribe","symbols":["A","B"]}', [Subscribe("A"), Subscribe("B")]),
        (
            '{"op":"subscribe","symbols":["A","B"],"resume":{"B":{"stream":"s","seq":0},"C":{"stream":"s","seq":1}}}',
            [Subscribe("A"), Subscribe("B", Resume("s", 0))],
        ),
        ('{"op":"unsubscribe","symbols":["A","B"]}', [Unsubscribe("A"), Unsubscribe("B")]),
        ('{"op":"order"}', [Invalid("bad_message", "order: Object missing required field `id`")]),
        ('{"op":"gap"}', [Invalid("unknown_command", "unknown op 'gap'")]),
        ('{"op":"\\u001b[2J"}', [Invalid("unknown_command", r"unknown op '\\x1b[2J'")]),
        ('{"op":1}', [Invalid("bad_message", 'an operation is a JSON object with "op"')]),
        ('{"op":[]}', [Invalid("bad_message", 'an operation is a JSON object with "op"')]),
        ("{}", [Invalid("bad_message", 'an operation is a JSON object with "op"')]),
        (QUOTE_JSON, [Invalid("bad_message", 'an operation is a JSON object with "op"')]),
    ],
)
def test_what_a_server_reads(text: str, messages: list[Message]) -> None:
    assert messages == decode_text(text, role="server")


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (QUOTE_JSON, [QUOTE]),
        (b" " + QUOTE_JSON, [QUOTE]),
        (QUOTE_JSON[:-1] + b',"last":2}', [Quote("BTCUSD", 1.5, None, 3, "s-1", 12345, 2.0)]),
        (b'{"op":"subscribed","symbol":"A"}', [Subscribed("A")]),
        (b'{"op":"unsubscribed","symbol":"A"}', [Unsubscribed("A")]),
        (b'{"op":"gap","symbol":"A","stream":"s","first":2,"last":5}', [GapNotice("A", "s", 2, 5)]),
        (b'{"op":"gap","symbol":"A","stream":"s","first":2,"last":null}', [GapNotice("A", "s", 2, None)]),
        (b'{"op":"gap","symbol":"A","stream":"s","first":2}', [GapNotice("A", "s", 2, None)]),
        (
            b'{"op":"gap","symbol":"A","stream":"s","first":2,"last":1}',
            [Invalid("bad_message", "gap: a sequence number here is from 2 to 9223372036854775807")],
        ),
        (b'{"op":"error","code":"x","message":"a\\u001b\\n"}', [ErrorNotice("x", r"a\x1b\n")]),
        (b'{"op":"goodbye","reason":"restart","retry_after":2}', [Goodbye("restart", 2.0)]),
        (b'{"op":"news","id":1}', [Unknown('{"op":"news","id":1}')]),
        (b'{"op":"subscribe","symbols":["A"]}', [Unknown('{"op":"subscribe","symbols":["A"]}')]),
        (b'{"type":"trade"}', [Unknown('{"type":"trade"}')]),
        (b'{"type":[],"op":{}}', [Unknown('{"type":[],"op":{}}')]),
        (b'{"x":"\x7f"}', [Unknown(r'{"x":"\x7f"}')]),
    ],
)
def test_what_a_client_reads(text: bytes, messages: list[Message]) -> None:
    assert messages == decode_text(text, role="client")


@pytest.mark.parametrize(
    "text",
    [
        '{"op":"subscribe"}',
        '{"op":"subscribe","symbols":"A"}',
        '{"op":"subscribe","symbols":[]}',
        '{"op":"subscribe","symbols":["A","B C"]}',
        '{"op":"subscribe","symbols":["A\\n"]}',
        '{"op":"subscribe","symbols":[1]}',
        json.dumps({"op": "subscribe", "symbols": ["A"] * 1001}),
        '{"op":"subscribe","symbols":["A"],"resume":[]}',
        '{"op":"subscribe","symbols":["A"],"resume":{"A":{"stream":"s","seq":-1}}}',
        '{"op":"subscribe","symbols":["A"],"resume":{"A":{"stream":"s","seq":9223372036854775808}}}',
        '{"op":"subscribe","symbols":["A"],"resume":{"A":{"stream":"s s","seq":1}}}',
        '{"op":"subscribe","symbols":["A"],"resume":{"A":{"stream":"s"}}}',
        '{"op":"unsubscribe","symbols":[""]}',
        '{"op":"ping","id":01}',
        '{"op":"ping","id":NaN}',
        '{"op":"ping"',
        '{"op":"ping"}{"op":"ping"}',
        "PING",
        "",
        "[]",
        '"ping"',
        b'{"op":"ping","id":"\xff"}',
        b"\xef\xbb\xbf{}",
        '{"op":"ping","id":"\ud800"}',
        "[" * 1_000_000,
        '{"op":"ping","id":' + "[" * 1_000_000 + "]" * 1_000_000 + "}",
        '{"op":"subscribe","symbols":' + '{"a":' * 100_000,
        '{"op":"subscribe","symbols":["A"],"resume":{"A":{"stream":"s","seq":' + "9" * 10_000 + "}}}",
    ],
)
def test_a_bad_operation_is_invalid_as_a_whole(text: str | bytes) -> None:
    """Nothing of it is done, and the answer is short and printable."""
    messages = decode_text(text, role="server")

    assert ["bad_message"] == [message.code for message in messages if isinstance(message, Invalid)]
    assert 1 == len(messages)
    assert all(message.detail.isprintable() for message in messages if isinstance(message, Invalid))


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"quote"}',
        QUOTE_JSON.replace(b'"seq":3', b'"seq":0'),
        QUOTE_JSON.replace(b"BTCUSD", b"BTC USD"),
        QUOTE_JSON.replace(b"BTCUSD", b"\xff"),
        '{"op":"subscribed","symbol":""}',
        '{"op":"unsubscribed"}',
        '{"op":"gap","symbol":"A","stream":"s","first":0}',
        '{"op":"error","code":"Bad","message":""}',
        '{"op":"goodbye","reason":"x","retry_after":-1}',
        '{"op":"goodbye","reason":"x","retry_after":1e999}',
        '{"op":"goodbye","reason":"x","retry_after":null}',
    ],
)
def test_a_peer_is_not_trusted(text: str | bytes) -> None:
    """A client checks a server's names and numbers too."""
    messages = decode_text(text, role="client")

    assert ["bad_message"] == [message.code for message in messages if isinstance(message, Invalid)]


def test_binary_messages_are_none_of_ours() -> None:
    assert [Invalid("binary_message", "the client sent a binary message; operations are JSON text")] == decode_binary(
        role="server"
    )
    assert [Invalid("binary_message", "the server sent a binary message; operations are JSON text")] == decode_binary(
        role="client"
    )


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (QUOTE, QUOTE_JSON),
        (Ping(), b'{"op":"ping"}'),
        (Pong(token=b"1.50"), b'{"op":"pong","id":1.50}'),
        (Subscribe("A"), b'{"op":"subscribe","symbols":["A"]}'),
        (Subscribe("A", Resume("s", 4)), b'{"op":"subscribe","symbols":["A"],"resume":{"A":{"stream":"s","seq":4}}}'),
        (Unsubscribe("A"), b'{"op":"unsubscribe","symbols":["A"]}'),
        (Subscribed("A"), b'{"op":"subscribed","symbol":"A"}'),
        (Unsubscribed("A"), b'{"op":"unsubscribed","symbol":"A"}'),
        (GapNotice("A", "s", 1, None), b'{"op":"gap","symbol":"A","stream":"s","first":1,"last":null}'),
        (ErrorNotice("x", "a\nb"), b'{"op":"error","code":"x","message":"a\\nb"}'),
        (Goodbye("restart", 1.5), b'{"op":"goodbye","reason":"restart","retry_after":1.5}'),
    ],
)
def test_operations_as_they_are_sent(message: Message, text: bytes) -> None:
    assert text == encode_text(message)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Ping(b"x"), "a nonce travels in a control frame"),
        (Pong(is_control=True), "a nonce travels in a control frame"),
        (Subscribe("A B"), "a symbol is"),
        (Subscribe("A", Resume("s", -1)), "a sequence number here"),
        (GapNotice("A", "s", 2, 1), "a sequence number here"),
        (GapNotice("A", "", 2, 3), "a stream is"),
        (ErrorNotice("X", ""), "a code is"),
        (ErrorNotice("x", "\ud800"), "surrogates not allowed"),
        (Goodbye("x", math.nan), "a duration is"),
        (Quote("A", None, math.inf, 1, "s", 1), "a price is"),
        (Auth("s3cret"), "no operation carries Auth"),
        (AuthOk(), "no operation carries AuthOk"),
        (Invalid("x", "y"), "no operation carries Invalid"),
    ],
)
def test_what_operations_cannot_carry(message: Message, why: str) -> None:
    with pytest.raises(LocalProtocolError, match=why):
        encode_text(message)
