"""What the package says of each venue, held against facts that are written down here once more, by hand.

The expectations come from the venues' own pages (each dialect names its sources), not from the file under test.
"""

from __future__ import annotations

import gzip
import json
from typing import NamedTuple

import msgspec
import pytest

from heartbeat_trio.config import BeatPolicy, HeartbeatPolicy
from heartbeat_trio.dialects import builtin_dialects
from heartbeat_trio.exceptions import ConfigError, LocalProtocolError
from heartbeat_trio.policies import VenueLimits
from heartbeat_trio.protocol.codec import decode_message
from heartbeat_trio.protocol.dialect_codec import DialectCodec
from heartbeat_trio.protocol.dialect_record import Dialect
from heartbeat_trio.protocol.dialect_schedule import (
    MEASURED,
    beat_policy,
    has_nonces,
    heartbeat_policy,
    merge_policy,
    request_pacer,
    venue_limits,
)
from heartbeat_trio.protocol.messages import (
    UNMATCHED,
    Beat,
    ErrorNotice,
    Message,
    Notice,
    Ping,
    Pong,
    Subscribe,
    SubscribeAll,
    Subscribed,
    Unknown,
    Unsubscribe,
    Unsubscribed,
    Welcome,
)
from heartbeat_trio.protocol.spelling import canonical_symbol

NOW = 1_700_000_000.25
NONCE = b"00c0ffee"
NUMBER = 0x00C0FFEE
DIALECTS = builtin_dialects()


def codec(name: str, **parameters: str | float) -> DialectCodec:
    return DialectCodec(DIALECTS[name], parameters=parameters, unix_time=lambda: NOW)


def read(speaker: DialectCodec, text: str) -> list[Message]:
    return decode_message(speaker, text.encode(), is_text=True)


class Asked(NamedTuple):
    """Our ping, byte for byte; the venue's pongs to it; and pongs that must not match it."""

    ping: bytes
    pongs: list[str]
    strangers: tuple[str, ...] = ()
    has_id: bool = True


STATUS_PONG = '{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}'

ASKED = {
    "bybit-v5": Asked(
        b'{"op":"ping","req_id":"00c0ffee"}',
        [
            '{"success":true,"ret_msg":"pong","conn_id":"0970e817","req_id":"00c0ffee","op":"ping"}',
            '{"req_id":"00c0ffee","op":"pong","args":["1675418560633"],"conn_id":"cfcb4ocsvfriu23r3er0-1b"}',
        ],
        (
            '{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"","op":"ping"}',
            '{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"00C0FFEE","op":"ping"}',
            '{"success":true,"ret_msg":"pong","conn_id":"x","req_id":12648430,"op":"ping"}',
            '{"success":true,"ret_msg":"pong","conn_id":"x","req_id":["00c0ffee"],"op":"ping"}',
            '{"req_id":null,"op":"pong","args":["1"],"conn_id":"y"}',
        ),
    ),
    "okx-v5": Asked(b"ping", ["pong"], has_id=False),
    "kraken-v1": Asked(
        b'{"event":"ping","reqid":12648430}',
        ['{"event":"pong","reqid":12648430}', '{"reqid": 12648430, "event": "pong"}'],
        (
            '{"event":"pong","reqid":"12648430"}',
            '{"event":"pong","reqid":12648430.0}',
            '{"event":"pong","reqid":true}',
        ),
    ),
    "kraken-v2": Asked(
        b'{"method":"ping","req_id":12648430}',
        ['{"method":"pong","req_id":12648430,"time_in":"2023-09-24T14:10:23.79Z","time_out":"2023-09-24T14:10:23.79Z"}'],
        (
            '{"method":"pong","req_id":-12648430}',
            '{"method":"pong","req_id":99999999999999999999999}',
        ),
    ),
    "bitfinex": Asked(
        b'{"event":"ping","cid":12648430}',
        ['{"event":"pong","ts":1511545528111,"cid":12648430}'],
        ('{"event":"pong","ts":1511545528111,"cid":"12648430"}',),
    ),
    "kucoin-classic": Asked(
        b'{"id":"00c0ffee","type":"ping"}',
        ['{"id":"00c0ffee","type":"pong"}'],
        (
            '{"id":"00c0ffe","type":"pong"}',
            '{"id":"00C0FFEE","type":"pong"}',
            '{"id":12648430,"type":"pong"}',
        ),
    ),
    "kucoin-uta": Asked(
        b'{"id":"00c0ffee","type":"ping"}',
        ['{"type":"pong","id":"00c0ffee","ts":1757000000000000000}'],
        ('{"type":"pong","id":"p32","ts":1}',),
    ),
    "gate-v4": Asked(
        b'{"time":1700000000,"channel":"spot.ping"}',
        ['{"time":1700000000,"channel":"spot.pong","event":"","error":null,"result":null}'],
        has_id=False,
    ),
    "bitmex": Asked(b"ping", ["pong"], has_id=False),
    "hyperliquid": Asked(b'{"method":"ping"}', ['{"channel":"pong"}'], has_id=False),
    "bitstamp": Asked(b'{"event":"bts:heartbeat"}', [STATUS_PONG], has_id=False),
    "mexc-spot": Asked(b'{"method":"PING"}', ['{"id":0,"code":0,"msg":"PONG"}'], has_id=False),
    "bitget": Asked(b"ping", ["pong"], has_id=False),
}

