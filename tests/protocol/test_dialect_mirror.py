"""The venue's side of a dialect: what it sends byte for byte, what it accepts, and when it drops a client."""

from __future__ import annotations

import gzip
from math import inf

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat_trio.dialects import builtin_dialects
from heartbeat_trio.protocol.dialect_codec import DialectCodec
from heartbeat_trio.protocol.dialect_mirror import MAX_UNANSWERED, DialectMirror, Frame
from heartbeat_trio.protocol.dialect_record import Dialect
from heartbeat_trio.protocol.messages import Ping, Pong, Subscribe, Subscribed, Unsubscribe, Unsubscribed, Welcome
from heartbeat_trio.protocol.spelling import canonical_symbol

DIALECTS = builtin_dialects()
NOW = 1_700_000_000.25
NAMES = sorted(name for name, each in DIALECTS.items() if each.transport == "websocket" and each.speakable)


def mirror(name: str, *, now: float = 0.0, pong: int = 0, phase: float = 1.0, **parameters: str | float) -> DialectMirror:
    return DialectMirror(DIALECTS[name], now=now, unix_time=lambda: NOW, pong=pong, phase=phase, parameters=parameters)


def text(data: bytes) -> Frame:
    return Frame("text", data)


def run_until(venue: DialectMirror, now: float) -> list[tuple[float, Frame]]:
    sent: list[tuple[float, Frame]] = []
    while venue.next_deadline() <= now:
        at = venue.next_deadline()
        sent += [(at, frame) for frame in venue.handle_timer(at)]
    return sent


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ops"])  # which is spoken by a module of its own
def test_client_and_venue_understand_each_other(name: str) -> None:
    """Whatever one says the other knows: pings, pongs, pings of the venue's, subscriptions and their acknowledgements."""
    dialect = DIALECTS[name]
    venue, codec = mirror(name), DialectCodec(dialect, unix_time=lambda: NOW)

    def heard(frames: list[Frame]) -> list[object]:
        texts = [frame.payload if frame.kind == "text" else codec.unpack(frame.payload) for frame in frames]
        return [message for each in texts if isinstance(each, bytes) for message in codec.decode_text(each)]

    assert [Welcome] * bool(dialect.opening.welcome) == [*map(type, heard(venue.greet()))]
    for opening in codec.opening():
        venue.receive(text(opening), 0.0)
    for nonce in (b"00c0ffee", b"00000001"):
        ping = codec.encode_ping(nonce)
        if ping is not None:
            has_id = dialect.probe is not None and "$id" in dialect.probe.ping
            assert [Pong(nonce if has_id else b"")] == heard(venue.receive(text(ping), 0.0))
    if dialect.subscriptions is not None:
        symbol = canonical_symbol(dialect, "BTCUSD")
        answers = heard(venue.receive(text(codec.encode(Subscribe("BTCUSD"))), 0.0))
        assert [Subscribed(symbol)] * bool(dialect.subscriptions.acks) == answers
        assert ["BTCUSD"] == [each.upper() for each in venue.subscribed]
        bye = codec.encode(Unsubscribe("BTCUSD"))
        if bye and dialect.subscriptions.unsubscribe_acks:
            assert [Unsubscribed(symbol)] == heard(venue.receive(text(bye), 0.0))
            assert [] == venue.subscribed
    while (at := venue.next_deadline()) <= 40.0:
        frames = venue.handle_timer(at)
        pings = [message for message in heard([each for each in frames if each.kind != "ping"]) if isinstance(message, Ping)]
        for answer in [text(codec.encode(Pong(token=ping.token))) for ping in pings]:
            venue.receive(answer, at)
        for payload in [frame.payload for frame in frames if frame.kind == "ping"]:
            venue.receive(Frame("pong", payload), at)
    assert [] == venue.unknown
    assert venue.unanswered == 0
    assert (venue.answered > 0) is any(ping.period and ping.period <= 40 for ping in dialect.server_pings)


