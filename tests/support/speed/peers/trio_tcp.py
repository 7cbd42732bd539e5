"""Bytes over a bare Trio `SocketStream`: the floor for anything on Trio."""

from __future__ import annotations

import trio

from ..child import serving
from ..settings import MESSAGE, WARM, Clock


def round_trip(*, count: int, in_flight: int) -> dict[str, float]:
    """Microseconds per answer. What came in one read is answered with one write."""
    clock, size = Clock(), len(MESSAGE)

    async def main(port: int) -> dict[str, float]:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(MESSAGE * in_flight)
            number, waiting, has_begun, began_at = -WARM, 0, False, 0
            while number < count:
                if number >= 0 and not has_begun:
                    has_begun, began_at = True, number
                    clock.start()
                answers, waiting = divmod(waiting + len(await stream.receive_some(65536)), size)
                number += answers
                if answers:
                    await stream.send_all(MESSAGE * answers)
            return clock.stop(number - began_at)

    with serving() as server:
        return trio.run(main, server.tcp_port)
