"""The one place that hides a nursery behind ``async with`` and raises single exceptions out of it.

A background task that fails in an expected way (`HeartbeatTrioError`) does not raise into the nursery: the first such
error is kept, the body is cancelled, and when everything has ended the error comes out bare. What else can happen:

- the body raises: that exception comes out bare, whatever the background had to say; so do a `KeyboardInterrupt` and a
  `SystemExit`, which would be tracebacks otherwise to whoever waits for them around `trio.run`;
- a background task crashes: that is a bug of ours, and comes out as `InternalError` from the group;
- both: a group of the two, since neither may hide the other;
- cancellation from outside passes through; a `KeyboardInterrupt` in a background task keeps its group.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from .exceptions import HeartbeatTrioError, InternalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


class Background:
    """Starts tasks that live exactly as long as the ``async with`` block around them."""

    def __init__(self, nursery: trio.Nursery, body: trio.CancelScope) -> None:
        self.nursery = nursery
        """For code that starts tasks of its own, which must not raise."""
        self.error: HeartbeatTrioError | None = None
        """The first expected error of a task."""
        self._body = body
        self._is_leaving = False

    def start_soon(self, task: Callable[[], Awaitable[None]], *, name: str) -> None:
        """Run a task in the background. A `HeartbeatTrioError` out of it ends the block."""
        self.nursery.start_soon(self._guard, task, name=name)

    def leave(self) -> None:
        """The body is about to end of itself: what fails from now on is part of ending."""
        self._is_leaving = True

    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:  # noqa: ASYNC910 - nobody awaits it
        try:
            await task()
        except HeartbeatTrioError as error:
            if not self._is_leaving:
                self.error = self.error or error
                self._body.cancel(reason=str(error))


@asynccontextmanager
async def open_background() -> AsyncIterator[Background]:
    """Open a nursery for background tasks. Leaving the block cancels them; see the module's docstring for errors."""
    body_error: Exception | KeyboardInterrupt | SystemExit | None = None
    body = trio.CancelScope()
    try:
        async with trio.open_nursery() as nursery:
            background = Background(nursery, body)
            try:
                with body:  # inside the try: what is left of a group when our own cancellation is taken out of it
                    yield background
            except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - raised again below, without the nursery's group around it
                body_error = error
            nursery.cancel_scope.cancel(reason="the block was left")
    except ExceptionGroup as crash:
        if body_error is None:
            raise InternalError(f"a background task crashed, please report this: {crash.exceptions[0]!r}") from crash
        both = [body_error, *crash.exceptions]
        raise BaseExceptionGroup("the block failed, and a background task crashed", both) from None
    if body_error is not None:
        raise body_error
    if background.error is not None and body.cancelled_caught:
        raise background.error