BY_CONTROL_FRAME = {"binance-spot", "binance-futures", "upbit", "dydx-v4", "rfc6455"}
NOT_AT_ALL = {"coinbase-exchange", "coinbase-advanced", "deribit", "htx-spot", "gemini-v2", "crypto-com"}


@pytest.mark.parametrize("name", ASKED)
def test_our_ping_is_the_venues_byte_for_byte_and_its_pongs_are_known(name: str) -> None:
    """A pong with our id gives our nonce back, one of a venue without ids gives none, and a strange id matches nothing."""
    asked = ASKED[name]

    assert codec(name).encode_ping(NONCE) == asked.ping
    for pong in asked.pongs:
        assert [Pong(NONCE if asked.has_id else b"")] == read(codec(name), pong)
    for pong in asked.strangers:
        [answer] = read(codec(name), pong)
        assert isinstance(answer, Pong)
        assert answer.nonce not in (NONCE, b"")


@pytest.mark.parametrize("name", sorted(BY_CONTROL_FRAME | NOT_AT_ALL))
def test_where_there_is_no_text_ping_a_control_frame_is_sent(name: str) -> None:
    """To venues that have no ping of their own, too, every 20 s, unless their record forbids it."""
    assert codec(name).encode_ping(NONCE) is None
    policy = heartbeat_policy(DIALECTS[name])
    assert "every" == policy.schedule
    assert (policy == MEASURED) is (name in NOT_AT_ALL)
    forbidding = msgspec.structs.replace(DIALECTS[name], pingable=False)
    assert ("never" if name in NOT_AT_ALL else "every") == heartbeat_policy(forbidding).schedule
    assert "every" == heartbeat_policy(DIALECTS[name], HeartbeatPolicy()).schedule


def test_every_dialect_that_can_be_spoken_is_tested_here() -> None:
    """None is left out, and those that only stand for reference are these."""
    speakable = {name for name, each in DIALECTS.items() if each.speakable and each.transport == "websocket"}
    assert speakable == set(ASKED) | BY_CONTROL_FRAME | NOT_AT_ALL | {"ops"}
    assert {"nats", "phoenix", "engineio4"} == {name for name, each in DIALECTS.items() if not each.speakable}


