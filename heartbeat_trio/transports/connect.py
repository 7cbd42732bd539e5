"""From an endpoint to a transport, and from an accepted stream to one: TCP, TLS, tokens and handshakes."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
import time
from typing import TYPE_CHECKING

import trio

from ..endpoint import Endpoint
from ..exceptions import ConfigError, ConnectError, ConnectionClosed, ConnectionLost, LossCause
from ..protocol.dialect_codec import DialectCodec
from ..protocol.messages import Auth, AuthOk, ErrorNotice, Ping, Welcome
from .decoding import Decoders
from .evidence import SocketStream, open_socket_stream
from .tapped import TappedWebSocketTransport
from .tcp import LineTransport
from .tls import client_context, wrap_tls
from .trio_websocket import adopt_websocket
from .websocket import WebSocketTransport, connect_websocket

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio_websocket

    from .abc import Connector, Transport

TIMED_OUT = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH})


async def connect_transport(
    where: Endpoint | trio_websocket.WebSocketConnection,
    nursery: trio.Nursery,
    *,
    timeout: float,
    connector: Connector | None = None,
    token: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    on_raw: Callable[[bytes], None] | None = None,
    user_timeout: float | None = None,
    decoders: Decoders | None = None,
) -> Transport:
    """Open a connection, with everything up to the first message of its user.

    Args:
        where: An endpoint, or a WebSocket connection that the application opened.
        nursery: The connection's nursery.
        timeout: Seconds for name, TCP, TLS, handshake and token together.
        connector: Opens byte streams; real sockets by default.
        token: Goes into the first line over TCP, into ``Authorization: Bearer`` over WebSocket.
        ssl_context: For ``tcps://`` and ``wss://``.
        on_raw: Called with each message as it came.
        user_timeout: Seconds after which the kernel may give up unacknowledged data, as a backstop; see
            `SocketStream.set_user_timeout`.
        decoders: Makes what decodes a venue's quotes; new ones by default.

    Raises:
        ConfigError: The token would leave in the clear.
        ConnectError: It failed; nothing is left open.
    """
    if not isinstance(where, Endpoint):
        await trio.lowlevel.checkpoint()
        return adopt_websocket(where, nursery, on_raw=on_raw)
    _check_token(where, token)
    stream: trio.abc.Stream | None = None
    transport: Transport | None = None
    try:
        with trio.fail_after(timeout):
            stream = await (connector or open_socket_stream)(where.host, where.port)
            if user_timeout is not None and isinstance(stream, SocketStream):
                stream.set_user_timeout(user_timeout)
            if where.is_tls:
                stream = wrap_tls(stream, ssl_context or client_context(), server_side=False, server_hostname=where.host)
                await stream.do_handshake()
            transport = await _converse(where, stream, nursery, token, on_raw, make_codec(where, decoders))
            return transport
    except Exception as error:
        failure = _explain(where, error, timeout, has_address=stream is not None)
        if failure is None:
            raise
        raise failure from error
    finally:
        if transport is None and stream is not None:
            await trio.aclose_forcefully(stream)


async def _converse(
    where: Endpoint,
    stream: trio.abc.Stream,
    nursery: trio.Nursery,
    token: str | None,
    on_raw: Callable[[bytes], None] | None,
    codec: DialectCodec | None,
) -> Transport:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if where.is_websocket:
        transport = await _shake_hands(where, stream, nursery, headers, codec, on_raw)
        if codec is not None:
            await _open_conversation(transport, codec)
        return transport
    await trio.lowlevel.checkpoint()
    lines = LineTransport(stream, nursery, role="client", bare_pings=where.dialect == "tutorial", on_raw=on_raw)
    if token:
        await _authenticate(lines, token)
    return lines


async def _shake_hands(
    where: Endpoint,
    stream: trio.abc.Stream,
    nursery: trio.Nursery,
    headers: dict[str, str],
    codec: DialectCodec | None,
    on_raw: Callable[[bytes], None] | None,
) -> WebSocketTransport | TappedWebSocketTransport:
    if where.engine == "native":
        return await connect_websocket(stream, nursery, where, headers, on_raw=on_raw, codec=codec)
    engine = TappedWebSocketTransport(stream, nursery, role="client", on_raw=on_raw, codec=codec)
    await engine.connect(where, headers)
    return engine


def make_codec(where: Endpoint, decoders: Decoders | None = None) -> DialectCodec | None:
    """The codec of a venue's dialect for one connection; None: one of our own protocols is spoken.

    Args:
        where: The endpoint.
        decoders: Those of the session's earlier connections.

    Raises:
        ConfigError: The dialect names quotes of which nothing is known.
    """
    venue = where.venue
    if venue is None:
        return None
    decode_quotes = (decoders or Decoders()).make(venue.quotes)
    return DialectCodec(venue, parameters=dict(where.parameters), unix_time=time.time, decode_quotes=decode_quotes)


async def _open_conversation(transport: WebSocketTransport | TappedWebSocketTransport, codec: DialectCodec) -> None:
    """Wait for the venue's welcome, if it has one, and say what is to be said first."""
    await trio.lowlevel.checkpoint()
    has_welcome = not codec.dialect.opening.welcome
    while not has_welcome:
        messages = await transport.receive()
        for message in messages:
            if isinstance(message, Ping) and not message.is_control:
                transport.pong(message)
        has_welcome = any(isinstance(message, Welcome) for message in messages)
        transport.early += [message for message in messages if not isinstance(message, Ping)]
    for text in codec.opening():
        transport.put_text(text)


