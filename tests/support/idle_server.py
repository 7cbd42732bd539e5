"""A cheap WebSocket server that answers pings with pongs and nothing else, for thousands of quiet clients at once.

Usage: idle_server.py. Prints its port, and lives until its input ends. ``GET /count`` is answered with the number of pings
answered so far, in decimal. It is written on bare sockets and epoll, so that it costs the clients' machine next to nothing.
"""

from __future__ import annotations

import base64
import hashlib
import select
import socket

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PING, CLOSE = 0x89, 0x88


class Peer:
    """One client."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rest = b""
        self.is_open = False


class Server:
    """All of them."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(0, select.EPOLLIN)
        self._peers: dict[int, Peer] = {}
        self._answered = 0

    def run(self) -> None:
        """Serve until the input ends."""
        while True:
            for number, _ in self._epoll.poll():
                if number == 0:
                    return
                if number == self._listener.fileno():
                    self._accept()
                elif not self._serve(peer := self._peers[number]):
                    del self._peers[number]
                    peer.sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[sock.fileno()] = Peer(sock)
            self._epoll.register(sock, select.EPOLLIN)

    def _serve(self, peer: Peer) -> bool:
        """Read once and answer; whether to go on."""
        try:
            data = peer.sock.recv(4096)
            answer = self._answer(peer, peer.rest + data) if data else b""
            if answer:
                peer.sock.send(answer)
        except OSError:
            return False
        return bool(data) and answer[:1] != bytes((CLOSE,))

    def _answer(self, peer: Peer, data: bytes) -> bytes:
        if not peer.is_open:
            head, separator, peer.rest = data.partition(b"\r\n\r\n")
            if not separator:
                peer.rest = data
                return b""
            if head.startswith(b"GET /count "):
                return b"%d\n" % self._answered
            peer.is_open = True
            return accept(head)
        answers = b""
        while len(data) >= 6 and len(data) >= 6 + (size := data[1] & 0x7F):
            kind, mask, payload = data[0], data[2:6], data[6 : 6 + size]
            data = data[6 + size :]
            plain = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
            if kind == PING:
                self._answered += 1
                answers += bytes((0x8A, size)) + plain
            elif kind == CLOSE:
                return bytes((CLOSE, size)) + plain
        peer.rest = data
        return answers


def accept(head: bytes) -> bytes:
    """Agree to a handshake."""
    lines = head.split(b"\r\n")
    [key] = [line.partition(b":")[2].strip() for line in lines if line.lower().startswith(b"sec-websocket-key:")]
    digest = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + digest
        + b"\r\n\r\n"
    )


def main() -> None:
    """Serve."""
    server = Server()
    print(server.port, flush=True)
    server.run()


if __name__ == "__main__":
    main()
