"""The line protocol: what each line means to each side, however the bytes are cut and whatever they are."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.events import Quote
from heartbeat_trio.exceptions import LocalProtocolError
from heartbeat_trio.protocol.line import MAX_LINE, LineDecoder, encode_line
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

Role = Literal["client", "server"]

QUOTE = Quote("BTCUSD", 1.5, None, 3, "s-1", 12345)

SYMBOLS = st.from_regex(r"[A-Za-z0-9._/\-]{1,64}", fullmatch=True)
STREAMS = st.from_regex(r"[A-Za-z0-9\-]{1,32}", fullmatch=True)
CODES = st.from_regex(r"[a-z_]{1,64}", fullmatch=True)
SEQS = st.integers(1, 2**63 - 1)
PRICES = st.none() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=200).filter(
    lambda text: text.isprintable() and text == text.strip(" ")
)
NONCES = st.just(b"") | st.from_regex(rb"[!-~]{1,64}", fullmatch=True)
HEARTBEATS = st.builds(Ping, NONCES) | st.builds(Pong, NONCES)
RESUMES = st.builds(Resume, STREAMS, st.integers(0, 2**63 - 1))
GAPS = st.builds(
    lambda symbol, stream, bounds, is_open: GapNotice(symbol, stream, min(bounds), None if is_open else max(bounds)),
    SYMBOLS,
    STREAMS,
    st.tuples(SEQS, SEQS),
    st.booleans(),
)
TO_SERVER = st.one_of(
    HEARTBEATS,
    st.builds(Subscribe, SYMBOLS, st.none() | RESUMES),
    st.builds(Unsubscribe, SYMBOLS),
    st.builds(Auth, st.from_regex(r"[!-~]{1,99}", fullmatch=True)),
)
TO_CLIENT = st.one_of(
    HEARTBEATS,
    st.builds(Quote, SYMBOLS, PRICES, PRICES, SEQS, STREAMS, st.integers(0, 2**57), PRICES),
    st.builds(Subscribed, SYMBOLS),
    st.builds(Unsubscribed, SYMBOLS),
    st.just(AuthOk()),
    GAPS,
    st.builds(ErrorNotice, CODES, TEXTS),
    st.builds(Goodbye, CODES, st.floats(0, 1e300)),
)
CONVERSATIONS = st.one_of(
    st.tuples(st.just("server"), st.lists(TO_SERVER, max_size=8)),
    st.tuples(st.just("client"), st.lists(TO_CLIENT, max_size=8)),
)


def decode(role: Role, *pieces: bytes) -> list[Message]:
    decoder = LineDecoder(role=role)
    return [message for piece in pieces for message in decoder.receive_data(piece)]


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(CONVERSATIONS, st.data())
def test_every_message_survives_any_cut(conversation: tuple[Role, list[Message]], data: st.DataObject) -> None:
    """What one side encodes the other decodes, whole, byte by byte, or cut anywhere."""
    role, messages = conversation
    wire = b"".join(map(encode_line, messages))
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=8))

    assert messages == decode(role, wire)
    assert messages == decode(role, *cut(wire, cuts))
    assert messages == decode(role, *(wire[i : i + 1] for i in range(len(wire))))
    assert messages == decode(role, wire.replace(b"\n", b"\r\n"))


@given(
    st.sampled_from(["client", "server"]), st.lists(st.binary(max_size=40) | st.sampled_from([b"\n", b"PONG", b"QUOTE:{"]))
)
def test_arbitrary_bytes_give_the_same_messages_for_any_cut(role: Role, pieces: list[bytes]) -> None:
    """Garbage raises nothing, and neither does it matter how it is cut."""
    wire = b"".join(pieces)
    messages = decode(role, *pieces)

    assert messages == decode(role, wire)
    assert messages == decode(role, *(wire[i : i + 1] for i in range(len(wire))))


@given(st.lists(st.binary(max_size=20), max_size=30), st.integers(1, 25))
def test_memory_is_bounded_by_one_line(pieces: list[bytes], max_line: int) -> None:
    """Nothing longer than a line is kept, and after the first line that is too long nothing at all."""
    decoder = LineDecoder(role="server", max_line=max_line)
    for piece in pieces:
        messages = decoder.receive_data(piece)

        assert decoder.buffered <= max_line
        assert not decoder.is_failed or decoder.buffered == 0
        assert not decoder.is_failed or not messages or isinstance(messages[-1], Invalid)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"PING", Ping()),
        (b"  PING  ", Ping()),
        (b"PING\r", Ping()),
        (b"\tPING \t", Ping()),
        (b"PING x7", Ping(b"x7")),
        (b"PING " + b"x" * 64, Ping(b"x" * 64)),
        (b"PING " + b"x" * 65, Invalid("bad_message", "a nonce is 1 to 64 printable ASCII characters without blanks")),
        (b"PING a b", Invalid("bad_message", "a nonce is 1 to 64 printable ASCII characters without blanks")),
        (b"PING  x", Invalid("bad_message", "a nonce is 1 to 64 printable ASCII characters without blanks")),
        (b"PING\0", Invalid("unknown_command", "unknown command 'PING\\\\x00'")),
        ("PING é".encode(), Invalid("bad_message", "a nonce is 1 to 64 printable ASCII characters without blanks")),
        (b"PONG", Pong()),
        (b"PONG x7", Pong(b"x7")),
        (b"ping", Invalid("unknown_command", "unknown command 'ping'")),
        (b"PINGX", Invalid("unknown_command", "unknown command 'PINGX'")),
        (b"", Invalid("unknown_command", "unknown command ''")),
        (b"HELLO world", Invalid("unknown_command", "unknown command 'HELLO'")),
        (b'ORDER:{"a":1}', Invalid("bad_message", "ORDER: Object missing required field `id`")),
        (b'QUOTE:{"a":1}', Invalid("unknown_command", "unknown command 'QUOTE'")),
        (b"auth:secret", Invalid("unknown_command", "unknown command 'auth'")),
        (b"AUTH secret", Invalid("unknown_command", "unknown command 'AUTH'")),
        (b"AUTH:", Invalid("bad_message", "AUTH: a token is 1 to 1024 printable ASCII characters without blanks")),
        (b"AUTH:a b", Invalid("bad_message", "AUTH: a token is 1 to 1024 printable ASCII characters without blanks")),
        (b"AUTH:s3cret:x", Auth("s3cret:x")),
        (b"SUBSCRIBE", Invalid("unknown_command", "unknown command 'SUBSCRIBE'")),
        (b"SUBSCRIBE:BTC", Subscribe("BTC")),
        (b" SUBSCRIBE:BTC ", Subscribe("BTC")),
        (b"SUBSCRIBE:", Invalid("bad_message", "SUBSCRIBE: a symbol is 1 to 64 of A-Z a-z 0-9 . _ - /")),
        (b"SUBSCRIBE: BTC", Invalid("bad_message", "SUBSCRIBE: a symbol is 1 to 64 of A-Z a-z 0-9 . _ - /")),
        (b"SUBSCRIBE:BTC:s:41", Subscribe("BTC", Resume("s", 41))),
        (b"SUBSCRIBE:BTC:s:0", Subscribe("BTC", Resume("s", 0))),
        (b"SUBSCRIBE:BTC:s", Invalid("bad_message", "SUBSCRIBE: expected <symbol> or <symbol>:<stream>:<seq>")),
        (b"SUBSCRIBE:BTC:s:1:2", Invalid("bad_message", "SUBSCRIBE: expected <symbol> or <symbol>:<stream>:<seq>")),
        (b"SUBSCRIBE:BTC:s.t:1", Invalid("bad_message", "SUBSCRIBE: a stream is 1 to 32 of A-Z a-z 0-9 -")),
        (b"SUBSCRIBE:BTC:s:", Invalid("bad_message", "SUBSCRIBE: a sequence number has 1 to 19 digits")),
        (b"SUBSCRIBE:BTC:s:-1", Invalid("bad_message", "SUBSCRIBE: a sequence number has 1 to 19 digits")),
        (b"SUBSCRIBE:BTC:s:1_0", Invalid("bad_message", "SUBSCRIBE: a sequence number has 1 to 19 digits")),
        ("SUBSCRIBE:BTC:s:٣".encode(), Invalid("bad_message", "SUBSCRIBE: a sequence number has 1 to 19 digits")),
        (b"SUBSCRIBE:BTC:s:" + b"1" * 20, Invalid("bad_message", "SUBSCRIBE: a sequence number has 1 to 19 digits")),
        (
            b"SUBSCRIBE:BTC:s:9223372036854775808",
            Invalid("bad_message", "SUBSCRIBE: a sequence number here is from 0 to 9223372036854775807"),
        ),
        (b"UNSUBSCRIBE:BTC", Unsubscribe("BTC")),
        (b"UNSUBSCRIBE:B T", Invalid("bad_message", "UNSUBSCRIBE: a symbol is 1 to 64 of A-Z a-z 0-9 . _ - /")),
    ],
)
def test_what_a_server_reads(line: bytes, message: Message) -> None:
    assert [message] == decode("server", line + b"\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"PONG", Pong()),
        (b"PONG x7", Pong(b"x7")),
        (b"PING x7", Ping(b"x7")),
        (b"SUBSCRIBED:BTC", Subscribed("BTC")),
        (b"SUBSCRIBED:B T", Invalid("bad_message", "SUBSCRIBED: a symbol is 1 to 64 of A-Z a-z 0-9 . _ - /")),
        (b"UNSUBSCRIBED:BTC", Unsubscribed("BTC")),
        (b'QUOTE:{"symbol":"BTCUSD","bid":1.5,"ask":null,"seq":3,"stream":"s-1","ts":12345}\r', QUOTE),
        (b' QUOTE: {"ts":12345,"symbol":"BTCUSD","bid":1.5,"ask":null,"seq":3,"stream":"s-1"}', QUOTE),
        (b"QUOTE:", Invalid("bad_message", "quote: Input data was truncated")),
        (b"GAP:BTC:s:2:5", GapNotice("BTC", "s", 2, 5)),
        (b"GAP:BTC:s:2:2", GapNotice("BTC", "s", 2, 2)),
        (b"GAP:BTC:s:2:", GapNotice("BTC", "s", 2, None)),
        (b"GAP:BTC:s:2", Invalid("bad_message", "GAP: expected <symbol>:<stream>:<first>:<last>")),
        (b"GAP:BTC:s:0:5", Invalid("bad_message", "GAP: a sequence number here is from 1 to 9223372036854775807")),
        (b"GAP:BTC:s:3:2", Invalid("bad_message", "GAP: a sequence number here is from 3 to 9223372036854775807")),
        (b"ERROR:bad_message:what: that", ErrorNotice("bad_message", "what: that")),
        (b"ERROR:bad_message", ErrorNotice("bad_message", "")),
        (b"ERROR:x:\x1b[2J\xe2\x80\xae", ErrorNotice("x", r"\x1b[2J\u202e")),
        (b"ERROR:Oh no", Invalid("bad_message", "ERROR: a code is 1 to 64 of a-z _")),
        (b"GOODBYE:restart:2.5", Goodbye("restart", 2.5)),
        (b"GOODBYE:restart:1e-05", Goodbye("restart", 1e-05)),
        (b"GOODBYE:restart:1e999", Invalid("bad_message", "GOODBYE: a duration is a finite number of seconds, 0 or more")),
        (b"GOODBYE:restart:nan", Invalid("bad_message", "GOODBYE: expected <reason>:<retry_after seconds>")),
        (b"GOODBYE:restart:-1", Invalid("bad_message", "GOODBYE: expected <reason>:<retry_after seconds>")),
        (b"GOODBYE:restart", Invalid("bad_message", "GOODBYE: expected <reason>:<retry_after seconds>")),
        (b"GOODBYE:RE:1", Invalid("bad_message", "GOODBYE: a code is 1 to 64 of a-z _")),
        (b"AUTH:ok", AuthOk()),
        (b"AUTH:no", Invalid("bad_message", "AUTH: expected ok")),
        (b"ORDER_ACK:{}", Invalid("bad_message", "ORDER_ACK: Object missing required field `id`")),
        (b"NEWS:\x07", Unknown(r"NEWS:\x07")),
        (b"SUBSCRIBE:BTC", Unknown("SUBSCRIBE:BTC")),
        (b"", Unknown("")),
    ],
)
def test_what_a_client_reads(line: bytes, message: Message) -> None:
    assert [message] == decode("client", line + b"\n")


def test_two_pings_in_one_read_and_one_in_two() -> None:
    """A read is no message: what the tutorial's programs took for one."""
    assert [Ping(), Ping()] == decode("server", b"PING\nPING\n")
    assert [Ping()] == decode("server", b"PI", b"NG\n")
    assert [] == decode("server", b"PING")


