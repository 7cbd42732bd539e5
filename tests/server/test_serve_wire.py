"""The quote server on loopback, in raw bytes: what the tutorial's programs send, and everything beside it."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
from typing import Any

import pytest
import trio
import trio_websocket
import trustme

from heartbeat_trio import ConfigError, ServerPolicy
from heartbeat_trio.exceptions import ConnectionClosed
from heartbeat_trio.server import serve_connection, serve_quotes
from heartbeat_trio.transports.abc import Transport
from heartbeat_trio.transports.evidence import listen_tcp
from heartbeat_trio.transports.tcp import accept_tcp
from heartbeat_trio.transports.websocket import accept_websocket
from tests.support.raw_clients import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    LineClient,
    ManualSource,
    RawWebSocket,
    encode_frame,
    open_lines,
    open_stream,
    open_websocket,
    port_of,
    request,
    running,
)

# -- lines -----------------------------------------------------------------------------------------------------------------


async def test_pings_however_they_are_cut() -> None:
    async with running() as server:
        client = await open_lines(server)
        assert await client.ask(b"PING\n") == b"PONG\n"
        await client.send(b"PI")
        await trio.sleep(0.02)
        assert await client.ask(b"NG\n") == b"PONG\n"
        await client.send(b"PING\nPING\n")
        assert await client.lines(2) == [b"PONG\n", b"PONG\n"]
        assert await client.ask(b"PING x7\n") == b"PONG x7\n"
        assert await client.ask(b"  PING  \r\n") == b"PONG\n"
        await client.send(b"".join(b"PING %d\n" % number for number in range(50)))
        assert await client.lines(50) == [b"PONG %d\n" % number for number in range(50)]


async def test_a_ping_without_its_end_waits() -> None:
    async with running() as server:
        client = await open_lines(server)
        await client.send(b"PING")
        with trio.move_on_after(0.1) as scope:
            await client.line()
        assert scope.cancelled_caught
        assert await client.ask(b"\n") == b"PONG\n"


async def test_a_subscription_over_lines() -> None:
    source = ManualSource()
    async with running(source) as server:
        source.quote(count=3)
        client = await open_lines(server)
        assert await client.ask(b"SUBSCRIBE:BTCUSD\n") == b"SUBSCRIBED:BTCUSD\n"
        source.quote()
        first, second = await client.lines(2)
        assert first.startswith(b"QUOTE:{")
        assert json.loads(first.removeprefix(b"QUOTE:")) == {
            "symbol": "BTCUSD",
            "bid": 1.5,
            "ask": 2.5,
            "seq": 3,
            "stream": "s1",
            "ts": 1_700_000_000_000_000,
        }
        assert json.loads(second.removeprefix(b"QUOTE:"))["seq"] == 4
        assert await client.ask(b"SUBSCRIBE:BTCUSD\n") == b"SUBSCRIBED:BTCUSD\n"
        assert await client.is_alive(), "and no quote twice"
        assert await client.ask(b"UNSUBSCRIBE:BTCUSD\n") == b"UNSUBSCRIBED:BTCUSD\n"
        source.quote()
        assert await client.is_alive()


@pytest.mark.parametrize(
    ("resume", "expected"),
    [
        ("s1:12", [12 + 1]),
        ("s1:3", ["GAP:BTCUSD:s1:4:10", 11]),
        ("old:7", ["GAP:BTCUSD:old:8:", "GAP:BTCUSD:s1:1:10", 11]),
        ("s1:99", ["ERROR:bad_resume:", 16]),
        ("old:9223372036854775807", ["ERROR:bad_resume:", 16]),
    ],
)
async def test_resuming_over_lines(resume: str, expected: list[str | int]) -> None:
    source = ManualSource()
    async with running(source, policy=ServerPolicy(ring_size=5)) as server:
        source.quote(count=15)
        client = await open_lines(server)
        assert await client.ask(f"SUBSCRIBE:BTCUSD:{resume}\n".encode()) == b"SUBSCRIBED:BTCUSD\n"
        await trio.testing.wait_all_tasks_blocked()
        source.quote()
        for each in expected:
            line = (await client.line()).decode()
            if isinstance(each, str):
                assert line.startswith(each)
                assert line.startswith("ERROR") or line == each + "\n"
            else:
                assert json.loads(line.removeprefix("QUOTE:"))["seq"] == each


GARBAGE = [b"HELLO", b"", b"PING " + b"x" * 65, b"PONGO", b"QUOTE:{}", b"\x00\x01\x1b[31m", b"SUBSCRIBE:", b"\xc3\xa4" * 9]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_gets_an_error_and_the_connection_stays(garbage: bytes) -> None:
    async with running() as server:
        client = await open_lines(server)
        answer = (await client.ask(garbage + b"\n")).decode()
        assert re.fullmatch(r"ERROR:[a-z_]+:.*\n", answer)
        assert answer[:-1].isprintable()
        assert await client.is_alive()


async def test_an_unknown_symbol_is_an_error_with_its_code() -> None:
    async with running() as server:
        client = await open_lines(server)
        assert (await client.ask(b"SUBSCRIBE:NOPE\n")).startswith(b"ERROR:unknown_symbol:")
        assert (await client.ask(b"SUBSCRIBE:NOPE:s1:4\n")).startswith(b"ERROR:unknown_symbol:")
        assert await client.ask(b"UNSUBSCRIBE:NOPE\n") == b"UNSUBSCRIBED:NOPE\n"
        assert await client.is_alive()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"x" * 5000, b"line_too_long"),
        (b"x" * 5000 + b"\n", b"line_too_long"),
        (b"x" * 5_000_000, b"line_too_long"),
        (b"\xff\xfe\n", b"bad_encoding"),
        (b"\xff\xfe\n" + b"PING\n" * 300_000, b"bad_encoding"),
    ],
    ids=["5000", "5000 and LF", "5 MB", "UTF-8", "UTF-8 and more"],
)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_what_ends_a_connection_is_said_first(data: bytes, code: bytes, *, tls: bool) -> None:
    """Nothing resets the connection before the client has read why."""
    ours, theirs = contexts() if tls else (None, None)
    async with running(ssl_context=theirs) as server:
        client = await open_lines(server, ours)
        await client.send(b"PING\n" + data)
        assert await client.line() == b"PONG\n"
        assert (await client.line()).startswith(b"ERROR:" + code)
        with trio.fail_after(2):
            assert await client.line() == b""


async def test_other_clients_do_not_notice() -> None:
    async with running() as server:
        good, bad = await open_lines(server), await open_lines(server)
        await bad.send(b"x" * 5000)
        assert (await bad.line()).startswith(b"ERROR")
        assert await good.is_alive()


# -- WebSocket -------------------------------------------------------------------------------------------------------------

SCALARS = ["7", "-1.5e3", '"a"', "true", "null", '"\\u00e4"', "12345678901234567890123", '""']


@pytest.mark.parametrize("token", SCALARS)
async def test_the_id_of_an_op_ping_is_echoed_as_it_came(token: str) -> None:
    async with running() as server:
        client = await open_websocket(server)
        await client.send(TEXT, b'{"op":"ping","id":%b}' % token.encode())
        opcode, payload = await client.frame()
        assert opcode == TEXT
        assert payload == b'{"op":"pong","id":%b}' % token.encode()


async def test_op_pings_without_id_and_control_pings() -> None:
    async with running() as server:
        client = await open_websocket(server)
        await client.send(TEXT, b'{"op":"ping"}')
        assert await client.op() == {"op": "pong"}
        for payload in (b"", b"abc", b"\x00\xff" * 62):
            await client.send(PING, payload)
            assert await client.frame() == (PONG, payload)
        await client.stream.send_all(b"".join(encode_frame(TEXT, b'{"op":"ping","id":%d}' % n) for n in range(50)))
        assert [await client.op() for _ in range(50)] == [{"op": "pong", "id": n} for n in range(50)]


async def test_frames_byte_by_byte_and_in_fragments() -> None:
    async with running() as server:
        client = await open_websocket(server)
        for byte in encode_frame(TEXT, b'{"op":"ping","id":1}'):
            await client.stream.send_all(bytes([byte]))
            await trio.lowlevel.checkpoint()
        assert await client.op() == {"op": "pong", "id": 1}
        await client.send(TEXT, b'{"op":"pi', fin=False)
        await client.send(PING, b"between")
        assert await client.frame() == (PONG, b"between")
        await client.send(0, b'ng"}')
        assert await client.op() == {"op": "pong"}


async def test_a_subscription_over_websocket() -> None:
    source = ManualSource()
    async with running(source, policy=ServerPolicy(ring_size=5)) as server:
        source.quote(count=15)
        client = await open_websocket(server)
        await client.send_op(
            "subscribe", symbols=["BTCUSD", "NOPE", "ETHUSD"], resume={"BTCUSD": {"stream": "s1", "seq": 8}}
        )
        assert await client.op() == {"op": "subscribed", "symbol": "BTCUSD"}
        assert await client.op() == {"op": "gap", "symbol": "BTCUSD", "stream": "s1", "first": 9, "last": 10}
        error = await client.op()
        assert (error["op"], error["code"]) == ("error", "unknown_symbol")
        assert await client.op() == {"op": "subscribed", "symbol": "ETHUSD"}
        for seq in range(11, 16):
            quote = await client.op()
            assert (quote["type"], quote["symbol"], quote["seq"]) == ("quote", "BTCUSD", seq)
        source.quote("ETHUSD")
        assert await client.op() == {
            "type": "quote",
            "symbol": "ETHUSD",
            "bid": 1.5,
            "ask": 2.5,
            "seq": 1,
            "stream": "s1",
            "ts": 1_700_000_000_000_000,
        }
        await client.send_op("unsubscribe", symbols=["BTCUSD", "ETHUSD"])
        assert [await client.op() for _ in range(2)] == [
            {"op": "unsubscribed", "symbol": "BTCUSD"},
            {"op": "unsubscribed", "symbol": "ETHUSD"},
        ]
        source.quote()
        assert await client.is_alive()


BAD_TEXTS = [
    "",
    "{",
    "[]",
    "7",
    '{"op":7}',
    '{"op":"fly"}',
    '{"op":"ping","id":{}}',
    '{"op":"subscribe","symbols":"BTCUSD"}',
]


@pytest.mark.parametrize("text", [*BAD_TEXTS, "[" * 100_000])
async def test_bad_text_gets_an_error_and_the_connection_stays(text: str) -> None:
    async with running() as server:
        client = await open_websocket(server)
        await client.send(TEXT, text.encode())
        answer = await client.op()
        assert answer["op"] == "error"
        assert answer["code"]
        assert answer["message"].isprintable()
        assert await client.is_alive()


async def test_a_binary_message_gets_an_error_and_the_connection_stays() -> None:
    async with running() as server:
        client = await open_websocket(server)
        await client.send(BINARY, b'{"op":"ping"}')
        assert (await client.op())["code"] == "binary_message"
        assert await client.is_alive()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (encode_frame(TEXT, b"x" * 2 * 2**20), 1009),
        (encode_frame(TEXT, b"x" * 2**19, fin=False) + encode_frame(0, b"x" * 2**20, fin=False), 1009),
        (encode_frame(TEXT, b"{}", mask=False), 1002),
        (encode_frame(0, b"continues nothing"), 1002),
        (encode_frame(0x40 | TEXT, b"reserved bit"), 1002),
        (encode_frame(3, b"reserved opcode"), 1002),
        (encode_frame(PING, b"x" * 126), 1002),
        (encode_frame(PING, b"in pieces", fin=False), 1002),
        (encode_frame(TEXT, b"\xff\xfe"), 1007),
        (encode_frame(TEXT, b"\xc3", fin=False) + encode_frame(0, b"\x28"), 1007),
    ],
    ids=[
        "2 MiB",
        "fragments",
        "unmasked",
        "continuation",
        "reserved",
        "opcode",
        "long ping",
        "cut ping",
        "UTF-8",
        "UTF-8 cut",
    ],
)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_the_close_code_can_be_read(frames: bytes, code: int, *, tls: bool) -> None:
    ours, theirs = contexts() if tls else (None, None)
    async with running(ssl_context=theirs) as server:
        client = await open_websocket(server, ssl_context=ours)
        await client.stream.send_all(frames + encode_frame(PING, b"") * 10_000)
        assert await client.close_code() == code
        with trio.fail_after(2):
            assert await client.is_closed()


async def test_an_orderly_close_is_answered() -> None:
    async with running() as server:
        client = await open_websocket(server)
        await client.send(CLOSE, b"\x03\xe8bye")
        assert await client.close_code() == 1000
        assert await client.is_closed()
        assert (await settled(server)).clients == 0


async def settled(server: Any) -> Any:
    """The statistics once nobody is connected any more."""
    while server.clients:
        await trio.sleep(0.005)
    return server.statistics()


async def test_plain_trio_websocket_is_a_fine_client() -> None:
    source = ManualSource()
    async with (
        running(source) as server,
        trio_websocket.open_websocket_url(server.addresses["ws"] + "any/path?x=1") as websocket,
    ):
        await websocket.ping(b"hello")
        await websocket.send_message('{"op":"subscribe","symbols":["BTCUSD"]}')
        assert json.loads(await websocket.get_message()) == {"op": "subscribed", "symbol": "BTCUSD"}
        source.quote()
        assert json.loads(await websocket.get_message())["seq"] == 1


async def test_a_websocket_that_the_application_accepted() -> None:
    source = ManualSource()
    async with running(source) as server, trio.open_nursery() as nursery:

        async def handle(websocket_request: trio_websocket.WebSocketRequest) -> None:
            await serve_connection(await websocket_request.accept(), server)

        other = await nursery.start(trio_websocket.serve_websocket, handle, "127.0.0.1", 0, None)
        async with trio_websocket.open_websocket_url(f"ws://127.0.0.1:{other.port}/") as websocket:
            await websocket.send_message('{"op":"subscribe","symbols":["BTCUSD"]}')
            assert json.loads(await websocket.get_message()) == {"op": "subscribed", "symbol": "BTCUSD"}
            source.quote()
            assert json.loads(await websocket.get_message())["seq"] == 1
            assert server.clients == 1
        nursery.cancel_scope.cancel()


# -- who is let in ---------------------------------------------------------------------------------------------------------

TOKEN = "s3cret-token"


async def test_the_token_over_lines() -> None:
    async with running(token=TOKEN) as server:
        client = await open_lines(server)
        assert await client.ask(b"PING\n") == b"PONG\n"
        assert await client.ask(f"AUTH:{TOKEN}\n".encode()) == b"AUTH:ok\n"
        assert await client.ask(b"SUBSCRIBE:BTCUSD\n") == b"SUBSCRIBED:BTCUSD\n"


@pytest.mark.parametrize(
    "line",
    [
        "AUTH:wrong",
        f"AUTH:{TOKEN}x",
        f"AUTH:{TOKEN[:-1]}",
        f"AUTH:{TOKEN.upper()}",
        "AUTH:",
        "AUTH:b\u00e4d",
        f"AUTH:ok:{TOKEN}",
        "SUBSCRIBE:BTCUSD",
        "SUBSCRIBE:NOPE",
        "UNSUBSCRIBE:BTCUSD",
        "HELLO",
    ],
)
async def test_without_the_token_nothing_but_ping_is_served(line: str) -> None:
    source = ManualSource()
    async with running(source, token=TOKEN) as server:
        client = await open_lines(server)
        assert (await client.ask(f"{line}\nSUBSCRIBE:BTCUSD\nAUTH:{TOKEN}\n".encode())).startswith(b"ERROR:unauthorized:")
        source.quote()
        assert await client.line() == b""


async def test_who_never_shows_the_token_is_dropped() -> None:
    async with running(token=TOKEN, policy=ServerPolicy(handshake_timeout=0.2)) as server:
        client = await open_lines(server)
        assert await client.ask(b"PING\n") == b"PONG\n"
        assert (await client.line()).startswith(b"ERROR:unauthorized:")
        assert await client.line() == b""


@pytest.mark.parametrize("header", [f"Authorization: Bearer {TOKEN}", f"authorization: bearer  {TOKEN} "])
async def test_the_token_over_websocket(header: str) -> None:
    async with running(token=TOKEN) as server:
        client = await open_websocket(server, header)
        assert await client.is_alive()
        await client.send_op("subscribe", symbols=["BTCUSD"])
        assert (await client.op())["op"] == "subscribed"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Authorization: Bearer wrong"],
        [f"Authorization: {TOKEN}"],
        [f"Authorization: Basic {TOKEN}"],
        [f"Authorization: Bearer{TOKEN}"],
        [f"Authorization: Bearer {TOKEN}x"],
        ["Authorization: Bearer"],
        ["Authorization: Bearer wrong", f"Authorization: Bearer {TOKEN}"],
        [f"Authorization: Bearer {TOKEN}", "Authorization: Bearer wrong"],
        [f"X-Authorization: Bearer {TOKEN}"],
    ],
)
async def test_without_the_token_a_handshake_gets_401(headers: list[str]) -> None:
    async with running(token=TOKEN) as server:
        client = RawWebSocket(await open_stream(server, "ws"))
        assert await client.handshake(*headers) == 401
        assert server.statistics().accepted == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Origin: https://good.example"], 101),
        (["ORIGIN: https://good.example"], 101),
        (["Origin: https://evil.example"], 403),
        (["Origin: null"], 403),
        (["Origin:"], 403),
        (["Origin: https://good.example.evil.example"], 403),
        (["Origin: https://good.example", "Origin: https://evil.example"], 403),
        (["Origin: https://evil.example", "Origin: https://good.example"], 403),
        ([], 101),
    ],
)
async def test_web_pages_must_be_allowed(headers: list[str], status: int) -> None:
    async with running(allow_origins=["https://good.example"]) as server:
        client = RawWebSocket(await open_stream(server, "ws"))
        assert await client.handshake(*headers) == status


@pytest.mark.parametrize("path", ["/", "/any/where", "/?x=1", "/%20"])
async def test_any_path_is_fine(path: str) -> None:
    async with running() as server:
        assert await RawWebSocket(await open_stream(server, "ws")).handshake(path=path) == 101


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PING\n\r\n\r\n", b"\x16\x03\x01" + b"x" * 50 + b"\r\n\r\n"]
)
async def test_what_is_no_handshake_gets_an_http_error(data: bytes) -> None:
    async with running() as server:
        client = RawWebSocket(await open_stream(server, "ws"))
        await client.stream.send_all(data)
        assert 400 <= await client.status() < 500


async def test_a_full_server_refuses_and_frees_places_at_once() -> None:
    async with running(policy=ServerPolicy(max_clients=2)) as server:
        first, second = await open_lines(server), await open_websocket(server)
        assert await first.is_alive()
        refused = [await open_lines(server) for _ in range(3)]
        for each in refused:
            assert (await each.line()).startswith(b"ERROR:server_full:")
        over_ws = RawWebSocket(await open_stream(server, "ws"))
        assert await over_ws.handshake() == 503
        assert await second.is_alive()
        while server.statistics().refused < 1:
            await trio.sleep(0.005)
        await first.stream.aclose()
        while server.clients == 2:
            await trio.sleep(0.005)
        # Those that were refused have not closed yet, and yet take no place.
        third = await open_websocket(server)
        assert await third.is_alive()
        for each in refused:
            assert await each.line() == b""


# -- TLS and addresses -----------------------------------------------------------------------------------------------------

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("127.0.0.1")


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    ours, theirs = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.configure_trust(ours)
    CERTIFICATE.configure_cert(theirs)
    return ours, theirs


async def test_tls_on_both() -> None:
    ours, theirs = contexts()
    source = ManualSource()
    async with running(source, ssl_context=theirs) as server:
        assert server.addresses["ws"].startswith("wss://")
        lines = await open_lines(server, ours)
        await lines.send(b"PING 1\nPING 2\nPING 3\n")
        assert await lines.lines(3) == [b"PONG 1\n", b"PONG 2\n", b"PONG 3\n"], "none is left out"
        assert await lines.ask(b"SUBSCRIBE:BTCUSD\n") == b"SUBSCRIBED:BTCUSD\n"
        websocket = await open_websocket(server, ssl_context=ours)
        assert await websocket.is_alive()
        await websocket.stream.send_all(b"".join(encode_frame(TEXT, b'{"op":"ping","id":%d}' % n) for n in range(5)))
        assert [await websocket.op() for _ in range(5)] == [{"op": "pong", "id": n} for n in range(5)]
        source.quote()
        assert (await lines.line()).startswith(b"QUOTE:")


@pytest.mark.parametrize("protocol", ["tcp", "ws"])
async def test_a_port_in_use_is_a_bare_error_with_the_address(protocol: str) -> None:
    async with running() as server:
        address = f"127.0.0.1:{port_of(server, protocol)}"
        alone: dict[str, Any] = {protocol: address}
        for options in (alone, {"tcp": "127.0.0.1:0", "ws": "127.0.0.1:0"} | alone):
            with pytest.raises(OSError, match=re.escape(address)):
                await serve_quotes(ManualSource(), **options)


@pytest.mark.parametrize(
    "where", ["", "8080", ":8080", "localhost", "localhost:", "localhost:x", "localhost:70000", "localhost:-1"]
)
async def test_what_is_no_address(where: str) -> None:
    with pytest.raises(ConfigError, match="host:port"):
        await serve_quotes(ManualSource(), tcp=where)


async def test_an_ipv6_address() -> None:
    try:
        async with running(tcp="[::1]:0", ws=None) as server:
            assert server.addresses["tcp"].startswith("[::1]:")
            async with await trio.open_tcp_stream("::1", port_of(server, "tcp")) as stream:
                assert await LineClient(stream).is_alive()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


# -- wild connections ------------------------------------------------------------------------------------------------------


async def test_a_handshake_byte_by_byte() -> None:
    async with running() as server:
        client = RawWebSocket(await open_stream(server, "ws"))
        for byte in request():
            await client.stream.send_all(bytes([byte]))
        assert await client.status() == 101
        assert await client.is_alive()


@pytest.mark.parametrize("data", [b"", request()[:40]], ids=["silence", "half"])
async def test_half_a_handshake_and_silence_is_dropped(data: bytes) -> None:
    async with running(policy=ServerPolicy(handshake_timeout=0.3)) as server:
        began = trio.current_time()
        stream = await open_stream(server, "ws")
        await stream.send_all(data) if data else None
        assert await stream.receive_some(100) == b""
        assert 0.25 < trio.current_time() - began < 1.3
        assert await (await open_websocket(server)).is_alive()


@pytest.mark.parametrize("protocol", ["tcp", "ws"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_connecting_and_resetting_at_once(protocol: str, caplog: pytest.LogCaptureFixture, *, tls: bool) -> None:
    ours, theirs = contexts() if tls else (None, None)
    async with running(ssl_context=theirs) as server:
        for data in (b"", b"PING\n", request(), request() + encode_frame(PING, b"")) * 10:
            stream = await trio.open_tcp_stream("127.0.0.1", port_of(server, protocol))
            await stream.send_all(data) if data else None
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await stream.aclose()
        good = await (open_lines if protocol == "tcp" else open_websocket)(server, **({"ssl_context": ours} if tls else {}))
        assert await good.is_alive()
        while server.clients > 1:
            await trio.sleep(0.005)
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


@pytest.mark.parametrize("protocol", ["tcp", "ws"])
async def test_tls_garbage(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = contexts()
    async with running(ssl_context=theirs) as server:
        for data in (b"PING\n", request(), b"\x16\x03\x01\x02\x00" + b"x" * 600, b"\x80" * 10_000):
            stream = await open_stream(server, protocol)
            with trio.move_on_after(2) as scope:
                try:
                    await stream.send_all(data)
                    while await stream.receive_some(1000):
                        pass
                except trio.BrokenResourceError:
                    pass
            assert not scope.cancelled_caught
        good = await (open_lines if protocol == "tcp" else open_websocket)(server, ssl_context=ours)
        assert await good.is_alive()
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


async def test_a_source_that_ends_keeps_the_server_and_its_ring() -> None:
    class Short(ManualSource):
        async def run(self, publish: Any) -> None:
            self._publish = publish
            self.quote(count=3)
            await trio.lowlevel.checkpoint()

    async with running(Short()) as server:
        client = await open_lines(server)
        assert await client.ask(b"SUBSCRIBE:BTCUSD:s1:1\n") == b"SUBSCRIBED:BTCUSD\n"
        assert [json.loads((await client.line())[6:])["seq"] for _ in range(2)] == [2, 3]


async def test_a_source_that_fails_ends_the_server_with_its_error() -> None:
    class Failing(ManualSource):
        async def run(self, publish: Any) -> None:
            await trio.sleep(0.05)
            raise ConfigError("file.txt:7: nonsense")

    with pytest.raises(ConfigError, match=r"file\.txt:7"):
        await serve_quotes(Failing(), tcp="127.0.0.1:0")


@pytest.mark.parametrize("protocol", ["tcp", "ws"])
async def test_a_flooder_without_pings_is_dropped_in_order(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is dropped while its reader waits for the message rate, and reading on at the same time would clash."""
    limits = ServerPolicy(idle_timeout=0.1, max_message_rate=500)
    data = b"PONG\n" if protocol == "tcp" else encode_frame(TEXT, b"{}")
    async with running(policy=limits) as server:
        client: Any = await (open_lines(server) if protocol == "tcp" else open_websocket(server))
        async with trio.open_nursery() as nursery:

            async def flood() -> None:
                try:
                    while True:
                        await client.stream.send_all(data * 4)
                        await trio.sleep(0.005)
                except trio.BrokenResourceError:
                    pass

            nursery.start_soon(flood)
            if protocol == "tcp":
                while not (await client.line()).startswith(b"ERROR:idle:"):
                    pass
            else:
                assert await client.close_code() == 1008
            while server.clients:
                await trio.sleep(0.005)
            nursery.cancel_scope.cancel()
        assert server.statistics().dropped_idle == 1
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


@pytest.mark.parametrize("protocol", ["tcp", "ws"])
async def test_closing_while_the_reader_is_busy_elsewhere(protocol: str) -> None:
    """Whoever closes reads on for a moment; a reader that comes back meanwhile waits, and is told that it was closed."""
    [listener] = await listen_tcp("127.0.0.1", 0)
    with trio.fail_after(5):
        async with await trio.open_tcp_stream("127.0.0.1", listener.port) as stream, trio.open_nursery() as nursery:
            accepted = await listener.accept()
            await listener.aclose()
            transport: Transport
            if protocol == "tcp":
                transport = await accept_tcp(accepted, nursery, control_limit=10_000)
            else:
                await stream.send_all(request())
                transport = await accept_websocket(
                    accepted, nursery, check=lambda _path, _headers: None, control_limit=10_000
                )
            nursery.start_soon(transport.aclose)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(ConnectionClosed):
                while True:
                    await transport.receive()
            nursery.cancel_scope.cancel()
