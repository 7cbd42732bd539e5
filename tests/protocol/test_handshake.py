"""The HTTP part of a WebSocket: who is let in, who is told what, and that no head harms anybody."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.utilities import generate_accept_token

from heartbeat_trio.exceptions import LocalProtocolError
from heartbeat_trio.protocol.frame_events import (
    BadRequest,
    HandshakeAccepted,
    HandshakeRejected,
    HandshakeRequested,
    ProtocolFailed,
)
from heartbeat_trio.protocol.handshake import MAX_EARLY, MAX_HEAD, ClientHandshake, ServerHandshake

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
REQUEST = (
    b"GET /feed?x=1 HTTP/1.1\r\nHost: quotes:8765\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\nOrigin: http://a\r\nORIGIN: http://b\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\nAuthorization: Bearer s3cret\r\n\r\n" % KEY
)


def ask(request: bytes) -> HandshakeRequested | BadRequest | None:
    return ServerHandshake().receive_data(request)


def new_client() -> tuple[ClientHandshake, bytes]:
    """A client that has asked, and the response that it waits for."""
    client = ClientHandshake("quotes:8765", "/", [])
    lines = client.request().split(b"\r\n")
    (key,) = [line.partition(b": ")[2] for line in lines if line.lower().startswith(b"sec-websocket-key")]
    accept = generate_accept_token(key)
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return client, head + b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept


def test_a_request_is_understood() -> None:
    """The path is as sent, the names of headers are lower case, and repeated headers cannot hide one another."""
    request = ask(REQUEST)

    assert isinstance(request, HandshakeRequested)
    assert "/feed?x=1" == request.path
    assert ("host", "quotes:8765") == request.headers[0]
    assert "http://a, http://b" == request.header("origin")
    assert "Bearer s3cret" == request.header("authorization")
    assert request.header("cookie") is None


def test_a_token_does_not_show() -> None:
    assert "HandshakeRequested(path='/feed?x=1', headers=...)" == repr(ask(REQUEST))


def test_a_server_agrees() -> None:
    """The accept key is RFC 6455's own example; extensions are not agreed to."""
    server = ServerHandshake()
    server.receive_data(REQUEST)
    response = server.accept()

    assert response.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in response
    assert b"extensions" not in response.lower()


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ((b"GET ", b"POST "), BadRequest(400, "expected 'GET '")),
        ((b"HTTP/1.1", b"HTTP/1.0"), BadRequest(400, "HTTP/1.1 is needed")),
        ((b"HTTP/1.1", b"HTTP/3"), BadRequest(400, "Bad HTTP message")),
        ((b"Upgrade: websocket", b"Upgrade: h2c"), BadRequest(400, "Missing header, 'Upgrade: websocket'")),
        ((b"Connection: keep-alive, Upgrade", b"X: y"), BadRequest(400, "Missing header, 'Connection: Upgrade'")),
        ((b"Version: 13", b"Version: 8"), BadRequest(426, "Missing header, 'Sec-WebSocket-Version'")),
        ((b"Sec-WebSocket-Version: 13\r\n", b""), BadRequest(400, "Missing header, 'Sec-WebSocket-Version'")),
        ((b"Sec-WebSocket-Key", b"X"), BadRequest(400, "Missing header, 'Sec-WebSocket-Key'")),
        ((KEY, b"c2hvcnQ="), BadRequest(400, "Sec-WebSocket-Key must be 16 bytes in base64")),
        ((KEY, b"!" * 24), BadRequest(400, "Sec-WebSocket-Key must be 16 bytes in base64")),
        ((KEY, b"\xff" * 24), BadRequest(400, "Sec-WebSocket-Key must be 16 bytes in base64")),
        (
            (b"Origin: http://a", b"Sec-WebSocket-Key: " + KEY),
            BadRequest(400, "Sec-WebSocket-Key must be 16 bytes in base64"),
        ),
        ((b"Host: quotes:8765\r\n", b""), BadRequest(400, "Bad HTTP message")),
        ((b"Origin: http://a", b"Content-Length: 4"), BadRequest(400, "a request for a WebSocket has no body")),
        ((b"Origin: http://a", b"Transfer-Encoding: chunked"), BadRequest(400, "a request for a WebSocket has no body")),
    ],
)
def test_what_is_no_request_for_a_websocket(change: tuple[bytes, bytes], refusal: BadRequest) -> None:
    assert refusal == ask(REQUEST.replace(*change))


