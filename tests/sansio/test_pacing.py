"""Several limits on requests, asked as one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.sansio.pacing import RequestPacer


@given(
    st.lists(st.tuples(st.integers(1, 5), st.floats(0.1, 10)), max_size=3),
    st.lists(st.floats(0, 5), min_size=1, max_size=40),
)
def test_no_limit_is_ever_exceeded(limits: list[tuple[int, float]], gaps: list[float]) -> None:
    """Whatever the limits, and whenever somebody asks; what is refused is allowed at the time that it names."""
    pacer, now, made = RequestPacer(limits, batch=7), 0.0, list[float]()
    for gap in gaps:
        now += gap
        if not pacer.try_acquire(now):
            now = pacer.next_allowed(now)
            assert pacer.try_acquire(now)
        made.append(now)
    for count, period in limits:
        assert all(later - earlier >= period for earlier, later in zip(made, made[count:], strict=False))
    assert 7 == pacer.batch


def test_what_was_done_without_asking_counts() -> None:
    """An unsubscription is not delayed, and takes the place of the next request."""
    pacer = RequestPacer([(1, 10.0)])
    pacer.record(5.0)
    assert 15.0 == pacer.next_allowed(6.0)
    assert not pacer.try_acquire(6.0)
    assert 6.0 == RequestPacer().next_allowed(6.0)
