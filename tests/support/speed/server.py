"""A peer in a process of its own that belongs to no library: raw sockets, a thread per connection.

The path of the URL says how it behaves:

- `/flood`: sends quotes as fast as they are taken, or `rate` a second, `count` of them, or for ever the same (`again=1`),
  with at most `buffer` bytes queued on its side; answers pings between its writes;
- `/answer`: one prepared message for each message that comes;
- `/quiet`: answers each ping `delay` seconds late, and sends `rate` quotes a second;
- `/refuse`: accepts, then closes with 1013, "try again later";
- `/stuck`: never reads again after the handshake;
- `/connects`: how many have connected so far, in plain HTTP.

It prints one JSON line with its ports (`tcp` answers each 256 bytes with 256 bytes), and ends when its input does.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import itertools
import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

SIZE = 256
"""Bytes of a message in the round-trip measurement, in both directions."""

CHUNK = 250
"""Quotes in one write: about 23 KB."""

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PING, PONG, CLOSE = 9, 10, 8


def quote(seq: int) -> bytes:
    """A quote of about 115 bytes, as our own protocol says it."""
    price = 700 + seq % 1000 / 10
    return b'{"type":"quote","symbol":"BTCUSD","bid":%.3f,"ask":%.3f,"seq":%d,"stream":"k3f9","ts":17000000%08d}' % (
        price,
        price + 0.142,
        seq,
        seq,
    )


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """One final, unmasked frame."""
    size = len(payload)
    head = struct.pack("!BB", 0x80 | opcode, size) if size < 126 else struct.pack("!BBH", 0x80 | opcode, 126, size)
    return head + payload


ANSWER = frame(
    json.dumps({"op": "order_ack", "id": "a" * 64, "state": "acknowledged", "reason": ""})
    .encode()[:-2]
    .ljust(SIZE - 2, b"x")
    + b'"}'
)


class Frame(NamedTuple):
    """What a client sent."""

    opcode: int
    payload: bytes


def frames(data: bytearray) -> Iterator[Frame]:
    """Take whole masked frames off the front of a buffer. Only control frames' payloads are unmasked."""
    while len(data) >= 6:
        opcode, size, start = data[0] & 15, data[1] & 127, 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        end = start + 4 + size
        if len(data) < end:
            return
        mask, payload = data[start : start + 4], bytes(data[start + 4 : end])
        del data[:end]
        if opcode >= CLOSE:
            payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        yield Frame(opcode, payload)


class Client:
    """One connection after its handshake."""

    def __init__(self, sock: socket.socket, options: dict[str, str], data: bytearray) -> None:
        self._sock = sock
        self._options = options
        self._data = data

    def number(self, name: str, default: float) -> float:
        """An option of the path."""
        return float(self._options.get(name, default))

    def pump(self, *, wait: float | None) -> int:
        """Read once, answer what is to be answered, and return how many messages came.

        Args:
            wait: Seconds to wait for bytes; 0: take what is there; None: for ever.

        Raises:
            OSError: The client has gone.
        """
        self._sock.settimeout(wait)
        try:
            data = self._sock.recv(262144)
        except (BlockingIOError, TimeoutError):
            return 0
        finally:
            self._sock.settimeout(None)
        if not data:
            raise ConnectionResetError
        self._data += data
        return self.answer()

    def answer(self) -> int:
        """Answer the control frames that have come whole; returns how many messages did."""
        count, delay = 0, self.number("delay", 0)
        for each in frames(self._data):
            if each.opcode == PING:
                time.sleep(delay)
                self._sock.sendall(frame(each.payload, PONG))
            elif each.opcode == CLOSE:
                self._sock.sendall(frame(each.payload, CLOSE))
                raise ConnectionResetError
            elif each.opcode < CLOSE:
                count += 1
        return count

    def flood(self) -> None:
        """Quotes as fast as they are taken, or at a rate."""
        if "buffer" in self._options:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, int(self.number("buffer", 0)))
        count, rate = int(self.number("count", 100_000)), self.number("rate", 0)
        size = max(1, min(CHUNK, int(rate / 200))) if rate else CHUNK
        chunks = [
            b"".join(frame(quote(seq)) for seq in range(first, min(first + size, count + 1)))
            for first in range(1, count + 1, size)
        ]
        began, again = time.monotonic(), self.number("again", 0)
        for number, chunk in enumerate(itertools.cycle(chunks) if again else chunks):
            self._sock.sendall(chunk)
            ahead = began + number * size / rate - time.monotonic() if rate else 0
            self.pump(wait=max(0.0, ahead))
        while True:
            self.pump(wait=None)

    def answer_messages(self) -> None:
        """One for one."""
        while True:
            count = self.pump(wait=None)
            if count:
                self._sock.sendall(ANSWER * count)

    def quiet(self) -> None:
        """Pongs, and quotes at a rate."""
        rate, began, seq = self.number("rate", 0), time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * rate)
            if due > seq:
                self._sock.sendall(b"".join(frame(quote(each)) for each in range(seq + 1, due + 1)))
                seq = due
            self.pump(wait=1 / rate if rate else None)

    def refuse(self) -> None:
        """Close at once."""
        self._sock.sendall(frame(struct.pack("!H", 1013) + b"try again later", CLOSE))
        self.pump(wait=1)

    def stick(self) -> None:
        """Read nothing more."""
        time.sleep(3600)


