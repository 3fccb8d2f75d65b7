"""The page in a real browser: sorting, filtering, keyboard, phone, dark mode, and what it never does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.report.page.browser import POOR_CONTRAST, Window, chrome
from tests.report.page.page_factory import FIGURE, HOSTILE, named, report, toy

RANKED = ["half_done", "dn2[k=2]", "mahalanobis[backbone=pixels]", "lof"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page of two suites, one of them with hostile texts, and a figure that holds a script."""
    results = tmp_path_factory.mktemp("results")
    (results / "figures").mkdir()
    (results / "figures" / "toy-roc.svg").write_text(FIGURE)
    report(results, *toy())
    plan, records = toy("wild")
    report(results, named(plan, HOSTILE), records)
    return results / "index.html"


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with chrome() as started:
        yield started


@pytest.fixture
def window(driver: Chrome, page: Path) -> Iterator[Window]:
    opened = Window(driver, page)
    opened.media(prefers_color_scheme="light", prefers_reduced_motion="reduce")
    opened.open()
    yield opened
    assert opened.complaints() == []
    assert not opened.run("return 'harmed' in window")


def choose(window: Window, field: str, value: str) -> None:
    Select(window.one(f"#{field}")).select_by_value(value)


def test_it_asks_for_nothing(window: Window) -> None:
    window.unfold()
    figure = window.one("figure img")
    window.run("arguments[0].scrollIntoView()", figure)
    assert window.run("return arguments[0].decode().then(() => arguments[0].naturalWidth)", figure) > 0
    asked = [each for each in window.requests() if not each.startswith("data:")]
    assert asked == [window.address]


def test_sorting_by_click(window: Window) -> None:
    table = window.table()
    others = ["random", "peeks"]
    assert window.methods(table) == RANKED + others
    assert window.head(table, "average").get_attribute("aria-sort") == "descending"
    window.sort(table, "rank")
    assert window.head(table, "rank").get_attribute("aria-sort") == "ascending"
    assert window.head(table, "average").get_attribute("aria-sort") is None
    window.sort(table, "average")
    assert window.methods(table) == RANKED + others, "the best first, and those that do not rank stay apart"
    window.sort(table, "average")
    assert window.methods(table) == RANKED[::-1] + others
    assert window.one("#said").text == "Sorted by Average, ascending"
    window.sort(table, "method")
    assert window.methods(table) == sorted(RANKED) + others
    assert window.methods(window.table("wild"))[:4] != window.methods(table)[:4], "one table at a time"


def test_what_has_no_number_comes_last_in_both_directions(window: Window) -> None:
    choose(window, "rate", "0.1")
    table = window.table()
    for first in ("lof", "dn2[k=2]"):
        window.sort(table, "average")
        assert window.methods(table)[0] == first
        assert window.methods(table)[3] == "half_done"
    assert "1 of 8 failed" in table.text
    tasks = window.driver.find_element("css selector", ".variant:not([hidden]) details.tasks")
    tasks.find_element("css selector", "summary").click()
    assert "failed (1 of 2)" in tasks.text
    assert "missing (1 of 2)" in tasks.text


def test_choosing_and_filtering(window: Window) -> None:
    assert window.one("#said").text == "12 of 12 rows shown"
    choose(window, "suite", "toy")
    assert [each.get_attribute("data-suite") for each in window.all(".suite")] == ["toy"]
    window.one('a[href="#suite-wild"]').click()
    window.run("return new Promise((done) => setTimeout(done))")
    assert len(window.all(".suite")) == 2, "a link to a suite shows it"
    choose(window, "suite", "toy")
    choose(window, "metric", "fpr95")
    assert window.texts("caption") == ["Overall: FPR95\u00a0↓, clean"]
    window.one("#q").send_keys("PIXELS maha")
    assert window.methods(window.table()) == ["mahalanobis[backbone=pixels]"]
    assert window.one("#said").text == "1 of 6 rows shown"
    assert not window.all("tr.group"), "a group without rows has no head"
    choose(window, "dataset", "textures")
    heads = window.texts("thead th", window.table())
    assert "textures (synthetic)" in heads
    assert "digits" not in heads
    assert len(window.all("details.tasks")) == 1
    window.one("#q").send_keys(" nothing has this")
    assert window.one("#said").text == "0 of 6 rows shown"
    window.one("button[type=reset]").click()
    window.run("return new Promise((done) => setTimeout(done))")
    assert len(window.methods(window.table())) == 6
    assert window.hash() in ("", "#")


def test_the_address_keeps_what_was_chosen(window: Window) -> None:
    choose(window, "metric", "ap")
    choose(window, "rate", "0.1")
    window.one("#q").send_keys("one-class & l")
    window.one("#q").send_keys(Keys.BACKSPACE, Keys.BACKSPACE, Keys.BACKSPACE, Keys.BACKSPACE)
    table = window.table("wild")
    window.sort(table, "method")
    window.sort(table, "method")
    before, address = window.methods(table), window.hash()
    assert before[:4] != sorted(before[:4])
    captions = window.texts("caption")
    window.open(address)
    assert window.methods(window.table("wild")) == before
    assert window.texts("caption") == captions
    assert window.hash() == address
    assert window.head(window.table("wild"), "method").get_attribute("aria-sort") == "descending"
    window.run("location.hash = '#metric=fpr95'")
    window.run("return new Promise((done) => setTimeout(done))")
    assert window.texts("caption", window.table()) == ["Overall: FPR95\u00a0↓, clean"]
    assert window.one("#q").get_attribute("value") == ""


