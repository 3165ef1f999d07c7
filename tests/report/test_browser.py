"""The page in a real browser: no error, nothing fetched, tables that sort and filter, no wider than the screen."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import Reported

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium() -> tuple[str, str]:
    """The browser and its driver. Asked for before the report, which takes half a minute to make."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    chromedriver = shutil.which("chromedriver")
    if not (browser and chromedriver):
        pytest.skip("no Chromium here: install chromium and chromium-driver to check the report in a browser")
    return browser, chromedriver


@pytest.fixture(scope="module")
def driver(chromium: tuple[str, str], reported: Reported) -> Iterator[Any]:
    """Headless Chromium on the page."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location, chromedriver = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(chromedriver))
    driver.get(reported.page.as_uri())
    yield driver
    driver.quit()


def on_screen(driver: Any, width: int, scheme: str = "light") -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    preferred = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preferred})


@pytest.mark.parametrize("width", [390, 992, 1440])
def test_the_page_is_no_wider_than_its_screen(driver: Any, width: int) -> None:
    on_screen(driver, width)
    for opened in (False, True):
        driver.execute_script("document.querySelectorAll('details').forEach(one => one.open = arguments[0])", opened)
        for shown in driver.find_elements("css selector", ".all-columns"):
            if shown.is_selected() != opened:
                driver.execute_script("arguments[0].click()", shown)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        beyond = driver.execute_script(
            "return [...document.querySelectorAll('p, h1, h2, h3, figure, .scroll, pre, .panel, .clip')]"
            ".filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 80))"
        )
        assert beyond == []


@pytest.mark.parametrize("width", [390, 992, 1440])
def test_a_table_says_that_it_goes_on_sideways_where_it_does(driver: Any, width: int) -> None:
    on_screen(driver, width)
    time.sleep(0.3)  # the page is told of a new width with the next frame
    boxes = driver.execute_script(
        "return [...document.querySelectorAll('.scroll')].filter(box => box.offsetParent).map("
        "box => [box.scrollWidth > box.clientWidth, box.previousElementSibling.offsetParent !== null])"
    )
    assert len(boxes) > 5
    for goes_on, said in boxes:
        assert goes_on == said


def test_the_score_is_seen_on_a_telephone_without_scrolling(driver: Any) -> None:
    on_screen(driver, 390)
    right = driver.execute_script(
        "return [...document.querySelectorAll('th')].find(one => one.textContent.trim() === 'Score')"
        ".getBoundingClientRect().right"
    )
    assert 0 < right <= 390


def cells(driver: Any, column: int, table: int = 0) -> list[str]:
    """Those of the rows that are shown, top down."""
    found: list[str] = driver.execute_script(
        "return [...document.querySelectorAll('table')[arguments[0]].tBodies[0].rows]"
        ".filter(row => row.offsetParent).map(row => row.cells[arguments[1]].textContent)",
        table,
        column,
    )
    return found


def test_a_board_sorts_by_numbers_and_words_and_back(driver: Any) -> None:
    on_screen(driver, 1440)
    headings = driver.find_elements("css selector", "table:first-of-type")[0].find_elements("tag name", "th")
    names = [" ".join(heading.text.split()) for heading in headings]
    for name, down_first, key in (
        ("Score", True, lambda text: float(text.split()[0])),
        ("Sp", True, lambda text: float(text.split()[0])),
        ("loss", False, str),
    ):
        column = names.index(name)
        before = cells(driver, column)
        for reverse in (down_first, not down_first):
            headings[column].find_element("tag name", "button").click()
            assert cells(driver, column) == sorted(before, key=key, reverse=reverse)
            assert headings[column].get_attribute("aria-sort") == ("descending" if reverse else "ascending")
    differences = names.index("Δ")
    headings[differences].find_element("tag name", "button").click()
    shown = cells(driver, differences)
    assert shown[-2:] == ["–", "–"]  # what the baseline does not have stands last


def test_a_board_filters_and_shows_all_again(driver: Any) -> None:
    on_screen(driver, 1440)
    field = driver.find_element("css selector", "input[type=search]")
    everything = sorted(zip(cells(driver, 0), cells(driver, 1), strict=True))
    assert everything == [("ce", "argmax"), ("ce", "val-bias"), ("qlung", "argmax"), ("qlung", "val-bias")]
    field.send_keys("QLUNG arg")
    assert (cells(driver, 0), cells(driver, 1)) == (["qlung"], ["argmax"])
    field.clear()
    field.send_keys("nobody")
    assert cells(driver, 0) == []
    driver.execute_script(
        "arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))", field
    )
    assert sorted(cells(driver, 0)) == ["ce", "ce", "qlung", "qlung"]


def test_all_columns_are_a_click_away(driver: Any) -> None:
    on_screen(driver, 1440)
    brier = next(one for one in driver.find_elements("tag name", "th") if "Brier" in one.get_attribute("textContent"))
    box = driver.find_element("css selector", ".all-columns")
    if box.is_selected():
        box.click()
    assert not brier.is_displayed()
    box.click()
    assert brier.is_displayed()


def test_light_and_dark_differ_and_lines_follow(driver: Any) -> None:
    found = {}
    for scheme in ("light", "dark"):
        on_screen(driver, 1440, scheme)
        found[scheme] = driver.execute_script(
            "const text = document.querySelector('.panel text'), body = getComputedStyle(document.body);"
            "return [body.backgroundColor, body.color, getComputedStyle(text).fill]"
        )
    for light, dark in zip(found["light"], found["dark"], strict=True):
        assert light != dark
    assert found["dark"][1] == found["dark"][2]  # what is written in figures has the colour of all text
    black = driver.execute_script(
        "return [...document.querySelectorAll('.panel text, .panel path, .panel use, .panel rect')].filter(one => ["
        "getComputedStyle(one).fill, getComputedStyle(one).stroke].includes('rgb(0, 0, 0)')).length"
    )
    assert black == 0


def test_no_error_and_nothing_fetched(driver: Any) -> None:
    """Last: the log holds all that the others did."""
    assert driver.get_log("browser") == []
    assert driver.execute_script("return performance.getEntriesByType('resource').map(one => one.name)") == []


def test_the_sound_can_be_played(driver: Any, tmp_path: Path) -> None:
    length_s = driver.execute_async_script(
        "const sound = document.querySelector('audio'), done = arguments[arguments.length - 1];"
        "sound.onloadedmetadata = () => done(sound.duration); sound.onerror = () => done(sound.error.message);"
        "sound.preload = 'metadata'; sound.load();"
    )
    assert length_s == pytest.approx(0.5, abs=0.01)