@pytest.mark.parametrize(
    ("name", "ping", "reply"),
    [
        ("htx-spot", '{"ping":1492420473027}', b'{"pong":1492420473027}'),
        ("htx-spot", '{"ping":"1492420473058"}', b'{"pong":"1492420473058"}'),
        ("htx-spot", '{ "ping" : 1492420473027.500 }', b'{"pong":1492420473027.500}'),
        ("htx-spot", '{"ping":123456789012345678901234567890}', b'{"pong":123456789012345678901234567890}'),
        (
            "crypto-com",
            '{"id":1587523073344,"method":"public/heartbeat","code":0}',
            b'{"id":1587523073344,"method":"public/respond-heartbeat"}',
        ),
    ],
)
def test_a_servers_ping_is_answered_with_what_it_sent_in_the_type_it_sent(name: str, ping: str, reply: bytes) -> None:
    """A number stays a number and a text a text, to the last digit."""
    speaker = codec(name)
    [asked] = read(speaker, ping)

    assert isinstance(asked, Ping)
    assert not asked.is_control
    assert reply == speaker.encode(Pong(asked.nonce, asked.token))


def test_deribits_test_request_is_answered_by_a_request_of_our_own() -> None:
    """Each with an id of its own after that of set_heartbeat; their results are life and nothing else."""
    speaker = codec("deribit")
    request = '{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}'

    assert [b'{"jsonrpc":"2.0","id":1,"method":"public/set_heartbeat","params":{"interval":30}}'] == speaker.opening()
    for number in (2, 3):
        [ping] = read(speaker, request)
        assert isinstance(ping, Ping)
        reply = b'{"jsonrpc":"2.0","id":%d,"method":"public/test","params":{}}' % number
        assert reply == speaker.encode(Pong(token=ping.token))
    assert [Beat(is_scheduled=False)] == read(
        speaker, '{"jsonrpc":"2.0","id":2,"result":{"version":"1.2.26"},"testnet":false}'
    )
    assert [Beat()] == read(speaker, '{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}')
    assert [b'{"jsonrpc":"2.0","id":1,"method":"public/set_heartbeat","params":{"interval":10}}'] == codec(
        "deribit", beat_interval=10
    ).opening()


def test_htx_pings_inside_gzip_and_is_answered_in_plain_text() -> None:
    """Its binary frames are unpacked; what is recorded is the text in them."""
    speaker, raw = codec("htx-spot"), list[bytes]()
    [ping] = decode_message(speaker, gzip.compress(b'{"ping":1492420473027}'), is_text=False, on_raw=raw.append)

    assert isinstance(ping, Ping)
    assert b'{"pong":1492420473027}' == speaker.encode(Pong(token=ping.token))
    assert [b'{"ping":1492420473027}'] == raw


def test_okx_is_pinged_with_a_bare_text_after_idleness_only() -> None:
    """No JSON anywhere near it: a quoted pong is none; 20 to 25 s idle; the verdict comes before its own 30 s."""
    policy = heartbeat_policy(DIALECTS["okx-v5"])

    assert b"ping" == codec("okx-v5").encode_ping(NONCE)
    assert [Pong(b"")] == read(codec("okx-v5"), "pong")
    for stranger in ('"pong"', "PONG", "pong ", "pong\n"):
        assert Pong not in map(type, read(codec("okx-v5"), stranger))
    assert "inbound_idle" == policy.schedule
    assert 20 <= policy.ping_interval <= 25
    assert policy.bound < 30


def test_bybits_pong_says_op_ping() -> None:
    """Without an id on spot and on options; a server's mere echo of our ping is no pong."""
    spot = '{"success":true,"ret_msg":"pong","conn_id":"0970e817-426e-429a-a679-ff7f55e0b16a","op":"ping"}'
    option = '{"args":["1672916271846"],"op":"pong"}'

    assert [Pong(b"")] == read(codec("bybit-v5"), spot)
    assert [Pong(b"")] == read(codec("bybit-v5"), option)
    assert [Unknown] == [*map(type, read(codec("bybit-v5"), '{"op":"ping","req_id":"00c0ffee"}'))]
    assert [Unknown] == [*map(type, read(codec("bybit-v5"), spot.replace("true", "false")))]