@pytest.mark.parametrize(
    "fragment", ["#metric=none&rate=&sort=[1&sort=%5B1%5D&suite=%3Cb%3E", "#x", "#%", "#="]
)
def test_an_address_that_means_nothing_does_no_harm(window: Window, fragment: str) -> None:
    window.open(fragment)
    assert len(window.all(".suite")) == 2
    assert window.methods(window.table()) == [*RANKED, "random", "peeks"]


def test_the_keyboard_alone(window: Window) -> None:
    def press(*keys: str) -> None:
        ActionChains(window.driver).send_keys(*keys).perform()

    def reach(css: str) -> None:
        for _ in range(40):
            press(Keys.TAB)
            if window.run("return document.activeElement.matches(arguments[0])", css):
                break
        assert window.run("return document.activeElement.matches(arguments[0])", css), css
        assert window.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"

    reach("a.skip")
    assert window.run("return document.activeElement.getBoundingClientRect().left") == 0
    press(Keys.ENTER)
    assert window.run("return document.activeElement.id") == "results"
    reach('th[data-column="average"] button')
    for key, first in ((Keys.ENTER, RANKED[-1]), (Keys.SPACE, RANKED[0])):
        press(key)
        assert window.methods(window.table())[0] == first
    reach("details.tasks summary")
    press(Keys.ENTER)
    assert window.all("details.tasks table")
    window.open()
    reach("#q")
    press("half")
    assert window.methods(window.table()) == ["half_done"]
    reach("#metric")
    press(Keys.DOWN)
    assert window.one("caption", window.table()).text == "Overall: AP, clean"


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone(window: Window, width: int) -> None:
    with window.phone(width, 800):
        window.open()
        window.unfold()
        assert window.run("return innerWidth") == width
        assert window.run("return document.documentElement.scrollWidth") <= width
        scroll = window.all(".scroll")[0]
        assert window.run("return arguments[0].scrollWidth > arguments[0].clientWidth", scroll)
        window.run("arguments[0].scrollLeft = 9999", scroll)
        name, last = window.one("thead th[data-column=method]", scroll), window.all("thead th", scroll)[-1]
        assert name.rect["x"] < 30, "the method's name stays in sight"
        assert last.rect["x"] + last.rect["width"] <= width
        low = "return arguments[0].filter((e) => e.getBoundingClientRect().height < 24).length"
        assert window.run(low, window.all("button, select, input, summary")) == 0


def test_the_head_stays_in_sight(window: Window) -> None:
    scroll = window.all(".scroll")[0]
    window.run("arguments[0].style.maxHeight = '8rem'; arguments[0].scrollTop = 9999", scroll)
    assert window.run("return arguments[0].scrollTop", scroll) > 0
    head = window.all("thead th", scroll)[1]
    assert abs(head.rect["y"] - scroll.rect["y"]) <= 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(window: Window, scheme: str) -> None:
    window.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    window.open("#rate=0.1")
    window.unfold()
    paper = window.run("return getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[scheme]
    assert window.run(POOR_CONTRAST) == []
    for css in ("td.best b", "td.hole small", "tr.group th", "td.words", "dd code"):
        assert window.all(css), "what the check of contrasts is for"


def test_motion_is_not_forced(window: Window) -> None:
    behaviour = "return getComputedStyle(document.documentElement).scrollBehavior"
    window.media(prefers_reduced_motion="reduce")
    assert window.run(behaviour) == "auto"
    window.media(prefers_reduced_motion="no-preference")
    assert window.run(behaviour) == "smooth"


def test_without_scripts_the_tables_are_there(window: Window) -> None:
    window.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        window.open()
        captions = window.texts("caption")
        assert len(captions) == 2 * 4 * 2, "both suites, all metrics, both rates"
        assert not window.all("form")
        assert not window.driver.find_elements("css selector", "thead button"), (
            "nothing to press that does nothing"
        )
        assert window.methods(window.all("table")[0]) == [*RANKED, "random", "peeks"]
    finally:
        window.command("Emulation.setScriptExecutionDisabled", value=False)


def test_hostile_names_are_shown_as_they_are(window: Window) -> None:
    shown = window.run(
        "return [...document.querySelectorAll('[data-suite=wild] .variant:not([hidden]) th[scope=row]')]"
        ".map((e) => e.textContent)"
    )
    assert set(HOSTILE) <= set(shown)
    assert len(window.driver.find_elements("css selector", "img")) == 1, "the figure"
    window.one("#q").send_keys("<img src=x")
    assert len(window.methods(window.table("wild"))) == 1
