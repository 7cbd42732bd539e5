"""A time at which one task wakes, which others may move while it sleeps: the cheapest that Trio can do."""

from __future__ import annotations

from math import inf

import trio


class Alarm:
    """What a `trio.CancelScope` around `trio.sleep_forever` does, without the exception that would end each sleep.

    Attributes:
        due: Trio time at which the sleeper is to wake, or was.
    """

    __slots__ = ("_scope", "_sleeper", "due")

    def __init__(self) -> None:
        self.due = inf
        self._scope: trio.CancelScope | None = None
        self._sleeper: trio.lowlevel.Task | None = None

    async def sleep_until(self, due: float) -> None:
        """Sleep until then, or until where `move` has moved it. One task at a time."""
        self.due = due
        self._sleeper = trio.lowlevel.current_task()
        try:
            with trio.CancelScope(deadline=due) as self._scope:
                await trio.lowlevel.wait_task_rescheduled(self._wake)
        finally:
            self._scope = self._sleeper = None
        await trio.lowlevel.checkpoint_if_cancelled()  # it may not have been the alarm that woke us

    @property
    def is_set(self) -> bool:
        """Whether somebody sleeps."""
        return self._scope is not None

    def move(self, due: float) -> None:
        """Wake the sleeper then, if there is one."""
        if self._scope is not None and due != self.due:  # to move it is dear, and most of what happens moves nothing
            self.due = self._scope.deadline = due

    def _wake(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        """Some scope around the sleeper was cancelled: let it return instead of raising, and look for itself whose."""
        assert self._sleeper is not None  # noqa: S101 - it sleeps
        trio.lowlevel.reschedule(self._sleeper)
        return trio.lowlevel.Abort.FAILED
