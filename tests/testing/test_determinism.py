"""The same seed gives the same trace, in any process; another seed gives another one."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest
import trio
from trio._core import _run
from trio.testing import MockClock

from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork, run_deterministic


async def crowd(seed: int, jitter: float = 0.0) -> str:
    """Eight clients at once: whose bytes come first is for the scheduler to say."""
    net = VirtualNetwork(seed, jitter=jitter, trace=True)
    peer = ScriptedPeer(net.listen("server", 8080))

    async def talk(number: int) -> None:
        async with await net.connect("server", 8080) as stream:
            for _ in range(3):
                await stream.send_all(b"PING %d\n" % number)
                await stream.receive_some()

    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        async with trio.open_nursery() as clients:
            for number in range(8):
                clients.start_soon(talk, number)
        nursery.cancel_scope.cancel()
    return net.trace_hash()


PROGRAM = f"""
from __future__ import annotations
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork, run_deterministic
import trio

{inspect.getsource(crowd)}
print(run_deterministic(crowd, 1, 0.1, seed=1))
"""


def test_the_same_seed_gives_the_same_trace() -> None:
    """Twice in one process, and different from another seed's."""
    first = run_deterministic(crowd, 1, seed=1)

    assert first == run_deterministic(crowd, 1, seed=1)
    assert first != run_deterministic(crowd, 1, seed=2)


def test_the_same_seed_gives_the_same_trace_in_any_process() -> None:
    """The hash of strings, which differs from process to process, has no part in it."""

    def run(hash_seed: str) -> str:
        command = [sys.executable, "-c", PROGRAM]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout

    here = run_deterministic(crowd, 1, 0.1, seed=1)

    assert here == run("1").strip()
    assert here == run("2").strip()


def test_it_returns_puts_back_and_passes_on() -> None:
    """The result or the exception comes out, on the clock asked for, and Trio is as it was before."""
    clock = MockClock()
    switch, state = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()

    async def fail() -> None:
        await trio.sleep(100)
        assert _run._ALLOW_DETERMINISTIC_SCHEDULING
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run_deterministic(fail, seed=1)
    assert run_deterministic(current_clock, seed=1, clock=clock) is clock

    assert (switch, state) == (_run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate())


async def current_clock() -> trio.abc.Clock:
    await trio.lowlevel.checkpoint()
    return trio.lowlevel.current_clock()


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (_run, "_ALLOW_DETERMINISTIC_SCHEDULING", "something else"),
        (_run, "_r", None),
        (trio, "__version__", "0.30.0"),
    ],
)
def test_an_unknown_trio_is_refused(monkeypatch: pytest.MonkeyPatch, where: object, name: str, value: object) -> None:
    """Rather a clear error than a run that only seems to be reproducible."""
    monkeypatch.setattr(where, name, value)

    with pytest.raises(RuntimeError, match="cannot be made deterministic"):
        run_deterministic(crowd, 1, seed=1)