def test_bitstamps_pong_has_the_name_of_its_ping() -> None:
    """Its status tells them apart."""
    assert [Unknown] == [*map(type, read(codec("bitstamp"), '{"event":"bts:heartbeat"}'))]
    assert [Unknown] == [*map(type, read(codec("bitstamp"), STATUS_PONG.replace("success", "failure")))]


def test_kucoins_interval_is_the_callers_or_the_welcomes() -> None:
    """18 s by default; what the REST call said comes as a parameter, and what the welcome says is handed on."""
    classic = DIALECTS["kucoin-classic"]

    assert ("negotiated", 18.0) == (heartbeat_policy(classic).schedule, heartbeat_policy(classic).ping_interval)
    assert 50.0 == heartbeat_policy(classic, parameters={"ping_interval": 50}).ping_interval
    assert [Welcome()] == read(codec("kucoin-classic"), '{"id":"hQvf8jkno","type":"welcome"}')
    assert [Welcome(18.0)] == read(codec("kucoin-uta"), '{"sessionId":"s","message":"welcome","pingInterval":18000}')
    for silly in ("0", "-1", "true", "null", '"x"', "1e300", "9" * 30):
        assert [Welcome()] == read(codec("kucoin-uta"), '{"message":"welcome","pingInterval":' + silly + "}")
    for wrong in ("soon", "0", "-1", "nan"):
        with pytest.raises(ConfigError, match="kucoin-classic: ping_interval"):
            heartbeat_policy(classic, parameters={"ping_interval": wrong})


BEATS = {
    "kraken-v1": ('{"event":"heartbeat"}', Beat()),
    "kraken-v2": ('{"channel":"heartbeat"}', Beat()),
    "coinbase-exchange": (
        '{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"2014-11-07T08:19:28.464459Z"}',
        Beat(),
    ),
    "coinbase-advanced": (
        '{"channel":"heartbeats","sequence_num":0,"events":[{"current_time":"2023-06-23","heartbeat_counter":3049}]}',
        Beat(3049),
    ),
    "bitfinex": ('[232949,"hb"]', Beat()),
    "gemini-v2": ('{"type":"heartbeat","timestamp":1624493666869}', Beat()),
    "upbit": ('{"status":"UP"}', Beat(is_scheduled=False)),
    "hyperliquid": ("Websocket connection established.", Beat(is_scheduled=False)),
}


@pytest.mark.parametrize("name", BEATS)
def test_beats_are_life_that_needs_no_answer(name: str) -> None:
    """With their counter where there is one, written as a number or as a text."""
    text, beat = BEATS[name]

    assert [beat] == read(codec(name), text)
    assert [Beat(7)] == read(codec("coinbase-advanced"), '{"channel":"heartbeats","events":[{"heartbeat_counter":"7"}]}')
    for odd in ('"x"', "1.5", '"' + "9" * 30 + '"', "true"):
        text = '{"channel":"heartbeats","events":[{"heartbeat_counter":' + odd + "}]}"
        assert [Beat()] == read(codec("coinbase-advanced"), text)


NOTICES = {
    "binance-spot": ('{"e":"serverShutdown","E":1769000000000}', "rotate"),
    "okx-v5": ('{"event":"notice","code":"64008","msg":"service upgrade","connId":"a4d3ae55"}', "rotate"),
    "bitfinex": ('{"event":"info","code":20051,"msg":"Stopping"}', "rotate"),
    "bitstamp": ('{"event":"bts:request_reconnect","channel":"","data":null}', "rotate"),
}


@pytest.mark.parametrize("name", NOTICES)
def test_a_venue_that_asks_to_be_left_is_understood(name: str) -> None:
    """Before it shuts down, so that another connection can take over."""
    text, action = NOTICES[name]
    [notice] = read(codec(name), text)

    assert isinstance(notice, Notice)
    assert action == notice.action
    assert [Unknown] == [*map(type, read(codec("okx-v5"), text.replace("64008", "64009")))] or name != "okx-v5"


