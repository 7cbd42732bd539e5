"""The little that the scenarios need of Trio and of asyncio, so that each is written once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import trio

START_TIMEOUT = 10.0

Ready = Callable[[], None]
Life = Callable[[Ready], Awaitable[None]]


class Group(Protocol):
    """Tasks that end with the block around them: they are cancelled, and waited for."""

    async def start(self, life: Life) -> None:
        """Begin a task, and wait until it says that it is ready, or has ended."""


class World(Protocol):
    """Trio or asyncio."""

    def run(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """Run a whole program."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def open_group(self) -> AbstractAsyncContextManager[Group]:
        """Open a group of tasks."""


class _TrioGroup:
    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    async def start(self, life: Life) -> None:
        is_ready = trio.Event()

        async def run() -> None:
            try:
                await life(is_ready.set)
            finally:
                is_ready.set()

        self._nursery.start_soon(run)
        with trio.fail_after(START_TIMEOUT):
            await is_ready.wait()


class TrioWorld:
    """See `World`."""

    def run(self, function: Callable[[], Awaitable[Any]]) -> Any:
        return trio.run(function)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    @asynccontextmanager
    async def open_group(self) -> AsyncIterator[Group]:
        async with trio.open_nursery() as nursery:
            yield _TrioGroup(nursery)
            nursery.cancel_scope.cancel()


class _AsyncioGroup:
    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self, life: Life) -> None:
        is_ready = asyncio.Event()

        async def run() -> None:
            try:
                await life(is_ready.set)
            finally:
                is_ready.set()

        self.tasks.append(asyncio.create_task(run()))
        async with asyncio.timeout(START_TIMEOUT):
            await is_ready.wait()


class AsyncioWorld:
    """See `World`."""

    def run(self, function: Callable[[], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            return await function()

        return asyncio.run(main())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def open_group(self) -> AsyncIterator[Group]:
        group = _AsyncioGroup()
        try:
            yield group
        finally:
            for task in group.tasks:
                task.cancel()
            await asyncio.gather(*group.tasks, return_exceptions=True)  # noqa: ASYNC102 - asyncio has no scopes


TRIO: World = TrioWorld()
ASYNCIO: World = AsyncioWorld()
