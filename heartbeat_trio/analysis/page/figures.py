"""Days and round trips over time. Pure.

Drawings have percentages for coordinates, so that they fill any width while their letters keep their size; curves stand
in a box of 1000 by 100 that is stretched.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from .. import wording
from .markup import Html, join, number, percent, tag
from .parts import figure, legend, multiples, named, nothing, section, table, unfolding
from .scales import axis_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..findings import Day, Report, RttPoint
    from ..wording import Clock
    from .scales import Axis

MAX_DAYS = 120
"""More days than these are drawn as weeks."""
MAX_POINTS = 1800
"""Points of all lines' round trips; of more, each is the worst of several. A line may have so many:"""
LEAST_POINTS, MOST_POINTS = 90, 300
GRADES = (0.9999, 0.999, 0.99, 0.95)
"""Below these a day is worse by one grade."""
GRADE_WORDS = ("99.99 % and more", "99.9 % and more", "99 % and more", "95 % and more", "less than 95 %")
CURVES = {"p50": "p50: half were quicker", "p95": "p95: 19 in 20 were", "p99": "p99: 99 in 100 were"}


class Bar(NamedTuple):
    """One line's day or week."""

    label: str
    availability: float | None
    observed: float
    losses: int

    @property
    def grade(self) -> int:
        """0, the best, to 4."""
        return 0 if self.availability is None else sum(self.availability < least for least in GRADES)


def availability_section(report: Report, names: tuple[str, ...]) -> Html:
    """A ribbon for each line: a bar for each day."""
    if not report.days:
        return section("days", "Availability by day", "", nothing("No day was observed."))
    dates = _dates(report.days)
    bars = [_bars(each, dates) for each in _by_line(report.days, len(names))]
    span = "week" if len(dates) > MAX_DAYS else "day"
    rows = [_ribbon(name, each) for name, each in zip(names, bars, strict=True)]
    axis = tag("div", _ribbon_axis(bars[0]), class_="ribbon-axis")
    samples = [(f"grade g{n}", words) for n, words in enumerate(GRADE_WORDS)]
    return section(
        "days",
        f"Availability by {span}",
        f"One bar a {span}, in {report.zone}. The part that is filled from below grows with what was missing.",
        legend([*samples, ("grade none", "not observed")]),
        tag("div", multiples(rows), axis, class_="ribbons"),
        unfolding(f"Each {span} that was not perfect, in numbers", _day_table(names, bars)),
    )


def _dates(days: Sequence[Day]) -> list[str]:
    first, last = (date.fromisoformat(pick(each.date for each in days)) for pick in (min, max))
    return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


def _by_line(days: Sequence[Day], lines: int) -> list[dict[str, Day]]:
    found: list[dict[str, Day]] = [{} for _ in range(lines)]
    for each in days:
        found[each.line][each.date] = each
    return found


def _bars(days: dict[str, Day], dates: list[str]) -> list[Bar]:
    size = 7 if len(dates) > MAX_DAYS else 1
    return [_bar([days[each] for each in dates[n : n + size] if each in days], dates[n]) for n in range(0, len(dates), size)]


def _bar(days: list[Day], label: str) -> Bar:
    seen = [(each.availability, each.observed) for each in days if each.availability is not None]
    observed = sum(weight for _, weight in seen)
    mean = sum(value * weight for value, weight in seen) / observed if observed else None
    return Bar(label, mean, observed, sum(each.losses for each in days))


def _ribbon(name: str, bars: list[Bar]) -> Html:
    known = [(each.availability, each.observed) for each in bars if each.availability is not None]
    observed = sum(weight for _, weight in known)
    mean = wording.share(sum(value * weight for value, weight in known) / observed if observed else None)
    box = f"0 0 {len(bars)} 20"
    label = f"{name}: available {mean}; {wording.plural(sum(each.grade > 0 for each in bars), 'bar')} below 99.99 %"
    drawn = tag(
        "svg",
        *(_draw_bar(n, each) for n, each in enumerate(bars)),
        viewBox=box,
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
        class_="ribbon",
    )
    return tag("div", named(name), drawn, tag("strong", mean), class_="ribbon-row")


def _draw_bar(n: int, bar: Bar) -> Html:
    words = "not observed" if bar.availability is None else wording.share(bar.availability)
    title = tag("title", f"{bar.label}: {words}, {wording.plural(bar.losses, 'loss', 'losses')}")
    x = f"{n + 0.06:.2f}"
    if bar.availability is None:
        return tag("g", title, tag("rect", x=x, y=9, width=".88", height=2, class_="none"))
    whole = tag("rect", x=x, y=0, width=".88", height=20, class_="g0")
    if not bar.grade:
        return tag("g", title, whole)
    height = 5 * bar.grade
    return tag("g", title, whole, tag("rect", x=x, y=20 - height, width=".88", height=height, class_=f"g{bar.grade}"))