def test_other_notices() -> None:
    """Maintenance ends: everything before it is void. An invalid pong is an error that is told."""
    assert ["resync"] == [
        each.action for each in read(codec("bitfinex"), '{"event":"info","code":20061}') if type(each) is Notice
    ]
    combined = '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}'
    assert ["rotate"] == [each.action for each in read(codec("binance-spot"), combined) if type(each) is Notice]
    refused = '{"status":"error","err-code":"bad-request","err-msg":"invalid ping"}'
    assert [ErrorNotice("venue_error", "refused: invalid ping")] == read(codec("htx-spot"), refused)


SUBSCRIPTIONS = {
    "binance-spot": (
        "BTCUSDT",
        '{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}',
        '{"result":null,"id":1}',
        "trade",
    ),
    "okx-v5": (
        "BTC-USDT",
        '{"op":"subscribe","args":[{"channel":"trades","instId":"BTC-USDT"}]}',
        '{"event":"subscribe","arg":{"channel":"trades","instId":"BTC-USDT"},"connId":"a4d3ae55"}',
        "trades",
    ),
    "kraken-v1": (
        "XBT/USD",
        '{"event":"subscribe","pair":["XBT/USD"],"subscription":{"name":"trade"}}',
        '{"channelID":1,"event":"subscriptionStatus","pair":"XBT/USD","status":"subscribed","subscription":{"name":"trade"}}',
        "trade",
    ),
    "deribit": (
        "BTC-PERPETUAL",
        '{"jsonrpc":"2.0","id":1,"method":"public/subscribe","params":{"channels":["trades.BTC-PERPETUAL.100ms"]}}',
        '{"jsonrpc":"2.0","id":1,"result":["trades.BTC-PERPETUAL.100ms"]}',
        "trades",
    ),
    "bitfinex": (
        "tBTCUSD",
        '{"event":"subscribe","channel":"trades","symbol":"tBTCUSD"}',
        '{"event":"subscribed","channel":"trades","chanId":232949,"symbol":"tBTCUSD","pair":"BTCUSD"}',
        "trades",
    ),
    "gate-v4": (
        "BTC_USDT",
        '{"time":1700000000,"channel":"spot.trades","event":"subscribe","payload":["BTC_USDT"]}',
        '{"time":1619093532,"channel":"spot.trades","event":"subscribe","result":{"status":"success"}}',
        "trades",
    ),
    "htx-spot": (
        "BTCUSDT",
        '{"sub":"market.btcusdt.trade.detail","id":"r1"}',
        '{"id":"r1","status":"ok","subbed":"market.btcusdt.trade.detail","ts":1489474081631}',
        "trade.detail",
    ),
    "bitstamp": (
        "BTCUSD",
        '{"event":"bts:subscribe","data":{"channel":"live_trades_btcusd"}}',
        '{"event":"bts:subscription_succeeded","channel":"live_trades_btcusd","data":{}}',
        "live_trades",
    ),
    "coinbase-exchange": (
        "BTC-USD",
        '{"type":"subscribe","product_ids":["BTC-USD"],"channels":["heartbeat","matches"]}',
        '{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"]}]}',
        "matches",
    ),
    "crypto-com": (
        "BTC_USDT",
        '{"id":1,"method":"subscribe","params":{"channels":["trade.BTC_USDT"]},"nonce":1700000000250}',
        '{"id":1,"method":"subscribe","code":0}',
        "trade",
    ),
    "dydx-v4": (
        "BTC-USD",
        '{"type":"subscribe","channel":"v4_trades","id":"BTC-USD","batched":false}',
        '{"type":"subscribed","connection_id":"c","message_id":1,"channel":"v4_trades","id":"BTC-USD","contents":{}}',
        "v4_trades",
    ),
}


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
def test_subscribing(name: str) -> None:
    """The request byte for byte, and the acknowledgement, which names the symbol as data does."""
    symbol, request, ack, channel = SUBSCRIPTIONS[name]
    speaker = codec(name, channel=channel)

    assert request == speaker.encode(Subscribe(symbol)).decode()
    assert [Subscribed(canonical_symbol(speaker.dialect, symbol))] == read(speaker, ack)


