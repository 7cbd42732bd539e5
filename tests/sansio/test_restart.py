"""When to try again, and when to stop: no storm, no early reset, and a history that says why."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from heartbeat_trio.config import BackoffPolicy, RestartPolicy
from heartbeat_trio.sansio.restart import GiveUp, Restarts, Retry


class Client:
    """Lives through attempts as told, in its own time."""

    def __init__(self, restart: RestartPolicy | None = None, backoff: BackoffPolicy | None = None, seed: int = 0) -> None:
        self.restarts = Restarts(restart or RestartPolicy(), backoff or BackoffPolicy())
        self.rng = Random(seed)
        self.now = 0.0

    def attempt(
        self,
        *,
        connects: bool = True,
        lives: float | None = None,
        mass: bool = False,
        retry_after: float | None = None,
    ) -> Retry | GiveUp:
        """One attempt: refused, or connected; alive for `lives` seconds or not at all. Then wait as decided."""
        number = self.restarts.attempt_started(self.now)
        if connects:
            self.restarts.connected(self.now)
        if lives is not None:
            self.restarts.alive(self.now)
            self.now += lives
            self.restarts.alive(self.now)
        cause = "reset" if connects else "connect_refused"
        decision = self.restarts.ended(
            self.now, cause=cause, detail=f"attempt {number}", rng=self.rng, is_mass_loss=mass, retry_after=retry_after
        )
        if isinstance(decision, Retry):
            self.now += decision.delay
        return decision

    def delay(self, **how: Any) -> float:
        decision = self.attempt(**how)
        assert isinstance(decision, Retry)
        return decision.delay


def test_after_a_stable_connection_the_first_delay_is_short() -> None:
    """U(0, 0.25 s): one client that lost one connection need not wait."""
    first = [Client(seed=seed).delay(lives=60) for seed in range(200)]

    assert max(first) <= 0.25
    assert max(first) > 0.2
    assert len(set(first)) == 200


@pytest.mark.parametrize(
    ("retry_after", "spread"), [(None, 10), (5.0, 5), (1e9, 300), (math.nan, 10), (math.inf, 10), (-1.0, 10), (0.0, 0)]
)
def test_after_a_mass_loss_everybody_spreads(retry_after: float | None, spread: float) -> None:
    """Over what the server asked for, if that can be believed; else over 10 s."""
    first = [Client(seed=seed).delay(lives=60, mass=True, retry_after=retry_after) for seed in range(300)]

    assert max(first) <= spread
    assert max(first) >= 0.9 * spread


def test_only_a_stable_connection_resets_the_backoff() -> None:
    """A mere handshake, or a short life, resets nothing; the delays go on growing where they were."""
    client = Client(backoff=BackoffPolicy(jitter="none"))

    assert [1, 2, 4] == [client.delay(connects=False) for _ in range(3)]
    assert client.delay(connects=True) == 8
    assert client.delay(lives=59.9) == 16
    assert client.delay(lives=60.0) <= 0.25
    assert client.delay(connects=False) == 1


def test_a_short_life_gets_the_short_delay_once() -> None:
    """The first loss is forgiven; the next ones back off from the start of the series."""
    client = Client(backoff=BackoffPolicy(jitter="none"))

    assert client.delay(lives=5) <= 0.25
    assert [1, 2] == [client.delay(lives=5) for _ in range(2)]


def test_attempts_are_counted_since_the_last_stable_connection() -> None:
    """The number in the next `Connecting`."""
    client = Client()
    retries = [client.attempt(connects=False), client.attempt(lives=5), client.attempt(lives=70), client.attempt()]

    assert [2, 3, 1, 2] == [retry.attempt for retry in retries if isinstance(retry, Retry)]


def test_gives_up_after_failures_in_a_row_with_their_history() -> None:
    """A sign of life between them begins the count anew; a mere connection does not."""
    client = Client(RestartPolicy(max_attempts=3))
    client.attempt(connects=False)
    client.attempt(connects=False)
    client.attempt(lives=1)
    client.attempt(connects=False)
    client.attempt(connects=True)
    decision = client.attempt(connects=False)

    assert isinstance(decision, GiveUp)
    assert [(4, "connect_refused"), (5, "reset"), (6, "connect_refused")] == [
        (each.number, each.cause) for each in decision.history
    ]
    assert all(each.started <= each.ended for each in decision.history)
    assert decision.history[0].detail == "attempt 4"


def test_without_a_limit_it_never_gives_up() -> None:
    """And remembers a bounded history."""
    client = Client()
    for _ in range(500):
        assert isinstance(client.attempt(connects=False), Retry)


@pytest.mark.parametrize("initial", [0.001, 1.0])
def test_accept_then_close_is_no_storm(initial: float) -> None:
    """At most 10 connects in the first minute, and in any minute, however short the backoff."""
    for seed in range(50):
        client = Client(backoff=BackoffPolicy(initial=initial, maximum=max(0.002, initial)), seed=seed)
        connects = []
        while client.now < 300:
            connects.append(client.now)
            client.attempt(connects=True)
        for begin in connects:
            assert sum(begin <= each < begin + 60 for each in connects) <= 10


def test_refused_attempts_are_paced_by_the_backoff_alone() -> None:
    """Nobody was bothered, so the intensity does not count them."""
    client = Client(backoff=BackoffPolicy(initial=0.1, maximum=0.1, jitter="none"))

    assert [0.1] * 50 == [client.delay(connects=False) for _ in range(50)]
