"""When to try again, and when to stop: no storm, no early reset, and a history that says why."""

from __future__ import annotations

import math
from random import Random
from typing import Any, NamedTuple, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.config import BackoffPolicy, Jitter, RestartPolicy
from heartbeat_trio.events import Attempt
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

    def connect_until(self, end: float, **how: Any) -> list[float]:
        """Connects as fast as it is allowed to; when it did."""
        connects = []
        while self.now < end:
            connects.append(self.now)
            self.attempt(**how)
        return connects


def test_a_loss_that_turns_out_to_be_one_of_many_is_spread() -> None:
    """The short first delay gives way to U(0, 10 s); a longer backoff that is under way stays."""
    first = Client()
    first.delay(lives=60)
    delays = [first.restarts.spread(Random(seed), left=0.1) for seed in range(200)]
    assert (0 <= min(delays) < 0.5, 9.5 < max(delays) <= 10) == (True, True)
    later = Client()
    later.delay(connects=False)
    assert 99.0 == later.restarts.spread(Random(1), left=99.0)
    assert 0.1 < later.restarts.spread(Random(1), left=0.1) <= 10


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
    """Not after five hundred refusals."""
    client = Client()

    assert all(isinstance(client.attempt(connects=False), Retry) for _ in range(500))


def test_history_is_bounded() -> None:
    """The last hundred failed attempts, even if more were allowed."""
    client = Client(RestartPolicy(max_attempts=150))
    decision = [client.attempt(connects=False) for _ in range(150)][-1]

    assert isinstance(decision, GiveUp)
    assert list(range(51, 151)) == [each.number for each in decision.history]


def test_each_failed_attempt_says_when_it_was() -> None:
    """Started and ended in the caller's time; cause and detail as they were given."""
    restarts = Restarts(RestartPolicy(max_attempts=1), BackoffPolicy())
    number = restarts.attempt_started(10.0)
    decision = restarts.ended(15.0, cause="connect_timeout", detail="no answer in 5 s", rng=Random(0))

    assert number == 1
    assert decision == GiveUp(
        (Attempt(number=1, started=10.0, ended=15.0, cause="connect_timeout", detail="no answer in 5 s"),)
    )


def connects_within(moments: list[float], seconds: float) -> int:
    """The most that any window holds. A nanosecond is for the sum of now and delay, which rounds."""
    return max(sum(0 <= each - begin < seconds - 1e-9 for each in moments) for begin in moments)


@pytest.mark.parametrize("jitter", get_args(Jitter))
def test_accept_then_close_is_no_storm(jitter: Jitter) -> None:
    """Default policies: at most 10 connects in the first minute, and in any other; far fewer once the backoff has grown."""
    for seed in range(40):
        client = Client(backoff=BackoffPolicy(jitter=jitter), seed=seed)
        connects = client.connect_until(600)

        assert connects_within(connects, 60) <= 10
        assert len(connects) <= 100


@pytest.mark.parametrize("lives", [None, 0.0, 0.001, 2.0])
@pytest.mark.parametrize("mass", [False, True])
def test_no_server_makes_a_storm(lives: float | None, mass: bool) -> None:
    """However short the backoff, and though the server says a word or asks everybody to come back at once."""
    for seed in range(20):
        client = Client(backoff=BackoffPolicy(initial=0.001, maximum=0.002), seed=seed)

        assert connects_within(client.connect_until(300, lives=lives, mass=mass, retry_after=0.0), 60) <= 10


def test_who_is_sent_away_again_and_again_asks_less_and_less() -> None:
    """`retry_after` is believed once; from then on it can lengthen a delay, but not shorten the backoff."""
    client = Client(backoff=BackoffPolicy(jitter="none"))

    assert client.delay(lives=60, mass=True, retry_after=0.0) == 0
    assert [1, 2, 4] == [client.delay(lives=lives, mass=True, retry_after=0.0) for lives in (None, 5, None)]
    assert 8 <= min(client.delay(mass=True, retry_after=300.0) for _ in range(3)) <= 300


def test_refused_attempts_are_paced_by_the_backoff_alone() -> None:
    """Nobody was bothered, so the intensity does not count them."""
    client = Client(backoff=BackoffPolicy(initial=0.1, maximum=0.1, jitter="none"))

    assert [0.1] * 50 == [client.delay(connects=False) for _ in range(50)]


class Life(NamedTuple):
    """One attempt as it went: refused, or connected; silent, or alive for so long; then nothing for `rest` seconds."""

    connects: bool
    lives: float | None
    mass: bool
    rest: float

    @property
    def is_stable(self) -> bool:
        return self.lives is not None and self.lives >= 10


def lives() -> st.SearchStrategy[Life]:
    duration = st.one_of(st.none(), st.sampled_from([0.0, 3.0, 9.9, 10.1, 40.0]))
    return st.builds(
        lambda connects, lives, mass, rest: Life(connects, lives if connects else None, mass, rest),
        st.booleans(), duration, st.booleans(), st.sampled_from([0.0, 0.5, 20.0]),
    )  # fmt: skip


def expected_delay(past: list[tuple[Life, float]]) -> tuple[float, float]:
    """The bounds of the delay after the last of `past`, each with the moment of its end; from the whole past at once."""
    stable = [index for index, (life, _) in enumerate(past) if life.is_stable]
    recent = [life for life, _ in past[stable[-1] if stable else 0 :]]
    life, now = past[-1]
    is_forgiven = [each.lives is not None and index == 0 for index, each in enumerate(recent)]
    base = min(8.0, 2.0 ** (len(recent) - 1 - any(is_forgiven)))
    spread = 3.0 if life.mass else 0.25
    low, high = (0.0, spread) if is_forgiven[-1] else (base, max(base, spread) if life.mass else base)
    unstable = [end for each, end in past if each.connects and not each.is_stable]
    if life.connects and not life.is_stable and len(unstable) >= 3:
        wait = unstable[-3] + 30 - now
        low, high = max(low, wait), max(high, wait)
    return low, high


@given(plan=st.lists(lives(), max_size=40), max_attempts=st.sampled_from([None, 1, 2, 4]), seed=st.integers(0, 100))
def test_every_past_leads_to_the_delay_that_the_rules_say(plan: list[Life], max_attempts: int | None, seed: int) -> None:
    """Against rules that are told from the whole past, without any state; and no window holds more than its three."""
    restart = RestartPolicy(max_attempts=max_attempts, stable_after=10, intensity=3, period=30)
    client = Client(restart, BackoffPolicy(maximum=8, mass_maximum=3, jitter="none"), seed)
    past: list[tuple[Life, float]] = []
    for life in plan:
        client.now += life.rest
        end = client.now + (life.lives or 0.0)
        past.append((life, end))
        decision = client.attempt(connects=life.connects, lives=life.lives, mass=life.mass)
        failed_in_a_row = next(
            (index for index, (each, _) in enumerate(reversed(past)) if each.lives is not None), len(past)
        )
        if isinstance(decision, GiveUp):
            assert failed_in_a_row == max_attempts == len(decision.history)
            break

        assert max_attempts is None or failed_in_a_row < max_attempts
        low, high = expected_delay(past)
        assert low - 1e-9 <= decision.delay <= high + 1e-9
        since_stable = next((index for index, (each, _) in enumerate(reversed(past)) if each.is_stable), len(past))
        assert since_stable + 1 == decision.attempt

    ends = [end for life, end in past if life.connects and not life.is_stable]
    assert all(one_too_many - first >= 30 - 1e-9 for first, one_too_many in zip(ends, ends[3:], strict=False))