def test_a_data_message_with_the_looks_of_an_acknowledgement_is_data() -> None:
    """crypto.com's data says method subscribe as well, with an id that is not ours."""
    speaker = codec("crypto-com")
    speaker.encode(Subscribe("BTC_USDT"))

    data = '{"id":-1,"method":"subscribe","code":0,"result":{"channel":"ticker","data":[]}}'
    assert [Unknown(data)] == read(speaker, data)


def test_unsubscribing_and_refusals() -> None:
    """By id, by name, in one message for several, and by a list that lacks the symbol."""
    speaker = codec("binance-spot")
    speaker.encode(Subscribe("BTCUSDT"))
    assert b'{"method":"UNSUBSCRIBE","params":["btcusdt@bookTicker"],"id":2}' == speaker.encode(Unsubscribe("BTCUSDT"))
    assert [Unsubscribed("BTCUSDT")] == read(speaker, '{"result":null,"id":2}')
    speaker.encode_subscription(["A", "B"], is_subscription=True)
    refusal = '{"error":{"code":2,"msg":"Invalid request"},"id":3}'
    assert [ErrorNotice("unknown_symbol", f"{each} Invalid request") for each in "AB"] == read(speaker, refusal)
    assert [ErrorNotice("rejected", "Invalid request")] == read(speaker, refusal)

    okx = codec("okx-v5")
    okx.encode(Subscribe("BTC-USDT"))
    gone = '{"event":"unsubscribe","arg":{"channel":"tickers","instId":"BTC-USDT"}}'
    assert [Unsubscribed("BTC-USDT")] == read(okx, gone)
    assert [Beat(is_scheduled=False)] == read(okx, gone.replace("BTC", "ETH"))

    deribit = codec("deribit")
    deribit.encode_subscription(["X", "Y"], is_subscription=True)
    assert [Subscribed("Y")] == read(deribit, '{"jsonrpc":"2.0","id":1,"result":["ticker.Y.100ms"]}')
    deribit.encode(Subscribe("Z"))
    assert [ErrorNotice("unknown_symbol", "Z ")] == read(deribit, '{"jsonrpc":"2.0","id":2,"result":[]}')


def test_upbit_is_told_the_whole_list_each_time() -> None:
    """A subscription there replaces the one before; without a symbol left there is nothing to say."""
    speaker = codec("upbit", channel="trade")

    first = '[{"ticket":"r1"},{"type":"trade","codes":["KRW-BTC"],"is_only_realtime":true}]'
    both = '[{"ticket":"r2"},{"type":"trade","codes":["KRW-BTC","KRW-ETH"],"is_only_realtime":true}]'
    second = '[{"ticket":"r3"},{"type":"trade","codes":["KRW-ETH"],"is_only_realtime":true}]'
    assert first == speaker.encode(Subscribe("KRW-BTC")).decode()
    assert both == speaker.encode(Subscribe("KRW-ETH")).decode()
    assert second == speaker.encode(Unsubscribe("KRW-BTC")).decode()
    assert b"" == speaker.encode(Unsubscribe("KRW-ETH"))
    assert b"" == codec("bitfinex").encode(Unsubscribe("tBTCUSD"))


def test_what_cannot_be_said_is_our_own_error() -> None:
    """Symbols that would break out of a message, too many of them, a venue without subscriptions, other messages."""
    messages: list[tuple[str, Message]] = [
        ("okx-v5", Subscribe('X"}]}')),
        ("rfc6455", Subscribe("X")),
        ("okx-v5", Unknown("?")),
        ("okx-v5", Pong(b"12345678")),
    ]
    for name, message in messages:
        with pytest.raises(LocalProtocolError):
            codec(name).encode(message)
    with pytest.raises(LocalProtocolError, match="1 to 10 symbols"):
        codec("bybit-v5").encode_subscription(["X"] * 11, is_subscription=True)
    with pytest.raises(LocalProtocolError, match="hexadecimal"):
        codec("kraken-v2").encode_ping(b"not hex!")
    assert UNMATCHED not in (NONCE, b"")


