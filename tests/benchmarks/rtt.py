"""Holds our round trips against the truth, while 20 000 quotes a second arrive and the consumer is slow.

The peer, in another process, keeps the kernel's receive timestamp of each ping and the moment its pong left. What is left of
our round trip after that is the wire; over loopback nearly nothing, so it is our error. Over a link of its own, 25 ± 5 ms
long, the truth is the link's log (root only).
"""

from __future__ import annotations

import argparse
import json

from tests.support.truth import Truth, measure, measure_over_link, percentile, why_no_link


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


def describe_link(scheme: str, seconds: float) -> dict[str, float]:
    """The same over the link: by how much ours differs from its log."""
    pongs = measure_over_link(scheme, seconds=seconds, delay=25, jitter=5, seed=1)
    errors = sorted(abs(rtt - truth) for rtt, (_, truth), is_exact in pongs if is_exact)
    return {
        "samples": len(pongs),
        "exact_share": len(errors) / len(pongs),
        "rtt_p50_ms": 1e3 * percentile(sorted(truth for _, (_, truth), _ in pongs), 50),
        "p50_ms": 1e3 * percentile(errors, 50),
        "p99_ms": 1e3 * percentile(errors, 99),
        "max_ms": 1e3 * errors[-1],
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
    links = {} if why_no_link() else {scheme: describe_link(scheme, options.seconds) for scheme in ("tcp", "ws")}
    if options.output == "json":
        told = [{"scheme": scheme, "rate": rate, **row} for (scheme, rate), row in rows.items()]
        print(json.dumps({"loopback": told, "link": links}))
        return
    print("| line | quotes/s | samples | exact | error p50 | p99 | max | all samples p99 | own delay p99 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (scheme, rate), row in rows.items():
        errors = " | ".join(
            f"{row[name]:.2f} ms" for name in ("p50_ms", "p99_ms", "max_ms", "all_p99_ms", "own_delay_p99_ms")
        )
        print(f"| {scheme} | {rate:.0f} | {row['samples']:.0f} | {row['exact_share']:.0%} | {errors} |")
    print(f"\n{why_no_link() or 'over a link of 25 ± 5 ms each way, against its log:'}")
    for scheme, row in links.items():
        figures = ", ".join(f"{name[:-3]} {row[name]:.2f} ms" for name in ("p50_ms", "p99_ms", "max_ms"))
        share = f"{row['samples']:.0f} samples, {row['exact_share']:.0%} exact, round trip {row['rtt_p50_ms']:.1f} ms"
        print(f"{scheme}: {share}; error {figures}")


if __name__ == "__main__":
    main()
