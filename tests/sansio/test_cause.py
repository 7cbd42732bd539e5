"""Whose fault: each cause from the evidence that stands for it, and nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.events import Cause, Evidence
from heartbeat_trio.sansio.cause import SENTENCES, UNKNOWN_SENTENCES, classify, classify_peer, explain, is_path_dead

HEALTHY = Evidence(
    age=3.0,
    timeout=3.0,
    silent_for=3.0,
    loop_lag=0.0,
    unread=0,
    unsent=0,
    unacknowledged=0,
    backoff=0,
    acknowledged_ago=2.9,
    received_ago=3.0,
    window=65536,
    network_rtt=0.02,
)
"""The ping was acknowledged, and nothing came since."""

BLIND = Evidence(age=3.0, timeout=3.0, silent_for=3.0)
"""What a virtual network or another system can tell."""


@pytest.mark.parametrize(
    ("cause", "changes"),
    [
        (Cause.PEER_SILENT, {}),
        (Cause.PEER_SILENT, {"silent_for": 1.5}),  # half of the time: it may have been under way
        (Cause.PEER_SILENT, {"silent_for": None}),
        (Cause.PEER_SLOW, {"silent_for": 1.4}),
        (Cause.LOCAL_STALL, {"unread": 1}),
        (Cause.LOCAL_STALL, {"loop_lag": 2.0}),  # a second was left: no fair chance
        (Cause.PEER_SILENT, {"loop_lag": 1.9}),
        (Cause.LOCAL_STALL, {"loop_lag": 0.25, "timeout": 0.6}),
        (Cause.PEER_SILENT, {"loop_lag": 0.24, "timeout": 0.6}),
        (Cause.PATH_DEAD, {"unacknowledged": 1, "acknowledged_ago": 2.7, "backoff": 1}),
        (Cause.PEER_SILENT, {"unacknowledged": 1, "acknowledged_ago": 2.6, "backoff": 1}),
        (Cause.PEER_SILENT, {"unacknowledged": 1, "acknowledged_ago": 3.0}),  # it may have left only now
        (Cause.PATH_DEAD, {"unacknowledged": 1, "acknowledged_ago": 0.1, "backoff": 2}),
        (Cause.PEER_SILENT, {"unacknowledged": 1, "acknowledged_ago": 0.1, "backoff": 1}),
        (Cause.PATH_DEAD, {"unacknowledged": 2, "backoff": 2, "unsent": 5000, "was_sent": False}),
        (Cause.WRITER_BLOCKED, {"unacknowledged": 1, "acknowledged_ago": 3.0, "window": 0}),
        (Cause.WRITER_BLOCKED, {"was_sent": False}),
        (Cause.WRITER_BLOCKED, {"unsent": 14}),
        (Cause.WRITER_BLOCKED, {"window": 0, "silent_for": 0.1}),
        (Cause.LOCAL_STALL, {"loop_lag": 2.5, "unacknowledged": 1, "backoff": 4}),
    ],
)
def test_each_cause_has_its_signature(cause: Cause, changes: dict[str, object]) -> None:
    """Right at the limits, and in the order of the questions."""
    assert cause is classify(msgspec.structs.replace(HEALTHY, **changes))


@pytest.mark.parametrize(
    ("cause", "changes"),
    [
        (Cause.PEER_SILENT, {}),
        (Cause.PEER_SLOW, {"silent_for": 0.1}),
        (Cause.WRITER_BLOCKED, {"was_sent": False}),
        (Cause.LOCAL_STALL, {"loop_lag": 3.0}),
    ],
)
def test_without_the_kernel_there_is_still_an_answer(cause: Cause, changes: dict[str, object]) -> None:
    """Off Linux, over virtual networks, and over strangers' streams."""
    assert cause is classify(msgspec.structs.replace(BLIND, **changes))


def test_an_excuse_that_was_used_leaves_the_peer() -> None:
    """Where our own stall excuses nobody any more, somebody else is to blame."""
    stalled = msgspec.structs.replace(HEALTHY, loop_lag=3.0)

    assert (Cause.LOCAL_STALL, Cause.PEER_SILENT) == (classify(stalled), classify_peer(stalled))


def test_an_unknown_age_of_the_last_acknowledgement_proves_nothing() -> None:
    """Only the retransmissions do then."""
    blind = msgspec.structs.replace(BLIND, unacknowledged=1)

    assert not is_path_dead(blind)
    assert is_path_dead(msgspec.structs.replace(blind, backoff=2))


@given(
    st.builds(
        Evidence,
        age=st.floats(0.01, 100),
        timeout=st.floats(0.01, 100),
        was_sent=st.booleans(),
        silent_for=st.none() | st.floats(0, 200),
        loop_lag=st.none() | st.floats(0, 200),
        unread=st.none() | st.integers(0, 10),
        unsent=st.none() | st.integers(0, 10),
        unacknowledged=st.none() | st.integers(0, 10),
        backoff=st.none() | st.integers(0, 15),
        acknowledged_ago=st.none() | st.floats(0, 200),
        window=st.none() | st.integers(0, 100),
    )
)
def test_every_evidence_has_one_cause_with_a_sentence(evidence: Evidence) -> None:
    """And the peer is never blamed for what lies unread on our side."""
    cause = classify(evidence)

    assert explain(cause, evidence)
    assert (cause is Cause.LOCAL_STALL) or not evidence.unread
    assert classify_peer(evidence) is not Cause.LOCAL_STALL


def test_sentences_say_what_to_do() -> None:
    """One for each cause; another where the kernel could not be asked."""
    assert set(SENTENCES) == set(Cause)
    assert SENTENCES[Cause.PEER_SILENT] == explain(Cause.PEER_SILENT, HEALTHY) == explain(Cause.PEER_SILENT)
    assert UNKNOWN_SENTENCES[Cause.PEER_SILENT] == explain(Cause.PEER_SILENT, BLIND)
    assert SENTENCES[Cause.PEER_SLOW] == explain(Cause.PEER_SLOW, BLIND)


def test_what_left_a_moment_ago_is_no_sign_of_a_dead_path() -> None:
    """A busy line always has something unacknowledged; only retransmissions mean anything, with or without a silence."""
    busy = Evidence(age=0.001, timeout=3.0, unacknowledged=1, acknowledged_ago=0.004, window=65536, backoff=0)
    quiet = msgspec.structs.replace(busy, acknowledged_ago=0.9, backoff=1)
    again = msgspec.structs.replace(busy, backoff=2)
    assert [False, True, True] == [is_path_dead(evidence, age=0.9) for evidence in (busy, quiet, again)]
