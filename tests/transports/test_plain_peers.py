"""Both engines against the plain trio-websocket library, on either side, and with connections that it opened itself."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio_websocket

from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.connection import Connection, open_connection
from heartbeat_trio.events import Event, PongLate, PongMissed, PongReceived, Quote
from heartbeat_trio.exceptions import ConnectError, ConnectionClosed, ConnectionLost, PongTimeout
from heartbeat_trio.protocol.messages import Message, Subscribed, Unknown
from heartbeat_trio.server import QuoteServer, SyntheticSource, serve_connection, serve_quotes

if TYPE_CHECKING:
    from collections.abc import Callable

ENGINES = ["", "#engine=trio-websocket"]
QUICK = HeartbeatPolicy(ping_interval=0.1, pong_timeout=0.08, max_missed_pongs=3)


async def answer(request: trio_websocket.WebSocketRequest) -> None:
    """A server that says what it hears, once, and reads on."""
    websocket = await request.accept()
    try:
        while True:
            text = str(await websocket.get_message())
            await websocket.send_message(f'{{"heard": {text}}}')
            if "goodbye" in text:
                await websocket.aclose(1000, "you said so")
    except trio_websocket.ConnectionClosed:
        pass


@pytest.mark.parametrize("engine", ENGINES)
async def test_our_client_with_their_server(engine: str, nursery: trio.Nursery) -> None:
    """Pings are answered, messages come back, and the close is understood."""
    server = await nursery.start(trio_websocket.serve_websocket, answer, "127.0.0.1", 0, None)
    pongs: list[Event] = []
    with trio.fail_after(5), pytest.raises(ConnectionClosed) as caught:
        async with open_connection(
            f"ws://127.0.0.1:{server.port}/path{engine}", heartbeat=QUICK, on_event=pongs.append
        ) as connection:
            await connection.subscribe("A")
            [echo] = await connection.receive_batch()
            assert isinstance(echo, Unknown)
            assert '"subscribe"' in echo.text
            await trio.sleep(0.5)
            assert sum(isinstance(event, PongReceived) for event in pongs) >= 4
            await connection.unsubscribe("goodbye")
            await trio.sleep_forever()
    assert (1000, "you said so", "peer") == (caught.value.code, caught.value.reason, caught.value.initiated_by)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_refused_handshake_says_its_status(engine: str, nursery: trio.Nursery) -> None:
    """With either engine, one bare exception."""

    async def refuse(request: trio_websocket.WebSocketRequest) -> None:
        await request.reject(404)

    server = await nursery.start(trio_websocket.serve_websocket, refuse, "127.0.0.1", 0, None)
    with trio.fail_after(5), pytest.raises(ConnectError, match="404") as caught:
        async with open_connection(f"ws://127.0.0.1:{server.port}/{engine}"):
            pass
    assert caught.value.status == 404
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"junk\r\n\r\n", b"\x16\x03\x01"])
async def test_what_is_no_websocket_server(engine: str, words: bytes, nursery: trio.Nursery) -> None:
    """It closes, says something else, or talks TLS: an error at once, not a hang."""

    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if words:
            await stream.send_all(words)
        await stream.aclose()

    listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    with trio.fail_after(2), pytest.raises(ConnectError):
        async with open_connection(f"ws://127.0.0.1:{port}/{engine}"):
            pass
    nursery.cancel_scope.cancel()


async def test_their_client_with_our_server(nursery: trio.Nursery) -> None:
    """Subscribes, gets quotes, pings and is answered, and says goodbye."""
    source = SyntheticSource(["A"], rate=50)
    server: QuoteServer = await nursery.start(partial(serve_quotes, source, ws="127.0.0.1:0"))
    with trio.fail_after(5):
        async with trio_websocket.open_websocket_url(server.addresses["ws"]) as websocket:
            await websocket.send_message('{"op":"subscribe","symbols":["A"]}')
            assert await websocket.get_message() == '{"op":"subscribed","symbol":"A"}'
            assert '"type":"quote"' in str(await websocket.get_message())
            async with trio.open_nursery() as drain:

                async def read() -> None:
                    try:
                        while True:
                            await websocket.get_message()
                    except trio_websocket.ConnectionClosed:
                        pass

                drain.start_soon(read)  # without it, the library's reader would never see the pong, nor the close
                await websocket.ping(b"payload")
                await websocket.aclose()
        while server.clients:
            await trio.sleep(0.01)
    nursery.cancel_scope.cancel()


async def test_a_connection_that_the_application_opened(nursery: trio.Nursery) -> None:
    """`open_connection(websocket)` watches over it, and leaves it open."""
    source = SyntheticSource(["A"], rate=50)
    server: QuoteServer = await nursery.start(partial(serve_quotes, source, ws="127.0.0.1:0"))
    events: list[Event] = []
    with trio.fail_after(5):
        async with trio_websocket.open_websocket_url(server.addresses["ws"]) as websocket:
            async with open_connection(websocket, heartbeat=QUICK, on_event=events.append) as connection:
                await connection.subscribe("A")
                got: list[Message] = []
                while len(got) < 20:
                    got += await connection.receive_batch()
                assert got[0] == Subscribed("A")
                assert all(isinstance(message, Quote) for message in got[1:])
            assert websocket.closed is not None  # said goodbye, as it was left in good order
    answered = [event for event in events if isinstance(event, PongReceived)]
    assert len(answered) >= 3
    assert all(event.rtt is not None and 0 < event.rtt < 0.08 for event in answered)
    nursery.cancel_scope.cancel()


async def test_a_silent_peer_of_the_application(nursery: trio.Nursery) -> None:
    """Found dead within the bound here as well; late pongs are seen."""

    async def freeze(request: trio_websocket.WebSocketRequest) -> None:
        await request.accept()
        await trio.sleep_forever()

    server = await nursery.start(trio_websocket.serve_websocket, freeze, "127.0.0.1", 0, None)
    events: list[Event] = []
    with trio.fail_after(5):
        websocket = await trio_websocket.connect_websocket_url(nursery, f"ws://127.0.0.1:{server.port}/")
        proxy = Held(websocket)
        start = trio.current_time()
        with pytest.raises(PongTimeout):
            async with open_connection(proxy, heartbeat=QUICK, on_event=events.append):  # type: ignore[arg-type]
                await trio.sleep_forever()
        assert trio.current_time() - start <= QUICK.bound + 0.2
        assert [1, 2, 3] == [event.missed for event in events if isinstance(event, PongMissed)]
        assert not [event for event in events if isinstance(event, PongReceived | PongLate)]
        await websocket.aclose()
    nursery.cancel_scope.cancel()


class Held:
    """A WebSocket connection whose pongs never come."""

    def __init__(self, websocket: trio_websocket.WebSocketConnection) -> None:
        self._websocket = websocket

    def __getattr__(self, name: str) -> object:
        return getattr(self._websocket, name)

    async def ping(self, _payload: bytes) -> None:
        await trio.sleep_forever()


async def test_serving_a_connection_that_the_application_accepted(nursery: trio.Nursery) -> None:
    """`serve_connection` beside the application's own handlers."""
    source = SyntheticSource(["A"], rate=50)
    server: QuoteServer = await nursery.start(partial(serve_quotes, source, tcp="127.0.0.1:0"))
    ends: list[type[Exception]] = []

    async def handle(request: trio_websocket.WebSocketRequest) -> None:
        websocket = await request.accept()
        try:
            await serve_connection(websocket, server)
        except (ConnectionClosed, ConnectionLost) as error:
            ends.append(type(error))

    theirs = await nursery.start(trio_websocket.serve_websocket, handle, "127.0.0.1", 0, None)
    with trio.fail_after(5):
        connection: Connection
        async with open_connection(f"ws://127.0.0.1:{theirs.port}/", heartbeat=QUICK) as connection:
            await connection.subscribe("A")
            got: list[Message] = []
            while len(got) < 10:
                got += await connection.receive_batch()
            assert got[0] == Subscribed("A")
        while not ends:
            await trio.sleep(0.01)
    assert ends == [ConnectionClosed]
    nursery.cancel_scope.cancel()


