"""A day with each exchange: a session against a simulator that drops whoever does not heartbeat as the venue wants.

Virtual time, both engines. A connection may end by the venue's own age limit and by nothing else; every ping is answered on
both sides.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial

import trio
from trio.testing import MockClock

from heartbeat_trio.dialects import builtin_dialects, speakable_dialects
from tests.support.exchanges import Outcome, live_through


def main() -> None:
    """Print the table."""
    names = speakable_dialects(builtin_dialects())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--dialects", nargs="+", choices=names, default=names)
    parser.add_argument("--engines", nargs="+", choices=["native", "trio-websocket"], default=["native"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    rows: list[tuple[str, str, Outcome, float]] = []
    if options.output == "text":
        print(f"{options.hours:g} virtual hours with each")
        print("| dialect | engine | connections | dropped | pings | answered | lost | theirs answered | unanswered | real |")
        print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in options.dialects:
        for engine in options.engines:
            begin = time.perf_counter()
            run = partial(live_through, name, 3600 * options.hours, engine=engine, seed=options.seed)
            outcome = trio.run(run, clock=MockClock(autojump_threshold=0))
            rows.append((name, engine, outcome, time.perf_counter() - begin))
            if options.output == "text":
                counts = (outcome.sent, outcome.answered, outcome.lost, outcome.asked, outcome.unanswered)
                numbers = " | ".join(map(str, (outcome.connections, len(outcome.dropped), *counts)))
                print(f"| {name} | {engine} | {numbers} | {rows[-1][3]:.1f} s |", flush=True)
    if options.output == "json":
        print(json.dumps([{"dialect": name, "engine": engine, **each._asdict()} for name, engine, each, _ in rows]))


if __name__ == "__main__":
    main()