class Server:
    """Counts who connects, and gives each a thread."""

    def __init__(self, port: int) -> None:
        self.connects = 0
        self.websocket = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.plain = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._lock = threading.Lock()
        self._ready: dict[str, bytes] = {}

    def accept(self, listener: socket.socket, *, is_websocket: bool) -> None:
        """For ever."""
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            target = self.serve_websocket if is_websocket else self.serve_plain
            threading.Thread(target=target, args=[sock], daemon=True).start()

    def serve_plain(self, sock: socket.socket) -> None:
        """256 bytes for 256 bytes."""
        waiting = 0
        try:
            while data := sock.recv(262144):
                count, waiting = divmod(waiting + len(data), SIZE)
                if count:
                    sock.sendall(b"x" * (SIZE * count))
        except OSError:
            pass

    def serve_websocket(self, sock: socket.socket) -> None:
        """The handshake, and then what the path says."""
        data = bytearray()
        with sock:
            try:
                while b"\r\n\r\n" not in data:
                    received = sock.recv(65536)
                    if not received:
                        return
                    data += received
                head, _, rest = bytes(data).partition(b"\r\n\r\n")
                where = urlsplit(head.split(b" ")[1].decode())
                if where.path == "/connects":
                    sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%d" % self.connects)
                    return
                self.behave(Client(sock, dict(parse_qsl(where.query)), bytearray(rest)), where.path, sock, head)
            except OSError:
                pass

    def behave(self, client: Client, path: str, sock: socket.socket, head: bytes) -> None:
        """One client's life."""
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        key = next(value for name, value in lines.items() if name.lower() == b"sec-websocket-key")
        proof = base64.b64encode(hashlib.sha1(key.strip() + GUID).digest())  # noqa: S324 - RFC 6455 asks for it
        upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        sock.sendall(upgrade + b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n")
        with self._lock:
            self.connects += 1
        ways = {
            "/flood": client.flood,
            "/answer": client.answer_messages,
            "/quiet": client.quiet,
            "/refuse": client.refuse,
            "/stuck": client.stick,
        }
        client.answer()
        ways[path]()


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", type=int, default=-1)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    if options.core >= 0:
        os.sched_setaffinity(0, {options.core})
    threading.stack_size(256 * 1024)
    server = Server(options.port)
    for listener, is_websocket in ((server.websocket, True), (server.plain, False)):
        threading.Thread(target=server.accept, args=[listener], kwargs={"is_websocket": is_websocket}, daemon=True).start()
    ports = {"ws": server.websocket.getsockname()[1], "tcp": server.plain.getsockname()[1]}
    print(json.dumps(ports), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