def test_what_venues_send_byte_for_byte() -> None:
    """As their pages write it."""
    assert [(5.0, Frame("binary", gzip.compress(b'{"ping":1700000000250}', 1, mtime=0)))] == run_until(
        mirror("htx-spot"), 5.0
    )
    asked = text(b'{"id":1700000000250,"method":"public/heartbeat","code":0}')
    assert [asked] == [frame for _, frame in run_until(mirror("crypto-com"), 30.0) if frame.kind == "text"]
    venue = mirror("deribit")
    assert inf == venue.next_deadline()
    opening = b'{"jsonrpc":"2.0","id":1,"method":"public/set_heartbeat","params":{"interval":30}}'
    venue.receive(text(opening), 1.0)
    request = text(b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}')
    beat = text(b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}')
    assert [(31.0, request), (31.0, beat)] == run_until(venue, 31.0)
    bybit = b'{"op":"ping","req_id":"00c0ffee"}'
    linear, private, spot, option = (mirror("bybit-v5", pong=pong).receive(text(bybit), 0.0)[0].payload for pong in range(4))
    assert linear.startswith(b'{"success":true,"ret_msg":"pong","conn_id":')
    assert linear.endswith(b',"req_id":"00c0ffee","op":"ping"}')
    assert private.startswith(b'{"req_id":"00c0ffee","op":"pong","args":[')
    assert b"00c0ffee" not in spot + option
    assert [text(b"pong")] == mirror("okx-v5").receive(text(b"ping"), 0.0)
    assert [] == mirror("okx-v5").receive(text(b'"ping"'), 0.0)
    stamp = b'{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}'
    assert [text(stamp)] == mirror("bitstamp").receive(text(b'{"event":"bts:heartbeat"}'), 0.0)


SILENT = {
    "binance-spot": (60.0, b""),
    "bybit-v5": (600.0, b""),
    "okx-v5": (30.0, b""),
    "kraken-v2": (60.0, b""),
    "coinbase-exchange": (5.0, b""),
    "bitget": (120.0, b""),
    "hyperliquid": (60.0, b""),
    "htx-spot": (15.0, b""),  # pings at 5 and 10, each with 5 s for its answer
    "crypto-com": (95.0, b""),  # the third one at 90 s
    "dydx-v4": (40.0, b""),
    "mexc-spot": (30.0, b""),
}


@pytest.mark.parametrize("name", SILENT)
def test_a_client_that_says_nothing_is_dropped(name: str) -> None:
    """When the venue's own clock has run out, and not before; afterwards nothing happens any more."""
    at, code = SILENT[name]
    venue = mirror(name)

    sent = run_until(venue, 1000.0)
    assert (at, Frame("close", code)) == sent[-1]
    assert inf == venue.next_deadline()
    assert [] == venue.handle_timer(2000.0)
    assert [] == venue.receive(text(b"ping"), 2000.0)


def test_what_sets_the_clock_back() -> None:
    """Binance wants its own payload back, bitget its text, hyperliquid counts what it sent itself, others anything."""
    binance, futures = mirror("binance-spot"), mirror("binance-futures")
    [(_, ping)] = run_until(binance, 20.0)
    binance.receive(Frame("pong", b"unsolicited"), 21.0)
    binance.receive(Frame("ping", b"x"), 22.0)
    assert (60.0, Frame("close", b"")) == run_until(binance, 60.0)[-1]
    futures.receive(Frame("pong", b"unsolicited"), 100.0)
    assert 700.0 == next(at for at, frame in run_until(futures, 1000.0) if frame.kind == "close")
    binance = mirror("binance-spot")
    run_until(binance, 20.0)
    binance.receive(Frame("pong", ping.payload), 21.0)
    assert 81.0 == next(at for at, frame in run_until(binance, 100.0) if frame.kind == "close")

    bitget, hyper, kraken = mirror("bitget"), mirror("hyperliquid"), mirror("kraken-v2")
    for venue in (bitget, hyper, kraken):
        venue.receive(text(b'{"something":"else"}'), 10.0)
        assert [b'{"something":"else"}'] == venue.unknown
    assert (120.0, 60.0, 70.0) == (bitget.next_deadline(), hyper.next_deadline(), kraken.next_deadline())
    bitget.receive(text(b"ping"), 20.0)
    hyper.push(b"{}", 30.0)
    assert (140.0, 90.0) == (bitget.next_deadline(), hyper.next_deadline())
    hyper.receive(text(b'{"method":"ping"}'), 40.0)
    assert 100.0 == hyper.next_deadline()
    upbit = mirror("upbit")
    upbit.receive(Frame("ping", b""), 50.0)
    assert 110.0 == upbit.next_deadline()


def test_one_answer_of_two_is_enough_for_htx() -> None:
    """The wrong number, or the right one as a text, is none."""
    venue = mirror("htx-spot")
    run_until(venue, 10.0)
    venue.receive(text(b'{"pong":1}'), 10.0)
    venue.receive(text(b'{"pong":"1700000000250"}'), 10.0)
    assert (0, 2) == (venue.answered, len(venue.unknown))
    venue.receive(text(b'{"pong":1700000000250}'), 11.0)
    assert 1 == venue.answered
    assert [15.0] == [at for at, _ in run_until(venue, 16.0)]


