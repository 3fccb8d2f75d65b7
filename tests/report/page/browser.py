"""A headless Chromium for tests, and what they ask of a page in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

#: The contrast (WCAG 2) of each visible text of the page that has less than 4.5, as text and number.
POOR_CONTRAST = """
const channel = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => {
  const [r, g, b] = numbers(color).map(channel);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const paper = (e) => {
  for (; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if (numbers(color)[3] !== 0) return color;
  }
  return "rgb(255, 255, 255)";
};
const found = [];
for (const e of document.querySelectorAll("body, body *")) {
  if (e.tagName === "SCRIPT" || !e.checkVisibility()) continue;
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  if (!own && !["INPUT", "SELECT", "BUTTON"].includes(e.tagName)) continue;
  for (const part of [null, "::after", "::placeholder"]) {
    const [a, b] = [light(getComputedStyle(e, part).color), light(paper(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push([e.tagName, part, e.textContent.trim().slice(0, 40), ratio]);
  }
}
return found;
"""


def chrome() -> Chrome:
    """Start a browser; skip the test where there is none."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    return Chrome(options=options, service=Service(driver))


class Window:
    """A window of the browser with one page."""

    def __init__(self, driver: Chrome, page: Path) -> None:
        self.driver, self.address = driver, page.as_uri()

    def open(self, fragment: str = "") -> None:
        """Load the page anew; an address that differs in its fragment alone would not."""
        self.driver.get("about:blank")
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.driver.get(self.address + fragment)
        # The driver waits for that itself, but not where scripts are off.
        WebDriverWait(self.driver, 30).until(lambda _: self.run("return document.readyState") == "complete")

    def command(self, name: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, arguments)

    def media(self, **features: str) -> None:
        """Prefer something, ``prefers_color_scheme="dark"``."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.command("Emulation.setEmulatedMedia", features=listed)

    @contextmanager
    def phone(self, width: int, height: int) -> Iterator[None]:
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=True
        )
        try:
            yield
        finally:
            self.command("Emulation.clearDeviceMetricsOverride")

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, css: str, inside: WebElement | None = None) -> list[WebElement]:
        """Return the elements that are shown; asked for at once, not one by one."""
        found: list[WebElement] = self.run(
            "return [...(arguments[1] || document).querySelectorAll(arguments[0])]"
            ".filter((e) => e.checkVisibility({visibilityProperty: true}))",
            css,
            inside,
        )
        return found

    def texts(self, css: str, inside: WebElement | None = None) -> list[str]:
        """Return what is read in the elements that are shown."""
        held: list[str] = self.run(
            "return arguments[0].map((e) => e.innerText.trim())", self.all(css, inside)
        )
        return held

    def unfold(self) -> None:
        """Open all that is folded."""
        self.run("for (const e of document.querySelectorAll('details')) e.open = true")

    def one(self, css: str, inside: WebElement | None = None) -> WebElement:
        (found,) = self.all(css, inside)
        return found

    def table(self, suite: str = "toy", key: str = "overall") -> WebElement:
        """Return the table that is shown, once the page has chosen it."""
        css = f'.variant:not([hidden]) table[data-key="{suite} / {key}"]'
        shown = WebDriverWait(self.driver, 10).until(
            lambda driver: found if len(found := driver.find_elements("css selector", css)) == 1 else None
        )
        return shown[0]

    def methods(self, table: WebElement) -> list[str]:
        return self.texts('th[scope="row"]', table)

    def head(self, table: WebElement, column: str) -> WebElement:
        return table.find_element("css selector", f'th[data-column="{column}"]')

    def sort(self, table: WebElement, column: str) -> None:
        self.head(table, column).find_element("css selector", "button").click()

    def hash(self) -> str:
        return str(self.run("return location.hash"))

    def complaints(self) -> list[Mapping[str, Any]]:
        """Return what the console says since the page was opened."""
        return list(self.driver.get_log("browser"))

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since the page was opened."""
        events = [json.loads(each["message"])["message"] for each in self.driver.get_log("performance")]
        return [
            each["params"]["request"]["url"]
            for each in events
            if each["method"] == "Network.requestWillBeSent"
        ]