class Bursts:
    """A source that publishes three quotes at a time."""

    stream = "bursts"
    symbols = ("A",)

    async def prepare(self) -> None:
        await trio.lowlevel.checkpoint()

    async def run(self, publish: Callable[[list[Quote]], None]) -> None:
        seq = 0
        while True:
            await trio.sleep(0.02)
            publish([Quote("A", 1.0, 2.0, seq + 1 + more, self.stream, 0) for more in range(3)])
            seq += 3


async def test_quotes_that_leave_together_are_messages_of_their_own(nursery: trio.Nursery) -> None:
    """Where somebody else's library frames them: glued together they would be no JSON."""
    server: QuoteServer = await nursery.start(partial(serve_quotes, Bursts(), tcp="127.0.0.1:0"))

    async def handle(request: trio_websocket.WebSocketRequest) -> None:
        with suppress(ConnectionClosed, ConnectionLost):
            await serve_connection(await request.accept(), server)

    theirs = await nursery.start(trio_websocket.serve_websocket, handle, "127.0.0.1", 0, None)
    got: list[Message] = []
    with trio.fail_after(5):
        async with open_connection(f"ws://127.0.0.1:{theirs.port}/", heartbeat=QUICK) as connection:
            await connection.subscribe("A")
            while len(got) < 20:
                got += await connection.receive_batch()
    quotes = [each for each in got[1:] if isinstance(each, Quote)]
    assert len(got) == len(quotes) + 1
    assert [each.seq for each in quotes] == list(range(quotes[0].seq, quotes[0].seq + len(quotes)))
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("scheme", "words", "told"),
    [
        ("ws", b"HTTP/1.0 101 OK\r\n\r\n", r"broke the WebSocket protocol: bad response to the handshake: [^=]+$"),
        ("tcp", b"\xff\xfe\n", r"sent what is no line of text: a line must be UTF-8$"),
        ("tcp", b"x" * 5000, r"sent what is no line of text: a line has at most 4096 bytes$"),
    ],
)
async def test_what_a_peer_did_wrong_is_told_in_words(scheme: str, words: bytes, told: str, nursery: trio.Nursery) -> None:
    """And not as the names of our own records."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(words)
        await trio.sleep_forever()

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    port = listener.socket.getsockname()[1]
    with trio.fail_after(5), pytest.raises((ConnectError, ConnectionLost), match=told):
        async with open_connection(f"{scheme}://127.0.0.1:{port}{'/' if scheme == 'ws' else ''}") as connection:
            while True:
                await connection.receive_batch()
    nursery.cancel_scope.cancel()
