"""What every section is made of: headed sections, tables that scroll by themselves, things that unfold. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .markup import Html, join, tag, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OPEN_LINES = 8
"""Lines that are drawn at once; the others unfold."""
UNBROKEN = 32
"""Letters that fit beside each other on a phone."""


def section(name: str, title: str, lead: object, *content: object) -> Html:
    """A headed part of the page; ``lead`` says in a sentence what it shows."""
    heading = tag("h2", title, id=f"{name}-title")
    words = tag("p", lead, class_="lead") if lead else Html()
    return tag("section", heading, words, *content, id=name, aria_labelledby=f"{name}-title")


def table(head: Sequence[object], rows: Iterable[Sequence[object]], label: str, *, kind: str = "") -> Html:
    """A table whose first column names the row. Too wide a one scrolls within its own box."""
    top = tag("thead", tag("tr", *(tag("th", each, scope="col") for each in head)))
    body = tag("tbody", *(_row(row) for row in rows))
    drawn = tag("table", top, body, class_=kind or None)
    return tag("div", drawn, class_="scroll", tabindex=0, role="region", aria_label=label)


def _row(row: Sequence[object]) -> Html:
    return tag("tr", tag("th", row[0], scope="row"), *(tag("td", each) for each in row[1:]))


def unfolding(summary: object, *content: object, kind: str = "numbers", is_open: bool = False) -> Html:
    """What is shown when asked for."""
    return tag("details", tag("summary", summary), *content, class_=kind, open=is_open)


def multiples(figures: Sequence[Html], what: str = "lines", *, shown: int = OPEN_LINES) -> Html:
    """The same figure for each line: the first few, and the others when asked for."""
    if len(figures) <= shown:
        return tag("div", *figures, class_="multiples")
    more = tag("div", *figures[shown:], class_="multiples")
    return join(
        (
            tag("div", *figures[:shown], class_="multiples"),
            unfolding(f"{len(figures) - shown} more {what}", more, kind="more"),
        )
    )


def figure(caption: object, *content: object, kind: str = "") -> Html:
    """A drawing with what it is called."""
    return tag("figure", tag("figcaption", caption), *content, class_=f"figure {kind}".strip())


def breakable(name: str) -> Html:
    """A line's name, which may be broken where an address has its joints."""
    return Html(re.sub(r"((?<!/)/(?!/)|[?#])", r"\1<wbr>", text(name).replace("&#x27;", "&apos;")))


def named(name: str, kind: str = "name") -> Html:
    """A line's name, set apart."""
    return tag("span", breakable(name), class_=kind)


def dots(parts: Iterable[str]) -> Html:
    """Short facts one after the other, none of them broken unless it is long."""
    return Html(" · ".join(tag("span", each, class_="nb" if len(each) <= UNBROKEN else None) for each in parts if each))


def two_lines(value: str, below: str) -> Html:
    """A figure, and its interval small below it."""
    return join((value, tag("small", below))) if below else text(value)


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Names and what they stand for."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), class_="facts")


def legend(entries: Iterable[tuple[str, str]]) -> Html:
    """Samples with their words: (class of the sample, words)."""
    return tag("p", *(tag("span", tag("i", class_=f"sample {kind}"), words) for kind, words in entries), class_="legend")


def nothing(words: str) -> Html:
    """What stands where there is nothing to show."""
    return tag("p", words, class_="nothing")