async def _authenticate(transport: Transport, token: str) -> None:
    await transport.send(Auth(token))
    while True:
        for message in await transport.receive():
            if isinstance(message, AuthOk):
                return
            if isinstance(message, ErrorNotice):
                raise ConnectError(
                    f"{transport.peer} refused the token: {message.code} {message.message}", cause="handshake", status=401
                )


def _check_token(where: Endpoint, token: str | None) -> None:
    if token is None or where.is_tls or _is_loopback(where.host):
        return
    secure = "wss" if where.is_websocket else "tcps"
    raise ConfigError(f"a token is not sent in the clear to {where.authority}: use {secure}:// instead of {where.scheme}://")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _explain(where: Endpoint, error: BaseException, timeout: float, *, has_address: bool) -> ConnectError | None:
    """What a failed attempt is to the user; None for what is no failure of the network."""
    if isinstance(error, ConnectError):
        return ConnectError(f"connecting to {where} failed: {error}", cause=error.cause, status=error.status)
    if isinstance(error, trio.TooSlowError):
        return ConnectError(f"connecting to {where} took longer than {timeout:g} s", cause="connect_timeout")
    if isinstance(error, ConnectionLost | ConnectionClosed):
        return ConnectError(f"connecting to {where} failed: {error}", cause="handshake")
    if isinstance(error, UnicodeError) and not has_address:  # no resolver is asked for a name that cannot be encoded
        return ConnectError(f"connecting to {where} failed: the host's name is impossible: {error}", cause="dns")
    if isinstance(error, OSError | trio.BrokenResourceError):
        first = _first_leaf(error)
        return ConnectError(f"connecting to {where} failed: {first}", cause=_cause(first))
    return None


def _first_leaf(error: BaseException) -> BaseException:
    """Follow causes and groups down to the first thing that went wrong."""
    while True:
        below = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
        if below is None:
            return error
        error = below


def _cause(error: BaseException) -> LossCause:
    if isinstance(error, socket.gaierror):
        return "dns"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, TimeoutError) or getattr(error, "errno", None) in TIMED_OUT:
        return "connect_timeout"
    return "reset" if isinstance(error, ConnectionResetError | trio.BrokenResourceError) else "connect_refused"
