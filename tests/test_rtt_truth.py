"""Round trips are those of the wire, whatever our own program is busy with: held against the peer's own timestamps."""

from __future__ import annotations

import sys

import pytest

from tests.support.truth import measure, measure_over_link, percentile, why_no_link

pytestmark = pytest.mark.alone


@pytest.mark.skipif(sys.platform != "linux", reason="the truth is told by Linux's receive timestamps")
@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_under_a_flood_with_a_slow_consumer(scheme: str) -> None:
    """20 000 quotes a second, of which nearly all are dropped: the exact samples are within 2 ms of the truth."""
    truth = measure(scheme, rate=20_000, seconds=3)

    assert truth.quotes > 30_000
    assert truth.share >= 0.25
    assert percentile(truth.exact, 95) < 0.002  # the peer, too, sometimes waits for a core, which the line below leaves out
    assert percentile(truth.beyond, 99) < 0.002
    assert truth.exact[0] > -0.0005  # nothing is faster than the wire


@pytest.mark.skipif(why_no_link() is not None, reason=str(why_no_link()))
@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_over_a_long_link(scheme: str) -> None:
    """25 ± 5 ms each way: what we measure is within 2 ms of the link's own log."""
    pongs = measure_over_link(scheme, seconds=3, delay=25, jitter=5, seed=1)
    exact = sorted(rtt - least for rtt, (least, _), is_exact in pongs if is_exact)
    past_most = sorted(rtt - most for rtt, (_, most), is_exact in pongs if is_exact)

    assert len(exact) > 30
    assert exact[0] > -0.0005  # nothing is faster than the wire
    # The link's process, too, sometimes waits for a core: before it sees a ping, and before it logs what it has passed on.
    assert percentile(exact, 95) < 0.002
    assert percentile(past_most, 5) > -0.0005
