"""A peer that tells the truth: it floods one connection with quotes, and keeps when each ping came and its pong left.

Usage: truth_peer.py tcp|ws RATE [ADDRESS]. Prints the port; at the end, one JSON object: each ping's nonce with three times
in seconds: the kernel's receive timestamp of the ping, and the moments just before and just after the pong was handed to the
kernel. All are of the wall clock, and only their differences count. It is written on bare sockets, so that nothing of ours
measures itself.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from heartbeat_trio.protocol.frames import HandshakeRequested, PingReceived, WebSocketProtocol
from heartbeat_trio.transports.kernel import ANCILLARY, enable_timestamps, stamp_age

QUOTE = '{"type":"quote","symbol":"A","bid":1.5,"ask":1.6,"seq":%d,"stream":"s","ts":1700000000000000}'
TICK = 0.0005
BURST = 200

Answer = tuple[bytes, bytes]
"""A ping's nonce, and the bytes of its pong."""


class Lines:
    """The line protocol, as far as it is needed."""

    def __init__(self) -> None:
        self._rest = b""

    def receive(self, data: bytes) -> tuple[list[Answer], bytes]:
        """Answers to pings, and what else there is to say."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [(line[5:], b"PONG " + line[5:] + b"\n") for line in lines if line.startswith(b"PING ")], b""

    def quote(self, number: int) -> bytes:
        """One quote."""
        return b"QUOTE:%s\n" % (QUOTE % number).encode()


class Frames:
    """WebSocket."""

    def __init__(self) -> None:
        self._protocol = WebSocketProtocol("server")

    def receive(self, data: bytes) -> tuple[list[Answer], bytes]:
        """The same."""
        answers: list[Answer] = []
        for event in self._protocol.receive_data(data):
            if isinstance(event, HandshakeRequested):
                return [], self._protocol.accept()
            if isinstance(event, PingReceived):
                answers.append((event.payload, self._protocol.encode_pong(event.payload)))
        return answers, b""

    def quote(self, number: int) -> bytes:
        """One quote; none before the handshake."""
        return self._protocol.encode_text((QUOTE % number).encode()) if self._protocol.is_open else b""


class Flood:
    """Quotes at a rate, in order with everything else; a full socket delays them."""

    def __init__(self, sock: socket.socket, quote: Callable[[int], bytes], rate: float) -> None:
        self._sock = sock
        self._quote = quote
        self._rate = rate
        self._begin = time.monotonic()
        self._number = 0
        self._out = b""

    def add_due(self) -> None:
        """The quotes that are due by now."""
        due = int((time.monotonic() - self._begin) * self._rate)
        count = min(due - self._number, BURST)
        if count > 0 and len(self._out) < 1 << 16:
            self._out += b"".join(self._quote(self._number + each + 1) for each in range(count))
            self._number += count

    def send(self, data: bytes = b"") -> None:
        """Hand over what goes."""
        self._out += data
        with suppress(BlockingIOError):
            self._out = self._out[self._sock.send(self._out) :] if self._out else b""

    @property
    def is_blocked(self) -> bool:
        """Whether the socket is full."""
        return bool(self._out)


def serve(sock: socket.socket, wire: Lines | Frames, rate: float) -> dict[str, tuple[float, float, float]]:
    """One connection, until it ends."""
    times: dict[str, tuple[float, float, float]] = {}
    flood = Flood(sock, wire.quote, rate)
    while True:
        readable, _, _ = select.select([sock], [sock] if flood.is_blocked else [], [], TICK)
        if readable:
            try:
                data, ancillary, _, _ = sock.recvmsg(4096, ANCILLARY)
            except ConnectionError:
                return times
            came = time.time() - (stamp_age(ancillary) or 0.0)
            if not data:
                return times
            answers, rest = wire.receive(data)
            flood.send(rest)
            for nonce, pong in answers:
                begun = time.time()
                flood.send(pong)
                times[nonce.decode()] = (came, begun, time.time())
        flood.add_due()
        flood.send()


def main() -> None:
    """Serve one connection, and tell."""
    scheme, rate = sys.argv[1], float(sys.argv[2])
    address = sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1"
    with socket.create_server((address, 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        sock, _ = listener.accept()
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        assert enable_timestamps(sock)
        print(json.dumps(serve(sock, Lines() if scheme == "tcp" else Frames(), rate)), flush=True)


if __name__ == "__main__":
    main()
