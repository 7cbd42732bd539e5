"""Ingest, round trips, fan-out, idle lines, memory, detection, storms and heartbeat torture, against peers by name.

Each measurement runs in a process of its own, the server on one core and the client on another, each library as its own
documentation recommends (see `tests/support/speed/peers`), all against the same server of bare sockets. What is compared is
measured in turns. Figures are medians with least and most; what a library hangs in is cut off, and that is its result.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.support.speed.figures import Table, Tell, describe, machine
from tests.support.speed.parts import others, speed, torture
from tests.support.speed.parts.common import PEERS, Scale

PARTS: dict[str, Callable[[Scale, Tell], list[Table]]] = {
    "ingest": speed.ingest,
    "rtt": speed.rtt_under_load,
    "round-trip": speed.round_trip,
    "fan-out": others.fan_out,
    "idle": others.idle,
    "memory": speed.memory,
    "detection": torture.detection,
    "recovery": torture.recovery,
    "storm": torture.storm,
    "torture": torture.torture,
}


def measure(parts: list[str], scale: Scale, tell: Tell) -> tuple[list[Table], dict[str, float]]:
    """Run the parts; their tables, and the seconds that each took."""
    tables: list[Table] = []
    took: dict[str, float] = {}
    for number, part in enumerate(parts, 1):
        began = time.monotonic()
        tables += PARTS[part](scale, partial(_tell_of, tell, f"[{number}/{len(parts)}]"))
        took[part] = time.monotonic() - began
    return tables, took


def _tell_of(tell: Tell, where: str, line: str) -> None:
    tell(f"{where} {line}")


def as_json(facts: dict[str, Any], tables: list[Table], took: dict[str, float]) -> str:
    """One document."""
    return json.dumps({**facts, "tables": [table.json() for table in tables], "took": took})


def main() -> None:
    """Print the tables, and on stderr how far it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this one (may be repeated)")
    parser.add_argument("--peer", choices=PEERS, action="append", help="only ours and this one (may be repeated)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=float, default=1.0, help="part of the usual messages, connections and seconds")
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s {line}", file=sys.stderr, flush=True)

    scale = Scale(options.rounds, options.work, frozenset(options.peer) if options.peer else None)
    facts = machine()
    tables, took = measure(options.part or list(PARTS), scale, tell)
    tell("done")
    if options.output == "json":
        print(as_json(facts, tables, took))
        return
    print(describe(facts))
    print(f"Medians of {options.rounds} (least..most); 'times ours' above 1: the peer's is more.\n")
    for table in tables:
        print(table.markdown())


if __name__ == "__main__":
    main()
