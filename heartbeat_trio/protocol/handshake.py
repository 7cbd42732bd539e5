"""The HTTP part of a WebSocket (RFC 6455 §4), on either side: wsproto reads and writes it, this bounds and completes it.

A head is gathered here and handed on whole: wsproto loses what a client sends behind its request, and h11 would search an
unfinished head from its beginning with every byte. What wsproto does not check is checked here.
"""

from __future__ import annotations

import base64
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, RejectConnection, Request
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

from ..exceptions import LocalProtocolError
from .frame_events import (
    PROTOCOL_ERROR,
    BadRequest,
    HandshakeAccepted,
    HandshakeRejected,
    HandshakeRequested,
    ProtocolFailed,
)
from .tap import END_OF_HEADERS
from .wire import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsproto.events import Event
    from wsproto.extensions import Extension

MAX_HEAD = 16 * 1024
"""Bytes of a request or response head."""

MAX_EARLY = 64 * 1024
"""Bytes that a client may send before it was accepted. It should send none (RFC 6455 §4.1), but none are lost."""

MAX_BODY_START = 1024
"""Bytes that are kept of the body with which a handshake was refused."""

REFUSAL_HEADERS = {
    401: ("WWW-Authenticate: Bearer",),
    426: ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
}
"""What RFC 9110 §15.5.2, §15.5.22 and §7.8 want beside a status."""

RESERVED_HEADERS = re.compile(r"host|connection|upgrade|sec-websocket-.*|content-length|transfer-encoding", re.IGNORECASE)
"""Headers of a request that are not the caller's."""

_VISIBLE = re.compile(r"[!-~]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~\-]+")
_HEADER_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")


