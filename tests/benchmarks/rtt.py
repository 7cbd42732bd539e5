"""Holds our round trips against the truth, while 20 000 quotes a second arrive and the consumer is slow.

The peer, in another process, keeps the kernel's receive timestamp of each ping and the moment its pong left. What is left of
our round trip after that is the wire; over loopback nearly nothing, so it is our error.
"""

from __future__ import annotations

import argparse
import json

from tests.support.truth import Truth, measure, percentile


def describe(truth: Truth) -> dict[str, float]:
    """The figures, in milliseconds."""
    return {
        "samples": len(truth.exact) + len(truth.inexact),
        "exact_share": truth.share,
        "p50_ms": 1e3 * percentile(truth.exact, 50),
        "p99_ms": 1e3 * percentile(truth.exact, 99),
        "max_ms": 1e3 * truth.exact[-1],
        "all_p99_ms": 1e3 * percentile(sorted(truth.exact + truth.inexact), 99),
        "own_delay_p99_ms": 1e3 * percentile(truth.local, 99),
        "quotes": truth.quotes,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=20_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    rows = {
        (scheme, rate): describe(measure(scheme, rate=rate, seconds=options.seconds))
        for scheme in ("tcp", "ws")
        for rate in (1.0, options.rate)
    }
    if options.output == "json":
        print(json.dumps([{"scheme": scheme, "rate": rate, **row} for (scheme, rate), row in rows.items()]))
        return
    print("| line | quotes/s | samples | exact | error p50 | p99 | max | all samples p99 | own delay p99 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (scheme, rate), row in rows.items():
        errors = " | ".join(
            f"{row[name]:.2f} ms" for name in ("p50_ms", "p99_ms", "max_ms", "all_p99_ms", "own_delay_p99_ms")
        )
        print(f"| {scheme} | {rate:.0f} | {row['samples']:.0f} | {row['exact_share']:.0%} | {errors} |")


if __name__ == "__main__":
    main()