@pytest.mark.parametrize("change", [(b"Host: quotes", b"Host: \xff"), (b"Connection: k", b"Connection: \xff")])
def test_headers_that_should_be_ascii(change: tuple[bytes, bytes]) -> None:
    """Whatever the HTTP library thinks of them, the client is told, in printable words."""
    refusal = ask(REQUEST.replace(*change))

    assert isinstance(refusal, BadRequest)
    assert 400 == refusal.status
    assert refusal.reason.isprintable()


@pytest.mark.parametrize("greeting", [b"\x16\x03\x01", b"PING\n", b"GETTY", b"\r\n"])
def test_another_protocol_is_refused_at_once(greeting: bytes) -> None:
    """TLS, the line protocol, anything: there is no waiting for the end of its headers."""
    assert BadRequest(400, "expected 'GET '") == ask(greeting)


def test_an_endless_head_is_refused() -> None:
    """Whether it comes at once or byte by byte, and not before it is too long."""
    server = ServerHandshake()
    start = b"GET / HTTP/1.1\r\nX: "

    assert server.receive_data(start.ljust(MAX_HEAD - 1, b"x")) is None
    assert BadRequest(431, "more than 16384 bytes of headers") == server.receive_data(b"x")
    assert BadRequest(431, "more than 16384 bytes of headers") == ask(start.ljust(MAX_HEAD, b"x") + b"\r\n\r\n")


def test_what_comes_before_the_answer_is_kept_but_bounded() -> None:
    server = ServerHandshake()

    assert isinstance(server.receive_data(REQUEST + b"ab"), HandshakeRequested)
    assert server.receive_data(b"c") is None
    assert b"abc" == server.rest
    assert BadRequest(400, "wait for the answer before you send more") == server.receive_data(bytes(MAX_EARLY))
    assert b"" == server.rest
    assert BadRequest(400, "wait for the answer before you send more") == ask(REQUEST + bytes(MAX_EARLY + 1))