LIFETIMES = {"binance-spot": 86400, "binance-futures": 86400, "kucoin-classic": 86400, "mexc-spot": 86400, "bitget": 86400}
SERVER_CLOCKS = {
    "binance-spot": 60, "binance-futures": 600, "bybit-v5": 600, "okx-v5": 30, "kraken-v1": 60, "kraken-v2": 60,
    "coinbase-advanced": 60, "bitfinex": 60, "gate-v4": 30, "hyperliquid": 60, "mexc-spot": 60, "bitget": 120, "upbit": 60,
    "dydx-v4": 10, "crypto-com": 5, "phoenix": 60, "engineio4": 20,
}  # fmt: skip
PERIODS = {
    "binance-spot": 20, "binance-futures": 180, "deribit": 30, "htx-spot": 5, "crypto-com": 30, "dydx-v4": 30,
    "bitstamp": 54, "nats": 120, "engineio4": 25,
}  # fmt: skip


def test_deadlines_periods_and_ages() -> None:
    """The numbers by which venues measure us, and after which they end any connection."""
    assert SERVER_CLOCKS == {name: DIALECTS[name].server_clock.deadline for name in SERVER_CLOCKS}
    assert PERIODS == {name: DIALECTS[name].server_pings[0].period for name in PERIODS}
    assert LIFETIMES | {"bitstamp": 90 * 86400} == {name: each.max_age for name, each in DIALECTS.items() if each.max_age}
    htx, crypto = DIALECTS["htx-spot"].server_clock, DIALECTS["crypto-com"].server_clock
    assert (2, 3) == (htx.unanswered, crypto.unanswered)
    within = {name: each.opening.subscribe_within for name, each in DIALECTS.items() if each.opening.subscribe_within}
    assert {"okx-v5": 30, "coinbase-exchange": 5, "coinbase-advanced": 5, "mexc-spot": 30} == within


@pytest.mark.parametrize("name", sorted(set(ASKED) | BY_CONTROL_FRAME))
def test_pings_are_well_within_what_the_venue_waits_for_and_allows(name: str) -> None:
    """Two pings before its clock runs out, where it has one that pings set back; at most half of its messages are pings."""
    dialect = DIALECTS[name]
    policy, limits = heartbeat_policy(dialect), dialect.limits
    deadline = dialect.server_clock.deadline

    if deadline is not None and "ping" in dialect.server_clock.resets and policy.schedule != "inbound_idle":
        assert policy.ping_interval * 1.5 <= deadline
    if limits.messages is not None and limits.pings_count:
        assert limits.messages / limits.message_period / 2 >= 1 / policy.ping_interval + policy.max_probes / 60


def test_a_policy_against_a_venues_limit_is_refused() -> None:
    """Binance takes five messages a second; ten pings a second would end in a ban."""
    with pytest.raises(ConfigError, match=r"ping_interval = 0\.1 is too short for Binance Spot streams.*at least 0\.4 s"):
        heartbeat_policy(DIALECTS["binance-spot"], HeartbeatPolicy(ping_interval=0.1))
    faster = heartbeat_policy(DIALECTS["binance-spot"], HeartbeatPolicy(ping_interval=0.5, max_probes=100))
    assert (0.5, 30) == (faster.ping_interval, faster.max_probes)
    assert HeartbeatPolicy() == heartbeat_policy(None)


def test_requests_are_paced_by_what_a_venue_allows() -> None:
    """Half of its messages, the other half is the pings'; all of its subscriptions; a tenth slower than it allows."""
    binance, okx, plain = (request_pacer(DIALECTS[name]) for name in ("binance-spot", "okx-v5", "bybit-v5"))

    assert (100, 50, 10, 1) == (binance.batch, okx.batch, plain.batch, request_pacer(None).batch)
    assert [True, True, False] == [binance.try_acquire(1.0) for _ in range(3)]
    assert 2.1 == binance.next_allowed(1.5)
    assert all(okx.try_acquire(1.0) for _ in range(480))
    assert pytest.approx(3961.0) == okx.next_allowed(2.0)
    assert all(plain.try_acquire(1.0) for _ in range(1000))
    both = codec("binance-spot").encode(SubscribeAll(("BTCUSDT", "ETHUSDT")))
    assert b'{"method":"SUBSCRIBE","params":["btcusdt@bookTicker","ethusdt@bookTicker"],"id":1}' == both


