"""One exception for the user, groups for bugs."""

from __future__ import annotations

import pytest
import trio

from heartbeat_trio._background import open_background
from heartbeat_trio.exceptions import ConnectionLost, InternalError


def lost() -> ConnectionLost:
    return ConnectionLost("gone", cause="reset")


async def test_an_expected_failure_cancels_the_body_and_comes_out_bare() -> None:
    """The first error of a task ends the block."""
    error = lost()

    async def task() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    with pytest.raises(ConnectionLost) as caught:
        async with open_background() as background:
            background.start_soon(task, name="task")
            await trio.sleep_forever()

    assert error is caught.value


async def test_only_the_first_of_several_failures_comes_out() -> None:
    """Whoever fails first is the reason; the others are consequences."""
    first = lost()

    async def failing(error: ConnectionLost, checkpoints: int) -> None:
        for _ in range(checkpoints):
            await trio.lowlevel.checkpoint()
        raise error

    with pytest.raises(ConnectionLost) as caught:
        async with open_background() as background:
            background.start_soon(lambda: failing(first, 1), name="first")
            background.start_soon(lambda: failing(lost(), 9), name="second")
            await trio.sleep_forever()

    assert first is caught.value


async def test_the_bodys_own_exception_comes_out_bare() -> None:
    """A user's error is the user's, whatever runs in the background."""
    error = KeyError("mine")

    with pytest.raises(KeyError) as caught:
        async with open_background() as background:
            background.start_soon(trio.sleep_forever, name="idle")
            raise error

    assert error is caught.value


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
async def test_an_interrupt_or_an_exit_in_the_body_comes_out_bare(error: KeyboardInterrupt | SystemExit) -> None:
    """Whoever writes `except KeyboardInterrupt` around `trio.run`, or `sys.exit(3)` in the block, gets what he means."""
    with pytest.raises((KeyboardInterrupt, SystemExit)) as caught:
        async with open_background() as background:
            background.start_soon(trio.sleep_forever, name="idle")
            raise error

    assert error is caught.value


async def test_a_crash_in_the_background_is_an_internal_error() -> None:
    """What nobody expected is a bug of ours, and says so."""

    async def crash() -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    with pytest.raises(InternalError, match="report") as caught:
        async with open_background() as background:
            background.start_soon(crash, name="crash")
            await trio.sleep_forever()

    assert pytest.RaisesGroup(ZeroDivisionError).matches(caught.value.__cause__)


@pytest.mark.parametrize("error", [KeyError("while leaving"), SystemExit(3)])
async def test_a_crash_and_a_users_error_are_both_kept(error: KeyError | SystemExit) -> None:
    """Neither may hide the other, nor may an exit."""

    async def crash() -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    with pytest.RaisesGroup(type(error), ZeroDivisionError):
        async with open_background() as background:
            background.start_soon(crash, name="crash")
            try:
                await trio.sleep_forever()
            finally:
                raise error


async def test_leaving_cancels_the_tasks() -> None:
    """No task outlives the block."""
    ended = trio.Event()

    async def task() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with open_background() as background:
        background.start_soon(task, name="task")
        await trio.testing.wait_all_tasks_blocked()

    assert ended.is_set()


async def test_failures_while_leaving_are_part_of_leaving() -> None:
    """After `leave`, a task that fails ends, and nobody is told."""

    async def task() -> None:
        await trio.lowlevel.checkpoint()
        raise lost()

    async with open_background() as background:
        background.leave()
        background.start_soon(task, name="task")
        await trio.testing.wait_all_tasks_blocked()
    assert background.error is None


async def test_cancellation_from_outside_passes() -> None:
    """A timeout of the user's is not ours to touch."""
    with trio.CancelScope() as scope:
        async with open_background() as background:
            background.start_soon(trio.sleep_forever, name="idle")
            scope.cancel()
            await trio.sleep_forever()

    assert scope.cancelled_caught