@pytest.mark.parametrize("status", [400, 401, 403, 426, 431, 503])
def test_a_refusal_is_http(status: int) -> None:
    """An independent reader sees its status, its reason, and what RFC 9110 wants beside it."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    reader.receive_data(ServerHandshake.reject(status, "because é"))
    response, body, end = reader.next_event(), reader.next_event(), reader.next_event()

    assert isinstance(response, h11.Response)
    assert status == response.status_code
    assert isinstance(body, h11.Data)
    assert "because é\n".encode() == bytes(body.data)
    assert isinstance(end, h11.EndOfMessage)
    names = {bytes(name) for name, _ in response.headers}
    assert (status == 401) == (b"www-authenticate" in names)
    assert (status == 426) == (b"sec-websocket-version" in names)


def test_a_refusal_needs_an_http_status() -> None:
    with pytest.raises(LocalProtocolError, match="1002 is no HTTP status"):
        ServerHandshake.reject(1002, "")


def test_a_client_asks() -> None:
    client = ClientHandshake("quotes:8765", "/feed?x=1", [("Authorization", "Bearer s3cret")])
    request = ask(client.request())

    assert isinstance(request, HandshakeRequested)
    assert "/feed?x=1" == request.path
    assert "quotes:8765" == request.header("host")
    assert "Bearer s3cret" == request.header("authorization")


@pytest.mark.parametrize(
    ("host", "path", "headers"),
    [
        ("", "/", []),
        ("a b", "/", []),
        ("a..b", "/", []),
        ("x" * 64, "/", []),
        ("a", "feed", []),
        ("a", "/a b", []),
        ("a", "/é", []),
        ("a", "/", [("X", "a\r\nY: b")]),
        ("a", "/", [("X", " a")]),
        ("a", "/", [("X", "é")]),
        ("a", "/", [("X Y", "a")]),
        ("a", "/", [("Host", "b")]),
        ("a", "/", [("sec-websocket-key", "b")]),
    ],
)
def test_what_no_request_can_carry(host: str, path: str, headers: list[tuple[str, str]]) -> None:
    with pytest.raises(LocalProtocolError):
        ClientHandshake(host, path, headers)


def test_the_value_of_a_header_is_not_shown() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        ClientHandshake("a", "/", [("Authorization", "Bearer s3cret\n")])

    assert "s3cret" not in str(caught.value)


def test_a_client_is_accepted_byte_by_byte() -> None:
    """And what came behind the response is kept."""
    client, response = new_client()

    assert {None} == {client.receive_data(response[i : i + 1]) for i in range(len(response) - 1)}
    assert HandshakeAccepted() == client.receive_data(response[-1:] + b"rest")
    assert b"rest" == client.rest


@pytest.mark.parametrize(
    ("response", "event"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", HandshakeRejected(200, b"<html>")),
        (b"HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\nbad token", HandshakeRejected(401, b"bad token")),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", HandshakeRejected(404, b"")),
        (b"HTTP/1.1 302 Found\r\nLocation: http://b/\r\n\r\n", HandshakeRejected(302, b"")),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", HandshakeRejected(103, b"")),
        (b"HTTP/1.1 500 Oops\r\n\r\n" + b"x" * 2000, HandshakeRejected(500, b"x" * 1024)),
    ],
)
def test_a_refused_client_learns_status_and_reason(response: bytes, event: HandshakeRejected) -> None:
    client, _ = new_client()

    assert event == client.receive_data(response)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((b"HTTP/1.1", b"PONG"), "expected 'HTTP/1.'"),
        ((b"HTTP/1.1 101", b"HTTP/1.0 101"), "HTTP/1.1 is needed"),
        ((b" 101 ", b" 1 "), "Bad HTTP message"),
        ((b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: x"), "Bad accept token"),
        ((b"Sec-WebSocket-Accept", b"X"), "Bad accept token"),
        ((b"Upgrade: websocket", b"Upgrade: h2c"), "Missing header, 'Upgrade: websocket'"),
        ((b"Connection: Upgrade", b"X: y"), "Missing header, 'Connection: Upgrade'"),
        ((b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: v1\r\n\r\n"), "unrecognized subprotocol v1"),
        ((b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: x\r\n\r\n"), "unrecognized extension x"),
        ((b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: \xff\r\n\r\n"), "'ascii' codec can't decode byte 0xff"),
        ((b"\r\n\r\n", b"\r\n" + b"x" * MAX_HEAD), "more than 16384 bytes of headers"),
    ],
)
def test_a_bad_response_fails(change: tuple[bytes, bytes], why: str) -> None:
    client, response = new_client()
    event = client.receive_data(response.replace(*change))

    assert isinstance(event, ProtocolFailed)
    assert 1002 == event.code
    assert event.reason.startswith(f"bad response to the handshake: {why}")


@given(
    st.sampled_from([b"", b"GET ", b"GET / HTTP/1.1\r\n", REQUEST[:-2]]), st.binary(), st.sampled_from([b"", b"\r\n\r\n"])
)
def test_no_request_raises(start: bytes, middle: bytes, end: bytes) -> None:
    assert isinstance(ask(start + middle + end), (HandshakeRequested, BadRequest, type(None)))


@given(st.sampled_from([b"", b"HTTP/1.", b"HTTP/1.1 200 OK\r\n", None]), st.binary(), st.sampled_from([b"", b"\r\n\r\n"]))
def test_no_response_raises(start: bytes | None, middle: bytes, end: bytes) -> None:
    client, response = new_client()
    event = client.receive_data((response[:-2] if start is None else start) + middle + end)

    assert isinstance(event, (HandshakeAccepted, HandshakeRejected, ProtocolFailed, type(None)))