def test_deribit_takes_any_request_for_an_answer_and_says_its_own() -> None:
    """A public/test gets its result; a test_request without any request closes with 4000."""
    venue = mirror("deribit", beat_interval=10)
    venue.receive(text(b'{"jsonrpc":"2.0","id":1,"method":"public/set_heartbeat","params":{"interval":10}}'), 0.0)
    assert [10.0, 10.0] == [at for at, _ in run_until(venue, 10.0)]
    [result] = venue.receive(text(b'{"jsonrpc":"2.0","id":7,"method":"public/test","params":{}}'), 11.0)
    assert result.payload.startswith(b'{"jsonrpc":"2.0","id":7,"result":{"version":')
    run_until(venue, 20.0)
    venue.receive(text(b'{"jsonrpc":"2.0","id":8,"method":"public/hello"}'), 21.0)
    assert 0 == venue.unanswered
    assert (60.0, Frame("close", b"4000")) == run_until(venue, 100.0)[-1]


def test_limits() -> None:
    """A sixth message in a second, pings included, ends a connection to Binance; 513 bytes one to Bitstamp; a day any."""
    binance = mirror("binance-spot")
    for _ in range(5):
        assert [Frame("pong", b"p")] == binance.receive(Frame("ping", b"p"), 1.0)
    assert [Frame("close", b"1008")] == binance.receive(text(b"{}"), 1.9)
    bitmex = mirror("bitmex")
    assert [] != bitmex.receive(Frame("ping", b"p"), 1.0)
    bitstamp = mirror("bitstamp")
    assert [] == bitstamp.receive(text(b"x" * 512), 0.0)
    assert [Frame("close", b"1009")] == bitstamp.receive(text(b"x" * 513), 0.0)
    dydx = mirror("dydx-v4")
    for number in range(2):
        ask = b'{"type":"subscribe","channel":"v4_trades","id":"S%d","batched":false}' % number
        assert [] != dydx.receive(text(ask), 1.0)
    assert [Frame("close", b"1008")] == dydx.receive(text(ask), 1.5)
    old = mirror("bitget")
    for minute in range(1440):
        assert [text(b"pong")] == old.receive(text(b"ping"), 60.0 * minute)
        assert [] == run_until(old, 60.0 * minute)
    assert [(86_400.0, Frame("close", b""))] == run_until(old, 86_400.0)


def test_switches_and_memory() -> None:
    """A venue that falls silent, or deaf; and one whose client never answers remembers a bounded number of pings."""
    venue = mirror("dydx-v4")
    venue.pings_clients = venue.answers_pings = False
    assert [] == run_until(venue, 200.0)
    assert [] == venue.receive(Frame("ping", b""), 200.0)
    bare = mirror("okx-v5")
    bare.answers_pings = False
    assert [] == bare.receive(text(b"ping"), 0.0)
    assert 1 == bare.pings_received
    patient = msgspec.convert(
        {"name": "p", "title": "P", "server_pings": [{"level": "control", "period": 1}], "server_clock": {"unanswered": 3}},
        Dialect,
    )
    waiting = DialectMirror(patient, now=0.0, unix_time=lambda: NOW)
    assert 200 == len(run_until(waiting, 200.0))
    waiting.receive(Frame("pong", b"1"), 201.0)
    assert 0 == waiting.answered
    waiting.receive(Frame("pong", str(200 - MAX_UNANSWERED + 5).encode()), 201.0)
    assert 1 == waiting.answered
    assert "answered=1" in repr(waiting)


def test_the_first_ping_comes_when_the_phase_says() -> None:
    """So that simulated venues do not beat in step."""
    assert [1.25] == [at for at, _ in run_until(mirror("htx-spot", phase=0.25), 6.0)]


def test_crypto_com_wants_its_heartbeat_answered_not_its_control_frames() -> None:
    """Pongs of a machine in between do not keep the connection."""
    venue = mirror("crypto-com")
    while not (sent := [frame for _, frame in run_until(venue, venue.next_deadline())]) or sent[-1].kind != "close":
        for frame in sent:
            if frame.kind == "ping":
                venue.receive(Frame("pong", frame.payload), 0.0)
    assert 0 == venue.answered


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20)
@given(data=st.binary(max_size=60))
def test_nothing_that_a_client_sends_makes_it_raise(name: str, data: bytes) -> None:
    """It is a test's tool, but the client under test may be broken."""
    venue = mirror(name)
    frames = [text(data), text(b"{" + data), text(b"[" * 2000), Frame("ping", data), Frame("pong", data)]
    answers = [each for frame in [*frames, text(b'{"ping":{}}')] for each in venue.receive(frame, 0.0)]

    assert {each.kind for each in answers} <= {"text", "binary", "pong", "close"}
    assert 0 == venue.answered  # nothing of it was a pong to a ping
