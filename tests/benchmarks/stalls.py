"""Stalls our own event loop while pings are in flight on a hundred connections of each kind: nobody may be blamed for it.

The peer is another process, 50 ms away in each direction. A ping is delayed if its pong lay in our kernel for more than
50 ms; each must be voided, or answered with the blame on our own stall. The wire's round trips must not notice.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

import trio

from tests.support.stalls import KINDS, Outcome, distant_peer, survive


def measure(kind: str, stall: float, connections: int) -> Outcome:
    """One kind of connection and one length of stall."""
    with tempfile.TemporaryDirectory() as folder, distant_peer(Path(folder), rate=1) as peer:

        async def run() -> Outcome:
            with trio.fail_after(60 + stall):
                return await survive(peer, (kind,), connections=connections, stall=stall, subscribe=False, after=2.0)

        return trio.run(run)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--stalls", type=float, nargs="+", default=[0.3, 2.0, 20.0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["tcp", "tcps", "ws", "wss"])
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    outcomes = {
        (kind, stall): measure(kind, stall, options.connections) for stall in options.stalls for kind in options.kinds
    }
    if options.output == "json":
        rows = [
            {"kind": kind, "stall": stall, **each._asdict(), "wire_moved": each.wire_moved}
            for (kind, stall), each in outcomes.items()
        ]
        print(json.dumps(rows))
        return
    print(f"{options.connections} connections at once in the stalled process")
    print("| stall | kind | lost | missed | delayed | excused | wire RTT median before | moved by |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (kind, stall), each in outcomes.items():
        wire = f"{1e3 * median(each.wire_before):.1f} ms | {1e3 * each.wire_moved:.2f} ms"
        print(f"| {stall:g} s | {kind} | {each.lost} | {each.missed} | {each.delayed} | {each.excused} | {wire} |")


if __name__ == "__main__":
    main()
