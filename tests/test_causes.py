"""Each of the five causes, injected on real connections: the same code as ``scripts/bench causes``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from heartbeat_trio.events import Cause
from tests.support.causes import Verdict, classify_in_child, why_not

pytestmark = pytest.mark.alone

POSSIBLE = [cause for cause in Cause if why_not(cause) is None]


@pytest.fixture(scope="module")
def verdicts() -> dict[Cause, list[Verdict]]:
    """All at the same time, as each takes some seconds of waiting. A stall is told only where a ping was in flight."""
    with ThreadPoolExecutor(len(POSSIBLE)) as pool:
        found = pool.map(lambda cause: classify_in_child(cause, 12 if cause is Cause.LOCAL_STALL else 4), POSSIBLE)
        return dict(zip(POSSIBLE, found, strict=True))


@pytest.mark.parametrize("cause", list(Cause), ids=lambda cause: cause.value)
def test_the_right_one_is_blamed(cause: Cause, verdicts: dict[Cause, list[Verdict]]) -> None:
    """Over TCP and over WebSocket, with the evidence at hand."""
    reason = why_not(cause)
    if reason is not None:
        pytest.skip(reason)

    assert len(verdicts[cause]) >= 2
    assert {cause.value} == {verdict.blame for verdict in verdicts[cause]}
