"""The two loops over single messages in which most libraries are measured, the same for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from heartbeat_trio.events import Quote

from .settings import WARM, Clock


async def take_quotes(receive: Callable[[], Awaitable[Any]], *, count: int, typed: bool) -> dict[str, float]:
    """Receive so many quotes, and decode them if `typed`; microseconds for each but the first tenth."""
    clock, first = Clock(), count // 10
    decode = msgspec.json.Decoder(Quote).decode
    for number in range(count):
        if number == first:
            clock.start()
        message = await receive()
        if typed:
            _ = decode(message).seq
    return clock.stop(count - first)


async def ask_and_wait(
    receive: Callable[[], Awaitable[object]], send: Callable[[], Awaitable[object]], *, count: int, in_flight: int
) -> dict[str, float]:
    """Send one message for each answer, with so many on the way; microseconds for each answer but those to warm up."""
    clock = Clock()
    for _ in range(in_flight):
        await send()
    for number in range(-WARM, count):
        if number == 0:
            clock.start()
        await receive()
        if number < count - in_flight:
            await send()
    return clock.stop(count)
