"""Bytes over a bare Trio `SocketStream`: the floor for anything on Trio."""

from __future__ import annotations

import trio

from ..child import serving
from ..settings import MESSAGE, WARM, Clock


def round_trip(*, count: int, in_flight: int) -> dict[str, float]:
    """Microseconds per answer. Each answer is followed by a write of its own, as with the others."""
    clock, size = Clock(), len(MESSAGE)

    async def main(port: int) -> dict[str, float]:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            for _ in range(in_flight):
                await stream.send_all(MESSAGE)
            number, waiting, started_at = -WARM, 0, None
            while number < count:
                if started_at is None and number >= 0:
                    started_at = number
                    clock.start()
                answers, waiting = divmod(waiting + len(await stream.receive_some(65536)), size)
                for _ in range(answers):
                    await stream.send_all(MESSAGE)
                number += answers
            return clock.stop(number - (started_at or 0))

    with serving() as server:
        return trio.run(main, server.tcp_port)
