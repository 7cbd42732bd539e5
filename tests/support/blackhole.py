"""A connection over a line that is cut without a word: run it in a network namespace of its own (``unshare -n``).

Prints one JSON object: seconds from the first unanswered send to suspicion and to the verdict, and whose fault it was.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial

import trio

from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.connection import Connection, open_connection
from heartbeat_trio.events import Event, Suspected
from heartbeat_trio.exceptions import PongTimeout
from heartbeat_trio.server import SyntheticSource, serve_quotes

ADAPTIVE = HeartbeatPolicy(adaptive=True)


def link(state: str) -> None:
    """Switch the loopback device of this namespace up or down: what is sent while it is down just vanishes."""
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


async def cut_and_send(connection: Connection) -> float:
    """Cut the line and send something that is no ping; when that was."""
    link("down")
    begin = trio.current_time()
    await connection.subscribe("B")
    return begin


async def measure(scheme: str) -> dict[str, object]:
    """One connection, with pings and answers first."""
    link("up")
    result: dict[str, object] = {}
    begin = 0.0

    def note(event: Event) -> None:
        if isinstance(event, Suspected) and event.is_suspect:
            result["suspect"] = trio.current_time() - begin
            result["suspect_blame"] = event.blame and event.blame.value

    async with trio.open_nursery() as nursery:
        source = SyntheticSource(["A"], rate=0.001, seed=1)
        server = await nursery.start(partial(serve_quotes, source, tcp="127.0.0.1:0", ws="127.0.0.1:0"))
        url = server.addresses["ws"] if scheme == "ws" else f"tcp://{server.addresses['tcp']}"
        try:
            async with open_connection(url, heartbeat=ADAPTIVE, on_event=note) as connection:
                await trio.sleep(0.2)
                begin = await cut_and_send(connection)
                await trio.sleep_forever()
        except PongTimeout as error:
            result |= {"dead": trio.current_time() - begin, "blame": error.blame and error.blame.value, "text": str(error)}
        nursery.cancel_scope.cancel()
    return result


if __name__ == "__main__":
    print(json.dumps(trio.run(measure, sys.argv[1])))
