"""The page in a real browser: quiet, without any network, readable on a phone and a desktop, in light and in dark.

With HEARTBEAT_TRIO_SCREENSHOT=FILE a picture is kept there: of the page HEARTBEAT_TRIO_PAGE, or of the sample. It is how the
README's was made.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from heartbeat_trio.analysis.page import render_page
from tests.support.analysis_report import make_report

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking --no-first-run "
    "--disable-component-update --disable-sync"
)
PHONE, SMALL, DESKTOP = (390, 844), (360, 640), (1280, 900)
FAINT = """
const parse = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = (rgb) => rgb.slice(0, 3).map((v) => linear(v / 255))
  .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
const behind = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const color = parse(getComputedStyle(each).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const faint = [];
let seen = 0;
for (const element of document.querySelectorAll("body *")) {
  const words = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
  if (!words || element.closest("script") || !element.checkVisibility()) continue;
  seen += 1;
  const style = getComputedStyle(element);
  const color = light(parse(element.closest("svg") ? style.fill : style.color)), ground = light(behind(element));
  const contrast = (Math.max(color, ground) + 0.05) / (Math.min(color, ground) + 0.05);
  if (contrast < 4.5) faint.push(`${words.slice(0, 30)}: ${contrast.toFixed(2)}`);
}
return [seen, faint];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One for all tests; skips where there is none."""
    if BROWSER is None or DRIVER is None:
        pytest.skip("there is no chromium with chromedriver here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page with everything, whose first endpoint is an attack."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_page(make_report(hostile=True)), encoding="utf-8")
    return path.as_uri()


def look(browser: webdriver.Chrome, address: str, size: tuple[int, int], theme: str) -> None:
    """Open a page as a screen of that size, in a theme, would."""
    screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 800}
    wish = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)
    browser.get(address)


def run(browser: webdriver.Chrome, script: str, *arguments: object) -> Any:
    return browser.execute_script(script, *arguments)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [SMALL, PHONE, DESKTOP], ids=str)
def test_it_is_quiet_and_fits(browser: webdriver.Chrome, page: str, size: tuple[int, int], theme: str) -> None:
    """No error, no request, no script of a stranger, no sideways scrolling, and every text stands out from its ground."""
    look(browser, page, size, theme)

    assert [] == browser.get_log("browser")  # type: ignore[no-untyped-call]
    assert [] == run(browser, "return performance.getEntriesByType('resource').map((each) => each.name)")
    assert 1 == run(browser, "return document.scripts.length")
    assert run(browser, "return document.documentElement.scrollWidth") <= size[0]
    shade = run(browser, "return getComputedStyle(document.body).backgroundColor")
    assert {"light": "rgb(244, 246, 248)", "dark": "rgb(13, 18, 24)"}[theme] == shade
    seen, faint = run(browser, FAINT)
    assert [] == faint
    assert seen > 500


def test_the_advice_is_what_is_seen_first(browser: webdriver.Chrome, page: str) -> None:
    """On a desktop the first recommendation, its change and its evidence stand within the first screen."""
    look(browser, page, DESKTOP, "light")
    card = browser.find_element(By.CSS_SELECTOR, "#advice article")

    assert card.rect["y"] + card.rect["height"] < DESKTOP[1]
    assert card.find_element(By.TAG_NAME, "code").text == "ping_interval = 300"
    assert "Evidence" in card.text


def test_everything_drawn_has_words(browser: webdriver.Chrome, page: str) -> None:
    """Each drawing has a label or is a mere decoration beside its words; each recorded figure has its table."""
    look(browser, page, DESKTOP, "light")
    unnamed = run(
        browser,
        "return [...document.querySelectorAll('svg')].filter((svg) => !svg.parentElement.closest('svg') && "
        "!svg.getAttribute('aria-label') && svg.getAttribute('aria-hidden') !== 'true').map((svg) => svg.outerHTML)",
    )
    assert [] == unnamed
    labels = run(
        browser, "return [...document.querySelectorAll('svg[role=img]')].map((svg) => svg.getAttribute('aria-label'))"
    )
    assert len(labels) == 3 + 3 + 3  # ribbons, round trips, policies
    assert all(any(each.isdigit() for each in label) for label in labels)
    assert run(browser, "return [...document.querySelectorAll('figure')].every((each) => each.querySelector('table'))")


def test_incidents_unfold(browser: webdriver.Chrome, page: str) -> None:
    """A click shows the timeline, another hides it."""
    look(browser, page, PHONE, "dark")
    incident = browser.find_element(By.CSS_SELECTOR, ".incident")
    timeline = incident.find_element(By.CSS_SELECTOR, ".timeline")
    summary = incident.find_element(By.TAG_NAME, "summary")
    shown = []
    for _ in range(3):
        shown.append(timeline.is_displayed())
        run(browser, "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", summary)
        summary.click()

    assert [False, True, False] == shown


def test_the_theme_can_be_chosen(browser: webdriver.Chrome, page: str) -> None:
    """The button turns to the other theme and back, whatever the system prefers."""
    look(browser, page, DESKTOP, "dark")
    shades = []
    for _ in range(3):
        shades.append(run(browser, "return getComputedStyle(document.body).backgroundColor"))
        browser.find_element(By.ID, "theme").click()

    assert ["rgb(13, 18, 24)", "rgb(244, 246, 248)", "rgb(13, 18, 24)"] == shades


def test_pointing_at_a_curve_tells_its_numbers(browser: webdriver.Chrome, page: str) -> None:
    """The row of the table at that place."""
    look(browser, page, DESKTOP, "light")
    told = run(
        browser,
        """
        const plot = document.querySelector("svg[data-at]"), box = plot.getBoundingClientRect();
        plot.dispatchEvent(new PointerEvent("pointermove", {clientX: box.right - 1, clientY: box.top + 9}));
        const figure = plot.closest("figure");
        const last = [...figure.querySelector("tbody tr:last-child").children].map((cell) => cell.textContent);
        return [figure.querySelector(".tip").textContent, last];
        """,
    )
    line, (begun, p50, p95, p99, n) = told
    assert line == f"{begun}: p50 {p50} ms, p95 {p95} ms, p99 {p99} ms (n = {n})"


def test_printing_opens_what_is_folded(browser: webdriver.Chrome, page: str) -> None:
    """On paper nothing can be clicked, and dark is a waste of ink; afterwards all is as it was."""
    look(browser, page, DESKTOP, "dark")
    count = "return document.querySelectorAll('details[open]').length"
    run(browser, "dispatchEvent(new Event('beforeprint'))")
    opened = run(browser, count)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    ink = run(browser, "return getComputedStyle(document.body).color")
    run(browser, "dispatchEvent(new Event('afterprint'))")

    assert run(browser, "return document.querySelectorAll('details').length") == opened > 10
    assert ink == "rgb(24, 33, 45)"
    assert run(browser, count) == 0


@pytest.mark.skipif("HEARTBEAT_TRIO_SCREENSHOT" not in os.environ, reason="no picture is asked for")
def test_the_picture_for_the_readme(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The desktop's first screens, in light: a page that was named, or the sample."""
    given = os.environ.get("HEARTBEAT_TRIO_PAGE")
    page = Path(given) if given else tmp_path / "report.html"
    if not given:
        page.write_text(render_page(make_report()), encoding="utf-8")
    look(browser, page.resolve().as_uri(), (1280, 1500), "light")
    part = {"x": 0, "y": 0, "width": 1280, "height": 1500, "scale": 0.66}
    wish = {"format": "png", "captureBeyondViewport": True, "clip": part}
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", wish)
    picture = base64.b64decode(taken["data"])
    Path(os.environ["HEARTBEAT_TRIO_SCREENSHOT"]).write_bytes(picture)
    assert len(picture) < 200_000
