"""Delays keep their law: bounds, growth, jitter that survives at the cap."""

from __future__ import annotations

import statistics
from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.config import BackoffPolicy, Jitter
from heartbeat_trio.sansio.backoff import Backoff

JITTERS = get_args(Jitter)


def delays(policy: BackoffPolicy, count: int, seed: int = 0) -> list[float]:
    backoff, rng = Backoff(policy), Random(seed)
    return [backoff.next_delay(rng) for _ in range(count)]


def test_without_jitter_it_is_the_tutorials_series() -> None:
    """1, 2, 4, 8 ... 60 seconds."""
    assert delays(BackoffPolicy(maximum=60, jitter="none"), 8) == [1, 2, 4, 8, 16, 32, 60, 60]


@given(
    jitter=st.sampled_from(JITTERS),
    initial=st.floats(0.001, 10),
    factor=st.floats(1, 10),
    ratio=st.floats(1, 1000),
    seed=st.integers(0, 1000),
)
def test_bounds(jitter: Jitter, initial: float, factor: float, ratio: float, seed: int) -> None:
    """No delay exceeds the maximum or undercuts its kind's lower bound, for as long as you like."""
    policy = BackoffPolicy(initial=initial, factor=factor, maximum=initial * ratio, jitter=jitter)
    lows = {"full": 0.0, "equal": initial / 2, "decorrelated": initial, "proportional": 0.8 * initial, "none": initial}

    for delay in delays(policy, 1200, seed):
        assert lows[jitter] * (1 - 1e-9) <= delay <= policy.maximum * (1 + 1e-9)


@pytest.mark.parametrize("jitter", [jitter for jitter in JITTERS if jitter != "none"])
def test_jitter_survives_at_the_cap(jitter: Jitter) -> None:
    """A thousand clients at the cap do not beat in step."""
    at_cap = [delays(BackoffPolicy(jitter=jitter), 12, seed)[-1] for seed in range(200)]

    assert statistics.stdev(at_cap) > 1
    assert sum(delay == 30 for delay in at_cap) <= (120 if jitter == "proportional" else 2)


def test_laws() -> None:
    """The third delay's mean and spread, kind by kind, over many seeds: b = 4."""
    third = {jitter: [delays(BackoffPolicy(jitter=jitter), 3, seed)[-1] for seed in range(4000)] for jitter in JITTERS}

    assert statistics.mean(third["full"]) == pytest.approx(2, rel=0.05)
    assert statistics.mean(third["equal"]) == pytest.approx(3, rel=0.05)
    assert statistics.mean(third["proportional"]) == pytest.approx(4, rel=0.05)
    assert [min(third["proportional"]), max(third["proportional"])] == pytest.approx([3.2, 4.8], abs=0.01)
    # U(1, 3 U(1, 3 U(1, 3))): the mean of each draw is (1 + 3 * the mean before) / 2.
    assert statistics.mean(third["decorrelated"]) == pytest.approx((1 + 3 * ((1 + 3 * 2) / 2)) / 2, rel=0.05)


def test_reset_begins_anew_and_seeds_repeat() -> None:
    """The same seed, the same series; after a reset, from the start."""
    policy = BackoffPolicy()
    assert delays(policy, 20, 7) == delays(policy, 20, 7)
    assert delays(policy, 20, 7) != delays(policy, 20, 8)

    backoff = Backoff(policy)
    first = [backoff.next_delay(Random(1)) for _ in range(5)]
    assert backoff.attempt == 5
    backoff.reset()
    assert first == [backoff.next_delay(Random(1)) for _ in range(5)]
