"""A report as one page that needs nothing else: no network, no fonts, no library. Pure.

Everything that a journal holds may come from a stranger: all text is escaped (`markup`), and the page's own policy forbids
whatever is not its own style and its own script, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from .. import wording
from .advice import advice_section, overview, summary_section
from .curve import replay_section
from .figures import availability_section, rtt_section
from .grids import hours_section, losses_section
from .markup import Html, tag
from .parts import dots
from .reading import incidents_section, patterns_section, sources_section

if TYPE_CHECKING:
    from ..findings import Report

SECTIONS = (
    ("advice", "Advice"),
    ("lines", "Lines"),
    ("days", "Availability"),
    ("rtt", "Round trips"),
    ("hours", "Hours"),
    ("losses", "Losses"),
    ("replay", "Policies"),
    ("incidents", "Incidents"),
    ("patterns", "Patterns"),
    ("sources", "Sources"),
)


def render_page(report: Report) -> str:
    """The whole page: HTML in one string."""
    style, script = _asset("page.css"), _asset("page.js")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", "Connection stability"),
        tag("style", style),
    )
    body = tag("body", _top(report), tag("main", *_sections(report)), tag("script", script))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _sections(report: Report) -> tuple[Html, ...]:
    clock, names = wording.Clock(report.zone), wording.names(report)
    if not report.lines:
        return advice_section(report, clock, names), sources_section(report, clock)
    return (
        advice_section(report, clock, names),
        overview(report),
        summary_section(report, names),
        availability_section(report, names),
        rtt_section(report, clock, names),
        hours_section(report, names),
        losses_section(report, names),
        replay_section(report, names),
        incidents_section(report, clock, names),
        patterns_section(report, clock, names),
        sources_section(report, clock),
    )


def _top(report: Report) -> Html:
    half = tag(
        "svg", tag("path", d="M8 1a7 7 0 0 1 0 14Z"), tag("circle", cx=8, cy=8, r=7), viewBox="0 0 16 16", aria_hidden="true"
    )
    words = tag("span", "Dark or light")
    toggle = tag("button", half, words, type="button", id="theme", class_="toggle", aria_label="Dark or light")
    shown = [each for each in SECTIONS if each[0] != "replay" or any(curve.points for curve in report.replays)]
    shown = shown if report.lines else [shown[0], shown[-1]]
    links = (tag("a", title, href=f"#{name}") for name, title in shown)
    told = dots(wording.covered(report, wording.Clock(report.zone)))
    words = tag("div", tag("h1", "Connection stability"), tag("p", told))
    return tag("header", tag("div", words, toggle, class_="top"), tag("nav", *links, aria_label="Sections"), class_="page")


def _asset(name: str) -> Html:
    return Html(files(__name__).joinpath(name).read_text(encoding="utf-8"))


def _policy(style: str, script: str) -> str:
    return f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


__all__ = ["render_page"]
