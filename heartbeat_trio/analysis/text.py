"""A report for people in a terminal, through rich: the advice, each line, what was worst, and what is a pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..observe.printable import printable
from . import wording

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from rich.console import RenderableType

    from .findings import Finding, Incident, LineReport, NotEnough, Recommendation, Report
    from .wording import Clock

WIDTH = 80
ADVICE = 5
"""Recommendations that are shown, and"""
INCIDENTS = 5
"""incidents; the others stand in the page and in JSON."""
HEAD = ("available", "losses", "between", "back in", "answered", "p50", "p99 ms")
STYLES = {"high": "bold green", "medium": "bold yellow", "low": "bold"}


def render_text(report: Report, *, file: TextIO | None = None, width: int | None = None) -> str:
    """The report as it is written to ``file``: with colours where that is a terminal.

    Args:
        report: What to tell.
        file: Where it will go; None: nowhere in particular, so without colours.
        width: Columns; None: the terminal's, or 80.
    """
    console = Console(file=file, width=width or (None if file is not None and file.isatty() else WIDTH), highlight=False)
    with console.capture() as captured:
        console.print(_whole(report, console.width), markup=False, emoji=False)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _whole(report: Report, width: int) -> RenderableType:
    clock, names = wording.Clock(report.zone), tuple(printable(each) for each in wording.names(report))
    parts: list[RenderableType] = [_head(report, clock), *_advice(report, clock, names)]
    if report.lines:
        parts += [_title("Lines"), *_lines(report, names, width), *_key(report)]
        parts += _incidents(report, clock, names)
        parts += _patterns(report, clock, names)
    parts += _sources(report)
    return Group(*parts)


def _title(words: str, note: str = "") -> Text:
    return Text.assemble("\n", (words, "bold"), (f"  {note}" if note else "", "dim"))


def _inset(words: str | Text, by: int = 2) -> Padding:
    return Padding(words if isinstance(words, Text) else Text(words), (0, 0, 0, by))


def _head(report: Report, clock: Clock) -> Text:
    return Text(", ".join(wording.covered(report, clock)))


def _advice(report: Report, clock: Clock, names: tuple[str, ...]) -> Iterable[RenderableType]:
    hidden = len(report.advice) - ADVICE
    yield _title("Advice", f"{hidden} more in --html and --output json" if hidden > 0 else "")
    if not report.advice:
        yield _inset(wording.no_advice(report))
    for number, each in enumerate(report.advice[:ADVICE]):
        if number:
            yield Text()
        yield from _recommendation(each, clock, names)


def _recommendation(advice: Recommendation, clock: Clock, names: tuple[str, ...]) -> Iterable[RenderableType]:
    who = wording.whose(advice, names)
    head = Text.assemble((f"{advice.confidence} confidence", STYLES[advice.confidence]), f"  {who}")
    yield _inset(head)
    for line in wording.changes(advice):
        yield _inset(Text(printable(line), style="bold"), 4)
    yield _inset(printable(advice.claim), 4)
    bound = " (a bound)" if advice.is_censored else ""
    facts = Table.grid(padding=(0, 2))
    for name, words in (
        ("gain", advice.gain + bound),
        ("against", advice.against),
        ("evidence", ", ".join(wording.evidence(advice, clock))),
    ):
        facts.add_row(Text(name, style="dim"), Text(printable(words)))
    yield Padding(facts, (0, 0, 0, 4))


def _lines(report: Report, names: tuple[str, ...], width: int) -> Iterable[Text]:
    """One row a line; a name that is too long for its column stands above its figures."""
    rows = list(zip(names, map(_figures, report.lines), strict=True))
    if report.overall is not None and len(rows) > 1:
        rows.append(("all lines", _figures(report.overall)))
    widths = [max(map(len, column)) for column in zip(HEAD, *(figures for _, figures in rows), strict=True)]
    room = max(width - sum(widths) - 2 * len(widths) - 2, 4)
    room = min(room, max(len(name) for name, _ in rows))
    yield Text(_row("", HEAD, room, widths), style="dim", no_wrap=True)
    for name, figures in rows:
        if len(name) > room:
            yield Text(f"  {name}", overflow="fold")
        yield Text(_row("" if len(name) > room else name, figures, room, widths), no_wrap=True)


def _row(name: str, figures: tuple[str, ...], room: int, widths: list[int]) -> str:
    return f"  {name.ljust(room)}" + "".join(f"  {each.rjust(width)}" for each, width in zip(figures, widths, strict=True))


def _figures(line: LineReport) -> tuple[str, ...]:
    return (
        wording.estimate(line.availability, wording.share),
        wording.grouped(wording.losses(line)),
        wording.estimate(line.mtbf, wording.seconds),
        wording.estimate(line.mttr, wording.seconds),
        wording.estimate(line.success, wording.share),
        wording.rtt(line, 0.5),
        wording.rtt(line, 0.99),
    )


def _key(report: Report) -> Iterable[RenderableType]:
    """Time of our own, which is in no figure, where there was some."""
    ours = sum(each.ours for each in report.lines)
    if ours:
        yield _inset(
            Text(f"not counted: {wording.seconds(ours)} in which our own program or clock was at fault", style="dim")
        )


def _incidents(report: Report, clock: Clock, names: tuple[str, ...]) -> Iterable[RenderableType]:
    if not report.incidents:
        return
    hidden = len(report.incidents) - INCIDENTS
    yield _title("Worst incidents", f"{hidden} more in --html and --output json" if hidden > 0 else "")
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in report.incidents[:INCIDENTS]:
        table.add_row(f"  {wording.seconds(each.duration)}", clock.second(each.begun_at), Text(_incident(each, names)))
    yield table


def _incident(incident: Incident, names: tuple[str, ...]) -> str:
    blame = f" [{incident.blame}]" if incident.blame else ""
    others = f", with {wording.plural(len(incident.others), 'other line')}" if incident.others else ""
    going = ", not over" if incident.ended_at is None else ""
    return f"{names[incident.line]}  {printable(incident.cause)}{blame}{others}{going}"


def _patterns(report: Report, clock: Clock, names: tuple[str, ...]) -> Iterable[RenderableType]:
    yield _title("Patterns")
    if not report.findings:
        yield _inset("none: what varies is within what chance explains")
    for each in report.findings:
        yield _inset(Text(f"{printable(each.claim)} ({wording.line_name(each.line, names)})"))
        yield _inset(Text(_proof(each, clock), style="dim"), 4)
    for missing in _gathered(report.not_enough):
        yield _inset(Text(missing))


def _proof(finding: Finding, clock: Clock) -> str:
    halves = "both halves agree" if finding.halves_agree else "the halves do not agree"
    return (
        f"effect {wording.effect(finding)}, n = {wording.grouped(finding.n)}, adjusted p "
        f"{wording.probability(finding.p_adjusted)}, {halves}, {clock.window(finding.begun_at, finding.ended_at)}"
    )


def _gathered(missing: tuple[NotEnough, ...]) -> Iterable[str]:
    """One sentence for all lines that lack the same."""
    lines: dict[tuple[str, str], int] = {}
    for each in missing:
        key = wording.KINDS[each.kind], wording.not_enough(each)
        lines[key] = lines.get(key, 0) + 1
    for (kind, words), count in lines.items():
        yield f"{kind}: {words}" + (f" ({wording.plural(count, 'line')})" if count > 1 else "")


def _sources(report: Report) -> Iterable[RenderableType]:
    sources = report.sources
    told = f"{wording.plural(sources.files, 'file')}, {wording.plural(sources.records, 'record')}"
    torn = f", {wording.plural(sources.torn, 'torn line')} skipped" if sources.torn else ""
    unknown = f", {wording.plural(sources.unknown, 'record')} of unknown kinds" if sources.unknown else ""
    yield _title("Read", f"{told}{torn}{unknown}")
    for words in (*(f"left out: {each}" for each in sources.excluded), *report.notes):
        yield _inset(printable(words))
