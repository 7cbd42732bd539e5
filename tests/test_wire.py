"""The wire as a raw socket sees it: the tutorial's words, garbage, and the right last words."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from wsproto.frame_protocol import FrameProtocol, Opcode

from heartbeat_trio.config import ServerPolicy
from heartbeat_trio.server import QuoteServer, SyntheticSource, serve_quotes


@asynccontextmanager
async def serving(policy: ServerPolicy | None = None, token: str | None = None) -> AsyncIterator[QuoteServer]:
    with trio.fail_after(8):
        async with trio.open_nursery() as nursery:
            task = partial(
                serve_quotes,
                SyntheticSource(["BTCUSD"], rate=20, seed=1),
                tcp="127.0.0.1:0",
                ws="127.0.0.1:0",
                policy=policy,
                token=token,
                allow_origins=["https://good.example"],
            )
            yield await nursery.start(task)
            nursery.cancel_scope.cancel()


async def dial(server: QuoteServer, protocol: str) -> trio.SocketStream:
    host, port = server.addresses[protocol].removeprefix("ws://").rstrip("/").split(":")
    return await trio.open_tcp_stream(host, int(port))


async def read_until(stream: trio.SocketStream, end: bytes) -> bytes:
    """Everything up to what ends with `end`."""
    got = b""
    while not got.endswith(end):
        data = await stream.receive_some(1)
        assert data, got
        got += data
    return got


async def ask(stream: trio.SocketStream, *writes: bytes, lines: int = 1) -> bytes:
    """Write, pausing between writes, and read so many lines."""
    for data in writes:
        await stream.send_all(data)
        await trio.sleep(0.02 if len(writes) > 1 else 0)
    return b"".join([await read_until(stream, b"\n") for _ in range(lines)])


async def read_to_end(stream: trio.SocketStream) -> bytes:
    """Everything up to the orderly end; a reset would raise."""
    got = b""
    while data := await stream.receive_some():
        got += data
    return got


async def test_the_tutorials_words() -> None:
    """PING in every cut, nonces, blanks, CR LF; SUBSCRIBE and its quotes; garbage keeps the connection."""
    async with serving() as server, await dial(server, "tcp") as stream:
        assert await ask(stream, b"PING\n") == b"PONG\n"
        assert await ask(stream, b"PI", b"NG\n") == b"PONG\n"
        assert await ask(stream, b"PING\nPING\n", lines=2) == b"PONG\nPONG\n"
        assert await ask(stream, b"PING x7\n") == b"PONG x7\n"
        assert await ask(stream, b"  PING  \r\n") == b"PONG\n"
        for garbage in (
            b"HELLO\n",
            b"\n",
            b"ping\n",
            b"SUBSCRIBE:\n",
            b"SUBSCRIBE:a b\n",
            b"SUBSCRIBE:NOPE\n",
            b"ORDER:{}\n",
        ):
            assert (await ask(stream, garbage)).startswith(b"ERROR:"), garbage
        assert await ask(stream, b"SUBSCRIBE:BTCUSD\n") == b"SUBSCRIBED:BTCUSD\n"
        assert (await ask(stream)).startswith(b'QUOTE:{"symbol":"BTCUSD","bid":')
        await stream.send_all(b"UNSUBSCRIBE:BTCUSD\nPING\n")
        assert b"UNSUBSCRIBED:BTCUSD\n" in await read_until(stream, b"PONG\n")


@pytest.mark.parametrize("words", [b"x" * 5000 + b"\n", b"x" * 5000, b"PING \xff\xfe\n"])
async def test_what_ends_a_line_connection(words: bytes) -> None:
    """Too long, or no UTF-8: an ERROR that can be read, and an orderly end."""
    async with serving() as server, await dial(server, "tcp") as stream:
        await stream.send_all(words)
        said = await read_to_end(stream)
        assert said.startswith(b"ERROR:")
        assert said.count(b"\n") == 1


async def test_token_over_tcp() -> None:
    """Before AUTH nothing but PING is served; a wrong token ends it, a right one opens it."""
    async with serving(token="secret") as server:
        async with await dial(server, "tcp") as stream:
            assert await ask(stream, b"PING\n") == b"PONG\n"
            assert await ask(stream, b"AUTH:secret\n") == b"AUTH:ok\n"
            assert await ask(stream, b"SUBSCRIBE:BTCUSD\n") == b"SUBSCRIBED:BTCUSD\n"
        for words in (b"AUTH:wrong\n", b"SUBSCRIBE:BTCUSD\n"):
            async with await dial(server, "tcp") as stream:
                await stream.send_all(words)
                assert (await read_to_end(stream)).startswith(b"ERROR:unauthorized:")


class WebSocket:
    """A client of bare frames."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.frames = FrameProtocol(client=True, extensions=[])

    async def read(self) -> tuple[Opcode, bytes]:
        """The next frame: its opcode, and its payload as bytes."""
        head = await self._exactly(2)
        length = head[1] & 0x7F
        if length == 126:
            length = int.from_bytes(await self._exactly(2), "big")
        return Opcode(head[0] & 0x0F), await self._exactly(length)

    async def _exactly(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            data = await self.stream.receive_some(count - len(got))
            assert data, "the connection ended in the middle of a frame"
            got += data
        return got

    async def text(self, text: str) -> bytes:
        """Send a text message and read one back."""
        await self.stream.send_all(bytes(self.frames.send_data(text, fin=True)))
        opcode, payload = await self.read()
        assert opcode is Opcode.TEXT
        return payload

    async def close_code(self) -> int:
        """Read to the close frame, and to the end after it."""
        while True:
            opcode, payload = await self.read()
            if opcode is Opcode.CLOSE:
                assert await read_to_end(self.stream) == b""
                return int.from_bytes(payload[:2], "big")


async def handshake(server: QuoteServer, *headers: str) -> tuple[bytes, WebSocket]:
    stream = await dial(server, "ws")
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ["GET /any/path HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    request = "\r\n".join([*lines, f"Sec-WebSocket-Key: {key}", *headers, "", ""])
    await stream.send_all(request.encode())
    return await read_until(stream, b"\r\n\r\n"), WebSocket(stream)


async def test_the_same_over_websocket() -> None:
    """Pings with any id and without, control frames echoed, garbage answered, quotes."""
    async with serving() as server:
        answer, socket = await handshake(server)
        assert answer.startswith(b"HTTP/1.1 101 ")
        async with socket.stream:
            for token in ("7", '"seven"', "null", "true", "1.50"):
                assert await socket.text(f'{{"op":"ping","id":{token}}}') == f'{{"op":"pong","id":{token}}}'.encode()
            assert await socket.text('{"op":"ping"}') == b'{"op":"pong"}'
            for garbage in ("no json", "[]", '{"op":"dance"}', '{"op":"subscribe"}', '{"op":"ping","id":{}}', "{" * 5000):
                assert b'"op":"error"' in await socket.text(garbage), garbage
            await socket.stream.send_all(bytes(socket.frames.send_data(b"\0\1", fin=True)))
            assert b'"op":"error"' in (await socket.read())[1]
            await socket.stream.send_all(bytes(socket.frames.ping(b"payload")))
            assert await socket.read() == (Opcode.PONG, b"payload")
            assert await socket.text('{"op":"subscribe","symbols":["BTCUSD"]}') == b'{"op":"subscribed","symbol":"BTCUSD"}'
            assert (await socket.read())[1].startswith(b'{"type":"quote","symbol":"BTCUSD"')


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x05hello", 1002),
        (b"\xf1\x80\0\0\0\0", 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x09\x80\0\0\0\0", 1002),
        (b"\x81\x82\0\0\0\0\xff\xfe", 1007),
    ],
    ids=["unmasked", "reserved bits", "bad opcode", "fragmented ping", "no UTF-8"],
)
async def test_close_codes_can_be_read(frame: bytes, code: int) -> None:
    """Who breaks the protocol is told how, before the connection ends (RFC 6455 §7.4.1)."""
    async with serving() as server:
        _, socket = await handshake(server)
        async with socket.stream:
            await socket.stream.send_all(frame)
            assert code == await socket.close_code()


async def test_two_mebibytes_are_too_big() -> None:
    """1009, and the code can be read although the rest was never wanted."""
    async with serving() as server:
        _, socket = await handshake(server)
        async with socket.stream, trio.open_nursery() as nursery:
            nursery.start_soon(socket.stream.send_all, bytes(socket.frames.send_data("x" * 2**21, fin=True)))
            assert await socket.close_code() == 1009


async def test_who_may_connect_over_websocket() -> None:
    """401 without the token; 403 for web pages, unless they are listed, however they hide the header."""
    good, evil = "Origin: https://good.example", "Origin: https://evil.example"
    bearer = "Authorization: Bearer secret"
    cases = [((), b"401"), ((bearer,), b"101"), ((bearer, good), b"101"), ((bearer, evil), b"403")]
    cases += [((bearer, evil, good), b"403"), ((bearer, good, evil), b"403"), (("Authorization: Bearer wrong",), b"401")]
    async with serving(token="secret") as server:
        for headers, status in cases:
            answer, socket = await handshake(server, *headers)
            await trio.aclose_forcefully(socket.stream)
            assert answer.split(b" ")[1] == status, headers


async def test_a_full_server_says_so() -> None:
    """One client too many: an ERROR, or 503."""
    async with serving(ServerPolicy(max_clients=1)) as server, await dial(server, "tcp") as first:
        assert await ask(first, b"PING\n") == b"PONG\n"
        async with await dial(server, "tcp") as second:
            assert (await read_to_end(second)).startswith(b"ERROR:server_full:")
        answer, socket = await handshake(server)
        await trio.aclose_forcefully(socket.stream)
        assert answer.split(b" ")[1] == b"503"
        assert await ask(first, b"PING\n") == b"PONG\n"


@pytest.mark.parametrize("protocol", ["tcp", "ws"])
async def test_junk_does_not_hurt_the_next_client(protocol: str) -> None:
    """Half handshakes, resets, TLS, silence: the server goes on."""
    async with serving(ServerPolicy(handshake_timeout=0.3)) as server:
        for junk in (b"", b"GET / HT", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"\0" * 100_000):
            stream = await dial(server, protocol)
            try:
                await stream.send_all(junk)
                await trio.sleep(0.01)
                if protocol == "ws" and junk.startswith(b"GET"):
                    await read_to_end(stream)  # dropped after the handshake timeout
            except trio.BrokenResourceError:
                pass
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await trio.aclose_forcefully(stream)
        async with await dial(server, "tcp") as stream:
            assert await ask(stream, b"PING\n") == b"PONG\n"
