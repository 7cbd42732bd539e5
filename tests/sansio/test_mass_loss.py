"""Many losses within a second are one loss of many, and everybody who is part of it is told so, once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.sansio.mass_loss import MassLossWatch


def watch_of(count: int) -> MassLossWatch:
    watch = MassLossWatch()
    for number in range(count):
        watch.connected(number)
    return watch


def test_half_of_them_within_a_second() -> None:
    """The one that makes it half tells of those before it; later ones of themselves."""
    watch = watch_of(6)
    assert [[], [], [0, 1, 2], [3]] == [watch.lost(number, 0.3 * number) for number in range(4)]
    assert 2 == watch.connections


def test_one_by_one_is_no_mass() -> None:
    """Nor is one of one, nor one of two."""
    watch = watch_of(4)
    assert [[], [], [], []] == [watch.lost(number, 1.1 * number) for number in range(4)]
    assert [] == watch_of(1).lost(0, 0.0)
    assert [] == watch_of(2).lost(0, 0.0)


def test_exactly_a_second_apart_still_counts() -> None:
    """A little more does not."""
    watch = watch_of(2)
    assert [[], [0, 1]] == [watch.lost(0, 0.0), watch.lost(1, 1.0)]
    watch = watch_of(2)
    assert [[], []] == [watch.lost(0, 0.0), watch.lost(1, 1.001)]


def test_one_that_is_lost_again_is_told_again() -> None:
    """It came back within the second, and was lost with the others once more."""
    watch = watch_of(2)
    watch.lost(0, 0.0)
    assert [0, 1] == watch.lost(1, 0.1)
    watch.connected(0)
    assert [0] == watch.lost(0, 0.5)


def test_who_was_closed_by_its_owner_counts_nowhere() -> None:
    """Neither as lost nor as standing."""
    watch = watch_of(4)
    watch.lost(0, 0.0)
    watch.gone(0)
    watch.gone(1)
    assert [[], [2, 3]] == [watch.lost(2, 0.1), watch.lost(3, 0.1)]


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), max_size=60))
def test_against_a_plain_count(losses: list[tuple[int, float]]) -> None:
    """A loss is told as one of many exactly if half of all, and two at least, were lost in the second that ends with it."""
    watch, now, history = watch_of(6), 0.0, dict[int, float]()
    for key, pause in losses:
        now += pause
        found = watch.lost(key, now)
        history[key] = now
        recent = {each for each, at in history.items() if now - at <= 1.0}
        standing = 6 - len(history)
        assert (key in found) == (len(recent) >= max(2, 0.5 * (standing + len(recent))))
        assert set(found) <= recent
