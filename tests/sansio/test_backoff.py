"""Delays keep their law: bounds, growth, jitter that survives at the cap."""

from __future__ import annotations

import statistics
from math import sqrt
from random import Random
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.config import BackoffPolicy, Jitter
from heartbeat_trio.sansio.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

JITTERS: tuple[Jitter, ...] = get_args(Jitter)
RANDOM_JITTERS = [jitter for jitter in JITTERS if jitter != "none"]


def delays(policy: BackoffPolicy, count: int, seed: int = 0) -> list[float]:
    backoff, rng = Backoff(policy), Random(seed)
    return [backoff.next_delay(rng) for _ in range(count)]


def law(policy: BackoffPolicy, earlier: Sequence[float]) -> tuple[float, float]:
    """Between which bounds the delay after `earlier` ones is uniform."""
    base = min(policy.maximum, policy.initial * policy.factor ** len(earlier))
    previous = earlier[-1] if earlier else policy.initial
    return {
        "full": (0.0, base),
        "equal": (base / 2, base),
        "decorrelated": (policy.initial, min(policy.maximum, 3 * previous)),
        "proportional": (0.8 * base, min(policy.maximum, 1.2 * base)),
        "none": (base, base),
    }[policy.jitter]


def test_without_jitter_it_is_the_tutorials_series() -> None:
    """1, 2, 4, 8 ... 60 seconds."""
    assert [1, 2, 4, 8, 16, 32, 60, 60] == delays(BackoffPolicy(maximum=60, jitter="none"), 8)


@given(
    jitter=st.sampled_from(JITTERS),
    initial=st.floats(0.001, 10),
    factor=st.floats(1, 10),
    ratio=st.floats(1, 1000),
    seed=st.integers(0, 1000),
)
def test_every_delay_is_within_its_law(jitter: Jitter, initial: float, factor: float, ratio: float, seed: int) -> None:
    """For 250 attempts, as the docstring has it; and above the maximum never, not even by rounding."""
    policy = BackoffPolicy(initial=initial, factor=factor, maximum=initial * ratio, jitter=jitter)
    series = delays(policy, 250, seed)

    for attempt, delay in enumerate(series):
        low, high = law(policy, series[:attempt])
        assert low * (1 - 1e-12) <= delay <= high * (1 + 1e-12)
    assert max(series) <= policy.maximum


def test_a_million_attempts_overflow_nothing() -> None:
    """Nobody answers for a month; the delay stays at its maximum."""
    backoff, rng = Backoff(BackoffPolicy(initial=1e-3, factor=1e300, maximum=2.0, jitter="none")), Random(0)

    assert [1e-3, 2.0, 2.0] == [backoff.next_delay(rng) for _ in range(3)]
    assert {2.0} == {backoff.next_delay(rng) for _ in range(5000)}
    assert 5003 == backoff.attempt


@pytest.mark.parametrize("jitter", RANDOM_JITTERS)
@pytest.mark.parametrize("attempt", [0, 2, 12])
def test_delays_are_uniform_within_their_law(jitter: Jitter, attempt: int) -> None:
    """Kolmogorov and Smirnov over 4000 seeds: the place between the bounds is U(0, 1), growing and at the cap alike."""
    policy, count = BackoffPolicy(jitter=jitter), 4000
    places = []
    for seed in range(count):
        *earlier, delay = delays(policy, attempt + 1, seed)
        low, high = law(policy, earlier)
        places.append((delay - low) / (high - low))

    places.sort()
    distance = max(max(place - rank / count, (rank + 1) / count - place) for rank, place in enumerate(places))

    assert distance < 1.63 / sqrt(count)  # the 1 % point


@pytest.mark.parametrize("jitter", RANDOM_JITTERS)
def test_jitter_survives_at_the_cap(jitter: Jitter) -> None:
    """A thousand clients that have long been there do not beat in step, and hardly one sits on the cap itself."""
    at_cap = [delays(BackoffPolicy(jitter=jitter), 20, seed)[-1] for seed in range(1000)]

    assert statistics.stdev(at_cap) > 1.5
    assert 0 == sum(delay == 30 for delay in at_cap)
    assert len(set(at_cap)) == 1000


@pytest.mark.parametrize("jitter", JITTERS)
def test_same_seed_same_series(jitter: Jitter) -> None:
    """So that a whole simulated day can be repeated; and another seed is another client."""
    policy = BackoffPolicy(jitter=jitter)

    assert delays(policy, 20, 7) == delays(policy, 20, 7)
    assert (jitter == "none") == (delays(policy, 20, 7) == delays(policy, 20, 8))


@pytest.mark.parametrize("jitter", JITTERS)
def test_reset_begins_anew(jitter: Jitter) -> None:
    """After a reset it is like new."""
    backoff = Backoff(BackoffPolicy(jitter=jitter))
    rng = Random(1)
    first = [backoff.next_delay(rng) for _ in range(5)]
    assert 5 == backoff.attempt

    backoff.reset()

    assert 0 == backoff.attempt
    rng = Random(1)
    assert first == [backoff.next_delay(rng) for _ in range(5)]
