"""Injects each of the five causes on real connections, and prints what they blamed: the confusion matrix.

Half of the connections are TCP, half WebSocket. The stall is a blocking call of ours; the dead path a loopback device
switched off in a network namespace of its own (root only); the silent peer is stopped by SIGSTOP; the slow one sends
quotes and holds its pongs back; the one that blocks our writer stops reading.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter

import msgspec

from heartbeat_trio.events import Cause
from tests.support.causes import Verdict, classify_in_child, why_not

BATCH = 100
"""Connections side by side in one process."""


def collect(cause: Cause, runs: int) -> list[Verdict]:
    """So many verdicts, in batches; a stall finds no ping in flight on some connections, which say nothing then."""
    found: list[Verdict] = []
    while len(found) < runs:
        verdicts = classify_in_child(cause, min(BATCH, 2 * runs))
        if not verdicts:
            raise RuntimeError(f"{cause.value}: no connection judged anything")
        found += verdicts
    return found[:runs]


def main() -> None:
    """Print the matrix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    matrix: dict[Cause, Counter[str]] = {}
    for cause in Cause:
        reason = why_not(cause)
        if reason is not None:
            print(f"{cause.value} skipped: {reason}", file=sys.stderr)
            continue
        verdicts = collect(cause, options.runs)
        matrix[cause] = Counter(str(verdict.blame) for verdict in verdicts)
        for verdict in verdicts:
            if verdict.blame != cause.value:
                print(f"{cause.value} was taken for: {msgspec.json.encode(verdict).decode()}", file=sys.stderr)
    if options.output == "json":
        print(json.dumps({cause.value: counts for cause, counts in matrix.items()}))
        return
    print(f"| injected \\ blamed | {' | '.join(cause.value for cause in Cause)} | right |")
    print(f"| --- |{' ---: |' * (len(Cause) + 1)}")
    for cause, counts in matrix.items():
        cells = " | ".join(str(counts[each.value]) for each in Cause)
        print(f"| {cause.value} | {cells} | {counts[cause.value] / counts.total():.1%} |")


if __name__ == "__main__":
    main()
