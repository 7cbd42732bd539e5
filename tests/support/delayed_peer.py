"""A quote server in a process of its own, some way away: every byte takes `--delay` seconds in each direction.

Prints one JSON line with the addresses: tcp and ws, and tcps and wss where a certificate is given.
"""

from __future__ import annotations

import argparse
import json
from functools import partial

import trio

from heartbeat_trio.config import ServerPolicy
from heartbeat_trio.server import SyntheticSource, serve_quotes
from heartbeat_trio.transports.evidence import listen_tcp, open_socket_stream
from heartbeat_trio.transports.tls import server_context


async def pump(source: trio.abc.Stream, target: trio.abc.Stream, delay: float, done: trio.CancelScope) -> None:
    """Move bytes, each read `delay` seconds later, in order."""
    send, receive = trio.open_memory_channel[tuple[float, bytes]](10_000)

    async def write() -> None:
        async for due, data in receive:
            await trio.sleep_until(due)
            await target.send_all(data)
        done.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        async with send:
            while data := await source.receive_some():
                await send.send((trio.current_time() + delay, bytes(data)))


async def forward(port: int, delay: float, near: trio.abc.Stream) -> None:
    """One connection through the delay."""
    far = await open_socket_stream("127.0.0.1", port)
    try:
        with trio.CancelScope() as done:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump, near, far, delay, done)
                nursery.start_soon(pump, far, near, delay, done)
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    finally:
        with trio.move_on_after(1, shield=True):
            await trio.aclose_forcefully(near)
            await trio.aclose_forcefully(far)


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    options = parser.parse_args()
    schemes = {"tcp": "tcp", "ws": "ws"}
    addresses: dict[str, str] = {}
    async with trio.open_nursery() as nursery:
        for context in (None, server_context(options.cert, options.key) if options.cert else None)[
            : 2 if options.cert else 1
        ]:
            source = SyntheticSource(["A"], rate=options.rate, seed=1)
            policy = ServerPolicy(idle_timeout=60)
            serve = partial(serve_quotes, source, tcp="127.0.0.1:0", ws="127.0.0.1:0", policy=policy, ssl_context=context)
            server = await nursery.start(serve)
            for protocol in schemes:
                port = int(server.addresses[protocol].rstrip("/").rpartition(":")[2])
                listeners = await listen_tcp("127.0.0.1", 0)
                nursery.start_soon(partial(trio.serve_listeners, partial(forward, port, options.delay), listeners))
                scheme = protocol + ("s" if context else "")
                addresses[scheme] = f"{scheme}://{listeners[0].address}"
        print(json.dumps(addresses), flush=True)


if __name__ == "__main__":
    trio.run(main)
