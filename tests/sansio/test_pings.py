"""The ledger of pings: what it remembers, and the one sum."""

from __future__ import annotations

from math import inf

import pytest

from heartbeat_trio.sansio.pings import TRANSITIONS, Fate, Happening, PingLedger


def test_an_empty_ledger_knows_nothing() -> None:
    """And nothing is due."""
    ledger = PingLedger()

    assert (0, 0, inf, b"", None) == (
        ledger.sent,
        ledger.count(Fate.IN_FLIGHT),
        ledger.earliest_deadline(),
        ledger.oldest_sent(),
        ledger.oldest_in_flight(),
    )


def test_expired_are_those_in_flight_whose_time_is_up() -> None:
    """At their deadline, not after it; oldest first."""
    ledger = PingLedger()
    first, _ = ledger.add(1, 0.0, 3.0, is_probe=False)
    second, number = ledger.add(2, 1.0, 4.0, is_probe=True)
    ping = ledger.get(first)
    assert ping is not None
    assert (b"00010001", b"00020002", 2) == (first, second, number)

    assert [first] == [nonce for nonce, _ in ledger.expired(3.0)]
    ledger.move(ping, Happening.DEADLINE)
    assert [] == ledger.expired(3.5)
    assert 4.0 == ledger.earliest_deadline()


def test_a_stalled_ping_is_voided_and_forgotten() -> None:
    """Its pong is a stranger's then."""
    ledger = PingLedger()
    nonce, _ = ledger.add(1, 0.0, 3.0, is_probe=False)
    ping = ledger.get(nonce)
    assert ping is not None

    assert ledger.move(ping, Happening.STALL) is Fate.VOIDED
    ledger.forget(nonce)
    assert ledger.get(nonce) is None
    assert (1, 1) == (ledger.sent, ledger.count(Fate.VOIDED))


def test_what_cannot_happen_is_a_bug_of_ours() -> None:
    """A miss has no deadline any more."""
    ledger = PingLedger()
    nonce, _ = ledger.add(1, 0.0, 3.0, is_probe=False)
    ping = ledger.get(nonce)
    assert ping is not None
    ledger.move(ping, Happening.DEADLINE)

    assert (Fate.MISSED, Happening.DEADLINE) not in TRANSITIONS
    with pytest.raises(KeyError):
        ledger.move(ping, Happening.DEADLINE)