@pytest.mark.parametrize("pieces", [[b"x" * 5000], [b"x" * 5000 + b"\n"], [b"x" * 4096, b"x"], [b"x" * 4096, b"x\n"]])
def test_a_line_too_long_ends_it(pieces: list[bytes]) -> None:
    """Lines before it count, it is told once, and what comes after it is ignored."""
    decoder = LineDecoder(role="server")
    messages = [message for piece in [b"PING\n", *pieces, b"\nPING\n"] for message in decoder.receive_data(piece)]

    assert [Ping(), Invalid("line_too_long", "a line has at most 4096 bytes")] == messages
    assert decoder.is_failed
    assert 0 == decoder.buffered
    assert not decoder.has_partial_data


def test_a_line_of_just_the_limit_is_read() -> None:
    """4096 bytes and their LF, also beside a line of other scripts."""
    line = b"SUBSCRIBE:" + b"x" * 4086

    assert 4096 == len(line)
    assert ["bad_message"] == [message.code for message in decode("server", line + b"\n") if isinstance(message, Invalid)]
    assert ["é", "é"] == [m.text for m in decode("client", "é\n".encode() * 2) if isinstance(m, Unknown)]


@pytest.mark.parametrize("wire", [b"PING\nSUBSCRIBE:\xff\xfe\nPING\n", b"PING\nSUBSCRIBE:\xe2\x82\nPING\n"])
def test_invalid_utf8_ends_it(wire: bytes) -> None:
    decoder = LineDecoder(role="server")

    assert [Ping(), Invalid("bad_encoding", "a line must be UTF-8")] == decoder.receive_data(wire)
    assert decoder.is_failed
    assert [] == decoder.receive_data(b"PING\n")


