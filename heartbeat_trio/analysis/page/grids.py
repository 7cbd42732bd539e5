"""Hours of the week, and why connections were lost. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from .. import wording
from .markup import Html, join, percent, tag
from .parts import figure, legend, multiples, named, nothing, section, table, unfolding

if TYPE_CHECKING:
    from ..findings import HourCell, LossCount, Report

STEPS = (0.95, 1.05, 1.15, 1.3, 1.6)
"""A cell's shade: how many of these its part of the line's median hour reaches."""
STEP_WORDS = ("below 0.95 of the median hour", "0.95", "1.05", "1.15", "1.3", "1.6 times and more")
POOR = 0.99
"""A cell with less success is marked."""


def hours_section(report: Report, names: tuple[str, ...]) -> Html:
    """The median round trip of each hour of each weekday; the drawing is its own table."""
    by_line: dict[int, dict[tuple[int, int], HourCell]] = defaultdict(dict)
    for each in report.hours:
        by_line[each.line][each.weekday, each.hour] = each
    grids = [_grid(names[line], by_line[line]) for line in sorted(by_line) if _medians(by_line[line])]
    if not grids:
        return section("hours", "Hours of the week", "", nothing("No round trip was measured."))
    lead = (
        f"The median round trip in milliseconds, by hour and weekday in {report.zone}; darker or brighter: slower than the "
        "line's own median hour. Shades alone prove nothing: what chance does not explain is listed under Patterns."
    )
    samples = [(f"shade h{n}", words) for n, words in enumerate(STEP_WORDS)]
    key = legend([*samples, ("shade poor", f"under {100 * POOR:g} % of pings answered")])
    return section("hours", "Hours of the week", lead, key, multiples(grids))


def _medians(cells: dict[tuple[int, int], HourCell]) -> list[float]:
    return sorted(each.p50 for each in cells.values() if each.p50 is not None)


def _grid(name: str, cells: dict[tuple[int, int], HourCell]) -> Html:
    medians = _medians(cells)
    middle = medians[len(medians) // 2]
    digits = 0 if middle >= 0.1 else 1 if middle >= 0.01 else 2
    head = tag("thead", tag("tr", tag("td"), *(tag("th", f"{hour:02}", scope="col") for hour in range(24))))
    rows = (
        tag("tr", tag("th", day[:3], scope="row"), *(_cell(cells.get((number, hour)), middle, digits) for hour in range(24)))
        for number, day in enumerate(wording.WEEKDAYS)
    )
    label = f"Median round trips of {name}, milliseconds, by weekday and hour"
    drawn = tag("table", head, tag("tbody", *rows), class_="heat")
    caption = join((named(name), tag("small", f"median hour {wording.milliseconds(middle)} ms")))
    return figure(caption, tag("div", drawn, class_="scroll", tabindex=0, role="region", aria_label=label), kind="wide")


def _cell(cell: HourCell | None, middle: float, digits: int) -> Html:
    if cell is None or cell.p50 is None:
        return tag("td", wording.UNKNOWN, class_="h", title="not observed")
    shade = sum(cell.p50 / middle >= least for least in STEPS) if middle > 0 else 0
    is_poor = cell.success is not None and cell.success < POOR
    told = "" if cell.success is None else f", {wording.share(cell.success)} answered"
    return tag(
        "td",
        f"{1000 * cell.p50:.{digits}f}",
        class_=f"h{shade}{' poor' if is_poor else ''}",
        title=f"{wording.grouped(cell.n)} pings{told}",
    )


def losses_section(report: Report, names: tuple[str, ...]) -> Html:
    """Bars by cause and blame, of all lines together; and a table with each line's."""
    total: dict[tuple[str, str | None], int] = defaultdict(int)
    for line in report.lines:
        for loss in line.losses:
            total[loss.cause, loss.blame] += loss.count
    if not sum(total.values()):
        return section("losses", "Losses by cause", "", nothing("No connection was lost."))
    ordered = sorted(total.items(), key=lambda each: (-each[1], each[0][0]))
    most = ordered[0][1]
    bars = [_bar(cause, blame, count, most, sum(total.values())) for (cause, blame), count in ordered]
    lead = "Established connections that ended without our asking. In capitals: whose fault it was, where that is known."
    drawn = tag("div", tag("table", tag("tbody", *bars), class_="bars"), class_="card")
    rows = [(name, wording.cause(loss), wording.grouped(loss.count)) for name, loss in _each_loss(report, names)]
    numbers = unfolding("By line, in numbers", table(("Line", "Cause", "Losses"), rows, "Losses by line and cause"))
    return section("losses", "Losses by cause", lead, drawn, numbers if len(report.lines) > 1 else "")


def _each_loss(report: Report, names: tuple[str, ...]) -> list[tuple[str, LossCount]]:
    return [(name, loss) for name, line in zip(names, report.lines, strict=True) for loss in line.losses]


def _bar(cause: str, blame: str | None, count: int, most: int, total: int) -> Html:
    kind = f"blame {blame.lower().replace('_', '-')}" if blame in BLAMES else "blame unknown"
    rect = tag("rect", x=0, y=0, width=percent(count / most), height="100%", rx=3, class_=kind)
    words = join((tag("span", cause), tag("small", blame) if blame else ""))
    return tag(
        "tr",
        tag("th", words, scope="row"),
        tag("td", tag("svg", rect, aria_hidden="true", class_="bar")),
        tag("td", tag("strong", wording.grouped(count)), tag("small", f"{100 * count / total:.0f} %")),
    )


BLAMES = frozenset({"LOCAL_STALL", "PATH_DEAD", "PEER_SILENT", "PEER_SLOW", "WRITER_BLOCKED"})