def _ribbon_axis(bars: list[Bar]) -> Html:
    first, last = bars[0].label, bars[-1].label
    middle = bars[len(bars) // 2].label if len(bars) > 6 else ""
    return tag("svg", *_ends(first, middle, last), class_="axis", aria_hidden="true")


def _ends(first: str, middle: str, last: str) -> tuple[Html, ...]:
    places = (("0", "start", first), ("50%", "middle", middle), ("100%", "end", last))
    return tuple(tag("text", words, x=x, y=13, text_anchor=anchor) for x, anchor, words in places if words)


def _day_table(names: tuple[str, ...], bars: list[list[Bar]]) -> Html:
    rows = [
        (name, each.label, wording.share(each.availability), wording.grouped(each.losses), wording.seconds(each.observed))
        for name, row in zip(names, bars, strict=True)
        for each in row
        if each.availability != 1 or each.losses
    ]
    if not rows:
        return nothing("All were perfect.")
    return table(("Line", "From", "Available", "Losses", "Observed"), rows, "Availability in numbers")


def rtt_section(report: Report, clock: Clock, names: tuple[str, ...]) -> Html:
    """Percentiles over time, a drawing for each line."""
    by_line: dict[int, list[RttPoint]] = defaultdict(list)
    for each in report.rtt:
        by_line[each.line].append(each)
    if not by_line:
        return section("rtt", "Round trips over time", "", nothing("No round trip was measured."))
    span = min(each.begun_at for each in report.rtt), max(each.begun_at for each in report.rtt)
    drawn = [_rtt_figure(report, clock, names[line], line, by_line[line], span) for line in sorted(by_line)]
    step = f"{report.rtt_step / 3600:g} h" if report.rtt_step >= 3600 else f"{report.rtt_step / 60:g} min"
    words = f"On the wire, in milliseconds, measured anew each {step}; times in {report.zone}."
    shown = [(f"curve {name}", told) for name, told in CURVES.items() if any(getattr(each, name) for each in report.rtt)]
    return section("rtt", "Round trips over time", words, legend(shown), multiples(drawn))


def _rtt_figure(
    report: Report, clock: Clock, name: str, line: int, points: list[RttPoint], span: tuple[float, float]
) -> Html:
    kept, together = thin(points, min(max(MAX_POINTS // len(report.lines), LEAST_POINTS), MOST_POINTS))
    axis = axis_of([1000 * value for each in kept for value in (each.p50, each.p95, each.p99) if value is not None])
    places = [_part(each.begun_at, span) for each in kept]
    step = report.rtt_step * together
    curves = (_curve(kept, places, axis, step, each) for each in CURVES)
    box = tag("svg", *curves, viewBox="0 0 1000 100", preserveAspectRatio="none", width="100%", height="100%")
    steps = [each for each in report.findings if each.kind == "step" and each.line == line]
    marks = join(_step_mark(each.details.get("moment_at"), span, clock) for each in steps)
    middle = kept[len(kept) // 2]
    label = f"{name}: median {wording.milliseconds(middle.p50)} ms in the middle of the time; each point stands in the table"
    plot = tag(
        "svg",
        _grid(axis),
        box,
        marks,
        tag("line", y1=0, y2="100%", class_="cross"),
        class_="plot",
        role="img",
        aria_label=label,
        data_at=" ".join(number(1000 * place) for place in places),
    )
    ends = _ends(clock.date(span[0]), clock.date((span[0] + span[1]) / 2), clock.date(span[1]))
    scale = ", logarithmic" if axis.is_log else ""
    note = f" · each point is the worst of {together}" if together > 1 else ""
    numbers = _rtt_table(kept, clock, f"Round trips of {name}")
    return figure(
        join((named(name), tag("small", f"milliseconds{scale}{note}"))),
        plot,
        tag("svg", *ends, class_="axis", aria_hidden="true"),
        tag("p", class_="tip", aria_live="off"),
        unfolding(f"{wording.plural(len(kept), 'point')} in numbers", numbers),
        kind="rtt",
    )


def thin(points: list[RttPoint], most: int) -> tuple[list[RttPoint], int]:
    """At most so many of them: of neighbours the worst is kept. Also how many stand behind each."""
    together = -(-len(points) // most)
    groups = (points[n : n + together] for n in range(0, len(points), together))
    return [max(group, key=lambda each: (each.p95 or each.p50, each.p50)) for group in groups], together


def _part(at: float, span: tuple[float, float]) -> float:
    return (at - span[0]) / (span[1] - span[0]) if span[1] > span[0] else 0.5


def _curve(points: list[RttPoint], places: list[float], axis: Axis, step: float, which: str) -> Html:
    """A line that is broken where nothing was measured; a point between two breaks is a dot."""
    words: list[str] = []
    before: float | None = None
    for point, place in zip(points, places, strict=True):
        value: float | None = getattr(point, which)
        if value is None:
            before = None
            continue
        is_next = before is not None and point.begun_at - before <= 1.9 * step
        x, y = number(1000 * place), number(100 - 100 * axis.place(1000 * value))
        words.append(f"L{x} {y}" if is_next else f"M{x} {y}h.1")
        before = point.begun_at
    return tag("path", d=Html("".join(words)), class_=f"curve {which}") if words else Html()


def _grid(axis: Axis) -> Html:
    return tag("g", *(join(_grid_line(axis, mark)) for mark in axis.marks), class_="grid")


def _grid_line(axis: Axis, mark: float) -> Iterable[Html]:
    y = percent(1 - axis.place(mark))
    yield tag("line", x1=0, x2="100%", y1=y, y2=y)
    yield tag("text", f"{mark:g}", x=-9, y=y, dy=4, text_anchor="end")


def _step_mark(at: object, span: tuple[float, float], clock: Clock) -> Html:
    if not isinstance(at, int | float) or not span[0] <= at <= span[1]:
        return Html()
    x, side = percent(_part(at, span)), "start" if _part(at, span) < 0.5 else "end"
    words = f"step, {clock.minute(at)}"
    move = 5 if side == "start" else -5
    return join(
        (
            tag("line", x1=x, x2=x, y1=0, y2="100%", class_="step"),
            tag("text", words, x=x, y=12, dx=move, text_anchor=side, class_="mark"),
        )
    )


def _rtt_table(points: list[RttPoint], clock: Clock, label: str) -> Html:
    rows = (
        (clock.minute(each.begun_at), *(wording.milliseconds(value) for value in (each.p50, each.p95, each.p99)), each.n)
        for each in points
    )
    return table(("From", "p50, ms", "p95, ms", "p99, ms", "n"), rows, label)