def test_a_character_cut_in_two_is_no_fault() -> None:
    decoder = LineDecoder(role="client")

    assert [] == decoder.receive_data("ERROR:x:é".encode()[:-1])
    assert [ErrorNotice("x", "é")] == decoder.receive_data("é\n".encode()[1:])


@pytest.mark.parametrize(
    ("rest", "is_sign_of_life"),
    [
        (b"", False),
        (b" \r", False),
        (b"P", False),
        (b"PONG", False),
        (b" PONG\r", False),
        (b"PONG 123", False),
        (b"PI", True),
        (b"PONGS", True),
        (b"Q", True),
        (b'QUOTE:{"s', True),
    ],
)
def test_the_beginning_of_a_pong_is_no_sign_of_life(rest: bytes, is_sign_of_life: bool) -> None:
    decoder = LineDecoder(role="client")
    decoder.receive_data(b"PONG\n" + rest)

    assert is_sign_of_life == decoder.has_partial_data
    assert len(rest) == decoder.buffered


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (Ping(), b"PING\n"),
        (Pong(b"x7"), b"PONG x7\n"),
        (QUOTE, b'QUOTE:{"symbol":"BTCUSD","bid":1.5,"ask":null,"seq":3,"stream":"s-1","ts":12345}\n'),
        (Subscribe("A"), b"SUBSCRIBE:A\n"),
        (Subscribe("A", Resume("s", 0)), b"SUBSCRIBE:A:s:0\n"),
        (Subscribed("A"), b"SUBSCRIBED:A\n"),
        (Unsubscribe("A"), b"UNSUBSCRIBE:A\n"),
        (Unsubscribed("A"), b"UNSUBSCRIBED:A\n"),
        (GapNotice("A", "s", 2, 3), b"GAP:A:s:2:3\n"),
        (ErrorNotice("bad_message", "what: é"), "ERROR:bad_message:what: é\n".encode()),
        (Auth("s3cret"), b"AUTH:s3cret\n"),
        (GapNotice("A", "s", 2, None), b"GAP:A:s:2:\n"),
        (Goodbye("restart", 2), b"GOODBYE:restart:2.0\n"),
        (AuthOk(), b"AUTH:ok\n"),
    ],
)
def test_lines_as_they_are_sent(message: Message, line: bytes) -> None:
    assert line == encode_line(message)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Ping(b"a b"), "a nonce is 1 to 64"),
        (Ping(b"x" * 65), "a nonce is 1 to 64"),
        (Pong(b"", b"7"), "it belongs to WebSocket"),
        (Ping(is_control=True), "it belongs to WebSocket"),
        (Subscribe("A B"), "a symbol is"),
        (Subscribe("A\nPING"), "a symbol is"),
        (Subscribe("A", Resume("s", -1)), "a sequence number here"),
        (Subscribe("A", Resume("s:", 1)), "a stream is"),
        (Subscribed(""), "a symbol is"),
        (Unsubscribe(""), "a symbol is"),
        (Unsubscribed(""), "a symbol is"),
        (Auth("a\nb"), "a token is"),
        (GapNotice("A", "s", 0, 1), "a sequence number here"),
        (GapNotice("A", "s", 2, 1), "a sequence number here"),
        (ErrorNotice("Bad", "x"), "a code is"),
        (ErrorNotice("bad", "a\nb"), "no line breaks"),
        (ErrorNotice("bad", "a\rb"), "no line breaks"),
        (ErrorNotice("bad", "\ud800"), "surrogates not allowed"),
        (ErrorNotice("bad", "x" * 4086), "this ErrorNotice has 4097"),
        (Goodbye("restart", math.inf), "a duration is"),
        (Goodbye("Restart", 1), "a code is"),
        (Quote("A", math.nan, None, 1, "s", 1), "a price is"),
        (Quote("A", 1.0, None, 1, "s", -1), "ts is"),
        (Invalid("a", "b"), "cannot carry Invalid"),
        (Unknown("PING"), "cannot carry Unknown"),
    ],
)
def test_what_a_line_cannot_carry(message: Message, why: str) -> None:
    """It is refused here, before the peer could take it for something else."""
    with pytest.raises(LocalProtocolError, match=why):
        encode_line(message)


def test_the_longest_line_is_sent() -> None:
    """Its LF counts, so that stricter readers take it too."""
    assert MAX_LINE == len(encode_line(ErrorNotice("bad", "x" * 4085)))


def test_a_token_never_shows() -> None:
    messages = decode("server", b"AUTH:s3cret\nAUTH:s3 cret\nauth s3cret\n")

    assert "cret" not in repr(messages)
