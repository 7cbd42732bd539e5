"""Runs whose scheduling depends on a seed alone: the one place that touches private names of Trio.

Trio shuffles its tasks on purpose. For property tests it has a switch that makes the shuffle reproducible, and a generator
that the shuffle draws from; neither is public. Both are set here for one run, and put back.
"""

from __future__ import annotations

from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack

import trio
from trio._core import _run  # private: see the module's docstring, and `_check_trio`
from trio.testing import MockClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from trio.abc import Clock

ArgsT = TypeVarTuple("ArgsT")
T = TypeVar("T")

SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"
SHUFFLER = "_r"
OLDEST = (0, 31)
"""The oldest Trio that this was tried with. The newest is not limited: the names are looked for instead."""


def run_deterministic(
    async_fn: Callable[[Unpack[ArgsT]], Awaitable[T]], *args: *ArgsT, seed: int, clock: Clock | None = None
) -> T:
    """Run like `trio.run`, with a schedule that depends on `seed` alone: the same seed, the same order of events.

    What the tasks do must not depend on anything else either: real time, real sockets, the order of a set, `hash` of a
    string, the global `random`.

    Args:
        async_fn: What to run.
        args: Its arguments.
        seed: Of Trio's shuffle.
        clock: By default a `trio.testing.MockClock` that jumps as soon as every task is blocked.

    Returns:
        What `async_fn` returns.

    Raises:
        RuntimeError: This version of Trio cannot be made deterministic in the way that we know.
    """
    _check_trio()
    with _deterministic_scheduling(seed):
        return trio.run(async_fn, *args, clock=MockClock(autojump_threshold=0) if clock is None else clock)


def _check_trio() -> None:
    major, minor = (int(part) for part in trio.__version__.split(".")[:2])
    has_names = isinstance(getattr(_run, SWITCH, None), bool) and isinstance(getattr(_run, SHUFFLER, None), Random)
    if (major, minor) < OLDEST or not has_names:
        raise RuntimeError(
            f"Trio {trio.__version__} cannot be made deterministic: trio._core._run needs {SWITCH} and {SHUFFLER}"
            f" (known to be there from {OLDEST[0]}.{OLDEST[1]} on)"
        )


@contextmanager
def _deterministic_scheduling(seed: int) -> Iterator[None]:
    switch, shuffler = getattr(_run, SWITCH), getattr(_run, SHUFFLER)
    state = shuffler.getstate()
    setattr(_run, SWITCH, True)
    shuffler.seed(seed)
    try:
        yield
    finally:
        setattr(_run, SWITCH, switch)
        shuffler.setstate(state)
