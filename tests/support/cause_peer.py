"""A peer that misbehaves on command: a process of its own, which serves quotes and answers pings until told otherwise.

Prints one JSON line with its addresses. Each line on its standard input is a command: ``hold`` (quotes go on, pongs do not)
or ``deaf`` (nothing is read any more).
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from functools import partial

import trio

from heartbeat_trio.events import Quote
from heartbeat_trio.exceptions import ConnectionClosed, ConnectionLost
from heartbeat_trio.protocol.messages import Ping
from heartbeat_trio.transports.evidence import SocketStream, listen_tcp
from heartbeat_trio.transports.over_stream import StreamTransport
from heartbeat_trio.transports.tcp import accept_tcp
from heartbeat_trio.transports.websocket import accept_websocket

QUOTE = Quote("A", 1.0, 2.0, 1, "s", 1)
LIMIT = 1 << 20


class Peer:
    """All connections, and what they were told."""

    def __init__(self, *, rate: float, delay: float) -> None:
        self._interval = 1 / rate
        self._delay = delay
        self._is_holding = False
        self._reading = trio.CancelScope()
        self.is_deaf = False
        self._scopes: list[trio.CancelScope] = []

    def obey(self, command: str) -> None:
        """Misbehave from now on."""
        self._is_holding = self._is_holding or command == "hold"
        if command == "deaf":
            self.is_deaf = True
            for scope in self._scopes:
                scope.cancel()

    async def serve(self, scheme: str, stream: SocketStream) -> None:
        """One connection."""
        try:
            async with trio.open_nursery() as nursery:
                if scheme == "tcp":
                    transport: StreamTransport = await accept_tcp(stream, nursery, control_limit=LIMIT)
                else:
                    transport = await accept_websocket(
                        stream, nursery, check=lambda _path, _headers: None, control_limit=LIMIT
                    )
                    answer = transport.pong
                    transport.pong = lambda _ping: None  # type: ignore[method-assign, assignment]  # answered below, or not
                    nursery.start_soon(self._read, transport, answer, nursery)
                if scheme == "tcp":
                    nursery.start_soon(self._read, transport, transport.pong, nursery)
                while True:
                    transport.put(transport.encode(QUOTE))
                    await trio.sleep(self._interval)
        except* (ConnectionClosed, ConnectionLost, trio.BrokenResourceError):
            pass

    async def _read(self, transport: StreamTransport, answer: object, nursery: trio.Nursery) -> None:
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            while True:
                for message in await transport.receive():
                    if isinstance(message, Ping):
                        nursery.start_soon(self._answer, answer, message)
        await trio.sleep_forever()

    async def _answer(self, answer: object, ping: Ping) -> None:
        await trio.sleep(self._delay)
        if not self._is_holding:
            answer(ping)  # type: ignore[operator]  # the transport's own method


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=5.0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--buffer", type=int, default=0)
    options = parser.parse_args()
    peer = Peer(rate=options.rate, delay=options.delay)
    addresses: dict[str, str] = {}
    async with trio.open_nursery() as nursery:
        for scheme in ("tcp", "ws"):
            listeners = await listen_tcp("127.0.0.1", 0)
            if options.buffer:  # inherited by what is accepted
                for listener in listeners:
                    listener._listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.buffer)
            addresses[scheme] = f"{scheme}://{listeners[0].address}"
            nursery.start_soon(partial(trio.serve_listeners, partial(peer.serve, scheme), listeners))
        print(json.dumps(addresses), flush=True)
        while command := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            peer.obey(command.strip())


if __name__ == "__main__":
    trio.run(main)
