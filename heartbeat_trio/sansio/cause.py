"""Whose fault: from evidence to a cause, and a cause in words.

The order of the questions matters. Our own stall explains anything; a segment that the peer's kernel never acknowledged
was lost with the path, whatever the peer's program did; a ping that never left blames the window that the peer closed; and
only then is the peer's program to blame: slow, if it says anything at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..events import Cause

if TYPE_CHECKING:
    from ..events import Evidence

STALL = 0.25
"""Seconds of absence of our own loop from which on it can be at fault (Lifeguard, arXiv:1707.00788, for the idea)."""

FAIR_CHANCE = 1.0
"""Seconds in which our loop ran after all: that much is a fair chance, and the stall excuses nobody."""

SINCE_THE_PING = 0.9
"""Part of the ping's age without an acknowledgement that counts as all of it; the kernel's clock is coarse."""

DEAD_BACKOFF = 2
"""Retransmissions in vain that mean a dead path: about 0.84 s after the segment, at p(loss)^3 by chance."""

SENTENCES = {
    Cause.LOCAL_STALL: "our own program did not run, so the peer is not to blame: look for blocking calls",
    Cause.PATH_DEAD: "the network acknowledged nothing that we sent: check the line, the firewall and the route",
    Cause.PEER_SILENT: "the peer's machine answers but its program says nothing: it is frozen or busy, ask its operator",
    Cause.PEER_SLOW: "the peer sends data but answers no ping in time: it is overloaded, try another or ask for less",
    Cause.WRITER_BLOCKED: "the peer does not read what we send, so our ping could not leave: it is stuck or flooded",
}
"""What happened, and what to do."""

UNKNOWN_SENTENCES = {
    Cause.PEER_SILENT: "the peer said nothing: its program, its machine or the network may be at fault",
}
"""The same where the kernel told nothing."""


def classify(evidence: Evidence) -> Cause:
    """Say whose fault it was that a ping has no answer."""
    return Cause.LOCAL_STALL if is_local_stall(evidence) else classify_peer(evidence)


def classify_peer(evidence: Evidence) -> Cause:
    """The same, when our own stall is no excuse any more."""
    if is_path_dead(evidence):
        return Cause.PATH_DEAD
    if not evidence.was_sent or evidence.unsent or evidence.window == 0:
        return Cause.WRITER_BLOCKED
    # What came just after the ping may have been under way before it: only later news show that the program runs.
    said_something = evidence.silent_for is not None and evidence.silent_for < evidence.age / 2
    return Cause.PEER_SLOW if said_something else Cause.PEER_SILENT


def is_local_stall(evidence: Evidence) -> bool:
    """Whether our own loop gave the pong no fair chance: bytes lie unread still, or it hardly ran at all."""
    lag = evidence.loop_lag or 0.0
    return bool(evidence.unread) or (lag >= STALL and evidence.timeout - lag <= FAIR_CHANCE)


def is_path_dead(evidence: Evidence, *, quiet_for: float = 0.0) -> bool:
    """Whether the peer's kernel does not acknowledge what was sent, though its window is open.

    `quiet_for` is how long it must have been quiet at least: what left a moment ago is unacknowledged on any line.
    """
    if not evidence.unacknowledged or evidence.window == 0:
        return False
    nothing_came = (evidence.acknowledged_ago or 0.0) >= SINCE_THE_PING * max(evidence.age, quiet_for)
    return nothing_came or (evidence.backoff or 0) >= DEAD_BACKOFF


def explain(cause: Cause, evidence: Evidence | None = None) -> str:
    """A cause in one sentence for people: what happened, and what to do."""
    if evidence is not None and evidence.acknowledged_ago is None:
        return UNKNOWN_SENTENCES.get(cause, SENTENCES[cause])
    return SENTENCES[cause]
