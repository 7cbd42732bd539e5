"""The page without a browser: whole, small, and deaf to what strangers write into a journal."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import msgspec

from heartbeat_trio.analysis.page import render_page
from heartbeat_trio.analysis.page.curve import choose, frontier
from heartbeat_trio.analysis.page.figures import availability_section, thin
from heartbeat_trio.analysis.page.markup import VOID, tag
from heartbeat_trio.analysis.page.scales import axis_of, nice_step
from tests.support.analysis_report import make_report

ATTACK = "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script>\x00\x1b[2J"


class Reader(HTMLParser):
    """Elements and attributes of a page; `open` is empty at the end where each was closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag not in {*VOID, "wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def with_attacks() -> str:
    """A page each of whose texts is an attack."""

    def spoil(value: object) -> object:
        if isinstance(value, str):
            return value if value in ("low", "medium", "high", "rtt", "losses", "before", "during", "after") else ATTACK
        if isinstance(value, tuple):
            return tuple(map(spoil, value))
        if isinstance(value, msgspec.Struct):
            names = [name for name in value.__struct_fields__ if name not in ("zone", "kind", "unit", "date", "details")]
            return msgspec.structs.replace(value, **{name: spoil(getattr(value, name)) for name in names})
        return value

    spoiled = spoil(make_report())
    assert isinstance(spoiled, type(make_report()))
    return render_page(spoiled)


def test_strangers_cannot_write_into_the_page() -> None:
    """An attack in every text changes neither the elements nor the attributes: all of it stays text."""
    page, plain = Reader(with_attacks()), Reader(render_page(make_report()))

    assert [] == page.open == plain.open
    assert {"img", "iframe", "object", "link", "a"} & set(page.names) == {"a"}
    assert page.names.count("script") == plain.names.count("script") == 1
    assert not {name for name, _ in page.attributes if name.startswith("on") or name in ("style", "src")}
    assert {value for name, value in page.attributes if name == "href"} == {
        value for name, value in plain.attributes if name == "href"
    }
    assert all(char.isprintable() or char == "\n" for char in with_attacks())


def test_its_policy_allows_its_own_words_only() -> None:
    """The hashes are those of what stands there; nothing is fetched, wherever from."""
    page = render_page(make_report())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    style, script = (re.search(f"<{name}>(.*?)</{name}>", page, re.DOTALL) for name in ("style", "script"))
    assert style is not None
    assert script is not None
    hashes = [base64.b64encode(hashlib.sha256(each[1].encode()).digest()).decode() for each in (style, script)]
    assert policy[1].replace("&#x27;", "'") == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; base-uri 'none'; "
        "form-action 'none'"
    )
    assert not re.search(r"url\(|@import|https?://(?!\w)", style[1] + script[1])


def test_many_lines_make_no_heavy_page() -> None:
    """20 lines of 30 days are less than 1 MB, and those beyond 8 unfold."""
    page = render_page(make_report(lines=20, days=30))

    assert len(page.encode()) < 1_000_000
    assert page.count("12 more lines") == 4  # ribbons, round trips, hours, policies


def test_the_page_has_the_numbers() -> None:
    """Advice with its change, evidence and what speaks against it; steps; what is not enough; what was left out."""
    page = re.sub(r"<wbr>|</?(?:span|b|small)[^>]*>", "", render_page(make_report()))

    for words in (
        "<code>pong_timeout = 4</code><code>max_missed_pongs = 3</code>",
        "effect 25 % (95 %: 9 to 53 %) · n = 12 · a count, no test · 2026-10-21 to 2026-11-15",
        "Nothing was recorded after the connection was given up, so the gain is a bound.",
        "99.982 %99.971 to 99.9930 %",
        "step, 2026-11-04 08:12",
        "days of the week, all lines: 4 of 8 weeks",
        "12 records without a time",
        "Ran: interval 5 s, timeout 3 s, 3 missed: found after 15.5 s, 3 false losses.",
        "Suggested: interval 5 s, timeout 4 s, 3 missed: found after 16.5 s, at least 1 false loss.",
        "2026-10-18 to 2026-11-15 (Europe/Berlin) · 28 days · 3 lines",
    ):
        assert words in page, words


def test_an_empty_report_is_a_page() -> None:
    """Without lines there is what was read, and why there is no more."""
    page = render_page(make_report(lines=0))

    assert "None: no connection was recorded." in page
    assert "12 records without a time" in page
    assert Reader(page).open == []


def test_a_report_without_measurements_is_a_page() -> None:
    """A line that was never connected."""
    bare = {
        "days": (),
        "rtt": (),
        "hours": (),
        "replays": (),
        "incidents": (),
        "findings": (),
        "advice": (),
        "not_enough": (),
    }
    page = render_page(msgspec.structs.replace(make_report(), **bare))

    assert Reader(page).open == []
    for words in ("No day was observed.", "No round trip was measured.", "There was none.", "Nothing to change"):
        assert words in page


def test_years_are_drawn_as_weeks() -> None:
    """A bar's availability is that of its days, weighted by what was observed of them."""
    report = make_report(lines=1, days=140)
    section = availability_section(report, ("line",))

    assert section.count("<title>") == 20
    first = [day for day in report.days[:7] if day.availability is not None]
    mean = sum((day.availability or 0) * day.observed for day in first) / sum(day.observed for day in first)
    assert f"<title>2026-10-18: {100 * mean:.1f}"[:-1] in section


def test_thinning_keeps_the_worst() -> None:
    """No spike gets lost, and it is told how many stand behind a point."""
    points = [each for each in make_report().rtt if each.line == 0]
    kept, together = thin(points, 100)

    assert (3, 75) == (together, len(kept))
    assert max(each.p95 or 0 for each in points) == max(each.p95 or 0 for each in kept)
    assert thin(points, 1000) == (points, 1)


def test_a_crowded_curve_keeps_what_matters() -> None:
    """The best policies, the one that ran and the one suggested."""
    curve = make_report().replays[0]
    points = tuple(
        msgspec.structs.replace(each, detection_mean=each.detection_mean + n / 100, is_recorded=each.is_recorded and not n)
        for n in range(10)
        for each in curve.points
    )
    kept = choose(points, 40)

    assert len(kept) <= 40
    assert len(choose(points, 1000)) == len(points)
    assert frontier(kept) == frontier(points)
    assert [each for each in points if each.is_recorded or each.is_suggested] == [
        each for each in points if each in kept and (each.is_recorded or each.is_suggested)
    ]


def test_axes() -> None:
    """From 0 where values are near each other, logarithmic where they are not; marks are round."""
    near, far = axis_of([10.0, 40.0]), axis_of([1.0, 300.0])

    assert (False, (10.0, 20.0, 30.0, 40.0)) == (near.is_log, near.marks)
    assert (True, (1.0, 10.0, 100.0)) == (far.is_log, far.marks)
    assert 0 == near.place(-5)
    assert 1 == far.place(10_000)
    assert [0.02, 5, 100] == [round(nice_step(each), 9) for each in (0.013, 4.2, 51)]
    assert axis_of([0.0]).marks == (0.2, 0.4, 0.6000000000000001, 0.8, 1.0)


def test_markup_escapes_what_is_not_markup() -> None:
    """Attributes as well as text; control characters are spelled out; markup is not escaped again."""
    inner = tag("b", "1 < 2\x00")

    assert '<p title="&quot;&#x27;&lt;"><b>1 &lt; 2\\x00</b></p>' == tag("p", inner, title="\"'<")
    assert '<rect data-x="1" hidden/>' == tag("rect", data_x=1, hidden=True, class_=None, id=False)
