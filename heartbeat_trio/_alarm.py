"""A time at which one task wakes, which others may move while it sleeps: the cheapest that Trio can do."""

from __future__ import annotations

from math import inf

import trio


class Alarm:
    """What a `trio.CancelScope` around `trio.sleep_forever` does, without the exception that would end each sleep.

    Attributes:
        due: Trio time at which the sleeper is to wake, or was.
    """

    __slots__ = ("_scope", "due")

    def __init__(self) -> None:
        self.due = inf
        self._scope: trio.CancelScope | None = None

    async def sleep_until(self, due: float) -> None:
        """Sleep until then, or until where `move` has moved it. One task at a time."""
        self.due = due
        try:
            with trio.CancelScope(deadline=due) as self._scope:
                await _sleep_until_cancelled()
        finally:
            self._scope = None
        await trio.lowlevel.checkpoint_if_cancelled()  # it was not the alarm that woke us

    def move(self, due: float) -> None:
        """Wake the sleeper then, if there is one."""
        if self._scope is not None and due != self.due:  # to move it is dear, and most of what happens moves nothing
            self.due = self._scope.deadline = due


async def _sleep_until_cancelled() -> None:
    """Return, instead of raising, as soon as any scope around it is cancelled."""
    task = trio.lowlevel.current_task()

    def wake(_raise_cancel: object) -> trio.lowlevel.Abort:
        trio.lowlevel.reschedule(task)
        return trio.lowlevel.Abort.FAILED

    await trio.lowlevel.wait_task_rescheduled(wake)
