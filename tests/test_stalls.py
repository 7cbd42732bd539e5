"""Our own stall is not the peer's silence: no ping is called missed, and a peer that died meanwhile is still found."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.support.stalls import KINDS, POLICY, Outcome, distant_peer, survive

pytestmark = pytest.mark.alone

CONNECTIONS = 20
STALL = 2.0


def run(folder: Path, kinds: tuple[str, ...], *, rate: float, kill: bool = False, after: float = 1.0) -> Outcome:
    with distant_peer(folder, rate=rate) as peer:

        async def main() -> Outcome:
            with trio.fail_after(9):
                return await survive(
                    peer, kinds, connections=CONNECTIONS, stall=STALL, subscribe=rate > 1, kill=kill, after=after
                )

        return trio.run(main)


def test_stall_on_idle_lines(tmp_path: Path) -> None:
    """120 connections of every kind at once, pings in flight, and nobody is blamed."""
    outcome = run(tmp_path, KINDS, rate=1)

    assert (0, 0) == (outcome.lost, outcome.missed)
    assert outcome.voided > 0
    assert outcome.answered > 0


@pytest.mark.parametrize("kind", KINDS)
def test_stall_while_quotes_flow(kind: str, tmp_path: Path) -> None:
    """200 quotes a second on each of 20 connections: the pong lies behind them, and is found."""
    outcome = run(tmp_path, (kind,), rate=200)

    assert (0, 0) == (outcome.lost, outcome.missed)
    assert outcome.voided > 0


def test_a_peer_that_dies_during_the_stall_is_found(tmp_path: Path) -> None:
    """A stall excuses nobody: dead within the bound, the stall, and a second."""
    outcome = run(tmp_path, KINDS, rate=1, kill=True, after=POLICY.bound + 1)

    assert outcome.lost == CONNECTIONS * len(KINDS)
    assert outcome.found_dead_after <= POLICY.bound + STALL + 1
