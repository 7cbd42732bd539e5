"""The first screen: what to change, how it was overall, and each line's row. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import wording
from .markup import Html, join, tag
from .parts import dots, facts, multiples, named, nothing, section, table, two_lines

if TYPE_CHECKING:
    from ..findings import Confidence, Estimate, LineReport, Recommendation, Report
    from ..wording import Clock

SHOWN = 3
"""Recommendations that are shown at once."""


def advice_section(report: Report, clock: Clock, names: tuple[str, ...]) -> Html:
    """What to change, each with its evidence and what speaks against it."""
    if not report.advice:
        return section("advice", "Advice", "", nothing(wording.no_advice(report)))
    cards = [_card(each, clock, names) for each in report.advice]
    return section("advice", "Advice", "", multiples(cards, "recommendations", shown=SHOWN))


def _card(advice: Recommendation, clock: Clock, names: tuple[str, ...]) -> Html:
    who = wording.whose(advice, names)
    head = tag("header", badge(advice.confidence), named(who, "who"))
    change = tag("pre", *(tag("code", line) for line in wording.changes(advice)))
    bound = tag("em", " (a bound: the recording does not show more)") if advice.is_censored else ""
    return tag(
        "article",
        tag("div", head, change),
        tag(
            "div",
            tag("p", advice.claim, class_="claim"),
            facts(
                (("Gain", join((advice.gain, bound))), ("Against", advice.against), ("Evidence", evidence(advice, clock)))
            ),
        ),
        class_=f"card advice {advice.confidence}",
        id=advice.id if advice.id.replace("-", "").isalnum() else None,
    )


def evidence(advice: Recommendation, clock: Clock) -> Html:
    """Effect, observations, chance and window in one line."""
    return dots(wording.evidence(advice, clock))


def badge(confidence: Confidence) -> Html:
    """How much to trust it: bars as well as a word."""
    filled = wording.BARS[confidence]
    bars = (
        tag("rect", x=4 * n, y=8 - 3 * n, width=3, height=4 + 3 * n, rx=1, class_="on" if n < filled else "off")
        for n in range(3)
    )
    drawn = tag("svg", *bars, viewBox="0 0 11 12", aria_hidden="true")
    return tag("span", drawn, f"{confidence} confidence", class_=f"badge {confidence}")


def overview(report: Report) -> Html:
    """The few figures of all lines together."""
    line = report.overall
    if line is None:
        return Html()
    tiles = (
        _tile("Available", line.availability, wording.share),
        _tile(f"Between {wording.plural(wording.losses(line), 'loss', 'losses')}", line.mtbf, wording.seconds),
        _tile("Back after", line.mttr, wording.seconds),
        _tile("Pings answered", line.success, wording.share),
        _percentile_tile(line, 0.5, "Half within"),
        _percentile_tile(line, 0.99, "99 % within"),
    )
    return tag("div", *tiles, class_="tiles", role="group", aria_label="All lines together")


def _tile(name: str, value: Estimate, words: wording.Words) -> Html:
    between = wording.interval(value, words)
    note = between or f"n = {wording.grouped(value.n)}"
    return tag("div", tag("span", name), tag("strong", wording.estimate(value, words)), tag("small", note), class_="tile")


def _percentile_tile(line: LineReport, q: float, name: str) -> Html:
    found = wording.percentile(line, q)
    if found is None:
        return Html()
    unit = tag("abbr", "ms", title="milliseconds")
    note = f"{wording.interval(found.rtt, wording.milliseconds)} ms" if found.rtt.low is not None else ""
    value = join((wording.rtt(line, q), " ", unit))
    return tag("div", tag("span", name), tag("strong", value), tag("small", note), class_="tile")


HEAD = (
    "Line",
    "Available",
    "Losses",
    "Between losses",
    "Back after",
    "Found after",
    "Pings answered",
    "p50, ms",
    "p95, ms",
    "p99, ms",
    "Pings",
    "Gaps",
    "Own stalls",
    "Own time",
)


def summary_section(report: Report, names: tuple[str, ...]) -> Html:
    """One row a line."""
    rows = [_row(name, line) for name, line in zip(names, report.lines, strict=True)]
    if report.overall is not None and len(report.lines) > 1:
        rows.append(_row("All lines", report.overall))
    lead = (
        "Small, here and above: the 95 % interval, and attempts to connect that failed. Own time, in which our own program "
        "did not run or our clock was set, is in no other figure."
    )
    return section("lines", "Lines", lead, table(HEAD, rows, "How stable each line was", kind="summary"))


def _row(name: str, line: LineReport) -> tuple[object, ...]:
    def cell(value: Estimate, words: wording.Words) -> Html:
        return two_lines(wording.estimate(value, words), wording.interval(value, words))

    def rtt(q: float) -> Html:
        found = wording.percentile(line, q)
        between = "" if found is None else wording.interval(found.rtt, wording.milliseconds)
        return two_lines(wording.rtt(line, q), between)

    failed = f"{wording.grouped(line.failed_connects)} failed" if line.failed_connects else ""
    return (
        named(name),
        cell(line.availability, wording.share),
        two_lines(wording.grouped(wording.losses(line)), failed),
        cell(line.mtbf, wording.seconds),
        cell(line.mttr, wording.seconds),
        cell(line.detection, wording.seconds),
        cell(line.success, wording.share),
        *(rtt(q) for q in (0.5, 0.95, 0.99)),
        wording.grouped(line.pings),
        wording.grouped(line.gaps),
        wording.grouped(line.stalls),
        wording.seconds(line.ours),
    )
