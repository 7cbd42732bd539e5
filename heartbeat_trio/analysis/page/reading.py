"""What is read rather than looked at: incidents, patterns, and what the report rests on. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import wording
from .markup import Html, join, tag
from .parts import facts, named, nothing, section, unfolding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..findings import Finding, Incident, Moment, NotEnough, Report
    from ..wording import Clock


def incidents_section(report: Report, clock: Clock, names: tuple[str, ...]) -> Html:
    """The worst ones, which unfold."""
    if not report.incidents:
        return section("incidents", "Worst incidents", "", nothing("There was none."))
    folded = (_incident(each, clock, names) for each in report.incidents)
    lead = f"The longest first; unfold one for its timeline. Times in {report.zone}."
    return section("incidents", "Worst incidents", lead, tag("div", *folded, class_="card list"))


def _incident(incident: Incident, clock: Clock, names: tuple[str, ...]) -> Html:
    blame = tag("span", incident.blame, class_="chip") if incident.blame else ""
    summary = join(
        (
            tag("strong", wording.seconds(incident.duration)),
            tag("span", named(names[incident.line]), tag("small", clock.second(incident.begun_at))),
            tag("span", tag("span", incident.cause, class_="cause"), blame),
        )
    )
    pairs = [
        ("Ended", "not yet" if incident.ended_at is None else clock.second(incident.ended_at)),
        ("Verdict after", wording.seconds(incident.detected_after)),
        ("Losses in it", wording.grouped(incident.losses)),
        ("At the same time", ", ".join(names[each] for each in incident.others) or "no other line"),
    ]
    moments = tag("ol", *(_moment(each, clock) for each in incident.timeline), class_="timeline")
    return unfolding(summary, tag("p", incident.detail), facts(pairs), moments, kind="incident")


def _moment(moment: Moment, clock: Clock) -> Html:
    offset = f"{moment.offset:+.1f} s" if abs(moment.offset) < 600 else f"{moment.offset / 60:+.1f} min"
    return tag(
        "li",
        tag("span", offset, class_="offset", title=clock.second(moment.at)),
        tag("span", moment.text),
        class_=moment.phase,
    )


def patterns_section(report: Report, clock: Clock, names: tuple[str, ...]) -> Html:
    """What chance does not explain, and what could not be looked for yet."""
    found = [_finding(each, clock, names) for each in report.findings]
    lead = (
        "Adjusted p: how often chance alone would show something as large, considering all that was looked for "
        "(Benjamini and Hochberg, 5 %)."
    )
    shown = tag("div", *found, class_="multiples") if found else nothing("None: what varies is within what chance explains.")
    listed = tag("ul", *_missing(report.not_enough, names), class_="missing")
    missing = tag("div", tag("h3", "Not enough data yet"), listed, class_="card later") if report.not_enough else ""
    return section("patterns", "Patterns", lead, shown, missing)


def _finding(finding: Finding, clock: Clock, names: tuple[str, ...]) -> Html:
    who = wording.line_name(finding.line, names)
    metric = wording.METRICS[finding.metric]
    return tag(
        "article",
        tag("header", tag("span", f"{metric}: {wording.KINDS[finding.kind]}", class_="chip"), named(who, "who")),
        tag("p", finding.claim, class_="claim"),
        facts(
            (
                ("Effect", wording.effect(finding)),
                ("Observations", wording.grouped(finding.n)),
                ("Chance", f"p {wording.probability(finding.p)}, adjusted p {wording.probability(finding.p_adjusted)}"),
                ("Both halves agree", "yes" if finding.halves_agree else "no"),
                ("Evidence", clock.window(finding.begun_at, finding.ended_at)),
            )
        ),
        class_="card finding",
    )


def _missing(missing: Iterable[NotEnough], names: tuple[str, ...]) -> Iterable[Html]:
    for each in missing:
        who = wording.line_name(each.line, names)
        yield tag("li", tag("b", wording.KINDS[each.kind]), f", {who}: {each.have} of {each.need} {each.unit}")


def sources_section(report: Report, clock: Clock) -> Html:
    """What was read, what was left out, and what the words mean."""
    sources = report.sources
    pairs = [
        ("Folders", ", ".join(sources.folders)),
        ("Files", f"{wording.grouped(sources.files)}, {wording.grouped(sources.cached)} of them known from before"),
        ("Records", f"{wording.grouped(sources.records)}, {wording.grouped(sources.pings)} of them pings"),
        ("Torn lines", wording.grouped(sources.torn)),
        ("Unknown records", wording.grouped(sources.unknown)),
        ("Made", f"{clock.second(report.made_at)} {report.zone}, by heartbeat_trio {report.version}"),
    ]
    left_out = tag("ul", *(tag("li", each) for each in sources.excluded), class_="missing")
    excluded = join((tag("h3", "Left out"), left_out if sources.excluded else tag("p", "Nothing.", class_="lead")))
    notes = join((tag("h3", "Notes"), tag("ul", *(tag("li", each) for each in report.notes), class_="missing")))
    words = unfolding("What the words mean", facts(MEANINGS), kind="numbers words")
    content = (facts(pairs), excluded, notes if report.notes else "", words)
    return section("sources", "What this rests on", "", tag("div", *content, class_="card"))


MEANINGS = (
    ("Available", "Part of the observed time with a connection that lived, weighted by time; the interval is over days."),
    ("Between losses", "Connected time per loss; with no loss a bound, marked >."),
    ("Found after", "From the last sign of life to the verdict, the median."),
    ("Back after", "From the last sign of life to the next connection, the mean."),
    ("Pings answered", "In time, of those that were decided: neither voided by a delay of our own nor cancelled."),
    (
        "p50, p95, p99",
        "Round trips on the wire within which 50, 95 and 99 % of pings were answered; ≥: a bound, by missed ones.",
    ),
    ("Own time", "Our own program did not run, or our clock was set. It counts for nothing and against nobody."),
    ("False loss", "A verdict after which the same connection still showed life."),
)