class _Unfit(Exception):
    """A head that is no handshake, and the HTTP status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = printable(reason, 256)


class _Head:
    """Gathers a request's or response's head. ``rest`` is what came behind it."""

    def __init__(self, start: bytes) -> None:
        self._start = start
        self._data = b""
        self.rest = b""

    def receive_data(self, data: bytes) -> bytes | None:
        """Return the head once it is complete; raises `_Unfit` as soon as it can be none."""
        begin = max(0, len(self._data) - len(END_OF_HEADERS))
        self._data += data
        if not self._data.startswith(self._start) and not self._start.startswith(self._data):
            raise _Unfit(400, f"expected {self._start.decode()!r}")
        end = self._data.find(END_OF_HEADERS, begin, MAX_HEAD)
        if end >= 0:
            end += len(END_OF_HEADERS)
            head, self.rest, self._data = self._data[:end], self._data[end:], b""
            return head
        if len(self._data) >= MAX_HEAD:
            raise _Unfit(431, f"more than {MAX_HEAD} bytes of headers")
        return None


class ClientHandshake:
    """A client's request and the answer to it.

    Args:
        host: The ``Host`` header.
        path: Path and query.
        headers: More headers.
        extension: What is offered.

    Raises:
        LocalProtocolError: One of them cannot stand in a request.
    """

    def __init__(self, host: str, path: str, headers: Sequence[tuple[str, str]], extension: Extension | None = None) -> None:
        _check_target(host, path)
        _check_headers(headers)
        extra = [(name.encode(), value.encode()) for name, value in headers]
        self._request = Request(host, path, extensions=[extension] if extension else [], extra_headers=extra)
        self._wsproto = H11Handshake(ConnectionType.CLIENT)
        self._head = _Head(b"HTTP/1.")

    @property
    def rest(self) -> bytes:
        """What the server sent behind its response."""
        return self._head.rest

    def request(self) -> bytes:
        """The request to send."""
        return self._wsproto.send(self._request)

    def receive_data(self, data: bytes) -> HandshakeAccepted | HandshakeRejected | ProtocolFailed | None:
        """Take bytes and return how the handshake ended, once it did."""
        try:
            head = self._head.receive_data(data)
            return None if head is None else self._read(head)
        except _Unfit as error:
            return ProtocolFailed(PROTOCOL_ERROR, f"bad response to the handshake: {error.reason}")

    def _read(self, head: bytes) -> HandshakeAccepted | HandshakeRejected:
        event = _parse(self._wsproto, head)
        if isinstance(event, RejectConnection):
            return HandshakeRejected(event.status_code, self.rest[:MAX_BODY_START])
        if not head.startswith(b"HTTP/1.1 "):
            raise _Unfit(400, "HTTP/1.1 is needed")
        del self._request, self._wsproto  # h11 and a second frame protocol: more than all that is needed from now on
        return HandshakeAccepted()


class ServerHandshake:
    """A server's side: the request, and the answer to it.

    Args:
        extension: What is taken where it is offered.
    """

    def __init__(self, extension: Extension | None = None) -> None:
        self._extension = extension
        self._wsproto = H11Handshake(ConnectionType.SERVER)
        self._head = _Head(b"GET ")
        self._requested: HandshakeRequested | None = None

    @property
    def rest(self) -> bytes:
        """What the client sent behind its request."""
        return self._head.rest

    def receive_data(self, data: bytes) -> HandshakeRequested | BadRequest | None:
        """Take bytes and return the request, once it is there; later ones are kept for after the handshake."""
        try:
            if self._requested is None:
                return self._receive_request(data)
            self._head.rest += data
            self._check_rest()
        except _Unfit as error:
            return BadRequest(error.status, error.reason)
        return None

    def accept(self) -> bytes:
        """The response that agrees."""
        data = self._wsproto.send(AcceptConnection(extensions=[self._extension] if self._extension else []))
        del self._wsproto
        return data

    @staticmethod
    def reject(status: int, reason: str) -> bytes:
        """The response that does not. It is built by hand, since wsproto cannot answer what it could not parse."""
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError as error:
            raise LocalProtocolError(f"{status} is no HTTP status") from error
        body = f"{reason}\n".encode(errors="replace")
        head = [f"HTTP/1.1 {status} {phrase}", "Connection: close", *REFUSAL_HEADERS.get(status, ())]
        head += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(head).encode() + body

    def _receive_request(self, data: bytes) -> HandshakeRequested | None:
        head = self._head.receive_data(data)
        if head is None:
            return None
        event = _parse(self._wsproto, head)
        if not isinstance(event, Request) or not head.partition(b"\r\n")[0].endswith(b" HTTP/1.1"):
            raise _Unfit(400, "HTTP/1.1 is needed")
        headers = [("host", event.host)]
        headers += [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.extra_headers]
        requested = HandshakeRequested(event.target, tuple(headers))
        _check_request(requested)
        self._check_rest()
        self._requested = requested
        return requested

    def _check_rest(self) -> None:
        if len(self.rest) > MAX_EARLY:
            self._head.rest = b""
            raise _Unfit(400, "wait for the answer before you send more")


def _check_target(host: str, path: str) -> None:
    if not (_VISIBLE.fullmatch(host) and _VISIBLE.fullmatch(path) and path.startswith("/")):
        raise LocalProtocolError("host and path must be printable ASCII without blanks, the path beginning with /")
    try:
        host.encode("idna")  # as wsproto will
    except UnicodeError as error:
        raise LocalProtocolError(f"host {host!r}: {error}") from error


def _check_headers(headers: Sequence[tuple[str, str]]) -> None:
    for name, value in headers:
        if RESERVED_HEADERS.fullmatch(name) or not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
            raise LocalProtocolError(f"header {name!r} cannot be sent")  # its value may be a secret


def _parse(handshake: H11Handshake, head: bytes) -> Event | None:
    try:
        handshake.receive_data(head)
    except RemoteProtocolError as error:
        status = error.event_hint.status_code if isinstance(error.event_hint, RejectConnection) else 400
        raise _Unfit(status, str(error)) from error
    except ValueError as error:  # headers that should be ASCII and are not
        raise _Unfit(400, str(error)) from error
    return next(handshake.events(), None)


def _check_request(requested: HandshakeRequested) -> None:
    """Raise `_Unfit` for what wsproto lets pass (RFC 6455 §4.2.1)."""
    if any(requested.header(name) is not None for name in ("content-length", "transfer-encoding")):
        raise _Unfit(400, "a request for a WebSocket has no body")
    try:
        key = base64.b64decode(requested.header("sec-websocket-key") or "", validate=True)
    except ValueError:
        key = b""
    if len(key) != 16:
        raise _Unfit(400, "Sec-WebSocket-Key must be 16 bytes in base64")