def test_where_the_absence_of_beats_means_death() -> None:
    """Each within a bound of its own; the interval that a user asks of deribit counts."""
    bounds = {name: policy.bound for name, each in DIALECTS.items() if (policy := beat_policy(each)) and each.speakable}

    assert {
        "coinbase-exchange": 10.0,
        "coinbase-advanced": 10.0,
        "deribit": 65.0,
        "htx-spot": 18.0,
        "gemini-v2": 18.0,
        "crypto-com": 65.0,
    } == bounds
    faster = beat_policy(DIALECTS["deribit"], {"beat_interval": 10})
    assert BeatPolicy(period=10, misses=2, grace=5, data_counts=True, pongs_count=False) == faster
    assert beat_policy(None) is None
    with pytest.raises(ConfigError, match="beat_interval"):
        beat_policy(DIALECTS["deribit"], {"beat_interval": "often"})


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_each_names_its_sources_and_survives_json(name: str) -> None:
    """A record can be written out and read again; nobody has to believe it without a source."""
    dialect = DIALECTS[name]

    assert dialect.sources
    assert dialect.title
    assert dialect == msgspec.json.decode(msgspec.json.encode(dialect), type=Dialect)
    assert dialect.verified is (name not in ("kraken-v1", "kraken-v2", "gemini-v2"))
    assert json.loads(msgspec.json.encode(dialect))["name"] == name


def test_a_venues_limits_are_those_of_all_connections() -> None:
    """What is limited on each connection is not among them."""
    assert VenueLimits() == venue_limits(None)
    assert (None, None) == (venue_limits(DIALECTS["htx-spot"]).connects, venue_limits(DIALECTS["htx-spot"]).messages)
    assert VenueLimits(connects=300, connect_period=300, message_period=1) == venue_limits(DIALECTS["binance-spot"])
    assert VenueLimits(connects=8, connect_period=1, messages=100, message_period=1) == venue_limits(
        DIALECTS["coinbase-exchange"]
    )
    assert not venue_limits(DIALECTS["bitmex"]).counts_pings


def test_a_users_fields_are_merged_with_what_suits_the_venue() -> None:
    """An interval that is given means pings, where the dialect itself sends none; ids decide how pongs are matched."""
    okx = merge_policy(DIALECTS["okx-v5"], {"ping_interval": 10})
    assert ("inbound_idle", 10, 8) == (okx.schedule, okx.ping_interval, okx.pong_timeout)
    htx = msgspec.structs.replace(DIALECTS["htx-spot"], pingable=False)
    assert 15 == merge_policy(DIALECTS["htx-spot"], {"ping_interval": 15}).ping_interval
    assert "never" == merge_policy(htx, {"liveness": "pong_only"}).schedule
    assert not merge_policy(htx, {"adaptive": True}).adaptive
    assert merge_policy(htx, {"adaptive": True, "ping_interval": 5}).adaptive
    assert ("every", 10, 3) == tuple(
        getattr(merge_policy(htx, {"ping_interval": 10}), field) for field in ("schedule", "ping_interval", "pong_timeout")
    )
    assert HeartbeatPolicy(max_missed_pongs=5) == merge_policy(None, {"max_missed_pongs": 5})
    without = {name for name, each in DIALECTS.items() if not has_nonces(each)}
    assert {"okx-v5", "gate-v4", "bitmex", "hyperliquid", "bitstamp", "mexc-spot", "bitget", "tutorial", "nats"} == without
    assert has_nonces(None)
