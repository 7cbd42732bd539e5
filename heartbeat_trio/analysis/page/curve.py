"""The replay: what other heartbeat policies would have done with the same pings. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .. import wording
from .markup import Html, join, number, percent, tag
from .parts import figure, legend, multiples, named, section, table, unfolding
from .scales import axis_of, linear_axis

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..findings import ReplayCurve, ReplayPoint, Report
    from .scales import Axis

MAX_POINTS = 600
"""Points of all curves. Those that are best for something, the recorded and the suggested are drawn; of the others, so many
as a curve has room for:"""
LEAST_POINTS, MOST_POINTS = 20, 60


def replay_section(report: Report, names: tuple[str, ...]) -> Html:
    """Detection time against false losses, for each line."""
    curves = [each for each in report.replays if each.points]
    if not curves:
        return Html()
    curves.sort(key=lambda each: not any(point.is_suggested for point in each.points))
    lead = (
        "Each point is a heartbeat policy, run over the recorded pings by the code that runs live: how soon it finds a dead "
        "peer, and how often it would have given up one that lived. Lower left is better."
    )
    room = min(max(MAX_POINTS // len(curves), LEAST_POINTS), MOST_POINTS)
    drawn = [_draw(names, each, room) for each in curves]
    samples = (
        ("point plain", "a policy"),
        ("point recorded", "the one that ran"),
        ("point suggested", "the one suggested"),
        ("point censored", "a bound only: the recording does not show more"),
    )
    return section("replay", "Other policies, replayed", lead, legend(samples), multiples(drawn))


def _draw(names: tuple[str, ...], curve: ReplayCurve, room: int) -> Html:
    points = choose(curve.points, room)
    across = axis_of([each.detection_mean for each in points])
    up = linear_axis(_height(max(each.false_losses for each in points)))
    front = frontier(points)
    path = "L".join(f"{number(1000 * across.place(x))} {number(100 - 100 * up.place(_height(y)))}" for x, y in front)
    line = tag("path", d=Html(f"M{path}"), class_="front")
    plot = tag(
        "svg",
        _up_grid(up, max(each.false_losses for each in points)),
        _across_grid(across),
        tag("svg", line, viewBox="0 0 1000 100", preserveAspectRatio="none", width="100%", height="100%"),
        *(_point(each, across, up) for each in sorted(points, key=_rank)),
        class_="plot scatter",
        role="img",
        aria_label=f"{names[curve.line]}: {_in_words(curve)}",
    )
    marks = (
        tag("text", f"{mark:g} s", x=percent(across.place(mark)), y=13, text_anchor="middle")
        for mark in across.marks
        if 0.02 < across.place(mark) < 0.98
    )
    told = f"{wording.plural(curve.pings, 'ping')} in {wording.seconds(curve.observed)} of connections"
    label = f"Policies replayed for {names[curve.line]}"
    return figure(
        join((named(names[curve.line]), tag("small", told))),
        tag("p", "false losses", class_="axis-name"),
        plot,
        tag("svg", *marks, class_="axis", aria_hidden="true"),
        tag("p", "a dead peer is found after, on average", class_="axis-name end"),
        tag("p", _in_words(curve), class_="said"),
        unfolding(f"{wording.plural(len(points), 'policy', 'policies')} in numbers", _numbers(points, label)),
    )


def choose(points: tuple[ReplayPoint, ...], most: int) -> list[ReplayPoint]:
    """The points that are drawn: not more, unless more are needed."""
    best = set(frontier(points))
    needed = [each for each in points if is_marked(each) or (each.detection_mean, each.false_losses) in best]
    others = [each for each in points if each not in needed]
    room = max(most - len(needed), 0)
    every = max(-(-len(others) // room), 1) if room else len(others) + 1
    kept = needed + others[::every]
    return sorted(kept, key=lambda each: (each.detection_mean, each.false_losses))


def is_marked(point: ReplayPoint) -> bool:
    """Whether a point is one of the two that matter."""
    return point.is_recorded or point.is_suggested


def frontier(points: Iterable[ReplayPoint]) -> list[tuple[float, int]]:
    """Detection times, ascending, each with fewer false losses than any quicker policy has."""
    best: list[tuple[float, int]] = []
    for time, false in sorted((each.detection_mean, each.false_losses) for each in points):
        if not best or false < best[-1][1]:
            best.append((time, false))
    return best


def _height(losses: float) -> float:
    return math.sqrt(losses)


def _rank(point: ReplayPoint) -> int:
    return point.is_recorded + 2 * point.is_suggested


def _up_grid(axis: Axis, most: int) -> Html:
    """Losses stand on a scale of square roots, so that 0, 1 and 2 can be told apart beside hundreds."""
    marks = [0, *(each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000) if each <= most)]
    drawn: list[Html] = []
    above = -1.0
    for mark in marks:
        at = axis.place(_height(mark))
        if at - above >= 0.09:
            above, y = at, percent(1 - at)
            drawn += [
                tag("line", x1=0, x2="100%", y1=y, y2=y),
                tag("text", wording.grouped(mark), x=-9, y=y, dy=4, text_anchor="end"),
            ]
    return tag("g", *drawn, class_="grid")


def _across_grid(axis: Axis) -> Html:
    places = (percent(axis.place(mark)) for mark in axis.marks)
    return tag("g", *(tag("line", x1=x, x2=x, y1=0, y2="100%") for x in places), class_="grid")


def _point(point: ReplayPoint, across: Axis, up: Axis) -> Html:
    x, y = percent(across.place(point.detection_mean)), percent(1 - up.place(_height(point.false_losses)))
    title = tag("title", f"{policy(point)}: {_outcome(point)}")
    kind = " censored" if point.is_censored else ""
    if point.is_suggested:
        shape = tag("path", d="M0-8L8 0 0 8-8 0Z")
        return tag(
            "svg", title, shape, _word("suggested", 8, "end"), x=x, y=y, overflow="visible", class_="point suggested" + kind
        )
    if point.is_recorded:
        shape = tag("path", d="M-6-6H6V6H-6Z")
        return tag(
            "svg", title, shape, _word("ran", -6, "start"), x=x, y=y, overflow="visible", class_="point recorded" + kind
        )
    return tag("circle", title, cx=x, cy=y, r=4, class_="point plain" + kind)


def _word(word: str, x: int, anchor: str) -> Html:
    """Beside a point; the two words grow away from each other, since the quicker policy is mostly the one suggested."""
    return tag("text", word, x=x, y=-14, text_anchor=anchor, class_="mark")


def policy(point: ReplayPoint) -> str:
    """A policy in short."""
    return f"interval {point.ping_interval:g} s, timeout {point.pong_timeout:g} s, {point.max_missed_pongs} missed"


def _outcome(point: ReplayPoint) -> str:
    bound = "at least " if point.is_censored else ""
    false = wording.plural(point.false_losses, "false loss", "false losses")
    return f"found after {wording.seconds(point.detection_mean)}, {bound}{false}"


def _in_words(curve: ReplayCurve) -> str:
    recorded = next((each for each in curve.points if each.is_recorded), None)
    suggested = next((each for each in curve.points if each.is_suggested), None)
    told = [f"Ran: {policy(recorded)}: {_outcome(recorded)}." if recorded else ""]
    if suggested is not None and suggested is not recorded:
        told.append(f"Suggested: {policy(suggested)}: {_outcome(suggested)}.")
    return " ".join(filter(None, told)) or wording.plural(len(curve.points), "policy was replayed", "policies were replayed")


def _numbers(points: list[ReplayPoint], label: str) -> Html:
    head = ("Interval, s", "Timeout, s", "Missed", "Found after, mean", "at most", "Losses", "False losses", "")
    rows = (
        (
            f"{each.ping_interval:g}",
            f"{each.pong_timeout:g}",
            each.max_missed_pongs,
            wording.seconds(each.detection_mean),
            wording.seconds(each.detection_max),
            wording.grouped(each.losses),
            wording.grouped(each.false_losses),
            ", ".join(words for words, is_so in _flags(each) if is_so),
        )
        for each in points
    )
    return table(head, rows, label)


def _flags(point: ReplayPoint) -> tuple[tuple[str, bool], ...]:
    return (("ran", point.is_recorded), ("suggested", point.is_suggested), ("a bound", point.is_censored))
